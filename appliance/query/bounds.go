package query

import (
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// bounds is the consumer that finds the first and last event asked for.
type bounds struct {
	some        bool
	first, last int64
}

func (b *bounds) take(hits []hit, _ *store) error {
	for i := range hits {
		b.add(hits[i].time)
	}
	return nil
}

func (b *bounds) add(us int64) {
	if !b.some {
		b.some, b.first, b.last = true, us, us
	}
	b.first, b.last = min(b.first, us), max(b.last, us)
}

// close gives a range without open ends: left out means from the first to the
// last event asked for, and there to the edge of its day (of its hour or
// minute, where those are the interval), since a bucket cut at an event would
// say nothing else. Without any event it is empty.
func (q *run) close(refs []*ref, within period, people *roaring.Bitmap, interval unit) (period, error) {
	if !within.fromOpen && !within.toOpen {
		return within, nil
	}
	var b *bounds
	var err error
	if interval >= unitDay && q.byDays(refs) && q.aligned(within) {
		b, err = q.dayBounds(refs, within, people)
	} else {
		b, err = q.rowBounds(refs, within, people)
	}
	if err != nil {
		return within, err
	}
	if !b.some {
		at := within.from
		if within.fromOpen {
			at = within.to
		}
		if at == math.MaxInt64 {
			at = 0
		}
		return period{from: at, to: at}, nil
	}
	if interval > unitDay {
		interval = unitDay
	}
	if within.fromOpen {
		within.from, _ = q.cal.around(b.first, interval)
	}
	if within.toOpen {
		_, within.to = q.cal.around(b.last, interval)
	}
	return within, nil
}

// dayBounds finds the first and last day without reading rows.
func (q *run) dayBounds(refs []*ref, within period, people *roaring.Bitmap) (*bounds, error) {
	all := &bounds{}
	for _, r := range refs {
		var days []civil
		for _, d := range q.daysOf(r) {
			if within.has(q.cal.start(d)) {
				days = append(days, d)
			}
		}
		for range 2 { // from both ends, to the first day that has somebody
			for _, d := range days {
				raw, err := q.peopleOn(r, d)
				if err != nil {
					return nil, err
				}
				if !q.persons(raw, people).IsEmpty() {
					all.add(q.cal.start(d))
					break
				}
			}
			slices.Reverse(days)
		}
	}
	return all, nil
}

func (q *run) rowBounds(refs []*ref, within period, people *roaring.Bitmap) (*bounds, error) {
	took, err := q.read(&pass{refs: refs, within: within, people: people, single: true}, func() consumer { return &bounds{} })
	if err != nil {
		return nil, err
	}
	all := &bounds{}
	for _, c := range took {
		if o := c.(*bounds); o.some {
			all.add(o.first)
			all.add(o.last)
		}
	}
	return all, nil
}
