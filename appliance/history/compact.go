package history

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// What is merged when (DESIGN.md, Compaction).
const (
	// fan is how many small runs, or parts of a size, become one.
	fan = 8
	// A run below smallRun is small; one of fullRun and more stays as it is.
	smallRun = 256 << 10
	fullRun  = 1 << 20
	// runBytes on a shelf weigh as much as one row, so that rows that are wide
	// make runs of fewer of them.
	runBytes = 32
	// A part of so many bytes or sets stays as it is.
	fullPart     = 8 << 20
	fullPartSets = 128 << 10
)

// run is the blocks of one generation, or of neighbours that were merged: what
// is merged as a whole, since ties are comparable only within.
type run struct {
	blocks []*frozen
	weight int64 // in rows
}

// runs are those of a list, oldest first. What is damaged weighs so much that
// it stays as it is. The caller holds busy.
func (h *History) runs(l *blockList) (out []run) {
	for i, b := range l.blocks {
		if i == 0 || b.info.Generation != l.blocks[i-1].info.Generation {
			out = append(out, run{})
		}
		r := &out[len(out)-1]
		r.blocks = append(r.blocks, b)
		r.weight += max(int64(b.info.Rows), b.info.Bytes/runBytes)
		if h.spoiled[b.id] {
			r.weight += fullRun
		}
	}
	return out
}

// mergeable picks neighbouring runs that should become one; nil if there are
// none. Those that are small are merged once they are fan or make one that is
// not; those that are not full, once they make one that is. With all, any two
// that are not full.
func mergeable(runs []run, all bool) []*frozen {
	pick := func(below int64, count int) []*frozen {
		for from := 0; from < len(runs); {
			to, weight := from, int64(0)
			for to < len(runs) && runs[to].weight < below && weight < below && to-from < count {
				weight += runs[to].weight
				to++
			}
			if n := to - from; n > 1 && (weight >= below || n == count || all) {
				var out []*frozen
				for _, r := range runs[from:to] {
					out = append(out, r.blocks...)
				}
				return out
			}
			from++
		}
		return nil
	}
	if small := pick(smallRun, fan); small != nil {
		return small
	}
	return pick(fullRun, len(runs)+1)
}

// bytes is about what a part's sets take on their shelf.
func (p *part) bytes() (sum int64) {
	for i := range p.info.Sets {
		sum += int64(p.info.Sets[i].Length)
	}
	return sum
}

// mergeableParts picks parts of about one size that should become one.
func mergeableParts(parts []*part, all bool) []*part {
	classes := make(map[int][]*part)
	for _, p := range parts {
		size := p.bytes()
		if size >= fullPart || len(p.info.Sets) >= fullPartSets {
			continue
		}
		class := bits.Len64(uint64(size)) / 3 // powers of 8
		if all {
			class = 0
		}
		classes[class] = append(classes[class], p)
		if n := len(classes[class]); n == fan || all && n == 2 {
			return classes[class]
		}
	}
	return nil
}

// Compact merges and cleans up now, until nothing is left that could be, also
// what the worker lets grow a while. It does not freeze: see Freeze.
func (h *History) Compact(ctx context.Context) error {
	for {
		did, err := h.tidy(ctx, true)
		if err != nil {
			return fmt.Errorf("compacting: %w", err)
		}
		if !did {
			return nil
		}
	}
}

// tidy does one piece of what there is to clean up, and says whether there was
// any. After an error nothing has changed but chunks that no list names.
func (h *History) tidy(ctx context.Context, all bool) (did bool, err error) {
	h.busy.Lock()
	defer h.busy.Unlock()
	if err := h.breathe(ctx); err != nil {
		return false, err
	}
	list := h.listNow()
	if in := mergeable(h.runs(list), all); in != nil {
		err := h.mergeBlocks(ctx, in)
		for _, b := range in {
			h.spoil(b.id, err)
		}
		return true, err
	}
	sound := slices.DeleteFunc(slices.Clone(list.parts), func(p *part) bool { return h.spoiled[p.id] })
	if in := mergeableParts(sound, all); in != nil {
		err := h.mergeParts(ctx, in)
		for _, p := range in {
			h.spoil(p.id, err)
		}
		return true, err
	}
	return h.tidyShelves(ctx, list)
}

// spoil leaves a block or part alone from now on, until the next Open, if the
// work with it met damage: the rest is to go on.
func (h *History) spoil(id uint64, err error) {
	if errors.Is(err, ErrDamaged) {
		h.spoiled[id] = true
	}
}

// listNow is the newest list. It stays that while busy is held, but for what
// breathe freezes.
func (h *History) listNow() *blockList {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.view.list
}

// breathe is called between steps of long work by who holds busy: heads that
// wait to be frozen go first, so that Append does not wait for the work.
func (h *History) breathe(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h.mu.Lock()
		var hd *head
		if len(h.heads) > 1 {
			hd = h.heads[0]
		}
		closed := h.closed
		h.mu.Unlock()
		if closed {
			return ErrClosed
		}
		if hd == nil {
			return nil
		}
		if err := h.freeze(ctx, hd); err != nil {
			return err
		}
	}
}

