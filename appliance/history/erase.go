package history

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Erase removes the rows of persons, who must not get new ones: from packed
// rows, from blocks and from the people by day. When it returns, no shelf
// holds them: those that did were written anew and removed, which waits for
// the snapshots that still look at them. In memory they may stay until the
// head is frozen; who asks leaves them out. What was overwritten in db goes
// with db's own compactions, and is covered by its next checkpoint.
//
// After an error some of it is done; call it again.
func (h *History) Erase(ctx context.Context, persons []uint32) error {
	who := roaring.BitmapOf(persons...)
	if who.IsEmpty() {
		return nil
	}
	emptied, err := h.eraseLocked(ctx, who)
	if err != nil {
		return fmt.Errorf("erasing %d persons: %w", len(persons), err)
	}
	// Without the lock: snapshots may be held for long, and nothing is written
	// to these shelves any more.
	if err := h.RemoveEmptied(ctx, emptied); err != nil {
		return fmt.Errorf("erasing %d persons: %w", len(persons), err)
	}
	return nil
}

// eraseLocked lists everything anew without the persons, and gives the shelves
// that are empty by that.
func (h *History) eraseLocked(ctx context.Context, who *roaring.Bitmap) (emptied []uint32, err error) {
	h.busy.Lock()
	defer h.busy.Unlock()
	h.mu.Lock()
	heads := slices.Clone(h.heads)
	h.mu.Unlock()
	for _, hd := range heads {
		hd.mu.Lock()
		if hd.erased == nil {
			hd.erased = roaring.New()
		}
		hd.erased.Or(who)
		hd.mu.Unlock()
	}
	if err := h.erasePacked(ctx, who); err != nil {
		return nil, err
	}
	list := h.listNow()
	shelves := make(map[uint32]bool)
	blocks, parts := make(map[uint64]bool), make(map[uint64]bool)
	for _, b := range list.blocks {
		has, err := h.blockHolds(ctx, b, who)
		if err != nil {
			return nil, err
		}
		if has {
			blocks[b.id], shelves[b.info.Shelf] = true, true
		}
	}
	for _, p := range list.parts {
		has, err := h.partHolds(ctx, p, who)
		if err != nil {
			return nil, err
		}
		if has {
			parts[p.id], shelves[p.shelf] = true, true
		}
	}
	for _, info := range h.shelves.List() {
		if !shelves[info.ID] {
			// Of what is not listed it is not known whose it is.
			if shelves[info.ID], err = h.strays(info.ID, list); err != nil {
				return nil, err
			}
		}
		if shelves[info.ID] {
			if err := h.shelves.Finish(info.ID); err != nil {
				return nil, err
			}
		}
	}
	for _, shelf := range slices.Sorted(maps.Keys(shelves)) {
		if !shelves[shelf] {
			continue
		}
		r := &rewrite{h: h, shelf: shelf, who: who, blocks: blocks, parts: parts}
		if err := r.run(ctx, list); err != nil {
			return nil, fmt.Errorf("writing shelf %d anew: %w", shelf, err)
		}
		emptied = append(emptied, shelf)
	}
	return emptied, nil
}

// erasePacked rewrites packed rows.
func (h *History) erasePacked(ctx context.Context, who *roaring.Bitmap) error {
	var d digested
	var keys [][]byte
	err := h.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.History, []byte{keyRows}, nil, func(key, val []byte) error {
			d.reset()
			if err := h.openPacked(&d, key, val, MaxNames, MaxKeys); err != nil {
				return err
			}
			if slices.ContainsFunc(d.persons, who.Contains) {
				keys = append(keys, bytes.Clone(key))
			}
			return ctx.Err()
		})
	})
	if err != nil {
		return err
	}
	var p packer
	for _, key := range keys {
		err := h.db.Update(func(t *kv.Txn) error {
			val, err := t.Get(kv.History, key)
			if err != nil {
				return err
			}
			d.reset()
			if err := h.openPacked(&d, key, val, MaxNames, MaxKeys); err != nil {
				return err
			}
			p.rows.reset()
			for row, person := range d.persons {
				if who.Contains(person) {
					continue
				}
				p.rows.props = append(p.rows.props, d.of(row)...)
				p.rows.persons = append(p.rows.persons, person)
				p.rows.times = append(p.rows.times, d.times[row])
				p.rows.names = append(p.rows.names, d.names[row])
				p.rows.ends = append(p.rows.ends, uint32(len(p.rows.props)))
			}
			p.plain, _ = appendPacked(p.plain[:0], &p.rows, 0)
			sealed, err := h.sealPacked(&p, key)
			if err != nil {
				return err
			}
			return t.Set(kv.History, key, sealed)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// blockHolds says whether a block has rows of any of them. It passes the cache
// by, which is for questions.
func (h *History) blockHolds(ctx context.Context, b *frozen, who *roaring.Bitmap) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	people, err := h.readPeople(b)
	if err != nil {
		return false, err
	}
	for _, person := range people.Persons {
		if who.Contains(person) {
			return true, nil
		}
	}
	return false, nil
}

func (h *History) readPeople(b *frozen) (*block.People, error) {
	return readChunk(h, b, chunkPeople, func(p []byte) (*block.People, error) { return block.ReadPeople(p, b.info.Rows) })
}

func (h *History) partHolds(ctx context.Context, p *part, who *roaring.Bitmap) (bool, error) {
	has := false
	err := h.eachSet(ctx, p, func(_ block.Set, set *roaring.Bitmap) error {
		has = has || set.Intersects(who)
		return nil
	})
	return has, err
}

// eachSet reads a part's sets, a chunk at a time.
func (h *History) eachSet(ctx context.Context, p *part, fn func(block.Set, *roaring.Bitmap) error) error {
	var chunk []byte
	for i, s := range p.info.Sets {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i == 0 || s.Chunk != p.info.Sets[i-1].Chunk {
			var err error
			if chunk, err = h.openChunk(p.shelf, chunkID{p.id, uint32(s.Chunk)}); err != nil {
				return err
			}
		}
		set, err := p.setIn(chunk, s)
		if err != nil {
			return err
		}
		if err := fn(s, set); err != nil {
			return err
		}
	}
	return nil
}

// awaitUnused waits until no snapshot looks at a shelf that is not listed.
func (h *History) awaitUnused(ctx context.Context, shelf uint32) error {
	return h.await(ctx, func() bool {
		return !slices.ContainsFunc(h.old, func(l *blockList) bool { return l.uses(shelf) })
	})
}
