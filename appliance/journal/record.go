package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/s2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// recordVersion is a record's first byte.
const recordVersion = 1

// recordHeader is what stands before the sealed bytes: version, incarnation.
const recordHeader = 1 + 8

// maxPlain bounds what a record unpacks to. MaxAppend and packBytes are below.
const maxPlain = 8 << 20

// tagBytes is how long the end of a record is that tells it from others: the
// authentication tag of what was sealed.
const tagBytes = 16

// Record is one append or several that were packed together.
type Record struct {
	Cursor Cursor
	Facts  []event.Fact
}

// Cursor is a place in a journal: just after the record of that sequence. The
// zero Cursor is before the first record of all. Incarnations tell apart
// streams that counted their records anew.
type Cursor struct {
	Incarnation uint64
	Sequence    uint64
}

// CursorBytes is the length of an encoded cursor.
const CursorBytes = 16

// AppendBinary appends the cursor's CursorBytes, big-endian, so that encoded
// cursors of one incarnation sort by sequence.
func (c Cursor) AppendBinary(dst []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, c.Incarnation), c.Sequence), nil
}

// ParseCursor reads what AppendBinary wrote.
func ParseCursor(b []byte) (Cursor, error) {
	if len(b) != CursorBytes {
		return Cursor{}, fmt.Errorf("journal: a cursor has %d bytes, not %d", CursorBytes, len(b))
	}
	return Cursor{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// String is for logs and problems.
func (c Cursor) String() string { return fmt.Sprintf("%d of %x", c.Sequence, c.Incarnation) }

// bind is what is authenticated beside a record: it can be passed off neither
// as another publisher's, nor as another place's.
func bind(publisher string, c Cursor) []byte {
	b := make([]byte, 0, 64+len(publisher))
	b = append(b, "cloister journal record"...)
	b = append(b, recordVersion)
	b, _ = c.AppendBinary(b) // never fails
	return append(b, publisher...)
}

// sealRecord makes the record at c of encoded facts. scratch is for packing
// them, and comes back, perhaps larger, for the next.
func sealRecord(keys Sealer, publisher string, c Cursor, facts, scratch []byte) (record, packed []byte, err error) {
	packed = s2.Encode(scratch[:cap(scratch)], facts)
	sealed, err := keys.SealRecord(packed, bind(publisher, c))
	if err != nil {
		return nil, packed, fmt.Errorf("sealing a record: %w", err)
	}
	out := make([]byte, 0, recordHeader+len(sealed))
	out = append(out, recordVersion)
	out = binary.BigEndian.AppendUint64(out, c.Incarnation)
	return append(out, sealed...), packed, nil
}

// openRecord gives the encoded facts of the record at c.
func openRecord(keys Sealer, publisher string, c Cursor, record []byte) ([]byte, error) {
	if len(record) < recordHeader {
		return nil, fmt.Errorf("%w: only %d bytes", ErrDamaged, len(record))
	}
	if record[0] != recordVersion {
		return nil, fmt.Errorf("%w: version %d, and this program knows %d", ErrDamaged, record[0], recordVersion)
	}
	if in := binary.BigEndian.Uint64(record[1:]); in != c.Incarnation {
		return nil, fmt.Errorf("%w: it is of incarnation %x", ErrDamaged, in)
	}
	packed, err := keys.OpenRecord(record[recordHeader:], bind(publisher, c))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	n, err := s2.DecodedLen(packed)
	if err != nil || n > maxPlain {
		return nil, fmt.Errorf("%w: it would unpack to %d bytes", ErrDamaged, n)
	}
	facts, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return facts, nil
}

// tagOf is the end of a record.
func tagOf(record []byte) (tag [tagBytes]byte) {
	if len(record) >= tagBytes {
		copy(tag[:], record[len(record)-tagBytes:])
	}
	return tag
}
