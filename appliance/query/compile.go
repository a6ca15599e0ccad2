package query

import (
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Matcher is a compiled event reference that looks at one event and the
// profile of its person: what campaigns are triggered by. It means the same as
// in a question. Safe for concurrent use.
type Matcher struct{ ref *ref }

// CompileEvent compiles an event reference, {"event", "filter"}. Dates in it
// are days in loc, the publisher's zone. The error is an *Error.
func CompileEvent(reference []byte, loc *time.Location) (*Matcher, error) {
	env := Env{Location: loc}.withDefaults()
	c := &parser{}
	if err := c.shared(&fields{}, &env); err != nil {
		return nil, err
	}
	v, err := parseText(reference)
	if err != nil {
		return nil, err
	}
	r, err := c.onlyRef(node{v: v})
	if err != nil {
		return nil, err
	}
	return &Matcher{r}, nil
}

// Timed says whether the reference asks when an event happened: then Match
// cannot tell, and MatchAt can.
func (m *Matcher) Timed() bool {
	timed := false
	m.ref.filter.each(func(l *leaf) { timed = timed || l.place == ofClock })
	return timed
}

// Match says whether an event matches. Personal properties are missing to it,
// as they are to questions. profile gives an attribute of the person, Null if
// there is none; a nil profile has none.
func (m *Matcher) Match(name string, props []event.Prop, profile func(key string) event.Value) bool {
	return m.MatchAt(name, 0, props, profile)
}

// MatchAt is Match of an event of an instant, in microseconds.
func (m *Matcher) MatchAt(name string, at int64, props []event.Prop, profile func(key string) event.Value) bool {
	return m.ref.matches(name) && m.ref.filter.holds(func(l *leaf) bool {
		switch l.place {
		case ofClock:
			return l.test.holds(l.test.cal.reads(l.key, at))
		case ofProfile:
			if profile == nil {
				return l.test.holds(event.Value{})
			}
			return l.test.holds(profile(l.key))
		case ofItem:
			for _, key := range itemKeys {
				if items := property(props, key); !items.IsNull() {
					return l.item(items)
				}
			}
			return false
		}
		return l.test.holds(property(props, l.key))
	})
}

func property(props []event.Prop, key string) event.Value {
	for i := range props {
		if props[i].Key == key && !props[i].Personal {
			return props[i].Value
		}
	}
	return event.Value{}
}

// Event is the name that is matched, "" for any event of the apps.
func (m *Matcher) Event() string { return m.ref.name }

// CheckPeople says whether a people expression can be asked: nil, or an *Error.
// Of env only Location, Now, Segment, RFMs and the lists of Data.People count;
// without People there are no lists.
func CheckPeople(people []byte, env Env) error {
	env = env.withDefaults()
	_, err := (&parser{}).expression(people, &env)
	return err
}

// expression reads the text of a people expression.
func (c *parser) expression(people []byte, env *Env) (*expr, error) {
	if err := c.shared(&fields{}, env); err != nil {
		return nil, err
	}
	v, err := parseText(people)
	if err != nil {
		return nil, err
	}
	return c.expr(node{v: v})
}
