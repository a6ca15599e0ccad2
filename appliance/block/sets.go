package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/RoaringBitmap/roaring/v2"
)

// Set says where the people of one event on one day lie: in which chunk, from
// which byte on, and how many people they are.
type Set struct {
	Name   uint16 // number of the publisher's vocabulary
	Day    int32
	Chunk  int
	Offset int
	Length int
	People int
}

// appendSets appends sets, which are in order of their names and days and
// follow each other in their chunks.
func appendSets(dst []byte, sets []Set) []byte {
	var last Set
	for _, s := range sets {
		dst = binary.AppendUvarint(dst, uint64(s.Name-last.Name))
		dst = binary.AppendVarint(dst, int64(s.Day)-int64(last.Day))
		dst = binary.AppendUvarint(dst, uint64(s.Chunk-last.Chunk))
		dst = binary.AppendUvarint(dst, uint64(s.Length))
		dst = binary.AppendUvarint(dst, uint64(s.People))
		last = s
	}
	return dst
}

// readSets reads n sets that lie in so many chunks.
func readSets(b []byte, n, chunks int) ([]Set, error) {
	if n > len(b)/5 {
		return nil, damaged("the sets end early")
	}
	in := &reader{b: b}
	sets := make([]Set, n)
	var last Set
	for i := range sets {
		s := last
		name := uint64(s.Name) + in.uvarint(math.MaxUint16)
		day := int64(s.Day) + in.varint()
		chunk := in.uvarint(math.MaxInt32)
		s.Offset += s.Length
		if chunk > 0 {
			s.Offset = 0
		}
		s.Length = int(in.uvarint(maxSection))
		s.People = int(in.uvarint(math.MaxUint32))
		s.Name, s.Day, s.Chunk = uint16(name), int32(day), s.Chunk+int(chunk)
		if name > math.MaxUint16 || day != int64(s.Day) || s.Offset > maxSection || s.Chunk >= chunks || i > 0 && !last.before(s) {
			in.fail("a set is out of range or out of order")
		}
		if in.err != nil {
			return nil, in.err
		}
		sets[i], last = s, s
	}
	return sets, in.end()
}

func (s Set) before(o Set) bool { return s.Name < o.Name || s.Name == o.Name && s.Day < o.Day }

// setGaps begins a set of gaps. A section of a roaring bitmap, as all sets were
// once, begins with its length, which is more.
const setGaps = 1

// AppendSet appends the encoding of a set of people.
func AppendSet(dst []byte, set *roaring.Bitmap) ([]byte, error) {
	// A roaring bitmap is read several times as fast: gaps are to save a quarter.
	size := set.GetSerializedSizeInBytes()
	if out := appendGaps(append(dst, setGaps), set, size-size/4); len(out) > len(dst)+1 {
		return out, nil
	}
	b, err := set.ToBytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a set: %w", err)
	}
	return appendSection(dst, b), nil
}

// ReadSet reads what AppendSet made of so many people. It shares nothing with
// b.
func ReadSet(b []byte, people int) (*roaring.Bitmap, error) {
	if len(b) > 0 && b[0] == setGaps {
		return readGaps(b[1:], people)
	}
	r := &reader{b: b}
	var raw []byte
	in := r.section(maxSection, &raw)
	if err := r.end(); err != nil {
		return nil, err
	}
	set, err := readBitmap(in)
	if err != nil {
		return nil, err
	}
	if set.GetCardinality() != uint64(people) {
		return nil, damaged("a set does not hold the people it should")
	}
	return set, nil
}

func readBitmap(b []byte) (*roaring.Bitmap, error) {
	set := roaring.New()
	n, err := set.ReadFrom(bytes.NewReader(b))
	if err == nil {
		err = set.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a set: %w", ErrDamaged, err)
	}
	if n != int64(len(b)) {
		return nil, damaged("something follows a set")
	}
	return set, nil
}
