package history

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// A block is closed between a partition and the next once it has blockRows,
// or within one where it would pass block.MaxRows, or where the values of its
// rows would take more than blockBytes.
const (
	blockRows  = 32 << 10
	blockBytes = 12 << 20
)

// sorted are rows of one partition in the order of a block.
type sorted struct {
	partition int
	days      []int32
	persons   []uint32
	times     []int64
	names     []uint16 // numbers of the vocabulary
	ties      []uint32 // nil = all 0
	columns   map[uint16]*block.Column
}

// builder turns sorted rows, partition by partition, into blocks on shelves.
// They are of no account until a transaction lists them.
type builder struct {
	h   *History
	gen uint64
	all []string // the vocabulary's names

	runs    []block.Run
	persons []uint32
	times   []int64
	names   []uint16
	ties    []uint32
	columns map[uint16][]segment
	weight  int64
	tied    bool

	made []*frozen
}

// segment is a property of some rows of a block, from one on.
type segment struct {
	from   int
	column *block.Column
}

func (h *History) newBuilder(gen uint64, names []string) *builder {
	return &builder{h: h, gen: gen, all: names, columns: make(map[uint16][]segment)}
}

// add takes one partition's rows.
func (b *builder) add(ctx context.Context, s *sorted) error {
	weights, most := s.weights()
	for from := 0; from < len(s.persons); {
		if len(b.persons) >= blockRows && len(b.persons)+len(s.persons)-from > block.MaxRows {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		to := min(len(s.persons), from+block.MaxRows-len(b.persons))
		if weights == nil {
			b.weight += most
		} else {
			to = from + b.fit(weights[from:to])
		}
		if to > from {
			b.take(s, from, to)
		}
		if to < len(s.persons) || b.weight > blockBytes/2 {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		from = to
	}
	if len(b.persons) >= block.MaxRows-blockRows/2 {
		return b.flush(ctx)
	}
	return nil
}

// fit says how many more rows the block takes by weight; a row alone always.
func (b *builder) fit(weights []int64) int {
	for i, w := range weights {
		if b.weight+w > blockBytes && (i > 0 || len(b.persons) > 0) {
			return i
		}
		b.weight += w
	}
	return len(weights)
}

// weights gives about how many bytes each row's largest value takes, or nil
// where all rows together cannot take more than most, which is little.
func (s *sorted) weights() (weights []int64, most int64) {
	sizes := make(map[uint16][]int64)
	for key, c := range s.columns {
		if c.Nums != nil {
			continue
		}
		each := make([]int64, len(c.Dict))
		top := int64(0)
		for i := range c.Dict {
			each[i] = int64(valueBytes(c.Dict[i]))
			top = max(top, each[i])
		}
		sizes[key] = each
		most = max(most, top*int64(len(c.Codes)))
	}
	if most <= blockBytes/4 {
		return nil, most
	}
	weights = make([]int64, len(s.persons))
	for key, each := range sizes {
		for row, code := range s.columns[key].Codes {
			if code != 0 {
				weights[row] = max(weights[row], each[code-1])
			}
		}
	}
	return weights, most
}

func (b *builder) take(s *sorted, from, to int) {
	at := len(b.persons)
	for row := from; row < to; row++ {
		if row == from || s.days[row] != s.days[row-1] {
			b.runs = append(b.runs, block.Run{Partition: s.partition, Day: s.days[row]})
		}
		b.runs[len(b.runs)-1].Rows++
	}
	b.persons = append(b.persons, s.persons[from:to]...)
	b.times = append(b.times, s.times[from:to]...)
	b.names = append(b.names, s.names[from:to]...)
	if s.ties != nil {
		b.tied = true
		b.ties = append(b.ties, s.ties[from:to]...)
	} else {
		b.ties = append(b.ties, make([]uint32, to-from)...)
	}
	for key, c := range s.columns {
		b.columns[key] = append(b.columns[key], segment{at, c.Slice(from, to)})
	}
}

// flush closes the block that is under way, if it has rows.
func (b *builder) flush(ctx context.Context) error {
	if len(b.persons) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := b.draft()
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(b.columns)) {
		if err := d.column(key, join(d.f.info.Rows, b.columns[key])); err != nil {
			return err
		}
	}
	if d.f.info.Shelf, err = b.h.putChunks(d.chunks); err != nil {
		return fmt.Errorf("putting block %d on a shelf: %w", d.f.id, err)
	}
	b.made = append(b.made, d.f)
	b.reset()
	return nil
}

// reset makes room for the next block's rows.
func (b *builder) reset() {
	*b = builder{h: b.h, gen: b.gen, all: b.all, made: b.made, columns: make(map[uint16][]segment),
		runs: b.runs[:0], persons: b.persons[:0], times: b.times[:0], names: b.names[:0], ties: b.ties[:0]}
}

// draft is a block that is on no shelf yet.
type draft struct {
	h      *History
	f      *frozen
	people *block.People // its runs are the builder's, and not to be used
	chunks []kv.KV
}

func (d *draft) add(chunk uint32, plain []byte) error {
	kv, err := d.h.sealChunk(chunkID{d.f.id, chunk}, plain)
	if err != nil {
		return err
	}
	d.chunks = append(d.chunks, kv)
	d.f.info.Bytes += int64(len(kv.Key) + len(kv.Value))
	return nil
}

// column adds a property, those with lower keys first; nil is none.
func (d *draft) column(key uint16, c *block.Column) error {
	if c == nil {
		return nil
	}
	d.f.info.Columns = append(d.f.info.Columns, key)
	return d.add(chunkColumns+uint32(key), block.AppendColumn(nil, c, d.people))
}

// draft makes a block of the builder's rows, yet without properties. It holds
// on to the persons and runs only while it is made, but for whose rows they are.
func (b *builder) draft() (*draft, error) {
	id := b.h.newID()
	people := block.NewPeople(b.runs, b.persons)
	d := &draft{h: b.h, f: &frozen{id: id, info: &block.Info{Generation: b.gen, Order: id, Rows: len(b.persons)}}, people: people}
	events := b.describe(d.f)
	if err := d.add(chunkPeople, people.Append(nil)); err != nil {
		return nil, err
	}
	if err := d.add(chunkTimes, block.AppendTimes(nil, people, b.times)); err != nil {
		return nil, err
	}
	if err := d.add(chunkEvents, block.AppendEvents(nil, events)); err != nil {
		return nil, err
	}
	if b.tied && slices.Max(b.ties) > 0 {
		d.f.info.Ties = true
		if err := d.add(chunkTies, block.AppendTies(nil, b.ties)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// describe fills in what the block's rows say of it, and gives its events.
func (b *builder) describe(f *frozen) []uint16 {
	in := f.info
	in.First, in.Last = slices.Min(b.times), slices.Max(b.times)
	row := 0
	for _, run := range b.runs {
		if len(in.Slices) == 0 || in.Slices[len(in.Slices)-1].Partition != run.Partition {
			in.Slices = append(in.Slices, block.Slice{Partition: run.Partition, FirstDay: run.Day, First: math.MaxInt64, Last: math.MinInt64})
		}
		s := &in.Slices[len(in.Slices)-1]
		s.Rows += run.Rows
		s.LastDay = run.Day
		for _, t := range b.times[row : row+run.Rows] {
			s.First, s.Last = min(s.First, t), max(s.Last, t)
		}
		row += run.Rows
	}
	events := make([]uint16, len(b.names))
	var local [MaxNames]uint16 // places in Names, from 1
	for row, name := range b.names {
		t := b.times[row]
		if local[name] == 0 {
			in.Names = append(in.Names, block.Name{Code: name, First: t, Last: t})
			f.names = append(f.names, b.all[name])
			local[name] = uint16(len(in.Names))
		}
		n := &in.Names[local[name]-1]
		n.Rows++
		n.First, n.Last = min(n.First, t), max(n.Last, t)
		events[row] = local[name] - 1
	}
	return events
}

// join makes one column of a block's rows out of segments; nil where no row
// has a value.
func join(n int, segments []segment) *block.Column {
	numbers, values := 0, 0
	for _, s := range segments {
		if s.column.Nums != nil {
			numbers++
		} else {
			values++
		}
	}
	if values == 0 {
		nums := make([]float64, n)
		for i := range nums {
			nums[i] = math.NaN()
		}
		any := false
		for _, s := range segments {
			copy(nums[s.from:], s.column.Nums)
			for _, v := range s.column.Nums {
				any = any || v == v
			}
		}
		if !any {
			return nil
		}
		return &block.Column{Nums: nums}
	}
	out := &block.Column{Codes: make([]uint32, n)}
	if numbers == 0 && oneDict(segments) {
		any := uint32(0)
		for _, s := range segments {
			copy(out.Codes[s.from:], s.column.Codes)
			if len(s.column.Dict) > len(out.Dict) {
				out.Dict = s.column.Dict
			}
			for _, c := range s.column.Codes {
				any |= c
			}
		}
		if any == 0 {
			return nil
		}
		return out
	}
	codes := newCoder(out)
	for _, s := range segments {
		if s.column.Nums != nil {
			for i, v := range s.column.Nums {
				if v == v {
					out.Codes[s.from+i] = codes.code(event.OfFloat(v))
				}
			}
			continue
		}
		mine := make([]uint32, len(s.column.Dict)) // their codes to ours
		for i, c := range s.column.Codes {
			if c == 0 {
				continue
			}
			if mine[c-1] == 0 {
				mine[c-1] = codes.code(s.column.Dict[c-1])
			}
			out.Codes[s.from+i] = mine[c-1]
		}
	}
	if len(out.Dict) == 0 {
		return nil
	}
	return narrowed(out)
}

// coder numbers the values of a column that is being made.
type coder struct {
	c     *block.Column
	codes map[string]uint32 // by encoding
	enc   []byte
}

func newCoder(c *block.Column) *coder { return &coder{c: c, codes: make(map[string]uint32)} }

func (d *coder) code(v event.Value) uint32 {
	d.enc = event.AppendValue(d.enc[:0], v)
	c, ok := d.codes[string(d.enc)]
	if !ok {
		d.c.Dict = append(d.c.Dict, v)
		c = uint32(len(d.c.Dict))
		d.codes[string(d.enc)] = c
	}
	return c
}

// narrowed makes a column of plain numbers of one that holds nothing else, as
// after the rows with its texts were erased.
func narrowed(c *block.Column) *block.Column {
	for _, v := range c.Dict {
		if _, ok := plainNumber(v); !ok {
			return c
		}
	}
	nums := make([]float64, len(c.Codes))
	for i, code := range c.Codes {
		nums[i] = math.NaN()
		if code != 0 {
			nums[i], _ = plainNumber(c.Dict[code-1])
		}
	}
	return &block.Column{Nums: nums}
}

// oneDict says whether all segments' codes are of one dictionary, of which
// some may have seen less.
func oneDict(segments []segment) bool {
	var first *event.Value
	for _, s := range segments {
		if len(s.column.Dict) == 0 {
			continue
		}
		if first == nil {
			first = &s.column.Dict[0]
		}
		if &s.column.Dict[0] != first {
			return false
		}
	}
	return true
}

// putKeys is how many chunks go to a shelf in one transaction: so that even if
// all were small enough to lie in its tree, they fit.
const putKeys = 512

// putChunks puts the chunks of one block on one shelf.
func (h *History) putChunks(chunks []kv.KV) (uint32, error) {
	if err := h.noteIDs(); err != nil {
		return 0, err
	}
	for try := 0; ; try++ {
		shelf, split, err := h.tryPut(chunks)
		if err != nil || !split {
			return shelf, err
		}
		if try == 2 {
			return 0, fmt.Errorf("%w: a block does not fit one shelf", kv.ErrTooBig)
		}
		// A shelf was closed between two transactions. What lies on it is listed
		// nowhere and goes with it.
	}
}

func (h *History) tryPut(chunks []kv.KV) (shelf uint32, split bool, err error) {
	for from := 0; from < len(chunks); from += putKeys {
		s, err := h.shelves.Put(chunks[from:min(from+putKeys, len(chunks))])
		if err != nil {
			return 0, false, err
		}
		if from > 0 && s != shelf {
			return 0, true, nil
		}
		shelf = s
	}
	return shelf, false, nil
}
