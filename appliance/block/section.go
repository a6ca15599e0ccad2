package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// ErrDamaged is wrapped by every error about bytes that are not what an
// Append of this room makes.
var ErrDamaged = errors.New("not the bytes of a block")

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }

// MaxRows bounds a block, so that a row's number fits 16 bits.
const MaxRows = 1 << 16

// maxSection bounds what one section may hold, decompressed, in bytes.
const maxSection = 64 << 20

// encoder looks well for what repeats; quick is for what is nearly random, as
// times are, and gains half a percent from that.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder { return newEncoder(zstd.SpeedBetterCompression) })
	quick   = sync.OnceValue(func() *zstd.Encoder { return newEncoder(zstd.SpeedDefault) })
)

// newEncoder is without a checksum of its own: chunks are sealed, which proves
// more.
func newEncoder(level zstd.EncoderLevel) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(level), zstd.WithSingleSegment(true))
	if err != nil {
		panic("block: " + err.Error()) // only for options that do not exist
	}
	return e
}

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxSection), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("block: " + err.Error())
	}
	return d
})

// appendSection appends bytes with their length, compressed where that saves
// an eighth.
func appendSection(dst, raw []byte) []byte { return appendPacked(dst, raw, encoder()) }

func appendPacked(dst, raw []byte, by *zstd.Encoder) []byte {
	if len(raw) >= 16 {
		s := getScratch()
		defer putScratch(s)
		s.out = by.EncodeAll(raw, s.out[:0])
		if len(s.out) < len(raw)-len(raw)/8 {
			dst = binary.AppendUvarint(dst, uint64(len(raw))<<1|1)
			dst = binary.AppendUvarint(dst, uint64(len(s.out)))
			return append(dst, s.out...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(raw))<<1)
	return append(dst, raw...)
}

// reader takes bytes from the front of b; after the first error it takes no
// more.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = damaged(what)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it ends early")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// uvarint takes a number of at most most.
func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.fail("a number is out of range")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("a number is broken")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count takes the number of things that follow, each at least least bytes.
func (r *reader) count(most, least int) int {
	n := int(r.uvarint(uint64(most)))
	if n*least > len(r.b) {
		r.fail("a count is larger than what follows")
		return 0
	}
	return n
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("it ends early")
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// section takes a section of at most most bytes. The bytes are into's, or the
// reader's own.
func (r *reader) section(most int, into *[]byte) []byte {
	head := r.uvarint(maxSection<<1 | 1)
	n := int(head >> 1)
	if n > most {
		r.fail("a section is longer than it can be")
		return nil
	}
	if head&1 == 0 {
		return r.take(n)
	}
	packed := r.take(int(r.uvarint(maxSection)))
	if r.err != nil {
		return nil
	}
	if cap(*into) < n {
		*into = make([]byte, 0, n+n/4)
	}
	out, err := decoder().DecodeAll(packed, (*into)[:0:n])
	if err != nil || len(out) != n {
		r.fail("a section does not decompress")
		return nil
	}
	return out
}

// exactly takes a section of n bytes.
func (r *reader) exactly(n int, into *[]byte) []byte {
	b := r.section(n, into)
	if r.err == nil && len(b) != n {
		r.fail("a section has the wrong length")
	}
	if r.err != nil {
		return nil
	}
	return b
}

// end says what went wrong, also if anything is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("something follows the end")
	}
	return r.err
}

// scratch is memory that decoding and encoding reuse.
type scratch struct {
	out    []byte
	bytes  []byte
	more   []byte
	planes [8][]byte
	nums   []uint64
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch  { return scratches.Get().(*scratch) }
func putScratch(s *scratch) { scratches.Put(s) }

// numbers gives n numbers of scratch, whatever is in them.
func (s *scratch) numbers(n int) []uint64 {
	if cap(s.nums) < n {
		s.nums = make([]uint64, n)
	}
	return s.nums[:n]
}
