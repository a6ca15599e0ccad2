// Package author is what "cloister connector" does for who writes a connector: a
// project to begin with, the suite without go test, a parcel to hand over.
//
// Failure rules: an author's program is started confined, as the appliance
// starts it, and never from where it lies.
package author

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
	"github.com/cloisterhq/cloister/plugins/parcel"
)

// Program is an author's program in a folder of its own, where only this user
// can write, with a host that can start it. Close it.
type Program struct {
	Name string // of the plugin
	Path string
	Host *host.Host
	dir  string
}

// Open takes a program, or a project's folder, whose program has its name. dir is
// where sockets go: a path that is short. log gets what the program prints while
// it is asked what it is.
func Open(path, dir string, log *slog.Logger) (*Program, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		folder := path
		path = filepath.Join(folder, filepath.Base(folder))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s holds no program %s: build it first (make), or name the program", folder, filepath.Base(path))
		}
	}
	own, err := os.MkdirTemp(dir, "cloister-")
	if err != nil {
		return nil, err
	}
	p := &Program{Name: filepath.Base(path), dir: own, Path: filepath.Join(own, "bin", filepath.Base(path))}
	if err := p.open(path, log); err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	return p, nil
}

func (p *Program) open(from string, log *slog.Logger) error {
	raw, err := readProgram(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Dir(p.Path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(p.Path, raw, 0o700); err != nil {
		return err
	}
	p.Host, err = host.Open(host.Options{Dirs: []string{filepath.Dir(p.Path)}, RunDir: filepath.Join(p.dir, "run"), Logger: log})
	return err
}

func readProgram(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, parcel.MaxProgram+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(raw) > parcel.MaxProgram {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, parcel.MaxProgram>>20)
	}
	return raw, nil
}

// Close ends what was started and removes the folder.
func (p *Program) Close() error { return errors.Join(p.Host.Close(), os.RemoveAll(p.dir)) }

// Pack writes the program's parcel.
func (p *Program) Pack(ctx context.Context, key ed25519.PrivateKey, w io.Writer) (parcel.Manifest, error) {
	raw, err := readProgram(p.Path)
	if err != nil {
		return parcel.Manifest{}, err
	}
	platform, err := parcel.Platform(raw)
	if err != nil {
		return parcel.Manifest{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	if !parcel.RunsHere(platform) {
		return parcel.Manifest{}, fmt.Errorf("%s is for %s: it must be started to hear what it is, so pack it on such a machine", p.Name, platform)
	}
	m, err := p.Host.Manifest(ctx, p.Name)
	if err != nil {
		return parcel.Manifest{}, err
	}
	if m.Name != p.Name {
		return parcel.Manifest{}, fmt.Errorf("the program calls itself %q, and its file is %q: name them alike", m.Name, p.Name)
	}
	m.Platform = platform
	return m, parcel.Write(w, m, raw, key)
}

// ErrNoBlock means that a configuration has no connector of the plugin.
var ErrNoBlock = errors.New("there is no connector block with this plugin")

// Settings are those of the program's first block in a configuration. With
// schemaOnly the program is not asked what it thinks of them. They are nil if
// there are errors among the diagnostics.
func (p *Program) Settings(file string, schemaOnly bool) (connector.Settings, config.Diagnostics, error) {
	c, ds := config.Load([]string{file}, config.LoadOptions{Connectors: asked{p.Host, schemaOnly}})
	if ds.HasErrors() {
		return nil, ds, nil
	}
	for _, one := range c.Publishers {
		for _, x := range one.Connectors {
			if x.Plugin == p.Name {
				return x.Settings, ds, nil
			}
		}
	}
	return nil, ds, fmt.Errorf("%s: %w: plugin = %q", file, ErrNoBlock, p.Name)
}

// Needs is a setting that must be written, "" if there is none.
func (p *Program) Needs(ctx context.Context) (string, error) {
	_, schema, err := p.Host.Describe(ctx, p.Name)
	if err != nil {
		return "", err
	}
	for _, s := range schema.Settings {
		if s.Required {
			return s.Name, nil
		}
	}
	for _, b := range schema.Blocks {
		if b.Required {
			return b.Name, nil
		}
	}
	return "", nil
}

// asked answers config.
type asked struct {
	*host.Host
	schemaOnly bool
}

func (a asked) Validate(ctx context.Context, plugin string, s connector.Settings, require string) ([]connector.Problem, error) {
	if a.schemaOnly {
		return nil, nil
	}
	return a.Host.Validate(ctx, plugin, s, require)
}

// Test runs the suite and tells the results in words; it says how many demands
// were not met.
func (p *Program) Test(ctx context.Context, t conformance.Target, w io.Writer) (int, error) {
	t.Path = p.Path
	results, err := conformance.Run(ctx, t)
	failed, werr := conformance.Write(w, results)
	return failed, errors.Join(err, werr)
}
