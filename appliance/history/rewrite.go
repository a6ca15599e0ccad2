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

	changes []change // that are not applied yet
}

func (r *rewrite) run(ctx context.Context, l *blockList) error {
	for _, b := range l.blocks {
		if b.info.Shelf != r.shelf {
			continue
		}
		if err := r.block(ctx, b); err != nil {
			return err
		}
		if len(r.changes) == changesAtOnce {
			if err := r.apply(); err != nil {
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
	}
	return r.apply()
}

func (r *rewrite) apply() error {
	err := r.h.apply(r.changes...)
	r.changes = nil
	return err
}

func (r *rewrite) block(ctx context.Context, b *frozen) error {
	if err := r.h.breathe(ctx); err != nil {
		return err
	}
	r.at = b.id
	c := change{gone: []*frozen{b}}
	var err error
	if r.blocks[b.id] {
		m := &merging{h: r.h, in: c.gone, keep: func(_ uint16, _ int32, person uint32) bool { return !r.who.Contains(person) }}
		c.made, err = m.run(ctx)
	} else {
		// As it is: its seal is bound to its number, not to its shelf.
		info := *b.info
		info.Shelf, err = r.copy(b.id, b.chunks())
		c.made = []*frozen{{id: b.id, info: &info, names: b.names}}
	}
	if err == nil {
		r.changes = append(r.changes, c)
	}
	return err
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
	c := change{goneParts: []*part{p}}
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
		c.parts = []*part{moved}
		r.changes = append(r.changes, c)
		return nil
	}
	var err error
	if c.parts, err = h.sift(ctx, p, func(_ block.Set, set *roaring.Bitmap) { set.AndNot(r.who) }); err == nil {
		r.changes = append(r.changes, c)
	}
	return err
}

// sift makes a part of what leave leaves of each of its sets; none if that is
// nothing.
func (h *History) sift(ctx context.Context, p *part, leave func(block.Set, *roaring.Bitmap)) ([]*part, error) {
	var sets setsWriter
	names := make(map[uint16]bool)
	err := h.eachSet(ctx, p, func(s block.Set, set *roaring.Bitmap) error {
		if leave(s, set); set.IsEmpty() {
			return nil
		}
		names[s.Name] = true
		return sets.add(s.Name, s.Day, set)
	})
	if err != nil || len(sets.dir) == 0 {
		return nil, err
	}
	seen := roaring.New()
	for it := p.info.Seen.Iterator(); it.HasNext(); {
		if v := it.Next(); names[uint16(v/block.SeenKeys)] {
			seen.Add(v)
		}
	}
	made, err := h.putPart(p.info.Generation, &sets, seen)
	if err != nil {
		return nil, err
	}
	return []*part{made}, nil
}