func (h *History) mergeBlocks(ctx context.Context, in []*frozen) error {
	m := &merging{h: h, in: in}
	made, err := m.run(ctx)
	if err == nil {
		err = h.apply(change{gone: in, made: made})
	}
	if err != nil {
		return fmt.Errorf("merging generations %d to %d: %w", in[0].info.Generation, in[len(in)-1].info.Generation, err)
	}
	h.merged(in, made)
	return nil
}

// merged logs a merge.
func (h *History) merged(in, made []*frozen) {
	rows, bytes := 0, int64(0)
	for _, b := range made {
		rows += b.info.Rows
		bytes += b.info.Bytes
	}
	h.o.Logger.Debug("merged blocks", "blocks", len(in), "into", len(made), "rows", rows, "bytes", bytes)
}

// mergeParts makes one part of several, set by set.
func (h *History) mergeParts(ctx context.Context, in []*part) error {
	var sets setsWriter
	seen := roaring.New()
	generation := uint64(0)
	readers := make([]*setReader, len(in))
	for i, p := range in {
		readers[i] = &setReader{h: h, p: p}
		seen.Or(p.info.Seen)
		generation = max(generation, p.info.Generation)
	}
	for {
		if err := h.breathe(ctx); err != nil {
			return err
		}
		var next *block.Set
		for _, r := range readers {
			if s := r.peek(); s != nil && (next == nil || s.Name < next.Name || s.Name == next.Name && s.Day < next.Day) {
				next = s
			}
		}
		if next == nil {
			break
		}
		all := roaring.New()
		for _, r := range readers {
			if s := r.peek(); s == nil || s.Name != next.Name || s.Day != next.Day {
				continue
			}
			set, err := r.read()
			if err != nil {
				return fmt.Errorf("merging people by day: %w", err)
			}
			all.Or(set)
		}
		if err := sets.add(next.Name, next.Day, all); err != nil {
			return err
		}
	}
	made, err := h.putPart(generation, &sets, seen)
	if err == nil {
		err = h.apply(change{goneParts: in, parts: []*part{made}})
	}
	if err != nil {
		return fmt.Errorf("merging people by day: %w", err)
	}
	return nil
}

// setReader reads a part's sets in order.
type setReader struct {
	h     *History
	p     *part
	at    int
	chunk []byte
}

// peek is the next set; nil at the end.
func (r *setReader) peek() *block.Set {
	if r.at == len(r.p.info.Sets) {
		return nil
	}
	return &r.p.info.Sets[r.at]
}

func (r *setReader) read() (*roaring.Bitmap, error) {
	s := r.p.info.Sets[r.at]
	if r.at == 0 || s.Chunk != r.p.info.Sets[r.at-1].Chunk {
		var err error
		if r.chunk, err = r.h.openChunk(r.p.shelf, chunkID{r.p.id, uint32(s.Chunk)}); err != nil {
			return nil, err
		}
	}
	r.at++
	return r.p.setIn(r.chunk, s)
}

// change is what takes the place of what on the list, all of it or nothing.
type change struct {
	gone      []*frozen
	made      []*frozen
	goneParts []*part
	parts     []*part
}

// changesAtOnce bounds the descriptions that one transaction writes; a merge
// is one change, and below it by what a run may weigh.
const changesAtOnce = 64

// apply carries changes out and shows them to the next snapshot, all together.
// They are one transaction where they are as few as changesAtOnce. After an
// error those that are on disk are shown. The caller holds busy.
func (h *History) apply(changes ...change) error {
	var done []change
	var err error
	for from := 0; from < len(changes) && err == nil; {
		to, writes := from, 0
		for to < len(changes) && (to == from || writes < changesAtOnce && to-from < 8*changesAtOnce) {
			writes += len(changes[to].made) + len(changes[to].parts)
			to++
		}
		if err = h.db.Update(func(t *kv.Txn) error { return h.writeChanges(t, changes[from:to]) }); err == nil {
			done = changes[:to]
		}
		from = to
	}
	if len(done) == 0 {
		return err
	}
	gone := make(map[any]bool)
	list := h.listNow()
	blocks, parts := slices.Clone(list.blocks), slices.Clone(list.parts)
	for _, c := range done {
		for _, b := range c.gone {
			gone[b] = true
		}
		for _, p := range c.goneParts {
			gone[p] = true
		}
		blocks, parts = append(blocks, c.made...), append(parts, c.parts...)
	}
	blocks = slices.DeleteFunc(blocks, func(b *frozen) bool { return gone[b] })
	parts = slices.DeleteFunc(parts, func(p *part) bool { return gone[p] })
	h.relist(blocks, parts, nil)
	return err
}

func (h *History) writeChanges(t *kv.Txn, changes []change) error {
	for _, c := range changes {
		for _, b := range c.gone {
			if err := t.Delete(kv.History, listKey(keyBlock, b.id)); err != nil {
				return err
			}
		}
		for _, p := range c.goneParts {
			if err := t.Delete(kv.History, listKey(keyDays, p.id)); err != nil {
				return err
			}
		}
		if err := h.enlist(t, c.made, c.parts); err != nil {
			return err
		}
	}
	return h.writeCounts(t, counts{})
}
