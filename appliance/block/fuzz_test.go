package block

import (
	"errors"
	"math"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// check fails on an error that does not say that the bytes are damaged.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Errorf("error without ErrDamaged: %v", err)
	}
}

func small() (*People, []int64) {
	return NewPeople([]Run{{1, 10, 3}, {1, 11, 2}, {2, 10, 1}}, []uint32{1, 65, 65, 1, 1, 130}),
		[]int64{864_000_000_000, 864_000_001_000, 864_000_060_000, 950_400_000_000, 950_400_000_000, 864_000_000_000}
}

func FuzzRows(f *testing.F) {
	people, times := small()
	f.Add(people.Append(nil), AppendTimes(nil, people, times), uint16(6))
	f.Fuzz(func(t *testing.T, pb, tb []byte, n uint16) {
		p, err := ReadPeople(pb, int(n))
		check(t, err)
		if err != nil {
			return
		}
		if p.Rows() != int(n) {
			t.Fatalf("%d rows", p.Rows())
		}
		got, err := ReadTimes(tb, p)
		check(t, err)
		if err == nil && got.Len() != int(n) {
			t.Fatalf("%d times", got.Len())
		}
	})
}

func FuzzCodes(f *testing.F) {
	f.Add(AppendEvents(nil, []uint16{1, 2, 300}), uint16(3))
	f.Add(AppendTies(nil, []uint32{0, 1 << 20}), uint16(2))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		_, err := ReadEvents(b, int(n), 1024)
		check(t, err)
		_, err = ReadTies(b, int(n))
		check(t, err)
	})
}

func FuzzColumn(f *testing.F) {
	for _, c := range []*Column{
		{Nums: []float64{1, 2.5, 1e300}}, {Nums: []float64{1, 2, 3}}, {Nums: []float64{1e6, 2e6, 1e6}},
		{Codes: []uint32{1, 0, 2}, Dict: []event.Value{event.OfText("a"), event.OfBool(true)}},
	} {
		f.Add(AppendColumn(nil, c, crowd(3, 1)), uint16(3), uint8(1))
	}
	f.Add(AppendColumn(nil, &Column{Nums: []float64{1, 1, 1, math.NaN(), 2, 2, 2, 2}}, crowd(8, 4)), uint16(8), uint8(4))
	f.Add(AppendColumn(nil, &Column{Codes: []uint32{1, 1, 1, 1, 2, 1, 1, 1}, Dict: []event.Value{event.OfText("a"), event.OfBool(true)}}, crowd(8, 8)), uint16(8), uint8(8))
	f.Add([]byte{kindRaw, presentAll, 4, event0(event.OfInt(1)), 2}, uint16(1), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint16, each uint8) {
		c, err := ReadColumn(b, crowd(int(n), max(int(each), 1)))
		check(t, err)
		if err != nil {
			return
		}
		if c.Len() != int(n) {
			t.Fatalf("%d rows", c.Len())
		}
		for i := range int(n) {
			c.Value(i) // every code is in the dictionary
		}
	})
}

func event0(v event.Value) byte { return event.AppendValue(nil, v)[0] }

func FuzzDescriptions(f *testing.F) {
	f.Add((&Info{Rows: 2, Slices: []Slice{{Partition: 1, Rows: 2}}, Names: []Name{{Rows: 2}}, Columns: []uint16{3}}).Append(nil))
	part, err := (&Part{Chunks: 1, Sets: []Set{{Length: 3, People: 1}}, Seen: roaring.BitmapOf(4)}).Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(part)
	set, err := AppendSet(nil, roaring.BitmapOf(1, 2, 70_000))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(set)
	f.Add([]byte{setGaps, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 3})
	f.Add(appendSection(nil, portable(roaring.BitmapOf(1, 2, 70_000))))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := ReadInfo(b)
		check(t, err)
		_, err = ReadPart(b)
		check(t, err)
		if s, err := ReadSet(b, 3); err != nil {
			check(t, err)
		} else if s.GetCardinality() != 3 || s.Validate() != nil {
			t.Fatal("not the people it should be")
		}
	})
}
