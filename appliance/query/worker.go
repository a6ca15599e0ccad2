package query

import (
	"context"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// worker reads partitions one after another.
type worker struct {
	q        *run
	p        *pass
	to       consumer
	direct   rowTaker // the same, where no hits are made
	names    []string // to be wanted; nil = any
	keys     []string
	s        *stretch
	store    *store
	merged   *store   // hits of people with merged numbers, whose rows lie in several partitions
	masks    []uint64 // by the stretch's event code
	some     uint64   // of masks, together
	named    []uint8  // 1 where there is a mask
	maybe    [chunk]int32
	masksOf  []string            // the names that masks are about
	held     int64               // bytes reserved for this worker
	kept     int64               // of which it gave away
	wanted   bitset              // winners; nil = everyone
	losers   map[uint32][]uint32 // of the partition's winners
	filtered bool                // some reference has a filter
	chosen   []chosen
	starts   []uint32 // by person within the partition
	sorted   []hit
	lastRaw  uint32
	lastWho  uint32
	lastMany bool
}

func (q *run) newWorker(p *pass, to consumer) *worker {
	w := &worker{q: q, p: p, to: to,
		s:      newStretch(q.env.Data.People, q.values, q.leaves),
		store:  newStore(len(p.dims), len(p.numbers)),
		merged: newStore(len(p.dims), len(p.numbers)),
	}
	if p.direct {
		w.direct = to.(rowTaker)
	}
	if p.people != nil {
		w.wanted = p.people.ToDense()
	}
	any := p.other
	for _, r := range p.refs {
		any = any || r.name == ""
		w.names = append(w.names, r.name)
		w.filtered = w.filtered || r.filter != nil
		r.filter.each(func(l *leaf) { w.keys = append(w.keys, keysOf(l.place, l.key)...) })
	}
	slices.Sort(w.names)
	w.names = slices.Compact(w.names)
	if any {
		w.names = nil
	}
	for _, d := range p.dims {
		w.keys = append(w.keys, keysOf(d.place, d.key)...)
		w.s.dims = append(w.s.dims, reading{dim: d})
	}
	for _, k := range p.numbers {
		w.keys = append(w.keys, k)
		w.s.numbers = append(w.s.numbers, numbers{key: k})
	}
	slices.Sort(w.keys)
	w.keys = slices.Compact(w.keys)
	return w
}

func keysOf(p place, key string) []string {
	switch p {
	case ofEvent:
		return []string{key}
	case ofItem:
		return itemKeys
	}
	return nil
}

func (w *worker) partition(ctx context.Context, partition int) error {
	w.store.reset()
	w.losers = w.q.env.Data.People.Losers(partition)
	want := history.Want{From: w.p.within.from, To: w.p.within.to, Names: w.names, Keys: w.keys}
	err := w.q.env.Data.History.Scan(ctx, partition, want, func(r *history.Rows) error { return w.rows(ctx, r) })
	if err != nil {
		return err
	}
	if w.p.single {
		return w.flush()
	}
	w.byPerson()
	if err := w.hold(); err != nil {
		return err
	}
	return takePeople(ctx, w.store, w.to)
}

// prepare decides per event name which references could match; false if none.
func (w *worker) prepare(r *history.Rows) bool {
	if len(r.Names) == len(w.masksOf) && len(r.Names) > 0 && &r.Names[0] == &w.masksOf[0] {
		return w.some != 0
	}
	w.masksOf = r.Names
	w.masks, w.named = cleared(w.masks, len(r.Names)), cleared(w.named, len(r.Names))
	w.some = 0
	for code, name := range r.Names {
		for i, ref := range w.p.refs {
			if ref.matches(name) {
				w.masks[code] |= 1 << i
			}
		}
		if w.p.other && (w.masks[code] != 0 || !event.Own(name)) {
			w.masks[code] |= otherBit
		}
		w.some |= w.masks[code]
		if w.masks[code] != 0 {
			w.named[code] = 1
		}
	}
	return w.some != 0
}

// chunk is how many rows are looked at before what was found is filled in,
// and how many hits a single pass lets pile up: they stay in the cache.
const chunk = 4096

func (w *worker) rows(ctx context.Context, r *history.Rows) error {
	if err := w.q.count(len(r.Times)); err != nil {
		return err
	}
	if !w.prepare(r) {
		return nil
	}
	w.s.begin(r)
	w.lastRaw = 0
	for from := 0; from < len(r.Times); from += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.choose(r, from, min(from+chunk, len(r.Times)))
		err := w.fill(r)
		if w.s.err != nil {
			return w.s.err
		}
		if err != nil {
			return err
		}
		if w.p.single && len(w.store.hits) >= chunk {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.hold()
}

func (w *worker) flush() error {
	err := w.to.take(w.store.hits, w.store)
	w.store.reset()
	return err
}

// chosen is a row that matches, before its values are read.
type chosen struct {
	row  int32
	who  uint32
	mask uint64
}

// choose finds the rows that match. Those of people with merged numbers are
// filled in at once, apart from the others.
func (w *worker) choose(r *history.Rows, from, to int) {
	w.chosen = w.chosen[:0]
	// By the event alone first, without a branch that nobody can foretell.
	n := 0
	for i, e := range r.Events[from:to] {
		w.maybe[n] = int32(from + i)
		n += int(w.named[e])
	}
	within := w.p.within
	for _, at := range w.maybe[:n] {
		i := int(at)
		if !within.has(r.Times[i]) {
			continue
		}
		mask := w.masks[r.Events[i]]
		if r.Persons[i] != w.lastRaw {
			w.resolve(r.Persons[i])
		}
		if w.lastWho == 0 {
			continue
		}
		if w.filtered {
			if mask = w.test(mask, i); mask == 0 {
				continue
			}
		}
		w.chosen = append(w.chosen, chosen{int32(i), w.lastWho, mask})
		if w.lastMany && !w.p.single {
			w.chosen = w.chosen[:len(w.chosen)-1]
			w.extend(w.merged, r, []chosen{{int32(i), w.lastWho, mask}})
		}
	}
}

// test leaves the bits of the references whose filters hold.
func (w *worker) test(mask uint64, row int) uint64 {
	for j, ref := range w.p.refs {
		if bit := uint64(1) << j; mask&bit != 0 && ref.filter != nil && !w.s.holds(ref.filter, row, w.lastWho) {
			mask &^= bit
		}
	}
	return mask
}

func (w *worker) fill(r *history.Rows) error {
	switch {
	case len(w.chosen) == 0:
	case w.direct != nil:
		return w.direct.takeRows(r, w.chosen, w.s)
	default:
		w.extend(w.store, r, w.chosen)
	}
	return nil
}

// extend makes hits of chosen rows, a column at a time.
func (w *worker) extend(to *store, r *history.Rows, rows []chosen) {
	base := len(to.hits)
	to.hits = slices.Grow(to.hits, len(rows))[:base+len(rows)]
	hits := to.hits[base:]
	for k := range rows {
		c := &rows[k]
		hits[k] = hit{time: r.Times[c.row], mask: c.mask, gen: r.Generation, who: c.who, at: uint32(base + k)}
	}
	if r.Ties != nil {
		for k := range rows {
			hits[k].tie = r.Ties[rows[k].row]
		}
	}
	if to.nid > 0 {
		to.ids = slices.Grow(to.ids, len(rows)*to.nid)[:(base+len(rows))*to.nid]
		for d := range w.s.dims {
			w.s.values(&w.s.dims[d], rows, to.ids[base*to.nid+d:], to.nid)
		}
	}
	if to.nfloat > 0 {
		to.floats = slices.Grow(to.floats, len(rows)*to.nfloat)[:(base+len(rows))*to.nfloat]
		for n := range w.s.numbers {
			w.s.floats(&w.s.numbers[n], rows, to.floats[base*to.nfloat+n:], to.nfloat)
		}
	}
}

// resolve finds whom a row's number stands for, 0 if nobody who is asked for,
// and whether their rows lie under several numbers.
func (w *worker) resolve(raw uint32) {
	w.lastRaw, w.lastWho, w.lastMany = raw, raw, false
	if w.q.alive.has(raw) {
		w.lastMany = len(w.losers) > 0 && len(w.losers[raw]) > 0
	} else {
		w.lastWho, w.lastMany = w.q.who(raw), true
	}
	if w.wanted != nil && !w.wanted.has(w.lastWho) {
		w.lastWho = 0
	}
}

// hold reserves the memory that the worker has come to use.
func (w *worker) hold() error {
	now := w.store.bytes() + w.merged.bytes() + w.kept + int64(cap(w.sorted))*hitBytes
	delta := now - w.held
	w.held = now
	if err := w.q.reserve(delta); err != nil {
		return err
	}
	return w.q.reserve(w.q.values.grown())
}
