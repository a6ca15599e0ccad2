package history

import "github.com/cloisterhq/cloister/appliance/block"

// Rows is a stretch of rows of one partition. It is read-only and valid until
// the Snapshot is released. One person's rows are ordered by Times, then by
// Generation, then by Ties, then as Scan gave them.
type Rows struct {
	Partition  int
	Generation uint64 // later arrived = higher
	Sorted     bool   // by person, time, arrival; else by day first, or in order of arrival
	Persons    []uint32
	Times      []int64
	Names      []string
	Events     []uint16 // Names[Events[row]] is the row's event
	Ties       []uint32 // nil, or the order of arrival among equal Times of different people

	column func(key string) (*block.Column, error)
	keys   func() []uint16 // those that column may know
}

// Column gives the property of these rows; where no row has it, nil or a
// column without values. A Rows is for one goroutine.
func (r *Rows) Column(key string) (*block.Column, error) { return r.column(key) }
