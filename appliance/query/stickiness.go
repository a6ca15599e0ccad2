package query

import "github.com/RoaringBitmap/roaring/v2"

// stickiness is a question of kind stickiness.
type stickiness struct {
	ref      *ref
	interval unit
	within   period
	people   *expr
	list     *countList
}

type countList struct {
	count int
	limits
}

// StickinessResult is the answer to a stickiness: people by the number of
// distinct buckets that they were active in. Numbers that nobody has are left
// out.
type StickinessResult struct {
	People  int64         `json:"people"`
	ByCount map[int]int64 `json:"by_count"`
	List    *[]string     `json:"people_list,omitzero"`
}

func (c *parser) stickiness(f *fields) (question, error) {
	s := &stickiness{}
	var err error
	if s.ref, err = c.oneRef(f); err != nil {
		return nil, err
	}
	if s.interval, err = f.interval("interval", unitDay); err != nil {
		return nil, err
	}
	if s.within, err = c.period(f); err != nil {
		return nil, err
	}
	if s.people, err = c.people(f.take("people")); err != nil {
		return nil, err
	}
	n := f.take("list")
	if n.absent() {
		return s, nil
	}
	g, err := n.fields()
	if err != nil {
		return nil, err
	}
	count, err := g.need("count")
	if err != nil {
		return nil, err
	}
	s.list = &countList{}
	if s.list.count, err = count.int(0, 1, maxBuckets); err != nil {
		return nil, err
	}
	if s.list.limits, err = g.limits(); err != nil {
		return nil, err
	}
	return s, g.done()
}

func (s *stickiness) answer(q *run) (any, error) {
	people, err := q.limit(s.people)
	if err != nil {
		return nil, err
	}
	within, err := q.close([]*ref{s.ref}, s.within, people, s.interval)
	if err != nil {
		return nil, err
	}
	cut, err := q.cal.cut(within.from, within.to, s.interval)
	if err != nil {
		return nil, err
	}
	var report *stickinessReport
	if within.from < within.to && q.wholeDays([]*ref{s.ref}, within, s.interval) {
		report, err = s.fromBitmaps(q, people, cut)
	} else {
		report, err = s.fromRows(q, people, within, cut)
	}
	if err != nil {
		return nil, err
	}
	out := &StickinessResult{ByCount: map[int]int64{}}
	for n, some := range report.by {
		if some > 0 {
			out.ByCount[n] = some
			out.People += some
		}
	}
	if s.list == nil {
		return out, nil
	}
	names, err := q.identities(roaring.BitmapOf(report.kept...), s.list.limits, "list")
	out.List = &names
	return out, err
}

// fromBitmaps counts, for every person's number, the buckets.
func (s *stickiness) fromBitmaps(q *run, people *roaring.Bitmap, cut *buckets) (*stickinessReport, error) {
	report := newStickinessReport(q, s, cut)
	if q.everyone.IsEmpty() {
		return report, nil
	}
	high := int64(q.everyone.Maximum()) + 1
	if err := report.hold.upTo(high * 4); err != nil {
		return nil, err
	}
	times := make([]uint32, high)
	a := q.active(s.ref, people)
	some := make([]uint32, 4096)
	for i := range cut.len() {
		b, err := a.in(cut, i)
		if err != nil {
			return nil, err
		}
		it := b.ManyIterator()
		for n := it.NextMany(some); n > 0; n = it.NextMany(some) {
			for _, who := range some[:n] {
				times[who]++
			}
		}
	}
	for who, n := range times {
		if n > 0 {
			report.add(int(n), uint32(who))
		}
	}
	return report, report.reserve()
}

func (s *stickiness) fromRows(q *run, people *roaring.Bitmap, within period, cut *buckets) (*stickinessReport, error) {
	p := &pass{refs: []*ref{s.ref}, people: people, within: within}
	took, err := q.read(p, func() consumer { return newStickinessReport(q, s, cut) })
	if err != nil {
		return nil, err
	}
	all := newStickinessReport(q, s, cut)
	for _, t := range took {
		o := t.(*stickinessReport)
		for n, some := range o.by {
			all.by[n] += some
		}
		all.kept = append(all.kept, o.kept...)
	}
	return all, all.reserve()
}

// stickinessReport is the consumer of a stickiness.
type stickinessReport struct {
	s    *stickiness
	find finder
	by   []int64 // people, by their number of buckets
	kept []uint32
	hold holding
}

func newStickinessReport(q *run, s *stickiness, cut *buckets) *stickinessReport {
	return &stickinessReport{s: s, find: finder{cut: cut}, by: make([]int64, cut.len()+1), hold: holding{q: q}}
}

func (r *stickinessReport) take(hits []hit, _ *store) error {
	n, last := 0, -1
	for i := range hits {
		if b := r.find.find(hits[i].time); b != last {
			n, last = n+1, b
		}
	}
	r.add(n, hits[0].who)
	return r.reserve()
}

func (r *stickinessReport) add(n int, who uint32) {
	r.by[n]++
	if r.s.list != nil && n == r.s.list.count {
		r.kept = append(r.kept, who)
	}
}

func (r *stickinessReport) reserve() error {
	return r.hold.upTo(int64(cap(r.by))*8 + int64(cap(r.kept))*4)
}
