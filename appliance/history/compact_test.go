package history

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// TestRewritingKeepsTheOrderOfOneInstant: a person's rows of one instant, in
// more than one block, after another person was erased from the first.
func TestRewritingKeepsTheOrderOfOneInstant(t *testing.T) {
	h := &house{t: t, dir: t.TempDir(), maxShelf: 1}
	h.start()
	t.Cleanup(func() { h.stop() })
	const n = 70_000
	rows := []Row{row(7, 1, "Other")}
	for i := range n {
		rows = append(rows, row(71, 1, "Tick", prop("i", i)))
	}
	h.fill(rows)
	h.freezeAll()
	if err := h.Erase(context.Background(), []uint32{7}); err != nil {
		t.Fatal(err)
	}
	s := h.Snapshot()
	defer s.Release()
	got, err := s.Timeline(context.Background(), []uint32{71}, 0, n, true)
	if err != nil || len(got) != n {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i, r := range got {
		if v, _ := r.Props[0].Value.Number(); int(v) != i {
			t.Fatalf("row %v where %d should be", v, i)
		}
	}
	next := 0.0
	err = s.Scan(context.Background(), 7, Want{}, func(r *Rows) error {
		c, err := r.Column("i")
		if err != nil {
			return err
		}
		for row := range r.Len() {
			if v, _ := c.Value(row).Number(); v != next {
				return fmt.Errorf("row %v where %v should be", v, next)
			}
			next++
		}
		return nil
	})
	if err != nil {
		t.Errorf("scan: %v", err)
	}
}

// TestWhatIsMergedWhen: the rules of DESIGN.md.
func TestWhatIsMergedWhen(t *testing.T) {
	const k = 1 << 10
	for _, c := range []struct {
		weights []int64 // in Ki rows, oldest first
		all     bool
		want    []int64
	}{
		{weights: []int64{32, 32, 32, 32, 32, 32, 32}},
		{weights: []int64{32, 32, 32, 32, 32, 32, 32, 32, 32}, want: []int64{32, 32, 32, 32, 32, 32, 32, 32}},
		{weights: []int64{32, 2000, 32, 32}},
		{weights: []int64{100, 100, 100, 100}, want: []int64{100, 100, 100}},
		{weights: []int64{300, 1, 1, 300, 300}},
		{weights: []int64{2000, 300, 1, 300, 300, 200, 300}, want: []int64{300, 1, 300, 300, 200}},
		{weights: []int64{1, 1, 1}, all: true, want: []int64{1, 1, 1}},
		{weights: []int64{300, 1}, all: true, want: []int64{300, 1}},
		{weights: []int64{1, 1100, 1}, all: true},
	} {
		var runs []run
		for _, w := range c.weights {
			runs = append(runs, run{blocks: []*frozen{{id: uint64(w)}}, weight: w * k})
		}
		var got []int64
		for _, b := range mergeable(runs, c.all) {
			got = append(got, int64(b.id))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: merged %v, want %v", c.weights, got, c.want)
		}
	}
}

// TestLateRowsLieApart, so that a question over their day opens few blocks.
func TestLateRowsLieApart(t *testing.T) {
	h := open(t, Options{})
	for day := range int64(3) { // fewer runs than the worker merges
		for part := range 2 {
			var rows []Row
			for i := range int64(4000) {
				rows = append(rows, row(uint32(i), day*86400+int64(part)*60+i/100, "A"))
			}
			for late := range day { // one row of each day before
				rows = append(rows, row(uint32(late), late*86400, "Late"))
			}
			h.append(rows...)
			h.freezeAll()
		}
		h.compactUpTo(t, 2)
	}
	s := h.Snapshot()
	defer s.Release()
	opened := map[uint64]bool{}
	first := newCalendar(h.o.withDefaults().Location).of(noon)
	for _, places := range s.v.list.places {
		for _, p := range places {
			if p.slice.FirstDay <= first && p.block.info.Rows > 1000 {
				opened[p.block.id] = true
			}
		}
	}
	if len(opened) != 1 {
		t.Errorf("%d large blocks reach to the first day", len(opened))
	}
}

// compactUpTo merges the newest n generations.
func (h *house) compactUpTo(t *testing.T, n int) {
	h.busy.Lock()
	defer h.busy.Unlock()
	runs := h.runs(h.listNow())
	var in []*frozen
	for _, r := range runs[len(runs)-n:] {
		in = append(in, r.blocks...)
	}
	if err := h.mergeBlocks(context.Background(), in); err != nil {
		t.Fatal(err)
	}
}

// TestWideRowsMakeSmallerBlocks, however few they are.
func TestWideRowsMakeSmallerBlocks(t *testing.T) {
	h := open(t, Options{})
	text := string(make([]byte, 100_000))
	for gen := range 4 {
		for i := range 100 {
			h.append(row(uint32(i), int64(gen*100+i), "Wrote", prop("text", fmt.Sprint(gen, i, text))))
		}
		h.freezeAll()
	}
	h.compact(t)
	list := h.listNow()
	if len(list.blocks) < 4 || len(list.parts) != 1 {
		t.Errorf("%d blocks and %d parts", len(list.blocks), len(list.parts))
	}
	for _, b := range list.blocks {
		if b.info.Generation != list.blocks[0].info.Generation || b.info.Rows > 130 {
			t.Errorf("block %d of generation %d has %d rows", b.id, b.info.Generation, b.info.Rows)
		}
	}
	if got := h.timeline(true, 1, 2, 3); len(got) != 12 {
		t.Errorf("%d rows", len(got))
	}
}
