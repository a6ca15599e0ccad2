package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/host"
)

func newValidate() *cobra.Command {
	var paths []string
	var preflight bool
	var format string
	cmd := &cobra.Command{
		Use:   "validate [PATH..]",
		Short: "Say everything that is wrong with a configuration",
		Long: `Takes the same steps as a start, without starting: reads files and the *.hcl of
directories in lexical order, checks them as a whole, and lets connectors check
their own settings. Without PATH it is /etc/cloister/cloister.hcl and
/etc/cloister/conf.d. Exit code 0: valid, perhaps with warnings; 1: not.

--preflight looks at the machine as well: the data directory, the master key,
certificates, ports, connectors' programs. Use it on the machine and as the user
of the daemon, while the daemon does not run.`,
		RunE: verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return usage("--format is text or json, not %q", format)
			}
			ds, err := validate(ctx, append(paths, args...), preflight)
			if err != nil {
				return err
			}
			if format == "json" {
				err = ds.WriteJSON(cmd.OutOrStdout())
			} else {
				err = ds.WriteText(cmd.OutOrStdout(), colour(cmd.OutOrStdout()))
			}
			switch {
			case err != nil:
				return err
			case ds.HasErrors():
				fmt.Fprintf(cmd.ErrOrStderr(), "Not valid: %s, %s.\n", counted(ds.Count(config.Error), "error"), counted(ds.Count(config.Warning), "warning"))
				return silent(exitFailed)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Valid, with %s.\n", counted(ds.Count(config.Warning), "warning"))
			return nil
		}),
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "the same as PATH; may be repeated")
	cmd.Flags().BoolVar(&preflight, "preflight", false, "look at the machine as well")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// validate loads a configuration with the connectors at hand.
func validate(ctx context.Context, paths []string, preflight bool) (_ config.Diagnostics, err error) {
	// Where connectors lie stands in the configuration itself.
	first, _ := config.Load(paths, config.LoadOptions{})
	dirs := appliance.Connectors(first.Appliance.Connectors)
	h, closeHost, err := openHost(dirs)
	if err != nil {
		return nil, err
	}
	defer closeHost()
	c, ds := config.Load(paths, config.LoadOptions{Connectors: h})
	if preflight && !ds.HasErrors() {
		ds = append(ds, config.Preflight(ctx, c, dirs, time.Now())...)
	}
	return ds, nil
}

// openHost prepares for connectors that are only asked. Close it when done.
func openHost(dirs []string) (*host.Host, func(), error) {
	parent := os.TempDir()
	if len(parent) > 40 { // the path of a socket is bounded
		parent = "/tmp"
	}
	run, err := os.MkdirTemp(parent, "cloister-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a directory for connectors' sockets: %w", err)
	}
	h, err := host.Open(host.Options{Dirs: dirs, RunDir: run})
	if err != nil {
		os.RemoveAll(run)
		return nil, nil, err
	}
	return h, func() {
		h.Close() // the processes are gone; what they would say helps nobody
		os.RemoveAll(run)
	}, nil
}

func counted(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
