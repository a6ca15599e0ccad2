package history

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// head holds the rows of one generation in memory. The applier adds to it;
// others read what their view says is there. All it has only grows, so that
// what a reader copied the bounds of stays as it is.
type head struct {
	gen   uint64
	packs uint32 // packed values written
	since time.Time
	parts [event.Partitions]headPart

	// The applier's own.
	rows        int
	bytes       int64
	first, last int64
	order       []uint32 // scratch of add
	lastDay     []dayMark

	mu    sync.RWMutex
	dicts []*dict // by key
	seen  pairs   // name and key
	days  pairs   // name and day
	// erased are left out when the head is frozen; until then their rows are
	// hidden by who asks.
	erased *roaring.Bitmap

	bitsMu sync.Mutex
	bits   headBits
}

// dayMark remembers, for a name, the day that was noted last.
type dayMark struct {
	day int32
	set bool
}

// headPart is one partition's share of a head.
type headPart struct {
	mu      sync.RWMutex
	persons []uint32
	times   []int64
	events  []uint16
	ties    []uint32 // arrival within the generation
	columns []*headColumn
}

// headColumn is one property of a partition: of the rows that have it, the
// numbers apart from what is in the dictionary. Row numbers grow.
type headColumn struct {
	numRows  []uint32
	nums     []float64
	codeRows []uint32
	codes    []uint32 // of the head's dictionary for the key, from 1
}

// dict numbers the values of a key that are no plain numbers. Only the applier
// adds; others read values under the head's lock.
type dict struct {
	values []event.Value
	texts  map[string]uint32
	others map[string]uint32 // by encoding
}

func newHead(gen uint64, since time.Time) *head {
	return &head{gen: gen, since: since, first: math.MaxInt64, last: math.MinInt64}
}

// plainNumber says whether a value is kept as a float64 without loss.
func plainNumber(v event.Value) (float64, bool) {
	if !v.IsNumber() {
		return 0, false
	}
	f, _ := v.Number()
	return f, f-f == 0 && event.OfFloat(f).Equal(v)
}

// add puts rows at the end, unseen until a view counts them in. Partition by
// partition, so that a reader waits for a 64th of it at most.
func (h *head) add(d *digested, cal *calendar) {
	n := d.rows()
	if cap(h.order) < n {
		h.order = make([]uint32, n)
	}
	order := h.order[:n]
	var starts [event.Partitions + 1]uint32
	for _, p := range d.persons {
		starts[event.PartitionOf(p)+1]++
	}
	for p := range event.Partitions {
		starts[p+1] += starts[p]
	}
	next := starts
	for i, p := range d.persons {
		at := &next[event.PartitionOf(p)]
		order[*at] = uint32(i)
		*at++
	}
	h.note(d, cal)
	base := uint32(h.rows)
	for p := range event.Partitions {
		if rows := order[starts[p]:starts[p+1]]; len(rows) > 0 {
			h.addPart(&h.parts[p], d, rows, base)
		}
	}
	h.rows += n
	h.bytes += int64(n) * 18
}

// note keeps what there is of names, keys and days.
func (h *head) note(d *digested, cal *calendar) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for row, name := range d.names {
		us := d.times[row]
		h.first, h.last = min(h.first, us), max(h.last, us)
		for int(name) >= len(h.lastDay) {
			h.lastDay = append(h.lastDay, dayMark{})
		}
		day := cal.of(us)
		if m := &h.lastDay[name]; !m.set || m.day != day {
			*m = dayMark{day, true}
			h.days.add(pair(name, day))
		}
		for i := range d.of(row) {
			h.noteKey(name, d.of(row)[i].key)
		}
	}
}

func (h *head) noteKey(name, key uint16) {
	for int(key) >= len(h.dicts) {
		h.dicts = append(h.dicts, nil)
	}
	dc := h.dicts[key]
	if dc == nil {
		dc = &dict{texts: make(map[string]uint32), others: make(map[string]uint32)}
		h.dicts[key] = dc
	}
	h.seen.add(pair(name, int32(key)))
}

