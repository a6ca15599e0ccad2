package history

import (
	"context"
	"slices"

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

	gone     [][]byte // keys of the list
	made     []*frozen
	newParts []*part
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
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.blocks[b.id] {
		// As it is: its seal is bound to its number, not to its shelf.
		shelf, err := r.copy(b.id, b.chunks())
		if err != nil {
			return err
		}
		info := *b.info
		info.Shelf = shelf
		r.gone = append(r.gone, listKey(keyBlock, b.id))
		r.made = append(r.made, &frozen{id: b.id, info: &info, names: b.names})
		return nil
	}
	to := r.h.newBuilder(b.info.Generation, r.h.namesNow())
	row := 0
	for _, s := range b.info.Slices {
		rows, err := r.h.readSorted(b, s.Partition, row, row+s.Rows, func(person uint32) bool { return !r.who.Contains(person) })
		if err != nil {
			return err
		}
		row += s.Rows
		if len(rows.persons) > 0 {
			if err := to.add(ctx, rows); err != nil {
				return err
			}
		}
	}
	if err := to.flush(ctx); err != nil {
		return err
	}
	r.gone = append(r.gone, listKey(keyBlock, b.id))
	r.made = append(r.made, to.made...)
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
	r.gone = append(r.gone, listKey(keyDays, p.id))
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
		r.newParts = append(r.newParts, &part{id: p.id, shelf: shelf, info: p.info, whole: p.whole})
		return nil
	}
	var sets setsBuilder
	err := h.eachSet(ctx, p, func(s block.Set, set *roaring.Bitmap) error {
		set.AndNot(r.who)
		if !set.IsEmpty() {
			sets.put(s.Name, s.Day, set.ToArray())
		}
		return nil
	})
	if err != nil || len(sets.by) == 0 {
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
	if len(r.gone) == 0 {
		return nil
	}
	h := r.h
	err := h.db.Update(func(t *kv.Txn) error {
		for _, key := range r.gone {
			if err := t.Delete(kv.History, key); err != nil {
				return err
			}
		}
		if err := h.enlist(t, r.made, r.newParts); err != nil {
			return err
		}
		return h.writeCounts(t, counts{})
	})
	if err != nil {
		return err
	}
	gone := make(map[uint64]bool)
	for _, key := range r.gone {
		id, err := idOf(key)
		if err != nil {
			return err
		}
		gone[id] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.view.list
	blocks := slices.DeleteFunc(slices.Clone(old.blocks), func(b *frozen) bool { return gone[b.id] })
	parts := slices.DeleteFunc(slices.Clone(old.parts), func(p *part) bool { return gone[p.id] })
	h.relist(append(blocks, r.made...), append(parts, r.newParts...))
	r.gone, r.made, r.newParts = nil, nil, nil
	return nil
}

// readSorted reads rows from to to of a block, which are one partition's, and
// keeps those of persons that keep says.
func (h *History) readSorted(b *frozen, partition, from, to int, keep func(person uint32) bool) (*sorted, error) {
	people, err := h.people(b)
	if err != nil {
		return nil, err
	}
	times, err := h.times(b, people)
	if err != nil {
		return nil, err
	}
	events, err := h.events(b)
	if err != nil {
		return nil, err
	}
	ties, err := h.ties(b)
	if err != nil {
		return nil, err
	}
	s := &sorted{partition: partition, columns: make(map[uint16]*block.Column)}
	var kept []int
	row := 0
	for _, run := range people.Runs {
		for end := row + run.Rows; row < end; row++ {
			if row < from || row >= to || !keep(people.Person(row)) {
				continue
			}
			kept = append(kept, row)
			s.days = append(s.days, run.Day)
			s.persons = append(s.persons, people.Person(row))
			s.times = append(s.times, times.At(row))
			s.names = append(s.names, b.info.Names[events[row]].Code)
			if ties != nil {
				s.ties = append(s.ties, ties[row])
			}
		}
	}
	for _, key := range b.info.Columns {
		c, err := h.property(b, key)
		if err != nil {
			return nil, err
		}
		out := &block.Column{Dict: c.Dict}
		for _, row := range kept {
			if c.Numeric() {
				out.Nums = append(out.Nums, c.Num(row))
			} else {
				out.Codes = append(out.Codes, c.Code(row))
			}
		}
		s.columns[key] = out
	}
	return s, nil
}
