package query

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// worker reads partitions one after another.
type worker struct {
	q         *run
	p         *pass
	slot      *slot
	to        consumer
	rowsTo    rowTaker   // the same, of a direct pass
	groupsTo  groupTaker // the same, of a grouped pass
	names     []string   // to be wanted; nil = any
	keys      []string
	s         *stretch
	store     *store
	merged    *store       // hits of people with merged numbers, whose rows lie in several partitions
	masks     []uint64     // by the stretch's event code
	some      uint64       // of masks, together
	every     bool         // every event code has a mask
	all       bool         // every row of the stretch has one
	named     []uint8      // 1 where there is a mask
	maybe     [chunk]int32 // rows of a piece that may match
	masksOf   []string     // the names that masks are about
	held      int64        // bytes reserved for this worker
	kept      int64        // of which it gave away
	wanted    bitset       // winners; nil = everyone
	plain     bitset       // of these, the numbers that are a whole person
	filtered  bool         // some reference has a filter
	chosen    picked
	many      picked // of people with merged numbers
	times     []int64
	tested    []uint64 // the memory of chosen's masks
	odd       []uint32 // of the partition: see oddNumbers
	spans     daySpans
	starts    []uint32 // by person within the partition
	sorted    []hit
	stretches []*history.Rows // of the partition, of a grouped pass
	dayRuns   []dayRun
	lastRaw   uint32 // whom pickOdd looked up last
	lastWho   uint32
}

func (q *run) newWorker(p *pass, to consumer) *worker {
	w := &worker{q: q, p: p, to: to,
		s:      newStretch(q.env.Data.People, q.values, q.leaves),
		store:  newStore(len(p.dims), len(p.numbers)),
		merged: newStore(len(p.dims), len(p.numbers)),
	}
	w.many.who = []uint32{}
	w.spans = daySpans{cal: calendar{loc: q.env.Location}, spans: map[int32]dayRange{}}
	if p.direct {
		w.rowsTo = to.(rowTaker)
	}
	if p.grouped {
		w.groupsTo = to.(groupTaker)
	}
	w.plain = q.plain
	if p.people != nil {
		w.wanted = p.people.ToDense()
		w.plain = w.plain.and(w.wanted)
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
	w.odd = w.q.odd[partition]
	if w.groupsTo != nil {
		if err := w.groupsTo.begin(w, partition); err != nil {
			return err
		}
	}
	want := history.Want{From: w.p.within.from, To: w.p.within.to, Names: w.names, Keys: w.keys}
	take := w.rows
	if w.groupsTo != nil {
		w.stretches = w.stretches[:0]
		take = func(_ context.Context, r *history.Rows) error {
			w.stretches = append(w.stretches, r)
			return nil
		}
	}
	err := w.q.env.Data.History.Scan(ctx, partition, want, func(r *history.Rows) error {
		if err := w.slot.pass(ctx); err != nil {
			return err
		}
		return take(ctx, r)
	})
	if err == nil && w.groupsTo != nil {
		err = w.byDay(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case w.groupsTo != nil:
		return w.groupsTo.endGroups(ctx, w, partition)
	case w.rowsTo != nil:
		return w.rowsTo.endPartition()
	case w.p.single:
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
	w.some, w.every = 0, true
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
		} else {
			w.every = false
		}
	}
	return w.some != 0
}

// dayRun is one day of a stretch.
type dayRun struct {
	r   *history.Rows
	run int
	day int32
}

// byDay hands the partition's stretches over day by day, whatever they came
// with: so a person's rows are in order, but for those that came late on their
// own day. Of mixed days, as in a head, rows come last.
func (w *worker) byDay(ctx context.Context) error {
	w.dayRuns = w.dayRuns[:0]
	ordered := true // mixed days came last already, as of equal instants what comes first is earlier
	for k, r := range w.stretches {
		ordered = ordered && (k == 0 || r.Runs == nil || w.stretches[k-1].Runs != nil)
		if err := w.q.count(r.Len()); err != nil {
			return err
		}
		for i, run := range runsOf(r) {
			d := dayRun{r, i, run.Day}
			if r.Runs == nil {
				d.day = math.MaxInt32
			}
			w.dayRuns = append(w.dayRuns, d)
		}
	}
	if ordered {
		slices.SortStableFunc(w.dayRuns, func(a, b dayRun) int { return cmp.Compare(a.day, b.day) })
	}
	for _, d := range w.dayRuns {
		if err := w.slot.pass(ctx); err != nil {
			return err
		}
		if !w.prepare(d.r) {
			continue
		}
		if w.s.rows != d.r {
			w.s.begin(d.r)
		}
		if err := w.groupsTo.takeGroups(w, d.r, runsOf(d.r)[d.run:d.run+1]); err != nil {
			return err
		}
	}
	return w.hold()
}

func (w *worker) rows(ctx context.Context, r *history.Rows) error {
	if err := w.q.count(r.Len()); err != nil {
		return err
	}
	if !w.prepare(r) {
		return nil
	}
	w.all = w.every || r.Wanted
	w.s.begin(r)
	err := w.pieces(r, runsOf(r), func(p piece) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.pick(r, p); err != nil {
			return err
		}
		if w.s.err != nil {
			return w.s.err
		}
		if err := w.fill(r, p.day); err != nil {
			return err
		}
		return w.s.err
	})
	if err != nil {
		return err
	}
	return w.hold()
}

