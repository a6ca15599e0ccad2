package clevertap

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/query"
)

const (
	maxGroups  = 5
	maxTop     = 100
	defaultTop = 10
	maxTrend   = 366 * 24 * time.Hour
)

// reserved are the names of an answer that no group may have.
var reserved = map[string]bool{"status": true, "error": true, "code": true, "req_id": true}

// groups reads what is asked of the events under each label.
func (c *call) groups(one func(label string, o []event.Prop) (any, error)) (answer, error) {
	v := event.Lookup(c.body.Object(), "groups")
	if v.Kind() != event.Object || len(v.Object()) == 0 {
		return nil, wrong("groups: an object of groups is needed, as {\"foo\": {..}}")
	}
	if len(v.Object()) > maxGroups {
		return nil, wrong("groups: %d groups, and at most %d are taken", len(v.Object()), maxGroups)
	}
	out := answer{}
	for _, g := range v.Object() {
		if reserved[g.Key] || len(g.Key) > 128 {
			return nil, wrong("groups: %q cannot be a label", clip(g.Key, 64))
		}
		if g.Value.Kind() != event.Object {
			return nil, wrong("groups.%s: an object is needed", g.Key)
		}
		a, err := one(g.Key, g.Value.Object())
		if err != nil {
			return nil, err
		}
		out[g.Key] = a
	}
	return out, nil
}

var intervals = map[string]string{"daily": "day", "weekly": "week", "monthly": "month"}

