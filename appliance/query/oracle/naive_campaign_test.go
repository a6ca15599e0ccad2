package oracle

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
)

// mail is one event about a message, with its person.
type mail = pair

// stagesOf are the events that the numbers of a report count, by its names.
var stagesOf = map[string]string{
	"sent": "Notification Sent", "delivered": "Notification Delivered", "opened": "Notification Viewed", "clicked": "Notification Clicked",
	"replied": "Notification Replied", "bounced": "Notification Bounced", "unsubscribed": "Channel Unsubscribed",
	"failed": "Notification Failed", "held": "Notification Held",
}

// campaigning is one question of kind campaign.
type campaigning struct {
	*naive
	q       object
	goal    object // with conversion, n, unit and revenue; nil = none
	control object // of a held message
}

func (n *naive) campaign(q object) any {
	c := &campaigning{naive: n, q: q, control: object{"op": "=", "value": "control"}}
	c.readGoal()
	people := n.living(q)
	all := []mail{}
	for _, p := range people {
		for _, o := range p.events {
			if c.about(o) {
				all = append(all, mail{p, o})
			}
		}
	}
	inRange := slices.DeleteFunc(slices.Clone(all), func(m mail) bool { return !n.in(readSpan(q), m.o.time) })
	groups := map[bool][]*person{}
	for _, p := range people {
		if e := c.follow(p); e != nil {
			groups[e.control] = append(groups[e.control], e)
		}
	}
	out := c.report(inRange, groups[false], groups[true])
	out["goal"] = nil
	if g := c.goal; g != nil {
		out["goal"] = object{"event": g["title"], "window": object{"n": g["n"], "unit": g["unit"]}, "revenue": g["revenue"]}
	}
	if q["breakdown"] == nil {
		return out
	}
	b := n.newBreakdown(q["breakdown"])
	keyed := func(p *someone, o occurrence, control bool) []combination {
		return b.tuples(func(dim object) []any {
			if control && dim["of"] == nil && dim["property"] == "variant" {
				return []any{nil}
			}
			return valuesOf(dim, p, o)
		})
	}
	messages, values := map[string][]mail{}, map[string][]any{}
	for _, m := range inRange {
		for _, t := range keyed(m.p, m.o, false) {
			messages[t.key] = append(messages[t.key], m)
			values[t.key] = t.values
		}
	}
	var lines []ranked
	for key, ms := range messages {
		sent := 0.0
		for _, m := range ms {
			if m.o.name == stagesOf["sent"] {
				sent++
			}
		}
		lines = append(lines, rankedOf(key, values[key], sent))
	}
	kept := b.keep(lines)
	rows := []any{}
	for _, l := range kept {
		wanted := l.key
		withoutVariant := ""
		for i, v := range l.values {
			if d := b.dims[i]; d["of"] == nil && d["property"] == "variant" {
				v = nil
			}
			withoutVariant += "|" + same(v)
		}
		of := func(group []*person, key string, control bool) (some []*person) {
			for _, e := range group {
				if slices.ContainsFunc(keyed(e.who, e.first, control), func(t combination) bool { return t.key == key }) {
					some = append(some, e)
				}
			}
			return some
		}
		row := c.report(messages[l.key], of(groups[false], wanted, false), of(groups[true], withoutVariant, true))
		row["value"] = l.values
		rows = append(rows, row)
	}
	out["breakdown"], out["other"] = rows, float64(len(lines)-len(kept))
	return out
}

// about says whether an event is about the messages asked for.
func (c *campaigning) about(o occurrence) bool {
	known := false
	for _, name := range stagesOf {
		known = known || name == o.name
	}
	for _, key := range []string{"campaign", "message"} {
		if id, ok := c.q[key].(string); ok && !c.holds(object{"op": "=", "value": id}, o.props[key]) {
			return false
		}
	}
	return known
}

