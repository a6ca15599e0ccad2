package history

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/health"
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

// TestTwoYearsOfHours: as many runs and parts as a question has to look
// through after two years with a freeze an hour, and how often each row is
// written by merging.
func TestTwoYearsOfHours(t *testing.T) {
	const hours, rows = 2 * 365 * 24, 40_000
	var runs []run
	var parts []*part
	var written, writtenParts, most, mostParts int64
	for range hours {
		runs = append(runs, run{blocks: []*frozen{{}}, weight: rows})
		for in := mergeable(runs, false); in != nil; in = mergeable(runs, false) {
			from := slices.IndexFunc(runs, func(r run) bool { return r.blocks[0] == in[0] })
			made := run{blocks: []*frozen{{}}}
			for _, r := range runs[from : from+len(in)] {
				made.weight += r.weight
			}
			written += made.weight
			runs = slices.Replace(runs, from, from+len(in), made)
		}
		parts = append(parts, &part{info: &block.Part{Sets: []block.Set{{Length: rows * 3 / 2}}}}) // 1.5 bytes a row
		for in := mergeableParts(parts, false); in != nil; in = mergeableParts(parts, false) {
			made := &part{info: &block.Part{Sets: make([]block.Set, 1)}}
			for _, p := range in {
				made.info.Sets[0].Length += int(p.bytes())
			}
			writtenParts += made.bytes()
			parts = slices.DeleteFunc(parts, func(p *part) bool { return slices.Contains(in, p) })
			parts = append(parts, made)
		}
		most, mostParts = max(most, int64(len(runs))), max(mostParts, int64(len(parts)))
	}
	full := hours * rows / fullRun
	t.Logf("at most %d runs (%d are full) and %d parts; merged %.2f times a row, %.2f times a set",
		most, full, mostParts, float64(written)/(hours*rows), float64(writtenParts)/(hours*rows*1.5))
	if most > int64(full)+20 || mostParts > 120 {
		t.Errorf("%d runs and %d parts", most, mostParts)
	}
	if float64(written) > 2*hours*rows {
		t.Errorf("each row is merged %.2f times", float64(written)/(hours*rows))
	}
}

// TestMergingAndExpiringFreeDisk: what the directory takes is what is listed,
// and not much more.
func TestMergingAndExpiringFreeDisk(t *testing.T) {
	now := time.UnixMicro(noon)
	h := open(t, Options{Now: func() time.Time { return now }})
	r := rand.New(rand.NewPCG(1, 2))
	noise := func() string {
		b := make([]byte, 700)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return hex.EncodeToString(b)
	}
	const gens, rows = 10, 1000
	for gen := range gens {
		var batch []Row
		for i := range rows {
			batch = append(batch, row(uint32(i), -86400*int64(gens-gen), "A", prop("text", noise())))
		}
		for some := range slices.Chunk(batch, 100) {
			h.append(some...)
		}
		h.freezeAll()
	}
	h.compact(t)
	alive := int64(gens * rows * 700)
	if n := h.diskBytes(); n > 2*alive+deadBytes {
		t.Errorf("%d bytes are kept of %d", n, alive)
	}
	if n := len(h.runs(h.listNow())); n != 1 {
		t.Errorf("%d runs", n)
	}
	got, err := h.Expire(context.Background(), Retention{Events: 2 * 24 * time.Hour})
	if err != nil || got.Total() != (gens-2)*rows {
		t.Fatalf("%v, %v", got, err)
	}
	h.compact(t) // which removes what was emptied
	h.onlyListed(t)
	if n := h.diskBytes(); n > alive/5+1<<20 { // an empty engine takes something
		t.Errorf("%d bytes are kept of %d", n, alive/5)
	}
	if got, err := h.Expire(context.Background(), Retention{Events: 24 * time.Hour / 2, Names: map[string]time.Duration{"B": 1}}); err != nil || got.Total() != 2*rows {
		t.Errorf("%v, %v", got, err)
	}
	h.compact(t)
	if n := h.diskBytes(); n > 1<<20 {
		t.Errorf("%d bytes are kept of nothing", n)
	}
}

// diskBytes is what the shelves take.
func (h *house) diskBytes() (sum int64) {
	err := filepath.WalkDir(filepath.Join(h.dir, "shelves"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return sum
}

// TestDamageHoldsNothingElseUp: what a damaged block is in is left as it is,
// and the rest is merged.
func TestDamageHoldsNothingElseUp(t *testing.T) {
	board := health.NewBoard(time.Now)
	h := open(t, Options{Board: board})
	for gen := range 5 {
		h.append(row(uint32(gen), int64(gen), "A"))
		h.freezeAll()
	}
	bad := *h.listNow().blocks[0].info
	bad.Shelf = 99 // there is none
	h.busy.Lock()
	err := h.apply(change{gone: h.listNow().blocks[:1], made: []*frozen{{id: h.newID(), info: &bad, names: []string{"A"}}}})
	h.busy.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Compact(context.Background()); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	}
	for gen := range 3 {
		h.append(row(uint32(gen), int64(gen), "B"))
		h.freezeAll()
	}
	if err := h.Compact(context.Background()); err != nil {
		t.Errorf("the rest is not merged: %v", err)
	}
	if n := len(h.runs(h.listNow())); n != 6 { // those that damage was met with stay until the next opening
		t.Errorf("%d runs", n)
	}
	if ps := board.Problems(); len(ps) == 0 || ps[0].Code != problemDamaged {
		t.Errorf("problems %v", ps)
	}
}

// BenchmarkMerging brings Online Retail in three times over, as different
// people, frozen at 32 Ki rows, and lets the worker merge it.
func BenchmarkMerging(b *testing.B) {
	rows := retail(b)
	for b.Loop() {
		b.StopTimer()
		h := &house{t: b, dir: b.TempDir(), o: Options{FreezeRows: 32 << 10}}
		h.start()
		b.StartTimer()
		start := time.Now()
		for turn := range uint32(3) {
			for i := range rows {
				rows[i].Person += turn * 1 << 16
			}
			h.fill(rows)
		}
		h.settle()
		loaded := time.Since(start)
		if err := h.await(context.Background(), func() bool { return h.tidied == h.moves }); err != nil {
			b.Fatal(err)
		}
		list := h.listNow()
		alive := int64(0)
		for _, bytes := range list.alive() {
			alive += bytes
		}
		kept := int64(0)
		for _, s := range h.shelves.List() {
			kept += s.Bytes
		}
		b.Logf("%d rows loaded in %v, merged after %v: %d blocks, %d runs, %d parts; %.2f bytes a row, %.2f kept, %.2f written",
			list.rows, loaded, time.Since(start), len(list.blocks), len(h.runs(list)), len(list.parts),
			float64(alive)/float64(list.rows), float64(kept)/float64(list.rows), float64(h.keys.chunks.Load())/float64(list.rows))
		start = time.Now()
		h.compact(b)
		list = h.listNow()
		alive, kept = 0, 0
		for _, bytes := range list.alive() {
			alive += bytes
		}
		for _, s := range h.shelves.List() {
			kept += s.Bytes
		}
		b.Logf("all that can be, in %v: %d blocks, %d runs, %d parts; %.2f bytes a row, %.2f kept, %.2f written", time.Since(start),
			len(list.blocks), len(h.runs(list)), len(list.parts), float64(alive)/float64(list.rows), float64(kept)/float64(list.rows), float64(h.keys.chunks.Load())/float64(list.rows))
		h.stop()
	}
}
