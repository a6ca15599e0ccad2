package history

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
)

// Rows is a stretch of rows of one partition. It is read-only and valid until
// the Snapshot is released. One person's rows are ordered by Times, then by
// Generation, then by Ties, then as Scan gave them.
type Rows struct {
	Partition  int
	Generation uint64 // later arrived = higher
	Sorted     bool   // by person, time, arrival; else by day first, or in order of arrival
	Persons    []uint32 // whose the rows are: one a row or, where there are Groups, one a group
	Groups     []uint16 // one a row: its group's place in Persons; or nil
	Starts     []uint32 // of groups: where each begins, as Base and more
	Times      block.Times
	Names      []string
	Events     []uint16 // Names[Events[row]] is the row's event
	Ties       []uint32 // nil, or the order of arrival among equal Times of different people
	// Runs are the rows' days of the publisher's, one after another; nil where
	// rows are not ordered by day. Within a run rows are in the order of persons.
	Runs []Run
	// List gives the rows with an event, by its place in Names, ascending, as
	// Base and more: those of these rows only are to be looked at. Nil where
	// there are no such lists.
	List func(event uint16) ([]uint16, error)
	Base int

	column func(key string) (*block.Column, error)
	keys   func() []uint16 // those that column may know
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.Events) }

// Person is whose a row is.
func (r *Rows) Person(row int) uint32 {
	if r.Groups != nil {
		return r.Persons[r.Groups[row]]
	}
	return r.Persons[row]
}

// Of gives the rows of a person among those of one run, which are from to to;
// there must be Groups.
func (r *Rows) Of(person uint32, from, to int) (first, end int) {
	low := int(r.Groups[from])
	at, ok := slices.BinarySearch(r.Persons[low:int(r.Groups[to-1])+1], person)
	if !ok {
		return 0, 0
	}
	return int(r.Starts[low+at]) - r.Base, int(r.Starts[low+at+1]) - r.Base
}

// Run is rows of one day: those from where the run before ends up to To.
type Run struct {
	Day int32 // since 1970-01-01
	To  int
}

// Column gives the property of these rows; where no row has it, nil or a
// column without values. A Rows is for one goroutine.
func (r *Rows) Column(key string) (*block.Column, error) { return r.column(key) }