// trends counts by day, week or month.
func (d *Door) trends(c *call) (answer, error) {
	if a, asked, err := d.kept(c); asked {
		return a, err
	}
	q, err := c.where("groups", "unique", "sum_event_prop")
	if err != nil {
		return nil, err
	}
	if err := q.needsRange(); err != nil {
		return nil, err
	}
	from, to, err := q.instants(time.UTC)
	if err != nil {
		return nil, err
	}
	if time.Duration(to-from)*time.Microsecond > maxTrend {
		return nil, wrong("from and to may be a year apart, and no more")
	}
	measure, property := "count", ""
	if v := event.Lookup(c.body.Object(), "unique"); isTrue(v) {
		measure = "unique"
	}
	if v := event.Lookup(c.body.Object(), "sum_event_prop"); !v.IsNull() {
		if property = v.Text(); property == "" || len(property) > 1024 {
			return nil, wrong("sum_event_prop: the name of a property is needed")
		}
		if measure = "sum"; q.first != nil {
			return nil, wrong("sum_event_prop and first_time do not go together")
		}
	}
	if q.first != nil && !*q.first && measure == "unique" {
		return nil, wrong("unique and first_time False do not go together")
	}
	a, err := c.groups(func(label string, o []event.Prop) (any, error) {
		if err := known("groups."+label, o, "trend_type"); err != nil {
			return nil, err
		}
		kind := event.Lookup(o, "trend_type").Text()
		interval, ok := intervals[kind]
		if !ok {
			return nil, wrong("groups.%s.trend_type: daily, weekly or monthly", label)
		}
		t, err := c.trend(q.among(q.span(node{"kind": "trend", "interval": interval, "series": q.series(measure, property)}, c.now)))
		if err != nil {
			return nil, err
		}
		out := make(map[string]any, len(t.Buckets))
		for i, bucket := range t.Buckets {
			name, err := bucketName(bucket, kind)
			if err != nil {
				return nil, err
			}
			out[name] = whole(q.value(t, i))
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return d.keep(c, a), nil
}

func (q *where) needsRange() error {
	switch {
	case q.event == "":
		return wrong("event_name: the name of an event is needed")
	case !q.dated:
		return wrong("from and to are needed")
	}
	return nil
}

func isTrue(v event.Value) bool { return v.Bool() || v.Text() == "true" || v.Text() == "True" }

// value is a bucket's, as total is the whole's.
func (q *where) value(t *query.TrendResult, i int) float64 {
	n := 0.0
	for _, s := range t.Series {
		if s.Name == "first" && len(t.Series) > 1 {
			n -= s.Values[i]
		} else {
			n += s.Values[i]
		}
	}
	return n
}

// bucketName names a bucket as the vendor does: yyyymmdd, yyyyww, yyyymm.
func bucketName(first, kind string) (string, error) {
	t, err := time.Parse(time.DateOnly, first)
	if err != nil {
		return "", fmt.Errorf("a bucket is called %q: %w", first, err)
	}
	switch kind {
	case "weekly":
		year, week := t.ISOWeek()
		return fmt.Sprintf("%04d%02d", year, week), nil
	case "monthly":
		return t.Format("200601"), nil
	}
	return t.Format("20060102"), nil
}

// top counts the values of properties that occur most, or least.
func (d *Door) top(c *call) (answer, error) {
	if a, asked, err := d.kept(c); asked {
		return a, err
	}
	q, err := c.where("groups", "top_n", "order")
	if err != nil {
		return nil, err
	}
	if err := q.needsRange(); err != nil {
		return nil, err
	}
	if q.first != nil && !*q.first {
		return nil, wrong("session_properties: values cannot be counted with first_time False")
	}
	a, err := c.groups(func(label string, o []event.Prop) (any, error) { return c.topOf(q, "groups."+label, o) })
	if err != nil {
		return nil, err
	}
	return d.keep(c, a), nil
}

func (c *call) topOf(q *where, path string, o []event.Prop) (any, error) {
	if err := known(path, o, "property_type", "name", "top_n", "order"); err != nil {
		return nil, err
	}
	// Some clients have these beside the groups.
	of := func(name string) event.Value {
		if v := event.Lookup(o, name); !v.IsNull() {
			return v
		}
		return event.Lookup(c.body.Object(), name)
	}
	limit := int64(defaultTop)
	if v := of("top_n"); !v.IsNull() {
		f, ok := v.Number()
		if limit = int64(f); !ok || f != float64(limit) || limit < 1 || limit > maxTop {
			return nil, wrong("%s.top_n: a whole number from 1 to %d", path, maxTop)
		}
	}
	least := false
	switch order := of("order").Text(); order {
	case "", "desc":
	case "asc":
		least = true
	default:
		return nil, wrong("%s.order: asc or desc", path)
	}
	name := event.Lookup(o, "name").Text()
	if name == "" || len(name) > 1024 {
		return nil, wrong("%s.name: the name of a property is needed", path)
	}
	by := node{"property": name}
	told := func(names map[string][]string) error {
		own, err := c.toldBy(q, propertiesOf(names, name))
		by["property"] = own
		return err
	}
	switch kind := event.Lookup(o, "property_type").Text(); kind {
	case "event_properties":
		for _, sep := range []string{"|", "."} {
			if rest, ok := strings.CutPrefix(name, "Items"+sep); ok && rest != "" {
				by["property"], by["of"] = rest, "item"
			}
		}
	case "session_properties":
		own, ok := sessionProperties[name]
		if !ok {
			return nil, wrong("%s.name: there is no session property %q; there are %s", path, clip(name, 64), list(sorted(sessionProperties)))
		}
		by["property"] = own
	case "profile_fields":
		if c.pub.Personal(name) {
			return nil, wrong("%s.name: %q identifies people and cannot be asked about", path, clip(name, 64))
		}
		by["of"] = "profile"
	case "demographics":
		own, ok := map[string]string{"age": "Age", "gender": "Gender"}[strings.ToLower(name)]
		if !ok {
			return nil, wrong("%s.name: age or gender", path)
		}
		by["property"], by["of"] = own, "profile"
	case "geo_fields":
		own, ok := map[string]string{"country": "Country", "state": "State", "region": "State", "city": "City"}[strings.ToLower(name)]
		if !ok {
			return nil, wrong("%s.name: country, state or city", path)
		}
		by["property"], by["of"] = own, "profile"
	case "technographics":
		if err := told(technographics); err != nil {
			return nil, err
		}
	case "app_fields":
		if err := told(appFields); err != nil {
			return nil, err
		}
	case "reachability":
		return c.topReach(q, path, name)
	default:
		return nil, wrong("%s.property_type: event_properties, session_properties, profile_fields, app_fields, demographics, technographics, reachability or geo_fields", path)
	}
	// One more, since what has no value takes a place too.
	if by["limit"] = limit + 1; least {
		by["limit"] = 10_000
	}
	t, err := c.trend(q.among(q.span(node{"kind": "trend", "interval": "all", "series": q.series("count", ""), "breakdown": by}, c.now)))
	if err != nil {
		return nil, err
	}
	if least && t.Other > 0 {
		return nil, wrong("%s: there are more than 10000 values, so the least frequent cannot be told", path)
	}
	lines := t.Series[:0:0]
	for _, s := range t.Series {
		if len(s.Breakdown) == 1 && !s.Breakdown[0].IsNull() {
			lines = append(lines, s)
		}
	}
	if least {
		lines = lines[max(0, len(lines)-int(limit)):]
	}
	out := map[string]map[string]any{}
	for _, s := range lines[:min(len(lines), int(limit))] {
		v := s.Breakdown[0]
		kind := kindName(v)
		if out[kind] == nil {
			out[kind] = map[string]any{}
		}
		out[kind][v.String()] = whole(s.Total)
	}
	return out, nil
}

// toldBy gives the property of several that most of the query's events have.
func (c *call) toldBy(q *where, names []string) (string, error) {
	best, most := names[0], 0.0
	for _, name := range names {
		if len(names) == 1 {
			break
		}
		one := *q
		one.filter = append(one.filter[:len(one.filter):len(one.filter)], property(name, "")("exists", nil))
		t, err := c.trend(one.among(one.span(node{"kind": "trend", "interval": "all", "series": one.series("count", "")}, c.now)))
		if err != nil {
			return "", err
		}
		if n := one.total(t); n > most {
			best, most = name, n
		}
	}
	return best, nil
}

// kindName is the vendor's name for a kind of value.
func kindName(v event.Value) string {
	switch v.Kind() {
	case event.Int:
		return "INT"
	case event.Float:
		return "FLT"
	case event.Bool:
		return "BOOL"
	case event.Time:
		return "DATE"
	}
	return "STR"
}

// topReach counts the events of people who can be reached, and of the others.
func (c *call) topReach(q *where, path, name string) (any, error) {
	channel := reachableBy(name)
	if channel == "" {
		return nil, wrong("%s.name: it names email, phone or push", path)
	}
	out := map[string]any{}
	for _, is := range []bool{true, false} {
		one := *q
		p := any(node{"reachable": channel})
		word := "True"
		if !is {
			p, word = node{"not": p}, "False"
		}
		one.people = append(one.people[:len(one.people):len(one.people)], p)
		n, err := c.count(&one)
		if err != nil {
			return nil, err
		}
		out[word] = n
	}
	return map[string]any{"STR": out}, nil
}
