package flow

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// cursor says how far a publisher's facts are applied: all of record, and the
// first skip facts of the one behind it, since a record may hold more than one
// transaction takes.
type cursor struct {
	record journal.Cursor
	skip   uint32
}

// reached says whether everything up to and including end is applied. Nothing
// is to be applied of a journal that never held a record.
func (c cursor) reached(end journal.Cursor) bool {
	return end.Sequence == 0 || c.record.Incarnation == end.Incarnation && c.record.Sequence >= end.Sequence
}

const cursorVersion = 1

var cursorKey = []byte("cursor")

// The bytes: version, the journal's cursor, skip (4, big endian).
func (c cursor) save(t *kv.Txn) error {
	b, err := c.record.AppendBinary([]byte{cursorVersion})
	if err != nil {
		return fmt.Errorf("the applier's cursor: %w", err)
	}
	if err := t.Set(kv.Flow, cursorKey, binary.BigEndian.AppendUint32(b, c.skip)); err != nil {
		return fmt.Errorf("writing the applier's cursor: %w", err)
	}
	return nil
}

func loadCursor(t *kv.Txn) (cursor, error) {
	b, err := t.Get(kv.Flow, cursorKey)
	if errors.Is(err, kv.ErrNotFound) {
		return cursor{}, nil
	}
	if err != nil {
		return cursor{}, err
	}
	return parseCursor(b)
}

func parseCursor(b []byte) (cursor, error) {
	if len(b) < 5 || b[0] != cursorVersion {
		return cursor{}, fmt.Errorf("%w: the applier's cursor is of %d bytes and no version that is known", kv.ErrDamaged, len(b))
	}
	at, err := journal.ParseCursor(b[1 : len(b)-4])
	if err != nil {
		return cursor{}, fmt.Errorf("the applier's cursor: %w", err)
	}
	return cursor{record: at, skip: binary.BigEndian.Uint32(b[len(b)-4:])}, nil
}
