package block

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
)

// rows are a block's, in its order.
type rows struct {
	people *People
	times  []int64
}

// anyRows draws rows of a few partitions, days and people.
func anyRows() *rapid.Generator[rows] {
	return rapid.Custom(func(t *rapid.T) rows {
		var out rows
		var runs []Run
		var persons []uint32
		unit := rapid.SampledFrom(units[:]).Draw(t, "unit")
		partition := 0
		for range rapid.IntRange(1, 4).Draw(t, "partitions") {
			partition += rapid.IntRange(0, 15).Draw(t, "skip")
			day := rapid.Int32Range(-3, 20_000).Draw(t, "day")
			for range rapid.IntRange(1, 3).Draw(t, "days") {
				run := Run{Partition: partition, Day: day}
				local := uint32(0)
				for range rapid.IntRange(1, 4).Draw(t, "people") {
					local += rapid.SampledFrom([]uint32{0, 1, 2, 300, 1 << 20}).Draw(t, "local")
					at := int64(day)*86_400_000_000 + rapid.Int64Range(0, 1000).Draw(t, "at")*unit
					n := rapid.IntRange(1, 5).Draw(t, "rows")
					if len(persons) > 0 && run.Rows > 0 && persons[len(persons)-1] == local*event.Partitions+uint32(partition) {
						at = out.times[len(out.times)-1]
					}
					for range n {
						at += rapid.SampledFrom([]int64{0, 1, 1000}).Draw(t, "step") * unit
						persons = append(persons, local*event.Partitions+uint32(partition))
						out.times = append(out.times, at)
					}
					run.Rows += n
				}
				runs = append(runs, run)
				day += rapid.Int32Range(1, 400).Draw(t, "days between")
			}
			partition++
		}
		out.people = NewPeople(runs, persons)
		return out
	})
}

func TestRowsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyRows().Draw(t, "rows")
		n := len(in.times)
		people, err := ReadPeople(in.people.Append(nil), n)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(people.Persons, in.people.Persons) || !slices.Equal(people.Runs, in.people.Runs) || !slices.Equal(people.Starts, in.people.Starts) || !slices.Equal(people.First, in.people.First) || !slices.Equal(people.Groups(), in.people.Groups()) {
			t.Fatalf("people %v, want %v", people, in.people)
		}
		times, err := ReadTimes(AppendTimes(nil, in.people, in.times), people)
		if err != nil || !slices.Equal(instants(times), in.times) {
			t.Fatalf("times %v, %v, want %v", instants(times), err, in.times)
		}
		from := rapid.IntRange(0, n).Draw(t, "from")
		if got := times.Slice(from, n); !slices.Equal(instants(got), in.times[from:]) {
			t.Fatalf("times from %d are %v", from, instants(got))
		}
		in2 := make([]int64, n-from)
		if times.In(from, n, in2); !slices.Equal(in2, in.times[from:]) {
			t.Fatalf("times in %d to %d are %v", from, n, in2)
		}
		some := someOf(t, n)
		few, at := people.Only(some), times.Only(some)
		var whose []uint32
		for i, row := range some {
			whose = append(whose, people.Persons[people.Groups()[row]])
			if at.At(i) != in.times[row] {
				t.Fatalf("of the rows %v, %d is at %d", some, i, at.At(i))
			}
		}
		runs := slices.Clone(people.Runs)
		for i, row := 0, 0; i < len(runs); i++ {
			end := row + people.Runs[i].Rows
			runs[i].Rows = 0
			for _, s := range some {
				if int(s) >= row && int(s) < end {
					runs[i].Rows++
				}
			}
			row = end
		}
		if want := NewPeople(runs, whose); !reflect.DeepEqual(few.Starts, want.Starts) || !slices.Equal(few.First, want.First) || !slices.Equal(few.Groups(), want.Groups()) || !slices.Equal(few.Persons, want.Persons) || !slices.Equal(few.Runs, want.Runs) {
			t.Fatalf("of the rows %v, people are %v, want %v", some, few, want)
		}
		events := rapid.SliceOfN(rapid.Uint16Range(0, 300), n, n).Draw(t, "events")
		if got, err := ReadEvents(AppendEvents(nil, events), n, 301); err != nil || !slices.Equal(got, events) {
			t.Fatalf("events %v, %v, want %v", got, err, events)
		}
		ties := rapid.SliceOfN(rapid.Uint32Range(0, rapid.SampledFrom([]uint32{0, 1, 300, 1 << 31}).Draw(t, "most")), n, n).Draw(t, "ties")
		if got, err := ReadTies(AppendTies(nil, ties), n); err != nil || !slices.Equal(got, ties) {
			t.Fatalf("ties %v, %v, want %v", got, err, ties)
		}
	})
}

