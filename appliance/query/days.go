package query

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// History keeps, for every event name and day of the publisher's, the people
// who had such an event. Questions that ask for no more than that are answered
// from these bitmaps: references without a filter, whole days, and the
// publisher's own zone. What is read here is never less than the rows say,
// and never more.

// byDays says whether bitmaps know all that the references ask.
func (q *run) byDays(refs []*ref) bool {
	if q.cal.loc.String() != q.env.Location.String() {
		return false
	}
	return !slices.ContainsFunc(refs, func(r *ref) bool { return r.filter != nil })
}

// aligned says whether a range begins and ends with a day; open ends do.
func (q *run) aligned(p period) bool {
	return (p.fromOpen || q.cal.start(q.cal.day(p.from)) == p.from) && (p.toOpen || q.cal.start(q.cal.day(p.to)) == p.to)
}

// regular says whether the days in [from, to) are each one stretch of time. A
// change of the clock shortly after midnight can bring the day before back.
func (k calendar) regular(from, to civil) bool {
	at := k.at(k.start(from))
	for {
		_, change := at.ZoneBounds()
		if change.IsZero() || change.UnixMicro() >= k.start(to) {
			return true
		}
		if us := change.UnixMicro(); k.day(us) < k.day(us-1) || k.start(k.day(us)) > us {
			return false
		}
		at = change
	}
}

// namesOf are the event names that a reference means.
func (q *run) namesOf(r *ref) []string {
	if r.name != "" {
		return []string{r.name}
	}
	if q.appNames == nil {
		q.appNames = []string{}
		for _, n := range q.env.Data.History.Names() {
			if !event.Own(n.Name) {
				q.appNames = append(q.appNames, n.Name)
			}
		}
	}
	return q.appNames
}

