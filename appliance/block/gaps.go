package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"
)

// A set as the gaps between its numbers, each in a Golomb-Rice code: the gap,
// less one, divided by 2^k in unary (that many zeros and a one), then its k low
// bits. People who did something on a day are about as likely here as there, so
// that gaps are geometric, for which this code is within a twentieth of the
// entropy without a table (Rice, "Some practical universal noiseless coding
// techniques", 1979). The lowest bit of a byte comes first.

const maxRice = 31

// appendGaps appends a set's numbers, behind k; nothing where that takes most
// bytes or more.
func appendGaps(dst []byte, set *roaring.Bitmap, most uint64) []byte {
	n := set.GetCardinality()
	if n == 0 || n/8 >= most {
		return dst
	}
	gaps := make([]uint32, 0, n)
	var buf [512]uint32
	next, sum := uint32(0), uint64(0)
	for it := set.ManyIterator(); ; {
		got := it.NextMany(buf[:])
		if got == 0 {
			break
		}
		for _, v := range buf[:got] {
			gaps = append(gaps, v-next)
			sum += uint64(v - next)
			next = v + 1
		}
	}
	k, size := 0, uint64(math.MaxUint64)
	// Around the mean's logarithm; far gaps among near ones move the best down.
	for try := max(bits.Len64(sum/n)-3, 0); try <= min(bits.Len64(sum/n), maxRice); try++ {
		cost := n * uint64(try+1)
		for _, g := range gaps {
			cost += uint64(g >> try)
		}
		if cost < size {
			k, size = try, cost
		}
	}
	if size = (size + 7) / 8; size+1 >= most {
		return dst
	}
	dst = append(dst, byte(k))
	at := len(dst)
	dst = append(dst, make([]byte, size+8)...) // and room to write eight at once
	bit := uint64(0)
	for _, g := range gaps {
		bit += uint64(g >> k)
		code := (uint64(g)&(1<<k-1))<<1 | 1 // up to 32 bits, so that seven more fit
		to := dst[at+int(bit/8):]
		binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(to)|code<<(bit%8))
		bit += uint64(k + 1)
	}
	return dst[:at+int(size)]
}

// readGaps reads what appendGaps made of n numbers; b ends with them.
func readGaps(b []byte, n int) (*roaring.Bitmap, error) {
	if len(b) == 0 || b[0] > maxRice || n > 8*len(b) {
		return nil, damaged("a set of gaps is broken")
	}
	s := getScratch()
	defer putScratch(s)
	if cap(s.more) < 2*n {
		s.more = make([]byte, 2*n)
	}
	lows := s.more[:2*n]
	k := uint(b[0])
	in := bitReader{b: b[1:]}
	var starts []start
	least, end := uint64(0), uint64(0)
	acc, have := in.acc, in.have // in registers: half the time
	for i := range n {
		if have < 32 {
			in.acc, in.have = acc, have
			in.fill()
			acc, have = in.acc, in.have
		}
		v := least
		if zeros := uint(bits.TrailingZeros64(acc)); zeros+1+k <= have {
			acc >>= (zeros + 1) & 63
			v += uint64(zeros)<<(k&63) | acc&(1<<(k&63)-1)
			acc >>= k & 63
			have -= zeros + 1 + k
		} else {
			in.acc, in.have = acc, have
			v += in.long(k)
			acc, have = in.acc, in.have
		}
		if v >= end {
			if in.bad || v > math.MaxUint32 {
				return nil, damaged("a set of gaps ends early or is out of range")
			}
			starts = append(starts, start{high: uint16(v >> 16), at: i})
			end = (v>>16 + 1) << 16
		}
		binary.LittleEndian.PutUint16(lows[2*i:], uint16(v))
		least = v + 1
	}
	if in.bad || len(in.b) > 0 || have >= 8 || acc&(1<<have-1) != 0 {
		return nil, damaged("a set of gaps has the wrong length")
	}
	// Through the portable form, since it takes whole containers: AddMany takes
	// number by number, three times as long.
	set := roaring.New()
	s.bytes = appendPortable(s.bytes[:0], lows, starts)
	if _, err := set.ReadFrom(bytes.NewReader(s.bytes)); err != nil {
		return nil, fmt.Errorf("%w: a set: %w", ErrDamaged, err)
	}
	return set, nil
}

// start is where the numbers with the same upper half begin.
type start struct {
	high uint16
	at   int
}

// appendPortable appends roaring's portable form of numbers, given by their
// lower halves.
func appendPortable(dst, lows []byte, starts []start) []byte {
	const cookie, most = 12346, 4096 // without runs; numbers in an array, not a bitmap
	dst = binary.LittleEndian.AppendUint32(dst, cookie)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(starts)))
	of := func(i int) []byte {
		if i+1 < len(starts) {
			return lows[2*starts[i].at : 2*starts[i+1].at]
		}
		return lows[2*starts[i].at:]
	}
	for i, s := range starts {
		dst = binary.LittleEndian.AppendUint16(dst, s.high)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(of(i))/2-1))
	}
	dst = append(dst, make([]byte, 4*len(starts))...) // offsets, which are not looked at
	for i := range starts {
		part := of(i)
		if len(part) <= 2*most {
			dst = append(dst, part...)
			continue
		}
		var bitmap [1 << 13]byte
		for ; len(part) > 0; part = part[2:] {
			v := binary.LittleEndian.Uint16(part)
			bitmap[v/8] |= 1 << (v % 8)
		}
		dst = append(dst, bitmap[:]...)
	}
	return dst
}

// bitReader takes bits from the front of b, the lowest of a byte first.
type bitReader struct {
	b    []byte
	acc  uint64 // the next bits; above have, what fill reads again, or zeros
	have uint   // less than 64
	bad  bool   // it ended early
}

// fill sees to it that at least 56 bits are at hand, where there are as many; it
// is for when there are fewer.
func (r *bitReader) fill() {
	if len(r.b) >= 8 {
		r.acc |= binary.LittleEndian.Uint64(r.b) << r.have
		r.b = r.b[(63-r.have)/8:]
		r.have |= 56
		return
	}
	for ; r.have < 56 && len(r.b) > 0; r.have += 8 {
		r.acc |= uint64(r.b[0]) << r.have
		r.b = r.b[1:]
	}
}

// long takes a code that may go on behind what is at hand.
func (r *bitReader) long(k uint) uint64 {
	gap := uint64(0)
	zeros := uint(bits.TrailingZeros64(r.acc))
	for zeros >= r.have {
		gap += uint64(r.have)
		r.acc, r.have = 0, 0
		if r.fill(); r.have == 0 {
			r.bad = true
			return 0
		}
		zeros = uint(bits.TrailingZeros64(r.acc))
	}
	gap += uint64(zeros)
	r.acc, r.have = r.acc>>(zeros+1), r.have-(zeros+1)
	if r.fill(); r.have < k {
		r.bad = true
		return 0
	}
	gap = gap<<k | r.acc&(1<<k-1)
	r.acc, r.have = r.acc>>k, r.have-k
	return gap
}
