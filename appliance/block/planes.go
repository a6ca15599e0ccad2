package block

import (
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// Numbers lie in byte planes: the lowest bytes of all, then the next ones, a
// section each, as many as the largest number needs. The upper ones compress
// to almost nothing.

func width(most uint64) int { return (bits.Len64(most) + 7) / 8 }

func appendPlanes(dst []byte, vals []uint64) []byte { return appendPlanesBy(dst, vals, encoder()) }

func appendPlanesBy(dst []byte, vals []uint64, by *zstd.Encoder) []byte {
	var all uint64
	for _, v := range vals {
		all |= v
	}
	w := width(all)
	dst = append(dst, byte(w))
	s := getScratch()
	defer putScratch(s)
	if cap(s.bytes) < len(vals) {
		s.bytes = make([]byte, len(vals))
	}
	plane := s.bytes[:len(vals)]
	for k := range w {
		for i, v := range vals {
			plane[i] = byte(v >> (8 * k))
		}
		dst = appendPacked(dst, plane, by)
	}
	return dst
}

// planes takes the planes of n numbers; those that are not there are nil.
func (r *reader) planes(n int, s *scratch) (planes [8][]byte, w int) {
	w = int(r.byte())
	if w > 8 {
		r.fail("more planes than a number has bytes")
		return planes, 0
	}
	for k := range w {
		planes[k] = r.exactly(n, &s.planes[k])
	}
	if r.err != nil {
		return planes, 0
	}
	return planes, w
}

// joined puts planes together, into out. Loops are by width because one over
// the planes inside one over the numbers takes four times as long.
func joined[T uint32 | uint64](planes *[8][]byte, w int, out []T) {
	n := len(out)
	switch w {
	case 0:
		clear(out)
		return
	case 1:
		p0 := planes[0][:n]
		for i := range out {
			out[i] = T(p0[i])
		}
		return
	case 2:
		p0, p1 := planes[0][:n], planes[1][:n]
		for i := range out {
			out[i] = T(p0[i]) | T(p1[i])<<8
		}
		return
	}
	p0, p1, p2 := planes[0][:n], planes[1][:n], planes[2][:n]
	for i := range out {
		out[i] = T(p0[i]) | T(p1[i])<<8 | T(p2[i])<<16
	}
	for k := 3; k < w; k++ {
		p := planes[k][:n]
		for i := range out {
			out[i] |= T(p[i]) << (8 * k)
		}
	}
}

// joined8 and joined16 put together numbers of at most one and two planes.
func joined8(planes *[8][]byte, w int, out []uint8) {
	if w == 1 {
		copy(out, planes[0])
	}
}

func joined16(planes *[8][]byte, w int, out []uint16) {
	n := len(out)
	switch w {
	case 1:
		for i, b := range planes[0][:n] {
			out[i] = uint16(b)
		}
	case 2:
		p0, p1 := planes[0][:n], planes[1][:n]
		for i := range out {
			out[i] = uint16(p0[i]) | uint16(p1[i])<<8
		}
	}
}
