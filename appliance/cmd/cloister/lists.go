package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func newLists() *cobra.Command {
	return group("list", "Look at uploaded lists of people, delete them; import list uploads one", newListShow(), newListDelete())
}

func newListShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the lists and how many people are on them", Args: cobra.NoArgs}
	l := listing{cmd: cmd, target: daemonFlags(cmd), publisher: publisherFlag(cmd)}
	l.json = cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = l.run("/lists", func(raw json.RawMessage) error {
		var all struct {
			Lists []struct {
				Name      string     `json:"name"`
				People    int64      `json:"people"`
				Unknown   int64      `json:"unknown"`
				Changed   *time.Time `json:"changed"`
				Uploading bool       `json:"uploading"`
			} `json:"lists"`
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		t := newTable(cmd.OutOrStdout(), "name", "people", "unknown", "changed", "state")
		for _, one := range all.Lists {
			changed, state := any(""), "ready"
			if one.Changed != nil {
				changed = *one.Changed
			}
			if one.Uploading {
				state = "uploading"
			}
			t.row(one.Name, one.People, one.Unknown, changed, state)
		}
		return t.end()
	})
	return cmd
}

func newListDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME", Short: "Delete a list", Args: cobra.ExactArgs(1)}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		return c.do(ctx, http.MethodDelete, base+"/lists/"+url.PathEscape(args[0]), nil, nil)
	})
	return cmd
}
