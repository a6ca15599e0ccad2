package history

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
)

// DaysOf lists the publisher's days that have rows of these events (nil =
// any), counted from 1970-01-01, in order.
func (s *Snapshot) DaysOf(names []string) []int32 {
	if names == nil {
		for _, n := range s.Names() {
			names = append(names, n.Name)
		}
	}
	days := make(map[int32]bool)
	for _, name := range names {
		for _, d := range s.Days(name) {
			days[d] = true
		}
	}
	return slices.Sorted(maps.Keys(days))
}

// Ordered gives rows in an order that follows from what happened alone, so
// that it is the same after compaction and after a restart. It is for whoever
// takes rows out of the house. For one goroutine.
type Ordered struct {
	s     *Snapshot
	cal   *calendar
	keys  map[string]map[string]bool // by event name
	props []event.Prop               // of the row at hand
}

// Ordered gives the snapshot's rows in order.
func (s *Snapshot) Ordered() *Ordered {
	return &Ordered{s: s, cal: newCalendar(s.h.o.Location), keys: make(map[string]map[string]bool)}
}

// farthest is further than any zone is from UTC.
const farthest = 15 * hourMicros

// Of calls fn with each row of a partition's persons on a day of the
// publisher's that w wants: some 50 bytes of each are in memory at once. others
// are further numbers whose rows belong here. as is the number that a row's
// person goes by, false = the row does not belong here. Rows come by that
// number, then by time, then as they arrived; a row's Person is its own number.
// What fn gets is valid until it returns. An error of fn ends it and is
// returned as it is.
func (o *Ordered) Of(ctx context.Context, day int32, partition int, others []uint32, w Want, as func(person uint32) (uint32, bool), fn func(as uint32, row Row) error) error {
	// A day need not be one stretch of time: a clock may be put back over
	// midnight. So a row's day is looked at, and this only leaves out most.
	w.From = max(w.From, int64(day)*dayMicros-farthest)
	w.To = min(w.To, int64(day+1)*dayMicros+farthest)
	g := gathering{o: o, day: day, want: w, as: as}
	if err := g.scan(ctx, partition, nil); err != nil {
		return err
	}
	byPartition := make(map[int][]uint32)
	for _, n := range others {
		if p := event.PartitionOf(n); p != partition {
			byPartition[p] = append(byPartition[p], n)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(byPartition)) {
		if err := g.scan(ctx, p, byPartition[p]); err != nil {
			return err
		}
	}
	slices.SortFunc(g.found, func(a, b placed) int { return cmp.Or(cmp.Compare(a.as, b.as), a.compare(&b.spot)) })
	return o.read(ctx, g.found, fn)
}

// placed is a spot under the number that its person goes by.
type placed struct {
	spot
	as uint32
}

// gathering finds the rows of a day.
type gathering struct {
	o     *Ordered
	day   int32
	want  Want
	as    func(person uint32) (uint32, bool)
	found []placed
}

// scan goes through a partition; only = nil is everybody.
func (g *gathering) scan(ctx context.Context, partition int, only []uint32) error {
	s, w := g.o.s, g.want
	sets := s.namesIn(w.Names)
	for _, p := range s.v.list.places[partition] {
		if p.slice.Last < w.From || p.slice.First >= w.To {
			continue
		}
		set := sets[p.block]
		if w.Names != nil && set.rows == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if only != nil {
			if has, err := s.h.placeHolds(p, only); err != nil {
				return err
			} else if !has {
				continue
			}
		}
		r, err := s.blockRows(p, w, set, g.o.cal)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if err := g.add(r, p.block.info.Order, only); err != nil {
			return err
		}
	}
	for i := range s.v.heads {
		hv := &s.v.heads[i]
		if hv.counts[partition] == 0 || hv.last < w.From || hv.first >= w.To {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.add(s.headRows(hv, partition), 0, only); err != nil {
			return err
		}
	}
	return nil
}

// add notes the rows that belong.
func (g *gathering) add(r *Rows, order uint64, only []uint32) error {
	if r.Runs != nil && !slices.ContainsFunc(r.Runs, func(run Run) bool { return run.Day == g.day }) {
		return nil
	}
	times, err := r.Times()
	if err != nil {
		return err
	}
	ties, err := r.Ties()
	if err != nil {
		return err
	}
	if err := r.LoadPersons(); err != nil {
		return err
	}
	wanted := make([]bool, len(r.Names))
	for i, name := range r.Names {
		wanted[i] = g.want.Names == nil || slices.Contains(g.want.Names, name)
	}
	take := func(row int) {
		t := times.At(row)
		if t < g.want.From || t >= g.want.To || !wanted[r.Events[row]] || g.o.cal.of(t) != g.day {
			return
		}
		n, ok := g.as(r.Person(row))
		if !ok {
			return
		}
		sp := spot{rows: r, row: row, time: t, gen: r.Generation, order: order}
		if ties != nil {
			sp.tie = ties[row]
		}
		g.found = append(g.found, placed{sp, n})
	}
	switch {
	case only != nil:
		r.ofPersons(only, take)
	case r.Runs != nil:
		for _, run := range r.Runs {
			for row := run.From; run.Day == g.day && row < run.To; row++ {
				take(row)
			}
		}
	default:
		for row := range r.Events {
			take(row)
		}
	}
	return nil
}

// read opens the rows and hands them on.
func (o *Ordered) read(ctx context.Context, found []placed, fn func(uint32, Row) error) error {
	type of struct {
		rows *Rows
		name uint16
	}
	all := make(map[of][]named)
	for i := range found {
		f := &found[i]
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		name := f.rows.Events[f.row]
		columns, ok := all[of{f.rows, name}]
		if !ok {
			var err error
			if columns, err = o.columns(f.rows, f.rows.Names[name]); err != nil {
				return err
			}
			all[of{f.rows, name}] = columns
		}
		o.props = o.props[:0]
		for _, c := range columns {
			if v := c.Value(f.row); !v.IsNull() {
				o.props = append(o.props, event.Prop{Key: c.key, Value: v})
			}
		}
		row := Row{Person: f.rows.Person(f.row), Time: f.time, Name: f.rows.Names[name], Props: o.props}
		if err := fn(f.as, row); err != nil {
			return err
		}
	}
	return nil
}

// columns are those of rows that an event was ever seen with, in the order of
// their keys.
func (o *Ordered) columns(r *Rows, name string) ([]named, error) {
	keys, ok := o.keys[name]
	if !ok {
		keys = make(map[string]bool)
		for _, k := range o.s.Keys(name) {
			keys[k] = true
		}
		o.keys[name] = keys
	}
	var out []named
	for _, code := range r.source.(interface{ keys() []uint16 }).keys() {
		key := o.s.v.keys[code]
		if !keys[key] {
			continue
		}
		c, err := r.Column(key)
		if err != nil {
			return nil, err
		}
		if c != nil {
			out = append(out, named{key, c})
		}
	}
	slices.SortFunc(out, func(a, b named) int { return cmp.Compare(a.key, b.key) })
	return out, nil
}
