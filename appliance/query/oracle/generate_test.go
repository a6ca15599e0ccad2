package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// asking makes random questions that a world can answer.
type asking struct {
	*rand.Rand
	w     *world
	depth int
}

func (a *asking) chance(n int) bool { return a.IntN(n) == 0 }

func (a *asking) question() object {
	q := pick(a.Rand, a.trend, a.trend, a.funnel, a.funnel, a.segment, a.uniques, a.simple)()
	if a.chance(6) {
		q["filter"] = a.filter(1)
	}
	if a.chance(3) {
		q["timezone"] = zones[a.IntN(len(zones))]
	}
	if a.chance(5) {
		q["week_starts"] = pick(a.Rand, "sunday", "monday")
	}
	if a.chance(4) {
		q["now"] = a.instant()
	}
	return q
}

// span of the world's events, about: where ranges begin and end.
func (a *asking) about() time.Time {
	base := a.w.now.Add(-time.Duration(a.IntN(200)) * time.Hour)
	for _, p := range a.w.people {
		if len(p.events) > 0 && a.chance(2) {
			return time.UnixMicro(p.events[a.IntN(len(p.events))].time)
		}
	}
	return base
}

func (a *asking) instant() string {
	t := a.about()
	if a.chance(3) {
		return t.In(a.w.loc).Format(time.RFC3339Nano)
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (a *asking) date() string { return a.about().UTC().Format("2006-01-02") }

// between puts a range into o, or half of one, or none.
func (a *asking) between(o object) {
	from, to := a.date(), a.date()
	if from > to {
		from, to = to, from
	}
	if a.chance(3) {
		f, t := a.about(), a.about()
		if f.After(t) {
			f, t = t, f
		}
		from, to = f.UTC().Format(time.RFC3339Nano), t.UTC().Format(time.RFC3339Nano)
	}
	if a.IntN(4) > 0 {
		o["from"] = from
	}
	if a.IntN(4) > 0 {
		o["to"] = to
	}
}

func (a *asking) event() object {
	o := object{}
	if a.IntN(6) > 0 {
		o["event"] = names[a.IntN(len(names))]
	} else if a.chance(2) {
		o["event"] = nil
	}
	if a.chance(3) {
		o["filter"] = a.filter(2)
	}
	return o
}

var eventKeys = []string{"country", "amount", "sku", "tags", "hours", "when", "missing"}

func (a *asking) filter(depth int) any {
	if depth > 0 && a.chance(3) {
		list := []any{}
		for range a.IntN(4) {
			list = append(list, a.filter(depth-1))
		}
		return pick(a.Rand, object{"all": list}, object{"any": list}, object{"not": a.filter(depth - 1)})
	}
	key := eventKeys[a.IntN(len(eventKeys))]
	o := object{}
	switch a.IntN(7) {
	case 6:
		most := 1440
		if key = pick(a.Rand, "minute", "weekday"); key == "weekday" {
			most = 8
		}
		return object{"of": "time", "property": key, "op": pick(a.Rand, "=", "<", ">=", "!="), "value": a.IntN(most)}
	case 0:
		key, o["of"] = pick(a.Rand, "plan", "age", "tags"), "profile"
	case 1:
		key, o["of"] = pick(a.Rand, "sku", "price", "tags"), "item"
	case 2:
		o["of"] = "event"
	}
	o["property"] = key
	a.test(o, key)
	return o
}

// operand is a value to compare with: one that properties have, as a rule.
func (a *asking) operand(key string) any {
	if key == "price" {
		key = "amount"
	}
	for {
		switch v := randomValue(a.Rand, pick(a.Rand, key, key, key, "country", "amount", "when")).(type) {
		case nil, object, time.Time:
		case []any:
			if len(v) > 0 && v[0] != nil {
				return v[0]
			}
		default:
			return v
		}
	}
}

func (a *asking) test(o object, key string) {
	op := pick(a.Rand, "=", "!=", "<", "<=", ">", ">=", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with",
		"matches", "exists", "not_exists", "between", "before", "after")
	o["op"] = op
	switch op {
	case "exists", "not_exists":
	case "in", "not_in":
		list := []any{}
		for range a.IntN(4) {
			list = append(list, a.operand(key))
		}
		o["value"] = list
	case "between":
		o["value"] = []any{a.operand(key), a.operand(key)}
	case "before", "after":
		o["value"] = pick(a.Rand, "2011-11-01", "2011-03-27T02:30:00Z", "2011-11-01T00:00:00+01:00")
	case "matches":
		o["value"] = pick(a.Rand, "^[A-Z]", "e", "^$", "[0-9]+", "(?i)r")
	case "contains", "not_contains", "starts_with", "ends_with":
		o["value"] = pick[any](a.Rand, "e", "R", "", "d", 1, "IN", "n")
		if a.chance(3) {
			o["case"] = true
		}
	default:
		o["value"] = a.operand(key)
	}
}

func (a *asking) when() any {
	switch a.IntN(3) {
	case 0:
		return object{"last": a.length()}
	case 1:
		o := object{}
		a.between(o)
		return o
	}
	return nil
}

func (a *asking) length() object {
	return pick(a.Rand,
		object{"n": a.IntN(90), "unit": "minute"}, object{"n": a.IntN(72), "unit": "hour"}, object{"n": a.IntN(12), "unit": "day"},
		object{"n": a.IntN(3), "unit": "week"}, object{"n": a.IntN(3), "unit": "month"}, object{"n": 1, "unit": "quarter"},
		object{"n": 1, "unit": "year"}, object{"n": a.IntN(4000), "unit": "second"})
}

func (a *asking) comparison(property bool) object {
	o := object{"op": pick(a.Rand, "=", ">=", ">", "<", "<=", "!="), "value": a.IntN(6)}
	if property {
		o["property"] = eventKeys[a.IntN(len(eventKeys))]
	}
	if a.chance(8) {
		o["op"], o["value"] = "between", []any{1, 3}
	}
	return o
}

func (a *asking) people(depth int) object {
	if depth > 0 && a.chance(3) {
		list := []any{}
		for range a.IntN(4) {
			list = append(list, a.people(depth-1))
		}
		return pick(a.Rand, object{"all": list}, object{"any": list}, object{"not": a.people(depth - 1)},
			object{"at_least": a.IntN(3), "of": list})
	}
	o := object{}
	switch a.IntN(11) {
	case 0, 1:
		o["did"] = a.event()
		if a.chance(2) {
			o["count"] = a.comparison(false)
		}
		if a.chance(4) {
			o["days"] = a.comparison(false)
		}
		for _, name := range []string{"sum", "avg", "min", "max", "distinct"} {
			if a.chance(8) {
				o[name] = a.comparison(true)
			}
		}
	case 2:
		o["did_not"] = a.event()
	case 3:
		o[pick(a.Rand, "first", "last")] = a.event()
	case 4:
		f := a.steps()
		o["funnel"] = f
		n := len(f["steps"].([]any))
		if a.chance(2) {
			o["step"] = 1 + a.IntN(n)
		}
		if step, ok := o["step"].(int); (!ok && n > 1 || step > 1) && a.chance(3) {
			o["dropped"] = true
		}
		return o
	case 5:
		test := object{"property": pick(a.Rand, "plan", "age", "tags", "missing")}
		a.test(test, test["property"].(string))
		return object{"profile": test}
	case 6:
		if a.chance(2) {
			list := []any{}
			for range a.IntN(4) {
				list = append(list, fmt.Sprintf("p%d", 1+a.IntN(a.w.count+1)))
			}
			return object{"identity": list}
		}
		b, err := json.Marshal(a.people(max(depth-1, 0)))
		if err != nil {
			panic(err)
		}
		name := fmt.Sprintf("s%d", len(a.w.saved))
		a.w.saved[name] = string(b)
		return object{"segment": name}
	case 9:
		if len(a.w.lists) > 0 {
			return object{"list": pick(a.Rand, a.w.lists...)}
		}
		return object{"not": object{"all": []any{}}}
	case 10:
		return a.group(depth)
	case 7:
		return object{"reachable": pick(a.Rand, "email", "sms", "push")}
	case 8:
		return object{"consent": object{"purpose": pick(a.Rand, "offers", "news"), "channel": pick(a.Rand, "email", "sms")}}
	}
	if w := a.when(); w != nil {
		o["in"] = w
	}
	return o
}

// maybePeople limits a question to some people.
func (a *asking) maybePeople(o object) object {
	if a.chance(3) {
		o["people"] = a.people(2)
	}
	return o
}

func (a *asking) list() object {
	l := object{}
	if a.chance(2) {
		l["limit"] = 1 + a.IntN(5)
	}
	if len(a.w.people) > 0 && a.chance(3) {
		l["after"] = a.w.people[a.IntN(len(a.w.people))].identity
	}
	return l
}

func (a *asking) segment() object {
	q := a.maybePeople(object{"kind": "segment"})
	if a.chance(2) {
		q["people"] = a.people(3)
	}
	if a.chance(2) {
		q["list"] = a.list()
	}
	return q
}

func (a *asking) dimension() object {
	d := object{}
	switch a.IntN(6) {
	case 0:
		d["of"] = "person"
	case 1:
		d["of"], d["property"] = "profile", pick(a.Rand, "plan", "age", "tags")
	case 2:
		d["of"], d["property"] = "item", pick(a.Rand, "sku", "price", "tags")
	default:
		d["property"] = eventKeys[a.IntN(len(eventKeys))]
	}
	if a.chance(3) {
		d["limit"] = 1 + a.IntN(6)
	}
	return d
}

func (a *asking) breakdown() any {
	if a.chance(2) {
		return a.dimension()
	}
	list := []any{}
	for range 1 + a.IntN(3) {
		list = append(list, a.dimension())
	}
	return list
}

func (a *asking) trend() object {
	q := a.maybePeople(object{"kind": "trend"})
	a.between(q)
	interval := pick(a.Rand, "", "day", "day", "week", "month", "quarter", "year", "all", "hour", "minute")
	if interval == "minute" || interval == "hour" {
		// Keep the number of buckets small.
		at := a.about().UTC().Truncate(time.Second)
		q["from"] = at.Format(time.RFC3339)
		q["to"] = at.Add(time.Duration(1+a.IntN(300)) * time.Minute).Format(time.RFC3339)
		if interval == "hour" && a.chance(2) {
			q["from"], q["to"] = at.Format("2006-01-02"), at.AddDate(0, 0, a.IntN(3)).Format("2006-01-02")
		}
	}
	if interval != "" {
		q["interval"] = interval
	}
	if a.chance(2) {
		q["breakdown"] = a.breakdown()
	}
	if a.chance(4) {
		q["cumulative"] = true
	}
	if a.chance(3) {
		q["compare"] = "previous"
	}
	list := []any{}
	for range 1 + a.IntN(3) {
		list = append(list, a.series())
	}
	q["series"] = list
	if a.chance(3) {
		q["formula"] = a.formula(len(list), 3)
	}
	return q
}

// uniques is a trend that bitmaps can answer.
func (a *asking) uniques() object {
	q := a.maybePeople(object{"kind": "trend", "interval": pick(a.Rand, "day", "day", "week", "month", "all")})
	if a.IntN(4) > 0 {
		from := a.about()
		q["from"], q["to"] = from.Format("2006-01-02"), from.AddDate(0, 0, a.IntN(20)).Format("2006-01-02")
	}
	list := []any{}
	for range 1 + a.IntN(3) {
		s := object{"event": pick[any](a.Rand, "A", "B", "C", nil), "measure": "unique"}
		if a.chance(2) {
			s["trailing"] = pick(a.Rand, object{"n": 1 + a.IntN(9), "unit": "day"}, object{"n": 1, "unit": "week"}, object{"n": 1, "unit": "month"})
		}
		list = append(list, s)
	}
	q["series"] = list
	if a.chance(4) {
		q["compare"] = "previous"
	}
	return q
}

// simple is a question of the sort that is asked most, which the engine answers
// in ways of their own: one series with few breakdowns, or a funnel without
// options.
func (a *asking) simple() object {
	if a.chance(2) {
		q := object{"kind": "funnel"}
		a.between(q)
		list := []any{}
		for range 1 + a.IntN(4) {
			list = append(list, pick(a.Rand, object{"event": pick(a.Rand, "A", "B", "C")}, a.event()))
		}
		q["steps"] = list
		if a.IntN(4) > 0 {
			q["window"] = a.length()
		}
		if a.chance(4) {
			q["ties"] = "strict"
		}
		if a.chance(3) {
			q["time_to_convert"] = object{}
			if len(list) == 1 {
				delete(q, "time_to_convert")
			}
		}
		if a.chance(3) {
			q["list"] = a.list()
		}
		return a.maybePeople(q)
	}
	q := object{"kind": "trend", "interval": pick(a.Rand, "day", "day", "week", "month", "all")}
	a.between(q)
	s := pick(a.Rand, object{"event": pick(a.Rand, "A", "B", "C")}, a.event())
	if m := pick(a.Rand, "count", "sum", "avg", "min", "max", "unique", "median"); m != "count" {
		s["measure"] = m
		if m != "unique" {
			s["property"] = pick(a.Rand, "amount", "amount", "hours")
		}
	}
	if a.chance(2) {
		q["breakdown"] = a.dimension()
	}
	q["series"] = []any{s}
	return a.maybePeople(q)
}

func (a *asking) series() object {
	s := a.event()
	m := pick(a.Rand, "", "count", "unique", "unique", "per_person", "sum", "avg", "min", "max", "median", "p75", "p90", "p95", "p99", "distinct",
		"first_seen", "last_seen")
	switch m {
	case "":
	case "sum", "avg", "min", "max", "median", "p75", "p90", "p95", "p99", "distinct":
		s["measure"], s["property"] = m, pick(a.Rand, "amount", "amount", "hours", "sku", "tags", "country")
	default:
		s["measure"] = m
		if m == "unique" && a.chance(2) {
			s["trailing"] = pick(a.Rand, object{"n": 7, "unit": "day"}, object{"n": 1 + a.IntN(30), "unit": "hour"},
				object{"n": 1, "unit": "month"}, object{"n": 2, "unit": "day"})
		}
	}
	return s
}

func (a *asking) formula(series, depth int) string {
	if depth == 0 || a.chance(3) {
		if a.chance(3) {
			return pick(a.Rand, "100", "0", "2.5")
		}
		return string(rune('A' + a.IntN(series)))
	}
	x, y := a.formula(series, depth-1), a.formula(series, depth-1)
	return pick(a.Rand, x+" / "+y+" * 100", "("+x+" + "+y+")", x+" - "+y, "-("+x+")", x+" * "+y, "("+x+") / ("+y+")")
}

// steps is a funnel without what only a question has.
func (a *asking) steps() object {
	q := object{}
	a.between(q)
	list := []any{}
	for range 1 + a.IntN(4) {
		s := a.event()
		if a.chance(6) {
			s["name"] = "named"
		}
		list = append(list, s)
	}
	q["steps"] = list
	n := len(list)
	if a.IntN(3) > 0 {
		q["order"] = pick(a.Rand, "ordered", "strict", "any")
	}
	switch a.IntN(4) {
	case 0:
		q["window"] = object{"property": "hours", "unit": pick(a.Rand, "hour", "minute", "day")}
	case 1, 2:
		q["window"] = a.length()
	}
	if a.chance(4) {
		q["start"] = "first"
	}
	if a.chance(4) {
		q["ties"] = "strict"
	}
	if n > 1 && a.chance(3) {
		excludes := []any{}
		for range 1 + a.IntN(2) {
			x := a.event()
			if a.chance(2) {
				after := 1 + a.IntN(n-1)
				x["after_step"], x["before_step"] = after, after+1+a.IntN(n-after)
			}
			excludes = append(excludes, x)
		}
		q["exclude"] = excludes
	}
	if a.chance(4) {
		q["hold"] = pick(a.Rand, []any{"sku"}, []any{"country"}, []any{"sku", "country"})
	}
	return q
}

func (a *asking) funnel() object {
	q := a.maybePeople(a.steps())
	q["kind"] = "funnel"
	n := len(q["steps"].([]any))
	if a.chance(3) {
		q["count"] = pick(a.Rand, "attempts", "people")
	}
	if a.chance(2) {
		q["breakdown"] = a.breakdown()
		if a.chance(2) {
			q["attribution"] = pick(a.Rand, "first_touch", "last_touch", "step")
			if q["attribution"] == "step" && a.chance(2) {
				q["step"] = 1 + a.IntN(n)
			}
		}
	}
	if a.chance(3) {
		o := object{}
		if a.chance(2) {
			o["interval"] = pick(a.Rand, "day", "week", "month", "all")
		}
		if a.chance(2) {
			o["from_step"] = 1 + a.IntN(n)
		}
		q["over_time"] = o
	}
	if n > 1 && a.chance(3) {
		o := object{}
		if a.chance(2) {
			from := 1 + a.IntN(n-1)
			o["from_step"], o["to_step"] = from, from+1+a.IntN(n-from)
		}
		if a.chance(2) {
			o["bins"] = 1 + a.IntN(12)
		}
		q["time_to_convert"] = o
	}
	if a.chance(3) {
		l := a.list()
		if a.chance(2) {
			l["step"] = 1 + a.IntN(n)
		}
		if step, ok := l["step"].(int); (!ok && n > 1 || step > 1) && a.chance(2) {
			l["dropped"] = true
		}
		q["list"] = l
	}
	return q
}
