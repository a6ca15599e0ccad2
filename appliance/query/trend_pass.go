package query

import (
	"math"
	"slices"
	"sort"
	"sync/atomic"
	"unsafe"

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
	held   atomic.Int64 // bytes reserved for cells and samples
}

// lines reads the rows and gives all lines, those of allowed breakdown values only.
func (m *trendPass) lines() (lines, error) {
	if m.fromBitmaps() {
		return m.bitmapLines()
	}
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
		case s.trailing != nil && m.within.from < m.within.to:
			for _, end := range m.cut.edges[1:] {
				m.starts[i] = append(m.starts[i], m.q.cal.add(end, *s.trailing, -1))
			}
			p.within.from = min(p.within.from, m.starts[i][0])
		}
	}
	p.direct = m.direct(p)
	defer func() { _ = m.q.reserve(-m.held.Swap(0)) }() // giving back does not fail
	took, err := m.q.read(p, func() consumer {
		r := &trendReport{m: m}
		for i := range m.t.series {
			r.series = append(r.series, &seriesCells{m: m, direct: p.direct, s: &m.t.series[i], starts: m.starts[i], id: ids[i], float: floats[i],
				groups: newGrouper(m.t.breakdown.dims, m.q.values, m.allowed), width: m.width()})
		}
		return r
	})
	if err != nil {
		return nil, err
	}
	return m.merge(took)
}

// hold reserves bytes until the pass is over.
func (m *trendPass) hold(n int64) error {
	m.held.Add(n)
	return m.q.reserve(n)
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
	buffer    rowBuffer
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

// hold says whether a series came to hold too much, and reserves the samples.
func (r *trendReport) hold() error {
	for _, c := range r.series {
		if c.err != nil {
			return c.err
		}
		if n := int64(cap(c.samples)) * sampleBytes; n > c.held {
			if err := c.m.hold(n - c.held); err != nil {
				return err
			}
			c.held = n
		}
	}
	return nil
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
	direct  bool    // rows are counted where they lie: see trend_rows.go
	counts  []int64 // events of a cell that were counted from rows, beside cells; not of totals, unless that is all
	samples []sample
	compact int // samples after the latest compaction

	starts  []int64
	diffs   []int64 // of trailing: changes from bucket to bucket, beside cells
	covered []covered
	held    int64 // bytes reserved for samples
	err     error // there was no room for a cell
}

const (
	cellBytes   = int64(unsafe.Sizeof(tally{}))
	sampleBytes = int64(unsafe.Sizeof(sample{}))
)

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
		if !c.grow(int(g)) {
			return
		}
		base := int(g) * c.width
		if !c.m.totals && c.starts == nil {
			c.put(base+bucket, h, number)
		}
		c.put(base+c.width-1, h, number)
	}
}

// grow makes room for a breakdown value; it says whether there is any.
func (c *seriesCells) grow(g int) bool {
	need := (g + 1) * c.width
	if need <= len(c.cells) {
		return true
	}
	if c.err != nil {
		return false
	}
	if c.m.dims > 0 && c.m.allowed == nil && !c.m.totals && need > maxCells {
		c.err = errCells
		return false
	}
	if need > cap(c.cells) {
		room := max(need, 2*cap(c.cells))
		bytes := (cellBytes + 8) * int64(room-cap(c.cells))
		if c.starts != nil {
			bytes += 8 * int64(room-cap(c.cells))
		}
		if c.err = c.m.hold(bytes); c.err != nil {
			return false
		}
		c.cells = append(make([]tally, 0, room), c.cells...)
		c.counts = append(make([]int64, 0, room), c.counts...)
		if c.starts != nil {
			c.diffs = append(make([]int64, 0, room), c.diffs...)
		}
	}
	c.cells, c.counts = c.cells[:need], c.counts[:need]
	if c.starts != nil {
		c.diffs = c.diffs[:need]
	}
	return true
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
		if !c.grow(int(g)) {
			return
		}
		if c.m.totals {
			continue
		}
		for len(c.covered) <= int(g) {
			c.covered = append(c.covered, covered{})
		}
		// Hits come in the person's order, so windows only move on.
		from := low
		if v := &c.covered[g]; v.who == h.who {
			from = max(from, v.to)
		}
		if from < high {
			c.diffs[int(g)*c.width+from]++
			c.diffs[int(g)*c.width+high]--
			c.covered[g] = covered{h.who, high}
		}
	}
}
