package query

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// node is a value of the question with the path that leads to it.
type node struct {
	v    event.Value
	path string
}

// absent says whether the field was left out, or is null.
func (n node) absent() bool { return n.v.IsNull() }

func (n node) at(i int) node { return node{n.v.List()[i], fmt.Sprintf("%s[%d]", n.path, i)} }

func (n node) bad(format string, args ...any) error { return fail(CodeValue, n.path, format, args...) }

func (n node) wrong(want string) error {
	return fail(CodeType, n.path, "this must be %s", want)
}

// fields is an object of the question. Each field is taken once; done then
// refuses what nobody took.
type fields struct {
	path  string
	props []event.Prop
	taken []bool
}

func (n node) fields() (*fields, error) {
	if n.v.Kind() != event.Object {
		return nil, n.wrong("an object")
	}
	return &fields{path: n.path, props: n.v.Object(), taken: make([]bool, len(n.v.Object()))}, nil
}

func join(path, key string) string {
	if len(key) > 80 {
		key = strings.ToValidUTF8(key[:80], "") + "…"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// take is the field of that name, a null node if there is none.
func (f *fields) take(key string) node {
	for i := range f.props {
		if f.props[i].Key == key {
			f.taken[i] = true
			return node{f.props[i].Value, join(f.path, key)}
		}
	}
	return node{path: join(f.path, key)}
}

// has says whether the field is there, even as null.
func (f *fields) has(key string) bool {
	return slices.ContainsFunc(f.props, func(p event.Prop) bool { return p.Key == key })
}

func (f *fields) need(key string) (node, error) {
	n := f.take(key)
	if n.absent() {
		return n, fail(CodeMissing, n.path, "this is needed")
	}
	return n, nil
}

// done refuses every field that was not taken.
func (f *fields) done() error {
	for i, p := range f.props {
		if !f.taken[i] {
			return fail(CodeUnknown, join(f.path, p.Key), "there is no such field here")
		}
	}
	return nil
}

func (n node) text() (string, error) {
	if n.v.Kind() != event.Text {
		return "", n.wrong("a text")
	}
	return n.v.Text(), nil
}

// textOr is the text, or what stands for it where the field was left out.
func (n node) textOr(def string) (string, error) {
	if n.absent() {
		return def, nil
	}
	return n.text()
}

func (n node) bool() (bool, error) {
	switch {
	case n.absent():
		return false, nil
	case n.v.Kind() != event.Bool:
		return false, n.wrong("true or false")
	}
	return n.v.Bool(), nil
}

// boolOr is the bool, or what stands for it where the field was left out.
func (n node) boolOr(def bool) (bool, error) {
	if n.absent() {
		return def, nil
	}
	return n.bool()
}

func (n node) number() (float64, error) {
	if !n.v.IsNumber() {
		return 0, n.wrong("a number")
	}
	f, _ := n.v.Number()
	return f, nil
}

// int is a whole number within bounds, or def where the field was left out.
func (n node) int(def, low, high int) (int, error) {
	if n.absent() {
		return def, nil
	}
	f, err := n.number()
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		return 0, n.bad("this must be a whole number from %d to %d", low, high)
	}
	return int(f), nil
}

// list is the elements, at most high of them; none where the field was left out.
func (n node) list(high int) ([]node, error) {
	if n.absent() {
		return nil, nil
	}
	if n.v.Kind() != event.List {
		return nil, n.wrong("a list")
	}
	if len(n.v.List()) > high {
		return nil, n.bad("there are %d here, %d are allowed", len(n.v.List()), high)
	}
	out := make([]node, len(n.v.List()))
	for i := range out {
		out[i] = n.at(i)
	}
	return out, nil
}

// oneOf is the index of a text among the allowed ones; def where it was left out.
func (n node) oneOf(def int, allowed ...string) (int, error) {
	if n.absent() {
		return def, nil
	}
	s, err := n.text()
	if err != nil {
		return 0, err
	}
	if i := slices.Index(allowed, s); i >= 0 {
		return i, nil
	}
	return 0, n.bad("%q is not one of %s", clip(s), strings.Join(allowed, ", "))
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// span is {"n", "unit"}, with a calendar where allowed.
func (n node) span() (span, error) {
	f, err := n.fields()
	if err != nil {
		return span{}, err
	}
	count, err := f.need("n")
	if err != nil {
		return span{}, err
	}
	k, err := count.int(0, 0, 1_000_000_000)
	if err != nil {
		return span{}, err
	}
	u, err := f.unit()
	if err != nil {
		return span{}, err
	}
	return span{float64(k), u}, f.done()
}

func (f *fields) unit() (unit, error) {
	n, err := f.need("unit")
	if err != nil {
		return 0, err
	}
	u, err := n.oneOf(0, unitNames[:unitAll]...)
	return unit(u), err
}

// limits is {"limit", "after"} of a list.
type limits struct {
	limit int
	after string
}

func (f *fields) limits() (limits, error) {
	k, err := f.take("limit").int(100, 1, 10_000)
	if err != nil {
		return limits{}, err
	}
	after, err := f.take("after").textOr("")
	return limits{k, after}, err
}

// instant is a date or an RFC 3339 time of the question.
type instant struct {
	set    bool
	isDate bool
	date   civil
	micros int64
}

func (n node) instant() (instant, error) {
	if n.absent() {
		return instant{}, nil
	}
	s, err := n.text()
	if err != nil {
		return instant{}, err
	}
	t, isDate, ok := parseDate(s)
	if !ok {
		return instant{}, n.bad("%q is neither a date (2011-11-01) nor an instant (2011-11-01T08:00:00Z)", clip(s))
	}
	if isDate {
		return instant{set: true, isDate: true, date: civilOf(t.Date())}, nil
	}
	return instant{set: true, micros: t.UnixMicro()}, nil
}

// parseDate reads a date or an RFC 3339 instant, year 1 to 9999.
func parseDate(s string) (t time.Time, isDate, ok bool) {
	if len(s) < 10 || len(s) > 40 || s[4] != '-' {
		return t, false, false
	}
	if len(s) == 10 {
		t, err := time.Parse(time.DateOnly, s)
		return t, true, err == nil && t.Year() > 0
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, false, err == nil && t.Year() > 0
}

// someOf names what there is, for whoever asked for something else.
func someOf(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > 20:
		return strings.Join(names[:20], ", ") + fmt.Sprintf(" and %d more", len(names)-20)
	}
	return strings.Join(names, ", ")
}
