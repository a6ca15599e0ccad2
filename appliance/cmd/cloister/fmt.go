package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/config"
)

func newFmt() *cobra.Command {
	var check, difference bool
	cmd := &cobra.Command{
		Use:   "fmt [PATH..]",
		Short: "Put the white space of configuration files in order",
		Long: `Rewrites files, and the *.hcl of directories, and lists those that changed.
Comments stay; a file that does not parse is not touched. PATH - reads standard
input and writes standard output. Without PATH it is /etc/cloister/cloister.hcl
and /etc/cloister/conf.d.`,
		RunE: verb(func(_ context.Context, cmd *cobra.Command, args []string) error {
			f := formatter{cmd: cmd, check: check, diff: difference}
			if len(args) == 1 && args[0] == "-" {
				return f.stdin()
			}
			files, ds := config.Files(args)
			f.tell(ds)
			for _, path := range files {
				if err := f.file(path); err != nil {
					return err
				}
			}
			return f.end()
		}),
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; exit code 3 if something would change")
	cmd.Flags().BoolVar(&difference, "diff", false, "show what changes")
	return cmd
}

// formatter goes through files and remembers how it went.
type formatter struct {
	cmd         *cobra.Command
	check, diff bool
	changed     bool
	bad         bool
}

func (f *formatter) tell(ds config.Diagnostics) {
	if len(ds) > 0 {
		f.bad = true
		_ = ds.WriteText(f.cmd.ErrOrStderr(), colour(f.cmd.ErrOrStderr()))
	}
}

func (f *formatter) end() error {
	switch {
	case f.bad:
		return silent(exitFailed)
	case f.check && f.changed:
		return silent(exitFound)
	}
	return nil
}

func (f *formatter) stdin() error {
	src, err := io.ReadAll(io.LimitReader(f.cmd.InOrStdin(), 2<<20))
	if err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	out, ds := config.Format("standard input", src)
	f.tell(ds)
	f.changed = !bytes.Equal(src, out)
	switch {
	case f.bad:
	case f.diff:
		err = f.show("standard input", src, out)
	case !f.check:
		_, err = f.cmd.OutOrStdout().Write(out)
	}
	if err != nil {
		return err
	}
	return f.end()
}

func (f *formatter) file(path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	out, ds := config.Format(path, src)
	f.tell(ds)
	if ds.HasErrors() || bytes.Equal(src, out) {
		return nil
	}
	f.changed = true
	if f.diff {
		if err := f.show(path, src, out); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(f.cmd.OutOrStdout(), path)
	}
	if f.check {
		return nil
	}
	return rewrite(path, out)
}

func (f *formatter) show(path string, src, out []byte) error {
	_, err := f.cmd.OutOrStdout().Write(diff.Diff(path, src, path+" (formatted)", out))
	return err
}

// rewrite puts data in a file's place, so that a crash leaves the old or the
// new. A link stays one: it is its target that changes.
func rewrite(path string, data []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".fmt-*")
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = keepOwner(tmp, st)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("rewriting %s: %w", path, err)
	}
	return nil
}
