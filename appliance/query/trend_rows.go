package query

import "github.com/cloisterhq/cloister/appliance/history"

// rowTaker is a consumer that counts rows where they lie: of a single pass
// whose rows need not become hits.
type rowTaker interface {
	takeRows(r *history.Rows, rows []chosen, s *stretch) error
}

// direct says whether one series of a trend can be counted from rows: every
// row that was chosen is then of this series and in its range.
func (m *trendPass) direct(p *pass) bool {
	return p.single && len(m.t.series) == 1 && m.t.series[0].measure <= measureMax && len(m.t.breakdown.dims) <= 1
}

// rowBuffer holds what was read of some rows.
type rowBuffer struct {
	ids    []uint32
	floats []float64
}

// takeRows counts rows. What is decided by the question alone is decided
// before the loop, since a row costs a few nanoseconds.
func (r *trendReport) takeRows(rows *history.Rows, picked []chosen, s *stretch) error {
	c, b := r.series[0], &r.buffer
	if len(s.dims) > 0 {
		b.ids = cleared(b.ids, len(picked))
		s.values(&s.dims[0], picked, b.ids, 1)
	}
	number := c.s.measure.needsProperty()
	if number {
		b.floats = cleared(b.floats, len(picked))
		s.floats(&s.numbers[c.float], picked, b.floats, 1)
	}
	// Rows of one value mostly follow each other, by person.
	var groups []int32
	last, known := uint32(0), false
	for k := range picked {
		if t := rows.Times[picked[k].row]; !r.m.totals && (t < r.low || t >= r.high) {
			r.find(t)
		}
		if len(b.ids) > 0 {
			known = known && b.ids[k] == last
		}
		if !known {
			if known = true; len(b.ids) > 0 {
				last = b.ids[k]
				groups = c.groups.of(b.ids[k : k+1])
			} else {
				groups = c.groups.of(nil)
			}
		}
		for _, g := range groups {
			if !c.grow(int(g)) {
				return r.hold()
			}
			base := int(g) * c.width
			total := &c.cells[base+c.width-1]
			switch {
			case !number:
				total.n++
				if !r.m.totals {
					c.cells[base+r.bucket].n++
				}
			case isNumber(b.floats[k]):
				total.number(b.floats[k])
				if !r.m.totals {
					c.cells[base+r.bucket].number(b.floats[k])
				}
			}
		}
	}
	return r.hold()
}
