package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// merging makes blocks of the rows of others, which are all those of some
// neighbouring generations, or one block alone. What the rows are ordered by
// is read first; then the properties, one at a time. So it holds some 60 bytes
// a row, one property, and the new blocks as they will lie on the shelf.
type merging struct {
	h    *History
	in   []*frozen // in the order of a list
	keep func(name uint16, day int32, person uint32) bool

	people []*block.People // by block
	events [][]uint16      // by block
	rows   []mergedRow
}

// mergedRow is a row that a new block gets.
type mergedRow struct {
	time      int64
	person    uint32
	day       int32
	block     uint32 // of in
	row       uint32
	tie       uint32
	scattered bool
}

// errWide says that the values of a property are too large for a block.
var errWide = errors.New("history: the values of a block are too large")

// scatter is what part of the largest day's rows a day needs, so that its rows
// do not go to blocks of their own.
const scatter = 32

// run puts the new blocks on shelves. Of one block it makes at most one, which
// takes its place in the order.
func (m *merging) run(ctx context.Context) ([]*frozen, error) {
	if err := m.read(ctx); err != nil {
		return nil, err
	}
	return m.write(ctx)
}

// write makes the blocks of what was read.
func (m *merging) write(ctx context.Context) ([]*frozen, error) {
	if len(m.rows) == 0 {
		return nil, nil
	}
	if first, last := m.in[0], m.in[len(m.in)-1]; first.info.Generation != last.info.Generation {
		m.rank()
	}
	if len(m.in) > 1 {
		m.scatter()
		m.sort()
	}
	for most := block.MaxRows; ; most /= 2 {
		drafts, err := m.drafts(ctx, most)
		if err == nil {
			err = m.columns(ctx, drafts)
		}
		if errors.Is(err, errWide) && len(m.in) > 1 && most > 1 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return m.put(ctx, drafts)
	}
}

// read reads whose, when and what the rows are, past the cache, which is for
// questions.
func (m *merging) read(ctx context.Context) error {
	for at, b := range m.in {
		if err := m.h.breathe(ctx); err != nil {
			return err
		}
		people, err := m.h.readPeople(b)
		if err != nil {
			return err
		}
		times, err := readChunk(m.h, b, chunkTimes, func(p []byte) (block.Times, error) { return block.ReadTimes(p, people) })
		if err != nil {
			return err
		}
		events, err := readChunk(m.h, b, chunkEvents, func(p []byte) ([]uint16, error) { return block.ReadEvents(p, b.info.Rows, len(b.info.Names)) })
		if err != nil {
			return err
		}
		m.people, m.events = append(m.people, people), append(m.events, events)
		var ties []uint32
		if b.info.Ties {
			if ties, err = readChunk(m.h, b, chunkTies, func(p []byte) ([]uint32, error) { return block.ReadTies(p, b.info.Rows) }); err != nil {
				return err
			}
		}
		m.rows = slices.Grow(m.rows, b.info.Rows)
		groups := people.Groups()
		row := 0
		for _, run := range people.Runs {
			for end := row + run.Rows; row < end; row++ {
				if m.keep != nil && !m.keep(b.info.Names[events[row]].Code, run.Day, people.Persons[groups[row]]) {
					continue
				}
				r := mergedRow{time: times.At(row), person: people.Persons[groups[row]], day: run.Day, block: uint32(at), row: uint32(row)}
				if ties != nil {
					r.tie = ties[row]
				}
				m.rows = append(m.rows, r)
			}
		}
	}
	return nil
}

// whole says, after read, whether every row is kept.
func (m *merging) whole() bool {
	rows := 0
	for _, b := range m.in {
		rows += b.info.Rows
	}
	return len(m.rows) == rows
}

// readChunk reads a chunk of a block past the cache.
func readChunk[T any](h *History, b *frozen, chunk uint32, read func([]byte) (T, error)) (T, error) {
	id := chunkID{b.id, chunk}
	plain, err := h.openChunk(b.info.Shelf, id)
	if err == nil {
		var v T
		if v, err = read(plain); err == nil {
			return v, nil
		}
		err = fmt.Errorf("%w: %s: %w", ErrDamaged, id, err)
	}
	h.noticed(err)
	var none T
	return none, err
}

