package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// DefaultShelfBytes is the size at which a shelf closes for writing.
const DefaultShelfBytes = 1 << 30

// MaxChunk bounds one value on a shelf, and MaxPut all of one Put, in bytes.
const (
	MaxChunk = 16 << 20
	MaxPut   = 256 << 20
)

// ShelfOptions say how shelves are kept. The zero value is good.
type ShelfOptions struct {
	MaxBytes int64        // size at which a shelf closes for writing; DefaultShelfBytes
	Reserve  int64        // bytes that must be free for a write, beside its own; 64 MiB
	Logger   *slog.Logger // nil discards
}

// KV is one pair.
type KV struct{ Key, Value []byte }

// ShelfInfo describes one shelf.
type ShelfInfo struct {
	ID     uint32
	Bytes  int64 // on disk, as near as is known without asking
	Closed bool  // takes no more writes
}

// Shelves is one publisher's set of shelves: directories of pairs that are
// written once and go when their directory goes. It is safe for concurrent use.
type Shelves struct {
	dir   string
	cache *ShelfCache
	o     ShelfOptions
	lock  *os.File

	put sync.Mutex // held through one Put: there is one shelf to write to

	mu      sync.Mutex
	shelves map[uint32]*ShelfInfo
	next    uint32 // the number after the last one ever given
	closed  bool
	stopped error // the failed Put that ended writing
	users   sync.WaitGroup
}

// OpenShelves opens the set that lies in dir, making it if there is none. It
// opens no shelf yet. A second opener gets ErrInUse. Close it to let go of its
// places in cache and its lock.
func OpenShelves(dir string, cache *ShelfCache, o ShelfOptions) (*Shelves, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultShelfBytes
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening shelves %s: %w", dir, err)
	}
	s := &Shelves{dir: dir, cache: cache, o: o, lock: lock, shelves: make(map[uint32]*ShelfInfo)}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening shelves %s: %w", dir, err)
	}
	return s, nil
}

// The names beside the shelves' directories, which are called by their number.
const (
	nextName      = "next"     // the number after the last one ever given
	closedName    = "closed"   // in a shelf: it was closed whole and takes no more
	removedSuffix = ".removed" // of a shelf on its way out
)

// load finds the shelves, and finishes removals that a crash interrupted.
func (s *Shelves) load() error {
	text, err := os.ReadFile(filepath.Join(s.dir, nextName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.next = 1
	case err != nil:
		return err
	default:
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
		if err != nil || n == 0 {
			return fmt.Errorf("%w: %s", ErrDamaged, filepath.Join(s.dir, nextName))
		}
		s.next = uint32(n)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), removedSuffix) {
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
			continue
		}
		n, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil || !e.IsDir() {
			continue
		}
		id := uint32(n)
		info := &ShelfInfo{ID: id}
		if info.Bytes, err = dirBytes(s.path(id)); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(s.path(id), closedName)); err == nil {
			info.Closed = true
		}
		s.shelves[id] = info
		s.next = max(s.next, id+1)
	}
	return nil
}

func (s *Shelves) path(id uint32) string { return filepath.Join(s.dir, fmt.Sprintf("%08d", id)) }

// enter counts a user in, so that Close waits for it. The caller calls
// s.users.Done.
func (s *Shelves) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.users.Add(1)
	return nil
}

// find gives a shelf's present description.
func (s *Shelves) find(id uint32) (ShelfInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info := s.shelves[id]; info != nil {
		return *info, nil
	}
	return ShelfInfo{}, fmt.Errorf("shelf %d of %s: %w", id, s.dir, ErrNotFound)
}

// use runs fn with a shelf of the set open.
func (s *Shelves) use(id uint32, fn func(*badger.DB) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.Done()
	if _, err := s.find(id); err != nil {
		return err
	}
	return s.cache.use(shelfID{s, id}, fn)
}

// Get gives a copy of a value: ErrNotFound if the shelf or the key is not
// there, ErrDamaged if its bytes are not those that were put.
func (s *Shelves) Get(shelf uint32, key []byte) (val []byte, err error) {
	err = s.use(shelf, func(b *badger.DB) error {
		return b.View(func(tx *badger.Txn) error {
			item, err := tx.Get(onShelf(key))
			if errors.Is(err, badger.ErrKeyNotFound) {
				return fmt.Errorf("in shelf %d of %s: %w", shelf, s.dir, ErrNotFound)
			}
			if err == nil {
				val, err = item.ValueCopy(nil)
			}
			if err == nil {
				val, err = unguard(key, val)
			}
			if err != nil {
				return fmt.Errorf("reading from shelf %d of %s: %w", shelf, s.dir, err)
			}
			return nil
		})
	})
	return val, err
}

// Keys calls fn for each key of a shelf, in order; the key is only valid until
// fn returns. ErrStop from fn ends it without an error. fn must not use
// Shelves: collect, and act afterwards.
func (s *Shelves) Keys(shelf uint32, fn func(key []byte) error) error {
	err := s.use(shelf, func(b *badger.DB) error {
		return b.View(func(tx *badger.Txn) error {
			it := tx.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				if err := fn(it.Item().Key()[1:]); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// List describes the shelves in the order of their numbers.
func (s *Shelves) List() []ShelfInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ShelfInfo, 0, len(s.shelves))
	for _, info := range s.shelves {
		out = append(out, *info)
	}
	slices.SortFunc(out, func(a, b ShelfInfo) int { return int(int64(a.ID) - int64(b.ID)) })
	return out
}

// Close waits for what is under way, refuses more, and closes the set's open
// shelves. Closing twice is harmless.
func (s *Shelves) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	ids := make([]uint32, 0, len(s.shelves))
	for id := range s.shelves {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	s.users.Wait()
	var err error
	for _, id := range ids {
		err = errors.Join(err, s.cache.exclusive(shelfID{s, id}, func(closing error) error { return closing }))
	}
	return errors.Join(err, s.lock.Close())
}

// dirBytes adds up what a directory's files take on disk; Badger's are sparse,
// so their lengths say nothing.
func dirBytes(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, e := range entries {
		n, err := diskBytes(filepath.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
