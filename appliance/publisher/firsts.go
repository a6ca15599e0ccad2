package publisher

import (
	"cmp"
	"context"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// first is where a person's first event in the range lies.
type first struct {
	place Place
	order [3]uint64
}

func firstOf(c *candidate) first { return first{c.place, c.order} }

func (a *first) before(b *first) bool {
	return cmp.Or(cmp.Compare(a.place.Time, b.place.Time), slices.Compare(a.order[:], b.order[:]), cmp.Compare(a.place.Partition, b.place.Partition)) < 0
}

// findFirsts finds the first matching event of some numbers in a partition.
func (g *listing) findFirsts(ctx context.Context, part int, whose func(number uint32) (key uint32, ok bool), into map[uint32]first) error {
	var cols columns
	var props []event.Prop
	name, keys := g.m.Event(), g.h.Keys(g.m.Event())
	begin := func(r *history.Rows) (err error) {
		cols, err = columnsOf(r, keys)
		return err
	}
	return g.scan(ctx, part, begin, func(c candidate) {
		key, ok := whose(c.place.Person)
		if !ok {
			return
		}
		if props = cols.read(c.row, props[:0]); !g.m.MatchAt(name, c.place.Time, props, nil) {
			return
		}
		one := firstOf(&c)
		if old, ok := into[key]; !ok || one.before(&old) {
			into[key] = one
		}
	})
}

// findMerged finds the firsts of people with several numbers, which lie in any
// partition.
func (g *listing) findMerged(ctx context.Context) error {
	g.merged = make(map[uint32]first)
	whose := make(map[uint32]uint32)
	var parts [event.Partitions]bool
	for part := range event.Partitions {
		for winner, losers := range g.w.Losers(part) {
			if !g.firsts.Contains(winner) {
				continue
			}
			for _, n := range append([]uint32{winner}, losers...) {
				whose[n] = winner
				parts[event.PartitionOf(n)] = true
			}
		}
	}
	for part, any := range parts {
		if !any {
			continue
		}
		err := g.findFirsts(ctx, part, func(n uint32) (uint32, bool) { w, ok := whose[n]; return w, ok }, g.merged)
		if err != nil {
			return err
		}
	}
	return nil
}

// firstsIn finds the firsts of the people of a partition, by number.
func (g *listing) firstsIn(ctx context.Context, part int) (map[uint32]first, error) {
	if g.firsts == nil {
		return nil, nil
	}
	out := make(map[uint32]first)
	err := g.findFirsts(ctx, part, func(n uint32) (uint32, bool) {
		w := g.w.Winner(n)
		_, merged := g.merged[w]
		return n, !merged && g.firsts.Contains(w)
	}, out)
	return out, err
}

// wanted says whether a matching event is listed, as far as firsts matter.
func (g *listing) wanted(c *candidate, firsts map[uint32]first) bool {
	if g.firsts == nil {
		return true
	}
	one, ok := g.merged[g.w.Winner(c.place.Person)]
	if !ok {
		one, ok = firsts[c.place.Person]
	}
	return (ok && one == firstOf(c)) != g.Again
}
