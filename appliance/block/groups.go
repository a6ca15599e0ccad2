package block

import (
	"math/bits"
	"slices"
)

// A person's rows of one day mostly have the same country, platform or session.
// Of such a column, only the first value of each group is kept, and those that
// differ from the one before, with a bit for each that says so.

// firsts has a bit for each of a column's entries, which are the rows that are
// present, nil = all: set at the first of each group.
func (p *People) firsts(present []byte, count int) []uint64 {
	out := make([]uint64, (count+63)/64)
	if present == nil {
		for _, at := range p.Starts[:len(p.Starts)-1] {
			out[at>>6] |= 1 << (at & 63)
		}
		return out
	}
	at := 0
	for g, row := range p.Starts[:len(p.Starts)-1] {
		first := at
		for ; row < p.Starts[g+1]; row++ {
			at += int(present[row/8] >> (row % 8) & 1)
		}
		if at > first {
			out[first>>6] |= 1 << (first & 63)
		}
	}
	return out
}

// thinned leaves, of entries, those that are a group's first or differ from the
// one before, and gives a bit for each of the latter. It is nil where that does
// not pay.
func thinned[T uint32 | float64](p *People, present []byte, entries []T) (kept []T, differ []byte) {
	first := p.firsts(present, len(entries))
	differ = make([]byte, (len(entries)+7)/8)
	for i, v := range entries {
		switch {
		case first[i>>6]>>(i&63)&1 != 0:
		case v != entries[i-1]:
			differ[i/8] |= 1 << (i % 8)
		default:
			continue
		}
		if len(kept) == len(entries)/2 {
			return nil, nil
		}
		kept = append(kept, v)
	}
	return kept, differ
}

// changes says which of a column's entries have a value of their own, and do
// not repeat the one before: a bit for each, and how many they are.
type changes struct {
	words []uint64 // nil = all
	kept  int
}

func readChanges(r *reader, people *People, p presence, s *scratch) changes {
	differ := r.exactly((p.count+7)/8, &s.out)
	if r.err != nil {
		return changes{}
	}
	c := changes{words: people.firsts(p.bits, p.count)}
	for i, b := range differ {
		c.words[i/8] |= uint64(b) << (8 * (i % 8))
	}
	for _, w := range c.words {
		c.kept += bits.OnesCount64(w)
	}
	if n := p.count; n%64 != 0 && c.words[n/64]>>(n%64) != 0 {
		r.fail("more entries differ than there are")
		return changes{}
	}
	return c
}

// repeat moves what lies at the front of entries to where it belongs, and
// repeats it up to the next, from the end, so that nothing is overwritten
// before it moved.
func repeat[T any](c changes, entries []T) {
	if c.words == nil {
		return
	}
	end, from := len(entries), c.kept
	for i, w := range slices.Backward(c.words) {
		for w != 0 {
			bit := bits.Len64(w) - 1
			w &^= 1 << bit
			from--
			v := entries[from]
			run := entries[i*64+bit : end]
			for j := range run {
				run[j] = v
			}
			end = i*64 + bit
		}
	}
}
