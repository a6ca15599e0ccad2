// Package block turns rows of events into columns and columns into bytes, and
// back (FORMAT.md). It is pure: bytes in, bytes out, no files, no clock.
package block

import (
	"math"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Column is one property of a stretch of rows, or one attribute of a table of
// people, decoded. It is read-only once made and may be shared.
type Column struct {
	// Codes has one entry a row: 0 = missing, else the value is Dict[code-1].
	// It is nil where Nums is set.
	Codes []uint32
	// Dict holds the values that Codes refer to, in no order. A value may
	// stand in it more than once where nearly every row has one of its own.
	Dict []event.Value
	// Nums has one number a row, NaN = missing. Only a column whose values are
	// all numbers that a float64 holds exactly is kept like this.
	Nums []float64
}

// Len is the number of rows.
func (c *Column) Len() int { return max(len(c.Codes), len(c.Nums)) }

// Value is the value of a row, Null where it is missing.
func (c *Column) Value(row int) event.Value {
	if c.Nums != nil {
		if math.IsNaN(c.Nums[row]) {
			return event.Value{}
		}
		return event.OfFloat(c.Nums[row])
	}
	if code := c.Codes[row]; code != 0 {
		return c.Dict[code-1]
	}
	return event.Value{}
}

// Slice is the column of rows from to to; it shares what it can.
func (c *Column) Slice(from, to int) *Column {
	if c.Nums != nil {
		return &Column{Nums: c.Nums[from:to:to]}
	}
	return &Column{Codes: c.Codes[from:to:to], Dict: c.Dict}
}

// Bytes is about what c takes in memory, its dictionary's texts included.
func (c *Column) Bytes() int64 {
	n := int64(len(c.Codes))*4 + int64(len(c.Nums))*8
	for i := range c.Dict {
		n += valueSize + int64(len(c.Dict[i].Text())) + 32*int64(len(c.Dict[i].List())+len(c.Dict[i].Object()))
	}
	return n
}

// valueSize is that of an event.Value.
const valueSize = 80
