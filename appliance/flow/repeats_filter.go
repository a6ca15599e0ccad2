package flow

import (
	"encoding/binary"
	"math/bits"
)

// filter tells of a hash whether it may have been added: a Bloom filter whose
// bits for one hash lie in one cache line.
type filter struct {
	blocks [][8]uint64
	probes int
	room   int
}

// How filters are made, in bits and probes a hash: about one in a thousand
// that was not added to a day passes its filter, and about one in thirty that
// of a run.
const (
	dayBits, dayProbes = 16, 7
	runBits, runProbes = 8, 5
)

func newFilter(room, bits, probes int) *filter {
	return &filter{blocks: make([][8]uint64, room*bits/512+1), probes: probes, room: room}
}

func (f *filter) full() bool { return f.room <= 0 }

// place is the block of a hash, and bits to choose within it.
func (f *filter) place(e entry) (*[8]uint64, uint64) {
	h := binary.LittleEndian.Uint64(e[2:])
	block, _ := bits.Mul64(h, uint64(len(f.blocks)))
	// The block took the upper bits: the others have to be spread.
	h = (h ^ uint64(e[0])<<8 ^ uint64(e[1])) * 0x9e3779b97f4a7c15
	return &f.blocks[block], h ^ h>>32
}

func (f *filter) add(e entry) {
	b, h := f.place(e)
	for range f.probes {
		b[h>>6&7] |= 1 << (h & 63)
		h >>= 9
	}
	f.room--
}

func (f *filter) has(e entry) bool {
	b, h := f.place(e)
	for range f.probes {
		if b[h>>6&7]>>(h&63)&1 == 0 {
			return false
		}
		h >>= 9
	}
	return true
}
