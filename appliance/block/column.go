// Package block turns rows of events into columns and columns into bytes, and
// back (FORMAT.md). It is pure: bytes in, bytes out, no files, no clock.
package block

import (
	"math"
	"math/bits"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Column is one property of a stretch of rows, or one attribute of a table of
// people, decoded. It is read-only once made and may be shared. It is wide, as
// whoever makes one fills it in, or packed, as one is read from a block; its
// methods are the same for both.
type Column struct {
	// Codes has one entry a row: 0 = missing, else the value is Dict[code-1].
	// It is nil where Nums is set, and where the column is packed.
	Codes []uint32
	// Dict holds the values that codes refer to, in no order. A value may
	// stand in it more than once where nearly every row has one of its own.
	Dict []event.Value
	// Nums has one number a row, NaN = missing. Only a column whose values are
	// all numbers that a float64 holds exactly is kept like this.
	Nums []float64

	packed *packed
}

// packed is a column in as few bytes as let a row be found at once: codes are
// as wide as the dictionary asks, and where few rows have the property there
// are entries of these alone. Of the four lists of entries one is there.
type packed struct {
	from, rows int      // of what is held, the rows that the column is of
	present    []uint64 // a bit a row, nil = an entry a row, 0 or NaN = missing
	ranks      []uint32 // entries before each word of present
	codes8     []uint8
	codes16    []uint16
	codes32    []uint32
	nums       []float64
}

// at is the place of a row's entry, -1 if it has none.
func (p *packed) at(row int) int {
	row += p.from
	if p.present == nil {
		return row
	}
	word, bit := p.present[row>>6], uint64(1)<<(row&63)
	if word&bit == 0 {
		return -1
	}
	return int(p.ranks[row>>6]) + bits.OnesCount64(word&(bit-1))
}

func (p *packed) code(row int) uint32 {
	at := p.at(row)
	switch {
	case at < 0:
		return 0
	case p.codes8 != nil:
		return uint32(p.codes8[at])
	case p.codes16 != nil:
		return uint32(p.codes16[at])
	}
	return p.codes32[at]
}

func (p *packed) num(row int) float64 {
	if at := p.at(row); at >= 0 {
		return p.nums[at]
	}
	return math.NaN()
}

// Len is the number of rows.
func (c *Column) Len() int {
	if c.packed != nil {
		return c.packed.rows
	}
	return max(len(c.Codes), len(c.Nums))
}

// Numeric says whether the column is of numbers, and not of codes.
func (c *Column) Numeric() bool {
	return c.Nums != nil || c.packed != nil && c.packed.nums != nil
}

// Code is a row's place in Dict from 1, 0 = missing, of a column that is not
// numeric.
func (c *Column) Code(row int) uint32 {
	if c.packed != nil {
		return c.packed.code(row)
	}
	return c.Codes[row]
}

// Num is a row's number, NaN = missing, of a numeric column.
func (c *Column) Num(row int) float64 {
	if c.packed != nil {
		return c.packed.num(row)
	}
	return c.Nums[row]
}

// Value is the value of a row, Null where it is missing.
func (c *Column) Value(row int) event.Value {
	if c.Numeric() {
		if f := c.Num(row); !math.IsNaN(f) {
			return event.OfFloat(f)
		}
		return event.Value{}
	}
	if code := c.Code(row); code != 0 {
		return c.Dict[code-1]
	}
	return event.Value{}
}

// CodesOf gives the codes of some rows, as Code does. A row beyond the column
// is missing. out is as long as rows.
func (c *Column) CodesOf(rows []int32, out []uint32) {
	p := c.packed
	switch {
	case p == nil:
		codesOf(c.Codes, 0, rows, out)
	case p.present != nil:
		for i, row := range rows {
			out[i] = p.code(int(row))
		}
	case p.codes8 != nil:
		codesOf(p.codes8, p.from, rows, out)
	case p.codes16 != nil:
		codesOf(p.codes16, p.from, rows, out)
	default:
		codesOf(p.codes32, p.from, rows, out)
	}
}

func codesOf[T uint8 | uint16 | uint32](codes []T, from int, rows []int32, out []uint32) {
	codes, out = codes[from:], out[:len(rows)]
	for i, row := range rows {
		code := uint32(0)
		if int(row) < len(codes) {
			code = uint32(codes[row])
		}
		out[i] = code
	}
}

// CountCodes adds the number of rows with each code to counts, which are one
// more than Dict. A row beyond the column is missing.
func (c *Column) CountCodes(rows []int32, counts []int32) {
	n := c.Len()
	for _, row := range rows {
		code := uint32(0)
		if int(row) < n {
			code = c.Code(int(row))
		}
		counts[code]++
	}
}

// CountCodesIn is CountCodes of all rows from from to to.
func (c *Column) CountCodesIn(from, to int, counts []int32) {
	p := c.packed
	switch {
	case p == nil:
		countCodes(c.Codes[from:to], counts)
	case p.present != nil:
		for row := from; row < to; row++ {
			counts[p.code(row)]++
		}
	case p.codes8 != nil:
		countCodes(p.codes8[p.from+from:p.from+to], counts)
	case p.codes16 != nil:
		countCodes(p.codes16[p.from+from:p.from+to], counts)
	default:
		countCodes(p.codes32[p.from+from:p.from+to], counts)
	}
}

func countCodes[T uint8 | uint16 | uint32](codes []T, counts []int32) {
	for _, code := range codes {
		counts[code]++
	}
}

// NumsOf gives the numbers of some rows, as Num does. A row beyond the column
// is missing. out is as long as rows.
func (c *Column) NumsOf(rows []int32, out []float64) {
	nums := c.Nums
	if p := c.packed; p != nil {
		if p.present != nil {
			for i, row := range rows {
				out[i] = p.num(int(row))
			}
			return
		}
		nums = p.nums[p.from:]
	}
	out = out[:len(rows)]
	for i, row := range rows {
		if out[i] = math.NaN(); int(row) < len(nums) {
			out[i] = nums[row]
		}
	}
}

// Slice is the column of rows from to to; it shares what it can.
func (c *Column) Slice(from, to int) *Column {
	switch {
	case c.packed != nil:
		p := *c.packed
		p.from, p.rows = p.from+from, to-from
		return &Column{Dict: c.Dict, packed: &p}
	case c.Nums != nil:
		return &Column{Nums: c.Nums[from:to:to]}
	}
	return &Column{Codes: c.Codes[from:to:to], Dict: c.Dict}
}

// Only is a column of some of the rows, in order, of one that was read from a
// block. It shares the dictionary.
func (c *Column) Only(rows []uint16) *Column {
	p := c.packed
	out := &packed{rows: len(rows)}
	switch {
	case p.nums != nil:
		out.nums = p.only64(rows)
	case p.codes8 != nil:
		out.codes8 = onlyCodes(p, p.codes8, rows)
	case p.codes16 != nil:
		out.codes16 = onlyCodes(p, p.codes16, rows)
	default:
		out.codes32 = onlyCodes(p, p.codes32, rows)
	}
	return &Column{Dict: c.Dict, packed: out}
}

func onlyCodes[T uint8 | uint16 | uint32](p *packed, codes []T, rows []uint16) []T {
	out := make([]T, len(rows))
	for i, row := range rows {
		if at := p.at(int(row)); at >= 0 {
			out[i] = codes[at]
		}
	}
	return out
}

func (p *packed) only64(rows []uint16) []float64 {
	out := make([]float64, len(rows))
	for i, row := range rows {
		out[i] = p.num(int(row))
	}
	return out
}

// Wide is the column with Codes or Nums filled in. It is the column itself
// where that is so already.
func (c *Column) Wide() *Column {
	if c.packed == nil {
		return c
	}
	if c.Numeric() {
		out := &Column{Nums: make([]float64, c.Len())}
		for row := range out.Nums {
			out.Nums[row] = c.packed.num(row)
		}
		return out
	}
	out := &Column{Codes: make([]uint32, c.Len()), Dict: c.Dict}
	for row := range out.Codes {
		out.Codes[row] = c.packed.code(row)
	}
	return out
}

// Bytes is about what c takes in memory, its dictionary's texts included.
func (c *Column) Bytes() int64 {
	n := c.OwnBytes()
	for i := range c.Dict {
		n += valueSize + int64(len(c.Dict[i].Text())) + 32*int64(len(c.Dict[i].List())+len(c.Dict[i].Object()))
	}
	return n
}

// OwnBytes is about what c takes in memory beside its dictionary.
func (c *Column) OwnBytes() int64 {
	n := int64(len(c.Codes))*4 + int64(len(c.Nums))*8
	if p := c.packed; p != nil {
		n += int64(len(p.present))*8 + int64(len(p.ranks))*4 + int64(len(p.codes8)) + int64(len(p.codes16))*2 + int64(len(p.codes32))*4 + int64(len(p.nums))*8
	}
	return n
}

// valueSize is that of an event.Value.
const valueSize = 80
