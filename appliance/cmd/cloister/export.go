package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance/export"
)

func newExport() *cobra.Command {
	return group("export", "Take out what is there, as files",
		newExportVerb("events", "Export events", `A line is {"user", "anonymous", "event", "ts", "props"}, as import takes it: by
day, within a day by person, and of one person in the order it happened.`),
		newExportVerb("profiles", "Export profiles", `A line is {"user", "anonymous", "created", "identities", "devices", "consent",
"channels", "profile"}, in the order in which people came; channels only with
--personal.`),
		newExportVerb("messages", "Export messages", `A line says what became of a message, and why, in the order of their ids.`))
}

// exportFlags say what is taken out and how it is written.
type exportFlags struct {
	format, from, to, segment string
	events                    []string
	gzip, zstd, personal      bool
}

func newExportVerb(kind, short, form string) *cobra.Command {
	cmd := &cobra.Command{
		Use: kind + " [FILE]", Short: short,
		Long: short + ` to a file, or to standard output, as NDJSON, CSV or Parquet, also compressed
by gzip or zstd: --format, or what the file's name ends in (.csv.gz, .parquet).

` + form + `

Without --personal what identifies people is left out, but for the id that they
are known by. Whoever was erased is never there, and who is two people is one.

It is written to FILE.part, which becomes FILE when it is whole. An export that
was interrupted goes on where it was when the same command is given again; how
far it came stands in FILE.progress. Parquet begins again.`,
		Args: cobra.MaximumNArgs(1),
	}
	t := daemonFlags(cmd)
	publisher := publisherFlag(cmd)
	var o exportFlags
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "", "ndjson, csv or parquet; by default what the file's name says, else ndjson")
	f.BoolVar(&o.gzip, "gzip", false, "compress by gzip")
	f.BoolVar(&o.zstd, "zstd", false, "compress by zstd")
	f.StringVar(&o.segment, "segment", "", "only people who are in this segment now")
	f.BoolVar(&o.personal, "personal", false, "also what identifies people")
	if kind != "profiles" {
		f.StringVar(&o.from, "from", "", "from this instant or day on (RFC 3339, or 2026-01-31 in UTC)")
		f.StringVar(&o.to, "to", "", "before this instant or day; by default now")
	}
	if kind == "events" {
		f.StringArrayVar(&o.events, "event", nil, "only events of this name; may be repeated")
	}
	asJSON := f.Bool("json", false, "the result as JSON")
	cmd.MarkFlagsMutuallyExclusive("gzip", "zstd")
	cmd.RunE = verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		path := "-"
		if len(args) > 0 {
			path = args[0]
		}
		query, err := o.query(path)
		if err != nil {
			return err
		}
		c, err := t.open()
		if err != nil {
			return err
		}
		base, err := c.publisher(ctx, *publisher)
		if err != nil {
			return err
		}
		x := exporter{client: c, url: base + "/export/" + kind, query: query, path: path, patience: importPatience, out: cmd.OutOrStdout(), screen: cmd.ErrOrStderr()}
		result, err := x.run(ctx)
		if err != nil {
			return err
		}
		to := cmd.OutOrStdout()
		if path == "-" {
			to = cmd.ErrOrStderr()
		} else if *asJSON {
			return printJSON(cmd, result)
		}
		_, err = fmt.Fprintln(to, result)
		return err
	})
	return cmd
}

// query is what the daemon is asked for.
func (o *exportFlags) query(path string) (url.Values, error) {
	q := url.Values{}
	name := strings.ToLower(path)
	compress := ""
	for suffix, how := range map[string]string{".gz": "gzip", ".zst": "zstd"} {
		if rest, ok := strings.CutSuffix(name, suffix); ok {
			name, compress = rest, how
		}
	}
	switch {
	case o.gzip:
		compress = "gzip"
	case o.zstd:
		compress = "zstd"
	}
	format := o.format
	if format == "" {
		format = export.NDJSON
		for suffix, of := range map[string]string{".csv": export.CSV, ".parquet": export.Parquet} {
			if strings.HasSuffix(name, suffix) {
				format = of
			}
		}
	}
	if !slices.Contains(export.Formats, format) {
		return nil, usage("--format %q is none of %s", o.format, strings.Join(export.Formats, ", "))
	}
	if format == export.Parquet && compress != "" {
		return nil, usage("parquet is compressed by itself")
	}
	q.Set("format", format)
	if compress != "" {
		q.Set("compress", compress)
	}
	for name, text := range map[string]string{"from": o.from, "to": o.to} {
		if text == "" {
			continue
		}
		at, err := instantOf(text)
		if err != nil {
			return nil, usage("--%s %q is no instant: 2026-01-31, or 2026-01-31T12:00:00Z", name, text)
		}
		q.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
	if o.segment != "" {
		q.Set("segment", o.segment)
	}
	if o.personal {
		q.Set("personal", "true")
	}
	if len(o.events) > 0 {
		q["event"] = o.events
	}
	return q, nil
}

func instantOf(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

// exportResult is how it went.
type exportResult struct {
	File    string  `json:"file"`
	Records int64   `json:"records,omitempty"` // of Parquet nobody counts
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func (r exportResult) String() string {
	took := time.Duration(r.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
	name := r.File
	if name == "-" {
		name = "standard output"
	}
	if r.Records == 0 && strings.HasSuffix(name, export.Parquet) {
		return fmt.Sprintf("%s: %s bytes in %s", name, thousands(r.Bytes), took)
	}
	return fmt.Sprintf("%s: %s records, %s bytes in %s", name, thousands(r.Records), thousands(r.Bytes), took)
}

// exists says whether there is something at a path already.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
