package query

import (
	"sort"

	"github.com/cloisterhq/cloister/appliance/history"
)

// chunk is how many rows are looked at before what was found is filled in,
// and how many hits a single pass lets pile up: they stay in the cache.
const chunk = 4096

// rowTaker is a consumer that takes rows as they lie.
type rowTaker interface {
	consumer
	// takeRows takes rows of people without merged numbers, at most chunk of
	// them, all of one day of the publisher's or of mixed days.
	takeRows(w *worker, r *history.Rows, rows []chosen, day dayRange) error
	// endPartition follows the last rows of a partition.
	endPartition(partition int) error
}

// dayRange is the instants that some rows lie in, To exclusive; known is false
// where nothing is known of them.
type dayRange struct {
	from, to int64
	known    bool
}

// days gives a publisher's day as instants, and remembers it.
type days struct {
	cal   calendar
	spans map[int32]dayRange
}

func (d *days) of(day int32) dayRange {
	s, ok := d.spans[day]
	if !ok {
		c := civil(day)
		if d.cal.regular(c, c+2) {
			s = dayRange{d.cal.start(c), d.cal.start(c + 1), true}
		}
		d.spans[day] = s
	}
	return s
}

// pieces calls fn for pieces of rows, at most chunk long, each of one day where
// the rows say so. check is false where the whole piece lies in the range.
func (w *worker) pieces(r *history.Rows, fn func(from, to int, day dayRange, check bool) error) error {
	runs := r.Runs
	if runs == nil {
		runs = []history.Run{{To: len(r.Times)}}
	}
	from := 0
	for _, run := range runs {
		var day dayRange
		if r.Runs != nil {
			day = w.days.of(run.Day)
		}
		check := !day.known || day.from < w.p.within.from || day.to > w.p.within.to
		if day.known && (day.to <= w.p.within.from || day.from >= w.p.within.to) {
			from = run.To
			continue
		}
		for from < run.To {
			to := min(from+chunk, run.To)
			if err := fn(from, to, day, check); err != nil {
				return err
			}
			from = to
		}
	}
	return nil
}

// pick chooses the rows of a piece that match. Those of people with merged
// numbers, whose rows lie in several partitions, go to w.many instead.
func (w *worker) pick(r *history.Rows, from, to int, check bool) error {
	n, err := w.byEvent(r, from, to)
	if err != nil {
		return err
	}
	maybe := w.maybe[:n]
	if check {
		n = 0
		within := w.p.within
		for _, row := range maybe {
			maybe[n] = row
			if within.has(r.Times[row]) {
				n++
			}
		}
		maybe = maybe[:n]
	}
	w.chosen, w.many = w.chosen[:len(maybe)], w.many[:0]
	n = 0
	plain, persons, events, masks := w.plain, r.Persons, r.Events, w.masks
	for _, row := range maybe {
		who := persons[row]
		if !plain.has(who) {
			w.odd(r, row)
			continue
		}
		w.chosen[n] = chosen{row, who, masks[events[row]]}
		n++
	}
	w.chosen = w.chosen[:n]
	if w.filtered {
		w.chosen, w.many = w.tested(w.chosen), w.tested(w.many)
	}
	return nil
}

// odd looks at a row whose number is not simply that of a person asked for.
func (w *worker) odd(r *history.Rows, row int32) {
	raw := r.Persons[row]
	if raw != w.lastRaw || w.lastOf != r {
		w.lastRaw, w.lastOf = raw, r
		w.lastWho = w.q.who(raw)
		if w.wanted != nil && !w.wanted.has(w.lastWho) {
			w.lastWho = 0
		}
	}
	if w.lastWho != 0 {
		w.many = append(w.many, chosen{row, w.lastWho, w.masks[r.Events[row]]})
	}
}

// tested leaves the rows, and of each the references, whose filters hold.
func (w *worker) tested(rows []chosen) []chosen {
	n := 0
	for _, c := range rows {
		for j, ref := range w.p.refs {
			if bit := uint64(1) << j; c.mask&bit != 0 && ref.filter != nil && !w.s.holds(ref.filter, int(c.row), c.who) {
				c.mask &^= bit
			}
		}
		if c.mask != 0 {
			rows[n] = c
			n++
		}
	}
	return rows[:n]
}

// byEvent puts the rows whose event a reference names into w.maybe: from the
// lists by event where these are a few rows of many, else without a branch
// that nobody can foretell.
func (w *worker) byEvent(r *history.Rows, from, to int) (int, error) {
	n := 0
	if w.only >= 0 && r.List != nil {
		list, err := r.List(uint16(w.only))
		if err != nil {
			return 0, err
		}
		if w.listOf != r {
			w.listOf = r
			w.list = list[sort.Search(len(list), func(i int) bool { return int(list[i]) >= r.Base+from }):]
		}
		rest := w.list
		for len(rest) > 0 && int(rest[0]) < r.Base+from { // of days that were passed over
			rest = rest[1:]
		}
		for n < len(rest) && int(rest[n]) < r.Base+to {
			w.maybe[n] = int32(int(rest[n]) - r.Base)
			n++
		}
		w.list = rest[n:]
		return n, nil
	}
	maybe, named := &w.maybe, w.named
	for i, e := range r.Events[from:to] {
		maybe[n] = int32(from + i)
		n += int(named[e])
	}
	return n, nil
}