func (c *campaigning) readGoal() {
	saved, has := c.w.goals["nothing"]
	if id, ok := c.q["campaign"].(string); ok {
		saved, has = c.w.goals[id]
	}
	g := object{"n": 7.0, "unit": "day", "revenue": nil}
	if has && saved.Within > 0 {
		seconds := saved.Within.Seconds()
		g["n"], g["unit"] = seconds, "second"
		for _, u := range []string{"minute", "hour", "day"} {
			if units := seconds / fixed[u].Seconds(); units == math.Floor(units) {
				g["n"], g["unit"] = units, u
			}
		}
	}
	ref, given := c.q["conversion"].(object)
	switch {
	case given:
	case has:
		if err := json.Unmarshal(saved.Event, &ref); err != nil {
			panic(err)
		}
		if saved.Revenue != "" {
			g["revenue"] = saved.Revenue
		}
	default:
		return
	}
	if w, ok := c.q["window"].(object); ok {
		g["n"], g["unit"] = w["n"], w["unit"]
	}
	if r, ok := c.q["revenue"].(string); ok {
		g["revenue"] = r
	}
	g["conversion"], g["title"] = ref, "any event"
	if name, ok := ref["event"].(string); ok {
		g["title"] = name
	}
	c.goal = g
}

// person is someone of one of the two groups.
type person struct {
	who     *someone
	first   occurrence // the message that put them there
	control bool
	events  int
	amount  float64
}

// follow finds a person's group and conversions, nil if they are in none.
func (c *campaigning) follow(p *someone) *person {
	if c.goal == nil {
		return nil
	}
	var e *person
	var windows []occurrence
	for _, o := range p.events {
		if !c.about(o) || !c.in(readSpan(c.q), o.time) {
			continue
		}
		control := o.name == stagesOf["held"] && c.holds(c.control, o.props["reason"])
		if !control && o.name != stagesOf["sent"] && o.name != stagesOf["failed"] {
			continue
		}
		if e == nil {
			e = &person{who: p, first: o, control: control}
		}
		if e.control == control && (len(windows) == 0 || c.q["start"] == "any") {
			windows = append(windows, o)
		}
	}
	if e == nil {
		return nil
	}
	property, _ := c.goal["revenue"].(string)
	sum := new(big.Rat)
	for _, o := range c.occurrences(c.goal["conversion"].(object), p) {
		if !slices.ContainsFunc(windows, func(m occurrence) bool {
			later := o.time > m.time || o.time == m.time && o.seq > m.seq
			return later && o.time <= c.shift(m.time, c.goal["n"].(float64), c.goal["unit"].(string), 1)
		}) {
			continue
		}
		e.events++
		if f, ok := numberOf(o.props[property]); ok && property != "" {
			sum.Add(sum, new(big.Rat).SetFloat64(f))
		}
	}
	e.amount, _ = sum.Float64()
	return e
}

// report is what became of some messages, and of the people of the two groups.
func (c *campaigning) report(messages []mail, target, control []*person) object {
	out := object{}
	counted := func(some []mail) object {
		people := map[*someone]bool{}
		for _, m := range some {
			people[m.p] = true
		}
		return object{"count": float64(len(some)), "people": float64(len(people))}
	}
	for key, name := range stagesOf {
		var some []mail
		by, values := map[string][]mail{}, map[string]any{}
		for _, m := range messages {
			if m.o.name == name {
				some = append(some, m)
				reason := m.o.props["reason"]
				by[same(reason)] = append(by[same(reason)], m)
				values[same(reason)] = reason
			}
		}
		one := counted(some)
		if key == "failed" || key == "held" {
			order := &naiveBreakdown{limit: math.MaxInt}
			var lines []ranked
			for k, ms := range by {
				lines = append(lines, rankedOf(k, []any{values[k]}, float64(len(ms))))
			}
			reasons := []any{}
			for _, l := range order.keep(lines) {
				line := counted(by[l.key])
				line["reason"] = values[l.key]
				reasons = append(reasons, line)
			}
			one["reasons"] = reasons
		}
		out[key] = one
	}
	out["converted"], out["revenue"] = nil, nil
	if c.goal == nil {
		return out
	}
	out["converted"] = compareConverted(target, control)
	if c.goal["revenue"] != nil {
		out["revenue"] = compareAmounts(target, control)
	}
	return out
}

