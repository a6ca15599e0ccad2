package oracle

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// keep writes a world's rows to a history on real engines, in transactions of
// random size, so that some lie in blocks, some in the head, and some in both
// after a restart; and makes the world ask that.
func (w *world) keep(t *testing.T, r *rand.Rand) {
	dir := t.TempDir()
	db, err := kv.Open(filepath.Join(dir, "state"), kv.Options{MemTable: 8 << 20, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	shelves, err := kv.OpenShelves(filepath.Join(dir, "shelves"), kv.NewShelfCache(4), kv.ShelfOptions{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Publisher("acme")
	if err != nil {
		t.Fatal(err)
	}
	o := history.Options{Location: w.loc, FreezeRows: 1 + r.IntN(60), CacheBytes: pick(r, int64(-1), 0, 5000)}
	open := func() *history.History {
		h, err := history.Open(db, shelves, keys, o)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := open()
	for rest := w.rows; len(rest) > 0; {
		n := min(1+r.IntN(50), len(rest))
		if err := db.Update(func(t *kv.Txn) error { return h.Append(t, rest[:n]) }); err != nil {
			t.Fatal(err)
		}
		h.Committed()
		rest = rest[n:]
		if r.IntN(6) == 0 {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			h = open()
		}
	}
	s := h.Snapshot()
	w.history = s
	t.Cleanup(func() {
		s.Release()
		for _, close := range []func() error{h.Close, shelves.Close, db.Close, ring.Close} {
			if err := close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOracleOnHistory is TestOracle on the real history.
func TestOracleOnHistory(t *testing.T) {
	for s := *seed; s < *seed+uint64(*worlds/10); s++ {
		r := rand.New(rand.NewPCG(s, 8))
		w := newWorld(r)
		w.keep(t, r)
		a := &asking{Rand: r, w: w}
		for range questions {
			body, err := json.Marshal(a.question())
			if err != nil {
				t.Fatal(err)
			}
			if diff := w.compare(body); diff != "" {
				t.Fatalf("-seed %d:\n%s\n%s", s, body, diff)
			}
		}
	}
}
