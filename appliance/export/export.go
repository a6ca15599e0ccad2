// Package export turns what a publisher takes out of the house into bytes:
// NDJSON, CSV and Parquet (FORMAT.md). It is pure: records in, bytes out.
package export

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/csv"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Formats.
const (
	NDJSON  = "ndjson"
	CSV     = "csv"
	Parquet = "parquet"
)

// Formats there are.
var Formats = []string{NDJSON, CSV, Parquet}

// Column is a named part of every record. A List or Object is JSON where the
// format has no such thing.
type Column struct {
	Name string
	Kind event.ValueKind
}

// Table is the form of an export's records: columns that all have, and a group
// of named values of which each record has its own.
type Table struct {
	Columns []Column
	Group   string   // its name, "" = there is none
	Always  bool     // a line of NDJSON has the group also where it is empty
	Keys    []string // of the group that have a column each in CSV and Parquet, sorted; the rest stands in the column "more"
}

// More is the column of what has no column of its own, as a JSON object.
const More = "more"

// Record is one line or row.
type Record struct {
	Cells []event.Value // one a column, Null = it has none
	Group []event.Prop  // sorted by key but for those that are personal, which come last
}

// hasKey says whether the group's key has a column.
func (t *Table) hasKey(key string) bool {
	_, ok := slices.BinarySearch(t.Keys, key)
	return ok
}

// more are the values of a record's group that have no column. A value that is
// personal never gets one: the columns may be seen where the values may not.
func (t *Table) more(r *Record) []event.Prop {
	var out []event.Prop
	for _, p := range r.Group {
		if p.Personal || !t.hasKey(p.Key) {
			out = append(out, p)
		}
	}
	return out
}

// AppendNDJSON appends a record as a line: its columns, then the group as an
// object under its name. What has no value is left out. Where values of the
// group are instants, "times" names them, since JSON has only texts.
func (t *Table) AppendNDJSON(dst []byte, r *Record) []byte {
	first := true
	member := func(name string) {
		c := byte(',')
		if first {
			c, first = '{', false
		}
		dst = append(event.AppendJSONText(append(dst, c), name), ':')
	}
	for i, c := range t.Columns {
		if v := r.Cells[i]; !v.IsNull() {
			member(c.Name)
			dst = v.AppendJSON(dst)
		}
	}
	if t.Group != "" && (t.Always || len(r.Group) > 0) {
		member(t.Group)
		dst = event.AppendJSONProps(dst, r.Group)
		times := false
		for _, p := range r.Group {
			if p.Value.Kind() != event.Time {
				continue
			}
			if !times {
				member("times")
				dst, times = append(dst, '['), true
			} else {
				dst = append(dst, ',')
			}
			dst = event.AppendJSONText(dst, p.Key)
		}
		if times {
			dst = append(dst, ']')
		}
	}
	if first {
		dst = append(dst, '{')
	}
	return append(dst, '}', '\n')
}

// AppendCSVHeader appends the line of column names.
func (t *Table) AppendCSVHeader(dst []byte) []byte {
	for i, c := range t.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, event.OfText(c.Name))
	}
	if t.Group != "" {
		for _, k := range t.Keys {
			dst = appendCell(append(dst, ','), event.OfText(t.Group+"."+k))
		}
		dst = append(append(dst, ','), More...)
	}
	return append(dst, '\r', '\n')
}

// AppendCSV appends a record as a line (RFC 4180). An empty cell is a value
// that is missing, or the empty text.
func (t *Table) AppendCSV(dst []byte, r *Record) []byte {
	for i := range t.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, r.Cells[i])
	}
	if t.Group != "" {
		own := r.Group
		for _, k := range t.Keys {
			dst = append(dst, ',')
			for len(own) > 0 && !own[0].Personal && own[0].Key < k {
				own = own[1:]
			}
			if len(own) > 0 && !own[0].Personal && own[0].Key == k {
				dst = appendCell(dst, own[0].Value)
			}
		}
		dst = append(dst, ',')
		if more := t.more(r); len(more) > 0 {
			dst = csv.AppendQuoted(dst, string(event.AppendJSONProps(nil, more)))
		}
	}
	return append(dst, '\r', '\n')
}

// appendCell appends a value as a cell. A text that a spreadsheet would run is
// guarded; a number is not, since none is run.
func appendCell(dst []byte, v event.Value) []byte {
	switch v.Kind() {
	case event.Null:
		return dst
	case event.Text:
		return csv.AppendText(dst, v.Text())
	case event.List, event.Object:
		return csv.AppendQuoted(dst, v.String())
	}
	return append(dst, v.String()...)
}
