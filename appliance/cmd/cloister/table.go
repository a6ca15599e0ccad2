package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// table writes lines in columns.
type table struct {
	w *tabwriter.Writer
}

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	cells := make([]any, len(head))
	for i, h := range head {
		cells[i] = strings.ToUpper(h)
	}
	t.row(cells...)
	return t
}

func (t *table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, cell(c))
	}
	fmt.Fprintln(t.w)
}

func (t *table) end() error { return t.w.Flush() }

// cell is a value as it stands in a line: never with what moves the cursor.
func cell(v any) string {
	s := ""
	switch v := v.(type) {
	case nil:
	case *time.Time:
		if v != nil && !v.IsZero() {
			s = v.Local().Format("2006-01-02 15:04:05")
		}
	case time.Time:
		if !v.IsZero() {
			s = v.Local().Format("2006-01-02 15:04:05")
		}
	case []string:
		s = strings.Join(v, ", ")
	default:
		s = fmt.Sprint(v)
	}
	if s == "" {
		return "-"
	}
	return plain(s)
}

// plain makes text from elsewhere harmless on a terminal.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c <= 0x9f || c == utf8.RuneError {
			return '?'
		}
		return c
	}, s)
}
