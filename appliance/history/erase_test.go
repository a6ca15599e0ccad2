package history

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestErasedRowsAreNowhere: whatever was frozen when, after Erase no chunk and
// no packed row holds the persons, and all else is as it was.
func TestErasedRowsAreNowhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &house{t: t, dir: tempDir(rt, t), maxShelf: 1, o: Options{FreezeRows: rapid.IntRange(1, 40).Draw(rt, "freeze")}}
		h.start()
		defer func() { h.stop() }()
		m := &model{loc: time.UTC}
		for range rapid.IntRange(1, 3).Draw(rt, "batches") {
			rows := rapid.SliceOfN(anyRow(5), 1, 30).Draw(rt, "rows")
			h.append(rows...)
			m.rows = append(m.rows, rows...)
			switch rapid.IntRange(0, 7).Draw(rt, "then") {
			case 0, 1:
				h.settle()
			case 2, 3:
				h.freezeAll()
				h.compact(rt)
			case 4:
				h.freezeAll()
				h.crash(rt, h.Compact)
			}
			if rapid.IntRange(0, 2).Draw(rt, "erase") == 0 {
				who := rapid.SliceOfN(rapid.Uint32Range(1, 5), 1, 3).Draw(rt, "persons")
				if err := h.Erase(context.Background(), who); err != nil {
					rt.Fatalf("erasing: %v", err)
				}
				m.rows = slices.DeleteFunc(m.rows, func(r Row) bool { return slices.Contains(who, r.Person) })
				h.settle()
				h.onlyListed(rt)
				// The newest head's rows are in memory until then, and it takes no
				// more of these persons.
				h.restart()
			}
		}
		h.settle()
		h.restart()
		if len(m.rows) > 0 {
			compare(rt, h, m)
		}
		h.onlyListed(rt)
	})
}

// compare reads everything and compares it with the model. Keys may be more
// than the rows have that are left: they are those that were ever seen.
func compare(t fataler, h *house, m *model) {
	s := h.Snapshot()
	defer s.Release()
	if s.Rows() != int64(len(m.rows)) {
		t.Fatalf("%d rows, want %d", s.Rows(), len(m.rows))
	}
	compareScan(t, s, m)
	compareSets(t, s, m)
	compareTimelines(t, s, m)
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, r := range m.rows {
		first, last = min(first, r.Time), max(last, r.Time)
	}
	if a, b, ok := s.Bounds(); ok != (len(m.rows) > 0) || ok && (a != first || b != last) {
		t.Fatalf("bounds %d %d %v, want %d %d", a, b, ok, first, last)
	}
}

// onlyListed checks that the shelves hold nothing else than what is listed.
func (h *house) onlyListed(t fataler) {
	list := h.listNow()
	for _, info := range h.shelves.List() {
		if has, err := h.strays(info.ID, list); err != nil || has {
			t.Fatalf("shelf %d holds chunks that are not listed there: %v, %v", info.ID, has, err)
		}
	}
}

func TestEraseWaitsForSnapshots(t *testing.T) {
	h := &house{t: t, dir: t.TempDir(), maxShelf: 1}
	h.start()
	t.Cleanup(func() { h.stop() })
	h.append(row(1, 1, "A", prop("k", "v")), row(2, 1, "A"))
	h.freezeAll()
	s := h.Snapshot()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := h.Erase(ctx, []uint32{1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if got, err := s.Timeline(context.Background(), []uint32{1}, 0, 10, true); err != nil || len(got) != 1 {
		t.Errorf("the snapshot changed: %v, %v", got, err)
	}
	s.Release()
	if err := h.Erase(context.Background(), []uint32{1}); err != nil {
		t.Error(err)
	}
	h.restart() // what the first call could not remove goes now
	h.onlyListed(t)
	if got := h.timeline(true, 1, 2); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestEraseReachesAShelfThatStillTakesWrites(t *testing.T) {
	h := open(t, Options{})
	h.append(row(1, 1, "A"), row(2, 2, "A"))
	h.freezeAll()
	if list := h.shelves.List(); len(list) != 1 || list[0].Closed {
		t.Fatalf("the shelf does not take writes any more: %+v", list)
	}
	if err := h.Erase(context.Background(), []uint32{1}); err != nil {
		t.Fatal(err)
	}
	if got := h.timeline(true, 1, 2); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	h.onlyListed(t)
}
