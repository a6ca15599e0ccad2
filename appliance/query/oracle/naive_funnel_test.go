package oracle

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

type naiveFunnel struct {
	n      *naive
	q      object
	steps  []object
	range_ span
	strict bool // ties
}

// way is one attempt: the positions, among the person's events in the range,
// that serve each step, -1 = none.
type way struct {
	start  int
	depth  int
	served []int
	times  []int64 // of the 1st, 2nd, .. step served
}

func (n *naive) newFunnel(q object) *naiveFunnel {
	f := &naiveFunnel{n: n, q: q, range_: readSpan(q), strict: q["ties"] == "strict"}
	for _, s := range q["steps"].([]any) {
		f.steps = append(f.steps, s.(object))
	}
	return f
}

// held are the hold values of an event, false if it lacks one.
func (f *naiveFunnel) held(o occurrence) (string, bool) {
	hold, _ := f.q["hold"].([]any)
	out := ""
	for _, key := range hold {
		v := o.props[key.(string)]
		if v == nil {
			return "", false
		}
		out += "|" + same(v)
	}
	return out, true
}

// serves says whether an event can serve a step (from 0) of an attempt.
func (f *naiveFunnel) serves(k int, p *someone, o, start occurrence) bool {
	held, ok := f.held(o)
	wanted, _ := f.held(start)
	return ok && held == wanted && f.n.fits(f.steps[k], o, p)
}

func (f *naiveFunnel) end(start occurrence) int64 {
	w, ok := f.q["window"].(object)
	if !ok {
		return f.n.shift(start.time, 14, "day", 1)
	}
	if key, ok := w["property"].(string); ok {
		v, ok := numberOf(start.props[key])
		if !ok || v < 0 {
			return math.MinInt64
		}
		return f.n.shift(start.time, v, w["unit"].(string), 1)
	}
	return f.n.shift(start.time, w["n"].(float64), w["unit"].(string), 1)
}

func (f *naiveFunnel) excludes() []object {
	var out []object
	list, _ := f.q["exclude"].([]any)
	for _, x := range list {
		out = append(out, x.(object))
	}
	return out
}

// counted says whether an event stands between others in a strict funnel.
func (f *naiveFunnel) counted(o occurrence) bool {
	for _, ref := range append(f.excludes(), f.steps...) {
		if named(ref, o) {
			return true
		}
	}
	return named(object{}, o)
}

// attempts are all attempts of a person that are not void, by start; and the
// events that their positions mean.
func (f *naiveFunnel) attempts(p *someone) ([]way, []occurrence) {
	var events []occurrence
	for _, o := range p.events {
		if f.n.in(f.range_, o.time) {
			events = append(events, o)
		}
	}
	begins := func(o occurrence) bool {
		for k := range f.steps {
			if (k == 0 || f.q["order"] == "any") && f.n.fits(f.steps[k], o, p) {
				return true
			}
		}
		return false
	}
	first := -1
	for _, o := range p.events {
		if first < 0 && begins(o) {
			first = o.seq
		}
	}
	var out []way
	for i, o := range events {
		if _, ok := f.held(o); !ok || !begins(o) {
			continue
		}
		if f.q["start"] == "first" && o.seq != first {
			continue
		}
		if w := f.attempt(p, events, i); !f.void(w, p, events) {
			out = append(out, w)
		}
	}
	return out, events
}

func (f *naiveFunnel) attempt(p *someone, events []occurrence, start int) way {
	w := way{start: start, served: make([]int, len(f.steps))}
	for k := range w.served {
		w.served[k] = -1
	}
	serve := func(k, i int) {
		w.served[k] = i
		w.times = append(w.times, events[i].time)
		w.depth++
	}
	end := f.end(events[start])
	later := func(i, than int) bool {
		return i > than && (!f.strict || events[i].time > events[than].time)
	}
	if f.q["order"] == "any" {
		last := -1
		for i := start; i < len(events); i++ {
			if last >= 0 && (!later(i, last) || events[i].time > end) {
				continue
			}
			for k := range f.steps {
				if w.served[k] < 0 && f.serves(k, p, events[i], events[start]) {
					serve(k, i)
					last = i
					break
				}
			}
		}
		return w
	}
	serve(0, start)
	at := start
	for k := 1; k < len(f.steps); k++ {
		next := -1
		for i := at + 1; i < len(events) && next < 0; i++ {
			fits := later(i, at) && events[i].time <= end && f.serves(k, p, events[i], events[start])
			if fits {
				next = i
			} else if f.q["order"] == "strict" && f.counted(events[i]) {
				break
			}
		}
		if next < 0 {
			break
		}
		serve(k, next)
		at = next
	}
	return w
}

