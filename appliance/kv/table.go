package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// errTable is of a table file whose bytes are not those that were written.
var errTable = errors.New("wrong checksum or structure")

// checkTable verifies every checksum of one of Badger's table files: of the
// index at its end and of each block. Badger's own check is no use here: on a
// bad index it goes on without the table, on a bad footer it ends the process,
// and on a bad block reads find nothing where something was.
func checkTable(b []byte) (err error) {
	defer func() {
		// The index is read with generated code that trusts its offsets. Its
		// checksum was verified by then, so this is for a forged one.
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errTable, r)
		}
	}()
	rest, sum, err := cutTail(b)
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	rest, index, err := cutTail(rest)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if err := verify(index, sum); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	ti := fb.GetRootAsTableIndex(index, 0)
	if ti.OffsetsLength() == 0 {
		return fmt.Errorf("%w: no blocks", errTable)
	}
	for i := range ti.OffsetsLength() {
		var o fb.BlockOffset
		if !ti.Offsets(&o, i) {
			return fmt.Errorf("block %d: %w", i, errTable)
		}
		from, to := uint64(o.Offset()), uint64(o.Offset())+uint64(o.Len())
		if to > uint64(len(rest)) {
			return fmt.Errorf("block %d: %w", i, errTable)
		}
		data, sum, err := cutTail(rest[from:to])
		if err == nil {
			err = verify(data, sum)
		}
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// cutTail cuts off a piece that is followed by its length in four bytes.
func cutTail(b []byte) (rest, tail []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errTable
	}
	n := uint64(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > uint64(len(b)) {
		return nil, nil, errTable
	}
	cut := uint64(len(b)) - n
	return b[:cut], b[cut:], nil
}

func verify(data, sum []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return fmt.Errorf("%w: %w", errTable, err)
	}
	if want.Algo != pb.Checksum_CRC32C && want.Algo != pb.Checksum_XXHash64 {
		return fmt.Errorf("%w: checksum of kind %d", errTable, want.Algo)
	}
	if y.CalculateChecksum(data, want.Algo) != want.Sum {
		return errTable
	}
	return nil
}
