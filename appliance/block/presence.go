package block

import "math/bits"

// presence is which rows have the property.
type presence struct {
	bits  []byte // nil = all
	count int
}

// appendPresence gives also the bits, nil = all, and how many rows have it.
func appendPresence(dst []byte, n int, has func(row int) bool) (_, bits []byte, count int) {
	set := make([]byte, (n+7)/8)
	for row := range n {
		if has(row) {
			set[row/8] |= 1 << (row % 8)
			count++
		}
	}
	if count == n {
		return append(dst, presentAll), nil, count
	}
	return appendSection(append(dst, presentMap), set), set, count
}

func readPresence(r *reader, n int, s *scratch) presence {
	switch r.byte() {
	case presentAll:
		return presence{count: n}
	case presentMap:
		p := presence{bits: r.exactly((n+7)/8, &s.more)}
		for _, b := range p.bits {
			p.count += bits.OnesCount8(b)
		}
		if p.count > n || n%8 != 0 && len(p.bits) > 0 && p.bits[n/8]>>(n%8) != 0 {
			r.fail("more rows have the property than there are")
			return presence{}
		}
		return p
	}
	r.fail("presence of an unknown kind")
	return presence{}
}

// dense says whether a packed column has an entry a row, although rows without
// the property are missing: where they are few.
func (p *presence) dense(n int) bool { return p.bits != nil && p.count > n/2 }

// entries is how many a packed column has.
func (p *presence) entries(n int) int {
	if p.dense(n) {
		return n
	}
	return p.count
}

// words gives the bits as words, and how many are set before each.
func (p *presence) words(n int) (words []uint64, ranks []uint32) {
	words, ranks = make([]uint64, (n+63)/64), make([]uint32, (n+63)/64)
	for i, b := range p.bits {
		words[i/8] |= uint64(b) << (8 * (i % 8))
	}
	rank := 0
	for i, w := range words {
		ranks[i] = uint32(rank)
		rank += bits.OnesCount64(w)
	}
	return words, ranks
}

// spreadOut moves what lies at the front to the rows that have it, from the
// end, so that nothing is overwritten before it moved.
func spreadOut[T any](bits []byte, at int, entries []T, missing T) {
	for row := len(entries) - 1; row >= 0; row-- {
		if bits[row/8]>>(row%8)&1 != 0 {
			at--
			entries[row] = entries[at]
		} else {
			entries[row] = missing
		}
	}
}
