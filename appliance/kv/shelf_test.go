package kv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func openShelves(t *testing.T, dir string, c *ShelfCache, maxBytes int64) *Shelves {
	t.Helper()
	s, err := OpenShelves(dir, c, ShelfOptions{MaxBytes: maxBytes, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// chunk is bytes that depend on i and are big enough for the value log.
func chunk(i int) []byte {
	b := make([]byte, 5000)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(b)
	return b
}

func put(t *testing.T, s *Shelves, is ...int) uint32 {
	t.Helper()
	var batch []KV
	for _, i := range is {
		batch = append(batch, KV{fmt.Append(nil, i), chunk(i)})
	}
	id, err := s.Put(batch)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantChunk(t *testing.T, s *Shelves, shelf uint32, i int) {
	t.Helper()
	if got, err := s.Get(shelf, fmt.Append(nil, i)); err != nil || !bytes.Equal(got, chunk(i)) {
		t.Errorf("shelf %d chunk %d: %d bytes, %v", shelf, i, len(got), err)
	}
}

func TestShelvesKeepWhatWasPut(t *testing.T) {
	dir, c := t.TempDir(), NewShelfCache(4)
	s := openShelves(t, dir, c, 0)
	if _, err := s.Put([]KV{{nil, []byte("empty key")}, {[]byte("!badger!x"), nil}, {[]byte("small"), []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	id := put(t, s, 1, 2, 3)
	for range 2 { // before and after reopening
		for i := 1; i <= 3; i++ {
			wantChunk(t, s, id, i)
		}
		if v, err := s.Get(id, nil); string(v) != "empty key" {
			t.Errorf("%q, %v", v, err)
		}
		if _, err := s.Get(id, []byte("4")); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown key: %v", err)
		}
		if _, err := s.Get(id+1, []byte("1")); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown shelf: %v", err)
		}
		var keys []string
		err := s.Keys(id, func(k []byte) error {
			keys = append(keys, string(k))
			if len(keys) == 4 {
				return ErrStop
			}
			return nil
		})
		if want := []string{"", "!badger!x", "1", "2"}; err != nil || !slices.Equal(keys, want) {
			t.Errorf("keys %q, %v; want %q", keys, err, want)
		}
		if _, err := OpenShelves(dir, c, ShelfOptions{}); !errors.Is(err, ErrInUse) {
			t.Errorf("second opener: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := c.open(); n != 0 {
			t.Errorf("%d shelves open after Close", n)
		}
		s = openShelves(t, dir, c, 0)
	}
	if got := put(t, s, 9); got != id {
		t.Errorf("written to shelf %d after reopening, want %d", got, id)
	}
}

func TestFullShelvesCloseAndStayReadable(t *testing.T) {
	dir, c := t.TempDir(), NewShelfCache(3)
	s := openShelves(t, dir, c, 12000)
	at := map[int]uint32{}
	for i := range 20 {
		at[i] = put(t, s, i)
		if n := c.open(); n > 3 {
			t.Fatalf("%d shelves open", n)
		}
	}
	for range 2 {
		list := s.List()
		if len(list) < 6 {
			t.Fatalf("only %d shelves", len(list))
		}
		for i, info := range list {
			if i > 0 && info.ID <= list[i-1].ID || info.Closed != (i < len(list)-1) || info.Bytes < 5000 {
				t.Errorf("%+v at %d of %d", info, i, len(list))
			}
		}
		for i, id := range at {
			wantChunk(t, s, id, i)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openShelves(t, dir, c, 12000)
	}
}

func TestRemovedNumbersDoNotComeAgain(t *testing.T) {
	dir, c := t.TempDir(), NewShelfCache(4)
	s := openShelves(t, dir, c, 0)
	id := put(t, s, 1)
	if err := s.Remove(id); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(id); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := s.Get(id, []byte("1")); !errors.Is(err, ErrNotFound) {
		t.Errorf("read after removal: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "0*")); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A removal that a crash interrupted is finished.
	if err := os.MkdirAll(filepath.Join(dir, "00000001"+removedSuffix, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	s = openShelves(t, dir, c, 0)
	if next := put(t, s, 2); next <= id {
		t.Errorf("number %d came after %d", next, id)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+removedSuffix)); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestPutIsBounded(t *testing.T) {
	s := openShelves(t, t.TempDir(), NewShelfCache(1), 0)
	many := make([]KV, 20000)
	for i := range many {
		many[i].Key = fmt.Append(nil, i)
	}
	for name, batch := range map[string][]KV{
		"value": {{[]byte("k"), make([]byte, MaxChunk+1)}},
		"key":   {{make([]byte, MaxKey+1), nil}},
		"keys":  many,
		"all":   slices.Repeat([]KV{{[]byte("k"), make([]byte, MaxChunk)}}, 17),
	} {
		if _, err := s.Put(batch); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: got %v, want ErrTooBig", name, err)
		}
	}
	put(t, s, 1) // and goes on
}

func TestFailedPutStopsWritingOnly(t *testing.T) {
	s := openShelves(t, t.TempDir(), NewShelfCache(2), 12000)
	id := put(t, s, 1, 2, 3)
	next := put(t, s, 4)
	// The engine closed under it is the nearest thing to a disk that fails.
	if err := s.cache.slots[shelfID{s, next}].b.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Put([]KV{{[]byte("5"), nil}}); !errors.Is(err, ErrStopped) {
			t.Fatalf("got %v, want ErrStopped", err)
		}
	}
	wantChunk(t, s, id, 1)
}

// One publisher's shelf is evicted for another's; a reader's is not.
func TestCacheIsSharedAndNeverClosesUnderAReader(t *testing.T) {
	c := NewShelfCache(16)
	var sets []*Shelves
	at := map[[2]int]uint32{}
	for p := range 5 {
		s := openShelves(t, t.TempDir(), c, 4000) // a shelf a chunk
		sets = append(sets, s)
		for i := range 5 {
			at[[2]int{p, i}] = put(t, s, p*100+i)
		}
	}
	if n := c.open(); n > 16 {
		t.Fatalf("%d open", n)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			for range 40 {
				p, i := rng.IntN(5), rng.IntN(5)
				wantChunk(t, sets[p], at[[2]int{p, i}], p*100+i)
				err := sets[p].Keys(at[[2]int{p, i}], func([]byte) error {
					if n := c.open(); n > 16 {
						t.Errorf("%d open", n)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 5 {
			put(t, sets[0], 50+i)
		}
	})
	wg.Wait()

	// Removal waits for the reader.
	inside, release, removed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go sets[1].Keys(at[[2]int{1, 1}], func([]byte) error { close(inside); <-release; return nil })
	<-inside
	go func() { removed <- sets[1].Remove(at[[2]int{1, 1}]) }()
	wantChunk(t, sets[1], at[[2]int{1, 2}], 102)
	select {
	case err := <-removed:
		t.Errorf("removed under a reader: %v", err)
	default:
	}
	close(release)
	if err := <-removed; err != nil {
		t.Error(err)
	}
}

func TestCrashedShelfLosesOnlyTheDamagedChunk(t *testing.T) {
	dir, c := t.TempDir(), NewShelfCache(2)
	s := openShelves(t, dir, c, 0)
	id := put(t, s, 1)
	put(t, s, 2)
	put(t, s, 3)
	image := t.TempDir()
	if err := os.Rename(crashed(t, s.path(id)), filepath.Join(image, filepath.Base(s.path(id)))); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(filepath.Join(image, "*", "*.vlog"))
	damaged := 0
	for _, log := range logs {
		edit(t, log, func(b []byte) []byte {
			if i := bytes.Index(b, chunk(2)); i >= 0 {
				b[i+100] ^= 1
				damaged++
			}
			return b
		})
	}
	if damaged != 1 {
		t.Fatalf("%d damaged", damaged)
	}
	for range 3 { // also after the repairs of an opening
		s := openShelves(t, image, c, 0)
		wantChunk(t, s, id, 1)
		wantChunk(t, s, id, 3)
		if _, err := s.Get(id, []byte("2")); !errors.Is(err, ErrDamaged) {
			t.Errorf("damaged chunk: %v", err)
		}
		put(t, s, 4)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosedShelvesRefuse(t *testing.T) {
	s := openShelves(t, t.TempDir(), NewShelfCache(1), 0)
	id := put(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(id, nil)
	_, putErr := s.Put(nil)
	for _, err := range []error{getErr, putErr, s.Remove(id), s.Keys(id, nil)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}
