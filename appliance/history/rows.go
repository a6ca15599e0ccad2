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
	Generation uint64 // later arrived = higher
	Wanted     bool   // every row has one of the names that were wanted
	Last       uint32 // a number that no person is above; of rows with Runs
	Sorted     bool   // by person, time, arrival; else by day first, or in order of arrival
	// Persons are whose the rows are: one a row or, where there are Starts, one
	// a group, whose first row Starts says, counted from -Base. Where there are
	// Runs, LoadGroups must have gone well before they are looked at, and before
	// whatever else is asked of groups or persons but HasPerson.
	Persons []uint32
	Starts  []uint32
	Base    int
	Names   []string
	Events  []uint16 // Names[Events[row]] is the row's event
	// Runs are the rows' days of the publisher's, one after another; nil where
	// rows are not ordered by day. Within a run rows are in the order of persons.
	Runs []Run

	source Source
	groups []uint16      // one a row: its group's place in Persons
	whole  *block.People // of the block, where Persons and Starts are not there yet
}

// Source is where what is not always asked for of rows comes from.
type Source interface {
	// People are those of the rows of a block that are wanted; nil where Persons
	// are there already.
	People() (*block.People, error)
	// Groups are the rows' groups; nil where they have none.
	Groups() ([]uint16, error)
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

// LoadGroups fills in Persons, Starts and the groups of Runs. Whoever only
// counts rows does without.
func (r *Rows) LoadGroups() error {
	if r.whole == nil {
		return nil
	}
	people, err := r.source.People()
	if err != nil {
		return err
	}
	r.whole, r.Persons, r.Starts = nil, people.Persons, people.Starts
	for i := range r.Runs {
		run := &r.Runs[i]
		run.Group, run.EndGroup = int(people.First[run.at]), int(people.First[run.at+1])
	}
	return nil
}

// persons are those of a run or, while groups are not loaded, of all the
// block's rows of that day.
func (r *Rows) persons(run Run) []uint32 {
	if r.whole != nil {
		return r.whole.Persons[r.whole.First[run.at]:r.whole.First[run.at+1]]
	}
	return r.Persons[run.Group:run.EndGroup]
}

// HasPerson says whether a person may have rows in one of the Runs: if not,
// they surely have none.
func (r *Rows) HasPerson(person uint32, run Run) bool {
	_, ok := slices.BinarySearch(r.persons(run), person)
	return ok
}

// LoadPersons is LoadGroups, and makes Person quick for whoever asks it of many
// rows.
func (r *Rows) LoadPersons() (err error) {
	if err := r.LoadGroups(); err != nil {
		return err
	}
	if r.Starts != nil && r.groups == nil {
		r.groups, err = r.source.Groups()
	}
	return err
}

// Person is whose a row is.
func (r *Rows) Person(row int) uint32 {
	switch {
	case r.Starts == nil:
		return r.Persons[row]
	case r.groups == nil:
		return r.Persons[r.GroupAt(row)]
	}
	return r.Persons[r.groups[row]]
}

// GroupAt is the place in Persons and Starts of a row's group.
func (r *Rows) GroupAt(row int) int {
	at, ok := slices.BinarySearch(r.Starts, uint32(row+r.Base))
	if !ok {
		at--
	}
	return at
}

// RowsOf gives the rows of a person among those of one of the Runs.
func (r *Rows) RowsOf(person uint32, run Run) (first, end int) {
	at, ok := slices.BinarySearch(r.Persons[run.Group:run.EndGroup], person)
	if !ok {
		return 0, 0
	}
	at += run.Group
	return int(r.Starts[at]) - r.Base, int(r.Starts[at+1]) - r.Base
}

// Run is the rows of one day, from From to To.
type Run struct {
	Day  int32 // since 1970-01-01
	From int
	To   int
	// The groups of its rows, up to and without EndGroup: see LoadGroups.
	Group, EndGroup int
	at              int // among the runs of the block
}
