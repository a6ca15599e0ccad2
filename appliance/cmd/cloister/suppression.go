package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance/csv"
	"github.com/cloisterhq/cloister/appliance/people"
)

func newSuppression() *cobra.Command {
	return group("suppression", "Addresses to which nothing is sent, whoever has them",
		newSuppressionShow(), newSuppressionList(), newSuppressionFind(), newSuppressionChange(false), newSuppressionChange(true), newSuppressionImport())
}

// suppressionPart is how many addresses are sent at once.
const suppressionPart = 5000

func newSuppressionShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show how many addresses are on the list, and why", Args: cobra.NoArgs}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		c, base, err := t.of(ctx, *publisher)
		if err != nil {
			return err
		}
		var all struct {
			Counts map[string]int64 `json:"counts"`
		}
		if err := c.do(ctx, http.MethodGet, base+"/suppression", nil, &all); err != nil {
			return err
		}
		table := newTable(cmd.OutOrStdout(), "reason", "addresses")
		for _, reason := range people.Reasons {
			table.row(reason, all.Counts[reason])
		}
		return table.end()
	})
	return cmd
}

// of opens the daemon, and gives where a publisher is found there.
func (t *target) of(ctx context.Context, publisher string) (c *client, base string, err error) {
	if c, err = t.open(); err != nil {
		return nil, "", err
	}
	base, err = c.publisher(ctx, publisher)
	return c, base, err
}

func newSuppressionList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List what is on the list", Args: cobra.NoArgs,
		Long: "Lists what is on the suppression list, in no order that means anything. Only keyed\nhashes of addresses are kept: an address is shown while somebody has it.",
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	reason := cmd.Flags().String("reason", "", "only for this reason: "+strings.Join(people.Reasons, ", "))
	limit := cmd.Flags().Int("limit", 1000, "at most so many")
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
		c, base, err := t.of(ctx, *publisher)
		if err != nil {
			return err
		}
		q := url.Values{"limit": {strconv.Itoa(min(1000, max(1, *limit)))}}
		if *reason != "" {
			q.Set("reason", *reason)
		}
		table := newTable(cmd.OutOrStdout(), "since", "reason", "channel", "address", "person")
		listed := []json.RawMessage{}
		end := func() error {
			if *asJSON {
				return printListed(cmd, "addresses", listed)
			}
			return table.end()
		}
		for n := 0; ; {
			var page struct {
				Addresses []json.RawMessage `json:"addresses"`
				Next      string            `json:"next"`
			}
			if err := c.do(ctx, http.MethodGet, base+"/suppression/addresses?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			for _, raw := range page.Addresses {
				if n++; n > *limit {
					if err := end(); err != nil {
						return err
					}
					_, err := fmt.Fprintf(cmd.ErrOrStderr(), "and more than %d; --limit lists more\n", *limit)
					return err
				}
				var a struct {
					Reason   string     `json:"reason"`
					Since    *time.Time `json:"since"`
					Identity string     `json:"identity"`
					Channel  string     `json:"channel"`
					Address  string     `json:"address"`
				}
				if err := json.Unmarshal(raw, &a); err != nil {
					return fmt.Errorf("reading what the daemon lists: %w", err)
				}
				listed = append(listed, raw)
				since := any("")
				if a.Since != nil {
					since = *a.Since
				}
				table.row(since, a.Reason, a.Channel, a.Address, a.Identity)
			}
			if page.Next == "" {
				return end()
			}
			q.Set("cursor", page.Next)
		}
	})
	return cmd
}

func newSuppressionFind() *cobra.Command {
	cmd := &cobra.Command{Use: "find CHANNEL ADDRESS", Short: "Say whether an address is on the list, and why", Args: cobra.ExactArgs(2)}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, base, err := t.of(ctx, *publisher)
		if err != nil {
			return err
		}
		var found struct {
			Suppressed bool       `json:"suppressed"`
			Reason     string     `json:"reason"`
			Since      *time.Time `json:"since"`
		}
		if err := c.do(ctx, http.MethodPost, base+"/suppression/find", map[string]string{"channel": args[0], "address": args[1]}, &found); err != nil {
			return err
		}
		if !found.Suppressed {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "It is not on the list.")
			return err
		}
		since := ""
		if found.Since != nil {
			since = " since " + found.Since.Format(time.RFC3339)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n", found.Reason, since)
		return err
	})
	return cmd
}

