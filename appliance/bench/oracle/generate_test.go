package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// zones change their clocks by whole hours, at midnight too.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo"}

var names = []string{"View", "Cart", "Buy", "Open"}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// generate writes a random set to files. Amounts are quarters, so that sums of
// them are exact on both sides.
func generate(t *testing.T, r *rand.Rand) set {
	dir := t.TempDir()
	s := set{
		events: filepath.Join(dir, "events.ndjson"), profiles: filepath.Join(dir, "profiles.ndjson"), zone: pick(r, zones...),
		props:   map[string]string{"country": "VARCHAR", "amount": "DOUBLE", "n": "BIGINT", "price": "VARCHAR", "flag": "BOOLEAN", "tags": "VARCHAR[]", "visit": "BIGINT"},
		profile: map[string]string{"plan": "VARCHAR", "age": "BIGINT", "labels": "VARCHAR[]"},
	}
	base := pick(r, time.Date(2011, 3, 5, 0, 0, 0, 0, time.UTC), time.Date(2011, 10, 8, 0, 0, 0, 0, time.UTC), time.Date(2011, 10, 25, 0, 0, 0, 0, time.UTC))
	days := 3 + r.IntN(40)
	s.now = base.AddDate(0, 0, days*3/4)
	users := 1 + r.IntN(120)
	write(t, s.profiles, users, func(i int) object {
		o := object{"user": fmt.Sprint("u", i)}
		maybe(r, o, "plan", "free", "gold", "Gold", "")
		maybe(r, o, "age", 18, 30, 30, 64)
		maybe(r, o, "labels", []string{"a", "B"}, []string{}, []string{"b"})
		return o
	})
	step := pick(r, time.Second, time.Minute, time.Hour, 7*time.Hour)
	within := int(time.Duration(days) * 24 * time.Hour / step)
	write(t, s.events, 1+r.IntN(3000), func(int) object {
		p := object{}
		maybe(r, p, "country", "IN", "DE", "de", "", "Côte d’Ivoire", "IN")
		maybe(r, p, "amount", 1, 2.5, -0.25, 1000, 0.75)
		maybe(r, p, "n", 1, 2, 3, 10)
		maybe(r, p, "price", "5", "2.50", "many", "", "1e3", "-1")
		maybe(r, p, "flag", true, false)
		maybe(r, p, "tags", []string{"new", "Red"}, []string{"red"}, []string{}, []string{"red", "red"})
		maybe(r, p, "visit", 1, 2, 3, 4, 5, 6)
		at := base.Add(time.Duration(r.IntN(within)) * step)
		return object{"user": fmt.Sprint("u", r.IntN(users)), "event": pick(r, names...), "ts": at.Format(time.RFC3339Nano), "props": p}
	})
	for i := range users {
		switch u := fmt.Sprint("u", i); {
		case i%3 == 2 && r.IntN(4) == 0: // into somebody who stays; i-1 and i-2 are in no other merge
			s.merges = append(s.merges, [2]string{u, fmt.Sprint("u", i-1-r.IntN(2))})
		case r.IntN(15) == 0:
			s.erased = append(s.erased, u)
		}
	}
	return s
}

func maybe[T any](r *rand.Rand, o object, key string, from ...T) {
	if r.IntN(5) > 0 {
		o[key] = pick(r, from...)
	}
}

func write(t *testing.T, file string, count int, line func(i int) object) {
	f, err := os.Create(file)
	must(t, err)
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	for i := range count {
		must(t, e.Encode(line(i)))
	}
	must(t, w.Flush())
	must(t, f.Close())
}

// asking makes random questions about a generated set.
type asking struct {
	*rand.Rand
	from time.Time
	days int
	seen int // users
}

func (a *asking) chance(n int) bool { return a.IntN(n) == 0 }

func (a *asking) day() time.Time { return a.from.AddDate(0, 0, a.IntN(a.days)) }

func (a *asking) span(o object) {
	f, t := a.day(), a.day()
	if f.After(t) {
		f, t = t, f
	}
	if a.chance(3) {
		f, t = f.Add(time.Duration(a.IntN(86_400))*time.Second), t.AddDate(0, 0, 1).Add(time.Duration(a.IntN(86_400))*time.Second)
		o["from"], o["to"] = f.Format(time.RFC3339), t.Format(time.RFC3339)
		return
	}
	o["from"], o["to"] = f.Format(time.DateOnly), t.Format(time.DateOnly)
}

func (a *asking) event() object {
	o := object{}
	if !a.chance(6) {
		o["event"] = pick(a.Rand, names...)
	}
	if a.chance(3) {
		o["filter"] = a.filter(2)
	}
	return o
}

func (a *asking) filter(depth int) object {
	if depth > 0 && a.chance(3) {
		list := []any{}
		for range a.IntN(4) {
			list = append(list, a.filter(depth-1))
		}
		return pick(a.Rand, object{"all": list}, object{"any": list}, object{"not": a.filter(depth - 1)})
	}
	if a.chance(5) {
		o := a.test(pick(a.Rand, "plan", "age", "labels"))
		o["of"] = "profile"
		return o
	}
	return a.test(pick(a.Rand, "country", "country", "amount", "n", "tags", "flag"))
}

