package history

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// The list of blocks and parts lies in kv, a sealed description each: there it
// changes in the transaction that removes what the blocks were made of.

// maxInline bounds a part's description in kv; a longer one is a chunk of its
// own, chunkWhole.
const (
	maxInline  = 256 << 10
	chunkWhole = math.MaxUint32 >> 1
)

const listVersion = 1

func listKey(prefix byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, id)
}

func listAAD(key []byte) []byte { return append([]byte("history list "), key...) }

// enlist writes the descriptions of blocks and parts.
func (h *History) enlist(t *kv.Txn, made []*frozen, parts []*part) error {
	for _, b := range made {
		if err := h.setSealed(t, listKey(keyBlock, b.id), b.info.Append(nil)); err != nil {
			return err
		}
	}
	for _, p := range parts {
		rec := binary.AppendUvarint([]byte{listVersion}, uint64(p.shelf))
		if p.whole {
			rec = append(rec, 1)
		} else {
			plain, err := p.info.Append(nil)
			if err != nil {
				return err
			}
			rec = append(append(rec, 0), plain...)
		}
		if err := h.setSealed(t, listKey(keyDays, p.id), rec); err != nil {
			return err
		}
	}
	return nil
}

func (h *History) setSealed(t *kv.Txn, key, plain []byte) error {
	sealed, err := h.keys.SealChunk(plain, listAAD(key))
	if err != nil {
		return err
	}
	return t.Set(kv.History, key, sealed)
}

// counts are numbers that must not be given out again.
type counts struct {
	id     uint64 // of blocks and parts: up to it they may have been given out
	frozen uint64 // the last generation that was frozen
}

// writeCounts notes numbers, of which none gets smaller.
func (h *History) writeCounts(t *kv.Txn, c counts) error {
	c.id = max(c.id, h.counts.id, h.lastID.Load())
	c.frozen = max(c.frozen, h.counts.frozen)
	h.counts = c
	b := binary.AppendUvarint([]byte{listVersion}, c.id)
	b = binary.AppendUvarint(b, c.frozen)
	return h.setSealed(t, []byte{keyCounts}, binary.AppendUvarint(b, 0))
}

// idsAhead is how many numbers are noted as given out at a time.
const idsAhead = 1 << 16

// noteIDs sees to it that the numbers given out so far do not come again after
// a crash. Chunks that no list names stay on a shelf until it goes, and must
// not be taken for those of a later block. The caller holds busy.
func (h *History) noteIDs() error {
	last := h.lastID.Load()
	if last <= h.counts.id {
		return nil
	}
	return h.db.Update(func(t *kv.Txn) error { return h.writeCounts(t, counts{id: last + idsAhead}) })
}

func readCounts(b []byte) (c counts, err error) {
	bad := fmt.Errorf("%w: the counts", ErrDamaged)
	if len(b) == 0 || b[0] != listVersion {
		return c, bad
	}
	b = b[1:]
	var vals [3]uint64
	for i := range vals {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return c, bad
		}
		vals[i], b = v, b[n:]
	}
	if len(b) > 0 || vals[2] > math.MaxUint32 {
		return c, bad
	}
	return counts{vals[0], vals[1]}, nil
}

// newID gives a number that no block or part has had.
func (h *History) newID() uint64 { return h.lastID.Add(1) }

