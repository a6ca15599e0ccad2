package history

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
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
	h *History
	v *view
}

// Release lets go of the snapshot and of all that was read through it.
func (s *Snapshot) Release() {}

// Scan calls fn for each stretch of the partition's rows that can match,
// oldest generation first. An error of fn ends it and is returned as it is.
func (s *Snapshot) Scan(ctx context.Context, partition int, w Want, fn func(*Rows) error) error {
	if w.From == 0 && w.To == 0 {
		w.From, w.To = math.MinInt64, math.MaxInt64
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

// headRows are a partition's rows in a head.
func (s *Snapshot) headRows(hv *headView, partition int) *Rows {
	r := &Rows{Partition: partition, Generation: hv.head.gen, Names: s.v.names}
	r.Persons, r.Times, r.Events, r.Ties = hv.rowsOf(partition)
	columns := make(map[string]*block.Column) // a Rows is for one goroutine
	r.column = func(key string) (*block.Column, error) {
		col, ok := columns[key]
		if !ok {
			if code := slices.Index(s.v.keys, key); code >= 0 {
				col = hv.head.column(partition, code, len(r.Persons))
			}
			columns[key] = col
		}
		return col, nil
	}
	return r
}

// People gives the numbers of the people with that event on that day of the
// publisher's. The bitmap is shared: it must not be changed.
func (s *Snapshot) People(name string, day int32) (*roaring.Bitmap, error) {
	code := slices.Index(s.v.names, name)
	out := roaring.New()
	if code < 0 {
		return out, nil
	}
	cal := newCalendar(s.h.o.Location)
	for i := range s.v.heads {
		if set := s.v.heads[i].people(uint16(code), day, cal); set != nil {
			out.Or(set)
		}
	}
	return out, nil
}

// Days lists the days that have such an event, in order.
func (s *Snapshot) Days(name string) []int32 {
	var out []int32
	for i := range s.v.heads {
		for _, p := range s.v.heads[i].dayPairs() {
			if n, day := unpair(p); s.v.names[n] == name {
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
	var out []string
	for i := range s.v.heads {
		for _, p := range s.v.heads[i].seenPairs() {
			if n, key := unpair(p); s.v.names[n] == name {
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
	first, last = math.MaxInt64, math.MinInt64
	for i := range s.v.heads {
		first, last = min(first, s.v.heads[i].first), max(last, s.v.heads[i].last)
	}
	if s.Rows() == 0 {
		return 0, 0, false
	}
	return first, last, true
}

// Rows counts the rows.
func (s *Snapshot) Rows() int64 {
	var n int64
	for i := range s.v.heads {
		n += int64(s.v.heads[i].rows)
	}
	return n
}
