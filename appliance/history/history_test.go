package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

const noon = int64(1_700_000_000_000_000) // 2023-11-14 22:13:20 UTC

func row(person uint32, at int64, name string, props ...event.Prop) Row {
	return Row{Person: person, Time: noon + at*1_000_000, Name: name, Props: props}
}

func prop(key string, v any) event.Prop {
	switch v := v.(type) {
	case int:
		return event.Prop{Key: key, Value: event.OfInt(int64(v))}
	case float64:
		return event.Prop{Key: key, Value: event.OfFloat(v)}
	case string:
		return event.Prop{Key: key, Value: event.OfText(v)}
	case event.Value:
		return event.Prop{Key: key, Value: v}
	}
	panic("prop")
}

// timeline reads all rows of some people as text.
func (h *house) timeline(asc bool, persons ...uint32) []string {
	h.t.Helper()
	s := h.Snapshot()
	defer s.Release()
	rows, err := s.Timeline(context.Background(), persons, 0, 1<<30, asc)
	if err != nil {
		h.t.Fatal(err)
	}
	return texts(rows)
}

func texts(rows []Row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%d %d %s %s", r.Person, r.Time-noon, r.Name, event.AppendJSONProps(nil, r.Props)))
	}
	return out
}

func TestRowsAreVisibleWithCommittedAndStay(t *testing.T) {
	h := open(t, Options{})
	before := h.Snapshot()
	defer before.Release()
	rows := []Row{
		row(1, 5, "Viewed", prop("sku", "a"), prop("price", 2.5)),
		row(65, 1, "Charged", prop("price", 3), prop("items", event.OfList([]event.Value{event.OfInt(1), event.OfText("x")}))),
		row(1, 3, "Viewed", prop("price", "free")),
		row(1, 3, "Charged", event.Prop{Key: "card", Value: event.OfText("4111"), Personal: true}),
	}
	if err := h.db.Update(func(t *kv.Txn) error { return h.Append(t, rows) }); err != nil {
		t.Fatal(err)
	}
	if s := h.Snapshot(); s.Rows() != 0 {
		t.Errorf("%d rows before Committed", s.Rows())
	}
	h.Committed()
	want := []string{
		`65 1000000 Charged {"items":[1,"x"],"price":3}`,
		`1 3000000 Viewed {"price":"free"}`,
		`1 3000000 Charged {}`,
		`1 5000000 Viewed {"price":2.5,"sku":"a"}`,
	}
	for range 2 {
		if got := h.timeline(true, 65, 1); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		h.restart()
	}
	if before.Rows() != 0 {
		t.Error("an old snapshot changed")
	}
	s := h.Snapshot()
	defer s.Release()
	if got := s.Keys("Charged"); !slices.Equal(got, []string{"items", "price"}) {
		t.Errorf("keys %q", got)
	}
	if got := s.Names(); len(got) != 2 || got[1] != (NameInfo{"Viewed", 2, noon + 3e6, noon + 5e6}) {
		t.Errorf("names %v", got)
	}
	if first, last, ok := s.Bounds(); !ok || first != noon+1e6 || last != noon+5e6 {
		t.Errorf("bounds %d %d %v", first, last, ok)
	}
}

func TestPeopleByDayOfThePublisher(t *testing.T) {
	loc, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, Options{Location: loc})
	// 22:13:20 UTC is 03:43:20 of the next day there.
	h.append(row(1, 0, "A"), row(2, -4*3600, "A"), row(3, 0, "B"))
	old := h.Snapshot()
	defer old.Release()
	h.append(row(4, 1, "A"))
	s := h.Snapshot()
	defer s.Release()
	days := s.Days("A")
	if !slices.Equal(days, []int32{19675, 19676}) {
		t.Fatalf("days %v", days)
	}
	for _, c := range []struct {
		s    *Snapshot
		day  int32
		want []uint32
	}{{s, 19676, []uint32{1, 4}}, {old, 19676, []uint32{1}}, {s, 19675, []uint32{2}}, {s, 7, nil}} {
		set, err := c.s.People("A", c.day)
		if err != nil || !slices.Equal(set.ToArray(), c.want) && set.GetCardinality() > 0 {
			t.Errorf("day %d: %v, %v, want %v", c.day, set, err, c.want)
		}
	}
}

func TestCeilings(t *testing.T) {
	var refused []string
	h := open(t, Options{Refused: func(name, key string) { refused = append(refused, name+"/"+key) }})
	var rows []Row
	for i := range MaxNames {
		rows = append(rows, row(1, int64(i), fmt.Sprintf("name %d", i)))
	}
	for i := range MaxKeys {
		rows = append(rows, row(1, int64(i), "name 0", prop(fmt.Sprintf("key %d", i), i)))
	}
	h.append(rows...)
	h.append(row(1, 1, "one more"), row(1, 2, "name 1", prop("one more", 1), prop("key 1", 1)))
	if want := []string{"one more/", "name 1/one more"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q", refused)
	}
	s := h.Snapshot()
	defer s.Release()
	if n := s.Rows(); n != MaxNames+MaxKeys+1 {
		t.Errorf("%d rows", n)
	}
}

func TestAppendAfterClose(t *testing.T) {
	h := open(t, Options{})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	err := h.db.Update(func(t *kv.Txn) error { return h.Append(t, []Row{row(1, 1, "A")}) })
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
