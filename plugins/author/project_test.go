package author

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// What is built of it is tried by appliance/e2e's TestAuthor.
func TestNew(t *testing.T) {
	for language, program := range map[string]string{"go": "main.go", "python": "__main__.py", "node": "two-words.js"} {
		t.Run(language, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "two-words")
			if err := New(dir, language, "sms"); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{program, "Makefile", "README.md", "example.hcl", "wrong.hcl", ".gitignore"} {
				raw, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil || !strings.Contains(string(raw), "two-words") {
					t.Errorf("%s does not name the connector: %v", name, err)
				}
				if strings.Contains(strings.ToLower(string(raw)), "notebook") {
					t.Errorf("%s names the example's", name)
				}
			}
			err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				if strings.HasSuffix(path, "_test.go") {
					t.Errorf("%s is no part of the kit", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if err := New(dir, language, "sms"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over one that is there: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
				t.Errorf("and it was taken away: %v", err)
			}
		})
	}
}

// TestNewChannel: nothing of the examples' channel is left in a project of another,
// and all that is a channel's is there.
func TestNewChannel(t *testing.T) {
	for language, program := range map[string]string{"go": "main.go", "python": "__main__.py", "node": "beeper.js"} {
		for _, c := range channels {
			dir := filepath.Join(t.TempDir(), "beeper")
			if err := New(dir, language, c.name); err != nil {
				t.Fatal(err)
			}
			for file, wants := range map[string][]string{
				program:       {`"` + c.name + `"`, "only " + c.name, "Writes " + c.writes, c.address, c.reason, c.fields[language]},
				"README.md":   {c.lacks},
				"example.hcl": {`connector "` + c.name + `"`},
				"wrong.hcl":   {`connector "` + c.name + `"`},
			} {
				raw, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range wants {
					if !strings.Contains(string(raw), want) {
						t.Errorf("%s for %s: %s lacks %q", language, c.name, file, want)
					}
				}
				if c.name != "sms" && regexp.MustCompile(`(?i)\bsms\b|number`).Match(raw) {
					t.Errorf("%s for %s: %s speaks of sms", language, c.name, file)
				}
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name, language, channel string
		want                    error
	}{
		{"Beeper", "go", "sms", ErrName}, {"1beeper", "go", "sms", ErrName}, {"a.b", "go", "sms", ErrName}, {strings.Repeat("a", 65), "go", "sms", ErrName},
		{"cloister", "go", "sms", ErrName}, {"test", "go", "sms", ErrName}, {"cloister_connector", "python", "sms", ErrName},
		{"beeper", "", "sms", ErrLanguage}, {"beeper", "cobol", "sms", ErrLanguage}, {"beeper", "go", "", ErrChannel}, {"beeper", "node", "pigeon", ErrChannel},
	} {
		dir := filepath.Join(t.TempDir(), c.name)
		if err := New(dir, c.language, c.channel); !errors.Is(err, c.want) {
			t.Errorf("%q in %q for %q: %v", c.name, c.language, c.channel, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q in %q: something is there", c.name, c.language)
		}
	}
}

// A project's modules are of the versions that the house is tried with. Where they
// are not: lay a project out, "go get" what differs in cloister/ and in the
// project, "go mod tidy" in both, and take go.mod, go.sum and cloister/go.mod back.
func TestModules(t *testing.T) {
	required := func(file string) map[string]string {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := modfile.Parse(file, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{"go": m.Go.Version}
		for _, r := range m.Require {
			out[r.Mod.Path] = r.Mod.Version
		}
		return out
	}
	house := required("../../go.mod")
	for _, file := range []string{"project/go/go.mod.txt", "project/go/cloister.mod.txt"} {
		for path, version := range required(file) {
			if path != "github.com/cloisterhq/cloister" && house[path] != version {
				t.Errorf("%s: %s %s, and the house has %q", file, path, version, house[path])
			}
		}
	}
	sums, err := os.ReadFile("project/go/go.sum.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^google.golang.org/grpc ` + regexp.QuoteMeta(house["google.golang.org/grpc"]) + ` h1:`).Match(sums) {
		t.Error("project/go/go.sum.txt lacks what go.mod needs")
	}
}
