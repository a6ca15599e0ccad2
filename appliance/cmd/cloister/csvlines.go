package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cloisterhq/cloister/appliance/csv"
)

// csvLines makes lines of a CSV file's records.
type csvLines struct {
	form  csv.Form
	comma byte

	r       *csv.Reader
	lines   *csv.Lines
	first   *entry // the header's, as an entry of which nothing is sent
	header  []byte // its text
	rejects bool   // the file is one of rejects: two cells stand before the rest
	record  csv.Record
	line    int64 // of the next record
	text    []byte
}

// fingerprint is of the way that the file is read.
func (t *csvLines) fingerprint() []byte {
	zone := ""
	if t.form.Zone != nil {
		zone = t.form.Zone.String()
	}
	sorted := func(m map[string]string) (out []string) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			out = append(out, k, m[k])
		}
		return out
	}
	return fmt.Appendf(nil, "%q %q %q %q %q %q %q", t.comma, sorted(t.form.Map), sorted(t.form.Set), sorted(t.form.Types), t.form.Skip, t.form.Layout, zone)
}

// open reads the header.
func (t *csvLines) open(r io.Reader) error {
	t.r = csv.NewReader(r, t.comma)
	err := t.r.Read(&t.record)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("there is no header")
	case err == nil:
		err = t.record.Err
	}
	if err == nil {
		t.lines, err = csv.NewLines(t.form, t.record.Cells)
	}
	if err != nil {
		return fmt.Errorf("the header: %w", err)
	}
	t.rejects = len(t.record.Cells) > 2 && t.record.Cells[0] == csv.LineColumn && t.record.Cells[1] == csv.ErrorColumn
	t.header = bytes.Clone(t.own(t.record.Raw))
	t.line = t.record.Line + int64(t.record.Lines)
	t.first = &entry{lines: int(t.line) - 1}
	return nil
}

// own is a record's text without what a file of rejects puts before it.
func (t *csvLines) own(raw []byte) []byte {
	if t.rejects {
		return csv.Behind(raw, 2, t.comma)
	}
	return raw
}

func (t *csvLines) next() (entry, error) {
	if t.first != nil {
		e := *t.first
		t.first = nil
		return e, nil
	}
	if err := t.r.Read(&t.record); err != nil {
		return entry{}, err
	}
	rec := &t.record
	empty := int(rec.Line - t.line) // lines before it
	t.line = rec.Line + int64(rec.Lines)
	if empty > 0 {
		// They have an entry of their own, and so the record has its number.
		e := t.entry()
		t.first = &e
		return entry{lines: empty}, nil
	}
	return t.entry(), nil
}

// entry is the record at hand.
func (t *csvLines) entry() entry {
	rec := &t.record
	e := entry{lines: rec.Lines, raw: t.own(rec.Raw)}
	if e.raw == nil {
		e.raw = []byte{}
	}
	err := rec.Err
	if err == nil {
		t.text, err = t.lines.Append(t.text[:0], rec.Cells)
	}
	if err != nil {
		e.refused = err.Error()
		return e
	}
	e.text = t.text
	return e
}

// appendReject appends what was refused as a record with two more cells before
// it, so that it can be mended in place and imported again.
func (t *csvLines) appendReject(dst []byte, line int64, reason, record string) []byte {
	dst = fmt.Appendf(dst, "%d%c", line, t.comma)
	dst = append(csv.AppendText(dst, reason), t.comma)
	return append(append(dst, record...), '\r', '\n')
}

// rejectHeader is the header of that file.
func (t *csvLines) rejectHeader() []byte {
	return fmt.Appendf(nil, "%s%c%s%c%s\r\n", csv.LineColumn, t.comma, csv.ErrorColumn, t.comma, t.header)
}
