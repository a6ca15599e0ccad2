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
	verdicts  [256]uint64 // of small counts: 1 where it is enough
	enough    bitset      // the people found, of all partitions
}

// takeRows implements rowTaker.
func (c *counted) takeRows(_ *worker, r *history.Rows, p *picked, _ dayRange) error {
	c.partition = r.Partition
	if err := r.LoadGroups(); err != nil {
		return err
	}
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
	// The numbers of a partition are every 64th: a bit of each word.
	for local, n := range c.counts {
		verdict := uint64(0)
		if int(n) < len(c.verdicts) {
			verdict = c.verdicts[n]
		} else if c.often(int(n)) {
			verdict = 1
		}
		c.enough[local] |= verdict << c.partition
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
		for n := 1; n < len(c.verdicts); n++ { // nobody did it who did it no times
			c.verdicts[n] = bit(c.often(n))
		}
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
	return !slices.ContainsFunc(c.conds, func(cond condition) bool { return !cond.test.number(float64(n)) })
}

// profileOfMany finds those of some people whose profile a leaf holds for: a
// verdict a value, and then a bit a person.
func (q *run) profileOfMany(s *stretch, l *leaf, col *block.Column, some *roaring.Bitmap) *roaring.Bitmap {
	verdicts := make([]uint64, len(col.Dict)+1)
	verdicts[0] = bit(l.value(event.Value{}))
	for i, v := range col.Dict {
		verdicts[i+1] = bit(l.value(v))
	}
	words := make([]uint64, some.Maximum()/64+1)
	codes := col.Wide().Codes
	for w := range words {
		word, missing := uint64(0), 64
		if from := w * 64; from < len(codes) {
			some := codes[from:min(from+64, len(codes))]
			for i, code := range some {
				word |= verdicts[code] << i
			}
			missing -= len(some)
		}
		if verdicts[0] != 0 && missing > 0 {
			word |= ^uint64(0) << (64 - missing)
		}
		words[w] = word
	}
	out := roaring.FromDense(words, false)
	out.And(some)
	return out
}

func bit(ok bool) uint64 {
	if ok {
		return 1
	}
	return 0
}
