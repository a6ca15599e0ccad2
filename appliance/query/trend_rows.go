package query

import (
	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/history"
)

// direct says whether one series of a trend can be counted from rows: every
// row that was chosen is then of this series and in its range.
func (m *trendPass) direct(p *pass) bool {
	return p.single && len(m.t.series) == 1 && m.t.series[0].measure <= measureMax && len(m.t.breakdown.dims) <= 1
}

// rowBuffer holds what was read of some rows.
type rowBuffer struct {
	ids    []uint32
	floats []float64
	counts []int32      // by code
	groups codes[int32] // by code: its group + 1, where it counts under one alone
}

// maxCounted bounds the dictionary whose codes are counted in an array first.
const maxCounted = chunk

// takeRows counts rows. What is decided by the question alone, or by the day
// of the rows, is decided before the loop, since a row costs a few nanoseconds.
func (r *trendReport) takeRows(w *worker, rows *history.Rows, p *picked, day dayRange) error {
	c, b := r.series[0], &r.buffer
	oneBucket := r.m.totals
	if !oneBucket && day.known {
		from, to := max(day.from, r.m.within.from), min(day.to, r.m.within.to)
		if from < r.low || from >= r.high {
			r.find(from)
		}
		oneBucket = to <= r.high
	}
	var times block.Times
	if !oneBucket {
		var err error
		if times, err = rows.Times(); err != nil {
			return err
		}
	}
	number := c.s.measure.needsProperty()
	if number {
		p.list(w.maybe[:])
		b.floats = sized(b.floats, len(p.rows))
		w.s.floats(&w.s.numbers[c.float], p, b.floats, 1)
	}
	if len(w.s.dims) == 0 {
		groups := c.groups.of(nil)
		if oneBucket && !number {
			r.addCount(c, groups, int64(p.len()))
			return r.hold()
		}
		p.list(w.maybe[:])
		for k, row := range p.rows {
			if !oneBucket {
				r.turn(times.At(int(row)))
			}
			r.addRow(c, groups, number, b.floats, k)
		}
		return r.hold()
	}
	if oneBucket && !number {
		if col := w.s.codesOf(&w.s.dims[0]); col != nil && len(col.Dict) < maxCounted {
			if err := r.countCodes(w, c, col, rows, p); err != nil {
				return err
			}
			return r.hold()
		}
	}
	if err := w.listed(rows, p); err != nil {
		return err
	}
	b.ids = sized(b.ids, len(p.rows))
	w.s.values(&w.s.dims[0], p, b.ids, 1)
	if number && oneBucket {
		r.addNumbers(c)
		return r.hold()
	}
	var groups []int32
	for k, row := range p.rows {
		if !oneBucket {
			r.turn(times.At(int(row)))
		}
		if k == 0 || b.ids[k] != b.ids[k-1] { // rows of one person mostly have the same
			groups = c.groups.of(b.ids[k : k+1])
		}
		r.addRow(c, groups, number, b.floats, k)
	}
	return r.hold()
}

// addNumbers adds the buffer's numbers under its ids to the bucket at hand.
func (r *trendReport) addNumbers(c *seriesCells) {
	b := &r.buffer
	sums := c.s.measure == measureSum || c.s.measure == measureAvg
	var groups []int32
	var cell *tally // of the one group, where there is one
	for k, id := range b.ids {
		if k == 0 || id != b.ids[k-1] {
			groups, cell = c.groups.of(b.ids[k:k+1]), nil
			if len(groups) == 1 && c.grow(int(groups[0])) {
				cell = &c.cells[int(groups[0])*c.width+r.bucket]
			}
		}
		f := b.floats[k]
		switch {
		case cell == nil:
			r.addRow(c, groups, true, b.floats, k)
		case !isNumber(f):
		case sums:
			cell.n++
			cell.sum.add(f)
		default:
			cell.number(f)
		}
	}
}

func (r *trendReport) endPartition() error { return nil }

// turn moves to the bucket of an instant.
func (r *trendReport) turn(t int64) {
	if t < r.low || t >= r.high {
		r.find(t)
	}
}

// countCodes counts rows of one bucket by the codes of a column, and only then
// asks what the codes stand for.
func (r *trendReport) countCodes(w *worker, c *seriesCells, col *block.Column, rows *history.Rows, p *picked) error {
	b, dim := &r.buffer, &w.s.dims[0]
	b.counts = cleared(b.counts, len(col.Dict)+1)
	if p.span && dim.dim.place != ofProfile {
		col.CountCodesIn(p.from, p.to, b.counts)
	} else {
		if err := w.listed(rows, p); err != nil {
			return err
		}
		col.CountCodes(w.s.at(dim, p), b.counts)
	}
	b.groups.turn(col.Dict)
	known := b.groups.known
	for code, n := range b.counts {
		if n == 0 {
			continue
		}
		if code > 0 && known[code-1] > 0 {
			c.counts[int(known[code-1]-1)*c.width+r.bucket] += int64(n)
			continue
		}
		groups := c.groups.of([]uint32{w.s.idOf(dim, uint32(code))})
		r.addCount(c, groups, int64(n))
		if code > 0 && len(groups) == 1 && c.err == nil {
			known[code-1] = groups[0] + 1
		}
	}
	return nil
}

// addCount counts n rows of the bucket at hand.
func (r *trendReport) addCount(c *seriesCells, groups []int32, n int64) {
	for _, g := range groups {
		if !c.grow(int(g)) {
			return
		}
		c.counts[int(g)*c.width+r.bucket] += n
	}
}

// addRow counts the kth row of those picked.
func (r *trendReport) addRow(c *seriesCells, groups []int32, number bool, floats []float64, k int) {
	if number && !isNumber(floats[k]) {
		floats = nil
	}
	for _, g := range groups {
		if !c.grow(int(g)) {
			return
		}
		base := int(g) * c.width
		switch {
		case !number:
			c.counts[base+r.bucket]++
		case floats != nil:
			c.cells[base+r.bucket].number(floats[k])
		}
	}
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
