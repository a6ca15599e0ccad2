package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func newToken() *cobra.Command {
	return group("token", "Programs that sign in", newTokenCreate(), newTokenList(), newTokenRevoke())
}

func newTokenCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create --role ROLE", Short: "Make a token, print it and nothing else", Args: cobra.NoArgs,
		Long: "Makes a token and prints it and nothing else. It is shown this once.",
	}
	t := daemonFlags(cmd)
	wanted := roleFlags(cmd)
	ttl := cmd.Flags().String("ttl", "90d", "how long it works, at most 366d")
	name := cmd.Flags().String("name", "token", "what it is for, in lists and in the audit")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		roles, err := wanted()
		if err != nil {
			return err
		}
		c, err := t.open()
		if err != nil {
			return err
		}
		var out struct {
			Secret string `json:"secret"`
		}
		if err := c.do(ctx, http.MethodPost, "/v1/tokens", map[string]any{"name": *name, "roles": roles, "ttl": *ttl}, &out); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), plain(out.Secret))
		return err
	})
	return cmd
}

func newTokenList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List tokens", Args: cobra.NoArgs}
	l := listing{cmd: cmd, target: daemonFlags(cmd)}
	l.json = cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = l.run("/v1/tokens", func(raw json.RawMessage) error {
		var all struct {
			Tokens []struct {
				ID      string            `json:"id"`
				Name    string            `json:"name"`
				Roles   map[string]string `json:"roles"`
				By      string            `json:"by"`
				Expires time.Time         `json:"expires"`
				Used    *time.Time        `json:"used"`
			} `json:"tokens"`
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		t := newTable(cmd.OutOrStdout(), "id", "name", "roles", "by", "expires", "used")
		for _, o := range all.Tokens {
			t.row(o.ID, o.Name, roleText(o.Roles), o.By, o.Expires, o.Used)
		}
		return t.end()
	})
	return cmd
}

func newTokenRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "End a token", Args: cobra.ExactArgs(1)}
	t := daemonFlags(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		return c.do(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(args[0]), nil, nil)
	})
	return cmd
}