// test is a condition on a property; both sides of it are of one type.
func (a *asking) test(key string) object {
	o := object{"property": key}
	var values []any
	ops := []string{"=", "!=", "in", "not_in", "exists", "not_exists"}
	switch key {
	case "country", "plan":
		values = []any{"IN", "de", "gold", "Côte d’Ivoire", "X"}
		ops = append(ops, "contains", "not_contains", "starts_with", "ends_with", "matches", "<", ">=")
	case "tags", "labels":
		values = []any{"red", "Red", "new", "a", "b"}
		ops = append(ops, "contains", "not_contains", "starts_with", "ends_with")
	case "amount", "n", "age":
		values = []any{1, 2.5, 3, 10, 30, -0.25}
		ops = append(ops, "<", "<=", ">", ">=", "between")
	case "flag":
		values = []any{true, false}
		ops = []string{"=", "!=", "exists", "not_exists"}
	}
	op := pick(a.Rand, ops...)
	o["op"] = op
	switch op {
	case "exists", "not_exists":
	case "in", "not_in":
		list := []any{}
		for range a.IntN(4) {
			list = append(list, pick(a.Rand, values...))
		}
		o["value"] = list
	case "between":
		o["value"] = []any{pick(a.Rand, values...), pick(a.Rand, values...)}
	case "matches":
		o["value"] = pick(a.Rand, "^[A-Z]", "e", "^$", "(?i)d")
	case "contains", "not_contains", "starts_with", "ends_with":
		o["value"] = pick(a.Rand, "e", "R", "n", "IN", "D")
		if a.chance(3) {
			o["case"] = true
		}
	default:
		o["value"] = pick(a.Rand, values...)
	}
	return o
}

func (a *asking) length() object {
	return pick(a.Rand, object{"n": 1 + a.IntN(90), "unit": "minute"}, object{"n": 1 + a.IntN(48), "unit": "hour"}, object{"n": 1 + a.IntN(9), "unit": "day"}, object{"n": 1, "unit": "week"})
}

func (a *asking) when(o object) object {
	switch a.IntN(3) {
	case 0:
		o["in"] = object{"last": a.length()}
	case 1:
		in := object{}
		a.span(in)
		o["in"] = in
	}
	return o
}

func (a *asking) comparison() object {
	return object{"op": pick(a.Rand, "=", ">=", ">", "<", "<=", "!="), "value": a.IntN(6)}
}

func (a *asking) people(depth int) object {
	if depth > 0 && a.chance(3) {
		list := []any{}
		for range a.IntN(4) {
			list = append(list, a.people(depth-1))
		}
		return pick(a.Rand, object{"all": list}, object{"any": list}, object{"not": a.people(depth - 1)}, object{"at_least": a.IntN(3), "of": list})
	}
	switch a.IntN(6) {
	case 0, 1:
		o := a.when(object{"did": a.event()})
		for _, key := range []string{"count", "days"} {
			if a.chance(3) {
				o[key] = a.comparison()
			}
		}
		for _, key := range []string{"sum", "avg", "min", "max", "distinct"} {
			if a.chance(8) {
				c := a.comparison()
				c["property"] = pick(a.Rand, "amount", "n", "price")
				o[key] = c
			}
		}
		return o
	case 2:
		return a.when(object{"did_not": a.event()})
	case 3:
		return a.when(object{pick(a.Rand, "first", "last"): a.event()})
	case 4:
		list := []any{}
		for range a.IntN(5) {
			list = append(list, fmt.Sprint("u", a.IntN(a.seen)))
		}
		return object{"identity": list}
	}
	return object{"profile": a.test(pick(a.Rand, "plan", "age", "labels"))}
}