// fill hands over what pick found, or makes hits of it.
func (w *worker) fill(r *history.Rows, day dayRange) error {
	if len(w.many.rows) > 0 {
		to := w.store
		if !w.p.single {
			to = w.merged
		}
		if err := w.extend(to, r, &w.many); err != nil {
			return err
		}
		if w.rowsTo != nil && w.p.single {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	if w.chosen.len() == 0 {
		return nil
	}
	if w.rowsTo != nil {
		return w.rowsTo.takeRows(w, r, &w.chosen, day)
	}
	if err := w.extend(w.store, r, &w.chosen); err != nil {
		return err
	}
	if w.p.single && len(w.store.hits) >= chunk {
		return w.flush()
	}
	return nil
}

func (w *worker) flush() error {
	err := w.to.take(w.store.hits, w.store)
	w.store.reset()
	return err
}

// extend makes hits of rows, a column at a time.
func (w *worker) extend(to *store, r *history.Rows, p *picked) error {
	if err := w.listed(r, p); err != nil {
		return err
	}
	base, n := len(to.hits), len(p.rows)
	to.hits = slices.Grow(to.hits, n)[:base+n]
	hits := to.hits[base:]
	w.times = sized(w.times, n)
	times, err := r.Times()
	if err != nil {
		return err
	}
	times.Of(p.rows, w.times)
	for k, row := range p.rows {
		hits[k] = hit{time: w.times[k], mask: w.masks[r.Events[row]], at: uint32(base + k)}
	}
	if p.masks != nil {
		for k := range hits {
			hits[k].mask = p.masks[k]
		}
	}
	for k := range hits {
		hits[k].who = p.of(r, k)
	}
	if to == w.merged {
		ties, err := r.Ties()
		if err != nil {
			return err
		}
		for _, row := range p.rows {
			a := arrival{gen: r.Generation}
			if ties != nil {
				a.tie = ties[row]
			}
			to.arrivals = append(to.arrivals, a)
		}
	}
	if to.nid > 0 {
		to.ids = slices.Grow(to.ids, n*to.nid)[:(base+n)*to.nid]
		for d := range w.s.dims {
			w.s.values(&w.s.dims[d], p, to.ids[base*to.nid+d:], to.nid)
		}
	}
	if to.nfloat > 0 {
		to.floats = slices.Grow(to.floats, n*to.nfloat)[:(base+n)*to.nfloat]
		for i := range w.s.numbers {
			w.s.floats(&w.s.numbers[i], p, to.floats[base*to.nfloat+i:], to.nfloat)
		}
	}
	return nil
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