// crowd is n rows of about so many each of people.
func crowd(n, each int) *People {
	persons := make([]uint32, n)
	for i := range persons {
		persons[i] = uint32(i/each) * event.Partitions
		if i/each%5 == 0 {
			persons[i] = uint32(i) * event.Partitions // each one's own
		}
	}
	return NewPeople([]Run{{Rows: n}}, persons)
}

// anyColumn draws columns of every kind.
func anyColumn(n int) *rapid.Generator[*Column] {
	return rapid.Custom(func(t *rapid.T) *Column {
		missing, repeats := rapid.IntRange(0, 3).Draw(t, "missing"), rapid.SampledFrom([]int{0, 9}).Draw(t, "repeats")
		number := rapid.SampledFrom([]func() float64{
			func() float64 { return float64(rapid.IntRange(-5, 5).Draw(t, "small")) },
			func() float64 { return float64(rapid.Int64Range(-1<<52, 1<<52).Draw(t, "whole")) },
			func() float64 { return float64(rapid.IntRange(0, 100_000).Draw(t, "cents")) / 100 },
			func() float64 { return float64(rapid.IntRange(0, 3).Draw(t, "few")) * 1e15 },
			func() float64 { return rapid.Float64().Draw(t, "any") },
		})
		if rapid.Bool().Draw(t, "numbers") {
			one := number.Draw(t, "kind")
			c := &Column{Nums: make([]float64, n)}
			for i := range c.Nums {
				if c.Nums[i] = one(); i > 0 && rapid.IntRange(0, 9).Draw(t, "repeats") < repeats {
					c.Nums[i] = c.Nums[i-1]
				}
				if i > 0 && rapid.IntRange(0, 3).Draw(t, "has") < missing {
					c.Nums[i] = math.NaN()
				}
			}
			return c
		}
		c := &Column{Codes: make([]uint32, n)}
		for i := range rapid.IntRange(1, 700).Draw(t, "values") {
			c.Dict = append(c.Dict, event.OfText(fmt.Sprint("v", i)), event.OfInt(int64(i)), event.OfList([]event.Value{event.OfBool(true), {}}))
		}
		for i := range c.Codes {
			if i == 0 || rapid.IntRange(0, 3).Draw(t, "has") >= missing {
				c.Codes[i] = rapid.Uint32Range(1, uint32(len(c.Dict))).Draw(t, "code")
				if i > 0 && c.Codes[i-1] > 0 && rapid.IntRange(0, 9).Draw(t, "repeats") < repeats {
					c.Codes[i] = c.Codes[i-1]
				}
			}
		}
		return c
	})
}

func TestColumnsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 9, 64, 600}).Draw(t, "rows")
		in := anyColumn(n).Draw(t, "column")
		people := crowd(n, rapid.SampledFrom([]int{1, 3, 10, 600}).Draw(t, "each"))
		out, err := ReadColumn(AppendColumn(nil, in, people), people)
		if err != nil {
			t.Fatal(err)
		}
		if out.Len() != n || out.Numeric() != in.Numeric() {
			t.Fatalf("a column of %d rows, want %d", out.Len(), n)
		}
		from := rapid.IntRange(0, n).Draw(t, "from")
		rows := make([]int32, 0, n)
		for i := range n {
			if !out.Value(i).Equal(in.Value(i)) || !out.Wide().Value(i).Equal(in.Value(i)) {
				t.Fatalf("row %d is %v, want %v", i, out.Value(i), in.Value(i))
			}
			if i >= from {
				rows = append(rows, int32(i-from))
			}
		}
		rows = append(rows, int32(n+70)) // beyond it
		if from < n {
			sameRows(t, out.Slice(from, n), out.Slice(from, n).Wide(), rows[:len(rows)-1])
		}
		some := someOf(t, n)
		few := out.Only(some)
		for i, row := range some {
			if !few.Value(i).Equal(in.Value(int(row))) {
				t.Fatalf("of the rows %v, %d is %v, want %v", some, i, few.Value(i), in.Value(int(row)))
			}
		}
		if out.Numeric() {
			return
		}
		sameRows(t, out.Wide(), out.Wide(), rows)
	})
}

