package block

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/RoaringBitmap/roaring/v2"
)

// Part describes what belongs to the blocks that were made in one go: the sets
// of people by event and day, and which keys were seen with which names.
type Part struct {
	Generation uint64
	Chunks     int // of sets
	Sets       []Set
	Seen       *roaring.Bitmap // name * SeenKeys + key
}

// SeenKeys is the number that keys in Part.Seen are below.
const SeenKeys = 1 << 12

const partVersion = 1

// Append appends the encoding.
func (p *Part) Append(dst []byte) ([]byte, error) {
	dst = append(dst, partVersion)
	dst = binary.AppendUvarint(dst, p.Generation)
	dst = binary.AppendUvarint(dst, uint64(p.Chunks))
	dst = binary.AppendUvarint(dst, uint64(len(p.Sets)))
	dst = appendSection(dst, appendSets(nil, p.Sets))
	seen, err := p.Seen.ToBytes()
	if err != nil {
		return nil, fmt.Errorf("encoding the keys seen: %w", err)
	}
	return appendSection(dst, seen), nil
}

// ReadPart reads what Append made.
func ReadPart(b []byte) (*Part, error) {
	r := &reader{b: b}
	if r.byte() != partVersion {
		r.fail("a part of an unknown version")
	}
	p := &Part{
		Generation: r.uvarint(math.MaxUint64),
		Chunks:     int(r.uvarint(math.MaxInt32)),
	}
	n := int(r.uvarint(maxSection / 5))
	var raw, more []byte
	sets := r.section(maxSection, &raw)
	seen := r.section(maxSection, &more)
	err := r.end()
	if err == nil {
		p.Sets, err = readSets(sets, n, p.Chunks)
	}
	if err == nil {
		p.Seen, err = readBitmap(seen)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
