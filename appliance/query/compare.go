package query

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// operand is a value made ready for comparing.
type operand struct {
	kind   event.ValueKind
	text   string
	num    float64
	whole  int64
	isNum  bool // a number, or the text of one
	exact  bool // whole holds the number exactly
	micros int64
	isDate bool // date-like: an instant, or the text of a date or instant
}

func (k calendar) operand(v event.Value) operand {
	o := operand{kind: v.Kind()}
	switch v.Kind() {
	case event.Int:
		o.whole, o.exact = v.Int(), true
		o.num, o.isNum = v.Number()
	case event.Float:
		o.num, o.isNum = v.Number()
	case event.Bool:
		if v.Bool() {
			o.whole = 1
		}
	case event.Time:
		o.micros, o.isDate = v.Micros(), true
		o.text = v.String()
	case event.Text:
		o.text = v.Text()
		o.num, o.isNum = v.Number()
		if o.isNum {
			if i, err := strconv.ParseInt(o.text, 10, 64); err == nil {
				o.whole, o.exact = i, true
			}
		}
		if t, isDate, ok := parseDate(o.text); ok {
			o.isDate = true
			if isDate {
				o.micros = k.start(civilOf(t.Date()))
			} else {
				o.micros = t.UnixMicro()
			}
		}
	}
	return o
}

func (o *operand) number() bool { return o.kind == event.Int || o.kind == event.Float }

// compare orders two scalars; ok is false where they cannot be compared, so
// that neither = nor < holds between them.
func compare(a, b *operand) (order int, ok bool) {
	switch {
	case a.number() || b.number():
		switch {
		case !a.isNum || !b.isNum:
			return 0, false
		case a.exact && b.exact:
			return cmp.Compare(a.whole, b.whole), true
		}
		return cmp.Compare(a.num, b.num), true
	case a.kind == event.Bool && b.kind == event.Bool:
		return cmp.Compare(a.whole, b.whole), true
	case a.isDate && b.isDate:
		return cmp.Compare(a.micros, b.micros), true
	case a.kind == event.Text && b.kind == event.Text:
		return strings.Compare(a.text, b.text), true
	}
	return 0, false
}

// plain is a scalar as text, for the operators on text; ok is false for
// lists, objects and what is missing.
func plain(v event.Value) (string, bool) {
	switch v.Kind() {
	case event.Null, event.List, event.Object:
		return "", false
	}
	return v.String(), true
}

// numeric is what measures add up: a number, or the text of one.
func numeric(v event.Value) float64 {
	if f, ok := v.Number(); ok {
		return f
	}
	return math.NaN()
}

// exactSum adds numbers as the sum of two floats (about 106 bits), so that the
// answer does not depend on the order in which partitions were read.
type exactSum struct{ high, low float64 }

func (s *exactSum) add(x float64) {
	// Knuth's two-sum, then renormalised.
	t := s.high + x
	b := t - s.high
	e := (s.high - (t - b)) + (x - b) + s.low
	s.high = t + e
	s.low = e - (s.high - t)
}

func (s *exactSum) merge(o exactSum) {
	s.add(o.high)
	s.add(o.low)
}

func (s *exactSum) value() float64 { return s.high + s.low }

func seconds(us int64) float64 { return float64(us) / 1e6 }
