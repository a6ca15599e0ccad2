package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newPerson() *cobra.Command {
	return group("person", "The rights of a person: to see, to take along, to be forgotten",
		newPersonShow(), newPersonExport(), newPersonDemerge(), newPersonErase())
}

// personVerb is what the verbs about a person have in common.
type personVerb struct {
	target    *target
	publisher *string
}

func newPersonVerb(cmd *cobra.Command) *personVerb {
	cmd.Args = cobra.ExactArgs(1)
	return &personVerb{daemonFlags(cmd), publisherFlag(cmd)}
}

// open gives the paths of the publisher and of the person.
func (v *personVerb) open(ctx context.Context, identity string) (c *client, base, person string, err error) {
	if c, err = v.target.open(); err != nil {
		return nil, "", "", err
	}
	if base, err = c.publisher(ctx, *v.publisher); err != nil {
		return nil, "", "", err
	}
	return c, base, base + "/people/" + url.PathEscape(identity), nil
}

func newPersonShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show IDENTITY", Short: "Print what is known of a person, as JSON"}
	v := newPersonVerb(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, _, person, err := v.open(ctx, args[0])
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := c.do(ctx, http.MethodGet, person, nil, &raw); err != nil {
			return err
		}
		return printJSON(cmd, raw)
	})
	return cmd
}

// timelinePage is how many events are fetched at once: the most there are.
const timelinePage = 10_000

func newPersonExport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export IDENTITY", Short: "Print everything about a person, as NDJSON",
		Long: `Prints everything about a person as NDJSON: first the person, then each event,
the newest first.`,
	}
	v := newPersonVerb(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, _, person, err := v.open(ctx, args[0])
		if err != nil {
			return err
		}
		var known json.RawMessage
		if err := c.do(ctx, http.MethodGet, person, nil, &known); err != nil {
			return err
		}
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetEscapeHTML(false)
		if err := e.Encode(map[string]json.RawMessage{"person": known}); err != nil {
			return err
		}
		return timeline(ctx, c, person, func(one json.RawMessage) error {
			return e.Encode(map[string]json.RawMessage{"event": one})
		})
	})
	return cmd
}

// timeline gives each event of a person. A page holds what lies before an
// instant, so the next one is asked for from just behind the last event, and
// what was given of that instant already is left out.
func timeline(ctx context.Context, c *client, person string, each func(json.RawMessage) error) error {
	var last time.Time
	given := 0 // events of the instant last
	for {
		path := fmt.Sprintf("%s/timeline?limit=%d", person, timelinePage)
		if !last.IsZero() {
			path += "&before=" + url.QueryEscape(last.Add(time.Microsecond).Format(time.RFC3339Nano))
		}
		var page struct {
			Events []json.RawMessage `json:"events"`
		}
		if err := c.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return err
		}
		skip, fresh := given, 0
		for _, one := range page.Events {
			var at struct {
				TS time.Time `json:"ts"`
			}
			if err := json.Unmarshal(one, &at); err != nil {
				return err
			}
			if at.TS.Equal(last) && skip > 0 {
				skip--
				continue
			}
			if !at.TS.Equal(last) {
				last, given = at.TS, 0
			}
			given++
			fresh++
			if err := each(one); err != nil {
				return err
			}
		}
		switch {
		case len(page.Events) < timelinePage:
			return nil
		case fresh == 0:
			return fmt.Errorf("more than %d events at %s: the rest cannot be exported", timelinePage, last.Format(time.RFC3339Nano))
		}
	}
}

func newPersonDemerge() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demerge IDENTITY", Short: "Part again what was joined into one person",
		Long: `Parts again what was joined into one person: each gets the events, attributes and
consents back that were theirs. "person show" lists what was joined, when and
why. A later login does not join them again. Prints how many were parted.`,
	}
	v := newPersonVerb(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, _, person, err := v.open(ctx, args[0])
		if err != nil {
			return err
		}
		var out struct {
			Parted int `json:"parted"`
		}
		if err := c.do(ctx, http.MethodPost, person+"/demerge", nil, &out); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), out.Parted)
		return err
	})
	return cmd
}

func newPersonErase() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erase IDENTITY", Short: "Forget a person for good",
		Long: `Forgets a person. From the answer on no question and no message knows them; then
their bytes go, and a certificate is made. Prints the number of the request.
It cannot be undone: --yes is needed where nobody can be asked.`,
	}
	v := newPersonVerb(cmd)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		if !*yes {
			if !terminal(cmd.OutOrStdout()) {
				return usage("erasing cannot be undone: say --yes")
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Forget %s for good? Type yes: ", plain(args[0]))
			line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
			if strings.TrimSpace(line) != "yes" {
				return fmt.Errorf("nothing was erased")
			}
		}
		c, _, person, err := v.open(ctx, args[0])
		if err != nil {
			return err
		}
		var out struct {
			Request string `json:"request"`
		}
		if err := c.do(ctx, http.MethodDelete, person, nil, &out); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), plain(out.Request))
		return err
	})
	return cmd
}
