package query

import (
	"math"
	"slices"
	"unsafe"

	"github.com/cloisterhq/cloister/appliance/event"
)

// arm is one of two groups of people that are compared.
type arm struct {
	people    int64
	converted int64     // of them
	events    int64     // conversions
	amounts   []float64 // revenue of each person with some other than 0
}

func (a *arm) merge(o *arm) {
	a.people += o.people
	a.converted += o.converted
	a.events += o.events
	a.amounts = append(a.amounts, o.amounts...)
}

// pair is the target group, who were to get a message, and the control group,
// who would have got it and did not.
type pair struct{ target, control arm }

// arms is the consumer that follows people from their message to their
// conversions. A person is in the group of their first message in the range,
// whatever came later: groups by what was done to them in the end would no
// longer differ by chance alone.
type arms struct {
	c      *campaignQuestion
	cal    calendar
	groups *grouper
	total  pair
	parts  map[tuple]*pair
	ids    []uint32
	kept   int64 // amounts
	hold   holding
}

func newArms(q *run, c *campaignQuestion) *arms {
	a := &arms{c: c, cal: q.cal, parts: map[tuple]*pair{}, hold: holding{q: q}}
	if c.breakdown.any() {
		a.groups = newGrouper(c.breakdown.dims, q.values, nil)
	}
	return a
}

// Bits of the pass.
const (
	armTarget     = uint64(1<<0 | 1<<1) // sent, or failed
	armControl    = uint64(1 << 2)
	armConversion = uint64(1 << 3)
)

// opened is a window that a message opened. Of several the latest end counts:
// none is shut by a later one.
type opened struct {
	any   bool
	until int64 // included
}

func (a *arms) take(hits []hit, s *store) error {
	exposure, own := -1, uint64(0)
	var window opened
	var sum exactSum
	events := int64(0)
	for i := range hits {
		h := &hits[i]
		if window.any && h.mask&armConversion != 0 && h.time <= window.until {
			events++
			if a.c.revenue != "" {
				if f := s.floatsOf(h)[0]; isNumber(f) {
					sum.add(f)
				}
			}
		}
		if h.mask&(armTarget|armControl) == 0 || !a.c.within.has(h.time) {
			continue
		}
		if exposure < 0 {
			exposure, own = i, armTarget
			if h.mask&armControl != 0 {
				own = armControl
			}
		} else if !a.c.every || h.mask&own == 0 {
			continue
		}
		if until := a.cal.add(h.time, a.c.window, 1); !window.any || until > window.until {
			window = opened{true, until}
		}
	}
	if exposure >= 0 {
		a.count(s.idsOf(&hits[exposure]), own == armControl, events, sum.value())
	}
	return a.reserve()
}

// count counts a person in their group.
func (a *arms) count(ids []uint32, control bool, events int64, amount float64) {
	one := arm{people: 1, events: events}
	if events > 0 {
		one.converted = 1
	}
	if amount != 0 {
		one.amounts = []float64{amount}
	}
	add := func(p *pair) {
		if control {
			p.control.merge(&one)
		} else {
			p.target.merge(&one)
		}
		a.kept += int64(len(one.amounts))
	}
	add(&a.total)
	if a.groups == nil {
		return
	}
	if control {
		a.ids = append(a.ids[:0], ids...)
		a.c.breakdown.withoutVariant(a.ids)
		ids = a.ids
	}
	for _, g := range a.groups.of(ids) {
		t := a.groups.tuples[g]
		if a.parts[t] == nil {
			a.parts[t] = &pair{}
		}
		add(a.parts[t])
	}
}

// withoutVariant makes values those that a control group counts under: who
// gets nothing gets no variant, so each variant is compared with all of them.
func (b *breakdown) withoutVariant(ids []uint32) {
	for i, d := range b.dims {
		if d.place == ofEvent && d.key == event.PropVariant {
			ids[i] = 0
		}
	}
}

// of gives the two groups of one value of the breakdown.
func (a *arms) of(t tuple) (out pair) {
	if p := a.parts[t]; p != nil {
		out.target = p.target
	}
	a.c.breakdown.withoutVariant(t[:])
	if p := a.parts[t]; p != nil {
		out.control = p.control
	}
	return out
}

func (a *arms) merge(o *arms) {
	a.total.target.merge(&o.total.target)
	a.total.control.merge(&o.total.control)
	for t, p := range o.parts {
		if a.parts[t] == nil {
			a.parts[t] = &pair{}
		}
		a.parts[t].target.merge(&p.target)
		a.parts[t].control.merge(&p.control)
	}
	a.kept += o.kept
}

func (a *arms) reserve() error {
	// Slices grow by doubling.
	return a.hold.upTo(int64(len(a.parts))*(int64(unsafe.Sizeof(pair{}))+64) + a.kept*16)
}

// sums gives the total of the amounts, and the sum of the squares of what each
// person's differs from the mean by; who has none counts with 0. Both are NaN
// where they are more than a float holds.
func (a *arm) sums() (total, squares float64) {
	slices.Sort(a.amounts)
	var sum exactSum
	for _, f := range a.amounts {
		sum.add(f)
	}
	total = sum.value()
	if n := len(a.amounts); int64(n) == a.people && n > 0 && a.amounts[0] == a.amounts[n-1] {
		return total, 0 // a mean rounded would make some variance of none
	}
	m := total / float64(a.people)
	var about exactSum
	for _, f := range a.amounts {
		about.add((f - m) * (f - m))
	}
	about.add(float64(a.people-int64(len(a.amounts))) * m * m)
	if squares = about.value(); math.IsInf(total, 0) || math.IsInf(squares, 0) {
		return math.NaN(), math.NaN()
	}
	return total, squares
}
