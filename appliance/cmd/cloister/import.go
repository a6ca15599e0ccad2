package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newImport() *cobra.Command {
	return group("import", "Bring in what was collected elsewhere",
		newImportVerb("events", "Import events", `A line is a JSON object:
{"user": "ann", "event": "Charged", "ts": "2026-01-02T03:04:05Z", "props": {"amount": 12}}
with "anonymous" (a device) instead of, or beside, "user"; "id" if it has one of
its own.`, 4),
		newImportVerb("profiles", "Import profiles", `A line is a JSON object:
{"user": "ann", "profile": {"plan": "gold"},
 "consent": [{"purpose": "offers", "channel": "email", "granted": true}],
 "channels": {"email": "ann@example.com"}}
of which "user" is needed; "ts" says when it became known. Lines are taken in
their order: the last word about a person holds.`, 1))
}

// newImportVerb makes a verb. Of profiles one part is sent after the other,
// since the last word about a person holds.
func newImportVerb(kind, short, form string, inFlight int) *cobra.Command {
	cmd := &cobra.Command{
		Use:   kind + " FILE..",
		Short: short,
		Long: short + ` from NDJSON files, also compressed by gzip or zstd; - is standard input.

` + form + `

What cannot be taken is written to FILE.rejects, with the line's number and the
reason. An import that was interrupted goes on where it was when the same command
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
			i := &importer{
				client: c, url: base + "/import/" + kind, inFlight: inFlight, dir: *dir,
				in: cmd.InOrStdin(), screen: cmd.ErrOrStderr(), patience: importPatience,
			}
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
