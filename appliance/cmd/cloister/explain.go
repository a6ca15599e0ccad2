package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain MESSAGE-ID",
		Short: "Say why this person got, or did not get, this message",
		Args:  cobra.ExactArgs(1),
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		raw, err := decision(ctx, c, *publisher, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd, raw)
		}
		return printDecision(cmd, raw)
	})
	return cmd
}

// decision finds a message; without a publisher's name, wherever it is. An id is
// unique over all of them.
func decision(ctx context.Context, c *client, publisher, id string) (raw json.RawMessage, err error) {
	all, err := c.publishers(ctx, publisher)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("there is no publisher")
	for _, base := range all {
		err = c.do(ctx, http.MethodGet, base+"/messages/"+url.PathEscape(id), nil, &raw)
		var ae *apiError
		if !errors.As(err, &ae) || ae.Status != http.StatusNotFound {
			return raw, err
		}
	}
	return nil, err
}

// first are the fields of a decision that answer the question; the others
// follow in the order of their names.
var first = []string{"message", "state", "reason", "detail", "campaign", "revision", "variant", "person", "channel", "purpose", "class", "basis", "consent"}

func printDecision(cmd *cobra.Command, raw json.RawMessage) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	order := slices.Clone(first)
	var rest []string
	for name := range fields {
		if !slices.Contains(first, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	for _, name := range append(order, rest...) {
		value, there := fields[name]
		if !there || string(value) == `""` || string(value) == "null" {
			continue
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-14s %s\n", name, plain(text)); err != nil {
			return err
		}
	}
	return nil
}
