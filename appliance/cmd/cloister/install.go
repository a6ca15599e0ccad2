package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/host"
	"github.com/cloisterhq/cloister/plugins/parcel"
)

func newConnectorInstall() *cobra.Command {
	var paths []string
	var dir string
	var o host.InstallOptions
	cmd := &cobra.Command{
		Use: "install PARCEL", Short: "Install a connector that a trusted author has signed", Args: cobra.ExactArgs(1),
		Long: `Verifies a parcel: that an author signed it whose key the configuration names, and
that its program is the one that was signed. Then lays the program, with its card
beside it, into the folder for connectors, where only root can write, and prints
the block to add. Nothing is started. Run it as root, and then cloister reload.

  author "beepers" {
    key = "ed25519:…" # as the author tells it, by another way than the parcel
  }

The folder is the first of connector_dirs, without one
` + appliance.LocalConnectors + `. A newer version of the same
author's takes the place of the older one; anything else of that name is kept,
unless you say --replace.

With --card-only the program stays away, on any kind of machine: cloister validate
then knows its settings where it is not installed.`,
		RunE: verb(func(_ context.Context, cmd *cobra.Command, args []string) error {
			c, ds := config.Load(paths, config.LoadOptions{})
			if ds.HasErrors() {
				if err := ds.WriteText(cmd.ErrOrStderr(), colour(cmd.ErrOrStderr())); err != nil {
					return err
				}
				return silent(exitFailed)
			}
			keys, names, err := trusted(c)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			p, err := parcel.Open(f, keys...)
			var unknown *parcel.Untrusted
			if errors.As(err, &unknown) {
				return fmt.Errorf(`%s: %w
It is not installed. If its author tells you this very key by another way, write

author "NAME" {
  key = %q
}`, args[0], err, unknown.Author)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			switch {
			case dir != "":
			case len(c.Appliance.Connectors) > 0:
				dir = c.Appliance.Connectors[0]
			default:
				dir = appliance.LocalConnectors
			}
			if dir, err = filepath.Abs(dir); err != nil {
				return err
			}
			if at := host.Shadow(appliance.Connectors(c.Appliance.Connectors), dir, p.Name); at != "" && !o.CardOnly {
				return fmt.Errorf("%s is there already, and would be found before %s", at, filepath.Join(dir, p.Name))
			}
			done, err := host.Install(dir, p, o)
			if errors.Is(err, host.ErrTaken) {
				return fmt.Errorf("%w; --replace puts this one in its place", err)
			}
			if err != nil {
				return err
			}
			block, err := p.Block()
			if err != nil {
				return err
			}
			what := "is installed"
			if !done {
				what = "was installed already"
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(cmd.ErrOrStderr(), "%s %s by %s %s in %s.\n", cell(p.Name), cell(p.Version), cell(names[p.Author]), what, dir)
			if o.CardOnly {
				return nil
			}
			next := "Add this to a publisher, fill it in, cloister validate, cloister reload"
			if old := outdated(c, p.Name, p.SHA256); len(old) > 0 {
				for _, one := range old {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s runs this plugin, but its sha256 is not that of this program.\n", one)
				}
				next = "Write the sha256 of this one there, cloister validate, cloister reload"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s:\n\n", next)
			_, err = fmt.Fprint(w, block)
			return err
		}),
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "a configuration; may be repeated")
	cmd.Flags().StringVar(&dir, "dir", "", "the folder to install into")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "take the place of whatever has the name, also of a newer version")
	cmd.Flags().BoolVar(&o.CardOnly, "card-only", false, "without the program")
	return cmd
}

// outdated names the connectors that run the plugin and whose blocks do not say
// that it is to be this program of it.
func outdated(c *config.Config, plugin, sum string) (out []string) {
	for _, p := range c.Publishers {
		for _, one := range p.Connectors {
			if one.Plugin == plugin && one.SHA256 != sum {
				out = append(out, fmt.Sprintf("connector %q %q of publisher %q", one.Channel, one.Name, p.Name))
			}
		}
	}
	return out
}