// unknownComparison is one where nothing can be said.
func unknownComparison(target, control object) object {
	return object{"target": target, "control": control, "difference": nil, "difference_interval": nil, "lift": nil, "lift_interval": nil, "p": nil, "test": nil}
}

func compareConverted(target, control []*person) object {
	group := func(some []*person) (out object, x, n float64) {
		events := 0
		for _, e := range some {
			if events += e.events; e.events > 0 {
				x++
			}
		}
		n = float64(len(some))
		rate := 0.0
		if n > 0 {
			rate = x / n
		}
		return object{"people": n, "converted": x, "rate": rate, "events": float64(events)}, x, n
	}
	a, x1, n1 := group(target)
	b, x2, n2 := group(control)
	out := unknownComparison(a, b)
	if n1 == 0 || n2 == 0 {
		return out
	}
	p1, p2 := x1/n1, x2/n2
	out["difference"] = p1 - p2
	l1, u1 := scoreInterval(x1, n1)
	l2, u2 := scoreInterval(x2, n2)
	out["difference_interval"] = []any{p1 - p2 - math.Sqrt((p1-l1)*(p1-l1)+(u2-p2)*(u2-p2)), p1 - p2 + math.Sqrt((u1-p1)*(u1-p1)+(p2-l2)*(p2-l2))}
	few := false
	for _, row := range []float64{n1, n2} {
		for _, column := range []float64{x1 + x2, n1 + n2 - x1 - x2} {
			few = few || row*column/(n1+n2) < 5
		}
	}
	if few {
		out["p"], out["test"] = exactTest(int64(x1), int64(n1), int64(x2), int64(n2)), "fisher"
	} else {
		all := (x1 + x2) / (n1 + n2)
		z := math.Abs(p1-p2) / math.Sqrt(all*(1-all)/n1+all*(1-all)/n2)
		out["p"], out["test"] = 2*(1-0.5*(1+math.Erf(z/math.Sqrt2))), "score"
	}
	if x2 > 0 {
		out["lift"] = p1/p2 - 1
	}
	if x1+x2 > 0 {
		low, high := any(-1.0), any(nil)
		seen := -60.0
		switch {
		case x1 > 0 && x2 > 0:
			seen = math.Log(p1 / p2)
		case x1 > 0:
			seen = 60
		}
		refused := func(l float64) bool { return scoreOfRatio(x1, n1, x2, n2, math.Exp(l)) > normal95*normal95 }
		if x1 > 0 {
			low = math.Exp(edge(seen, -60, refused)) - 1
		}
		if x2 > 0 {
			high = math.Exp(edge(seen, 60, refused)) - 1
		}
		out["lift_interval"] = []any{low, high}
	}
	return out
}

// normal95 is how far from 0 a standard normal variable is in 5 of 100 cases.
var normal95 = math.Sqrt2 * math.Erfinv(0.95)

// edge halves the way from where something does not hold to where it does.
func edge(no, yes float64, holds func(float64) bool) float64 {
	for range 300 {
		middle := (no + yes) / 2
		if middle == no || middle == yes {
			break
		}
		if holds(middle) {
			yes = middle
		} else {
			no = middle
		}
	}
	return (no + yes) / 2
}

// scoreInterval are the shares that x of n are not too far from.
func scoreInterval(x, n float64) (low, high float64) {
	far := func(p float64) bool {
		return math.Abs(x/n-p) > normal95*math.Sqrt(p*(1-p)/n)
	}
	low, high = 0, 1
	if x > 0 {
		low = edge(x/n, 0, far)
	}
	if x < n {
		high = edge(x/n, 1, far)
	}
	return low, high
}

// exactTest adds up the tables of whole numbers that are no likelier than this.
func exactTest(x1, n1, x2, n2 int64) float64 {
	tables := func(a int64) *big.Int {
		return new(big.Int).Mul(new(big.Int).Binomial(n1, a), new(big.Int).Binomial(n2, x1+x2-a))
	}
	limit := new(big.Int).Mul(tables(x1), big.NewInt(10_000_001))
	some, all := new(big.Int), new(big.Int)
	for a := max(0, x1+x2-n2); a <= min(n1, x1+x2); a++ {
		t := tables(a)
		all.Add(all, t)
		if new(big.Int).Mul(t, big.NewInt(10_000_000)).Cmp(limit) <= 0 {
			some.Add(some, t)
		}
	}
	p, _ := new(big.Rat).SetFrac(some, all).Float64()
	return p
}

