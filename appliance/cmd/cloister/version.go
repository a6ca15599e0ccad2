package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Say which version this is, and which one runs", Args: cobra.NoArgs,
		Long: `Says which version this program is; with --config, --socket or --address also
which one the daemon is.`,
	}
	t := daemonFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON, with the commit and the Go version")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		v := ownVersion()
		if t.named() {
			c, err := t.open()
			if err != nil {
				return err
			}
			var me struct {
				Appliance struct {
					Version string `json:"version"`
				} `json:"appliance"`
			}
			if err := c.do(ctx, http.MethodGet, "/v1/me", nil, &me); err != nil {
				return err
			}
			v.Daemon = me.Appliance.Version
		}
		if *asJSON {
			return printJSON(cmd, v)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "cloister %s\n", v.Version)
		if v.Daemon != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "daemon %s\n", plain(v.Daemon))
		}
		return nil
	})
	return cmd
}

type versions struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
	Daemon  string `json:"daemon,omitempty"`
}

func ownVersion() versions {
	v := versions{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	return v
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
