package query

import "github.com/RoaringBitmap/roaring/v2"

// lifecycle is a question of kind lifecycle.
type lifecycle struct {
	ref      *ref
	interval unit
	within   period
	people   *expr
}

// LifecycleResult is the answer to a lifecycle, in people by bucket: active for
// the first time ever, active as in the bucket before, active again after a
// bucket without, and not active any more since the bucket before.
type LifecycleResult struct {
	Buckets      []string `json:"buckets"`
	New          []int64  `json:"new"`
	Returning    []int64  `json:"returning"`
	Resurrecting []int64  `json:"resurrecting"`
	Dormant      []int64  `json:"dormant"`
}

func (c *parser) lifecycle(f *fields) (question, error) {
	l := &lifecycle{}
	var err error
	if l.ref, err = c.oneRef(f); err != nil {
		return nil, err
	}
	if l.interval, err = f.interval("interval", unitDay); err != nil {
		return nil, err
	}
	if l.within, err = c.period(f); err != nil {
		return nil, err
	}
	l.people, err = c.people(f.take("people"))
	return l, err
}

func newLifecycle(n int) *LifecycleResult {
	return &LifecycleResult{Buckets: []string{}, New: make([]int64, n), Returning: make([]int64, n), Resurrecting: make([]int64, n), Dormant: make([]int64, n)}
}

// states are the people of a lifecycle, with the bucket before the first as
// bucket 0. Of all there is none before; its bucket 0 is an empty one.
type states struct {
	q      *run
	l      *lifecycle
	people *roaring.Bitmap
	cut    *buckets
	out    *LifecycleResult
}

func (l *lifecycle) answer(q *run) (any, error) {
	people, err := q.limit(l.people)
	if err != nil {
		return nil, err
	}
	within, err := q.close([]*ref{l.ref}, l.within, people, l.interval)
	if err != nil {
		return nil, err
	}
	within = q.cal.widen(within, l.interval)
	if within.from >= within.to && l.interval != unitAll {
		return newLifecycle(0), nil
	}
	before := within.from
	if l.interval != unitAll {
		before, _ = q.cal.around(within.from-1, l.interval)
	}
	cut, err := q.cal.cut(within.from, within.to, l.interval)
	if err != nil {
		return nil, err
	}
	s := &states{q: q, l: l, people: people, out: newLifecycle(cut.len())}
	s.out.Buckets = cut.names
	s.cut = &buckets{edges: append([]int64{before}, cut.edges...), names: append([]string{""}, cut.names...)}
	if within.from >= within.to {
		return s.out, nil
	}
	if q.wholeDays([]*ref{l.ref}, within, l.interval) {
		return s.out, s.fromBitmaps()
	}
	return s.out, s.fromRows(within)
}

// fromBitmaps counts by joining the days' people.
func (s *states) fromBitmaps() error {
	a := s.q.active(s.l.ref, s.people)
	seen, err := a.before(s.cut.edges[1])
	if err != nil {
		return err
	}
	last, err := a.in(s.cut, 0)
	if err != nil {
		return err
	}
	for i := range s.out.New {
		now, err := a.in(s.cut, i+1)
		if err != nil {
			return err
		}
		n, before := int64(now.GetCardinality()), int64(last.GetCardinality())
		s.out.Returning[i] = int64(now.AndCardinality(last))
		s.out.New[i] = n - int64(now.AndCardinality(seen))
		s.out.Resurrecting[i] = n - s.out.Returning[i] - s.out.New[i]
		s.out.Dormant[i] = before - s.out.Returning[i]
		seen, last = roaring.Or(seen, now), now
	}
	return nil
}

// fromRows counts by reading all that ever was, since only that says who is new.
func (s *states) fromRows(within period) error {
	p := &pass{refs: []*ref{s.l.ref}, people: s.people, within: period{from: ever().from, to: within.to}}
	took, err := s.q.read(p, func() consumer {
		return &lifecycleReport{find: finder{cut: s.cut}, out: newLifecycle(len(s.out.New))}
	})
	if err != nil {
		return err
	}
	for _, t := range took {
		o := t.(*lifecycleReport).out
		for i := range s.out.New {
			s.out.New[i] += o.New[i]
			s.out.Returning[i] += o.Returning[i]
			s.out.Resurrecting[i] += o.Resurrecting[i]
			s.out.Dormant[i] += o.Dormant[i]
		}
	}
	return nil
}

// lifecycleReport is the consumer of a lifecycle.
type lifecycleReport struct {
	find finder
	out  *LifecycleResult
}

func (r *lifecycleReport) take(hits []hit, _ *store) error {
	last := -2 // the bucket that the person was active in; long ago, as far as buckets go
	for i := range hits {
		b := r.find.find(hits[i].time) - 1 // -1: the one before the first; -2: before that
		if i > 0 && b == last || b == -2 {
			continue
		}
		switch {
		case b < 0:
		case i == 0:
			r.out.New[b]++
		case last == b-1:
			r.out.Returning[b]++
		default:
			r.out.Resurrecting[b]++
		}
		if last >= -1 && last < b-1 {
			r.out.Dormant[last+1]++
		}
		last = b
	}
	if last >= -1 && last+1 < len(r.out.Dormant) {
		r.out.Dormant[last+1]++
	}
	return nil
}
