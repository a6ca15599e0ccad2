package mix

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Generate makes exactly so many events in the order of their times, and gives
// them to emit a day at a time; emit must not keep them. The same seed makes
// the same events. It needs memory for one day and some 30 bytes a person.
func Generate(events int, seed uint64, emit func([]Event) error) error {
	g := newGenerator(events, seed)
	var list, carried []Event
	for d := range Days {
		quota := int(int64(events)*int64(d+1)/Days - int64(events)*int64(d)/Days)
		list, carried = g.day(d, quota, append(list[:0], carried...), carried[:0])
		if err := emit(list); err != nil {
			return err
		}
	}
	return nil
}

type generator struct {
	seed     uint64
	profiles []Profile
	byRank   []uint32 // who is the most active, the next, ..
	joined   []uint8  // day before which a person does nothing
	latest   []int64  // time of a person's last event
	names    weights
}

func newGenerator(events int, seed uint64) *generator {
	n := People(events)
	g := &generator{
		seed: seed, profiles: Profiles(events, seed), byRank: shuffled(n, seed), joined: make([]uint8, n), latest: make([]int64, n),
		names: among(0, 25, 20, 8, 8, 5, 1.6, 5, 1.2, 7, 2, 1, 2, .3, .7, .4, 1, .4, .6, .4, 1.2, 6, 7, .3, .2),
	}
	r := rand.New(rand.NewPCG(seed, 3))
	for i := range g.joined {
		if r.IntN(2) == 0 {
			g.joined[i] = uint8(r.IntN(75))
		}
	}
	return g
}

// someone picks a person with a chance of (rank+200)^-0.9, by the inverse of
// the integral of that.
func (g *generator) someone(r *rand.Rand, day int) uint32 {
	const exponent, flat = 0.1, 200
	low, high := math.Pow(flat, exponent), math.Pow(float64(len(g.byRank)+flat), exponent)
	for {
		x := low + r.Float64()*(high-low)
		x *= x     // 2
		y := x * x // 4
		y *= y * x // 10
		rank := min(int(y-flat), len(g.byRank)-1)
		if p := g.byRank[max(rank, 0)]; int(g.joined[p]) <= day {
			return p
		}
	}
}

// day fills list, which begins with what was carried over, up to quota. What
// lies past midnight is carried over; on the last day nothing does.
func (g *generator) day(d, quota int, list, carried []Event) (_, _ []Event) {
	r := rand.New(rand.NewPCG(g.seed, 1000+uint64(d)))
	begin := Start.UnixMilli() + int64(d)*day
	end := begin + day
	if d == Days-1 {
		end -= 1000 // what order moves must not leave the range
	}
	for len(list) < quota {
		p := g.someone(r, d)
		profile := g.profiles[p]
		e := Event{Time: begin + r.Int64N(end-begin), Person: p, Country: profile.Country, Platform: profile.Platform, Plan: profile.Plan}
		if r.Float64() < .1 {
			e.Platform = uint8(r.IntN(len(Platforms)))
		}
		if r.Float64() < .02 {
			e.Country = uint8(r.IntN(len(Countries)))
		}
		for k := range 1 + int(r.ExpFloat64()*8) {
			if e.Amount = 0; k > 0 {
				e.Name = g.names.pick(r)
				e.Time += 200 + int64(r.ExpFloat64()*25_000)
			}
			if e.Name == cart || e.Name == charged {
				e.Amount = int32(100 + math.Exp(r.NormFloat64()*.9+8))
			}
			switch {
			case e.Time >= end && d < Days-1:
				carried = append(carried, e)
			case e.Time < end && len(list) < quota:
				list = append(list, e)
			}
		}
	}
	return g.order(list), carried
}

// order puts a day in order and moves apart what one person did at the same
// instant.
func (g *generator) order(list []Event) []Event {
	byTime := func(a, b Event) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Person, b.Person)) }
	slices.SortFunc(list, byTime)
	moved := false
	for i := range list {
		e := &list[i]
		if last := g.latest[e.Person]; e.Time <= last {
			e.Time, moved = last+1, true
		}
		g.latest[e.Person] = e.Time
	}
	if moved {
		slices.SortFunc(list, byTime)
	}
	return list
}
