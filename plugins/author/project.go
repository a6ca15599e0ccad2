package author

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/plugins"
)

// project holds what belongs to a project beside its language's kit and example.
// Every "notebook" in it becomes the project's name, and what is sms's there the
// channel's.
//
//go:embed project notebook/main.go
var project embed.FS

// Languages are those that a project can be written in.
var Languages = []string{"go", "python", "node"}

// What a project is refused for, to be matched with errors.Is.
var (
	ErrName     = errors.New("a connector's name is of a-z, 0-9, _ and -, begins with a letter, has at most 64 characters, and is none of " + strings.Join(taken, ", "))
	ErrLanguage = errors.New("there is no such language")
	ErrChannel  = errors.New("there is no such channel")
)

// taken are names that something else in a project has.
var taken = []string{"cloister", "cloister_connector", "test", "package", "vendor"}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// part is a file or folder of an embedded tree, and where it goes.
type part struct {
	from fs.FS
	path string
	to   string
}

// parts are a language's.
func parts(language, name string) []part {
	all := []part{
		{project, "project/example.hcl", "example.hcl"},
		{project, "project/wrong.hcl", "wrong.hcl"},
		{project, "project/gitignore", ".gitignore"},
		{project, "project/" + language + "/Makefile", "Makefile"},
		{project, "project/" + language + "/README.md", "README.md"},
	}
	switch language {
	case "go":
		all = append(all, part{project, "notebook/main.go", "main.go"},
			part{project, "project/go/go.mod.txt", "go.mod"}, part{project, "project/go/go.sum.txt", "go.sum"},
			part{project, "project/go/cloister.mod.txt", "cloister/go.mod"})
		for _, room := range []string{"connector", "connectorpb", "serve", "calls"} {
			all = append(all, part{plugins.Kits, room, "cloister/plugins/" + room})
		}
	case "python":
		all = append(all, part{plugins.Kits, "python/example/__main__.py", "__main__.py"},
			part{plugins.Kits, "python/cloister_connector", "cloister_connector"},
			part{plugins.Kits, "python/README.md", "cloister_connector/README.md"})
	case "node":
		all = append(all, part{plugins.Kits, "node/example/notebook.js", name + ".js"})
		for _, file := range []string{"connector.js", "server.js", "wire.js", "certificate.js", "connector.json", "package.json", "package-lock.json", "build.mjs", "README.md"} {
			all = append(all, part{plugins.Kits, "node/" + file, "cloister/" + file})
		}
	}
	return all
}

// New writes a project for a channel into dir, whose last part is the connector's
// name and which must not be there yet. It can be built, asked by the suite and
// packed as it is. After an error what was written is taken away again.
func New(dir, language, channel string) (err error) {
	name := filepath.Base(dir)
	if !projectName.MatchString(name) || slices.Contains(taken, name) {
		return fmt.Errorf("%q: %w", name, ErrName)
	}
	if !slices.Contains(Languages, language) {
		return fmt.Errorf("%q: %w: there are %s", language, ErrLanguage, strings.Join(Languages, ", "))
	}
	n := slices.Index(Channels(), channel)
	if n < 0 {
		return fmt.Errorf("%q: %w: there are %s", channel, ErrChannel, strings.Join(Channels(), ", "))
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for _, p := range parts(language, name) {
		if err := p.write(dir, name, channels[n].of(language)); err != nil {
			return fmt.Errorf("writing the project %s: %w", name, err)
		}
	}
	return nil
}

func (p part) write(dir, name string, channel *strings.Replacer) error {
	return fs.WalkDir(p.from, p.path, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(at, "_test.go") {
			return err
		}
		raw, err := fs.ReadFile(p.from, at)
		if err != nil {
			return err
		}
		to := path.Join(p.to, strings.TrimPrefix(at, p.path))
		// The kit is as it is; all else is the author's.
		if !strings.Contains(to, "/") {
			text := channel.Replace(string(raw))
			raw = []byte(strings.NewReplacer("notebook", name, `"../connector.js"`, `"./cloister/connector.js"`).Replace(text))
		}
		full := filepath.Join(dir, filepath.FromSlash(to))
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			return err
		}
		return os.WriteFile(full, raw, 0o666)
	})
}
