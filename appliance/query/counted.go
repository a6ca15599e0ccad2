package query

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// counted is the consumer of a did whose conditions are only of how often: it
// counts rows where they lie, a number a person of the partition at hand.
type counted struct {
	found
	conds     []condition
	counts    []uint32 // by person's number within the partition
	partition int
	verdicts  [256]uint8 // of small counts, once looked at
	enough    bitset     // the people found, of all partitions
}

// takeRows implements rowTaker.
func (c *counted) takeRows(_ *worker, r *history.Rows, p *picked, _ dayRange) error {
	c.partition = r.Partition
	if p.span {
		for group, row := r.GroupAt(p.from), p.from; row < p.to; group++ {
			end := min(int(r.Starts[group+1])-r.Base, p.to)
			c.add(r.Persons[group], end-row)
			row = end
		}
		return nil
	}
	for _, row := range p.rows {
		c.add(r.Person(int(row)), 1)
	}
	return nil
}

func (c *counted) add(who uint32, n int) {
	local := who / event.Partitions
	if int(local) >= len(c.counts) {
		c.counts = append(c.counts, make([]uint32, int(local)+1-len(c.counts))...)
	}
	c.counts[local] += uint32(n)
}

// endPartition implements rowTaker.
func (c *counted) endPartition() error {
	for local, n := range c.counts {
		if n > 0 && c.often(int(n)) {
			who := local*event.Partitions + c.partition
			c.enough[who>>6] |= 1 << (who & 63)
		}
	}
	clear(c.counts)
	return nil
}

// didOften finds who had so many occurrences. Everyone is counted: that costs
// less than to look whether a row is of somebody who is asked about.
func (q *run) didOften(p *pass, conds []condition, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	p.direct = true
	took, err := q.read(p, func() consumer {
		c := &counted{conds: conds, enough: make(bitset, len(q.plain)), found: found{people: roaring.New()}}
		c.keep = func(hits []hit, _ *store) bool { return c.often(len(hits)) }
		return c
	})
	if err != nil {
		return nil, err
	}
	out := roaring.New()
	for _, c := range took {
		out.Or(c.(*counted).people)
		out.Or(roaring.FromDense(c.(*counted).enough, false))
	}
	out.And(some)
	return out, nil
}

func (c *counted) often(n int) bool {
	if n < len(c.verdicts) && c.verdicts[n] != unknown {
		return c.verdicts[n] == yes
	}
	ok := !slices.ContainsFunc(c.conds, func(cond condition) bool { return !cond.test.number(float64(n)) })
	if n < len(c.verdicts) {
		c.verdicts[n] = verdict(ok)
	}
	return ok
}

// profileOfMany finds those of some people whose profile a leaf holds for: a
// verdict a value, and then a bit a person.
func (q *run) profileOfMany(s *stretch, l *leaf, col *block.Column, some *roaring.Bitmap) *roaring.Bitmap {
	verdicts := make([]uint64, len(col.Dict)+1)
	bit := func(ok bool) uint64 {
		if ok {
			return 1
		}
		return 0
	}
	verdicts[0] = bit(l.value(event.Value{}))
	for i, v := range col.Dict {
		verdicts[i+1] = bit(l.value(v))
	}
	words := make([]uint64, some.Maximum()/64+1)
	people := int32(0)
	var numbers [64]int32
	var codes [64]uint32
	for w := range words {
		for i := range numbers {
			numbers[i] = people
			people++
		}
		col.CodesOf(numbers[:], codes[:])
		for i, code := range codes {
			words[w] |= verdicts[code] << i
		}
	}
	out := roaring.FromDense(words, false)
	out.And(some)
	return out
}
