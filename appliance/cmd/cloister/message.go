package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newMessage() *cobra.Command {
	return group("message", "What failed or is unknown, and sending it again", newMessageList(), newMessageReplay())
}

// troubled says which messages are meant.
type troubled struct{ state, campaign, connector, from, to string }

func (m *troubled) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.state, "state", "", "failed, or unknown: handed over and never answered")
	f.StringVar(&m.campaign, "campaign", "", "of this campaign only")
	f.StringVar(&m.connector, "connector", "", "last handed to this connector only")
	f.StringVar(&m.from, "from", "", "that ended at this time (RFC 3339) or later")
	f.StringVar(&m.to, "to", "", "that ended before this time")
}

// messagePage is how many messages are asked for at once, and how many are
// replayed at once.
const messagePage = 100

// decided is what of a message is listed.
type decided struct {
	Message    string     `json:"message"`
	State      string     `json:"state"`
	Campaign   string     `json:"campaign"`
	Class      string     `json:"class"`
	Channel    string     `json:"channel"`
	Reason     string     `json:"reason"`
	Settled    *time.Time `json:"settled"`
	ReplayedAs string     `json:"replayed_as"`
	Attempts   []struct {
		Connector string `json:"connector"`
	} `json:"attempts"`
	all json.RawMessage // as the daemon says it
}

// each calls fn with the messages that are meant, a page at a time, until all
// were or fn wants no more.
func (m *troubled) each(ctx context.Context, c *client, base string, fn func([]decided) (more bool, err error)) error {
	q := url.Values{"state": {m.state}, "limit": {strconv.Itoa(messagePage)}}
	for name, value := range map[string]string{"campaign": m.campaign, "connector": m.connector, "from": m.from, "to": m.to} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for {
		var page struct {
			Messages []json.RawMessage `json:"messages"`
			Next     string            `json:"next"`
		}
		if err := c.do(ctx, http.MethodGet, base+"/messages?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		messages := make([]decided, len(page.Messages))
		for i, raw := range page.Messages {
			if err := json.Unmarshal(raw, &messages[i]); err != nil {
				return fmt.Errorf("reading what the daemon lists: %w", err)
			}
			messages[i].all = raw
		}
		more, err := fn(messages)
		if err != nil || !more || page.Next == "" {
			return err
		}
		q.Set("cursor", page.Next)
	}
}

func newMessageList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list --state failed|unknown", Short: "List messages that failed, or whose outcome is unknown", Args: cobra.NoArgs,
		Long: "Lists messages that failed for good, or that were handed over and never answered, the\nlatest first. cloister explain says more of one.",
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	var m troubled
	m.flags(cmd)
	limit := cmd.Flags().Int("limit", 1000, "at most so many")
	count := cmd.Flags().Bool("count", false, "say only how many")
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.MarkFlagsMutuallyExclusive("count", "json")
	_ = cmd.MarkFlagRequired("state")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		n, listed := 0, []json.RawMessage{}
		table := newTable(cmd.OutOrStdout(), "settled", "message", "campaign", "channel", "connector", "reason", "replayed as")
		err = m.each(ctx, c, base, func(page []decided) (bool, error) {
			for _, d := range page {
				if n++; *count {
					continue
				}
				if n > *limit {
					return false, nil
				}
				if *asJSON {
					listed = append(listed, d.all)
					continue
				}
				connector, settled := "", any("")
				if len(d.Attempts) > 0 {
					connector = d.Attempts[len(d.Attempts)-1].Connector
				}
				if d.Settled != nil {
					settled = *d.Settled
				}
				table.row(settled, d.Message, d.Campaign, d.Channel, connector, d.Reason, d.ReplayedAs)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		if *count {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), n)
			return err
		}
		if *asJSON {
			err = printListed(cmd, "messages", listed)
		} else {
			err = table.end()
		}
		if err != nil {
			return err
		}
		if n > *limit {
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "and more than %d; --limit lists more\n", *limit)
		}
		return err
	})
	return cmd
}

func newMessageReplay() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay [MESSAGE-ID..]", Short: "Send messages again that failed, or whose outcome is unknown",
		Long: `Sends messages again, each as a new message to the same person, of the same
campaign. It passes the gate as any does: consent, caps, quiet hours, a campaign
that runs. What was replayed before is not sent once more.

Whether a message that is unknown was sent, nobody knows: --perhaps-twice says that
its recipient may get it twice, and stands in the audit. Exit code 3 if some
messages were not replayed.`,
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	var m troubled
	m.flags(cmd)
	twice := cmd.Flags().Bool("perhaps-twice", false, "also if its recipient may get it twice")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		if (len(args) == 0) == (m.state == "") {
			return usage("say which: ids of messages, or --state failed|unknown")
		}
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		r := replay{c: c, base: base, twice: *twice, out: cmd.OutOrStdout()}
		if len(args) > 0 {
			for len(args) > 0 && err == nil {
				n := min(len(args), messagePage)
				err = r.send(ctx, args[:n])
				args = args[n:]
			}
		} else {
			err = m.each(ctx, c, base, func(page []decided) (bool, error) {
				var ids []string
				for _, d := range page {
					if d.ReplayedAs == "" {
						ids = append(ids, d.Message)
					}
				}
				return true, r.send(ctx, ids)
			})
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(r.out, "%d replayed, %d not\n", r.done, r.left); err != nil {
			return err
		}
		if r.left > 0 {
			return silent(exitFound)
		}
		return nil
	})
	return cmd
}

// replay is what a run of the verb did.
type replay struct {
	c          *client
	base       string
	twice      bool
	out        io.Writer
	done, left int
}

func (r *replay) send(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	var all struct {
		Messages []struct {
			Message string `json:"message"`
			As      string `json:"as"`
			Error   *struct {
				Message string `json:"message"`
			} `json:"error"`
		} `json:"messages"`
	}
	if err := r.c.do(ctx, http.MethodPost, r.base+"/messages/replay", map[string]any{"messages": ids, "perhaps_twice": r.twice}, &all); err != nil {
		return err
	}
	for _, one := range all.Messages {
		said := one.As
		if one.Error == nil {
			r.done++
		} else {
			r.left++
			said = "no: " + plain(one.Error.Message)
		}
		if _, err := fmt.Fprintf(r.out, "%s  %s\n", plain(one.Message), said); err != nil {
			return err
		}
	}
	return nil
}