func (f *naiveFunnel) void(w way, p *someone, events []occurrence) bool {
	for _, x := range f.excludes() {
		after, before := 1, len(f.steps)
		if v, ok := x["after_step"].(float64); ok {
			after = int(v)
		}
		if v, ok := x["before_step"].(float64); ok {
			before = int(v)
		}
		a, b := w.served[after-1], w.served[before-1]
		if a < 0 {
			continue
		}
		for i := a + 1; i < len(events); i++ {
			if b >= 0 && i >= b || b < 0 && events[i].time > f.end(events[w.start]) {
				break
			}
			if f.n.fits(x, events[i], p) {
				return true
			}
		}
	}
	return false
}

// best is the attempt that counts: the earliest of the deepest.
func (f *naiveFunnel) best(p *someone) (best way, ok bool) {
	all, _ := f.attempts(p)
	for _, w := range all {
		if !ok || w.depth > best.depth {
			best, ok = w, true
		}
	}
	return best, ok
}

func (f *naiveFunnel) stepsOf(ways []way) []any {
	out := []any{}
	reached := func(k int) float64 {
		n := 0.0
		for _, w := range ways {
			if w.depth > k {
				n++
			}
		}
		return n
	}
	share := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	for k, s := range f.steps {
		name, ok := s["name"].(string)
		if !ok {
			if name, ok = s["event"].(string); !ok {
				name = "any event"
			}
		}
		var took []float64
		for _, w := range ways {
			if k > 0 && w.depth > k {
				took = append(took, float64(w.times[k]-w.times[k-1])/1e6)
			}
		}
		mid, mean := middleAndMean(took)
		out = append(out, object{"name": name, "people": reached(k), "conversion": share(reached(k), reached(0)),
			"step_conversion": share(reached(k), reached(max(k-1, 0))), "median_seconds": mid, "mean_seconds": mean})
	}
	return out
}

func middleAndMean(v []float64) (mid, mean any) {
	if len(v) == 0 {
		return nil, nil
	}
	slices.Sort(v)
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, sum / float64(len(v))
}

func (n *naive) funnel(q object) any {
	f := n.newFunnel(q)
	people := n.living(q)
	type counted struct {
		p      *someone
		w      way
		events []occurrence
	}
	var all []counted
	var ways []way
	for _, p := range people {
		attempts, events := f.attempts(p)
		if q["count"] != "attempts" && len(attempts) > 0 {
			best, _ := f.best(p)
			attempts = []way{best}
		}
		for _, w := range attempts {
			all = append(all, counted{p, w, events})
			ways = append(ways, w)
		}
	}
	out := object{"steps": f.stepsOf(ways)}
	if q["breakdown"] != nil {
		b := n.newBreakdown(q["breakdown"])
		groups := map[string][]way{}
		values := map[string][]any{}
		for _, c := range all {
			for _, t := range b.tuples(func(dim object) []any { return f.attribute(dim, c.p, c.w, c.events) }) {
				groups[t.key] = append(groups[t.key], c.w)
				values[t.key] = t.values
			}
		}
		var ranked []ranked
		for key, ways := range groups {
			ranked = append(ranked, rankedOf(key, values[key], float64(len(ways))))
		}
		kept := b.keep(ranked)
		lines := []any{}
		for _, r := range kept {
			lines = append(lines, object{"value": r.values, "steps": f.stepsOf(groups[r.key])})
		}
		out["breakdown"], out["other"] = lines, float64(len(groups)-len(kept))
	}
	if o, ok := q["over_time"].(object); ok {
		out["over_time"] = f.overTime(o, people)
	}
	if c, ok := q["time_to_convert"].(object); ok {
		out["time_to_convert"] = f.convert(c, ways)
	}
	if l, ok := q["list"].(object); ok {
		step := len(f.steps)
		if s, ok := l["step"].(float64); ok {
			step = int(s)
		}
		var some []*someone
		for _, p := range people {
			if best, ok := f.best(p); ok && (l["dropped"] == true && best.depth == step-1 || l["dropped"] != true && best.depth >= step) {
				some = append(some, p)
			}
		}
		out["people"] = n.listed(some, l)
	}
	return out
}

