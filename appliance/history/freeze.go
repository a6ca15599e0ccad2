package history

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Freeze turns what was committed so far into blocks, whatever its size, and
// returns when it is done, or ctx is. Rows that were appended and are not
// committed yet are waited for.
func (h *History) Freeze(ctx context.Context) error {
	upTo := h.begin()
	err := h.await(ctx, func() bool { return h.heads[0].gen > upTo })
	if err != nil {
		return fmt.Errorf("waiting for freezing: %w", err)
	}
	return nil
}

// freeze turns a head that takes no more rows into blocks: chunks on shelves
// first, then one transaction that lists them and removes the packed rows.
// After an error nothing has changed but chunks that no list names.
func (h *History) freeze(ctx context.Context, hd *head) error {
	made, parts, err := h.freezeRows(ctx, hd)
	if err != nil {
		return fmt.Errorf("freezing generation %d: %w", hd.gen, err)
	}
	err = h.db.Update(func(t *kv.Txn) error {
		if err := h.enlist(t, made, parts); err != nil {
			return err
		}
		if err := h.writeCounts(t, counts{frozen: hd.gen}); err != nil {
			return err
		}
		for pack := range hd.packs {
			if err := t.Delete(kv.History, rowsKey(hd.gen, pack)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the blocks of generation %d: %w", hd.gen, err)
	}
	list := h.listNow()
	h.relist(slices.Concat(list.blocks, made), slices.Concat(list.parts, parts), hd)
	h.weigh()
	return nil
}

// freezeRows puts a head's rows on shelves.
func (h *History) freezeRows(ctx context.Context, hd *head) ([]*frozen, []*part, error) {
	if hd.rows == 0 {
		return nil, nil, nil
	}
	ranks := hd.ranks()
	cal := newCalendar(h.o.Location)
	b := h.newBuilder(hd.gen, h.namesNow())
	var sets setsBuilder
	for partition := range event.Partitions {
		if len(hd.parts[partition].persons) == 0 {
			continue
		}
		s := hd.sorted(partition, ranks[partition], hd.erased, cal)
		for row, person := range s.persons {
			sets.add(s.names[row], s.days[row], person)
		}
		if err := b.add(ctx, s); err != nil {
			return nil, nil, err
		}
	}
	if err := b.flush(ctx); err != nil {
		return nil, nil, err
	}
	seen := roaring.New()
	for _, p := range hd.seen.list {
		name, key := unpair(p)
		seen.Add(uint32(name)*block.SeenKeys + uint32(key))
	}
	if len(b.made) == 0 {
		return nil, nil, nil
	}
	w, err := sets.write()
	if err != nil {
		return nil, nil, err
	}
	p, err := h.putPart(hd.gen, w, seen)
	if err != nil {
		return nil, nil, fmt.Errorf("putting the people by day on a shelf: %w", err)
	}
	return b.made, []*part{p}, nil
}

// putPart puts sets of people on a shelf.
func (h *History) putPart(gen uint64, sets *setsWriter, seen *roaring.Bitmap) (*part, error) {
	chunks := sets.done()
	p := newPart(h.newID(), &block.Part{Generation: gen, Chunks: len(chunks), Sets: sets.dir, Seen: seen})
	whole, err := p.info.Append(nil)
	if err != nil {
		return nil, err
	}
	var batch []kv.KV
	add := func(chunk uint32, plain []byte) error {
		pair, err := h.sealChunk(chunkID{p.id, chunk}, plain)
		batch = append(batch, pair)
		return err
	}
	for i, plain := range chunks {
		if err := add(uint32(i), plain); err != nil {
			return nil, err
		}
	}
	if p.whole = len(whole) > maxInline; p.whole {
		if err := add(chunkWhole, whole); err != nil {
			return nil, err
		}
	}
	p.shelf, err = h.putChunks(batch)
	return p, err
}

// sorted orders a partition's rows by day, person, time and arrival, without
// those of persons who were erased.
func (h *head) sorted(partition int, ranks []uint32, erased *roaring.Bitmap, cal *calendar) *sorted {
	p := &h.parts[partition]
	n, all := 0, len(p.persons)
	// day above person: both fit, since days are int32.
	type place struct {
		group uint64
		time  int64
		row   uint32
	}
	order := make([]place, 0, all)
	for i, t := range p.times {
		if erased != nil && erased.Contains(p.persons[i]) {
			continue
		}
		day := uint32(cal.of(t)) ^ 1<<31 // so that days before 1970 come first
		order = append(order, place{uint64(day)<<32 | uint64(p.persons[i]), t, uint32(i)})
	}
	n = len(order)
	slices.SortFunc(order, func(a, b place) int {
		switch {
		case a.group != b.group:
			if a.group < b.group {
				return -1
			}
			return 1
		case a.time != b.time:
			if a.time < b.time {
				return -1
			}
			return 1
		}
		return int(a.row) - int(b.row)
	})
	s := &sorted{
		partition: partition, days: make([]int32, n), persons: make([]uint32, n), times: make([]int64, n), names: make([]uint16, n),
		columns: make(map[uint16]*block.Column),
	}
	if ranks != nil {
		s.ties = make([]uint32, n)
	}
	for i, o := range order {
		s.days[i] = int32(uint32(o.group>>32) ^ 1<<31)
		s.persons[i], s.times[i], s.names[i] = p.persons[o.row], o.time, p.events[o.row]
		if ranks != nil {
			s.ties[i] = ranks[o.row]
		}
	}
	for key := range p.columns {
		c := h.column(partition, key, all)
		if c == nil {
			continue
		}
		out := &block.Column{Dict: c.Dict}
		if c.Nums != nil {
			out.Nums = make([]float64, n)
			for i, o := range order {
				out.Nums[i] = c.Nums[o.row]
			}
		} else {
			out.Codes = make([]uint32, n)
			for i, o := range order {
				out.Codes[i] = c.Codes[o.row]
			}
		}
		s.columns[uint16(key)] = out
	}
	return s
}

// ranks gives, by partition and row, the order of arrival among rows of one
// instant: 0 for the first person's, one more each time another person's
// follows. A partition of nothing but 0 is nil. Full numbers of arrival would
// cost as many bytes as all the rest of a row, and nobody but merged persons
// has a use for either.
func (h *head) ranks() (out [event.Partitions][]uint32) {
	type arrival struct {
		time   int64
		person uint32
		rank   uint32
	}
	rows := make([]arrival, h.rows)
	for p := range h.parts {
		part := &h.parts[p]
		for i, seq := range part.ties {
			rows[seq] = arrival{time: part.times[i], person: part.persons[i]}
		}
	}
	// An open hash table of the instants, the last arrival of each.
	size := 1 << bits.Len(uint(2*h.rows))
	table := make([]uint32, size) // place in rows, from 1
	shift := 64 - bits.TrailingZeros(uint(size))
	any := false
	for i := range rows {
		r := &rows[i]
		at := uint64(r.time) * 0x9e3779b97f4a7c15 >> shift
		for table[at] != 0 && rows[table[at]-1].time != r.time {
			at = (at + 1) & uint64(size-1)
		}
		if table[at] != 0 {
			last := &rows[table[at]-1]
			r.rank = last.rank
			if last.person != r.person {
				r.rank++
				any = true
			}
		}
		table[at] = uint32(i) + 1
	}
	if !any {
		return out
	}
	for p := range h.parts {
		part := &h.parts[p]
		ranks := make([]uint32, len(part.ties))
		any := uint32(0)
		for i, seq := range part.ties {
			ranks[i] = rows[seq].rank
			any |= ranks[i]
		}
		if any != 0 {
			out[p] = ranks
		}
	}
	return out
}
