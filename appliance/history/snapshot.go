package history

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Want says which rows a Scan is after. It only leaves out what cannot match:
// the caller still tests every row.
type Want struct {
	From, To int64    // microseconds, To exclusive; both 0 = all
	Names    []string // nil = any
	Keys     []string // properties that will be asked for; nil = none
}

// NameInfo says what there is of one event name.
type NameInfo struct {
	Name        string
	Rows        int64
	First, Last int64 // microseconds
}

// Snapshot is a history that does not change. It is safe for concurrent use.
type Snapshot struct {
	h        *History
	v        *view
	released atomic.Bool

	mu    sync.Mutex
	sets  []*daySets                     // by head, once asked for
	names map[string]map[*frozen]nameSet // by the names that were wanted
}

// Release lets go of the snapshot and of all that was read through it.
// Releasing twice is harmless.
func (s *Snapshot) Release() {
	if s.released.Swap(true) {
		return
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.v.list.refs--
	s.h.retire()
}

// Scan calls fn for each stretch of the partition's rows that can match,
// oldest generation first. An error of fn ends it and is returned as it is.
func (s *Snapshot) Scan(ctx context.Context, partition int, w Want, fn func(*Rows) error) error {
	if w.From == 0 && w.To == 0 {
		w.From, w.To = math.MinInt64, math.MaxInt64
	}
	cal := newCalendar(s.h.o.Location)
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
		r, err := s.blockRows(p, w, set, cal)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	for i := range s.v.heads {
		hv := &s.v.heads[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if hv.counts[partition] == 0 || hv.last < w.From || hv.first >= w.To {
			continue
		}
		if err := fn(s.headRows(hv, partition)); err != nil {
			return err
		}
	}
	return nil
}

// namesIn says what the blocks have of some names; nil where all are wanted.
func (s *Snapshot) namesIn(names []string) map[*frozen]nameSet {
	if names == nil {
		return nil
	}
	key := strings.Join(names, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[key] == nil {
		sets := make(map[*frozen]nameSet, len(s.v.list.blocks))
		for _, b := range s.v.list.blocks {
			sets[b] = b.set(names)
		}
		if s.names == nil {
			s.names = make(map[string]map[*frozen]nameSet)
		}
		s.names[key] = sets
	}
	return s.names[key]
}

// blockRows are a partition's rows in a block on the days, and of the events,
// that are wanted; nil if there are none.
func (s *Snapshot) blockRows(p place, w Want, set nameSet, cal *calendar) (*Rows, error) {
	first, last := p.slice.FirstDay, p.slice.LastDay
	if first != last && p.slice.First < w.From {
		first = cal.of(w.From)
	}
	if first != last && p.slice.Last >= w.To {
		last = cal.of(w.To - 1)
	}
	c, err := s.h.content(p.block, set)
	if err != nil {
		return nil, err
	}
	r := Rows{Partition: p.slice.Partition, Generation: p.block.info.Generation, Names: p.block.names, Wanted: c.rows != nil, Last: c.whole.Last, whole: c.whole}
	row, from := 0, -1
	for i, run := range c.runs {
		end := row + run.Rows
		if run.Rows > 0 && run.Partition >= p.slice.Partition {
			if run.Partition > p.slice.Partition || run.Day > last {
				break
			}
			if run.Day >= first {
				if from < 0 {
					from = row
				}
				r.Runs = append(r.Runs, Run{Day: run.Day, From: row - from, To: end - from, at: i})
			}
		}
		row = end
	}
	if from < 0 {
		return nil, nil
	}
	to := from + r.Runs[len(r.Runs)-1].To
	r.Base, r.Sorted = from, len(r.Runs) == 1
	r.Events = c.events[from:to:to]
	return r.Of(&piece{c, s.v.codes, from, to}), nil
}

// headRows are a partition's rows in a head.
func (s *Snapshot) headRows(hv *headView, partition int) *Rows {
	r := Rows{Partition: partition, Generation: hv.head.gen, Names: s.v.names}
	p := &headPiece{head: hv.head, codes: s.v.codes, partition: partition, columns: make(map[string]*block.Column)}
	r.Persons, p.times, r.Events, p.ties = hv.rowsOf(partition)
	return r.Of(p)
}

// People gives the numbers of the people with that event on that day of the
// publisher's. The bitmap is shared: it must not be changed.
func (s *Snapshot) People(name string, day int32) (*roaring.Bitmap, error) {
	code, ok := s.v.codes.names[name]
	if !ok {
		return roaring.New(), nil
	}
	var sets []*roaring.Bitmap
	for _, p := range s.v.list.parts {
		at, ok := p.find(code, day)
		if !ok {
			continue
		}
		set, err := s.h.set(p, at)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	for i := range s.v.heads {
		if set := s.daySets(i).by[pair(code, day)]; set != nil {
			sets = append(sets, set)
		}
	}
	return union(sets), nil
}

// AnyPeople gives the numbers of the people with any event of the apps on that
// day of the publisher's. The bitmap is shared: it must not be changed.
func (s *Snapshot) AnyPeople(day int32) (*roaring.Bitmap, error) {
	var sets []*roaring.Bitmap
	for _, p := range s.v.list.parts {
		set, err := s.h.anySet(p, day, s.own)
		if err != nil {
			return nil, err
		}
		if set != nil {
			sets = append(sets, set)
		}
	}
	for i := range s.v.heads {
		if set := s.daySets(i).any[day]; set != nil {
			sets = append(sets, set)
		}
	}
	return union(sets), nil
}

func (s *Snapshot) own(name uint16) bool { return event.Own(s.v.names[name]) }

// daySets are the people by day of one of the heads.
func (s *Snapshot) daySets(head int) *daySets {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		s.sets = make([]*daySets, len(s.v.heads))
	}
	if s.sets[head] == nil {
		s.sets[head] = s.v.heads[head].daySets(newCalendar(s.h.o.Location), s.own)
	}
	return s.sets[head]
}

func union(sets []*roaring.Bitmap) *roaring.Bitmap {
	switch len(sets) {
	case 0:
		return roaring.New()
	case 1:
		return sets[0]
	}
	return roaring.FastOr(sets...)
}

// Days lists the days that have such an event, in order.
func (s *Snapshot) Days(name string) []int32 {
	code, ok := s.v.codes.names[name]
	if !ok {
		return nil
	}
	var out []int32
	for _, p := range s.v.list.parts {
		at, _ := p.find(code, math.MinInt32)
		for ; at < len(p.info.Sets) && p.info.Sets[at].Name == code; at++ {
			out = append(out, p.info.Sets[at].Day)
		}
	}
	for i := range s.v.heads {
		for _, p := range s.v.heads[i].dayPairs() {
			if n, day := unpair(p); n == code {
				out = append(out, day)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Names describes the event names there are, by name.
func (s *Snapshot) Names() []NameInfo {
	infos := make([]NameInfo, len(s.v.names))
	for i := range infos {
		infos[i] = NameInfo{Name: s.v.names[i], First: math.MaxInt64, Last: math.MinInt64}
		if n := s.v.list.names[uint16(i)]; n != nil {
			infos[i] = *n
		}
	}
	for i := range s.v.heads {
		hv := &s.v.heads[i]
		for part := range hv.counts {
			_, times, events, _ := hv.rowsOf(part)
			for row, e := range events {
				n := &infos[e]
				n.Rows++
				n.First, n.Last = min(n.First, times[row]), max(n.Last, times[row])
			}
		}
	}
	infos = slices.DeleteFunc(infos, func(n NameInfo) bool { return n.Rows == 0 })
	slices.SortFunc(infos, func(a, b NameInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos
}

// Keys lists the property keys that were ever seen with the event, in order.
func (s *Snapshot) Keys(name string) []string {
	code, ok := s.v.codes.names[name]
	if !ok {
		return nil
	}
	var out []string
	for _, p := range s.v.list.parts {
		it := p.info.Seen.Iterator()
		it.AdvanceIfNeeded(uint32(code) * block.SeenKeys)
		for it.HasNext() {
			seen := it.Next()
			if seen/block.SeenKeys != uint32(code) {
				break
			}
			out = append(out, s.v.keys[seen%block.SeenKeys])
		}
	}
	for i := range s.v.heads {
		for _, p := range s.v.heads[i].seenPairs() {
			if n, key := unpair(p); n == code {
				out = append(out, s.v.keys[key])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Bounds gives the earliest and the latest time of a row; ok is false where
// there is none.
func (s *Snapshot) Bounds() (first, last int64, ok bool) {
	if s.Rows() == 0 {
		return 0, 0, false
	}
	first, last = s.v.list.first, s.v.list.last
	for i := range s.v.heads {
		first, last = min(first, s.v.heads[i].first), max(last, s.v.heads[i].last)
	}
	return first, last, true
}

// Rows counts the rows.
func (s *Snapshot) Rows() int64 {
	n := s.v.list.rows
	for i := range s.v.heads {
		n += int64(s.v.heads[i].rows)
	}
	return n
}
