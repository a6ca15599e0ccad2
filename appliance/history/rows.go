package history

import (
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
)

// Rows is a stretch of rows of one partition. It is read-only, for one
// goroutine, and valid until the Snapshot is released. One person's rows are
// ordered by time, then by Generation, then by ties, then as Scan gave them.
type Rows struct {
	Partition  int
	Generation uint64   // later arrived = higher
	Wanted     bool     // every row has one of the names that were wanted
	Sorted     bool     // by person, time, arrival; else by day first, or in order of arrival
	Persons    []uint32 // whose the rows are: one a row or, where there are Groups, one a group
	Groups     []uint16 // one a row: its group's place in Persons; or nil
	Starts     []uint32 // of groups: where each begins, as Base and more
	Base       int
	Names      []string
	Events     []uint16 // Names[Events[row]] is the row's event
	// Runs are the rows' days of the publisher's, one after another; nil where
	// rows are not ordered by day. Within a run rows are in the order of persons.
	Runs []Run

	source Source
}

// Source is where what is not always asked for of rows comes from.
type Source interface {
	Times() (block.Times, error)
	// Ties are the order of arrival among equal instants of different people;
	// nil if there are none.
	Ties() ([]uint32, error)
	// Column is nil, or without values, where no row has the property.
	Column(key string) (*block.Column, error)
}

// Of gives the rows their source.
func (r Rows) Of(s Source) *Rows {
	r.source = s
	return &r
}

// Times are the rows' instants.
func (r *Rows) Times() (block.Times, error) { return r.source.Times() }

// Ties are the order of arrival among equal instants of different people; nil
// if there are none.
func (r *Rows) Ties() ([]uint32, error) { return r.source.Ties() }

// Column gives a property of these rows; where no row has it, nil or a column
// without values.
func (r *Rows) Column(key string) (*block.Column, error) { return r.source.Column(key) }

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.Events) }

// Person is whose a row is.
func (r *Rows) Person(row int) uint32 {
	if r.Groups != nil {
		return r.Persons[r.Groups[row]]
	}
	return r.Persons[row]
}

// RowsOf gives the rows of a person among those of one run, which are from to
// to; there must be Groups.
func (r *Rows) RowsOf(person uint32, from, to int) (first, end int) {
	if from == to {
		return 0, 0
	}
	low := int(r.Groups[from])
	at, ok := slices.BinarySearch(r.Persons[low:int(r.Groups[to-1])+1], person)
	if !ok {
		return 0, 0
	}
	return int(r.Starts[low+at]) - r.Base, int(r.Starts[low+at+1]) - r.Base
}

// Run is rows of one day: those from where the run before ends up to To, of
// which there may be none.
type Run struct {
	Day  int32  // since 1970-01-01
	Last uint32 // the largest person's number
	To   int
}
