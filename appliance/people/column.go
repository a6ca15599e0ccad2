package people

import (
	"hash/maphash"
	"math"
	"sync"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// maxColumns bounds the attributes of a publisher that can be asked about.
const maxColumns = 2048

// column is one attribute of everybody: numbers as long as it has nothing
// else, then codes into a dictionary. Only the applier uses it.
type column struct {
	numeric bool
	nums    pages[uint64] // numeric: numberBits, 0 = missing
	codes   pages[uint32] // otherwise: 0 = missing, else dict[code-1]

	// dict only grows, so that snapshots may share it; what nobody has any
	// more goes when rebuild makes a new one.
	dict []event.Value
	refs []uint32          // people by code-1
	next []uint32          // the next code with the same hash, by code-1
	head map[uint64]uint32 // hash of a value -> code
	dead int               // entries with no refs

	people int
	shared *columnView // nil = changed since
}

var valueSeed = maphash.MakeSeed()

func newColumn() *column { return &column{numeric: true} }

// numberBits turns a number around so that the zero entry of a page reads back
// as NaN, which is how a missing number is told.
func numberBits(f float64) uint64 { return ^math.Float64bits(f) }

func bitsNumber(b uint64) float64 { return math.Float64frombits(^b) }

// exactNumber gives v as a float64, if that loses nothing.
func exactNumber(v event.Value) (float64, bool) {
	if !v.IsNumber() {
		return 0, false
	}
	f, _ := v.Number()
	return f, f == f && event.OfFloat(f).Equal(v)
}

func (c *column) get(n uint32) event.Value {
	if c.numeric {
		if b := c.nums.get(n); b != 0 {
			return event.OfFloat(bitsNumber(b))
		}
		return event.Value{}
	}
	if code := c.codes.get(n); code != 0 {
		return c.dict[code-1]
	}
	return event.Value{}
}

// set gives person n the value; Null takes it away.
func (c *column) set(n uint32, v event.Value) {
	f, exact := exactNumber(v)
	if c.numeric && !v.IsNull() && !exact {
		c.leaveNumbers()
	}
	if c.numeric {
		old, now := c.nums.get(n), uint64(0)
		if exact {
			now = numberBits(f)
		}
		if old == now {
			return
		}
		c.counted(old != 0, now != 0)
		c.nums.set(n, now)
		return
	}
	old, now := c.codes.get(n), uint32(0)
	if !v.IsNull() {
		now = c.code(v)
	}
	if old == now {
		return
	}
	c.counted(old != 0, now != 0)
	if now != 0 {
		if c.refs[now-1] == 0 {
			c.dead--
		}
		c.refs[now-1]++
	}
	if old != 0 {
		c.refs[old-1]--
		if c.refs[old-1] == 0 {
			c.dead++
		}
	}
	c.codes.set(n, now)
	if c.dead > 1024 && c.dead > len(c.dict)/2 {
		c.rebuild()
	}
}

func (c *column) counted(had, has bool) {
	c.shared = nil
	if had {
		c.people--
	}
	if has {
		c.people++
	}
}

// code finds or makes the code of a value. A new one starts out dead.
func (c *column) code(v event.Value) uint32 {
	h := maphash.Bytes(valueSeed, event.AppendValue(nil, v))
	first := c.head[h]
	for code := first; code != 0; code = c.next[code-1] {
		if c.dict[code-1].Equal(v) {
			return code
		}
	}
	c.dict = append(c.dict, v)
	c.refs = append(c.refs, 0)
	c.next = append(c.next, first)
	c.dead++
	code := uint32(len(c.dict))
	c.head[h] = code
	return code
}

// leaveNumbers turns numbers into codes, since a value came that is none.
func (c *column) leaveNumbers() {
	nums := c.nums
	*c = column{head: make(map[uint64]uint32)}
	for i, pg := range nums.root {
		if pg == nil {
			continue
		}
		for j, b := range pg.v {
			if b != 0 {
				c.set(uint32(i*pageLen+j), event.OfFloat(bitsNumber(b)))
			}
		}
	}
}

// rebuild drops the dictionary's dead entries.
func (c *column) rebuild() {
	codes, dict := c.codes, c.dict
	*c = column{head: make(map[uint64]uint32)}
	for i, pg := range codes.root {
		if pg == nil {
			continue
		}
		for j, code := range pg.v {
			if code != 0 {
				c.set(uint32(i*pageLen+j), dict[code-1])
			}
		}
	}
}

// columnView is a column as a snapshot has it. It keeps the flat form that
// questions read, made when the first one asks.
type columnView struct {
	numeric bool
	nums    pages[uint64]
	codes   pages[uint32]
	dict    []event.Value

	mu   sync.Mutex
	flat *block.Column
}

// view gives the column as it is now.
func (c *column) view() *columnView {
	if c.shared == nil {
		c.shared = &columnView{numeric: c.numeric, dict: c.dict[:len(c.dict):len(c.dict)]}
		if c.numeric {
			c.shared.nums = c.nums.snapshot()
		} else {
			c.shared.codes = c.codes.snapshot()
		}
	}
	return c.shared
}

// column gives the flat form, for numbers up to limit at least. Some room is
// left at its end: people who come without this attribute do not make it anew.
func (v *columnView) column(limit uint32) *block.Column {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.flat != nil && v.flat.Len() > int(limit) {
		return v.flat
	}
	n := int(limit) + 1 + int(limit)/16 + pageLen
	if v.numeric {
		nums := make([]float64, n)
		for i, b := range v.nums.flat(n) {
			nums[i] = bitsNumber(b)
		}
		v.flat = &block.Column{Nums: nums}
	} else {
		v.flat = &block.Column{Codes: v.codes.flat(n), Dict: v.dict}
	}
	return v.flat
}
