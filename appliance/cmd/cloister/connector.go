package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance"
	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func newConnector() *cobra.Command {
	return group("connector", "What speaks to providers", newConnectorList(), newConnectorInspect(), newConnectorCheck(),
		newConnectorPause(), newConnectorResume(), newConnectorDrain(),
		newConnectorNew(), newConnectorTest(), newConnectorKey(), newConnectorPackage(), newConnectorInstall())
}

func newConnectorList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the connectors of a publisher and how they are", Args: cobra.NoArgs}
	l := listing{cmd: cmd, target: daemonFlags(cmd), publisher: publisherFlag(cmd)}
	l.json = cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = l.run("/connectors", func(raw json.RawMessage) error {
		var all struct {
			Connectors []struct {
				Channel     string          `json:"channel"`
				Name        string          `json:"name"`
				Plugin      string          `json:"plugin"`
				Version     string          `json:"version"`
				State       string          `json:"state"`
				Restarts    int             `json:"restarts"`
				Error       string          `json:"error"`
				Unreachable string          `json:"unreachable"`
				Sandbox     json.RawMessage `json:"sandbox"`
				Grade       string          `json:"grade"`
				Missing     string          `json:"missing"`
				Webhook     string          `json:"webhook"`
				Paused      *time.Time      `json:"paused"`
				LeftOut     *time.Time      `json:"left_out"`
				Why         string          `json:"why"`
				InFlight    int             `json:"in_flight"`
			} `json:"connectors"`
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		t := newTable(cmd.OutOrStdout(), "channel", "name", "plugin", "version", "state", "restarts", "grade", "sandbox", "error")
		for _, c := range all.Connectors {
			state := c.State
			if c.Paused != nil {
				state += ", paused"
			}
			if c.LeftOut != nil {
				state += ", left out"
			}
			if c.Unreachable != "" {
				state += ", unreachable"
			}
			t.row(c.Channel, c.Name, c.Plugin, c.Version, state, c.Restarts, c.Grade, strings.Trim(string(c.Sandbox), `"`), c.Error)
		}
		if err := t.end(); err != nil {
			return err
		}
		for _, c := range all.Connectors {
			said := ""
			switch {
			case c.Paused != nil && c.LeftOut != nil && c.InFlight == 0:
				said = fmt.Sprintf("is paused since %s, and took no messages before: %s", c.Paused.Format(time.RFC3339), plain(c.Why))
			case c.Paused != nil && c.LeftOut == nil && c.Why != "":
				said = fmt.Sprintf("paused itself at %s: it %s", c.Paused.Format(time.RFC3339), plain(c.Why))
			case c.Paused != nil && c.InFlight > 0:
				said = fmt.Sprintf("is paused since %s, and has %d messages to answer", c.Paused.Format(time.RFC3339), c.InFlight)
			case c.Paused != nil:
				said = "is paused since " + c.Paused.Format(time.RFC3339)
			case c.LeftOut != nil:
				said = fmt.Sprintf("takes no messages, and is left out until ten messages try it at %s: %s", c.LeftOut.Format(time.RFC3339), plain(c.Why))
			}
			if said != "" {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), c.Name, said); err != nil {
					return err
				}
			}
			if c.Unreachable != "" {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s does not reach its provider: %s\n", c.Name, plain(c.Unreachable)); err != nil {
					return err
				}
			}
			if c.Missing != "" {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is not fully confined: %s\n", c.Name, c.Missing); err != nil {
					return err
				}
			}
			if c.Webhook != "" {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "the provider of %s tells what became of messages at %s\n", c.Name, c.Webhook); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return cmd
}

func newConnectorCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check NAME", Short: "Try whether a connector reaches its provider", Args: cobra.ExactArgs(1),
		Long: "Tries whether a running connector reaches its provider; nothing is sent. Exit code 3 if not.",
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		var out struct {
			OK      bool   `json:"ok"`
			Problem string `json:"problem"`
		}
		if err := c.do(ctx, http.MethodPost, base+"/connectors/"+url.PathEscape(args[0])+"/check", nil, &out); err != nil {
			return err
		}
		if out.OK {
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		}
		fmt.Fprintln(cmd.OutOrStdout(), plain(out.Problem))
		return silent(exitFound)
	})
	return cmd
}

func newConnectorInspect() *cobra.Command {
	var paths []string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect PLUGIN", Short: "Say what a connector is and what its settings may be", Args: cobra.ExactArgs(1),
		Long: `Asks a connector's program what it is and which settings it takes. No daemon is
needed. --config says where further connectors lie.`,
		RunE: verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			c, _ := config.Load(paths, config.LoadOptions{})
			h, closeHost, err := openHost(appliance.Connectors(c.Appliance.Connectors))
			if err != nil {
				return err
			}
			defer closeHost()
			d, s, err := h.Describe(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, map[string]any{"description": d, "schema": s})
			}
			return printSchema(cmd, d, s)
		}),
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "a configuration; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printSchema(cmd *cobra.Command, d connector.Description, s connector.Schema) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s %s: %s\nChannels: %s\n\n", cell(d.Name), cell(d.Version), plain(d.Summary), cell(d.Channels))
	t := newTable(w, "setting", "type", "default", "what it is")
	settingRows(t, "", s.Settings)
	for _, b := range s.Blocks {
		need := ""
		if b.Required {
			need = "needed"
		}
		t.row(b.Name+" { }", "block", need, b.Doc)
		settingRows(t, "  ", b.Settings)
	}
	return t.end()
}

func settingRows(t *table, indent string, all []connector.Setting) {
	for _, s := range all {
		value := "-"
		switch {
		case s.Required:
			value = "needed"
		case s.Default != nil && !s.Sensitive:
			value = fmt.Sprint(s.Default)
		}
		t.row(indent+s.Name, string(s.Type), value, strings.TrimSpace(s.Doc+" "+allowed(s)))
	}
}

// allowed says in a few words what a setting may be.
func allowed(s connector.Setting) string {
	var out []string
	if len(s.Enum) > 0 {
		out = append(out, "One of: "+strings.Join(s.Enum, ", ")+".")
	}
	if s.Type == connector.TypeNumber && s.Min != nil && s.Max != nil {
		out = append(out, fmt.Sprintf("From %v to %v.", *s.Min, *s.Max))
	}
	if s.Sensitive {
		out = append(out, "A secret.")
	}
	if s.Deprecated != "" {
		out = append(out, "Deprecated: "+s.Deprecated+".")
	}
	return strings.Join(slices.Clip(out), " ")
}
