package query

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// maxRefs bounds the event references of one pass: a hit has a bit for each.
const maxRefs = 63

// hit is a row that at least one reference of a pass matches.
type hit struct {
	time int64
	mask uint64 // bit i: reference i matches
	gen  uint64 // generation of the rows: later arrival is higher
	tie  uint32 // arrival among equal instants of one generation
	who  uint32 // the person's number after merges
	at   uint32 // where its values lie in the store
}

const hitBytes = int64(unsafe.Sizeof(hit{}))

// before is the order of one person's events.
func (a *hit) before(b *hit) int {
	if c := cmp.Compare(a.time, b.time); c != 0 {
		return c
	}
	if c := cmp.Compare(a.gen, b.gen); c != 0 {
		return c
	}
	return cmp.Compare(a.tie, b.tie) // equal: as they were read, which is by position
}

// store keeps what hits carry: a number of the dictionary per dimension, and a
// float per numeric property.
type store struct {
	hits   []hit
	ids    []uint32
	floats []float64
	nid    int
	nfloat int
}

func (s *store) idsOf(h *hit) []uint32     { return s.ids[int(h.at)*s.nid:][:s.nid] }
func (s *store) floatsOf(h *hit) []float64 { return s.floats[int(h.at)*s.nfloat:][:s.nfloat] }
func (s *store) reset()                    { s.hits, s.ids, s.floats = s.hits[:0], s.ids[:0], s.floats[:0] }

func (s *store) bytes() int64 {
	return int64(cap(s.hits))*hitBytes + int64(cap(s.ids))*4 + int64(cap(s.floats))*8
}

func newStore(nid, nfloat int) *store { return &store{nid: nid, nfloat: nfloat} }

func (s *store) copyFrom(o *store, h hit) {
	at := uint32(len(s.hits))
	s.ids = append(s.ids, o.idsOf(&h)...)
	s.floats = append(s.floats, o.floatsOf(&h)...)
	h.at = at
	s.hits = append(s.hits, h)
}

// pass is one reading of the rows: what to look for and what hits carry.
type pass struct {
	refs    []*ref
	other   bool // rows that any reference names, whether or not its filter holds, and any event of the apps get otherBit
	within  period
	dims    []dimension
	numbers []string
	people  *roaring.Bitmap // winners; nil = everyone
	// single: hits are taken as they come, in no order and not by person.
	single bool
}

// otherBit marks a row that is some event of the person, for strict funnels.
const otherBit = uint64(1) << 63

// consumer takes the hits of a pass: all of one person in their order or, for a
// single pass, any of anyone. Each worker has its own; nothing is kept of hits
// after the call.
type consumer interface {
	take(hits []hit, s *store) error
}

// read runs a pass over the 64 partitions on the question's workers and gives
// the consumers that took it.
func (q *run) read(p *pass, newConsumer func() consumer) ([]consumer, error) {
	if len(p.refs) > maxRefs {
		return nil, fail(CodeBudget, "", "the question looks for more than %d events at once", maxRefs)
	}
	if p.within.from >= p.within.to || len(p.refs) == 0 || p.people != nil && p.people.IsEmpty() {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(q.ctx)
	defer cancel()
	var (
		next   atomic.Int32
		wait   sync.WaitGroup
		mu     sync.Mutex
		out    []consumer
		failed error
		held   atomic.Int64
		merged [event.Partitions]*store // hits of people with merged numbers
	)
	for range q.env.Workers {
		w := q.newWorker(p, newConsumer())
		out = append(out, w.to)
		wait.Go(func() {
			defer func() { held.Add(w.held) }()
			for {
				partition := int(next.Add(1)) - 1
				if partition >= event.Partitions {
					return
				}
				if err := w.partition(ctx, partition); err != nil {
					mu.Lock()
					// The first to fail says why; the others are only cancelled.
					if failed == nil {
						failed = err
					}
					mu.Unlock()
					cancel()
					return
				}
				if len(w.merged.hits) > 0 {
					merged[partition], w.merged = w.merged, newStore(len(p.dims), len(p.numbers))
					w.kept += merged[partition].bytes()
				}
			}
		})
	}
	wait.Wait()
	if err := q.reserve(-held.Load()); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, q.explain(failed)
	}
	to, err := q.takeMerged(p, &merged, newConsumer)
	if to != nil {
		out = append(out, to)
	}
	return out, err
}

// takeMerged hands over the people whose rows lie in several partitions, once
// all of them are read. nil if there are none.
func (q *run) takeMerged(p *pass, merged *[event.Partitions]*store, newConsumer func() consumer) (consumer, error) {
	all := newStore(len(p.dims), len(p.numbers))
	for _, s := range merged {
		if s == nil {
			continue
		}
		for _, h := range s.hits {
			all.copyFrom(s, h)
		}
	}
	if len(all.hits) == 0 {
		return nil, nil
	}
	if err := q.reserve(all.bytes()); err != nil {
		return nil, err
	}
	to := newConsumer()
	err := takePeople(q.ctx, all, to)
	if err != nil {
		return nil, q.explain(err)
	}
	return to, q.reserve(-all.bytes())
}

