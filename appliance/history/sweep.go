package history

import (
	"bytes"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// listed says, by shelf, whose chunks lie there for any of the lists that
// somebody may look at.
func (h *History) listed() map[uint32]map[uint64]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[uint32]map[uint64]bool)
	add := func(shelf uint32, id uint64) {
		if out[shelf] == nil {
			out[shelf] = make(map[uint64]bool)
		}
		out[shelf][id] = true
	}
	for _, l := range append(h.old[:len(h.old):len(h.old)], h.view.list) {
		for _, b := range l.blocks {
			add(b.info.Shelf, b.id)
		}
		for _, p := range l.parts {
			add(p.shelf, p.id)
		}
	}
	return out
}

// sweep removes, at Open, chunks that no list names: a crash came between
// their writing and their listing.
func (h *History) sweep() error {
	listed := h.listed()
	swept := h.counts.swept
	whole := true // all shelves so far are closed, and so nothing more comes to them
	for _, info := range h.shelves.List() {
		if info.ID < h.counts.swept && len(listed[info.ID]) > 0 {
			continue
		}
		if err := h.sweepShelf(info, listed[info.ID]); err != nil {
			return err
		}
		whole = whole && info.Closed
		if whole {
			swept = info.ID + 1
		}
	}
	h.counts.swept = swept // on disk with the next list: until then it costs time only
	return nil
}

func (h *History) sweepShelf(info kv.ShelfInfo, listed map[uint64]bool) error {
	if len(listed) == 0 {
		return h.shelves.Remove(info.ID)
	}
	var stray [][]byte
	err := h.shelves.Keys(info.ID, func(key []byte) error {
		if owner, ok := ownerOf(key); ok && !listed[owner] {
			stray = append(stray, bytes.Clone(key))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for chunks that are not listed on shelf %d: %w", info.ID, err)
	}
	if len(stray) == 0 {
		return nil
	}
	return h.shelves.DeleteKeys(info.ID, stray)
}
