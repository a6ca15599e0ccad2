package history

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// house is a history on real engines, in a directory that can be closed and
// opened again.
type house struct {
	t        testing.TB
	dir      string
	o        Options
	maxShelf int64
	db       *kv.DB
	open16   *kv.ShelfCache
	shelves  *kv.Shelves
	ring     *keyring.Keyring
	keys     *crashing
	*History
}

// crashing is a publisher's keys that fail, when told to, where the list is
// sealed: when all chunks are on shelves, and before the transaction that
// lists them.
type crashing struct {
	*keyring.Publisher
	now    atomic.Bool
	chunks atomic.Int64 // bytes of them that were sealed
}

var errCrash = errors.New("a crash, as the test wants it")

func (c *crashing) SealChunk(plain, aad []byte) ([]byte, error) {
	if c.now.Load() && bytes.HasPrefix(aad, []byte("history list "+string(rune(keyBlock)))) {
		return nil, errCrash
	}
	sealed, err := c.Publisher.SealChunk(plain, aad)
	if bytes.HasPrefix(aad, []byte("history chunk ")) {
		c.chunks.Add(int64(len(sealed)))
	}
	return sealed, err
}

func open(t testing.TB, o Options) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), o: o}
	h.start()
	t.Cleanup(h.stop)
	return h
}

// openEngines opens what lies below.
func (h *house) openEngines() {
	h.t.Helper()
	var err error
	if h.db, err = kv.Open(filepath.Join(h.dir, "state"), kv.Options{Small: true, MemTable: 8 << 20, Reserve: 1}); err != nil {
		h.t.Fatal(err)
	}
	h.open16 = kv.NewShelfCache(16)
	if h.shelves, err = kv.OpenShelves(filepath.Join(h.dir, "shelves"), h.open16, kv.ShelfOptions{MaxBytes: h.maxShelf, Reserve: 1}); err != nil {
		h.t.Fatal(err)
	}
	if h.ring, err = keyring.Open(filepath.Join(h.dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{}); err != nil {
		h.t.Fatal(err)
	}
	keys, err := h.ring.Publisher("acme")
	if err != nil {
		h.t.Fatal(err)
	}
	h.keys = &crashing{Publisher: keys}
}

func (h *house) start() {
	h.t.Helper()
	h.openEngines()
	var err error
	if h.History, err = Open(h.db, h.shelves, h.keys, h.o); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) closeEngines() {
	h.t.Helper()
	for _, close := range []func() error{h.shelves.Close, h.db.Close, h.ring.Close} {
		if err := close(); err != nil {
			h.t.Error(err)
		}
	}
}

func (h *house) stop() {
	h.t.Helper()
	if err := h.History.Close(); err != nil {
		h.t.Error(err)
	}
	h.closeEngines()
}

// restart closes all and opens it again.
func (h *house) restart() {
	h.t.Helper()
	h.stop()
	h.start()
}

// append appends rows in one transaction and makes them visible.
func (h *house) append(rows ...Row) {
	h.t.Helper()
	if err := h.db.Update(func(t *kv.Txn) error { return h.Append(t, rows) }); err != nil {
		h.t.Fatal(err)
	}
	h.Committed()
}
