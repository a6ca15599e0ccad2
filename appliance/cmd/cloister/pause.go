package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func newConnectorPause() *cobra.Command {
	cmd := connectorVerb("pause", "Keep a connector from messages until it is resumed", nil)
	cmd.Long = "Keeps a connector from messages, over restarts too, until it is resumed: they go to\nthe others of its channel, or wait until they expire. What it was given already it\nstill answers; drain waits for that."
	return cmd
}

func newConnectorResume() *cobra.Command {
	return connectorVerb("resume", "Let a paused connector have messages again", nil)
}

func newConnectorDrain() *cobra.Command {
	cmd := connectorVerb("drain", "Pause a connector and wait until it has answered all that it was given", drained)
	cmd.Long = "Pauses a connector and waits until it has answered all that it was given. Exit\ncode 3 if that takes longer than --timeout; it stays paused."
	cmd.Flags().Duration("timeout", time.Minute, "how long to wait")
	return cmd
}

// paused is what the daemon answers of a connector.
type paused struct {
	Paused   *time.Time `json:"paused"`
	InFlight int        `json:"in_flight"`
}

// connectorVerb asks the daemon to do something to a connector, until done says
// that it was done; nil = once.
func connectorVerb(name, short string, done func(cmd *cobra.Command, began time.Time, p paused) (bool, error)) *cobra.Command {
	cmd := &cobra.Command{Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1)}
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
		for began := time.Now(); ; {
			var p paused
			if err := c.do(ctx, http.MethodPost, base+"/connectors/"+url.PathEscape(args[0])+"/"+name, nil, &p); err != nil {
				return err
			}
			if done == nil {
				return nil
			}
			if over, err := done(cmd, began, p); over || err != nil {
				return err
			}
		}
	})
	return cmd
}

func drained(cmd *cobra.Command, began time.Time, p paused) (bool, error) {
	if p.InFlight == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "drained")
		return true, err
	}
	most, err := cmd.Flags().GetDuration("timeout")
	if err != nil {
		return false, err
	}
	if time.Since(began) < most {
		return false, nil
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d messages are not answered yet\n", p.InFlight); err != nil {
		return false, err
	}
	return true, silent(exitFound)
}