// rank writes the ties anew: an instant's rows were in order by generation and
// tie, and are now by tie alone.
func (m *merging) rank() {
	order := make([]uint32, len(m.rows))
	for i := range order {
		order[i] = uint32(i)
	}
	generation := func(r *mergedRow) uint64 { return m.in[r.block].info.Generation }
	slices.SortFunc(order, func(i, j uint32) int {
		a, b := &m.rows[i], &m.rows[j]
		if a.time != b.time {
			return cmp.Compare(a.time, b.time)
		}
		return cmp.Or(cmp.Compare(generation(a), generation(b)), cmp.Compare(a.tie, b.tie), cmp.Compare(a.block, b.block), cmp.Compare(a.row, b.row))
	})
	var last *mergedRow
	for _, i := range order {
		r := &m.rows[i]
		switch {
		case last == nil || last.time != r.time:
			r.tie = 0
		case last.person != r.person:
			r.tie = last.tie + 1
		default:
			r.tie = last.tie
		}
		last = r
	}
}

// scatter marks the rows of days that have few: events that came late. Apart
// from the rest, they do not have every block of a question's day opened.
func (m *merging) scatter() {
	days := make(map[int32]int)
	for i := range m.rows {
		days[m.rows[i].day]++
	}
	most := 0
	for _, n := range days {
		most = max(most, n)
	}
	for i := range m.rows {
		m.rows[i].scattered = days[m.rows[i].day] < most/scatter
	}
}

func (m *merging) sort() {
	slices.SortFunc(m.rows, func(a, b mergedRow) int {
		if a.scattered != b.scattered {
			if b.scattered {
				return -1
			}
			return 1
		}
		if x, y := event.PartitionOf(a.person), event.PartitionOf(b.person); x != y {
			return x - y
		}
		if a.day != b.day {
			return cmp.Compare(a.day, b.day)
		}
		if a.person != b.person {
			return cmp.Compare(a.person, b.person)
		}
		// The blocks are in order by generation, and so the rest is arrival.
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.block, b.block), cmp.Compare(a.row, b.row))
	})
}

// mergedDraft is a new block and the rows it is made of.
type mergedDraft struct {
	*draft
	rows []mergedRow
}

// drafts cuts the rows into blocks of at most so many, as even as partitions
// allow.
func (m *merging) drafts(ctx context.Context, most int) (out []mergedDraft, err error) {
	last := m.in[len(m.in)-1].info
	b := m.h.newBuilder(last.Generation, m.h.namesNow())
	for from := 0; from < len(m.rows); {
		if err := m.h.breathe(ctx); err != nil {
			return nil, err
		}
		to := m.cut(from, most)
		rows := m.rows[from:to]
		from = to
		b.reset()
		for i := range rows {
			r := &rows[i]
			partition := event.PartitionOf(r.person)
			if n := len(b.runs); n == 0 || b.runs[n-1].Partition != partition || b.runs[n-1].Day != r.day {
				b.runs = append(b.runs, block.Run{Partition: partition, Day: r.day})
			}
			b.runs[len(b.runs)-1].Rows++
			b.persons, b.times, b.ties = append(b.persons, r.person), append(b.times, r.time), append(b.ties, r.tie)
			b.names = append(b.names, m.in[r.block].info.Names[m.events[r.block][r.row]].Code)
		}
		b.tied = true
		d, err := b.draft()
		if err != nil {
			return nil, err
		}
		if len(m.in) == 1 {
			d.f.info.Order = last.Order
		}
		out = append(out, mergedDraft{d, rows})
	}
	return out, nil
}