// scoreOfRatio is the squared distance of what was seen from the ratio, at the
// likeliest shares with that ratio, which are found by the slope of the
// likelihood.
func scoreOfRatio(x1, n1, x2, n2, ratio float64) float64 {
	slope := func(p float64) float64 {
		s := (x1 + x2) / p
		if n1 > x1 {
			s -= ratio * (n1 - x1) / (1 - ratio*p)
		}
		if n2 > x2 {
			s -= (n2 - x2) / (1 - p)
		}
		return s
	}
	p2 := edge(0, min(1, 1/ratio), func(p float64) bool { return slope(p) < 0 })
	p1 := min(1, ratio*p2)
	off := x1/n1 - ratio*x2/n2
	if off == 0 {
		return 0
	}
	return off * off / (p1*(1-p1)/n1 + ratio*ratio*p2*(1-p2)/n2)
}

func compareAmounts(target, control []*person) object {
	group := func(some []*person) (out object, n, mean, variance float64) {
		sum, n := new(big.Rat), float64(len(some))
		var values []float64
		for _, e := range some {
			values = append(values, e.amount)
			sum.Add(sum, new(big.Rat).SetFloat64(e.amount))
		}
		total, _ := sum.Float64()
		if n > 0 {
			mean = total / n
			if slices.Min(values) < slices.Max(values) {
				for _, v := range values {
					variance += (v - mean) * (v - mean) / (n - 1)
				}
			}
		}
		return object{"people": n, "total": total, "per_person": mean}, n, mean, variance
	}
	a, n1, m1, s1 := group(target)
	b, n2, m2, s2 := group(control)
	out := unknownComparison(a, b)
	if n1 == 0 || n2 == 0 {
		return out
	}
	out["difference"] = m1 - m2
	if m2 > 0 {
		out["lift"] = m1/m2 - 1
	}
	v1, v2 := s1/n1, s2/n2
	if n1 < 2 || n2 < 2 || v1+v2 == 0 {
		return out
	}
	freedom := (v1 + v2) * (v1 + v2) / (v1*v1/(n1-1) + v2*v2/(n2-1))
	t := edge(0, 20, func(t float64) bool { return student(t, freedom) < 0.05 })
	root := math.Sqrt(v1 + v2)
	out["p"], out["test"] = student(math.Abs(m1-m2)/root, freedom), "welch"
	out["difference_interval"] = []any{m1 - m2 - t*root, m1 - m2 + t*root}
	far := func(ratio float64) bool { return math.Abs(m1-ratio*m2) > t*math.Sqrt(v1+ratio*ratio*v2) }
	if m2 > t*math.Sqrt(v2) {
		seen, reach := m1/m2, 1.0
		for !far(seen-reach) || !far(seen+reach) {
			reach *= 2
		}
		out["lift_interval"] = []any{edge(seen, seen-reach, far) - 1, edge(seen, seen+reach, far) - 1}
	}
	return out
}

// student is the probability that Student's t is further than t from 0, by
// quadrature of its density over the angle whose tangent is t/√freedom.
func student(t, freedom float64) float64 {
	area := func(from, to float64) float64 {
		middle, half, sum := (from+to)/2, (to-from)/2, 0.0
		const step = 1.0 / 64
		for u := -4.0; u <= 4; u += step { // tanh-sinh
			s := math.Pi / 2 * math.Sinh(u)
			x := middle + half*math.Tanh(s)
			weight := math.Pi / 2 * math.Cosh(u) / (math.Cosh(s) * math.Cosh(s))
			sum += weight * math.Pow(max(0, math.Cos(x)), freedom-1)
		}
		return sum * half * step
	}
	tail, body := area(math.Atan2(t, math.Sqrt(freedom)), math.Pi/2), area(0, math.Atan2(t, math.Sqrt(freedom)))
	return tail / (tail + body)
}
