package query

import (
	"math"
	"slices"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
)

// stretch evaluates filters and reads values on one stretch of rows. Every
// entry of a column's dictionary is tested at most once; rows then only look
// up what came out. One worker reuses its stretch for all rows it reads.
type stretch struct {
	people  People
	memo    memo
	rows    *history.Rows
	codes   []uint32   // of some rows
	nums    []float64  // of some rows
	whose   []int32    // whose some rows are
	leaves  []leafTest // by leaf.id, valid where gen is this stretch's
	gen     uint64
	times   block.Times // where timed is gen
	timed   uint64
	dims    []reading
	numbers []numbers
	person  uint32 // the winner's number, of the row being tested
	row     int
	err     error // of a column that could not be read
	ask     func(*leaf) bool
}

const (
	unknown uint8 = iota
	yes
	no
)

func verdict(ok bool) uint8 {
	if ok {
		return yes
	}
	return no
}

// leafTest is a leaf against one column.
type leafTest struct {
	gen    uint64
	col    *block.Column // nil: no row has the property
	byCode codes[uint8]
	empty  uint8 // the verdict where the property is missing
	limit  float64
	plain  bool
}

func newStretch(people People, d *dictionary, leaves int) *stretch {
	s := &stretch{people: people, memo: memo{d: d, numbers: map[uint64]uint32{}, texts: map[string]uint32{}}, leaves: make([]leafTest, leaves)}
	s.ask = s.leaf
	return s
}

// begin turns to other rows.
func (s *stretch) begin(r *history.Rows) {
	s.rows = r
	s.gen++
}

// holds tests a filter on a row of a person.
func (s *stretch) holds(f *filter, row int, person uint32) bool {
	if f == nil {
		return true
	}
	s.row, s.person = row, person
	return f.holds(s.ask)
}

func (s *stretch) leaf(l *leaf) bool {
	if l.place == ofClock {
		return s.onClock(l)
	}
	t := &s.leaves[l.id]
	at := s.row
	if l.place == ofProfile {
		// A table of people is the same for every stretch: what was tested
		// stays tested.
		at = int(s.person)
		if t.gen == 0 {
			t.gen = 1
			s.prepare(t, l, s.people.Profile(l.key))
		}
	} else if t.gen != s.gen {
		t.gen = s.gen
		col, err := s.column(l.place, l.key)
		if err != nil {
			s.err = err
		}
		s.prepare(t, l, col)
	}
	if t.col == nil || at >= t.col.Len() {
		return t.missing(l)
	}
	if t.col.Numeric() {
		f := t.col.Num(at)
		if math.IsNaN(f) {
			return t.missing(l)
		}
		if t.plain {
			return l.test.against(f, t.limit)
		}
		return l.value(event.OfFloat(f))
	}
	code := t.col.Code(at)
	if code == 0 {
		return t.missing(l)
	}
	known := t.byCode.known
	if known[code-1] == unknown {
		known[code-1] = verdict(l.value(t.col.Dict[code-1]))
	}
	return known[code-1] == yes
}

// onClock tests when the row happened.
func (s *stretch) onClock(l *leaf) bool {
	if s.timed != s.gen {
		times, err := s.rows.Times()
		if err != nil {
			s.err = err
			return false
		}
		s.times, s.timed = times, s.gen
	}
	return l.test.holds(l.test.cal.reads(l.key, s.times.At(s.row)))
}

// value tests what the column holds: the property, or the list of items.
func (l *leaf) value(v event.Value) bool {
	if l.place == ofItem {
		return l.item(v)
	}
	return l.test.holds(v)
}

func (t *leafTest) missing(l *leaf) bool {
	if t.empty == unknown {
		t.empty = verdict(l.value(event.Value{}))
	}
	return t.empty == yes
}

func (s *stretch) prepare(t *leafTest, l *leaf, col *block.Column) {
	t.col, t.empty = col, unknown
	if col == nil {
		return
	}
	if col.Numeric() {
		t.limit, t.plain = l.test.plainNumber()
		t.plain = t.plain && l.place != ofItem
		return
	}
	t.byCode.turn(col.Dict)
}

