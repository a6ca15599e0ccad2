package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func newImport() *cobra.Command {
	return group("import", "Bring in what was collected elsewhere",
		newImportVerb("events", "Import events", `A line is a JSON object:
{"user": "ann", "event": "Charged", "ts": "2026-01-02T03:04:05Z", "props": {"amount": 12}}
with "anonymous" (a device) instead of, or beside, "user"; "id" if it has one of
its own. "times" names the props that are instants.`),
		newImportVerb("profiles", "Import profiles", `A line is a JSON object:
{"user": "ann", "profile": {"plan": "gold"},
 "consent": [{"purpose": "offers", "channel": "email", "granted": true}],
 "channels": {"email": "ann@example.com"}, "devices": ["phone-1"]}
of which "user" is needed; "ts" says when it became known. Lines are taken in
their order: the last word about a person holds.`),
		newImportList())
}

// newImportList makes the verb that uploads a list: one part after the other,
// and in force with the last.
func newImportList() *cobra.Command {
	var name string
	var add bool
	cmd := importCommand("list --name NAME FILE", "Import a list of people", `A line is a person's identity, as it is or as {"user": "ann"}. The list takes
the place of one of the same name when all of it is in; with --add people are
added to it as they come. Who is not known yet is counted and not kept.`, func(base, _ string) (importer, error) {
		to := base + "/lists/" + url.PathEscape(name)
		if add {
			to += "?mode=add"
		}
		return importer{url: to, list: true}, nil
	})
	cmd.Args = cobra.ExactArgs(1)
	cmd.Flags().StringVar(&name, "name", "", "the list's name")
	cmd.Flags().BoolVar(&add, "add", false, "add to the list instead of replacing it")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic(err) // the flag is there
	}
	return cmd
}

// newImportVerb makes a verb. One part is sent after the other: of what a
// person did at one instant, what comes later in the file came later, and of
// profiles the last word holds.
func newImportVerb(kind, short, form string) *cobra.Command {
	var o csvFlags
	form += `

CSV has a header. A column that is called as a member of the line is that
member, --map user=customer_id says which other one is, and --set event=Bought
gives one to every line. All other columns are props, or the profile, under
their own names; cells are texts, empty ones nothing, unless --type says else:
--type amount=number --type '*=auto'. Instants are RFC 3339, unless --time-layout
is unix, unix-ms, or says how 2006-01-02 15:04:05 is written, in --zone.`
	cmd := importCommand(kind+" FILE..", short, form, func(base, path string) (importer, error) {
		t, err := o.lines(kind, path)
		return importer{url: base + "/import/" + kind, csv: t}, err
	})
	o.flags(cmd)
	return cmd
}

// importCommand makes a verb that imports files; to says where what lies below a
// publisher's part of the API goes, and how a file is read.
func importCommand(use, short, form string, to func(base, path string) (importer, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + ` from files of lines, also compressed by gzip or zstd; - is standard input.

` + form + `

What cannot be taken is written to FILE.rejects, with the line's number and the
reason; mended there, that file is imported as any other. An import that was interrupted goes on where it was when the same command
is given again; how far it came stands in FILE.progress. Both lie in --dir.`,
		Args: cobra.MinimumNArgs(1),
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	dir := cmd.Flags().String("dir", ".", "where rejects and progress are written")
	asJSON := cmd.Flags().Bool("json", false, "the result as JSON")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		for _, path := range args {
			i, err := to(base, path)
			if err != nil {
				return err
			}
			i.client, i.dir, i.patience = c, *dir, importPatience
			i.in, i.screen = cmd.InOrStdin(), cmd.ErrOrStderr()
			result, err := i.run(ctx, path)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if *asJSON {
				err = printJSON(cmd, result)
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), result)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}
