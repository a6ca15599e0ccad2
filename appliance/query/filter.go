package query

import (
	"math"
	"regexp"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

type op uint8

const (
	opEq op = iota
	opNe
	opLt
	opLe
	opGt
	opGe
	opIn
	opNotIn
	opContains
	opNotContains
	opStarts
	opEnds
	opMatches
	opExists
	opNotExists
	opBetween
	opBefore
	opAfter
)

var opNames = []string{"=", "!=", "<", "<=", ">", ">=", "in", "not_in", "contains", "not_contains",
	"starts_with", "ends_with", "matches", "exists", "not_exists", "between", "before", "after"}

// negative says whether the op holds where the property is missing.
func (o op) negative() bool {
	return o == opNe || o == opNotIn || o == opNotContains || o == opNotExists
}

func (o op) textual() bool { return o >= opContains && o <= opMatches }

// place says where a property is read from.
type place uint8

const (
	ofEvent place = iota
	ofProfile
	ofItem
	ofClock  // the event's own instant, on the clock of the question's zone: filters only
	ofPerson // breakdowns only
	ofName   // the event's own name: paths only
)

var placeNames = []string{"event", "profile", "item", "time", "person"}

// What can be asked of an event's time.
const (
	timeMinute  = "minute"  // of the day, from 0
	timeWeekday = "weekday" // 1 = Monday .. 7
)

// reads is what an instant is on the clock and in the week.
func (k calendar) reads(key string, us int64) event.Value {
	t := k.at(us)
	if key == timeWeekday {
		return event.OfInt(int64(t.Weekday()+6)%7 + 1)
	}
	return event.OfInt(int64(t.Hour()*60 + t.Minute()))
}

// itemKeys are the properties that hold the items of a Charged event.
var itemKeys = []string{"Items", "items"}

// test is one condition on one value, made ready: op and its operands.
type test struct {
	op     op
	values []operand
	text   string // of the textual ops, in lower case where case does not count
	fold   bool
	re     *regexp.Regexp
	cal    calendar
}

// holds says whether the test holds for a property's value, Null if missing.
func (t *test) holds(v event.Value) bool {
	switch t.op {
	case opExists:
		return !v.IsNull()
	case opNotExists:
		return v.IsNull()
	}
	if v.Kind() == event.List {
		for _, e := range v.List() {
			if t.holds(e) != t.op.negative() {
				return !t.op.negative()
			}
		}
		return t.op.negative()
	}
	if v.IsNull() {
		return t.op.negative()
	}
	if t.op.textual() {
		return t.holdsText(v)
	}
	o := t.cal.operand(v)
	return t.holdsOperand(&o)
}

func (t *test) holdsText(v event.Value) bool {
	s, ok := plain(v)
	if !ok {
		return t.op.negative()
	}
	if t.fold {
		s = strings.ToLower(s)
	}
	switch t.op {
	case opContains:
		return strings.Contains(s, t.text)
	case opNotContains:
		return !strings.Contains(s, t.text)
	case opStarts:
		return strings.HasPrefix(s, t.text)
	case opEnds:
		return strings.HasSuffix(s, t.text)
	}
	return t.re.MatchString(s)
}

func (t *test) holdsOperand(o *operand) bool {
	switch t.op {
	case opIn, opNotIn:
		for i := range t.values {
			if c, ok := compare(o, &t.values[i]); ok && c == 0 {
				return t.op == opIn
			}
		}
		return t.op == opNotIn
	case opBetween:
		low, ok := compare(o, &t.values[0])
		high, ok2 := compare(o, &t.values[1])
		return ok && ok2 && low >= 0 && high <= 0
	case opBefore, opAfter:
		if !o.isDate {
			return false
		}
		return t.op == opBefore && o.micros < t.values[0].micros || t.op == opAfter && o.micros > t.values[0].micros
	}
	c, ok := compare(o, &t.values[0])
	switch t.op {
	case opEq:
		return ok && c == 0
	case opNe:
		return !ok || c != 0
	case opLt:
		return ok && c < 0
	case opLe:
		return ok && c <= 0
	case opGt:
		return ok && c > 0
	default: // opGe
		return ok && c >= 0
	}
}

// number says whether the test holds for a number.
func (t *test) number(f float64) bool { return t.holds(event.OfFloat(f)) }

// leaf is one condition on one property.
type leaf struct {
	id    int // counts the leaves of one question
	place place
	key   string
	test  *test
}

type joint uint8

const (
	isLeaf joint = iota
	allOf
	anyOf
	notOf
)

// filter is a condition on an event and its person: a tree of leaves. nil
// holds always.
type filter struct {
	joint joint
	leaf  leaf
	subs  []*filter
}

// holds evaluates the tree, asking the caller for each leaf.
func (f *filter) holds(leaf func(*leaf) bool) bool {
	if f == nil {
		return true
	}
	switch f.joint {
	case allOf:
		for _, s := range f.subs {
			if !s.holds(leaf) {
				return false
			}
		}
		return true
	case anyOf:
		for _, s := range f.subs {
			if s.holds(leaf) {
				return true
			}
		}
		return false
	case notOf:
		return !f.subs[0].holds(leaf)
	}
	return leaf(&f.leaf)
}

// each calls fn for every leaf.
func (f *filter) each(fn func(*leaf)) {
	if f == nil {
		return
	}
	if f.joint == isLeaf {
		fn(&f.leaf)
	}
	for _, s := range f.subs {
		s.each(fn)
	}
}

// both joins two filters, either of which may be nil.
func both(a, b *filter) *filter {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &filter{joint: allOf, subs: []*filter{a, b}}
}

// item evaluates a leaf on the items of an event: true if any item matches.
func (l *leaf) item(items event.Value) bool {
	if items.Kind() == event.Object {
		return l.test.holds(event.Lookup(items.Object(), l.key))
	}
	for _, it := range items.List() {
		if it.Kind() == event.Object && l.test.holds(event.Lookup(it.Object(), l.key)) {
			return true
		}
	}
	return false
}

// plainNumber says whether the test compares with one number, so that a column
// of numbers needs no values made: the comparison is then f against limit.
func (t *test) plainNumber() (limit float64, ok bool) {
	if t.op > opGe || len(t.values) != 1 || !t.values[0].isNum {
		return 0, false
	}
	v := &t.values[0]
	if v.exact && math.Abs(v.num) > 1<<53 {
		return 0, false
	}
	return v.num, true
}

// against is the numeric comparison of plainNumber.
func (t *test) against(f, limit float64) bool {
	switch t.op {
	case opEq:
		return f == limit
	case opNe:
		return f != limit
	case opLt:
		return f < limit
	case opLe:
		return f <= limit
	case opGt:
		return f > limit
	default:
		return f >= limit
	}
}
