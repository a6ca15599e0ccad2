package oracle

import (
	"encoding/json"
	"math"
	"slices"
)

// when says whether an instant lies in WHEN. upTo is the last instant that is
// looked at at all.
func (n *naive) when(w any, us int64) bool {
	o, _ := w.(object)
	if last, ok := o["last"].(object); ok {
		return us >= n.shift(n.now, last["n"].(float64), last["unit"].(string), -1) && us <= n.now
	}
	return n.in(readSpan(o), us)
}

func countsBack(w any) bool {
	o, _ := w.(object)
	return o["last"] != nil
}

// occurrences are a person's events that a reference means.
func (n *naive) occurrences(ref object, p *someone) []occurrence {
	var out []occurrence
	for _, o := range p.events {
		if n.fits(ref, o, p) {
			out = append(out, o)
		}
	}
	return out
}

// has says whether a person is one that P means.
func (n *naive) has(p *someone, e any) bool {
	if e == nil {
		return true
	}
	o := e.(object)
	switch {
	case o["did"] != nil:
		return n.did(p, o)
	case o["did_not"] != nil:
		return !n.did(p, object{"did": o["did_not"], "in": o["in"]})
	case o["first"] != nil, o["last"] != nil:
		ref, first := o["last"], false
		if o["first"] != nil {
			ref, first = o["first"], true
		}
		found := n.occurrences(ref.(object), p)
		if countsBack(o["in"]) {
			found = slices.DeleteFunc(found, func(o occurrence) bool { return o.time > n.now })
		}
		if len(found) == 0 {
			return false
		}
		if first {
			return n.when(o["in"], found[0].time)
		}
		return n.when(o["in"], found[len(found)-1].time)
	case o["funnel"] != nil:
		f := n.newFunnel(o["funnel"].(object))
		step := len(f.steps)
		if s, ok := o["step"].(float64); ok {
			step = int(s)
		}
		best, ok := f.best(p)
		if o["dropped"] == true {
			return ok && best.depth == step-1
		}
		return ok && best.depth >= step
	case o["profile"] != nil:
		test := o["profile"].(object)
		return n.holds(test, p.profile[test["property"].(string)])
	case o["identity"] != nil:
		for _, id := range o["identity"].([]any) {
			if id == p.identity || slices.Contains(p.others, id.(string)) {
				return true
			}
		}
		return false
	case o["segment"] != nil:
		var saved any
		if err := json.Unmarshal([]byte(n.w.saved[o["segment"].(string)]), &saved); err != nil {
			panic(err)
		}
		inner := *n
		inner.top = nil
		return inner.has(p, saved)
	case o["list"] != nil:
		return slices.Contains(p.lists, o["list"].(string))
	case o["rfm"] != nil:
		return n.groupsOf(o)[p] == o["rfm"]
	case o["reachable"] != nil:
		return slices.Contains(p.reach, o["reachable"].(string))
	case o["consent"] != nil:
		c := o["consent"].(object)
		return slices.Contains(p.consent, [2]string{c["purpose"].(string), c["channel"].(string)})
	case o["not"] != nil:
		return !n.has(p, o["not"])
	}
	list, need := o["all"], -1
	if o["any"] != nil {
		list, need = o["any"], 1
	}
	if k, ok := o["at_least"].(float64); ok {
		list, need = o["of"], int(k)
	}
	held := 0
	for _, e := range list.([]any) {
		if n.has(p, e) {
			held++
		}
	}
	if need < 0 {
		need = len(list.([]any))
	}
	return held >= need
}

func (n *naive) did(p *someone, o object) bool {
	found := n.occurrences(o["did"].(object), p)
	found = slices.DeleteFunc(found, func(x occurrence) bool { return !n.when(o["in"], x.time) })
	if len(found) == 0 {
		return false
	}
	for name, measured := range map[string]string{"count": "count", "days": "days", "sum": "sum", "avg": "avg", "min": "min", "max": "max", "distinct": "distinct"} {
		c, ok := o[name].(object)
		if !ok {
			continue
		}
		days := map[string]bool{}
		for _, x := range found {
			days[n.dateOf(x.time)] = true
		}
		v := float64(len(days))
		if measured != "days" {
			property, _ := c["property"].(string)
			v = measure(measured, property, pairs(p, found))
		}
		if !n.holds(c, v) {
			return false
		}
	}
	return true
}

// pair is an event with its person.
type pair struct {
	p *someone
	o occurrence
}

func pairs(p *someone, os []occurrence) []pair {
	var out []pair
	for _, o := range os {
		out = append(out, pair{p, o})
	}
	return out
}

// measure is a measure of some events.
func measure(name, property string, events []pair) float64 {
	people := map[*someone]bool{}
	distinct := map[string]bool{}
	var numbers []float64
	sum := 0.0
	for _, e := range events {
		people[e.p] = true
		if v := e.o.props[property]; v != nil {
			distinct[same(v)] = true
			if f, ok := numberOf(v); ok {
				numbers = append(numbers, f)
				sum += f
			}
		}
	}
	slices.Sort(numbers)
	k := len(numbers)
	switch name {
	case "count":
		return float64(len(events))
	case "unique":
		return float64(len(people))
	case "per_person":
		if len(people) == 0 {
			return 0
		}
		return float64(len(events)) / float64(len(people))
	case "distinct":
		return float64(len(distinct))
	}
	if k == 0 {
		return 0
	}
	switch name {
	case "sum":
		return sum
	case "avg":
		return sum / float64(k)
	case "min":
		return numbers[0]
	case "max":
		return numbers[k-1]
	case "median":
		return (numbers[(k-1)/2] + numbers[k/2]) / 2
	}
	percent := map[string]float64{"p75": 75, "p90": 90, "p95": 95, "p99": 99}[name]
	for i, v := range numbers {
		if float64(i+1)*100 >= percent*float64(k) {
			return v
		}
	}
	return math.NaN()
}

// living are the people whom the question looks at.
func (n *naive) living(q object) []*someone {
	var out []*someone
	for _, p := range n.w.people {
		if n.has(p, q["people"]) {
			out = append(out, p)
		}
	}
	return out
}

func (n *naive) segment(q object) any {
	people := n.living(q)
	reach := object{"email": 0.0, "sms": 0.0, "push": 0.0}
	for _, p := range people {
		for _, c := range p.reach {
			if n, told := reach[c].(float64); told { // by webhook is not
				reach[c] = n + 1
			}
		}
	}
	out := object{"count": float64(len(people)), "reachable": reach}
	if l, ok := q["list"].(object); ok {
		out["people"] = n.listed(people, l)
	}
	return out
}

// listed lists identities in the order of numbers; after somebody, whether or
// not they are among the people.
func (n *naive) listed(people []*someone, l object) []any {
	limit := 100
	if k, ok := l["limit"].(float64); ok {
		limit = int(k)
	}
	after := uint32(0)
	for _, p := range n.w.people {
		if p.identity == l["after"] {
			after = p.number
		}
	}
	out := []any{}
	for _, p := range people {
		if p.number > after && len(out) < limit {
			out = append(out, p.identity)
		}
	}
	return out
}
