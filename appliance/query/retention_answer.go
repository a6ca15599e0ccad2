package query

import (
	"math"

	"github.com/RoaringBitmap/roaring/v2"
)

// cohorts are the rows of a retention being counted.
type cohorts struct {
	q      *run
	r      *retention
	people *roaring.Bitmap
	cut    *buckets
	start  period // where start events count
	back   period // where return events do
	counts [][]int64
	// kept are those of the row that is listed, by the value that they count in.
	kept []*roaring.Bitmap
}

func (r *retention) answer(q *run) (any, error) {
	people, err := q.limit(r.people)
	if err != nil {
		return nil, err
	}
	cut, err := r.cut(q, people)
	if err != nil {
		return nil, err
	}
	if r.list != nil && r.list.row > cut.len() {
		return nil, fail(CodeValue, "list.row", "there are %d rows", cut.len())
	}
	c := &cohorts{q: q, r: r, people: people, cut: cut, counts: triangle(cut.len())}
	if r.list != nil {
		c.kept = make([]*roaring.Bitmap, cut.len()-r.list.row+1)
		for k := range c.kept {
			c.kept[k] = roaring.New()
		}
	}
	if cut.len() > 0 {
		if err := c.count(); err != nil {
			return nil, err
		}
	}
	return c.result()
}

// triangle is the values of n rows, each shorter than the one before.
func triangle(n int) [][]int64 {
	out := make([][]int64, n)
	for i := range out {
		out[i] = make([]int64, n-i)
	}
	return out
}

// cut makes the buckets: whole ones, from the first one asked for, or the one
// that the range begins in.
func (r *retention) cut(q *run, people *roaring.Bitmap) (*buckets, error) {
	within := r.within
	if r.interval == unitAll || within.fromOpen && !r.first.set || within.toOpen && r.buckets == 0 {
		var err error
		if within, err = q.close([]*ref{r.start, r.back}, within, people, r.interval); err != nil {
			return nil, err
		}
		if r.interval == unitAll {
			return q.cal.cut(within.from, within.to, unitAll)
		}
		if within.from >= within.to {
			return &buckets{}, nil // nothing says where the open end lies
		}
	}
	from, to := within.from, within.to
	if r.first.set {
		from = r.first.micros
		if r.first.isDate {
			from = q.cal.start(r.first.date)
		}
		from, _ = q.cal.around(from, r.interval)
	}
	if r.buckets == 0 {
		if from >= to {
			return &buckets{}, nil
		}
		_, to = q.cal.around(to-1, r.interval)
	}
	from, _ = q.cal.around(from, r.interval)
	if r.buckets > 0 {
		to = from
		for range r.buckets {
			_, to = q.cal.around(to, r.interval)
		}
	}
	cut, err := q.cal.cut(from, to, r.interval)
	if err == nil && cut.len() > maxCohorts {
		err = fail(CodeBudget, "interval", "there are %d buckets in this range, %d are allowed: take a longer interval or a shorter range", cut.len(), maxCohorts)
	}
	return cut, err
}

func (c *cohorts) count() error {
	first, end := c.cut.edges[0], c.cut.edges[c.cut.len()]
	c.start = c.r.within
	c.start.from, c.start.to = max(c.start.from, first), min(c.start.to, end)
	c.start.fromOpen, c.start.toOpen = false, false
	c.back = c.start
	if c.r.unbounded {
		c.back.to, c.back.toOpen = c.r.within.to, c.r.within.toOpen
	}
	if c.start.from >= c.start.to {
		return nil
	}
	refs := []*ref{c.r.start, c.r.back}
	if c.q.wholeDays(refs, c.start, c.r.interval) && c.q.aligned(c.back) {
		return c.fromBitmaps()
	}
	return c.fromRows(refs)
}

// fromBitmaps counts by joining the days' people.
func (c *cohorts) fromBitmaps() error {
	starts, backs := c.q.active(c.r.start, c.people), c.q.active(c.r.back, c.people)
	n := c.cut.len()
	hold := &holding{q: c.q}
	held := int64(0)
	keep := func(b *roaring.Bitmap) error {
		held += int64(b.GetSizeInBytes())
		return hold.upTo(held)
	}
	day := func(i int) civil {
		return c.q.cal.day(min(max(c.cut.edges[i], c.start.from), c.start.to))
	}
	back := make([]*roaring.Bitmap, n)
	later := roaring.New()
	if c.r.unbounded {
		last := civil(math.MaxInt64)
		if !c.back.toOpen {
			last = c.q.cal.day(c.back.to)
		}
		var err error
		if later, err = backs.between(day(n), last); err != nil {
			return err
		}
	}
	for i := n - 1; i >= 0; i-- {
		b, err := backs.between(day(i), day(i+1))
		if err != nil {
			return err
		}
		if c.r.unbounded {
			b = roaring.Or(later, b)
			later = b
		}
		back[i] = b
		if err := keep(b); err != nil {
			return err
		}
	}
	seen, err := starts.before(c.start.from)
	if err != nil {
		return err
	}
	for i := range n {
		cohort, err := starts.between(day(i), day(i+1))
		if err != nil {
			return err
		}
		if !c.r.recurring {
			cohort, seen = roaring.AndNot(cohort, seen), roaring.Or(seen, cohort)
			if err := keep(cohort); err != nil {
				return err
			}
		}
		c.row(i, cohort, back)
	}
	return nil
}

