package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"
)

// listing is a verb that gets one thing from the daemon and prints it, as it is
// with --json.
type listing struct {
	cmd       *cobra.Command
	target    *target
	publisher *string // nil = of the whole appliance
	json      *bool
}

func (l *listing) run(path string, show func(json.RawMessage) error) func(*cobra.Command, []string) error {
	return verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
		c, err := l.target.open()
		if err != nil {
			return err
		}
		base := ""
		if l.publisher != nil {
			if base, err = c.publisher(ctx, *l.publisher); err != nil {
				return err
			}
		}
		var raw json.RawMessage
		if err := c.do(ctx, http.MethodGet, base+path, nil, &raw); err != nil {
			return err
		}
		if *l.json {
			return printJSON(l.cmd, raw)
		}
		return show(raw)
	})
}

// printListed prints what was listed by pages as one list.
func printListed(cmd *cobra.Command, name string, all []json.RawMessage) error {
	return printJSON(cmd, map[string][]json.RawMessage{name: all})
}
