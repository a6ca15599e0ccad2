package csv

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Types of a column: what becomes of its cells.
const (
	Text   = "text"
	Number = "number"
	Bool   = "bool"
	Time   = "time"
	JSON   = "json"
	Auto   = "auto" // a number if it is written as JSON writes it, true or false, else a text
)

// Types there are.
var Types = []string{Text, Number, Bool, Time, JSON, Auto}

// Columns that say something about the import itself: a file of rejects has
// them, and they are passed over.
const (
	LineColumn  = "import.line"
	ErrorColumn = "import.error"
)

// more is an export's column of what has none of its own.
const more = "more"

// Form says what the columns of a file are.
type Form struct {
	// Members are the parts of a line: user, event, .., of which some may be
	// JSON. Group is where everything else goes: props or profile.
	Members []string
	Objects []string // of Members, those whose cells are JSON
	Group   string

	Map   map[string]string // member -> the column that it is in; without an entry it is the one of its name
	Set   map[string]string // member -> its value in every line
	Types map[string]string // column -> type; "*" = all others; without an entry text
	Skip  []string          // columns
	// Layout is how instants are written: "" = RFC 3339, "unix" or "unix-ms", or
	// a layout of Go's package time. Zone is where, if they do not say it.
	Layout string
	Zone   *time.Location // nil = UTC
}

// column is what becomes of a column's cells.
type column struct {
	name   string
	member string // "" = it is of the group
	key    string // in the group
	typ    string
	skip   bool
}

// Lines makes lines of JSON of records.
type Lines struct {
	form    Form
	columns []column
	set     []byte // members that are the same in every line
}

// NewLines reads a header. The error says what of the form does not fit it.
func NewLines(f Form, header []string) (*Lines, error) {
	l := &Lines{form: f}
	if f.Zone == nil {
		l.form.Zone = time.UTC
	}
	taken := make(map[string]string) // column -> member
	for _, member := range slices.Sorted(maps.Keys(f.Map)) {
		if err := l.check(member, header, f.Map[member]); err != nil {
			return nil, err
		}
		taken[f.Map[member]] = member
	}
	for _, member := range slices.Sorted(maps.Keys(f.Set)) {
		if !slices.Contains(f.Members, member) {
			return nil, fmt.Errorf("there is no %q to be set; %s can be", member, strings.Join(f.Members, ", "))
		}
		l.set = append(event.AppendJSONText(append(l.set, ','), member), ':')
		l.set = event.AppendJSONText(l.set, f.Set[member])
	}
	for name, typ := range f.Types {
		if name != "*" && !slices.Contains(header, name) {
			return nil, fmt.Errorf("there is no column %q", name)
		}
		if !slices.Contains(Types, typ) {
			return nil, fmt.Errorf("column %q: there is no type %q; there are %s", name, typ, strings.Join(Types, ", "))
		}
	}
	for _, name := range f.Skip {
		if !slices.Contains(header, name) {
			return nil, fmt.Errorf("there is no column %q", name)
		}
	}
	seen := make(map[string]bool)
	for i, name := range header {
		if seen[name] && name != "" {
			return nil, fmt.Errorf("the column %q is there twice", name)
		}
		seen[name] = true
		c, err := l.column(name, taken)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", i+1, err)
		}
		l.columns = append(l.columns, c)
	}
	keys := make(map[string]bool)
	for _, c := range l.columns {
		if c.skip || c.member != "" || c.key == "" {
			continue
		}
		if keys[c.key] {
			return nil, fmt.Errorf("two columns are %s.%s", f.Group, c.key)
		}
		keys[c.key] = true
	}
	return l, nil
}

func (l *Lines) check(member string, header []string, name string) error {
	if !slices.Contains(l.form.Members, member) {
		return fmt.Errorf("there is no %q that a column could be; there are %s", member, strings.Join(l.form.Members, ", "))
	}
	if !slices.Contains(header, name) {
		return fmt.Errorf("there is no column %q", name)
	}
	return nil
}

func (l *Lines) column(name string, taken map[string]string) (column, error) {
	f := &l.form
	c := column{name: name, typ: Text}
	if typ, ok := f.Types["*"]; ok {
		c.typ = typ
	}
	if typ, ok := f.Types[name]; ok {
		c.typ = typ
	}
	member, mapped := taken[name]
	if !mapped && slices.Contains(f.Members, name) {
		if _, elsewhere := f.Map[name]; !elsewhere {
			member, mapped = name, true
		}
	}
	_, set := f.Set[member]
	switch {
	case name == LineColumn, name == ErrorColumn, slices.Contains(f.Skip, name), mapped && set:
		c.skip = true
	case mapped:
		c.member = member
	case name == more:
		c.typ = JSON
	case name == "":
		// A column without a name must have nothing in it.
	default:
		c.key = strings.TrimPrefix(name, f.Group+".")
		if c.key == "" {
			return c, fmt.Errorf("%q names no key", name)
		}
	}
	return c, nil
}

