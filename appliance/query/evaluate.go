package query

import (
	"errors"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

// people gives those that an expression means; everyone if there is none. The
// bitmap may be shared: it is not to be changed.
func (q *run) people(e *expr) (*roaring.Bitmap, error) {
	if e == nil {
		return q.everyone, nil
	}
	return q.among(e, q.everyone)
}

// limit gives the people that a pass is limited to, nil if everyone.
func (q *run) limit(e *expr) (*roaring.Bitmap, error) {
	if e == nil {
		return nil, nil
	}
	return q.people(e)
}

// among gives those of some people that an expression means.
func (q *run) among(e *expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	if some.IsEmpty() {
		return some, nil
	}
	switch e.kind {
	case exprAll:
		return q.all(e, some)
	case exprAny, exprAtLeast:
		return q.atLeast(e, some)
	case exprNot:
		found, err := q.among(e.subs[0], some)
		if err != nil {
			return nil, err
		}
		return roaring.AndNot(some, found), nil
	case exprDid:
		return q.did(e, some)
	case exprFirst, exprLast:
		return q.edge(e, some)
	case exprFunnel:
		return q.reachedStep(e, some)
	case exprProfile:
		return q.profile(&e.leaf, some), nil
	case exprIdentity:
		out := roaring.New()
		for _, id := range e.identities {
			if who, ok := q.find(id); ok && some.Contains(who) {
				out.Add(who)
			}
		}
		return out, nil
	case exprReachable:
		return meet(q.env.Data.People.Reachable(e.channel), some), nil
	case exprList:
		return meet(q.env.Data.People.List(e.list), some), nil
	case exprRFM:
		found, err := q.group(e.rfm, e.group)
		return meet(found, some), err
	}
	return meet(q.env.Data.People.Consented(e.purpose, e.channel), some), nil
}

func meet(a, b *roaring.Bitmap) *roaring.Bitmap {
	if a == nil {
		return roaring.New()
	}
	return roaring.And(a, b)
}

// find gives the living winner with an identity.
func (q *run) find(identity string) (uint32, bool) {
	if q.env.Find == nil {
		return 0, false
	}
	raw, ok := q.env.Find(identity)
	if !ok {
		return 0, false
	}
	who := q.who(raw)
	return who, who != 0
}

// all narrows from part to part, those first that read no rows.
func (q *run) all(e *expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	for _, reads := range []bool{false, true} {
		for _, s := range e.subs {
			if s.reads() != reads {
				continue
			}
			var err error
			if some, err = q.among(s, some); err != nil {
				return nil, err
			}
		}
	}
	return some, nil
}

// reads says whether an expression reads rows.
func (e *expr) reads() bool {
	switch e.kind {
	case exprDid, exprFirst, exprLast, exprFunnel, exprRFM:
		return true
	}
	for _, s := range e.subs {
		if s.reads() {
			return true
		}
	}
	return false
}

// atLeast counts, per person, the parts that hold; any is at least one.
func (q *run) atLeast(e *expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	k := e.k
	if e.kind == exprAny {
		k = 1
	}
	if k == 0 {
		return some, nil
	}
	// held[i] are those for whom at least i+1 parts held so far.
	held := make([]*roaring.Bitmap, k)
	for i := range held {
		held[i] = roaring.New()
	}
	for _, s := range e.subs {
		found, err := q.among(s, some)
		if err != nil {
			return nil, err
		}
		for i := k - 1; i > 0; i-- {
			held[i].Or(roaring.And(held[i-1], found))
		}
		held[0].Or(found)
	}
	return held[k-1], nil
}

func (q *run) profile(l *leaf, some *roaring.Bitmap) *roaring.Bitmap {
	s := newStretch(q.env.Data.People, q.values, q.leaves)
	if col := s.people.Profile(l.key); col != nil && !col.Numeric() && some.GetCardinality() > uint64(len(col.Dict)) && some.Maximum() < math.MaxInt32 {
		return q.profileOfMany(s, l, col, some)
	}
	f := &filter{leaf: *l}
	out := roaring.New()
	found := make([]uint32, 0, 4096)
	for it := some.Iterator(); it.HasNext(); {
		if who := it.Next(); s.holds(f, 0, who) {
			found = append(found, who)
			if len(found) == cap(found) {
				out.AddMany(found)
				found = found[:0]
			}
		}
	}
	out.AddMany(found)
	return out
}

// narrowed is some as the limit of a pass: nil where it is everyone, so that
// rows need not be looked up.
func (q *run) narrowed(some *roaring.Bitmap) *roaring.Bitmap {
	if some == q.everyone {
		return nil
	}
	return some
}

// found collects people.
type found struct {
	people *roaring.Bitmap
	keep   func(hits []hit, s *store) bool // nil: every person with a hit
}

func (c *found) take(hits []hit, s *store) error {
	if c.keep == nil {
		last := uint32(0)
		for i := range hits {
			if hits[i].who != last {
				last = hits[i].who
				c.people.Add(last)
			}
		}
	} else if c.keep(hits, s) {
		c.people.Add(hits[0].who)
	}
	return nil
}

// collect runs a pass and gives the people whose hits are kept.
func (q *run) collect(p *pass, some *roaring.Bitmap, keep func() func([]hit, *store) bool) (*roaring.Bitmap, error) {
	p.people = q.narrowed(some)
	took, err := q.read(p, func() consumer {
		f := &found{people: roaring.New()}
		if keep != nil {
			f.keep = keep()
		}
		return f
	})
	if err != nil {
		return nil, err
	}
	out := roaring.New()
	for _, c := range took {
		out.Or(c.(*found).people)
	}
	out.And(some)
	return out, nil
}

// did finds who has an occurrence in a time, and meets all conditions.
func (q *run) did(e *expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	p := &pass{refs: []*ref{e.ref}, within: e.when, single: len(e.conds) == 0}
	if p.single {
		return q.anyOccurrence(p, some)
	}
	if !slices.ContainsFunc(e.conds, func(c condition) bool { return c.measure != measureCount }) {
		return q.didOften(p, e.conds, some)
	}
	for _, c := range e.conds {
		if c.measure == measureDistinct {
			p.dims = append(p.dims, dimension{key: c.property})
		} else if c.property != "" {
			p.numbers = append(p.numbers, c.property)
		}
	}
	return q.collect(p, some, func() func([]hit, *store) bool {
		seen := map[uint32]struct{}{}
		return func(hits []hit, s *store) bool {
			dim, num := 0, 0
			for _, c := range e.conds {
				var value float64
				switch {
				case c.measure == measureCount:
					value = float64(len(hits))
				case c.measure == measureDays:
					value = float64(q.activeDays(hits))
				case c.measure == measureDistinct:
					clear(seen)
					for i := range hits {
						if id := s.idsOf(&hits[i])[dim]; id != 0 {
							seen[id] = struct{}{}
						}
					}
					value = float64(len(seen))
					dim++
				default:
					var t tally
					for i := range hits {
						if f := s.floatsOf(&hits[i])[num]; !math.IsNaN(f) {
							t.number(f)
						}
					}
					value = t.value(c.measure)
					num++
				}
				if !c.test.number(value) {
					return false
				}
			}
			return true
		}
	})
}

// activeDays counts the distinct local days of hits in order.
func (q *run) activeDays(hits []hit) int {
	n := 0
	end := int64(math.MinInt64)
	for i := range hits {
		if i == 0 || hits[i].time >= end {
			n++
			end = q.cal.start(q.cal.day(hits[i].time) + 1)
		}
	}
	return n
}

// edge finds whose first, or latest, occurrence ever lies in a time.
func (q *run) edge(e *expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	p := &pass{refs: []*ref{e.ref}, within: ever()}
	if e.back {
		// Counted back from now: what lies after it is not looked at.
		p.within.to = e.when.to
	}
	return q.collect(p, some, func() func([]hit, *store) bool {
		return func(hits []hit, _ *store) bool {
			at := hits[0].time
			if e.kind == exprLast {
				at = hits[len(hits)-1].time
			}
			return e.when.has(at)
		}
	})
}

// reachedStep finds who reached a step of a funnel, or dropped out before it.
func (q *run) reachedStep(e *expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	deepest, err := q.funnelPeople(e.funnel, q.narrowed(some))
	if err != nil {
		return nil, err
	}
	out := deepest.reached(e.step, e.dropped)
	out.And(some)
	return out, nil
}

// identities lists people by their identity, in the order in which they became
// known; after names the last one of the page before.
func (q *run) identities(some *roaring.Bitmap, l limits, path string) ([]string, error) {
	out := []string{}
	it := some.Iterator()
	if l.after != "" {
		who, ok := q.find(l.after)
		if !ok {
			return nil, fail(CodeValue, join(path, "after"), "there is nobody with this identity")
		}
		if who == math.MaxUint32 {
			return out, nil
		}
		it.AdvanceIfNeeded(who + 1)
	}
	for it.HasNext() && len(out) < l.limit {
		name, err := q.env.Data.People.Identity(it.Next())
		if errors.Is(err, people.ErrErased) {
			continue // since the snapshot was taken: in no answer
		}
		if err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, nil
}

var reachChannels = event.Channels[:3] // email, sms, push
