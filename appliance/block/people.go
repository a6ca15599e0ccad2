package block

import (
	"encoding/binary"
	"math"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Run is a stretch of a block's rows of one partition and one day.
type Run struct {
	Partition int
	Day       int32 // of the publisher's, since 1970-01-01
	Rows      int
}

// People is whose the rows of a block are. Within a run they are in the order
// of the persons' numbers: group g is the rows Starts[g] to Starts[g+1] of one
// person, Persons[g], on one day.
type People struct {
	Runs    []Run
	Persons []uint32 // one a group
	Starts  []uint32 // one a group, and the number of rows
	First   []uint32 // one a run: its first group; and the number of groups
	Last    uint32   // the largest of Persons
}

// NewPeople finds the groups of rows; persons has one a row. runs become its own.
func NewPeople(runs []Run, persons []uint32) *People {
	p := &People{Runs: runs}
	row := 0
	for _, run := range runs {
		p.First = append(p.First, uint32(len(p.Persons)))
		for i := range run.Rows {
			if i == 0 || persons[row] != persons[row-1] {
				p.Starts = append(p.Starts, uint32(row))
				p.Persons = append(p.Persons, persons[row])
				p.Last = max(p.Last, persons[row])
			}
			row++
		}
	}
	p.Starts = append(p.Starts, uint32(row))
	p.First = append(p.First, uint32(len(p.Persons)))
	return p
}

// Groups gives each row's group: its place in Persons.
func (p *People) Groups() []uint16 {
	out := make([]uint16, p.Rows())
	for g := range p.Persons {
		rows := out[p.Starts[g]:p.Starts[g+1]]
		for i := range rows {
			rows[i] = uint16(g)
		}
	}
	return out
}

// Rows is the number of rows.
func (p *People) Rows() int { return int(p.Starts[len(p.Starts)-1]) }

// Bytes is about what p takes in memory.
func (p *People) Bytes() int64 { return int64(len(p.Runs))*24 + int64(len(p.Persons))*8 }

// Append appends the encoding.
func (p *People) Append(dst []byte) []byte {
	var runs, persons, counts []byte
	group, row, day := 0, 0, int32(0)
	for i, run := range p.Runs {
		last := uint32(0)
		first := group
		end := row + run.Rows
		for ; row < end; group++ {
			local := p.Persons[group] / event.Partitions
			persons = binary.AppendUvarint(persons, uint64(local-last))
			last = local
			n := p.Starts[group+1] - p.Starts[group]
			counts = binary.AppendUvarint(counts, uint64(n-1))
			row += int(n)
		}
		partition := run.Partition
		if i > 0 {
			partition -= p.Runs[i-1].Partition
		}
		runs = binary.AppendUvarint(runs, uint64(partition))
		runs = binary.AppendVarint(runs, int64(run.Day)-int64(day))
		day = run.Day
		runs = binary.AppendUvarint(runs, uint64(group-first))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Runs)))
	dst = binary.AppendUvarint(dst, uint64(len(p.Starts)-1))
	dst = appendSection(dst, runs)
	dst = appendSection(dst, persons)
	return appendSection(dst, counts)
}

// ReadPeople reads what Append made of n rows.
func ReadPeople(b []byte, n int) (*People, error) {
	if n < 0 || n > MaxRows {
		return nil, damaged("too many rows")
	}
	r := &reader{b: b}
	nruns := int(r.uvarint(uint64(n)))
	ngroups := int(r.uvarint(uint64(n)))
	s := getScratch()
	defer putScratch(s)
	runs := reader{b: r.section(nruns*10, &s.bytes)}
	persons := reader{b: r.section(ngroups*5, &s.more)}
	counts := reader{b: r.section(ngroups*3, &s.out)}
	if err := r.end(); err != nil {
		return nil, err
	}
	p := &People{Runs: make([]Run, 0, nruns), Persons: make([]uint32, 0, ngroups), Starts: make([]uint32, 1, ngroups+1)}
	row, partition, day := 0, 0, int64(0)
	for range nruns {
		partition += int(runs.uvarint(event.Partitions - 1))
		day += runs.varint()
		groups := int(runs.uvarint(uint64(ngroups)))
		if partition >= event.Partitions || day != int64(int32(day)) || groups == 0 {
			runs.fail("a run is out of range")
		}
		if runs.err != nil {
			return nil, runs.err
		}
		p.First = append(p.First, uint32(len(p.Persons)))
		first, local := row, uint64(0)
		for range groups {
			local += persons.uvarint(math.MaxUint32)
			count := int(counts.uvarint(uint64(n))) + 1
			person := local*event.Partitions + uint64(partition)
			if person > math.MaxUint32 || count > n-row {
				persons.fail("a person is out of range")
			}
			if persons.err != nil || counts.err != nil {
				return nil, damaged("the persons end early or are out of range")
			}
			row += count
			p.Persons = append(p.Persons, uint32(person))
			p.Last = max(p.Last, uint32(person))
			p.Starts = append(p.Starts, uint32(row))
		}
		p.Runs = append(p.Runs, Run{Partition: partition, Day: int32(day), Rows: row - first})
	}
	if row != n || len(p.Starts) != ngroups+1 || len(runs.b)+len(persons.b)+len(counts.b) > 0 {
		return nil, damaged("the persons are not as many as they should be")
	}
	p.First = append(p.First, uint32(len(p.Persons)))
	return p, nil
}

// Only is the People of some of the rows, in order. Runs stay, also those that
// no row is left of.
func (p *People) Only(rows []uint16) *People {
	most := min(len(rows), len(p.Persons))
	out := &People{Last: p.Last, Runs: make([]Run, len(p.Runs)), First: make([]uint32, 0, len(p.Runs)+1),
		Persons: make([]uint32, 0, most), Starts: make([]uint32, 0, most+1)}
	at, end, group := 0, 0, 0
	for i, run := range p.Runs {
		end += run.Rows
		first := at
		out.First = append(out.First, uint32(len(out.Persons)))
		for at < len(rows) && int(rows[at]) < end {
			for uint32(rows[at]) >= p.Starts[group+1] {
				group++
			}
			out.Persons, out.Starts = append(out.Persons, p.Persons[group]), append(out.Starts, uint32(at))
			next := p.Starts[group+1]
			for at < len(rows) && uint32(rows[at]) < next {
				at++
			}
		}
		out.Runs[i] = Run{Partition: run.Partition, Day: run.Day, Rows: at - first}
	}
	out.Starts, out.First = append(out.Starts, uint32(len(rows))), append(out.First, uint32(len(out.Persons)))
	return out
}