// explain turns a deadline of the question's own into the error for it.
func (q *run) explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && q.own() {
		return fail(CodeBudget, "", "the question took longer than the %s it may take: ask a shorter range or fewer steps", q.env.Deadline)
	}
	return err
}

// worker reads partitions one after another.
type worker struct {
	q        *run
	p        *pass
	to       consumer
	names    []string // to be wanted; nil = any
	keys     []string
	s        *stretch
	store    *store
	merged   *store              // hits of people with merged numbers, whose rows lie in several partitions
	masks    []uint64            // by the stretch's event code
	some     uint64              // of masks, together
	masksOf  []string            // the names that masks are about
	held     int64               // bytes reserved for this worker
	kept     int64               // of which it gave away
	wanted   bitset              // winners; nil = everyone
	losers   map[uint32][]uint32 // of the partition's winners
	starts   []uint32            // by person within the partition
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
	if p.people != nil {
		w.wanted = p.people.ToDense()
	}
	any := p.other
	for _, r := range p.refs {
		any = any || r.name == ""
		w.names = append(w.names, r.name)
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

// flushAt is how many hits a single pass lets pile up.
const flushAt = 4096

func (w *worker) flush() error {
	err := w.to.take(w.store.hits, w.store)
	w.store.reset()
	return err
}

// prepare decides per event name which references could match; false if none.
func (w *worker) prepare(r *history.Rows) bool {
	if len(r.Names) == len(w.masksOf) && len(r.Names) > 0 && &r.Names[0] == &w.masksOf[0] {
		return w.some != 0
	}
	w.masksOf = r.Names
	w.masks = cleared(w.masks, len(r.Names))
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
	}
	return w.some != 0
}

func (w *worker) rows(ctx context.Context, r *history.Rows) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.q.count(len(r.Times)); err != nil {
		return err
	}
	if !w.prepare(r) {
		return nil
	}
	w.s.begin(r)
	w.lastRaw = 0
	for i, code := range r.Events {
		mask := w.masks[code]
		if mask == 0 || !w.p.within.has(r.Times[i]) {
			continue
		}
		if r.Persons[i] != w.lastRaw {
			w.resolve(r.Persons[i])
		}
		if w.lastWho == 0 {
			continue
		}
		for j, ref := range w.p.refs {
			if bit := uint64(1) << j; mask&bit != 0 && ref.filter != nil && !w.s.holds(ref.filter, i, w.lastWho) {
				mask &^= bit
			}
		}
		if mask == 0 {
			continue
		}
		to := w.store
		if w.lastMany && !w.p.single {
			to = w.merged
		}
		w.add(to, r, i, mask)
		if i&0xffff == 0xffff && ctx.Err() != nil {
			return ctx.Err()
		}
		if w.p.single && len(to.hits) >= flushAt {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	if w.s.err != nil {
		return w.s.err
	}
	return w.hold()
}

func (w *worker) add(to *store, r *history.Rows, row int, mask uint64) {
	h := hit{time: r.Times[row], mask: mask, gen: r.Generation, who: w.lastWho, at: uint32(len(to.hits))}
	if r.Ties != nil {
		h.tie = r.Ties[row]
	}
	to.hits = append(to.hits, h)
	for d := range w.s.dims {
		to.ids = append(to.ids, w.s.value(&w.s.dims[d], row, w.lastWho))
	}
	for n := range w.s.numbers {
		to.floats = append(to.floats, w.s.number(&w.s.numbers[n], row))
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

// byPerson orders the partition's hits by person, keeping for each the order
// in which they were read: a counting sort, since a partition's people are
// every 64th number.
func (w *worker) byPerson() {
	hits := w.store.hits
	if slices.IsSortedFunc(hits, func(a, b hit) int { return cmp.Compare(a.who, b.who) }) {
		return
	}
	high := uint32(0)
	for i := range hits {
		high = max(high, hits[i].who/event.Partitions)
	}
	w.starts = cleared(w.starts, int(high)+2)
	for i := range hits {
		w.starts[hits[i].who/event.Partitions+1]++
	}
	for i := 1; i < len(w.starts); i++ {
		w.starts[i] += w.starts[i-1]
	}
	if cap(w.sorted) < len(hits) {
		w.sorted = make([]hit, len(hits), cap(hits))
	}
	w.sorted = w.sorted[:len(hits)]
	for i := range hits {
		p := &w.starts[hits[i].who/event.Partitions]
		w.sorted[*p] = hits[i]
		*p++
	}
	w.store.hits, w.sorted = w.sorted, hits
}

// takePeople hands over one person after another, their hits in order.
func takePeople(ctx context.Context, s *store, to consumer) error {
	hits := s.hits
	if !slices.IsSortedFunc(hits, func(a, b hit) int { return cmp.Compare(a.who, b.who) }) {
		slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.who, b.who) })
	}
	for people := 0; len(hits) > 0; people++ {
		if people&0xff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		n := 1
		inOrder := true
		for n < len(hits) && hits[n].who == hits[0].who {
			inOrder = inOrder && hits[n-1].before(&hits[n]) <= 0
			n++
		}
		if !inOrder {
			slices.SortStableFunc(hits[:n], func(a, b hit) int { return a.before(&b) })
		}
		if err := to.take(hits[:n], s); err != nil {
			return err
		}
		hits = hits[n:]
	}
	return nil
}
