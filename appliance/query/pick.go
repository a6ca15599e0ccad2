package query

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// chunk is how many rows are looked at before what was found is filled in,
// and how many hits a single pass lets pile up: they stay in the cache.
const chunk = 4096

// rowTaker is a consumer that takes rows as they lie.
type rowTaker interface {
	consumer
	// takeRows takes rows of people without merged numbers, at most chunk of
	// them, that lie in one day of the publisher's where day is known.
	takeRows(w *worker, r *history.Rows, p *picked, day dayRange) error
	// endPartition follows the last rows of a partition.
	endPartition() error
}

// picked is rows that match.
type picked struct {
	// span says that the rows are all those from from to to, and are not listed
	// yet: see list.
	span     bool
	from, to int

	rows  []int32
	who   []uint32 // winners; nil where the rows' own numbers are
	masks []uint64 // nil where the rows' events say all
}

// of is the winner whose the kth row is.
func (p *picked) of(r *history.Rows, k int) uint32 {
	if p.who != nil {
		return p.who[k]
	}
	return r.Person(int(p.rows[k]))
}

// len is the number of rows.
func (p *picked) len() int {
	if p.span {
		return p.to - p.from
	}
	return len(p.rows)
}

// list lists the rows of a span, in memory that is given.
func (p *picked) list(memory []int32) {
	if !p.span {
		return
	}
	p.span, p.rows = false, memory[:p.to-p.from]
	for i := range p.rows {
		p.rows[i] = int32(p.from + i)
	}
}

func (p *picked) reset() { p.rows, p.who, p.masks = p.rows[:0], p.who[:0], nil }

// dayRange is the instants that some rows lie in, to exclusive; known is false
// where nothing is known of them.
type dayRange struct {
	from, to int64
	known    bool
}

// daySpans gives a publisher's day as instants, and remembers it.
type daySpans struct {
	cal   calendar
	spans map[int32]dayRange
}

