package query

import (
	"math"
	"slices"
	"sort"

	"github.com/RoaringBitmap/roaring/v2"
)

// maxCells bounds breakdown values times buckets held in one pass; beyond it
// the totals are asked first, and then only what is shown.
const maxCells = 1 << 19

// trendPass reads all series of a trend over one range.
type trendPass struct {
	q       *run
	t       *trend
	people  *roaring.Bitmap
	within  period
	cut     *buckets
	totals  bool // without buckets
	allowed map[tuple]bool

	starts [][]int64 // by series: where the window of each bucket starts, nil without trailing
	dims   int
}

// lines reads the rows and gives all lines, those of allowed breakdown values only.
func (m *trendPass) lines() (lines, error) {
	p := &pass{dims: slices.Clone(m.t.breakdown.dims), within: m.within, people: m.people, single: true}
	m.dims = len(p.dims)
	m.starts = make([][]int64, len(m.t.series))
	ids, floats := make([]int, len(m.t.series)), make([]int, len(m.t.series))
	for i := range m.t.series {
		s := &m.t.series[i]
		p.refs = append(p.refs, s.ref)
		p.single = p.single && !s.measure.byPerson()
		switch {
		case s.measure == measureDistinct:
			ids[i] = len(p.dims)
			p.dims = append(p.dims, dimension{key: s.property})
		case s.property != "":
			floats[i] = len(p.numbers)
			p.numbers = append(p.numbers, s.property)
		case s.measure == measureFirstSeen || s.measure == measureLastSeen:
			p.within = ever()
		case s.trailing != nil && m.cut.len() > 0:
			for _, end := range m.cut.edges[1:] {
				m.starts[i] = append(m.starts[i], m.q.cal.add(end, *s.trailing, -1))
			}
			p.within.from = min(p.within.from, m.starts[i][0])
		}
	}
	took, err := m.q.read(p, func() consumer {
		r := &trendReport{m: m}
		for i := range m.t.series {
			r.series = append(r.series, &seriesCells{m: m, s: &m.t.series[i], starts: m.starts[i], id: ids[i], float: floats[i],
				groups: newGrouper(m.t.breakdown.dims, m.q.values, m.allowed), width: m.width()})
		}
		return r
	})
	if err != nil {
		return nil, err
	}
	return m.merge(took), nil
}

// width is the number of cells of a breakdown value: one a bucket, and the
// total as the last.
func (m *trendPass) width() int {
	if m.totals {
		return 1
	}
	return m.cut.len() + 1
}

// trendReport is the consumer of a trend.
type trendReport struct {
	m      *trendPass
	series []*seriesCells
	// The bucket of the latest hit, since the next one mostly lies in it too.
	low, high int64
	bucket    int
	held      int64
}

func (r *trendReport) take(hits []hit, s *store) error {
	for i := range hits {
		h := &hits[i]
		in := r.m.within.has(h.time)
		if in && !r.m.totals && (h.time < r.low || h.time >= r.high) {
			r.find(h.time)
		}
		for k, c := range r.series {
			if h.mask>>k&1 == 0 {
				continue
			}
			switch c.s.measure {
			case measureFirstSeen, measureLastSeen:
				continue // one hit of each person, below
			}
			if in {
				c.add(h, r.bucket, s)
			}
			if c.starts != nil {
				c.addTrailing(h, s)
			}
		}
	}
	for k, c := range r.series {
		if i := edgeHit(hits, k, c.s.measure); i >= 0 && r.m.within.has(hits[i].time) {
			r.find(hits[i].time)
			c.add(&hits[i], r.bucket, s)
		}
	}
	return r.hold()
}

// edgeHit is the first or last hit of series k where the measure asks for it.
func edgeHit(hits []hit, k int, m measure) int {
	has := func(h hit) bool { return h.mask>>k&1 != 0 }
	switch m {
	case measureFirstSeen:
		return slices.IndexFunc(hits, has)
	case measureLastSeen:
		for i := len(hits) - 1; i >= 0; i-- {
			if has(hits[i]) {
				return i
			}
		}
	}
	return -1
}

func (r *trendReport) find(us int64) {
	if r.m.totals {
		return
	}
	r.bucket = r.m.cut.find(us)
	r.low, r.high = r.m.cut.edges[r.bucket], r.m.cut.edges[r.bucket+1]
}

