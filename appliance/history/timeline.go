package history

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// spot is where a row of a timeline lies, and its place in the order.
type spot struct {
	rows  *Rows
	row   int
	time  int64
	gen   uint64
	tie   uint32
	order uint64 // of the block in its generation
}

func (a *spot) compare(b *spot) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.gen, b.gen), cmp.Compare(a.tie, b.tie), cmp.Compare(a.order, b.order), cmp.Compare(a.row, b.row))
}

// spots keeps the limit best rows, the worst of them on top.
type spots struct {
	list []spot
	sign int // 1: the oldest are the best
}

func (s *spots) Len() int           { return len(s.list) }
func (s *spots) Less(i, j int) bool { return s.sign*s.list[i].compare(&s.list[j]) > 0 }
func (s *spots) Swap(i, j int)      { s.list[i], s.list[j] = s.list[j], s.list[i] }
func (s *spots) Push(x any)         { s.list = append(s.list, x.(spot)) }
func (s *spots) Pop() any {
	last := s.list[len(s.list)-1]
	s.list = s.list[:len(s.list)-1]
	return last
}

func (s *spots) add(sp spot, limit int) {
	switch {
	case len(s.list) < limit:
		heap.Push(s, sp)
	case s.sign*sp.compare(&s.list[0]) < 0:
		s.list[0] = sp
		heap.Fix(s, 0)
	}
}

// source is where rows of one partition lie, and between which times.
type source struct {
	first, last int64
	place       place // of a block; or
	head        *headView
	partition   int
}

// Timeline gives at most limit rows of these people before an instant (0 =
// all), newest first or, with asc, oldest first. A row's properties are in the
// order of their keys.
func (s *Snapshot) Timeline(ctx context.Context, persons []uint32, before int64, limit int, asc bool) ([]Row, error) {
	if limit <= 0 {
		return nil, nil
	}
	to := int64(math.MaxInt64)
	if before != 0 {
		to = before - 1 // the last instant that counts
	}
	best := &spots{sign: -1}
	if asc {
		best.sign = 1
	}
	for _, src := range s.sources(persons, asc) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if src.first > to {
			continue
		}
		if len(best.list) == limit {
			// Sources come by their best time: if this one's is worse than the
			// worst that is kept, so is all that follows.
			if worst := best.list[0].time; asc && src.first > worst || !asc && src.last < worst {
				break
			}
		}
		if err := s.gather(best, src, persons, to, limit); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(best.list, func(a, b spot) int { return best.sign * a.compare(&b) })
	return s.read(best.list)
}

// sources lists where rows of the people can lie, best first.
func (s *Snapshot) sources(persons []uint32, asc bool) []source {
	var parts [event.Partitions]bool
	for _, p := range persons {
		parts[event.PartitionOf(p)] = true
	}
	var out []source
	for part, has := range parts {
		if !has {
			continue
		}
		for _, p := range s.v.list.places[part] {
			out = append(out, source{first: p.slice.First, last: p.slice.Last, place: p, partition: part})
		}
		for i := range s.v.heads {
			hv := &s.v.heads[i]
			if hv.counts[part] > 0 {
				out = append(out, source{first: hv.first, last: hv.last, head: hv, partition: part})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b source) int {
		if asc {
			return cmp.Compare(a.first, b.first)
		}
		return cmp.Compare(b.last, a.last)
	})
	return out
}

// gather adds the rows of one source.
func (s *Snapshot) gather(best *spots, src source, persons []uint32, to int64, limit int) error {
	if src.head == nil {
		// Whether it has any of them at all costs less than its other columns.
		has, err := s.h.placeHolds(src.place, persons)
		if err != nil || !has {
			return err
		}
	}
	var r *Rows
	if src.head != nil {
		r = s.headRows(src.head, src.partition)
	} else {
		var err error
		if r, err = s.blockRows(src.place, Want{From: math.MinInt64, To: math.MaxInt64}, nameSet{}, nil); err != nil {
			return err
		}
	}
	times, err := r.Times()
	if err != nil {
		return err
	}
	ties, err := r.Ties()
	if err != nil {
		return err
	}
	if err := r.LoadGroups(); err != nil {
		return err
	}
	r.ofPersons(persons, func(row int) {
		sp := spot{rows: r, row: row, time: times.At(row), gen: r.Generation}
		if sp.time > to {
			return
		}
		if ties != nil {
			sp.tie = ties[row]
		}
		if src.head == nil {
			sp.order = src.place.block.info.Order
		}
		best.add(sp, limit)
	})
	return nil
}

// ofPersons calls fn with each row of some people.
func (r *Rows) ofPersons(persons []uint32, fn func(row int)) {
	if r.Starts == nil {
		for row, p := range r.Persons {
			if slices.Contains(persons, p) {
				fn(row)
			}
		}
		return
	}
	for _, run := range r.Runs {
		for _, p := range persons {
			for row, end := r.RowsOf(p, run); row < end; row++ {
				fn(row)
			}
		}
	}
}

// placeHolds says whether any of the people has a row there.
func (h *History) placeHolds(p place, persons []uint32) (bool, error) {
	people, err := h.people(p.block)
	if err != nil {
		return false, err
	}
	for i, run := range people.Runs {
		if run.Partition != p.slice.Partition {
			continue
		}
		of := people.Persons[people.First[i]:people.First[i+1]]
		for _, who := range persons {
			if _, ok := slices.BinarySearch(of, who); ok {
				return true, nil
			}
		}
	}
	return false, nil
}

// read makes rows of spots.
func (s *Snapshot) read(spots []spot) ([]Row, error) {
	all := make(map[*Rows][]named)
	out := make([]Row, 0, len(spots))
	for _, sp := range spots {
		r := sp.rows
		columns, ok := all[r]
		if !ok {
			var err error
			if columns, err = s.columns(r); err != nil {
				return nil, err
			}
			all[r] = columns
		}
		if err := r.LoadPersons(); err != nil {
			return nil, err
		}
		row := Row{Person: r.Person(sp.row), Time: sp.time, Name: r.Names[r.Events[sp.row]]}
		for _, c := range columns {
			if v := c.Value(sp.row); !v.IsNull() {
				row.Props = append(row.Props, event.Prop{Key: c.key, Value: v})
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// named is a property with its key.
type named struct {
	key string
	*block.Column
}

// columns are all properties of some rows, in the order of their keys.
func (s *Snapshot) columns(r *Rows) ([]named, error) {
	var out []named
	for _, code := range r.source.(interface{ keys() []uint16 }).keys() {
		key := s.v.keys[code]
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
