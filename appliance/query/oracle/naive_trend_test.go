package oracle

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"time"
)

type naiveBreakdown struct {
	dims  []object
	limit int
}

func (n *naive) newBreakdown(b any) *naiveBreakdown {
	out := &naiveBreakdown{limit: 25}
	switch b := b.(type) {
	case []any:
		for _, d := range b {
			out.dims = append(out.dims, d.(object))
		}
	case object:
		out.dims = []object{b}
	}
	given := false
	for _, d := range out.dims {
		if k, ok := d["limit"].(float64); ok && (!given || int(k) < out.limit) {
			out.limit, given = int(k), true
		}
	}
	return out
}

// combination is one value for each dimension.
type combination struct {
	key    string
	values []any
}

// tuples are all combinations of the values of the dimensions.
func (b *naiveBreakdown) tuples(values func(dim object) []any) []combination {
	out := []combination{{values: []any{}}}
	for _, d := range b.dims {
		var next []combination
		for _, c := range out {
			for _, v := range values(d) {
				next = append(next, combination{c.key + "|" + same(v), append(slices.Clone(c.values), v)})
			}
		}
		out = next
	}
	return out
}

// valuesOf are the values that an event counts under in one dimension.
func valuesOf(dim object, p *someone, o occurrence) []any {
	if dim["of"] == "person" {
		return []any{p.identity}
	}
	key := dim["property"].(string)
	var found []any
	switch dim["of"] {
	case "profile":
		found = []any{p.profile[key]}
	case "item":
		for _, it := range itemsOf(o) {
			m, _ := it.(map[string]any)
			found = append(found, m[key])
		}
		if len(found) == 0 {
			found = []any{nil}
		}
	default:
		found = []any{o.props[key]}
	}
	var out []any
	seen := map[string]bool{}
	add := func(v any) {
		if !seen[same(v)] {
			seen[same(v)] = true
			out = append(out, v)
		}
	}
	for _, v := range found {
		if list, ok := v.([]any); ok {
			for _, e := range list {
				add(e)
			}
			continue
		}
		add(v)
	}
	return out
}

// line is one line of a trend.
type line struct {
	combination
	shows            bool // it has something in the range, or in a window of it
	values, previous []float64
	total            float64
}

// trending is one trend being answered.
type trending struct {
	*naive
	q        object
	interval string
	people   []*someone
	by       *naiveBreakdown
	some     bool // the range is not empty
	from, to int64
	now      []bucket
	begin    int64 // of the range before
	before   []bucket
	seen     map[string][]any // combinations that any series has
	shown    map[string]bool
}

func (n *naive) trend(q object) any {
	t := &trending{naive: n, q: q, interval: "day", people: n.living(q), by: n.newBreakdown(q["breakdown"]),
		seen: map[string][]any{}, shown: map[string]bool{}}
	if s, ok := q["interval"].(string); ok {
		t.interval = s
	}
	var times []int64
	for _, s := range q["series"].([]any) {
		for _, p := range t.people {
			for _, o := range n.occurrences(s.(object), p) {
				times = append(times, o.time)
			}
		}
	}
	if t.from, t.to, t.some = n.closed(readSpan(q), times, t.interval); t.some {
		t.now = n.buckets(t.from, t.to, t.interval)
		t.begin, t.before = n.previous(t.from, t.to, t.now, t.interval)
	} else if t.interval == "all" {
		t.now = []bucket{{name: "all"}} // always one
		t.from, t.to = 0, 0
	}
	buckets, out := []any{}, []any{}
	for _, b := range t.now {
		buckets = append(buckets, b.name)
	}
	var names []string
	var lines []map[string]*line
	for k, s := range q["series"].([]any) {
		name, ok := s.(object)["name"].(string)
		if !ok {
			name = string(rune('A' + k))
		}
		names, lines = append(names, name), append(lines, t.lines(s.(object)))
		out = append(out, t.show(name, lines[k])...)
	}
	if text, ok := q["formula"].(string); ok {
		out = append(out, t.show("formula", t.formula(text, names, lines))...)
	}
	return object{"buckets": buckets, "series": out, "other": float64(len(t.seen) - len(t.shown))}
}