// daysOf are the days with an event that a reference means, in order.
func (q *run) daysOf(r *ref) []civil {
	var out []civil
	for _, name := range q.namesOf(r) {
		for _, d := range q.env.Data.History.Days(name) {
			out = append(out, civil(d))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// peopleOn are the numbers, before merges, with such an event on a day. The
// bitmap may be shared.
func (q *run) peopleOn(r *ref, d civil) (*roaring.Bitmap, error) {
	if r.name == "" {
		return q.env.Data.History.AnyPeople(int32(d))
	}
	return q.env.Data.History.People(r.name, int32(d))
}

// union of bitmaps; of one, that one itself.
func union(all []*roaring.Bitmap) *roaring.Bitmap {
	if len(all) == 1 {
		return all[0]
	}
	return roaring.FastOr(all...)
}

// persons turns numbers into people: merged ones into their winners, erased
// ones into nobody, and only those of limit (nil = everyone). The bitmap may
// be shared.
func (q *run) persons(raw, limit *roaring.Bitmap) *roaring.Bitmap {
	if limit == nil {
		limit = q.everyone
	}
	if raw.AndCardinality(limit) == raw.GetCardinality() {
		return raw
	}
	out := roaring.And(raw, limit)
	for it := roaring.AndNot(raw, q.everyone).Iterator(); it.HasNext(); {
		if who := q.who(it.Next()); who != 0 && limit.Contains(who) {
			out.Add(who)
		}
	}
	return out
}

// anyOccurrence finds who has an occurrence at all: whole days from bitmaps,
// what is left of the first and the last day from rows.
func (q *run) anyOccurrence(p *pass, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	if !q.byDays(p.refs) {
		return q.collect(p, some, nil)
	}
	r := p.refs[0]
	days := q.daysOf(r)
	if len(days) == 0 || !q.cal.regular(days[0], days[len(days)-1]+1) {
		return q.collect(p, some, nil)
	}
	var inner []*roaring.Bitmap
	out := roaring.New()
	for _, d := range days {
		from, to := q.cal.start(d), q.cal.start(d+1)
		if from >= p.within.to || to <= p.within.from {
			continue
		}
		if p.within.from <= from && to <= p.within.to {
			b, err := q.peopleOn(r, d)
			if err != nil {
				return nil, err
			}
			inner = append(inner, b)
			continue
		}
		edge := &pass{refs: p.refs, single: true, within: period{from: max(from, p.within.from), to: min(to, p.within.to)}}
		found, err := q.collect(edge, some, nil)
		if err != nil {
			return nil, err
		}
		out.Or(found)
	}
	out.Or(q.persons(union(inner), some))
	return out, nil
}

// fromBitmaps says whether the whole trend is about uniques of whole days.
func (m *trendPass) fromBitmaps() bool {
	q, t := m.q, m.t
	if m.totals || m.allowed != nil || t.breakdown.any() || t.interval < unitDay || m.within.from >= m.within.to || !q.aligned(m.within) {
		return false
	}
	refs := make([]*ref, len(t.series))
	first := q.cal.day(m.within.from)
	for i := range t.series {
		s := &t.series[i]
		if s.measure != measureUnique {
			return false
		}
		refs[i] = s.ref
		if s.trailing == nil {
			continue
		}
		for _, end := range m.cut.edges[1:] {
			start := q.cal.add(end, *s.trailing, -1)
			if q.cal.start(q.cal.day(start)) != start {
				return false
			}
			first = min(first, q.cal.day(start))
		}
	}
	return q.byDays(refs) && q.cal.regular(first, q.cal.day(m.within.to))
}

// bitmapLines are the lines of such a trend; the workers share the series out.
func (m *trendPass) bitmapLines() (lines, error) {
	out, errs := make(lines, len(m.t.series)), make([]error, len(m.t.series))
	m.q.namesOf(&ref{}) // looked up once, before there are several who could
	var (
		next atomic.Int32
		wait sync.WaitGroup
	)
	m.q.pause()
	for range min(m.q.env.Workers, len(out)) {
		wait.Go(func() {
			for k := int(next.Add(1)) - 1; k < len(out); k = int(next.Add(1)) - 1 {
				var l *line
				if l, errs[k] = m.bitmapLine(&m.t.series[k]); errs[k] == nil {
					out[k] = map[tuple]*line{{}: l}
				}
			}
		})
	}
	wait.Wait()
	return out, errors.Join(append(errs, m.q.resume())...)
}

func (m *trendPass) bitmapLine(s *series) (*line, error) {
	days := m.q.daysOf(s.ref)
	w := &window{q: m.q, ref: s.ref, days: days, limit: m.people}
	l := &line{values: make([]float64, m.cut.len())}
	slot, err := m.q.env.Share.take(m.q.ctx)
	if err != nil {
		return nil, err
	}
	defer slot.give()
	for b := range l.values {
		if err := m.q.ctx.Err(); err != nil {
			return nil, err
		}
		if err := slot.pass(m.q.ctx); err != nil {
			return nil, err
		}
		from, to := m.cut.edges[b], m.cut.edges[b+1]
		if s.trailing != nil {
			n, err := w.move(m.q.cal.day(m.q.cal.add(to, *s.trailing, -1)), m.q.cal.day(to))
			if err != nil {
				return nil, err
			}
			l.values[b] = float64(n)
			continue
		}
		raw, err := m.q.peopleBetween(s.ref, days, m.q.cal.day(from), m.q.cal.day(to))
		if err != nil {
			return nil, err
		}
		l.values[b] = float64(m.q.persons(raw, m.people).GetCardinality())
	}
	raw, err := m.q.peopleBetween(s.ref, days, m.q.cal.day(m.within.from), m.q.cal.day(m.within.to))
	if err != nil {
		return nil, err
	}
	l.total = float64(m.q.persons(raw, m.people).GetCardinality())
	return l, m.q.reserve(-w.held)
}

// peopleBetween are the numbers, before merges, with an event that a reference
// means on the days in [from, to), of those that have any. The bitmap may be
// shared.
func (q *run) peopleBetween(r *ref, days []civil, from, to civil) (*roaring.Bitmap, error) {
	first, _ := slices.BinarySearch(days, from)
	end, _ := slices.BinarySearch(days, to)
	all := make([]*roaring.Bitmap, 0, end-first)
	for _, d := range days[first:end] {
		b, err := q.peopleOn(r, d)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	if len(all) < 16 {
		return union(all), nil
	}
	return roaring.ParOr(q.env.Workers, all...), nil
}

// window counts the people of consecutive days, moving on: a queue of two
// stacks, so that a day is joined about three times whatever the length.
type window struct {
	q     *run
	ref   *ref
	limit *roaring.Bitmap // nil = everyone
	days  []civil         // that have events, not in the window yet

	front     []joined // front[i] is the union of the i+1 newest days of the front
	back      []joined // the days behind them, oldest first
	backUnion *roaring.Bitmap
	held      int64
}

// joined is a day, alone or as the oldest of a union.
type joined struct {
	day civil
	all *roaring.Bitmap
}

// move counts the people of the days in [from, to), neither of which ever goes
// back.
func (w *window) move(from, to civil) (uint64, error) {
	for len(w.days) > 0 && w.days[0] < to {
		if d := w.days[0]; d >= from {
			b, err := w.q.peopleOn(w.ref, d)
			if err != nil {
				return 0, err
			}
			b = w.q.persons(b, w.limit)
			if len(w.back) == 0 {
				w.backUnion = b
			} else if len(w.back) == 1 {
				w.backUnion = roaring.Or(w.backUnion, b)
			} else {
				w.backUnion.Or(b)
			}
			w.back = append(w.back, joined{d, b})
		}
		w.days = w.days[1:]
	}
	w.drop(from)
	if len(w.front) == 0 && len(w.back) > 0 && w.back[0].day < from {
		if err := w.turn(from); err != nil {
			return 0, err
		}
	}
	switch n := len(w.front); {
	case n == 0 && len(w.back) == 0:
		return 0, nil
	case n == 0:
		return w.backUnion.GetCardinality(), nil
	case len(w.back) == 0:
		return w.front[n-1].all.GetCardinality(), nil
	default:
		// The union itself is not needed, only how many it holds.
		return w.front[n-1].all.OrCardinality(w.backUnion), nil
	}
}

// drop takes days before from off the front.
func (w *window) drop(from civil) {
	for n := len(w.front); n > 0 && w.front[n-1].day < from; n = len(w.front) {
		w.front = w.front[:n-1]
	}
}

// turn makes the back the front.
func (w *window) turn(from civil) error {
	var all *roaring.Bitmap
	for i := len(w.back) - 1; i >= 0 && w.back[i].day >= from; i-- {
		if all == nil {
			all = w.back[i].all
		} else {
			all = roaring.Or(all, w.back[i].all)
			n := int64(all.GetSizeInBytes())
			w.held += n
			if err := w.q.reserve(n); err != nil {
				return err
			}
		}
		w.front = append(w.front, joined{w.back[i].day, all})
	}
	w.back, w.backUnion = nil, nil
	return nil
}
