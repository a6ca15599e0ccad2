package query

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

// tuple is one combination of breakdown values: numbers of the dictionary, or
// of people.
type tuple [maxDimensions]uint32

// grouper gives the tuples that a hit counts under, and each tuple a number.
// One consumer has its own; tuples, not numbers, mean the same in all.
type grouper struct {
	dims     []dimension
	values   *dictionary
	allowed  map[tuple]bool // nil = all
	numbers  map[tuple]int32
	tuples   []tuple
	elements [maxDimensions]map[uint32][]uint32
	one      [][]int32         // what of gave, by the only dimension's id
	many     map[tuple][]int32 // what of gave, by ids
	out      []int32
	cross    []tuple
}

func newGrouper(dims []dimension, values *dictionary, allowed map[tuple]bool) *grouper {
	g := &grouper{dims: dims, values: values, allowed: allowed, numbers: map[tuple]int32{}, many: map[tuple][]int32{}}
	for i := range dims {
		g.elements[i] = map[uint32][]uint32{}
	}
	return g
}

// maxRemembered bounds what a grouper remembers of ids.
const maxRemembered = 1 << 16

// of gives the numbers of the tuples that ids count under. The slice is valid
// until the next call.
func (g *grouper) of(ids []uint32) []int32 {
	var key tuple
	switch {
	case len(ids) == 1 && int(ids[0]) < len(g.one) && g.one[ids[0]] != nil:
		return g.one[ids[0]]
	case len(ids) != 1:
		copy(key[:], ids)
		if known, ok := g.many[key]; ok {
			return known
		}
	}
	out := g.find(ids)
	switch {
	case len(ids) == 1 && ids[0] < maxRemembered:
		for len(g.one) <= int(ids[0]) {
			g.one = append(g.one, nil)
		}
		g.one[ids[0]] = append([]int32{}, out...)
	case len(ids) != 1 && len(g.many) < maxRemembered:
		g.many[key] = slices.Clone(out)
	}
	return out
}

func (g *grouper) find(ids []uint32) []int32 {
	g.out = g.out[:0]
	g.cross = append(g.cross[:0], tuple{})
	for d, dim := range g.dims {
		values := g.expand(d, dim, ids[d])
		if len(values) == 0 {
			return nil // an empty list counts under none of its elements
		}
		for i, n := 0, len(g.cross); i < n; i++ {
			for _, v := range values[1:] {
				t := g.cross[i]
				t[d] = v
				g.cross = append(g.cross, t)
			}
			g.cross[i][d] = values[0]
		}
	}
	for _, t := range g.cross {
		if g.allowed != nil && !g.allowed[t] {
			continue
		}
		n, ok := g.numbers[t]
		if !ok {
			n = int32(len(g.tuples))
			g.numbers[t] = n
			g.tuples = append(g.tuples, t)
		}
		g.out = append(g.out, n)
	}
	return g.out
}

// expand is what an id of a dimension counts under. One whose list is long is
// remembered, since its elements have to be looked up.
func (g *grouper) expand(d int, dim dimension, id uint32) []uint32 {
	if dim.place == ofPerson {
		return []uint32{id}
	}
	if e, ok := g.elements[d][id]; ok {
		return e
	}
	e := g.values.elements(id, dim)
	if len(g.elements[d]) < maxRemembered {
		g.elements[d][id] = e
	}
	return e
}

// labels gives a tuple as values to show: identities for people.
func (q *run) labels(t tuple, dims []dimension) ([]event.Value, error) {
	out := make([]event.Value, len(dims))
	for i, d := range dims {
		if d.place != ofPerson {
			out[i] = q.values.value(t[i])
			continue
		}
		name, err := q.env.Data.People.Identity(t[i])
		if err != nil {
			return nil, err
		}
		out[i] = event.OfText(name)
	}
	return out, nil
}

// ranked is a tuple with what orders it.
type ranked struct {
	tuple tuple
	total float64
	value []event.Value
}

// rank orders tuples by total falling, then by text, and keeps the first. The
// values of those that cannot be among them are not looked up, since a
// person's identity has to be unsealed.
func (q *run) rank(all []ranked, dims []dimension, limit int) ([]ranked, error) {
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Compare(b.total, a.total) })
	n := min(limit, len(all))
	for n > 0 && n < len(all) && all[n].total == all[n-1].total {
		n++
	}
	for i := range n {
		var err error
		all[i].value, err = q.labels(all[i].tuple, dims)
		if errors.Is(err, people.ErrErased) {
			// Somebody was erased since the snapshot was taken: in no answer.
			return q.rank(slices.Delete(all, i, i+1), dims, limit)
		}
		if err == nil && i&0xff == 0 {
			err = q.ctx.Err()
		}
		if err != nil {
			return nil, err
		}
	}
	all = all[:n]
	slices.SortStableFunc(all, func(a, b ranked) int {
		if c := cmp.Compare(b.total, a.total); c != 0 {
			return c
		}
		for i := range a.value {
			if c := byText(a.value[i], b.value[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	return all[:min(limit, len(all))], nil
}

// byText orders values by their text, the missing one first; where the texts
// are the same, by kind.
func byText(a, b event.Value) int {
	if c := cmp.Compare(a.String(), b.String()); c != 0 {
		return c
	}
	return cmp.Compare(a.Kind(), b.Kind())
}

// finite keeps an answer within what JSON can say.
func finite(f float64) float64 {
	switch {
	case math.IsNaN(f):
		return 0
	case math.IsInf(f, 1):
		return math.MaxFloat64
	case math.IsInf(f, -1):
		return -math.MaxFloat64
	}
	return f
}