// cut says where the block that begins with a row ends.
func (m *merging) cut(from, most int) int {
	end := from // of the rows that are scattered like this one
	rest := m.rows[from:]
	end += sortedUntil(rest, func(r *mergedRow) bool { return r.scattered == rest[0].scattered })
	n := end - from
	if n <= most {
		return end
	}
	aim := n / ((n + most - 1) / most)
	// Up to the end of the partition, if the block may be so large.
	partition := event.PartitionOf(m.rows[from+aim-1].person)
	to := from + aim
	for to < end && to-from < most && event.PartitionOf(m.rows[to].person) == partition {
		to++
	}
	if to-from == most {
		return from + aim
	}
	return to
}

// sortedUntil counts the rows at the beginning for which is holds.
func sortedUntil(rows []mergedRow, is func(*mergedRow) bool) int {
	lo, hi := 0, len(rows)
	for lo < hi {
		if mid := (lo + hi) / 2; is(&rows[mid]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// columns adds the properties, each read once.
func (m *merging) columns(ctx context.Context, drafts []mergedDraft) error {
	var keys []uint16
	for _, b := range m.in {
		keys = append(keys, b.info.Columns...)
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		in := make([]*block.Column, len(m.in))
		for i, b := range m.in {
			if !b.has(key) {
				continue
			}
			if err := m.h.breathe(ctx); err != nil {
				return err
			}
			c, err := readChunk(m.h, b, chunkColumns+uint32(key), func(p []byte) (*block.Column, error) { return block.ReadColumn(p, m.people[i]) })
			if err != nil {
				return err
			}
			in[i] = c
		}
		for _, d := range drafts {
			if err := m.h.breathe(ctx); err != nil {
				return err
			}
			c, bytes := gather(d.rows, in)
			if bytes > blockBytes && len(d.rows) > 1 && len(m.in) > 1 {
				return errWide
			}
			if err := d.column(key, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather makes one column of rows of several; nil where none has a value. It
// says how many bytes the rows' values take, if each is counted.
func gather(rows []mergedRow, in []*block.Column) (out *block.Column, bytes int64) {
	used := make([]bool, len(in))
	for i := range rows {
		used[rows[i].block] = true
	}
	numbers := true
	for i, c := range in {
		numbers = numbers && (!used[i] || c == nil || c.Numeric())
	}
	if numbers {
		nums, any := make([]float64, len(rows)), false
		for i := range rows {
			nums[i] = math.NaN()
			if c := in[rows[i].block]; c != nil {
				nums[i] = c.Num(int(rows[i].row))
				any = any || nums[i] == nums[i]
			}
		}
		if !any {
			return nil, 0
		}
		return &block.Column{Nums: nums}, 0
	}
	out = &block.Column{Codes: make([]uint32, len(rows))}
	codes := newCoder(out)
	mine := make([][]uint32, len(in)) // the codes of each to ours
	for i := range rows {
		r := &rows[i]
		c := in[r.block]
		if c == nil {
			continue
		}
		if c.Numeric() {
			if v := c.Num(int(r.row)); v == v {
				out.Codes[i] = codes.code(event.OfFloat(v))
			}
		} else if code := c.Code(int(r.row)); code != 0 {
			if mine[r.block] == nil {
				mine[r.block] = make([]uint32, len(c.Dict))
			}
			if mine[r.block][code-1] == 0 {
				mine[r.block][code-1] = codes.code(c.Dict[code-1])
			}
			out.Codes[i] = mine[r.block][code-1]
		}
	}
	if len(out.Dict) == 0 {
		return nil, 0
	}
	each := make([]int64, len(out.Dict))
	for i, v := range out.Dict {
		each[i] = int64(valueBytes(v))
	}
	for _, code := range out.Codes {
		if code != 0 {
			bytes += each[code-1]
		}
	}
	return narrowed(out), bytes
}

func (m *merging) put(ctx context.Context, drafts []mergedDraft) ([]*frozen, error) {
	var made []*frozen
	for _, d := range drafts {
		if err := m.h.breathe(ctx); err != nil {
			return nil, err
		}
		var err error
		if d.f.info.Shelf, err = m.h.putChunks(d.chunks); err != nil {
			return nil, fmt.Errorf("putting block %d on a shelf: %w", d.f.id, err)
		}
		d.chunks = nil
		made = append(made, d.f)
	}
	return made, nil
}
