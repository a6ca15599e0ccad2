package ingest

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// PropertyRules are the rules for the events of a name.
type PropertyRules struct {
	State    State
	Allow    []string // names; nil = all but the denied
	Deny     []string
	Personal []string

	Types    map[string]Type
	Required []string
	// Unknown is what becomes of a property that Allow, Personal, Types and
	// Required do not name. Where Allow is not nil and this is Take, it is dropped.
	Unknown Breach
	// Violation is what becomes of a property of another type than Types says,
	// and of an event that lacks what Required names.
	Violation Breach
}

// State is what becomes of an event by its name.
type State uint8

// The states of an event.
const (
	Active    State = iota
	Inactive        // it is accepted and left out: apps in the field go on sending it
	Discarded       // it is refused
)

// Breach is what becomes of what a schema does not have.
type Breach uint8

// What may become of it.
const (
	Take   Breach = iota // the event is taken with it; a violation gives it a mark
	Drop                 // the property is; where one is missing, the event is refused
	Refuse               // the event is
)

// Type is what a property's value may be.
type Type uint8

// The types of properties.
const (
	Any     Type = iota
	String       // a text
	Integer      // a whole number
	Float        // a number
	Boolean
	Time // an instant, or a text in RFC 3339
	List
	Object
)

var typeNames = [...]string{"anything", "a text", "a whole number", "a number", "true or false", "a time", "a list", "an object"}

// is says whether a value is of a type.
func (t Type) is(v event.Value) bool {
	switch t {
	case String:
		return v.Kind() == event.Text
	case Integer:
		n, ok := v.Number()
		return ok && v.IsNumber() && n == float64(int64(n))
	case Float:
		return v.IsNumber()
	case Boolean:
		return v.Kind() == event.Bool
	case Time:
		if v.Kind() == event.Text {
			_, err := time.Parse(time.RFC3339Nano, v.Text())
			return err == nil
		}
		return v.Kind() == event.Time
	case List:
		return v.Kind() == event.List
	case Object:
		return v.Kind() == event.Object
	}
	return true
}

// Codes of refusals by a schema, beside those of event.
const (
	RefusedDiscarded = "discarded" // the event is
	RefusedUnknown   = "unknown"   // a property that the schema does not have
	RefusedType      = "type"      // a property of another type
	RefusedMissing   = "missing"   // a property that is required
	LeftInactive     = "inactive"  // no refusal: the event is accepted and left out
)

var errInactive = &event.Refusal{Code: LeftInactive, Field: "event", Message: "the event is inactive: it was left out"}

// rulesFor finds the rules for the events of a name; nil = there are none.
func (r *Rules) rulesFor(name string) *PropertyRules {
	if len(r.Events) == 0 {
		return nil
	}
	if rule := r.Events[name]; rule != nil {
		return rule
	}
	return r.Events["*"]
}

// fact makes f what its rules say, or refuses it: an *event.Refusal. off is a
// breach that was let pass; added says which properties need be in no schema.
// The properties of f, which may be those of the
// record, stay as they are: a record that is refused is shown as it came.
func (p *PropertyRules) fact(f *event.Fact, rules *Rules) (off, refused error) {
	switch {
	case p == nil:
		return nil, nil
	case p.State == Discarded:
		return nil, &event.Refusal{Code: RefusedDiscarded, Field: "event", Message: "events of this name are not taken any more"}
	case p.State == Inactive:
		return nil, errInactive
	}
	for _, key := range p.Required {
		if event.Lookup(f.Props, key).IsNull() {
			r := &event.Refusal{Code: RefusedMissing, Field: "properties." + key, Message: "it is required"}
			if p.Violation != Take {
				return nil, r
			}
			off = first(off, r)
		}
	}
	kept := f.Props
	own := func(i int) []event.Prop { // a copy of the first i, with room for an address and a user agent
		return append(make([]event.Prop, 0, len(f.Props)+2), f.Props[:i]...)
	}
	owned := false
	for i := range f.Props {
		one := f.Props[i]
		gone := slices.Contains(p.Deny, one.Key)
		if !gone {
			what, r := p.breach(&one)
			if r != nil && r.Code == RefusedUnknown && rules.added(&one) {
				r = nil
			}
			if r != nil && what == Refuse {
				return nil, r
			}
			if r != nil && r.Code != RefusedUnknown { // what is not known is dropped without a word
				off = first(off, r)
			}
			gone = r != nil && what == Drop
			one.Personal = slices.Contains(p.Personal, one.Key)
		}
		if !owned && (gone || one.Personal) {
			kept, owned = own(i), true
		}
		if owned && !gone {
			kept = append(kept, one)
		}
	}
	f.Props = kept
	if off != nil {
		f.Flags |= event.OffSchema
	}
	return off, nil
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// breach says what is wrong with a property, and what becomes of it.
func (p *PropertyRules) breach(one *event.Prop) (Breach, *event.Refusal) {
	t, typed := p.Types[one.Key]
	if !typed && (p.Unknown != Take || p.Allow != nil) &&
		!slices.Contains(p.Allow, one.Key) && !slices.Contains(p.Personal, one.Key) && !slices.Contains(p.Required, one.Key) {
		return max(p.Unknown, Drop), &event.Refusal{Code: RefusedUnknown, Field: "properties." + one.Key, Message: "the event has no property of this name"}
	}
	if !t.is(one.Value) {
		return p.Violation, &event.Refusal{Code: RefusedType, Field: "properties." + one.Key, Message: fmt.Sprintf("it must be %s", typeNames[t])}
	}
	return Take, nil
}
