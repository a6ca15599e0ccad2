package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// deadBytes is how much that is not listed a shelf must hold at least, to be
// rewritten for it.
const deadBytes = 4 << 20

// tidyShelves removes a shelf on which nothing is listed, or rewrites one on
// which as much is dead as alive, and says whether there was any. The caller
// holds busy, so that all that is put is listed.
func (h *History) tidyShelves(ctx context.Context, list *blockList) (did bool, err error) {
	alive := list.alive()
	spoiled := func(shelf uint32) bool {
		return slices.ContainsFunc(list.blocks, func(b *frozen) bool { return b.info.Shelf == shelf && h.spoiled[b.id] }) ||
			slices.ContainsFunc(list.parts, func(p *part) bool { return p.shelf == shelf && h.spoiled[p.id] })
	}
	for _, shelf := range h.shelves.List() {
		bytes, listed := alive[shelf.ID]
		dead := shelf.Bytes - bytes
		switch {
		case !listed && shelf.Closed:
			if h.o.Emptied != nil {
				if !h.told[shelf.ID] {
					h.told[shelf.ID] = true
					h.o.Emptied()
				}
				continue
			}
			if h.inUse(shelf.ID) {
				continue
			}
			if err := h.shelves.Remove(shelf.ID); err != nil && !errors.Is(err, kv.ErrNotFound) {
				return false, err
			}
		case dead < deadBytes || dead < bytes || spoiled(shelf.ID):
			continue
		default:
			if err := h.empty(ctx, shelf.ID, list); err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return false, nil
}

// alive says, by shelf, about how many bytes of it are listed.
func (l *blockList) alive() map[uint32]int64 {
	out := make(map[uint32]int64)
	for _, b := range l.blocks {
		out[b.info.Shelf] += b.info.Bytes
	}
	for _, p := range l.parts {
		out[p.shelf] += p.bytes()
	}
	return out
}

// empty moves what is listed on a shelf to others.
func (h *History) empty(ctx context.Context, shelf uint32, list *blockList) error {
	if err := h.shelves.Finish(shelf); err != nil {
		return err
	}
	r := &rewrite{h: h, shelf: shelf}
	if err := r.run(ctx, list); err != nil {
		h.spoil(r.at, err)
		return fmt.Errorf("emptying shelf %d: %w", shelf, err)
	}
	return nil
}

// inUse says whether a snapshot may still look at a shelf.
func (h *History) inUse(shelf uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.view.list.uses(shelf) || slices.ContainsFunc(h.old, func(l *blockList) bool { return l.uses(shelf) })
}

// Emptied lists the shelves that nothing is listed on any more. A copy of db
// that is begun afterwards does not name them.
func (h *History) Emptied() (out []uint32) {
	h.busy.Lock()
	defer h.busy.Unlock()
	list := h.listNow()
	for _, shelf := range h.shelves.List() {
		if shelf.Closed && !list.uses(shelf.ID) {
			out = append(out, shelf.ID)
		}
	}
	return out
}

// RemoveEmptied removes shelves that Emptied gave, as soon as no snapshot looks
// at them any more. It is for who keeps copies of db, which name shelves, and
// knows that none names these (Options.Emptied).
func (h *History) RemoveEmptied(ctx context.Context, shelves []uint32) error {
	for _, shelf := range shelves {
		if err := h.awaitUnused(ctx, shelf); err != nil {
			return fmt.Errorf("waiting for questions that read shelf %d: %w", shelf, err)
		}
		if err := h.shelves.Remove(shelf); err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
	}
	return nil
}

// strays says whether a shelf holds chunks that no list names: of blocks that
// were merged, or left by a crash.
func (h *History) strays(shelf uint32, list *blockList) (has bool, err error) {
	listed := make(map[uint64]bool)
	for _, b := range list.blocks {
		if b.info.Shelf == shelf {
			listed[b.id] = true
		}
	}
	for _, p := range list.parts {
		if p.shelf == shelf {
			listed[p.id] = true
		}
	}
	err = h.shelves.Keys(shelf, func(key []byte) error {
		if owner, ok := ownerOf(key); ok && !listed[owner] {
			has = true
			return kv.ErrStop
		}
		return nil
	})
	return has, err
}
