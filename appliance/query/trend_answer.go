package query

import (
	"errors"
	"slices"
)

// merge adds up what the workers collected.
func (m *trendPass) merge(took []consumer) (lines, error) {
	out := make(lines, len(m.t.series))
	for k := range out {
		s := &m.t.series[k]
		sum := &seriesCells{m: m, s: s, width: m.width(), groups: newGrouper(nil, m.q.values, nil), starts: m.starts[k]}
		if m.dims == 0 {
			sum.number(tuple{}) // a line without any event is still a line
		}
		for _, c := range took {
			sum.join(c.(*trendReport).series[k])
		}
		if sum.err != nil {
			return nil, sum.err
		}
		out[k] = sum.lines()
	}
	return out, nil
}

// number is the number of a tuple, given at first sight.
func (c *seriesCells) number(t tuple) int {
	n, ok := c.groups.numbers[t]
	if !ok {
		n = int32(len(c.groups.tuples))
		c.groups.numbers[t] = n
		c.groups.tuples = append(c.groups.tuples, t)
	}
	c.grow(int(n))
	return int(n)
}

// addUp makes the totals of what was counted from rows, bucket by bucket: such
// a measure's total is that of its buckets together.
func (c *seriesCells) addUp() {
	for base := 0; base < len(c.cells); base += c.width {
		buckets, total := c.cells[base:base+c.width-1], &c.cells[base+c.width-1]
		if len(buckets) == 0 { // totals are all that is asked
			total.n += c.counts[base]
			continue
		}
		*total = tally{}
		for i := range buckets {
			buckets[i].n += c.counts[base+i]
			total.merge(&buckets[i])
		}
	}
}

func (c *seriesCells) join(o *seriesCells) {
	at := make([]int, len(o.groups.tuples))
	for g, t := range o.groups.tuples {
		at[g] = c.number(t) * c.width
	}
	if c.err != nil {
		return
	}
	if o.direct {
		o.addUp()
	}
	for i := range o.cells {
		c.cells[at[i/c.width]+i%c.width].merge(&o.cells[i])
	}
	for i, d := range o.diffs {
		c.diffs[at[i/c.width]+i%c.width] += d
	}
	for _, s := range o.samples {
		cell := int(s.cell)
		c.samples = append(c.samples, sample{int32(at[cell/c.width] + cell%c.width), s.value})
	}
	o.samples = nil
}

// lines turns cells into values.
func (c *seriesCells) lines() map[tuple]*line {
	sortSamples(c.samples)
	if c.s.measure == measureDistinct {
		c.samples = slices.Compact(c.samples)
	}
	out := make(map[tuple]*line, len(c.groups.tuples))
	rest := c.samples
	for g, t := range c.groups.tuples {
		l := &line{values: make([]float64, c.width-1)}
		base := g * c.width
		n := 0
		for n < len(rest) && int(rest[n].cell) < base+c.width {
			n++
		}
		own := rest[:n]
		rest = rest[n:]
		running := int64(0)
		for b := range l.values {
			l.values[b] = c.value(base+b, &own)
			if c.starts != nil {
				running += c.diffs[base+b]
				l.values[b] = float64(running)
			}
		}
		l.total = c.total(base+c.width-1, own, rest0(c.samples, rest, n))
		out[t] = l
	}
	return out
}

// rest0 is the samples of one breakdown value, after lines moved past them.
func rest0(all, rest []sample, n int) []sample {
	end := len(all) - len(rest)
	return all[end-n : end]
}

// value is the measure of one cell; own are the samples not used so far.
func (c *seriesCells) value(cell int, own *[]sample) float64 {
	if !c.sampled() {
		return finite(c.cells[cell].value(c.s.measure))
	}
	n := 0
	for n < len(*own) && int((*own)[n].cell) == cell {
		n++
	}
	mine := (*own)[:n]
	*own = (*own)[n:]
	return c.measureSamples(mine)
}

func (c *seriesCells) sampled() bool {
	return c.s.measure == measureDistinct || c.s.measure >= measureMedian && c.s.measure <= measureP99
}

// total asks the measure over the whole range.
func (c *seriesCells) total(cell int, _, own []sample) float64 {
	if !c.sampled() {
		return finite(c.cells[cell].value(c.s.measure))
	}
	all := slices.Clone(own)
	for i := range all {
		all[i].cell = 0
	}
	sortSamples(all)
	if c.s.measure == measureDistinct {
		all = slices.Compact(all)
	}
	return c.measureSamples(all)
}

func (c *seriesCells) measureSamples(s []sample) float64 {
	if c.s.measure == measureDistinct {
		return float64(len(s))
	}
	values := make([]float64, len(s))
	for i := range s {
		values[i] = s[i].value
	}
	return finite(c.s.measure.quantile(values))
}