// lines are those of one series.
func (t *trending) lines(s object) map[string]*line {
	name, _ := s["measure"].(string)
	property, _ := s["property"].(string)
	trailing, _ := s["trailing"].(object)
	window := func(end int64) int64 { return t.shift(end, trailing["n"].(float64), trailing["unit"].(string), -1) }
	out := map[string]*line{}
	events := map[string][]pair{} // by combination, of all times
	if len(t.by.dims) == 0 {
		out[""] = &line{shows: true}
		t.seen[""] = []any{}
	}
	for _, p := range t.people {
		found := t.occurrences(s, p)
		if len(found) > 0 && name == "first_seen" {
			found = found[:1]
		}
		if len(found) > 0 && name == "last_seen" {
			found = found[len(found)-1:]
		}
		for _, o := range found {
			counts := t.some && o.time >= t.from && o.time < t.to
			if trailing != nil {
				counts = counts || slices.ContainsFunc(t.now, func(b bucket) bool { return o.time >= window(b.end) && o.time < b.end })
			}
			for _, c := range t.by.tuples(func(d object) []any { return valuesOf(d, p, o) }) {
				events[c.key] = append(events[c.key], pair{p, o})
				if out[c.key] == nil {
					out[c.key] = &line{combination: c}
				}
				if counts {
					out[c.key].shows = true
					t.seen[c.key] = c.values
				}
			}
		}
	}
	switch name {
	case "":
		name = "count"
	case "first_seen", "last_seen":
		name = "unique"
	}
	for key, l := range out {
		between := func(from, to int64) []pair {
			var some []pair
			for _, e := range events[key] {
				if e.o.time >= from && e.o.time < to {
					some = append(some, e)
				}
			}
			return some
		}
		values := func(from int64, buckets []bucket) []float64 {
			var v []float64
			for _, b := range buckets {
				begin := from
				if trailing != nil {
					begin = window(b.end)
				}
				v = append(v, measure(name, property, between(begin, b.end)))
				from = b.end
			}
			return v
		}
		l.total = measure(name, property, between(t.from, t.to))
		l.values = values(t.from, t.now)
		if t.begin < t.from { // else the day before is one that its zone skipped
			l.previous = values(t.begin, t.before)
		}
	}
	return out
}

func (t *trending) formula(text string, names []string, lines []map[string]*line) map[string]*line {
	out := map[string]*line{}
	for key := range t.seen {
		eval := func(get func(l *line) float64) float64 {
			operands := map[string]float64{}
			for k := range lines {
				operands[names[k]] = 0
				if l := lines[k][key]; l != nil {
					operands[names[k]] = get(l)
				}
			}
			return formulaOf(text, operands)
		}
		at := func(v []float64, i int) float64 {
			if i < len(v) {
				return v[i]
			}
			return 0
		}
		l := &line{shows: true, total: eval(func(l *line) float64 { return l.total })}
		for i := range t.now {
			l.values = append(l.values, eval(func(l *line) float64 { return l.values[i] }))
			l.previous = append(l.previous, eval(func(l *line) float64 { return at(l.previous, i) }))
		}
		out[key] = l
	}
	return out
}

// show gives the lines that the limit keeps.
func (t *trending) show(name string, lines map[string]*line) []any {
	shape := func(v []float64) []any {
		out := []any{}
		sum := 0.0
		for i := range t.now {
			x := 0.0
			if i < len(v) {
				x = v[i]
			}
			if t.q["cumulative"] == true {
				sum += x
				x = sum
			}
			out = append(out, x)
		}
		return out
	}
	var all []ranked
	for key, l := range lines {
		if l.shows {
			all = append(all, rankedOf(key, t.seen[key], l.total))
		}
	}
	var out []any
	for _, r := range t.by.keep(all) {
		t.shown[r.key] = true
		one := object{"name": name, "breakdown": r.values, "values": shape(lines[r.key].values), "total": r.total}
		if t.q["compare"] != nil {
			one["previous"] = shape(lines[r.key].previous)
		}
		out = append(out, one)
	}
	return out
}

// previous is the range of as many days just before, from begin on, cut into
// as many buckets of as many days; hours and minutes are those of that range.
func (n *naive) previous(from, to int64, now []bucket, interval string) (begin int64, before []bucket) {
	first, last := n.dateOf(from), n.dateOf(to)
	days := int(parseDate(last).Sub(parseDate(first)) / (24 * time.Hour))
	back := func(us int64) int64 { return us - (to - from) }
	if n.dayStart(first).UnixMicro() == from && n.dayStart(last).UnixMicro() == to {
		back = func(us int64) int64 { return n.dayStart(addDays(n.dateOf(us), -days)).UnixMicro() }
	}
	begin = back(from)
	if interval == "hour" || interval == "minute" {
		return begin, n.buckets(begin, from, interval)
	}
	for _, b := range now {
		before = append(before, bucket{b.name, back(b.end)})
	}
	before[len(before)-1].end = from
	return begin, before
}

// formulaOf evaluates a formula with Go's own parser.
func formulaOf(text string, series map[string]float64) float64 {
	e, err := parser.ParseExpr(text)
	if err != nil {
		panic(err)
	}
	zero := false
	var eval func(e ast.Expr) float64
	eval = func(e ast.Expr) float64 {
		switch e := e.(type) {
		case *ast.BasicLit:
			f, err := strconv.ParseFloat(e.Value, 64)
			if err != nil {
				panic(err)
			}
			return f
		case *ast.Ident:
			v, ok := series[e.Name]
			if !ok {
				panic(fmt.Sprint(e.Name, " is not among ", slices.Collect(maps.Keys(series))))
			}
			return v
		case *ast.ParenExpr:
			return eval(e.X)
		case *ast.UnaryExpr:
			return -eval(e.X)
		case *ast.BinaryExpr:
			a, b := eval(e.X), eval(e.Y)
			switch e.Op {
			case token.ADD:
				return a + b
			case token.SUB:
				return a - b
			case token.MUL:
				return a * b
			}
			if b == 0 {
				zero = true
				return 0
			}
			return a / b
		}
		panic("no such expression")
	}
	v := eval(e)
	if zero {
		return 0
	}
	return v
}
