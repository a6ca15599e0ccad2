package kv

import (
	"errors"
	"log/slog"
)

var errNotYet = errors.New("kv: shelves are not there yet")

// DefaultShelfBytes is the size at which a shelf closes for writing.
const DefaultShelfBytes = 1 << 30

// ShelfOptions say how shelves are kept. The zero value is good.
type ShelfOptions struct {
	MaxBytes int64        // size at which a shelf closes for writing; DefaultShelfBytes
	Reserve  int64        // bytes that must be free for a Put; 256 MiB
	Logger   *slog.Logger // nil discards
}

// KV is one pair.
type KV struct{ Key, Value []byte }

// ShelfInfo describes one shelf.
type ShelfInfo struct {
	ID     uint32
	Bytes  int64 // on disk
	Closed bool  // takes no more writes
}

// ShelfCache bounds how many shelves are open at once in a process; several
// publishers share one.
type ShelfCache struct{ max int }

// NewShelfCache makes a cache of at most max open shelves.
func NewShelfCache(max int) *ShelfCache { return &ShelfCache{max: max} }

// Shelves is one publisher's set of shelves. It is safe for concurrent use.
type Shelves struct{}

// OpenShelves opens the set that lies in dir.
func OpenShelves(dir string, cache *ShelfCache, o ShelfOptions) (*Shelves, error) {
	return nil, errNotYet
}

// Put writes a batch to the shelf that is being written and returns once it is
// on disk.
func (s *Shelves) Put(batch []KV) (shelf uint32, err error) { return 0, errNotYet }

// Get gives a copy of a value, ErrNotFound if the shelf or the key is not there.
func (s *Shelves) Get(shelf uint32, key []byte) ([]byte, error) { return nil, errNotYet }

// List describes the shelves in the order of their numbers.
func (s *Shelves) List() []ShelfInfo { return nil }

// Remove deletes a shelf with all that is in it.
func (s *Shelves) Remove(shelf uint32) error { return errNotYet }

// Keys calls fn for each key of a shelf, in order; the key is only valid until
// fn returns. ErrStop ends it.
func (s *Shelves) Keys(shelf uint32, fn func(key []byte) error) error { return errNotYet }

// DeleteKeys removes keys from a shelf. Their space comes back with the shelf.
func (s *Shelves) DeleteKeys(shelf uint32, keys [][]byte) error { return errNotYet }

// Close closes the set's shelves, once nobody reads from them.
func (s *Shelves) Close() error { return errNotYet }
