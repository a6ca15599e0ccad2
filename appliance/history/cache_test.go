package history

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// pages asks a drawer for things of 1,000 bytes, as one question does, and
// gives how many of them were there.
func pages(t testing.TB, d *drawer, from, to int) (there int) {
	t.Helper()
	d.c.turn.Add(1)
	for n := from; n < to; n++ {
		for range 3 { // by the partitions that a block holds
			made := false
			v, err := d.get(cacheKey{chunkID: chunkID{uint64(n), 0}}, func() (any, int64, error) {
				made = true
				return n, 1000 - slotBytes, nil
			})
			if err != nil || v != n {
				t.Fatalf("page %d: %v, %v", n, v, err)
			}
			if !made {
				there++
			}
		}
		there -= 2 // those that the question finds because it asked itself
	}
	if s := d.c.Stats(); s.Bytes > s.Budget {
		t.Fatalf("%d bytes in a cache of %d", s.Bytes, s.Budget)
	}
	return there
}

// TestCacheOfALargeQuestion: what is asked again and again and does not fit is
// found as far as there is room, which the least recently used would not be.
func TestCacheOfALargeQuestion(t *testing.T) {
	for _, times := range []int{1, 2, 4, 8} {
		d := NewCache(1_000_000).drawer()
		there := 0
		for range 40 {
			there = pages(t, d, 0, 1000*times)
		}
		if there < 800 {
			t.Errorf("a question of %d times the budget finds %d of what there is room for", times, there)
		}
	}
}

// TestCacheKeepsWhatIsAskedOften, whatever large question comes between.
func TestCacheKeepsWhatIsAskedOften(t *testing.T) {
	d := NewCache(1_000_000).drawer()
	for range 10 {
		pages(t, d, 0, 500)
	}
	for round := range 20 {
		pages(t, d, 10_000, 14_000)
		if there := pages(t, d, 0, 500); there < 400 {
			t.Errorf("round %d: %d of 500 are left", round, there)
		}
		pages(t, d, 0, 500)
	}
}

// TestCacheFollows what is asked when that is something else from now on.
func TestCacheFollows(t *testing.T) {
	d := NewCache(1_000_000).drawer()
	for range 100 {
		pages(t, d, 0, 900)
	}
	rounds := 0
	for pages(t, d, 5000, 5900) < 890 {
		if rounds++; rounds > 40 {
			t.Fatal("what was asked before is in the way for ever")
		}
	}
	t.Logf("after %d questions", rounds)
}

// TestCacheIsShared: one budget; what is of one history is not taken for
// another's, and goes with it.
func TestCacheIsShared(t *testing.T) {
	c := NewCache(1 << 20)
	a, b := open(t, Options{Cache: c}), open(t, Options{Cache: c})
	a.append(row(1, 1, "A"), row(2, 2, "A"))
	b.append(row(3, 1, "B"))
	if err := errors.Join(a.Freeze(t.Context()), b.Freeze(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := [][]string{a.timeline(true, 1, 2), b.timeline(true, 3)}
	if len(want[0]) != 2 || len(want[1]) != 1 {
		t.Fatalf("got %q", want)
	}
	both := c.Stats()
	if both.Bytes == 0 || both.Misses == 0 {
		t.Fatalf("nothing is kept: %+v", both)
	}
	if got := a.timeline(true, 1, 2); !slices.Equal(got, want[0]) || c.Stats().Hits == both.Hits {
		t.Errorf("got %q, %+v", got, c.Stats())
	}
	s := a.Snapshot()
	defer s.Release()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if left := c.Stats().Bytes; left == 0 || left >= both.Bytes {
		t.Errorf("%d of %d bytes are left", left, both.Bytes)
	}
	// A question that is still under way is answered and leaves nothing behind.
	left := c.Stats().Bytes
	if _, err := a.content(s.v.list.blocks[0], s.v.list.blocks[0].set(nil)); err != nil {
		t.Fatal(err)
	}
	if now := c.Stats().Bytes; now != left {
		t.Errorf("%d bytes were kept of a closed history", now-left)
	}
	if got := b.timeline(true, 3); !slices.Equal(got, want[1]) {
		t.Errorf("got %q", got)
	}
}

// TestCacheMakesOnce what several ask for at once, and keeps no error.
func TestCacheMakesOnce(t *testing.T) {
	d := NewCache(1 << 20).drawer()
	var made atomic.Int32
	begun, goOn := make(chan struct{}), make(chan struct{})
	fail := errors.New("not now")
	ask := func() error {
		_, err := d.get(cacheKey{}, func() (any, int64, error) {
			if made.Add(1) == 1 {
				close(begun)
				<-goOn
				return nil, 0, fail
			}
			return 1, 1, nil
		})
		return err
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := ask(); !errors.Is(err, fail) {
			t.Error(err)
		}
	})
	<-begun
	all.Go(func() {
		if err := ask(); err != nil && !errors.Is(err, fail) {
			t.Error(err)
		}
	})
	close(goOn)
	all.Wait()
	if err := ask(); err != nil || made.Load() != 2 {
		t.Errorf("%v after %d", err, made.Load())
	}
}