// sameRows compares a column with a wide one, row by row and all at once.
func sameRows(t *rapid.T, c, wide *Column, rows []int32) {
	codes, nums := make([]uint32, len(rows)), make([]float64, len(rows))
	if c.Numeric() {
		c.NumsOf(rows, nums)
	} else {
		c.CodesOf(rows, codes)
		counts := make([]int32, len(c.Dict)+1)
		c.CountCodes(rows, counts)
		for _, code := range codes {
			counts[code]--
		}
		if n := c.Len(); int(rows[len(rows)-1]) == n-1 { // all of them
			c.CountCodesIn(0, n, counts)
			for row := range n {
				counts[c.Code(row)]--
			}
		}
		if slices.Max(counts) != 0 || slices.Min(counts) != 0 {
			t.Fatalf("codes were counted wrong: %v", counts)
		}
	}
	for i, row := range rows {
		switch {
		case int(row) >= wide.Len():
			if codes[i] != 0 {
				t.Fatalf("row %d, beyond the column, has code %d", row, codes[i])
			}
		case c.Numeric():
			if want := wide.Nums[row]; nums[i] != want && !(math.IsNaN(nums[i]) && math.IsNaN(want)) || math.Float64bits(c.Num(int(row))) != math.Float64bits(nums[i]) && !math.IsNaN(want) {
				t.Fatalf("row %d is %v and %v, want %v", row, nums[i], c.Num(int(row)), want)
			}
		case codes[i] != wide.Codes[row] || c.Code(int(row)) != codes[i]:
			t.Fatalf("row %d has the codes %d and %d, want %d", row, codes[i], c.Code(int(row)), wide.Codes[row])
		}
	}
}

// someOf draws some of n rows, in order.
func someOf(t *rapid.T, n int) []uint16 {
	var out []uint16
	for row := range n {
		if rapid.IntRange(0, 2).Draw(t, "has") == 0 {
			out = append(out, uint16(row))
		}
	}
	return out
}

func instants(t Times) []int64 {
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.At(i)
	}
	return out
}