// Append appends the line, without its end, that a record is. A cell that is
// empty is left out. The error names columns, never values.
func (l *Lines) Append(dst []byte, cells []string) ([]byte, error) {
	if len(cells) != len(l.columns) {
		return dst, fmt.Errorf("%d cells, the header has %d", len(cells), len(l.columns))
	}
	from := len(dst)
	var group []byte
	var times []string
	for i := range l.columns {
		c, cell := &l.columns[i], Unguard(cells[i])
		if c.skip || cell == "" {
			continue
		}
		var err error
		switch {
		case c.member != "":
			dst = append(event.AppendJSONText(append(dst, ','), c.member), ':')
			dst, err = l.appendMember(dst, c, cell)
		case c.name == more:
			group, err = appendMembers(group, cell)
		case c.key == "":
			err = fmt.Errorf("the header has no name for it")
		default:
			group = append(event.AppendJSONText(append(group, ','), c.key), ':')
			group, err = l.appendValue(group, c.typ, cell)
			if c.typ == Time {
				times = append(times, c.key)
			}
		}
		if err != nil {
			return dst[:from], fmt.Errorf("column %s: %w", columnName(c, i), err)
		}
	}
	dst = append(dst, l.set...)
	if len(group) > 0 {
		group[0] = '{'
		dst = append(event.AppendJSONText(append(dst, ','), l.form.Group), ':')
		dst = append(append(dst, group...), '}')
	}
	for i, key := range times {
		if i == 0 {
			dst = append(dst, `,"times":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = event.AppendJSONText(dst, key)
	}
	if len(times) > 0 {
		dst = append(dst, ']')
	}
	if len(dst) == from {
		dst = append(dst, '{')
	}
	dst[from] = '{'
	return append(dst, '}'), nil
}

func columnName(c *column, i int) string {
	if c.name == "" {
		return strconv.Itoa(i + 1)
	}
	return strconv.Quote(c.name)
}

func (l *Lines) appendMember(dst []byte, c *column, cell string) ([]byte, error) {
	switch {
	case slices.Contains(l.form.Objects, c.member):
		return l.appendValue(dst, JSON, cell)
	case c.member == "ts":
		return l.appendValue(dst, Time, cell)
	}
	return event.AppendJSONText(dst, cell), nil
}

// appendMembers appends those of an object.
func appendMembers(dst []byte, cell string) ([]byte, error) {
	v, err := event.ParseJSON([]byte(cell))
	if err != nil || v.Kind() != event.Object {
		return dst, fmt.Errorf("this is no JSON object")
	}
	for _, p := range v.Object() {
		dst = append(event.AppendJSONText(append(dst, ','), p.Key), ':')
		dst = p.Value.AppendJSON(dst)
	}
	return dst, nil
}

func (l *Lines) appendValue(dst []byte, typ, cell string) ([]byte, error) {
	switch typ {
	case Number:
		v, err := event.ParseJSON([]byte(strings.TrimSpace(cell)))
		if err != nil || !v.IsNumber() {
			return dst, fmt.Errorf("this is no number, as -12.5")
		}
		return v.AppendJSON(dst), nil
	case Bool:
		b, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(cell)))
		if err != nil {
			return dst, fmt.Errorf("this is neither true nor false")
		}
		return strconv.AppendBool(dst, b), nil
	case Time:
		t, err := l.instant(strings.TrimSpace(cell))
		if err != nil {
			return dst, err
		}
		return event.AppendJSONText(dst, t.UTC().Format(time.RFC3339Nano)), nil
	case JSON:
		v, err := event.ParseJSON([]byte(cell))
		if err != nil {
			return dst, fmt.Errorf("this is no JSON")
		}
		return v.AppendJSON(dst), nil
	case Auto:
		if cell == "true" || cell == "false" {
			return append(dst, cell...), nil
		}
		if v, err := event.ParseJSON([]byte(cell)); err == nil && v.IsNumber() && v.String() == cell {
			return append(dst, cell...), nil
		}
	}
	return event.AppendJSONText(dst, cell), nil
}

func (l *Lines) instant(cell string) (time.Time, error) {
	switch l.form.Layout {
	case "unix", "unix-ms":
		n, err := strconv.ParseInt(cell, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("this is no whole number since 1970")
		}
		if l.form.Layout == "unix" {
			return time.Unix(n, 0), nil
		}
		return time.UnixMilli(n), nil
	case "":
		t, err := time.Parse(time.RFC3339Nano, cell)
		if err != nil {
			return t, fmt.Errorf("this is not RFC 3339, as 2026-01-02T15:04:05Z; --time-layout says how else it is written")
		}
		return t, nil
	}
	t, err := time.ParseInLocation(l.form.Layout, cell, l.form.Zone)
	if err != nil {
		return t, fmt.Errorf("this is not written as %q", l.form.Layout)
	}
	return t, nil
}
