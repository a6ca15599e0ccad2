package block

import (
	"encoding/hex"
	"flag"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

var update = flag.Bool("update", false, "write the golden bytes anew: only for a version that was never released")

// TestGoldenV1 reads the bytes that version 1 wrote. What compresses may write
// other bytes later, so they are read back, never compared with new ones.
func TestGoldenV1(t *testing.T) {
	people := NewPeople([]Run{{Partition: 1, Day: 20_000, Rows: 3}, {Partition: 5, Day: 20_001, Rows: 2}}, []uint32{65, 65, 193, 5, 69})
	times := []int64{1_728_000_000_000_000, 1_728_000_060_000_000, 1_728_000_001_000_000, 1_728_086_400_000_000, 1_728_086_400_000_000}
	numbers := &Column{Nums: []float64{1.5, math.NaN(), 2, 2, -7.25}}
	texts := &Column{Codes: []uint32{1, 2, 0, 1, 1}, Dict: []event.Value{event.OfText("IN"), event.OfText("Grüße")}}
	set := roaring.BitmapOf(5, 65, 193)
	info := &Info{
		Generation: 7, Shelf: 2, Rows: 5, First: times[0], Last: times[4],
		Slices: []Slice{
			{Partition: 1, Rows: 3, FirstDay: 20_000, LastDay: 20_000, First: times[0], Last: times[1]},
			{Partition: 5, Rows: 2, FirstDay: 20_001, LastDay: 20_001, First: times[3], Last: times[4]},
		},
		Names: []Name{{Code: 3, Rows: 5, First: times[0], Last: times[4]}}, Columns: []uint16{2, 9}, Ties: true, Bytes: 321,
	}
	setBytes, err := AppendSet(nil, set)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/v1.txt", []goldenPart{
		{"people", people.Append(nil), func(b []byte) (any, error) { return ReadPeople(b, 5) }, people},
		{"times", AppendTimes(nil, people, times), func(b []byte) (any, error) {
			t, err := ReadTimes(b, people)
			return instants(t), err
		}, times},
		{"events", AppendEvents(nil, []uint16{0, 1, 0, 300, 1}), func(b []byte) (any, error) { return ReadEvents(b, 5, 301) }, []uint16{0, 1, 0, 300, 1}},
		{"numbers", AppendColumn(nil, numbers, people), func(b []byte) (any, error) { return values(ReadColumn(b, people)) }, mustValues(numbers)},
		{"texts", AppendColumn(nil, texts, people), func(b []byte) (any, error) { return values(ReadColumn(b, people)) }, mustValues(texts)},
		{"set", setBytes, func(b []byte) (any, error) {
			s, err := ReadSet(b, 3)
			if err != nil {
				return nil, err
			}
			return s.ToArray(), nil
		}, set.ToArray()},
		{"info", info.Append(nil), func(b []byte) (any, error) { return ReadInfo(b) }, info},
	})
}

// TestGoldenV2 reads the kinds that came later.
func TestGoldenV2(t *testing.T) {
	set := roaring.BitmapOf(5, 65, 193, 70_000)
	setBytes, err := AppendSet(nil, set)
	if err != nil {
		t.Fatal(err)
	}
	people := NewPeople([]Run{{Partition: 1, Day: 20_000, Rows: 8}, {Partition: 1, Day: 20_001, Rows: 4}}, []uint32{65, 65, 65, 65, 65, 65, 129, 129, 129, 129, 129, 129})
	numbers := &Column{Nums: []float64{1.5, math.NaN(), 1.5, 1.5, 2, 2, 2, 2, 7, 7, 7, 7}}
	texts := &Column{Codes: []uint32{1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1}, Dict: []event.Value{event.OfText("IN"), event.OfText("Grüße")}}
	golden(t, "testdata/v2.txt", []goldenPart{
		{"numbers", AppendColumn(nil, numbers, people), func(b []byte) (any, error) { return values(ReadColumn(b, people)) }, mustValues(numbers)},
		{"texts", AppendColumn(nil, texts, people), func(b []byte) (any, error) { return values(ReadColumn(b, people)) }, mustValues(texts)},
		{"gaps", setBytes, func(b []byte) (any, error) {
			s, err := ReadSet(b, 4)
			if err != nil {
				return nil, err
			}
			return s.ToArray(), nil
		}, set.ToArray()},
	})
}

type goldenPart struct {
	name  string
	bytes []byte
	read  func(b []byte) (any, error)
	want  any
}

// golden reads the bytes that a file has of each part.
func golden(t *testing.T, file string, parts []goldenPart) {
	if *update {
		var out strings.Builder
		for _, p := range parts {
			out.WriteString(p.name + " " + hex.EncodeToString(p.bytes) + "\n")
		}
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(golden)), "\n")
	if len(lines) != len(parts) {
		t.Fatalf("%s has %d lines, not %d", file, len(lines), len(parts))
	}
	for i, p := range parts {
		name, text, _ := strings.Cut(lines[i], " ")
		b, err := hex.DecodeString(text)
		if err != nil || name != p.name {
			t.Fatalf("%s line %d: %q, %v", file, i+1, name, err)
		}
		got, err := p.read(b)
		if err != nil || !reflect.DeepEqual(got, p.want) {
			t.Errorf("%s reads back as %v (%v), not %v", p.name, got, err, p.want)
		}
	}
}

// TestGoldenInfo2 reads a description as version 2 wrote it.
func TestGoldenInfo2(t *testing.T) {
	info := &Info{
		Generation: 7, Order: 300, Shelf: 2, Rows: 3, First: 1_728_000_000_000_000, Last: 1_728_000_060_000_000,
		Slices: []Slice{{Partition: 1, Rows: 3, FirstDay: 20_000, LastDay: 20_000, First: 1_728_000_000_000_000, Last: 1_728_000_060_000_000}},
		Names:  []Name{{Code: 3, Rows: 3, First: 1_728_000_000_000_000, Last: 1_728_000_060_000_000}}, Columns: []uint16{2, 9}, Bytes: 321,
	}
	const golden = "0207ac0202038080e0a2ebe69106808ece1c010103c0b8020000808ece1c01030300808ece1c02020700c102"
	if got := hex.EncodeToString(info.Append(nil)); got != golden {
		t.Errorf("wrote %s", got)
	}
	b, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadInfo(b); err != nil || !reflect.DeepEqual(got, info) {
		t.Errorf("reads back as %+v (%v)", got, err)
	}
}

// values are a column's as texts, since NaN equals nothing.
func values(c *Column, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return mustValues(c), nil
}

func mustValues(c *Column) (out []string) {
	for row := range c.Len() {
		v := c.Value(row)
		out = append(out, string(v.AppendJSON(nil)))
	}
	return out
}
