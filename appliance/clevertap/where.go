package clevertap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The vendor's query language (API.md, "Queries"), read into event references
// and people expressions of the question contract. What it says that ours
// cannot is refused by name: a condition that is passed over would count, or
// reach, whom nobody meant.

// Bounds of a query.
const (
	maxConditions = 200 // in one list
	maxValues     = 5000
	lookBack      = 365 // days that a query without a range means
)

// node is a part of a question or expression, to become JSON.
type node = map[string]any

// where is a query, read.
type where struct {
	event  string // "" = any event of the apps
	dated  bool   // from and to are given
	from   string
	to     string
	filter []any // F, all of which hold for the event
	people []any // P, all of which hold for the person
	first  *bool // only the first such event of a person, ever; or only the others
	empty  bool  // nothing is asked: everybody
}

var whereNames = []string{"event_name", "from", "to", "event_properties", "props", "session_properties",
	"common_profile_properties", "common_profile_prop", "advanced_query"}

// finder knows what is asked about people that no expression can say.
type finder interface {
	FindIdentity(identity string) (person uint32, ok bool)
	With(channel, address string) ([]uint32, error)
	Personal(attribute string) bool
	name(person uint32) (string, error) // an identity or device that finds them
}

// readWhere reads a query; also names the members that the call has beside it.
func readWhere(path string, o []event.Prop, f finder, also ...string) (*where, error) {
	if err := known(path, o, append(slices.Clone(whereNames), also...)...); err != nil {
		return nil, err
	}
	q, err := readBase(path, o, f)
	if err != nil {
		return nil, err
	}
	if v := event.Lookup(o, "advanced_query"); !v.IsNull() {
		if err := q.advanced(join(path, "advanced_query"), v, f); err != nil {
			return nil, err
		}
	}
	q.empty = q.event == "" && !q.dated && q.first == nil && len(q.filter) == 0 && len(q.people) == 0
	return q, nil
}