// loadList reads the list.
func (h *History) loadList(t *kv.Txn) (*blockList, error) {
	open := func(key, val []byte) ([]byte, error) {
		plain, err := h.keys.OpenChunk(val, listAAD(key))
		if err != nil {
			return nil, fmt.Errorf("%w: the list: %w", ErrDamaged, err)
		}
		return plain, nil
	}
	var blocks []*frozen
	var parts []*part
	last := uint64(0)
	err := t.Scan(kv.History, []byte{keyCounts}, nil, func(key, val []byte) error {
		plain, err := open(key, val)
		if err == nil {
			h.counts, err = readCounts(plain)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = t.Scan(kv.History, []byte{keyBlock}, nil, func(key, val []byte) error {
		plain, err := open(key, val)
		if err != nil {
			return err
		}
		b, err := h.readBlock(key, plain)
		if err != nil {
			return err
		}
		blocks, last = append(blocks, b), max(last, b.id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = t.Scan(kv.History, []byte{keyDays}, nil, func(key, val []byte) error {
		plain, err := open(key, val)
		if err != nil {
			return err
		}
		p, err := h.readPart(key, plain)
		if err != nil {
			return err
		}
		parts, last = append(parts, p), max(last, p.id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	h.lastID.Store(max(last, h.counts.id))
	return newList(blocks, parts), nil
}

// idOf is the number in a key of the list.
func idOf(key []byte) (uint64, error) {
	if len(key) != 9 {
		return 0, fmt.Errorf("%w: a key of the list of %d bytes", ErrDamaged, len(key))
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

func (h *History) readBlock(key, plain []byte) (*frozen, error) {
	id, err := idOf(key)
	if err != nil {
		return nil, err
	}
	info, err := block.ReadInfo(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: the description of block %d: %w", ErrDamaged, id, err)
	}
	if info.Order == 0 {
		info.Order = id // version 1: nothing was ever merged
	}
	b := &frozen{id: id, info: info}
	for _, n := range info.Names {
		if int(n.Code) >= len(h.words.names.list) {
			return nil, fmt.Errorf("%w: block %d has an event without a name", ErrDamaged, id)
		}
		b.names = append(b.names, h.words.names.list[n.Code])
	}
	return b, nil
}

func (h *History) readPart(key, plain []byte) (*part, error) {
	id, err := idOf(key)
	if err != nil {
		return nil, err
	}
	bad := func(err error) error {
		return fmt.Errorf("%w: the description of part %d: %w", ErrDamaged, id, err)
	}
	if len(plain) == 0 || plain[0] != listVersion {
		return nil, bad(block.ErrDamaged)
	}
	shelf, n := binary.Uvarint(plain[1:])
	if n <= 0 || shelf > math.MaxUint32 || len(plain) < n+2 {
		return nil, bad(block.ErrDamaged)
	}
	plain = plain[n+1:]
	whole := plain[0] != 0
	if plain = plain[1:]; whole {
		if plain, err = h.openChunk(uint32(shelf), chunkID{id, chunkWhole}); err != nil {
			return nil, err
		}
	}
	info, err := block.ReadPart(plain)
	if err != nil {
		return nil, bad(err)
	}
	p := newPart(id, info)
	p.shelf, p.whole = uint32(shelf), whole
	for _, s := range p.info.Sets {
		if int(s.Name) >= len(h.words.names.list) {
			return nil, bad(block.ErrDamaged)
		}
	}
	for it := p.info.Seen.Iterator(); it.HasNext(); {
		seen := it.Next()
		if int(seen/block.SeenKeys) >= len(h.words.names.list) || int(seen%block.SeenKeys) >= len(h.words.keys.list) {
			return nil, bad(block.ErrDamaged)
		}
	}
	return p, nil
}

// relist puts another list into what the next snapshot sees, and takes away
// the head that it came of. The caller holds busy.
func (h *History) relist(blocks []*frozen, parts []*part, done *head) {
	list := newList(blocks, parts) // before the lock: it takes a while where there are many
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heads = slices.DeleteFunc(h.heads, func(hd *head) bool { return hd == done })
	v := *h.view
	v.version++
	v.list = list
	v.heads = slices.DeleteFunc(slices.Clone(v.heads), func(hv headView) bool { return hv.head == done })
	h.old = append(h.old, h.view.list)
	h.view = &v
	h.untidy()
	h.retire()
}

// untidy has the worker look for something to clean up. The caller holds mu.
func (h *History) untidy() {
	h.moves++
	h.changed.Broadcast()
}

// retire lets go of lists that nobody looks at any more. The caller holds mu.
func (h *History) retire() {
	n := len(h.old)
	h.old = slices.DeleteFunc(h.old, func(l *blockList) bool { return l.refs == 0 })
	if len(h.old) < n {
		h.untidy() // shelves may have become free
	}
}