func cleared[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// column is where a property of events is read from. Items lie under one of
// two names, by dialect; a row that has both counts by the first.
func (s *stretch) column(p place, key string) (*block.Column, error) {
	if p != ofItem {
		return s.rows.Column(key)
	}
	first, err := s.rows.Column(itemKeys[0])
	if err != nil {
		return nil, err
	}
	second, err := s.rows.Column(itemKeys[1])
	if err != nil {
		return nil, err
	}
	switch {
	case first == nil || first.Numeric(): // numbers are no items
		return second, nil
	case second == nil || second.Numeric():
		return first, nil
	}
	both := &block.Column{Codes: make([]uint32, first.Len()), Dict: slices.Concat(first.Dict, second.Dict)}
	for i := range both.Codes {
		if both.Codes[i] = first.Code(i); both.Codes[i] == 0 {
			if code := second.Code(i); code != 0 {
				both.Codes[i] = code + uint32(len(first.Dict))
			}
		}
	}
	return both, nil
}

// reading reads one dimension's value as a number of the dictionary.
type reading struct {
	dim    dimension
	gen    uint64
	col    *block.Column
	byCode codes[uint32] // 0 = not looked up yet
	names  nameCodes
}

// values reads a dimension of some rows, into every nth place of out.
func (s *stretch) values(r *reading, p *picked, out []uint32, n int) {
	switch r.dim.place {
	case ofPerson:
		for k := range p.rows {
			out[k*n] = p.of(s.rows, k)
		}
		return
	case ofName:
		s.named(r, p, out, n)
		return
	}
	s.turn(r)
	rows := s.at(r, p)
	switch {
	case r.col == nil:
		for k := range rows {
			out[k*n] = 0
		}
	case r.col.Numeric():
		s.nums = sized(s.nums, len(rows))
		r.col.NumsOf(rows, s.nums)
		for k, f := range s.nums {
			out[k*n] = s.memo.number(f)
		}
	default:
		s.codes = sized(s.codes, len(rows))
		r.col.CodesOf(rows, s.codes)
		known := r.byCode.known
		for k, code := range s.codes {
			id := uint32(0)
			if code != 0 {
				if id = known[code-1]; id == 0 {
					id = s.idOf(r, code)
				}
			}
			out[k*n] = id
		}
	}
}

// at is where a dimension's column has the values of some rows: in the rows, or
// in a table of people.
func (s *stretch) at(r *reading, p *picked) []int32 {
	if r.dim.place != ofProfile {
		return p.rows
	}
	s.whose = sized(s.whose, len(p.rows))
	for k := range p.rows {
		s.whose[k] = int32(min(p.of(s.rows, k), math.MaxInt32))
	}
	return s.whose
}

// codesOf gives a dimension's column of the stretch at hand if it has codes.
func (s *stretch) codesOf(r *reading) *block.Column {
	s.turn(r)
	if r.dim.place == ofPerson || r.col == nil || r.col.Numeric() {
		return nil
	}
	return r.col
}

// idOf is the number of the dictionary for a code of codesOf.
func (s *stretch) idOf(r *reading, code uint32) uint32 {
	if code == 0 {
		return 0
	}
	known := r.byCode.known
	if known[code-1] == 0 {
		known[code-1] = s.memo.id(r.col.Dict[code-1])
	}
	return known[code-1]
}

// turn brings a reading to the stretch at hand. A table of people is the same
// for all of them.
func (s *stretch) turn(r *reading) {
	switch {
	case r.dim.place == ofPerson:
	case r.dim.place == ofProfile:
		if r.gen == 0 {
			r.gen = 1
			r.begin(s.people.Profile(r.dim.key))
		}
	case r.gen != s.gen:
		r.gen = s.gen
		col, err := s.column(r.dim.place, r.dim.key)
		if err != nil {
			s.err = err
		}
		r.begin(col)
	}
}

func (r *reading) begin(col *block.Column) {
	r.col = col
	if col != nil && !col.Numeric() {
		r.byCode.turn(col.Dict)
	}
}

// numbers reads one property as a number, NaN where it is none.
type numbers struct {
	key    string
	gen    uint64
	col    *block.Column
	byCode codes[float]
}

// floats reads a number of some rows, into every nth place of out.
func (s *stretch) floats(r *numbers, p *picked, out []float64, n int) {
	if r.gen != s.gen {
		r.gen = s.gen
		var err error
		if r.col, err = s.rows.Column(r.key); err != nil {
			s.err = err
			r.col = nil
		}
		if r.col != nil && !r.col.Numeric() {
			r.byCode.turn(r.col.Dict)
		}
	}
	switch {
	case r.col == nil:
		for k := range p.rows {
			out[k*n] = math.NaN()
		}
	case r.col.Numeric() && n == 1:
		r.col.NumsOf(p.rows, out)
	case r.col.Numeric():
		for k, row := range p.rows {
			out[k*n] = r.col.Num(int(row))
		}
	default:
		known := r.byCode.known
		for k, row := range p.rows {
			out[k*n] = math.NaN()
			if code := r.col.Code(int(row)); code != 0 {
				if !known[code-1].set {
					known[code-1] = float{true, numeric(r.col.Dict[code-1])}
				}
				out[k*n] = known[code-1].f
			}
		}
	}
}

// float is a number that was looked at, NaN where it is none.
type float struct {
	set bool
	f   float64
}