// readBase reads what a query and the queries inside it have.
func readBase(path string, o []event.Prop, f finder) (*where, error) {
	q := &where{}
	var err error
	if v := event.Lookup(o, "event_name"); !v.IsNull() {
		if q.event = v.Text(); q.event == "" || len(q.event) > 1024 {
			return nil, wrong("%s: the name of an event is needed", join(path, "event_name"))
		}
	}
	if err = q.dates(path, o); err != nil {
		return nil, err
	}
	for _, name := range []string{"event_properties", "props"} {
		if err := q.conditions(join(path, name), event.Lookup(o, name), q.eventCondition); err != nil {
			return nil, err
		}
	}
	if err := q.conditions(join(path, "session_properties"), event.Lookup(o, "session_properties"), q.sessionCondition); err != nil {
		return nil, err
	}
	for _, name := range []string{"common_profile_properties", "common_profile_prop"} {
		if v := event.Lookup(o, name); !v.IsNull() {
			if err := q.common(join(path, name), v, f); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

// dates reads from and to: yyyymmdd, as a number or a text.
func (q *where) dates(path string, o []event.Prop) (err error) {
	from, to := event.Lookup(o, "from"), event.Lookup(o, "to")
	if from.IsNull() && to.IsNull() {
		return nil
	}
	if q.from, err = day(join(path, "from"), from); err != nil {
		return err
	}
	if q.to, err = day(join(path, "to"), to); err != nil {
		return err
	}
	if q.to < q.from {
		return wrong("%s: it is before from", join(path, "to"))
	}
	q.dated = true
	return nil
}

// day reads yyyymmdd into yyyy-mm-dd.
func day(path string, v event.Value) (string, error) {
	s := v.Text()
	if v.Kind() == event.Int {
		s = strconv.FormatInt(v.Int(), 10)
	}
	t, err := time.Parse("20060102", s)
	if err != nil || len(s) != 8 || t.Year() < 1970 {
		return "", wrong("%s: a date is needed, as in 20260131", path)
	}
	return t.Format(time.DateOnly), nil
}

// conditions reads a list of objects, or one object.
func (q *where) conditions(path string, v event.Value, one func(path string, o []event.Prop) error) error {
	switch v.Kind() {
	case event.Null:
		return nil
	case event.Object:
		return one(path, v.Object())
	case event.List:
	default:
		return wrong("%s: a list is needed", path)
	}
	if len(v.List()) > maxConditions {
		return wrong("%s: %d conditions, and at most %d are taken", path, len(v.List()), maxConditions)
	}
	for i, e := range v.List() {
		at := fmt.Sprintf("%s[%d]", path, i)
		if e.Kind() != event.Object {
			return wrong("%s: an object with name, operator and value is needed", at)
		}
		if err := one(at, e.Object()); err != nil {
			return err
		}
	}
	return nil
}

func (q *where) eventCondition(path string, o []event.Prop) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	of := ""
	// Items of a Charged event: any of them counts.
	for _, sep := range []string{"|", "."} {
		if rest, ok := strings.CutPrefix(c.name, "Items"+sep); ok && rest != "" {
			c.name, of = rest, "item"
			break
		}
	}
	f, err := c.test(property(c.name, of))
	q.filter = append(q.filter, f)
	return err
}

// sessionProperties are those of a session, and the property of events that
// tells of it.
var sessionProperties = map[string]string{
	"utm_source": "utm_source", "utm_medium": "utm_medium", "utm_campaign": "utm_campaign",
	"session_referrer": "referrer", "session_source": "CT Source",
}

func (q *where) sessionCondition(path string, o []event.Prop) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	if name, ok := sessionProperties[c.name]; ok {
		f, err := c.test(property(name, ""))
		q.filter = append(q.filter, f)
		return err
	}
	switch c.name {
	case "first_time":
		if c.op != "equals" || len(c.values) != 1 {
			return wrong("%s: first_time takes one value, True or False", path)
		}
		is, ok := operands(c.values[0])[0].(bool)
		if !ok {
			return wrong("%s: first_time is True or False", join(path, "value"))
		}
		q.first = &is
		return nil
	case "time_of_day":
		return q.timeOfDay(&c)
	case "day_of_week":
		return q.dayOfWeek(&c)
	}
	return wrong("%s: there is no session property %q; there are %s", join(path, "name"), clip(c.name, 64), list(append(sorted(sessionProperties), "first_time", "time_of_day", "day_of_week")))
}

// timeOfDay reads ["00:00", "14:00"]: from the one until before the other,
// which may be the next day.
func (q *where) timeOfDay(c *condition) error {
	at := join(c.path, "value")
	if c.op != "equals" || len(c.values) != 2 {
		return wrong("%s: two times are needed, as [\"09:00\", \"14:00\"]", at)
	}
	var minutes [2]int
	for i, v := range c.values {
		t, err := time.Parse("15:04", v.Text())
		if err != nil && !(i == 1 && v.Text() == "24:00") {
			return wrong("%s: a time is needed, as in \"09:00\"", at)
		}
		if minutes[i] = t.Hour()*60 + t.Minute(); err != nil {
			minutes[i] = 24 * 60
		}
	}
	from, to := onClock("minute", ">=", minutes[0]), onClock("minute", "<", minutes[1])
	if minutes[0] < minutes[1] {
		q.filter = append(q.filter, from, to)
	} else {
		q.filter = append(q.filter, node{"any": []any{from, to}})
	}
	return nil
}

// dayOfWeek reads names of days, in full or by their first three letters.
func (q *where) dayOfWeek(c *condition) error {
	var days []any
	for _, v := range c.values {
		name := strings.ToLower(v.Text())
		i := slices.IndexFunc(weekdays, func(d string) bool { return name == d || name == d[:3] })
		if i < 0 {
			return wrong("%s: the name of a day is needed, as Monday", join(c.path, "value"))
		}
		days = append(days, i+1)
	}
	op, ok := map[string]string{"equals": "in", "not_equals": "not_in"}[c.op]
	if !ok || len(days) == 0 {
		return wrong("%s: day_of_week takes equals or not_equals, and days", c.path)
	}
	q.filter = append(q.filter, onClock("weekday", op, days))
	return nil
}

var weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

func onClock(what, op string, value any) any {
	return node{"property": what, "of": "time", "op": op, "value": value}
}

// ref is the event reference of the query.
func (q *where) ref() node {
	r := node{}
	if q.event != "" {
		r["event"] = q.event
	}
	if len(q.filter) > 0 {
		r["filter"] = node{"all": q.filter}
	}
	return r
}

// when is the query's range; without one it is the last 365 days.
func (q *where) when() node {
	if !q.dated {
		return node{"last": node{"n": lookBack, "unit": "day"}}
	}
	return node{"from": q.from, "to": q.to}
}

// did is the expression of those who did what the query says, times counting.
func (q *where) did(times node) (any, error) {
	d := node{"did": q.ref(), "in": q.when()}
	if times != nil {
		d["count"] = times
	}
	all := []any{d}
	if q.first != nil {
		first := node{"first": q.ref(), "in": q.when()}
		switch {
		case times != nil:
			return nil, wrong("first_time and a number of times do not go together")
		case *q.first:
			all = []any{first}
		default:
			// Something that was not the first: before the range, or twice in it.
			all = append(all, node{"any": []any{node{"not": first}, node{"did": q.ref(), "in": q.when(), "count": node{"op": ">=", "value": 2}}}})
		}
	}
	return allOf(append(all, q.people...)), nil
}

// expression is whom the query means.
func (q *where) expression() (any, error) {
	if q.empty {
		return node{"all": []any{}}, nil
	}
	return q.did(nil)
}

// among limits a question to the query's people.
func (q *where) among(question node) node {
	if len(q.people) > 0 {
		question["people"] = allOf(q.people)
	}
	return question
}

// span puts the query's range into a question; now is what 365 days count from.
func (q *where) span(question node, now time.Time) node {
	if q.dated {
		question["from"], question["to"] = q.from, q.to
	} else {
		question["from"], question["to"] = now.AddDate(0, 0, -lookBack).UTC().Format(time.RFC3339Nano), now.UTC().Format(time.RFC3339Nano)
	}
	return question
}