func (r *trendReport) hold() error {
	n := int64(0)
	for _, c := range r.series {
		n += int64(cap(c.cells))*64 + int64(cap(c.samples))*16 + int64(cap(c.diffs))*8 + int64(len(c.groups.tuples))*64
		if r.m.allowed == nil && !r.m.totals && r.m.dims > 0 && len(c.groups.tuples)*c.width > maxCells {
			return errCells
		}
	}
	if n-r.held < 1<<16 {
		return nil
	}
	delta := n - r.held
	r.held = n
	return r.m.q.reserve(delta)
}

// seriesCells collects one series: a cell for every breakdown value and bucket.
type seriesCells struct {
	m      *trendPass
	s      *series
	groups *grouper
	width  int
	id     int // where the value of a distinct lies among a hit's ids
	float  int // where the number lies among its floats

	cells   []tally
	samples []sample
	compact int // samples after the latest compaction

	starts  []int64
	diffs   []int64 // of trailing: changes from bucket to bucket
	covered []covered
}

// covered is up to which bucket a person is counted under a breakdown value.
type covered struct {
	who uint32
	to  int
}

func (c *seriesCells) add(h *hit, bucket int, s *store) {
	var number float64
	switch {
	case c.s.measure == measureDistinct:
		id := s.idsOf(h)[c.id]
		if number = float64(id); id == 0 {
			number = math.NaN()
		}
	case c.s.property != "":
		number = s.floatsOf(h)[c.float]
	}
	for _, g := range c.groups.of(s.idsOf(h)[:c.m.dims]) {
		base := c.grow(int(g))
		if !c.m.totals && c.starts == nil {
			c.put(base+bucket, h, number)
		}
		c.put(base+c.width-1, h, number)
	}
}

// grow makes room for a breakdown value and gives its first cell.
func (c *seriesCells) grow(g int) int {
	if need := (g + 1) * c.width; need > len(c.cells) {
		c.cells = append(c.cells, make([]tally, need-len(c.cells))...)
	}
	return g * c.width
}

func (c *seriesCells) put(cell int, h *hit, number float64) {
	t := &c.cells[cell]
	switch c.s.measure {
	case measureCount:
		t.n++
	case measureUnique, measureFirstSeen, measureLastSeen:
		t.person(h.who)
	case measurePerPerson:
		t.n++
		t.person(h.who)
	case measureSum, measureAvg, measureMin, measureMax:
		if isNumber(number) {
			t.number(number)
		}
	default: // quantiles and distinct: the total is made of the buckets' samples where there are any
		if isNumber(number) && (c.m.totals || cell%c.width != c.width-1) {
			c.sample(cell, number)
		}
	}
}

func (c *seriesCells) sample(cell int, number float64) {
	c.samples = append(c.samples, sample{int32(cell), number})
	if c.s.measure == measureDistinct && len(c.samples) >= 1<<16 && len(c.samples) >= 2*c.compact {
		sortSamples(c.samples)
		c.samples = slices.Compact(c.samples)
		c.compact = len(c.samples)
	}
}

// addTrailing counts a person once in every bucket whose window holds the hit.
func (c *seriesCells) addTrailing(h *hit, s *store) {
	edges := c.m.cut.edges
	low := sort.Search(len(c.starts), func(j int) bool { return edges[j+1] > h.time })
	high := sort.Search(len(c.starts), func(j int) bool { return c.starts[j] > h.time })
	if low >= high {
		return
	}
	for _, g := range c.groups.of(s.idsOf(h)[:c.m.dims]) {
		c.grow(int(g))
		if c.m.totals {
			continue
		}
		base := int(g) * c.width
		for len(c.covered) <= int(g) {
			c.covered = append(c.covered, covered{})
		}
		if need := base + c.width; need > len(c.diffs) {
			c.diffs = append(c.diffs, make([]int64, need-len(c.diffs))...)
		}
		// Hits come in the person's order, so windows only move on.
		from := low
		if v := &c.covered[g]; v.who == h.who {
			from = max(from, v.to)
		}
		if from < high {
			c.diffs[base+from]++
			c.diffs[base+high]--
			c.covered[g] = covered{h.who, high}
		}
	}
}
