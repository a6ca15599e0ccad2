package event

import (
	"math"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// ValueKind says what a Value holds.
type ValueKind uint8

// The kinds of value that a property may have. Their numbers are part of the
// encoding (FORMAT.md) and never change.
const (
	Null   ValueKind = iota
	Bool             // true or false
	Int              // a whole number that fits an int64, kept exactly
	Float            // any other finite number
	Text             // UTF-8
	Time             // an instant, in microseconds since 1970 UTC
	List             // values, at most MaxList of them
	Object           // named values, at most MaxObject of them
)

// Value is one value of a property: a small union of 24 bytes, copied freely,
// since decoding moves more of these than anything else. Its zero value is
// Null. A Value is immutable once made; the slices inside are shared.
type Value struct {
	_    [0]func() // not comparable: Equal is
	kind ValueKind
	num  uint64         // the value, or how much of what p points to
	p    unsafe.Pointer // the bytes of a Text, elements of a List, members of an Object; nil where there are none
}

// text, list and obj may be asked for where kind says that they are there.
func (v *Value) text() string  { return unsafe.String((*byte)(v.p), v.num) }
func (v *Value) list() []Value { return unsafe.Slice((*Value)(v.p), v.num) }
func (v *Value) obj() []Prop   { return unsafe.Slice((*Prop)(v.p), v.num) }

// Prop is a named value. Order is kept as it arrived and names are unique
// within one list (Check refuses repeats).
type Prop struct {
	Key      string
	Value    Value
	Personal bool // identifies someone: sealed with the person, never in a block, not askable
}

// OfBool makes a Bool.
func OfBool(b bool) Value {
	if b {
		return Value{kind: Bool, num: 1}
	}
	return Value{kind: Bool}
}

// OfInt makes an Int.
func OfInt(i int64) Value { return Value{kind: Int, num: uint64(i)} }

// OfFloat makes a number: an Int where f is whole and below 2^53, so that 3
// and 3.0 are one value, else a Float. f must be finite.
func OfFloat(f float64) Value {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return OfInt(int64(f))
	}
	return Value{kind: Float, num: math.Float64bits(f)}
}

// OfText makes a Text; s must be valid UTF-8 (Check refuses it otherwise).
func OfText(s string) Value {
	return Value{kind: Text, num: uint64(len(s)), p: unsafe.Pointer(unsafe.StringData(s))}
}

// OfTime makes a Time, cut to whole microseconds.
func OfTime(t time.Time) Value { return Value{kind: Time, num: uint64(t.UnixMicro())} }

// OfMicros makes a Time from microseconds since 1970 UTC.
func OfMicros(us int64) Value { return Value{kind: Time, num: uint64(us)} }

// OfList makes a List; the slice belongs to the Value from then on.
func OfList(vs []Value) Value {
	return Value{kind: List, num: uint64(len(vs)), p: unsafe.Pointer(unsafe.SliceData(vs))}
}

// OfObject makes an Object; the slice belongs to the Value from then on.
func OfObject(ps []Prop) Value {
	return Value{kind: Object, num: uint64(len(ps)), p: unsafe.Pointer(unsafe.SliceData(ps))}
}

// Kind says what v holds.
func (v Value) Kind() ValueKind { return v.kind }

// IsNull says whether v is the missing value.
func (v Value) IsNull() bool { return v.kind == Null }

// Bool is the value of a Bool, else false.
func (v Value) Bool() bool { return v.kind == Bool && v.num != 0 }

// Int is the value of an Int, else 0.
func (v Value) Int() int64 {
	if v.kind != Int {
		return 0
	}
	return int64(v.num)
}

// Text is the value of a Text, else "". For a text of any kind use String.
func (v Value) Text() string {
	if v.kind != Text {
		return ""
	}
	return v.text()
}

// Micros is the value of a Time in microseconds since 1970 UTC, else 0.
func (v Value) Micros() int64 {
	if v.kind != Time {
		return 0
	}
	return int64(v.num)
}

// List is the elements of a List, else nil. The caller must not change them.
func (v Value) List() []Value {
	if v.kind != List {
		return nil
	}
	return v.list()
}

// Object is the members of an Object, else nil. The caller must not change them.
func (v Value) Object() []Prop {
	if v.kind != Object {
		return nil
	}
	return v.obj()
}

// Number is v as a number, where it is one: an Int or a Float, or, as
// QUERIES.md has it, a Text that is the decimal text of a finite number.
func (v Value) Number() (float64, bool) {
	switch v.kind {
	case Int:
		return float64(int64(v.num)), true
	case Float:
		return math.Float64frombits(v.num), true
	case Text:
		return numberText(v.text())
	}
	return 0, false
}

// IsNumber says whether v is an Int or a Float (not the text of one).
func (v Value) IsNumber() bool { return v.kind == Int || v.kind == Float }

func numberText(s string) (float64, bool) {
	if s == "" || len(s) > 40 {
		return 0, false
	}
	// ParseFloat would also take hexadecimal, underscores, "inf" and "nan".
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// String is v as text: what a breakdown shows and a template prints. A Time is
// RFC 3339 in UTC, a List and an Object are their JSON.
func (v Value) String() string {
	switch v.kind {
	case Bool:
		return strconv.FormatBool(v.num != 0)
	case Int:
		return strconv.FormatInt(int64(v.num), 10)
	case Float:
		return strconv.FormatFloat(math.Float64frombits(v.num), 'f', -1, 64)
	case Text:
		return v.text()
	case Time:
		return time.UnixMicro(int64(v.num)).UTC().Format(time.RFC3339Nano)
	case List, Object:
		return string(v.AppendJSON(nil))
	}
	return ""
}

// Equal says whether two values are the same: kind, and contents in order.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind || v.num != o.num {
		return false
	}
	switch v.kind {
	case Text:
		return v.text() == o.text()
	case List:
		return slices.EqualFunc(v.list(), o.list(), Value.Equal)
	case Object:
		return slices.EqualFunc(v.obj(), o.obj(), func(a, b Prop) bool { return a.Key == b.Key && a.Value.Equal(b.Value) })
	}
	return true
}

// Lookup finds a property by key, or the null Value.
func Lookup(ps []Prop, key string) Value {
	for i := range ps {
		if ps[i].Key == key {
			return ps[i].Value
		}
	}
	return Value{}
}
