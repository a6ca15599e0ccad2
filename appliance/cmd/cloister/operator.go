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
)

// roles are what operators and tokens may be.
var roles = []string{"analyst", "marketer", "admin", "auditor"}

func newOperator() *cobra.Command {
	return group("operator", "People who sign in", newOperatorList(), newOperatorAdd(), newOperatorReset())
}

// roleFlags add --role and --publisher.
func roleFlags(cmd *cobra.Command) func() (map[string]string, error) {
	role := cmd.Flags().String("role", "", "one of: "+strings.Join(roles, ", "))
	publishers := cmd.Flags().StringArray("publisher", nil, "the publisher that it is for; may be repeated; without it all of them")
	return func() (map[string]string, error) {
		if !slices.Contains(roles, *role) {
			return nil, usage("--role is one of: %s", strings.Join(roles, ", "))
		}
		out := map[string]string{}
		for _, p := range *publishers {
			out[p] = *role
		}
		if len(out) == 0 {
			out["*"] = *role
		}
		return out, nil
	}
}

func roleText(roles map[string]string) string {
	var out []string
	for p, r := range roles {
		if p == "*" {
			p = "everything"
		}
		out = append(out, r+" of "+p)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func newOperatorList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List operators", Args: cobra.NoArgs}
	l := listing{cmd: cmd, target: daemonFlags(cmd)}
	l.json = cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = l.run("/v1/operators", func(raw json.RawMessage) error {
		var all struct {
			Operators []struct {
				Name    string            `json:"name"`
				Roles   map[string]string `json:"roles"`
				Created time.Time         `json:"created"`
				Seen    *time.Time        `json:"seen"`
			} `json:"operators"`
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		t := newTable(cmd.OutOrStdout(), "name", "roles", "created", "seen")
		for _, o := range all.Operators {
			t.row(o.Name, roleText(o.Roles), o.Created, o.Seen)
		}
		return t.end()
	})
	return cmd
}

type signInLink struct {
	Link    string    `json:"link"`
	Expires time.Time `json:"expires"`
}

func newOperatorAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add NAME --role ROLE", Short: "Add an operator and print the link that lets them in once",
		Args: cobra.ExactArgs(1),
	}
	t := daemonFlags(cmd)
	wanted := roleFlags(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		roles, err := wanted()
		if err != nil {
			return err
		}
		c, err := t.open()
		if err != nil {
			return err
		}
		var out signInLink
		if err := c.do(ctx, http.MethodPost, "/v1/operators", map[string]any{"name": args[0], "roles": roles}, &out); err != nil {
			return err
		}
		return out.print(ctx, cmd, c)
	})
	return cmd
}

func newOperatorReset() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reset NAME", Short: "Print a link that lets an operator in once, to set a new password",
		Args: cobra.ExactArgs(1),
	}
	t := daemonFlags(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		var out signInLink
		if err := c.do(ctx, http.MethodPost, "/v1/operators/"+url.PathEscape(args[0])+"/link", nil, &out); err != nil {
			return err
		}
		return out.print(ctx, cmd, c)
	})
	return cmd
}

// print writes the link whole if it is known where the console is.
func (l signInLink) print(ctx context.Context, cmd *cobra.Command, c *client) error {
	if strings.HasPrefix(l.Link, "/") {
		l.Link = c.console(ctx) + l.Link
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Works once, until %s:\n", cell(l.Expires))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), plain(l.Link))
	return err
}

// console is where browsers find the console; "" if the daemon does not say.
func (c *client) console(ctx context.Context) string {
	if c.token != "" {
		return c.base
	}
	var s applianceStatus
	if c.do(ctx, http.MethodGet, "/v1/admin/status", nil, &s) != nil {
		return ""
	}
	for _, l := range s.Listeners {
		if l.Name == "console" {
			if strings.Contains(l.Address, "://") {
				return strings.TrimRight(l.Address, "/")
			}
			return "http://" + l.Address
		}
	}
	return ""
}
