package flow

import (
	"encoding/binary"
	"math/bits"
)

// filter tells of a hash whether it may have been added: a Bloom filter whose
// bits for one hash lie in one cache line, at two bytes a hash. About one in a
// thousand that was not added passes.
type filter struct {
	blocks [][8]uint64
	room   int
}

const (
	filterBits   = 16 // a hash
	filterProbes = 7
)

func newFilter(room int) *filter {
	return &filter{blocks: make([][8]uint64, room*filterBits/512+1), room: room}
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
	for range filterProbes {
		b[h>>6&7] |= 1 << (h & 63)
		h >>= 9
	}
	f.room--
}

func (f *filter) has(e entry) bool {
	b, h := f.place(e)
	for range filterProbes {
		if b[h>>6&7]>>(h&63)&1 == 0 {
			return false
		}
		h >>= 9
	}
	return true
}