// suppress sends addresses in parts, and says what became of them.
func suppress(ctx context.Context, cmd *cobra.Command, c *client, base, verb, channel string, all []string) error {
	done, kept := 0, 0
	for part := range slices.Chunk(all, suppressionPart) {
		var out struct{ Addresses, Kept int }
		in := map[string]any{"channel": channel, "addresses": part}
		if err := c.do(ctx, http.MethodPost, base+"/suppression/"+verb, in, &out); err != nil {
			return fmt.Errorf("after %d addresses: %w", done, err)
		}
		done, kept = done+out.Addresses, kept+out.Kept
	}
	text := fmt.Sprintf("%d addresses are on the list", done)
	if verb == "remove" {
		text = fmt.Sprintf("%d addresses are off the list", done-kept)
	}
	if kept > 0 && verb == "add" {
		text += fmt.Sprintf(", %d of them were for another reason", kept)
	} else if kept > 0 {
		text += fmt.Sprintf(", %d are kept on it: nobody has them, or who had them was erased", kept)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text+".")
	return err
}

func newSuppressionChange(remove bool) *cobra.Command {
	cmd := &cobra.Command{Use: "add CHANNEL ADDRESS..", Short: "Send nothing to these addresses any more", Args: cobra.MinimumNArgs(2)}
	verbName := "add"
	if remove {
		verbName = "remove"
		cmd.Use, cmd.Short = "remove CHANNEL ADDRESS..", "Take addresses off the list"
		cmd.Long = "Takes addresses off the suppression list: those that an operator put there, and those\nthat bounced or complained while somebody has them. Who was erased comes off by\nagreeing anew."
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, base, err := t.of(ctx, *publisher)
		if err != nil {
			return err
		}
		return suppress(ctx, cmd, c, base, verbName, args[0], args[1:])
	})
	return cmd
}

func newSuppressionImport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import --channel CHANNEL FILE", Short: "Put the addresses of a file on the list", Args: cobra.ExactArgs(1),
		Long: "Puts the addresses of a file on the suppression list: one a line, or with --column\nthose of a column of a CSV file. - is standard input.",
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	channel := cmd.Flags().String("channel", "", "email, sms or push")
	column := cmd.Flags().String("column", "", "the file is CSV with a header, and the addresses are in this column")
	_ = cmd.MarkFlagRequired("channel")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		in := cmd.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		all, err := addresses(in, *column)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if len(all) == 0 {
			return fmt.Errorf("%s: there is no address in it", args[0])
		}
		c, base, err := t.of(ctx, *publisher)
		if err != nil {
			return err
		}
		return suppress(ctx, cmd, c, base, "add", *channel, all)
	})
	return cmd
}

// addresses reads one a line, or those of a column.
func addresses(in io.Reader, column string) (all []string, err error) {
	if column == "" {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if one := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff")); one != "" {
				all = append(all, one)
			}
		}
		return all, lines.Err()
	}
	r := csv.NewReader(in, ',')
	var rec csv.Record
	at := -1
	for {
		switch err := r.Read(&rec); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case rec.Err != nil:
			return nil, fmt.Errorf("line %d: %w", rec.Line, rec.Err)
		}
		if at < 0 {
			if at = slices.Index(rec.Cells, column); at < 0 {
				return nil, fmt.Errorf("there is no column %q; there are %s", column, strings.Join(rec.Cells, ", "))
			}
			continue
		}
		if at < len(rec.Cells) && strings.TrimSpace(rec.Cells[at]) != "" {
			all = append(all, strings.Clone(strings.TrimSpace(csv.Unguard(rec.Cells[at]))))
		}
	}
}
