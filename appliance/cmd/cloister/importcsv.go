package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/appliance/csv"
)

// csvFlags say how a file is read that is CSV.
type csvFlags struct {
	format, delimiter, layout, zone string
	mapped, set, types, skip        []string
}

func (o *csvFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "", "ndjson or csv; by default what the file's name says, else ndjson")
	f.StringVar(&o.delimiter, "delimiter", "", "what stands between CSV's cells, a comma if nothing is said; \\t is a tab")
	f.StringArrayVar(&o.mapped, "map", nil, "MEMBER=COLUMN: where user, event, ts, .. stand")
	f.StringArrayVar(&o.set, "set", nil, "MEMBER=VALUE: the same in every line")
	f.StringArrayVar(&o.types, "type", nil, "COLUMN=TYPE, of text, number, bool, time, json, auto; the column * is all others")
	f.StringArrayVar(&o.skip, "skip", nil, "a column that is left out")
	f.StringVar(&o.layout, "time-layout", "", "how instants are written")
	f.StringVar(&o.zone, "zone", "", "the time zone of instants that do not say it, as Asia/Kolkata; UTC if nothing is said")
}

// members are the parts of a line, and those whose cells are JSON.
var members = map[string][2][]string{
	"events":   {{"user", "anonymous", "event", "ts", "id"}, nil},
	"profiles": {{"user", "anonymous", "ts", "id", "created", "identities", "devices", "consent", "channels"}, {"identities", "devices", "consent", "channels"}},
}

// lines is how the file at path is read; nil = as NDJSON.
func (o *csvFlags) lines(kind, path string) (*csvLines, error) {
	name := strings.ToLower(path)
	for _, suffix := range []string{".rejects", ".gz", ".zst"} {
		name = strings.TrimSuffix(name, suffix)
	}
	format := o.format
	if format == "" && (strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".tsv")) {
		format = "csv"
	}
	switch format {
	case "", "ndjson":
		if o.delimiter+o.layout+o.zone != "" || len(o.mapped)+len(o.set)+len(o.types)+len(o.skip) > 0 {
			return nil, usage("%s is read as NDJSON, which has no columns; --format csv says else", plain(path))
		}
		return nil, nil
	case "csv":
	default:
		return nil, usage("--format %q is none of ndjson, csv", o.format)
	}
	t := &csvLines{comma: ',', form: csv.Form{Members: members[kind][0], Objects: members[kind][1], Group: "props", Skip: o.skip, Layout: o.layout}}
	if kind == "profiles" {
		t.form.Group = "profile"
	}
	switch {
	case o.delimiter == `\t`, o.delimiter == "" && strings.HasSuffix(name, ".tsv"):
		t.comma = '\t'
	case len(o.delimiter) == 1 && !strings.ContainsAny(o.delimiter, "\"\r\n"):
		t.comma = o.delimiter[0]
	case o.delimiter != "":
		return nil, usage("--delimiter is one character, as ; or \\t")
	}
	var err error
	for _, p := range []struct {
		flag string
		from []string
		to   *map[string]string
	}{{"map", o.mapped, &t.form.Map}, {"set", o.set, &t.form.Set}, {"type", o.types, &t.form.Types}} {
		if *p.to, err = pairs(p.flag, p.from); err != nil {
			return nil, err
		}
	}
	if o.zone != "" {
		if t.form.Zone, err = time.LoadLocation(o.zone); err != nil {
			return nil, usage("--zone %q is no time zone, as Asia/Kolkata", o.zone)
		}
	}
	return t, nil
}

func pairs(flag string, from []string) (map[string]string, error) {
	out := make(map[string]string)
	for _, s := range from {
		key, value, ok := strings.Cut(s, "=")
		if flag == "type" { // a column may be called anything
			if at := strings.LastIndexByte(s, '='); at >= 0 {
				key, value = s[:at], s[at+1:]
			}
		}
		if _, twice := out[key]; !ok || key == "" || twice {
			return nil, usage("--%s %q is not NAME=VALUE, or there twice", flag, s)
		}
		out[key] = value
	}
	return out, nil
}
