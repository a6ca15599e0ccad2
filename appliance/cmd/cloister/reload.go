package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload", Short: "Let the daemon read its configuration again", Args: cobra.NoArgs,
		Long: `Lets the running daemon read its configuration again, and says what took effect
and what needs a restart. If anything is wrong the mistakes are printed, nothing
changes, and the exit code is 1.`,
	}
	t := daemonFlags(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		out, err := reload(ctx, c)
		if err != nil {
			return err
		}
		for _, what := range out.Applied {
			fmt.Fprintf(cmd.OutOrStdout(), "applied        %s\n", plain(what))
		}
		for _, what := range out.Restart {
			fmt.Fprintf(cmd.OutOrStdout(), "needs restart  %s\n", plain(what))
		}
		if len(out.Applied)+len(out.Restart) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "Nothing has changed.")
		}
		return nil
	})
	return cmd
}

type reloaded struct {
	Applied []string `json:"applied"`
	Restart []string `json:"restart"`
}

// reload asks for it; a wrong configuration comes back as it is printed.
func reload(ctx context.Context, c *client) (out reloaded, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/admin/reload", nil, &out)
	var ae *apiError
	if errors.As(err, &ae) && ae.Text != "" {
		err = &exitError{exitFailed, fmt.Errorf("the configuration is wrong; the old one stays in force\n\n%s", strings.TrimRight(ae.Text, "\n"))}
	}
	return out, err
}
