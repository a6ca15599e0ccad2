package history

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// chunkID names a chunk: whose it is, a block's or a part's, and which.
type chunkID struct {
	owner uint64
	chunk uint32
}

// The chunks of a block. Properties follow, by the number of their key.
const (
	chunkPeople  = 0
	chunkTimes   = 1
	chunkEvents  = 2
	chunkTies    = 3
	chunkColumns = 16

	cachedContent = 8 // no chunk: in the cache, the content of some event names
)

func (c chunkID) key() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, c.owner), c.chunk)
}

// ownerOf is the owner in a chunk's key.
func ownerOf(key []byte) (uint64, bool) {
	if len(key) != 12 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

func (c chunkID) String() string {
	switch c.chunk {
	case chunkPeople:
		return fmt.Sprintf("the persons of block %d", c.owner)
	case chunkTimes:
		return fmt.Sprintf("the times of block %d", c.owner)
	case chunkEvents:
		return fmt.Sprintf("the events of block %d", c.owner)
	case chunkTies:
		return fmt.Sprintf("the ties of block %d", c.owner)
	}
	return fmt.Sprintf("chunk %d of block %d", c.chunk, c.owner)
}

// aad binds a sealed chunk to its place; keyring binds it to the publisher.
func (c chunkID) aad() []byte { return append([]byte("history chunk "), c.key()...) }

// sealChunk makes the pair that goes to a shelf.
func (h *History) sealChunk(id chunkID, plain []byte) (kv.KV, error) {
	sealed, err := h.keys.SealChunk(plain, id.aad())
	if err != nil {
		return kv.KV{}, fmt.Errorf("sealing %s: %w", id, err)
	}
	return kv.KV{Key: id.key(), Value: sealed}, nil
}

// openChunk reads a chunk. Whatever is not as it was written is ErrDamaged.
func (h *History) openChunk(shelf uint32, id chunkID) ([]byte, error) {
	sealed, err := h.shelves.Get(shelf, id.key())
	if errors.Is(err, kv.ErrDamaged) || errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, id, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", id, err)
	}
	plain, err := h.keys.OpenChunk(sealed, id.aad())
	if err != nil {
		return nil, fmt.Errorf("%w: %s on shelf %d: %w", ErrDamaged, id, shelf, err)
	}
	return plain, nil
}

// decoded gives a chunk of a block, decoded.
func decoded[T any](h *History, b *frozen, chunk uint32, read func([]byte) (T, int64, error)) (T, error) {
	id := chunkID{b.id, chunk}
	v, err := h.cache.get(cacheKey{chunkID: id}, func() (any, int64, error) {
		plain, err := h.openChunk(b.info.Shelf, id)
		if err != nil {
			h.noticed(err)
			return nil, 0, err
		}
		v, bytes, err := read(plain)
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrDamaged, id, err)
			h.noticed(err)
			return nil, 0, err
		}
		return v, bytes, nil
	})
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}

func (h *History) people(b *frozen) (*block.People, error) {
	return decoded(h, b, chunkPeople, func(p []byte) (*block.People, int64, error) {
		v, err := block.ReadPeople(p, b.info.Rows)
		if err != nil {
			return nil, 0, err
		}
		return v, v.Bytes(), nil
	})
}

func (h *History) times(b *frozen, people *block.People) (block.Times, error) {
	return decoded(h, b, chunkTimes, func(p []byte) (block.Times, int64, error) {
		v, err := block.ReadTimes(p, people)
		return v, v.Bytes(), err
	})
}

func (h *History) events(b *frozen) ([]uint16, error) {
	return decoded(h, b, chunkEvents, func(p []byte) ([]uint16, int64, error) {
		v, err := block.ReadEvents(p, b.info.Rows, len(b.info.Names))
		return v, int64(len(v)) * 2, err
	})
}

func (h *History) ties(b *frozen) ([]uint32, error) {
	if !b.info.Ties {
		return nil, nil
	}
	return decoded(h, b, chunkTies, func(p []byte) ([]uint32, int64, error) {
		v, err := block.ReadTies(p, b.info.Rows)
		return v, int64(len(v)) * 4, err
	})
}

// property gives a column of a block, nil where the block has none.
func (h *History) property(b *frozen, key uint16) (*block.Column, error) {
	if !b.has(key) {
		return nil, nil
	}
	people, err := h.people(b)
	if err != nil {
		return nil, err
	}
	return decoded(h, b, chunkColumns+uint32(key), func(p []byte) (*block.Column, int64, error) {
		v, err := block.ReadColumn(p, people)
		if err != nil {
			return nil, 0, err
		}
		return v, v.Bytes(), nil
	})
}