func TestInfoComesBack(t *testing.T) {
	in := &Info{
		Generation: 7, Shelf: 3, Rows: 300, First: -5, Last: 900, Ties: true, Bytes: 12345,
		Slices:  []Slice{{Partition: 2, Rows: 100, FirstDay: -1, LastDay: 5, First: -5, Last: 7}, {Partition: 63, Rows: 200, FirstDay: 3, LastDay: 3, First: 0, Last: 900}},
		Names:   []Name{{Code: 9, Rows: 299, First: -5, Last: 900}, {Code: 1, Rows: 1, First: 4, Last: 4}},
		Columns: []uint16{0, 5, 2047},
	}
	out, err := ReadInfo(in.Append(nil))
	if err != nil || fmt.Sprint(out) != fmt.Sprint(in) {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestPartComesBack(t *testing.T) {
	set := roaring.BitmapOf(1, 2, 3, 1<<20)
	chunk, err := AppendSet([]byte("before"), set)
	if err != nil {
		t.Fatal(err)
	}
	in := &Part{Generation: 7, Chunks: 2, Seen: roaring.BitmapOf(1, 5*SeenKeys), Sets: []Set{
		{Name: 0, Day: -3, Chunk: 0, Offset: 0, Length: 10, People: 2}, {Name: 0, Day: 4, Chunk: 0, Offset: 10, Length: 3, People: 1}, {Name: 5, Day: -9, Chunk: 1, Offset: 0, Length: 9, People: 1},
	}}
	b, err := in.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ReadPart(b)
	if err != nil || !slices.Equal(out.Sets, in.Sets) || !out.Seen.Equals(in.Seen) || out.Generation != 7 || out.Chunks != 2 {
		t.Errorf("got %v, %v", out, err)
	}
	if got, err := ReadSet(chunk[6:], 4); err != nil || !got.Equals(set) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ReadSet(chunk[6:], 5); !errors.Is(err, ErrDamaged) {
		t.Errorf("a set of the wrong size: %v", err)
	}
}

func portable(set *roaring.Bitmap) []byte {
	b, err := set.ToBytes()
	if err != nil {
		panic(err) // memory does not fail to take it
	}
	return b
}

// TestSetsComeBack is of sparse, dense and clustered sets, in the form that is
// chosen and in both.
func TestSetsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := roaring.New()
		at := uint64(rapid.SampledFrom([]uint32{0, 1, 1 << 16, math.MaxUint32 - 3}).Draw(t, "first"))
		for range rapid.IntRange(1, 6).Draw(t, "stretches") {
			step := rapid.SampledFrom([]uint64{1, 2, 7, 100, 1 << 16, 1 << 25}).Draw(t, "step")
			for range rapid.SampledFrom([]int{1, 2, 100, 9_000}).Draw(t, "people") {
				if at <= math.MaxUint32 {
					set.Add(uint32(at))
				}
				at += 1 + (at*0x9E3779B97F4A7C15>>40)%step // irregular, yet nothing to draw
			}
		}
		people := int(set.GetCardinality())
		chosen, err := AppendSet(nil, set)
		if err != nil {
			t.Fatal(err)
		}
		gaps := appendGaps([]byte{setGaps}, set, math.MaxUint64)
		for name, b := range map[string][]byte{"chosen": chosen, "gaps": gaps, "roaring": appendSection(nil, portable(set))} {
			if name == "chosen" && len(b) > len(portable(set))+4 {
				t.Fatalf("%d bytes, roaring has %d", len(b), len(portable(set)))
			}
			got, err := ReadSet(b, people)
			if err != nil || !got.Equals(set) || got.Validate() != nil {
				t.Fatalf("%s: %v, %v, want %v", name, got, err, set)
			}
			for _, wrong := range []int{people - 1, people + 1, math.MaxInt} {
				if _, err := ReadSet(b, wrong); !errors.Is(err, ErrDamaged) {
					t.Fatalf("%s: a set of %d people as one of %d: %v", name, people, wrong, err)
				}
			}
			for _, end := range []int{0, 1, len(b) / 2, len(b) - 1} {
				if _, err := ReadSet(b[:end], people); !errors.Is(err, ErrDamaged) {
					t.Fatalf("%s: %d bytes of %d: %v", name, end, len(b), err)
				}
			}
		}
	})
}

// TestFullBlock is a block of as many rows as there can be, of one person.
func TestFullBlock(t *testing.T) {
	persons, times, values := make([]uint32, MaxRows), make([]int64, MaxRows), &Column{Codes: make([]uint32, MaxRows)}
	for i := range persons {
		persons[i], times[i], values.Codes[i] = 65, int64(i/3), uint32(i)+1
		values.Dict = append(values.Dict, event.OfText(fmt.Sprint("session ", i)))
	}
	in := NewPeople([]Run{{Partition: 1, Day: 0, Rows: MaxRows}}, persons)
	people, err := ReadPeople(in.Append(nil), MaxRows)
	if err != nil || people.Rows() != MaxRows || !slices.Equal(people.Persons, []uint32{65}) {
		t.Fatal(err)
	}
	if got, err := ReadTimes(AppendTimes(nil, in, times), people); err != nil || !slices.Equal(instants(got), times) {
		t.Fatal(err)
	}
	b := AppendColumn(nil, values, people)
	if b[0] != kindRaw {
		t.Errorf("kind %d for values of their own", b[0])
	}
	got, err := ReadColumn(b, people)
	if err != nil || !got.Value(MaxRows-1).Equal(values.Value(MaxRows-1)) {
		t.Fatal(err)
	}
}