func (h *head) addPart(p *headPart, d *digested, rows []uint32, base uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range rows {
		row := uint32(len(p.persons))
		p.persons = append(p.persons, d.persons[i])
		p.times = append(p.times, d.times[i])
		p.events = append(p.events, d.names[i])
		p.ties = append(p.ties, base+i)
		ps := d.of(int(i))
		for j := range ps {
			h.set(p, row, ps[j].key, ps[j].value)
		}
	}
}

func (h *head) set(p *headPart, row uint32, key uint16, v event.Value) {
	for int(key) >= len(p.columns) {
		p.columns = append(p.columns, nil)
	}
	c := p.columns[key]
	if c == nil {
		c = &headColumn{}
		p.columns[key] = c
	}
	if f, ok := plainNumber(v); ok {
		c.numRows = append(c.numRows, row)
		c.nums = append(c.nums, f)
		h.bytes += 12
		return
	}
	c.codeRows = append(c.codeRows, row)
	c.codes = append(c.codes, h.code(key, v))
	h.bytes += 8
}

// code gives a value's number in the key's dictionary.
func (h *head) code(key uint16, v event.Value) uint32 {
	d := h.dicts[key]
	if v.Kind() == event.Text {
		if c, ok := d.texts[v.Text()]; ok {
			return c
		}
		c := h.append(d, v)
		d.texts[v.Text()] = c
		return c
	}
	enc := string(event.AppendValue(nil, v))
	if c, ok := d.others[enc]; ok {
		return c
	}
	c := h.append(d, v)
	d.others[enc] = c
	return c
}

func (h *head) append(d *dict, v event.Value) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.values = append(d.values, v)
	h.bytes += int64(valueBytes(v)) + 130
	return uint32(len(d.values))
}

// values gives a key's dictionary as it is now.
func (h *head) values(key int) []event.Value {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if key >= len(h.dicts) || h.dicts[key] == nil {
		return nil
	}
	return slices.Clip(h.dicts[key].values)
}

// column makes a property of a partition's first n rows; nil where none of
// them has it.
func (h *head) column(part, key, n int) *block.Column {
	p := &h.parts[part]
	p.mu.RLock()
	if key >= len(p.columns) || p.columns[key] == nil {
		p.mu.RUnlock()
		return nil
	}
	c := *p.columns[key]
	p.mu.RUnlock()
	numRows, codeRows := below(c.numRows, n), below(c.codeRows, n)
	if len(codeRows) == 0 {
		if len(numRows) == 0 {
			return nil
		}
		nums := make([]float64, n)
		for i := range nums {
			nums[i] = math.NaN()
		}
		for i, row := range numRows {
			nums[row] = c.nums[i]
		}
		return &block.Column{Nums: nums}
	}
	col := &block.Column{Codes: make([]uint32, n), Dict: h.values(key)}
	for i, row := range codeRows {
		col.Codes[row] = c.codes[i]
	}
	// Numbers among other values: they join the dictionary.
	byNumber := make(map[float64]uint32)
	for i, row := range numRows {
		code, ok := byNumber[c.nums[i]]
		if !ok {
			col.Dict = append(col.Dict, event.OfFloat(c.nums[i])) // clipped: this copies once
			code = uint32(len(col.Dict))
			byNumber[c.nums[i]] = code
		}
		col.Codes[row] = code
	}
	return col
}

// keys lists the properties of a partition, of the first most that there are.
func (h *head) keys(part, most int) []uint16 {
	p := &h.parts[part]
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []uint16
	for key := range p.columns[:min(most, len(p.columns))] {
		if p.columns[key] != nil {
			out = append(out, uint16(key))
		}
	}
	return out
}

// below cuts ascending row numbers at n.
func below(rows []uint32, n int) []uint32 {
	at, _ := slices.BinarySearch(rows, uint32(n))
	return rows[:at]
}
