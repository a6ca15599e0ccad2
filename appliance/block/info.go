package block

import (
	"encoding/binary"
	"math"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Info describes a block: enough to know whether it must be read for a
// question, and where. Names and Columns are numbers of the publisher's
// vocabulary.
type Info struct {
	Generation  uint64
	Order       uint64 // among blocks of one generation; 0 where version 1 wrote it
	Shelf       uint32
	Rows        int
	First, Last int64 // times of its rows, microseconds
	Slices      []Slice
	Names       []Name   // Events of the block are places in this
	Columns     []uint16 // properties that some row has, ascending
	Ties        bool     // whether there is a chunk of them
	Bytes       int64    // of its chunks, as they lie on the shelf
}

// Slice is one partition's share of a block; slices are in the order of their
// partitions and cover the rows.
type Slice struct {
	Partition         int
	Rows              int
	FirstDay, LastDay int32
	First, Last       int64 // times
}

// Name says what a block has of one event name.
type Name struct {
	Code        uint16
	Rows        int
	First, Last int64 // times
}

const infoVersion = 2

// Append appends the encoding.
func (in *Info) Append(dst []byte) []byte {
	dst = append(dst, infoVersion)
	dst = binary.AppendUvarint(dst, in.Generation)
	dst = binary.AppendUvarint(dst, in.Order)
	dst = binary.AppendUvarint(dst, uint64(in.Shelf))
	dst = binary.AppendUvarint(dst, uint64(in.Rows))
	dst = binary.AppendVarint(dst, in.First)
	dst = binary.AppendUvarint(dst, uint64(in.Last-in.First))
	span := func(first, last int64) {
		dst = binary.AppendUvarint(dst, uint64(first-in.First))
		dst = binary.AppendUvarint(dst, uint64(last-first))
	}
	dst = binary.AppendUvarint(dst, uint64(len(in.Slices)))
	for i := range in.Slices {
		s := &in.Slices[i]
		dst = append(dst, byte(s.Partition))
		dst = binary.AppendUvarint(dst, uint64(s.Rows))
		dst = binary.AppendVarint(dst, int64(s.FirstDay))
		dst = binary.AppendUvarint(dst, uint64(s.LastDay-s.FirstDay))
		span(s.First, s.Last)
	}
	dst = binary.AppendUvarint(dst, uint64(len(in.Names)))
	for i := range in.Names {
		n := &in.Names[i]
		dst = binary.AppendUvarint(dst, uint64(n.Code))
		dst = binary.AppendUvarint(dst, uint64(n.Rows))
		span(n.First, n.Last)
	}
	dst = binary.AppendUvarint(dst, uint64(len(in.Columns)))
	last := uint16(0)
	for _, c := range in.Columns {
		dst = binary.AppendUvarint(dst, uint64(c-last))
		last = c
	}
	ties := byte(0)
	if in.Ties {
		ties = 1
	}
	dst = append(dst, ties)
	return binary.AppendUvarint(dst, uint64(in.Bytes))
}

// ReadInfo reads what Append made, in this version or an earlier one.
func ReadInfo(b []byte) (*Info, error) {
	r := &reader{b: b}
	version := r.byte()
	if version != 1 && version != infoVersion {
		r.fail("a description of an unknown version")
	}
	in := &Info{Generation: r.uvarint(math.MaxUint64)}
	if version > 1 {
		in.Order = r.uvarint(math.MaxUint64)
	}
	in.Shelf = uint32(r.uvarint(math.MaxUint32))
	in.Rows = int(r.uvarint(MaxRows))
	in.First = r.varint()
	in.Last = in.First + int64(r.uvarint(math.MaxUint64))
	span := func() (first, last int64) {
		first = in.First + int64(r.uvarint(math.MaxUint64))
		return first, first + int64(r.uvarint(math.MaxUint64))
	}
	rows := 0
	in.Slices = make([]Slice, r.count(event.Partitions, 6))
	for i := range in.Slices {
		s := &in.Slices[i]
		s.Partition = int(r.byte())
		s.Rows = int(r.uvarint(MaxRows))
		day := r.varint()
		s.FirstDay = int32(day)
		s.LastDay = int32(day + int64(r.uvarint(math.MaxUint32)))
		s.First, s.Last = span()
		rows += s.Rows
		if s.Partition >= event.Partitions || i > 0 && s.Partition <= in.Slices[i-1].Partition || day != int64(s.FirstDay) || s.LastDay < s.FirstDay {
			r.fail("a slice is out of range")
		}
	}
	in.Names = make([]Name, r.count(math.MaxUint16, 4))
	for i := range in.Names {
		n := &in.Names[i]
		n.Code = uint16(r.uvarint(math.MaxUint16))
		n.Rows = int(r.uvarint(MaxRows))
		n.First, n.Last = span()
	}
	in.Columns = make([]uint16, r.count(math.MaxUint16, 1))
	code := uint64(0)
	for i := range in.Columns {
		code += r.uvarint(math.MaxUint16)
		if code > math.MaxUint16 {
			r.fail("a column is out of range")
		}
		in.Columns[i] = uint16(code)
	}
	in.Ties = r.byte() == 1
	in.Bytes = int64(r.uvarint(math.MaxInt64))
	if r.err == nil && rows != in.Rows {
		r.fail("the slices do not add up to the rows")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return in, nil
}