// attribute gives the values that an attempt counts under in one dimension.
func (f *naiveFunnel) attribute(dim object, p *someone, w way, events []occurrence) []any {
	if dim["of"] == "profile" || dim["of"] == "person" {
		return valuesOf(dim, p, occurrence{})
	}
	if f.q["attribution"] == "step" {
		step := 1
		if s, ok := f.q["step"].(float64); ok {
			step = int(s)
		}
		if i := w.served[step-1]; i >= 0 {
			return valuesOf(dim, p, events[i])
		}
		return []any{nil}
	}
	order := slices.Clone(events)
	if f.q["attribution"] == "last_touch" {
		slices.Reverse(order)
	}
	for _, o := range order {
		fits := slices.ContainsFunc(f.steps, func(s object) bool { return f.n.fits(s, o, p) })
		if fits && hasProperty(dim, o) {
			return valuesOf(dim, p, o)
		}
	}
	return []any{nil}
}

func hasProperty(dim object, o occurrence) bool {
	if dim["of"] != "item" {
		return o.props[dim["property"].(string)] != nil
	}
	return slices.ContainsFunc(valuesOf(dim, nil, o), func(v any) bool { return v != nil })
}

func (f *naiveFunnel) overTime(o object, people []*someone) []any {
	interval, from := "day", 1
	if s, ok := o["interval"].(string); ok {
		interval = s
	}
	if s, ok := o["from_step"].(float64); ok {
		from = int(s)
	}
	var times []int64
	for _, p := range people {
		for _, x := range p.events {
			if slices.ContainsFunc(f.steps, func(s object) bool { return f.n.fits(s, x, p) }) {
				times = append(times, x.time)
			}
		}
	}
	start, end, ok := f.n.closed(f.range_, times, interval)
	out := []any{}
	if !ok && interval == "all" {
		return []any{object{"bucket": "all", "entered": 0.0, "converted": 0.0}}
	}
	if !ok {
		return out
	}
	entered, converted := map[string]float64{}, map[string]float64{}
	for _, p := range people {
		in, done := map[string]bool{}, map[string]bool{}
		attempts, events := f.attempts(p)
		for _, w := range attempts {
			b := f.n.bucketOf(events[w.start].time, interval)
			in[b] = in[b] || w.depth >= from
			done[b] = done[b] || w.depth == len(f.steps)
		}
		for b, yes := range in {
			if yes {
				entered[b]++
			}
		}
		for b, yes := range done {
			if yes {
				converted[b]++
			}
		}
	}
	for _, b := range f.n.buckets(start, end, interval) {
		out = append(out, object{"bucket": b.name, "entered": entered[b.name], "converted": converted[b.name]})
	}
	return out
}

func (f *naiveFunnel) convert(c object, ways []way) any {
	from, to, bins := 1, len(f.steps), 10
	for key, v := range map[string]*int{"from_step": &from, "to_step": &to, "bins": &bins} {
		if s, ok := c[key].(float64); ok {
			*v = int(s)
		}
	}
	var took []float64
	for _, w := range ways {
		if w.depth >= to {
			took = append(took, float64(w.times[to-1]-w.times[from-1])/1e6)
		}
	}
	mid, mean := middleAndMean(took)
	out := object{"people": float64(len(took)), "median_seconds": mid, "mean_seconds": mean, "bins": []any{}}
	if len(took) == 0 {
		return out
	}
	low, high := slices.Min(took), slices.Max(took)
	width := math.Ceil((high - low) / float64(bins))
	edges := []any{}
	for i := range bins {
		begin, n := low+float64(i)*width, 0.0
		last := width == 0 || i == bins-1 || begin+width > high
		for _, t := range took {
			if t >= begin && (t < begin+width || last) {
				n++
			}
		}
		edges = append(edges, []any{begin, n})
		if last {
			break
		}
	}
	out["bins"] = edges
	return out
}

// ranked is one combination of breakdown values with what orders it.
type ranked struct {
	key    string
	values []any
	texts  []string
	total  float64
}

func rankedOf(key string, values []any, total float64) ranked {
	r := ranked{key: key, values: values, total: total}
	for _, v := range values {
		text, _ := textOf(v)
		kind := map[string]string{"<nil>": "0", "bool": "1", "int": "2", "float64": "2", "string": "4", "time.Time": "5"}[fmt.Sprintf("%T", v)]
		r.texts = append(r.texts, text+"\x00"+kind)
	}
	return r
}

func (b *naiveBreakdown) keep(all []ranked) []ranked {
	slices.SortFunc(all, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(y.total, x.total), slices.Compare(x.texts, y.texts))
	})
	return all[:min(len(all), b.limit)]
}