// anything is a question of any kind, as JSON has it.
func (a *asking) anything() object {
	q := pick(a.Rand, a.trend, a.trend, a.trend, a.segment, a.retention, a.lifecycle, a.stickiness, a.sessions, a.distribution, a.funnel, a.funnel)()
	if a.chance(4) && q["people"] == nil {
		q["people"] = a.people(2)
	}
	if a.chance(5) {
		q["filter"] = a.filter(1)
	}
	if a.chance(3) {
		q["timezone"] = pick(a.Rand, zones...)
	}
	if a.chance(5) {
		q["now"] = a.day().Format(time.RFC3339)
	}
	if a.chance(4) {
		q["week_starts"] = "sunday"
	}
	b, err := json.Marshal(q)
	if err != nil {
		panic(err)
	}
	var out object
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

func (a *asking) trend() object {
	q := object{"kind": "trend"}
	a.span(q)
	switch q["interval"] = pick(a.Rand, "day", "day", "week", "month", "quarter", "year", "all", "hour"); {
	case q["interval"] == "hour":
		at := a.day()
		q["from"], q["to"] = at.Format(time.DateOnly), at.AddDate(0, 0, a.IntN(2)).Format(time.DateOnly)
	}
	broken := a.chance(2)
	if broken {
		list := []any{}
		for range 1 + a.IntN(3) {
			list = append(list, pick(a.Rand, object{"property": "country"}, object{"property": "tags"}, object{"property": "n", "limit": 3}, object{"of": "person", "limit": 1 + a.IntN(8)},
				object{"of": "profile", "property": "plan"}, object{"of": "profile", "property": "labels"}, object{"property": "flag"}))
		}
		q["breakdown"] = list
	}
	if a.chance(4) {
		q["cumulative"] = true
	}
	if i := q["interval"]; (i == "day" || i == "all") && len(q["from"].(string)) == len(time.DateOnly) && a.chance(2) {
		q["compare"] = "previous"
	}
	series := []any{}
	for range 1 + a.IntN(3) {
		s := a.event()
		switch m := pick(a.Rand, "", "count", "unique", "unique", "per_person", "sum", "avg", "min", "max", "median", "p75", "p90", "p95", "p99", "distinct", "first_seen", "last_seen"); m {
		case "":
		case "count", "unique", "per_person", "first_seen", "last_seen":
			s["measure"] = m
			if m == "unique" && !broken && a.chance(2) {
				s["trailing"] = a.length()
			}
		default:
			s["measure"], s["property"] = m, pick(a.Rand, "amount", "n", "price")
		}
		series = append(series, s)
	}
	q["series"] = series
	return q
}

func (a *asking) segment() object {
	return object{"kind": "segment", "people": a.people(3), "list": object{"limit": 1 + a.IntN(50)}}
}

func (a *asking) whole(q object) object {
	q["interval"] = pick(a.Rand, "day", "day", "week", "month")
	return q
}

func (a *asking) retention() object {
	q := a.whole(object{"kind": "retention", "start": a.event(), "return": a.event(), "first": a.day().Format(time.DateOnly), "buckets": 1 + a.IntN(12),
		"mode": pick(a.Rand, "first_time", "recurring")})
	if a.chance(3) {
		q["unbounded"] = true
	}
	return q
}

func (a *asking) named(kind string) object {
	q := object{"kind": kind}
	if a.chance(4) {
		return q
	}
	q["event"] = pick(a.Rand, names...)
	return q
}

func (a *asking) lifecycle() object {
	q := a.whole(a.named("lifecycle"))
	a.span(q)
	return q
}

func (a *asking) stickiness() object {
	q := a.whole(a.named("stickiness"))
	a.span(q)
	return q
}

func (a *asking) sessions() object {
	q := a.named("sessions")
	a.span(q)
	if a.chance(3) {
		q["session"] = pick(a.Rand, "visit", "country")
	} else if a.chance(2) {
		q["gap"] = a.length()
	}
	if a.chance(2) {
		a.whole(q)
	}
	return q
}

func (a *asking) distribution() object {
	q := a.named("distribution")
	a.span(q)
	switch a.IntN(3) {
	case 0:
		q["of"], q["property"] = "property", pick(a.Rand, "amount", "n", "price")
	case 1:
		q["of"], q["then"] = "time", a.event()
		if a.chance(3) {
			q["ties"] = "strict"
		}
	}
	if a.chance(2) {
		q["bins"] = 1 + a.IntN(20)
	}
	return q
}

func (a *asking) funnel() object {
	q := object{"kind": "funnel"}
	a.span(q)
	steps := []any{}
	for range 1 + a.IntN(4) {
		steps = append(steps, a.event())
	}
	q["steps"] = steps
	if a.chance(2) {
		q["window"] = a.length()
	} else if a.chance(3) {
		q["window"] = object{"property": "amount", "unit": pick(a.Rand, "hour", "day")}
	}
	if a.chance(3) {
		q["start"] = "first"
	}
	if a.chance(3) {
		q["count"] = "attempts"
	}
	if a.chance(3) {
		q["ties"] = "strict"
	}
	if a.chance(3) {
		q["hold"] = pick(a.Rand, []any{"visit"}, []any{"country"}, []any{"country", "n"})
	}
	if n := len(steps); n > 1 && a.chance(3) {
		x := a.event()
		if a.chance(2) {
			after := 1 + a.IntN(n-1)
			x["after_step"], x["before_step"] = after, after+1+a.IntN(n-after)
		}
		q["exclude"] = []any{x}
	}
	if a.chance(3) {
		o := object{"interval": pick(a.Rand, "day", "week", "month", "all")}
		if a.chance(2) {
			o["from_step"] = 1 + a.IntN(len(steps))
		}
		q["over_time"] = o
	}
	if n := len(steps); n > 1 && a.chance(3) {
		from := 1 + a.IntN(n-1)
		q["time_to_convert"] = object{"from_step": from, "to_step": from + 1 + a.IntN(n-from), "bins": 1 + a.IntN(12)}
	}
	if a.chance(2) {
		q["breakdown"], q["attribution"], q["step"] = pick(a.Rand, object{"property": "country"}, object{"of": "profile", "property": "plan"}), "step", 1
	}
	return q
}
