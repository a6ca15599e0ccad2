package history

import (
	"context"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// rewrite moves all that is listed on one shelf to others: blocks and parts
// with persons who are erased without them, the rest as it is.
type rewrite struct {
	h      *History
	shelf  uint32
	who    *roaring.Bitmap
	blocks map[uint64]bool // those that hold them
	parts  map[uint64]bool
	at     uint64 // which it works on

	gone      []*frozen
	made      []*frozen
	goneParts []*part
	newParts  []*part
}

// rewriteBlocks is how many blocks move in one transaction.
const rewriteBlocks = 64

func (r *rewrite) run(ctx context.Context, l *blockList) error {
	for _, b := range l.blocks {
		if b.info.Shelf != r.shelf {
			continue
		}
		if err := r.block(ctx, b); err != nil {
			return err
		}
		if len(r.gone) >= rewriteBlocks {
			if err := r.commit(); err != nil {
				return err
			}
		}
	}
	for _, p := range l.parts {
		if p.shelf != r.shelf {
			continue
		}
		if err := r.part(ctx, p); err != nil {
			return err
		}
		if err := r.commit(); err != nil {
			return err
		}
	}
	return r.commit()
}

func (r *rewrite) block(ctx context.Context, b *frozen) error {
	if err := r.h.breathe(ctx); err != nil {
		return err
	}
	r.at = b.id
	var made []*frozen
	if r.blocks[b.id] {
		m := &merging{h: r.h, in: []*frozen{b}, keep: func(_ uint16, _ int32, person uint32) bool { return !r.who.Contains(person) }}
		var err error
		if made, err = m.run(ctx); err != nil {
			return err
		}
	} else {
		// As it is: its seal is bound to its number, not to its shelf.
		shelf, err := r.copy(b.id, b.chunks())
		if err != nil {
			return err
		}
		info := *b.info
		info.Shelf = shelf
		made = []*frozen{{id: b.id, info: &info, names: b.names}}
	}
	r.gone, r.made = append(r.gone, b), append(r.made, made...)
	return nil
}

// chunks lists the chunks of a block.
func (b *frozen) chunks() []uint32 {
	out := []uint32{chunkPeople, chunkTimes, chunkEvents}
	if b.info.Ties {
		out = append(out, chunkTies)
	}
	for _, key := range b.info.Columns {
		out = append(out, chunkColumns+uint32(key))
	}
	return out
}

// copy puts chunks of the shelf on another one, sealed as they are.
func (r *rewrite) copy(owner uint64, chunks []uint32) (uint32, error) {
	var batch []kv.KV
	for _, c := range chunks {
		id := chunkID{owner, c}
		// Opened only to be sure that no damage is carried on.
		if _, err := r.h.openChunk(r.shelf, id); err != nil {
			return 0, err
		}
		sealed, err := r.h.shelves.Get(r.shelf, id.key())
		if err != nil {
			return 0, err
		}
		batch = append(batch, kv.KV{Key: id.key(), Value: sealed})
	}
	return r.h.putChunks(batch)
}

func (r *rewrite) part(ctx context.Context, p *part) error {
	h := r.h
	if err := h.breathe(ctx); err != nil {
		return err
	}
	r.at = p.id
	r.goneParts = append(r.goneParts, p)
	if !r.parts[p.id] {
		chunks := make([]uint32, p.info.Chunks)
		for i := range chunks {
			chunks[i] = uint32(i)
		}
		if p.whole {
			chunks = append(chunks, chunkWhole)
		}
		shelf, err := r.copy(p.id, chunks)
		if err != nil {
			return err
		}
		moved := newPart(p.id, p.info)
		moved.shelf, moved.whole = shelf, p.whole
		r.newParts = append(r.newParts, moved)
		return nil
	}
	var sets setsWriter
	err := h.eachSet(ctx, p, func(s block.Set, set *roaring.Bitmap) error {
		if set.AndNot(r.who); set.IsEmpty() {
			return nil
		}
		return sets.add(s.Name, s.Day, set)
	})
	if err != nil || len(sets.dir) == 0 {
		return err
	}
	made, err := h.putPart(p.info.Generation, &sets, p.info.Seen)
	if err == nil {
		r.newParts = append(r.newParts, made)
	}
	return err
}

// commit lists what was moved in place of what was there.
func (r *rewrite) commit() error {
	if len(r.gone) == 0 && len(r.goneParts) == 0 {
		return nil
	}
	if err := r.h.replace(r.gone, r.made, r.goneParts, r.newParts); err != nil {
		return err
	}
	r.gone, r.made, r.goneParts, r.newParts = nil, nil, nil, nil
	return nil
}