func (d *daySpans) of(day int32) dayRange {
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

// piece is rows of a stretch that are looked at together, from to to: at most
// chunk, and of one day where the stretch says so.
type piece struct {
	from, to int
	day      dayRange
	within   bool // all lie in the pass's range
	plain    bool // all are of plain people
}

// runsOf are the runs of rows; where they have none, one of mixed days.
func runsOf(r *history.Rows) []history.Run {
	if r.Runs == nil {
		return []history.Run{{To: r.Len()}}
	}
	return r.Runs
}

// pieces calls fn for the pieces of some runs that can lie in the pass's range.
func (w *worker) pieces(r *history.Rows, runs []history.Run, fn func(p piece) error) error {
	for _, run := range runs {
		var p piece
		if r.Runs != nil {
			p.day = w.spans.of(run.Day)
			p.plain = w.allPlain(r, run)
		}
		if p.day.known {
			if p.day.to <= w.p.within.from || p.day.from >= w.p.within.to {
				continue
			}
			p.within = p.day.from >= w.p.within.from && p.day.to <= w.p.within.to
		}
		for from := run.From; from < run.To; {
			p.from, p.to = from, min(from+chunk, run.To)
			if err := fn(p); err != nil {
				return err
			}
			from = p.to
		}
	}
	return nil
}

// allPlain says whether all rows of a run are surely of people who are asked
// for and have one number: it looks for the few who are not, since a look at
// every row's person costs as much as counting it.
func (w *worker) allPlain(r *history.Rows, run history.Run) bool {
	if w.wanted != nil || len(w.odd) > maxOdd || r.Last > w.q.known {
		return false
	}
	return !slices.ContainsFunc(w.odd, func(n uint32) bool { return r.HasPerson(n, run) })
}

// maxOdd is how many numbers allPlain looks for.
const maxOdd = 32

// oddNumbers are, by partition, the numbers up to the largest known that are no
// plain people: merged ones, their winners, and erased ones. Of a partition no
// more than maxOdd+1 are listed.
func (q *run) oddNumbers() (out [event.Partitions][]uint32) {
	for n := uint64(1); n <= uint64(q.known); n++ {
		if n%64 == 0 && q.plain[n/64] == ^uint64(0) {
			n += 63
			continue
		}
		if part := n % event.Partitions; !q.plain.has(uint32(n)) && len(out[part]) <= maxOdd {
			out[part] = append(out[part], uint32(n))
		}
	}
	return out
}

// pick chooses the rows of a piece that match. Those of people with merged
// numbers, whose rows lie in several partitions, go to w.many instead.
func (w *worker) pick(r *history.Rows, p piece) error {
	w.chosen.span, w.chosen.from, w.chosen.to = w.all && p.within && p.plain && !w.filtered, p.from, p.to
	w.many.reset()
	if w.chosen.span {
		w.chosen.rows, w.chosen.who, w.chosen.masks = nil, nil, nil
		return nil
	}
	if err := r.LoadPersons(); err != nil {
		return err
	}
	rows := w.byEvent(r, p.from, p.to)
	w.chosen.who, w.chosen.masks = nil, nil
	if !p.within {
		times, err := r.Times()
		if err != nil {
			return err
		}
		within, n := w.p.within, 0
		for _, row := range rows {
			rows[n] = row
			if within.has(times.At(int(row))) {
				n++
			}
		}
		rows = rows[:n]
	}
	if !p.plain {
		n := 0
		for _, row := range rows {
			rows[n] = row
			if w.plain.has(r.Person(int(row))) {
				n++
			} else {
				w.pickOdd(r, row)
			}
		}
		rows = rows[:n]
	}
	w.chosen.rows = rows
	if w.filtered {
		w.test(r, &w.chosen, w.tested[:0])
		w.tested = w.chosen.masks
		w.test(r, &w.many, nil)
	}
	return nil
}

// pickOdd looks at a row whose number is not simply that of a person asked for.
func (w *worker) pickOdd(r *history.Rows, row int32) {
	raw := r.Person(int(row))
	if raw != w.lastRaw {
		w.lastRaw = raw
		w.lastWho = w.q.who(raw)
		if w.wanted != nil && !w.wanted.has(w.lastWho) {
			w.lastWho = 0
		}
	}
	if w.lastWho != 0 {
		w.many.rows, w.many.who = append(w.many.rows, row), append(w.many.who, w.lastWho)
	}
}

// test leaves the rows, and of each the references, whose filters hold.
func (w *worker) test(r *history.Rows, p *picked, masks []uint64) {
	n := 0
	for k, row := range p.rows {
		mask, who := w.masks[r.Events[row]], p.of(r, k)
		for j, ref := range w.p.refs {
			if bit := uint64(1) << j; mask&bit != 0 && ref.filter != nil && !w.s.holds(ref.filter, int(row), who) {
				mask &^= bit
			}
		}
		if mask != 0 {
			p.rows[n] = row
			if p.who != nil {
				p.who[n] = who
			}
			masks = append(masks, mask)
			n++
		}
	}
	p.rows, p.masks = p.rows[:n], masks
	if p.who != nil {
		p.who = p.who[:n]
	}
}

// byEvent gives the rows whose event a reference names, without a branch that
// nobody can foretell.
func (w *worker) byEvent(r *history.Rows, from, to int) []int32 {
	n := 0
	maybe := &w.maybe
	if w.all {
		p := picked{span: true, from: from, to: to}
		p.list(maybe[:])
		return p.rows
	}
	named := w.named
	for i, e := range r.Events[from:to] {
		maybe[n] = int32(from + i)
		n += int(named[e])
	}
	return maybe[:n]
}

// listed lists the rows of a span and lets their persons be asked.
func (w *worker) listed(r *history.Rows, p *picked) error {
	p.list(w.maybe[:])
	return r.LoadPersons()
}