func (t *trend) answer(q *run) (any, error) {
	people, err := q.limit(t.people)
	if err != nil {
		return nil, err
	}
	refs := make([]*ref, len(t.series))
	for i := range t.series {
		refs[i] = t.series[i].ref
	}
	within, err := q.close(refs, t.within, people, t.interval)
	if err != nil {
		return nil, err
	}
	cut, err := q.cal.cut(within.from, within.to, t.interval)
	if err != nil {
		return nil, err
	}
	now := &trendPass{q: q, t: t, people: people, within: within, cut: cut}
	all, err := now.lines()
	var shown *shown
	switch {
	case errors.Is(err, errCells):
		now.totals = true
		totals, err := now.lines()
		if err != nil {
			return nil, err
		}
		if shown, err = t.show(q, totals); err != nil {
			return nil, err
		}
		now.totals, now.allowed = false, shown.tuples
		if all, err = now.lines(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if shown, err = t.show(q, all); err != nil {
			return nil, err
		}
	}
	var before lines
	if t.compare {
		if before, err = t.previous(now, shown); err != nil {
			return nil, err
		}
	}
	return t.result(cut, all, before, shown), nil
}

// shown says which breakdown values are shown, and in which order.
type shown struct {
	bySeries [][]ranked // by series, then the formula
	tuples   map[tuple]bool
	other    int
}

func (t *trend) show(q *run, all lines) (*shown, error) {
	out := &shown{tuples: map[tuple]bool{}}
	seen := map[tuple]bool{}
	for _, byTuple := range all {
		list := make([]ranked, 0, len(byTuple))
		for tup, l := range byTuple {
			seen[tup] = true
			list = append(list, ranked{tuple: tup, total: l.total})
		}
		if err := out.add(q, list, t); err != nil {
			return nil, err
		}
	}
	if t.formula != nil {
		list := make([]ranked, 0, len(seen))
		for tup := range seen {
			list = append(list, ranked{tuple: tup, total: t.formulaLine(all, tup, 0).total})
		}
		if err := out.add(q, list, t); err != nil {
			return nil, err
		}
	}
	out.other = len(seen) - len(out.tuples)
	return out, nil
}

func (s *shown) add(q *run, list []ranked, t *trend) error {
	list, err := q.rank(list, t.breakdown.dims, t.breakdown.limit)
	if err != nil {
		return err
	}
	for _, r := range list {
		s.tuples[r.tuple] = true
	}
	s.bySeries = append(s.bySeries, list)
	return nil
}

// formulaLine computes the formula under one breakdown value, with n buckets.
func (t *trend) formulaLine(all lines, tup tuple, n int) *line {
	out := &line{values: make([]float64, n)}
	operands := make([]float64, len(all))
	at := func(value func(l *line) float64) float64 {
		for k := range all {
			operands[k] = 0
			if l := all[k][tup]; l != nil {
				operands[k] = value(l)
			}
		}
		return t.formula.eval(operands)
	}
	for i := range out.values {
		out.values[i] = at(func(l *line) float64 {
			if i < len(l.values) {
				return l.values[i]
			}
			return 0
		})
	}
	out.total = at(func(l *line) float64 { return l.total })
	return out
}

func (t *trend) result(cut *buckets, all, before lines, s *shown) *TrendResult {
	out := &TrendResult{Buckets: slices.Clone(cut.names), Series: []TrendSeries{}, Other: s.other}
	if out.Buckets == nil {
		out.Buckets = []string{}
	}
	n := cut.len()
	for k, list := range s.bySeries {
		for _, r := range list {
			one := func(from lines) *line {
				if k == len(all) {
					return t.formulaLine(from, r.tuple, n)
				}
				if l := from[k][r.tuple]; l != nil {
					return l
				}
				return &line{}
			}
			l := one(all)
			ts := TrendSeries{Name: "formula", Breakdown: r.value, Values: t.shape(l.values, n), Total: l.total}
			if k < len(all) {
				ts.Name = t.series[k].name
			}
			if t.compare {
				ts.Previous = t.shape(one(before).values, n)
			}
			out.Series = append(out.Series, ts)
		}
	}
	return out
}

// shape gives n values, cumulated where that is asked.
func (t *trend) shape(values []float64, n int) []float64 {
	out := make([]float64, n)
	var sum exactSum
	for i := range out {
		if i < len(values) {
			out[i] = values[i]
		}
		if t.cumulative {
			sum.add(out[i])
			out[i] = finite(sum.value())
		}
	}
	return out
}

// previous reads the same lines over as many days just before.
func (t *trend) previous(now *trendPass, s *shown) (lines, error) {
	before := &trendPass{q: now.q, t: t, people: now.people, allowed: s.tuples}
	var err error
	if before.within, before.cut, err = now.q.cal.before(now.within, now.cut, t.interval); err != nil {
		return nil, err
	}
	return before.lines()
}

// before is the range of as many days that ends where this one begins, with
// its buckets. Days and longer buckets are moved back with the range, so that
// value i of both is of equally many days; hours and minutes are the ones of
// that range.
func (k calendar) before(p period, b *buckets, u unit) (period, *buckets, error) {
	if p.from >= p.to {
		return period{from: p.from, to: p.from}, &buckets{}, nil
	}
	first, last := k.day(p.from), k.day(p.to)
	move := func(us int64) int64 { return us - (p.to - p.from) }
	if k.start(first) == p.from && k.start(last) == p.to {
		move = func(us int64) int64 { return k.start(k.day(us) - (last - first)) }
	}
	moved := period{from: move(p.from), to: p.from}
	if u <= unitHour {
		cut, err := k.cut(moved.from, moved.to, u)
		return moved, cut, err
	}
	cut := &buckets{names: b.names}
	for _, e := range b.edges {
		cut.edges = append(cut.edges, move(e))
	}
	cut.edges[len(cut.edges)-1] = p.from
	return moved, cut, nil
}
