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
	leaves  []leafTest // by leaf.id, valid where gen is this stretch's
	gen     uint64
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
	s := &stretch{people: people, memo: memo{d: d, numbers: map[uint64]uint32{}}, leaves: make([]leafTest, leaves)}
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
	if t.col.Nums != nil {
		f := t.col.Nums[at]
		if math.IsNaN(f) {
			return t.missing(l)
		}
		if t.plain {
			return l.test.against(f, t.limit)
		}
		return l.value(event.OfFloat(f))
	}
	code := t.col.Codes[at]
	if code == 0 {
		return t.missing(l)
	}
	known := t.byCode.known
	if known[code-1] == unknown {
		known[code-1] = verdict(l.value(t.col.Dict[code-1]))
	}
	return known[code-1] == yes
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
	if col.Nums != nil {
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
	case first == nil || first.Nums != nil: // numbers are no items
		return second, nil
	case second == nil || second.Nums != nil:
		return first, nil
	}
	both := &block.Column{Codes: slices.Clone(first.Codes), Dict: slices.Concat(first.Dict, second.Dict)}
	for i, code := range second.Codes {
		if both.Codes[i] == 0 && code != 0 {
			both.Codes[i] = code + uint32(len(first.Dict))
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
}

func (s *stretch) value(r *reading, row int, person uint32) uint32 {
	at := row
	switch {
	case r.dim.place == ofPerson:
		return person
	case r.dim.place == ofProfile:
		at = int(person)
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
	if r.col == nil || at >= r.col.Len() {
		return 0
	}
	if r.col.Nums != nil {
		return s.memo.number(r.col.Nums[at])
	}
	code := r.col.Codes[at]
	if code == 0 {
		return 0
	}
	known := r.byCode.known
	if known[code-1] == 0 {
		known[code-1] = s.memo.d.id(r.col.Dict[code-1])
	}
	return known[code-1]
}

func (r *reading) begin(col *block.Column) {
	r.col = col
	if col != nil && col.Nums == nil {
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

func (s *stretch) number(n *numbers, row int) float64 {
	if n.gen != s.gen {
		n.gen = s.gen
		var err error
		if n.col, err = s.rows.Column(n.key); err != nil {
			s.err = err
			n.col = nil
		}
		if n.col != nil && n.col.Nums == nil {
			n.byCode.turn(n.col.Dict)
		}
	}
	if n.col == nil {
		return math.NaN()
	}
	if n.col.Nums != nil {
		return n.col.Nums[row]
	}
	if code := n.col.Codes[row]; code != 0 {
		known := n.byCode.known
		if !known[code-1].set {
			known[code-1] = float{true, numeric(n.col.Dict[code-1])}
		}
		return known[code-1].f
	}
	return math.NaN()
}

// float is a number that was looked at, NaN where it is none.
type float struct {
	set bool
	f   float64
}