// row counts one row from bitmaps.
func (c *cohorts) row(i int, cohort *roaring.Bitmap, back []*roaring.Bitmap) {
	listed := c.r.list != nil && i == c.r.list.row-1
	c.counts[i][0] = int64(cohort.GetCardinality())
	for k := 1; k < len(c.counts[i]); k++ {
		if !listed {
			c.counts[i][k] = int64(cohort.AndCardinality(back[i+k]))
			continue
		}
		c.kept[k] = roaring.And(cohort, back[i+k])
		c.counts[i][k] = int64(c.kept[k].GetCardinality())
	}
	if listed {
		c.kept[0] = cohort
	}
}

// fromRows counts by reading.
func (c *cohorts) fromRows(refs []*ref) error {
	p := &pass{refs: refs, people: c.people, within: period{from: c.start.from, to: max(c.start.to, c.back.to)}}
	if !c.r.recurring {
		p.within.from = ever().from
	}
	size := int64(c.cut.len()) * int64(c.cut.len()+1) * 4 // of a triangle of int64
	if err := c.q.reserve(size * int64(c.q.env.Workers+1)); err != nil {
		return err
	}
	took, err := c.q.read(p, func() consumer {
		return &retentionReport{c: c, find: finder{cut: c.cut}, counts: triangle(c.cut.len()), kept: make([][]uint32, len(c.kept)), hold: holding{q: c.q}}
	})
	if err != nil {
		return err
	}
	for _, t := range took {
		o := t.(*retentionReport)
		for i := range c.counts {
			for k := range c.counts[i] {
				c.counts[i][k] += o.counts[i][k]
			}
		}
		for k, list := range o.kept {
			c.kept[k].AddMany(list)
		}
	}
	return nil
}

// retentionReport is the consumer of a retention.
type retentionReport struct {
	c      *cohorts
	find   finder
	counts [][]int64
	kept   [][]uint32
	hold   holding
	starts []int // buckets of one person, rising
	backs  []int
}

func (r *retentionReport) take(hits []hit, _ *store) error {
	c := r.c
	n := c.cut.len()
	r.starts, r.backs = r.starts[:0], r.backs[:0]
	seen := false
	for i := range hits {
		h := &hits[i]
		if h.mask&1 != 0 && (c.r.recurring || !seen) {
			seen = true
			if c.start.has(h.time) {
				r.starts = addBucket(r.starts, r.find.find(h.time))
			}
		}
		if h.mask&2 != 0 && c.back.has(h.time) {
			b := r.find.find(h.time)
			if b < 0 {
				b = n // after the last: unbounded
			}
			r.backs = addBucket(r.backs, b)
		}
	}
	for _, i := range r.starts {
		r.add(i, 0, hits[0].who)
		if c.r.unbounded {
			for k := 1; i+k < n && len(r.backs) > 0 && i+k <= r.backs[len(r.backs)-1]; k++ {
				r.add(i, k, hits[0].who)
			}
			continue
		}
		for _, b := range r.backs {
			if b > i {
				r.add(i, b-i, hits[0].who)
			}
		}
	}
	if c.r.list == nil {
		return nil
	}
	bytes := int64(0)
	for _, list := range r.kept {
		bytes += int64(cap(list)) * 4
	}
	return r.hold.upTo(bytes)
}

// addBucket adds a bucket that is not before the last one.
func addBucket(to []int, b int) []int {
	if len(to) > 0 && to[len(to)-1] == b {
		return to
	}
	return append(to, b)
}

func (r *retentionReport) add(row, k int, who uint32) {
	r.counts[row][k]++
	if l := r.c.r.list; l != nil && row == l.row-1 {
		r.kept[k] = append(r.kept[k], who)
	}
}

func (c *cohorts) result() (any, error) {
	out := &RetentionResult{Rows: []RetentionRow{}}
	for i, values := range c.counts {
		out.Rows = append(out.Rows, RetentionRow{c.cut.names[i], values[0], values})
	}
	if c.r.list == nil {
		return out, nil
	}
	out.People = &[]RetentionPerson{}
	err := c.q.listed(c.kept[0], c.r.list.limits, "list", func(who uint32, name string) {
		p := RetentionPerson{Identity: name, Values: make([]int, len(c.kept))}
		for k, b := range c.kept {
			if b.Contains(who) {
				p.Values[k] = 1
			}
		}
		*out.People = append(*out.People, p)
	})
	return out, err
}
