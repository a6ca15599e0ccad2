package query

import (
	"errors"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

// What the kinds about people's activity, bucket by bucket, have in common:
// retention, lifecycle, stickiness, and sessions with distribution.

// oneRef reads the reference of a kind that asks about one event. Its filter
// is the one beside kind, which is joined to every reference already.
func (c *parser) oneRef(f *fields) (*ref, error) {
	n := f.take("event")
	return c.ref(&fields{path: f.path, props: []event.Prop{{Key: "event", Value: n.v}}, taken: make([]bool, 1)})
}

// widen is a closed range made longer, to the edges of the buckets that it
// begins and ends in. All is one bucket, whatever the range.
func (k calendar) widen(p period, u unit) period {
	if u == unitAll || p.from >= p.to {
		return p
	}
	p.from, _ = k.around(p.from, u)
	_, p.to = k.around(p.to-1, u)
	return p
}

// finder finds the buckets of instants that mostly lie in the one before's.
type finder struct {
	cut       *buckets
	low, high int64
	at        int
}

// find is the bucket of an instant, -1 if it lies in none.
func (f *finder) find(us int64) int {
	if us >= f.low && us < f.high {
		return f.at
	}
	f.at = f.cut.find(us)
	if f.low, f.high = 0, 0; f.at >= 0 {
		f.low, f.high = f.cut.edges[f.at], f.cut.edges[f.at+1]
	}
	return f.at
}

// wholeDays says whether bitmaps know who did what refs mean, in buckets of u
// within a range, and on every day there ever was.
func (q *run) wholeDays(refs []*ref, within period, u unit) bool {
	if u < unitDay || !q.byDays(refs) || !q.aligned(within) {
		return false
	}
	var days []civil
	for _, r := range refs {
		days = append(days, q.daysOf(r)...)
	}
	return len(days) == 0 || q.cal.regular(slices.Min(days), slices.Max(days)+1)
}

// active finds who did what a reference means, from bitmaps.
type active struct {
	q     *run
	ref   *ref
	days  []civil
	limit *roaring.Bitmap // nil = everyone
}

func (q *run) active(r *ref, limit *roaring.Bitmap) *active {
	return &active{q: q, ref: r, days: q.daysOf(r), limit: limit}
}

// between gives the people of the days in [from, to). The bitmap may be shared.
func (a *active) between(from, to civil) (*roaring.Bitmap, error) {
	if err := a.q.ctx.Err(); err != nil {
		return nil, err
	}
	if err := a.q.slot.pass(a.q.ctx); err != nil {
		return nil, err
	}
	at, _ := slices.BinarySearch(a.days, from)
	var all []*roaring.Bitmap
	for _, d := range a.days[at:] {
		if d >= to {
			break
		}
		b, err := a.q.peopleOn(a.ref, d)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return a.q.persons(union(all), a.limit), nil
}

// in gives the people of bucket i.
func (a *active) in(cut *buckets, i int) (*roaring.Bitmap, error) {
	return a.between(a.q.cal.day(cut.edges[i]), a.q.cal.day(cut.edges[i+1]))
}

// before gives the people of all days before an instant.
func (a *active) before(us int64) (*roaring.Bitmap, error) {
	return a.between(math.MinInt64, a.q.cal.day(us))
}

// holding is what one consumer has reserved.
type holding struct {
	q     *run
	bytes int64
}

// upTo reserves what is missing to n bytes.
func (h *holding) upTo(n int64) error {
	if n <= h.bytes {
		return nil
	}
	more := n - h.bytes
	h.bytes = n
	return h.q.reserve(more)
}

// listed calls fn with a page of people and their identities, in the order in
// which they became known.
func (q *run) listed(some *roaring.Bitmap, l limits, path string, fn func(who uint32, name string)) error {
	it := some.Iterator()
	if l.after != "" {
		who, ok := q.find(l.after)
		if !ok {
			return fail(CodeValue, join(path, "after"), "there is nobody with this identity")
		}
		if who == math.MaxUint32 {
			return nil
		}
		it.AdvanceIfNeeded(who + 1)
	}
	for n := 0; it.HasNext() && n < l.limit; {
		who := it.Next()
		name, err := q.env.Data.People.Identity(who)
		if errors.Is(err, people.ErrErased) {
			continue // since the snapshot was taken: in no answer
		}
		if err != nil {
			return err
		}
		fn(who, name)
		n++
	}
	return nil
}
