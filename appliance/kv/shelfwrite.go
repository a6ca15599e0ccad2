package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// shelfOptions are Badger's settings for shelves: values in the value log,
// where they are written once and read without passing through the tree.
func shelfOptions(dir string, o ShelfOptions, readOnly bool) badger.Options {
	return badger.DefaultOptions(dir).
		WithLogger(newEngineLog(o.Logger)).
		WithReadOnly(readOnly).
		WithSyncWrites(true).
		WithDetectConflicts(false).
		WithCompression(options.None). // chunks are compressed and sealed
		WithChecksumVerificationMode(options.OnBlockRead).
		WithMetricsEnabled(false).
		WithMemTableSize(8 << 20).
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithNumGoroutines(1).
		WithValueThreshold(1 << 10).
		WithValueLogFileSize(128 << 20).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0)
}

// openShelf opens a shelf's directory; the cache calls it. A closed shelf is
// opened for reading only: then Badger needs no memtable and repairs nothing.
func (s *Shelves) openShelf(id uint32) (*badger.DB, error) {
	info, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if !info.Closed {
		if err := guardValues(s.path(id)); err != nil {
			return nil, fmt.Errorf("opening shelf %d of %s: %w", id, s.dir, err)
		}
	}
	b, err := openEngine(s.path(id), shelfOptions(s.path(id), s.o, info.Closed), s.o.Reserve)
	if err != nil {
		return nil, fmt.Errorf("opening shelf %d of %s: %w", id, s.dir, err)
	}
	return b, nil
}

// guardValues adds an empty value log after the last one. Badger reads the
// last one through when it opens and cuts it off at the first entry that is
// not whole: one bad byte would take all chunks behind it away. Logs before
// the last it leaves alone, and an empty one it removes at the next opening.
func guardValues(dir string) error {
	files, err := listEngine(dir)
	if err != nil || len(files.values) == 0 {
		return err
	}
	var last int64
	for _, path := range files.values {
		last = max(last, fileNumber(path))
	}
	return replaceFile(filepath.Join(dir, fmt.Sprintf("%06d.vlog", last+1)), make([]byte, valueLogHead))
}

// valueLogHead is the length of a value log's head; of zeros it says that
// nothing is encrypted.
const valueLogHead = 20

// Put writes a batch to one shelf and gives its number once all is on disk.
// A batch past MaxChunk or MaxPut, or of more keys
// than Badger takes at once (about 13,000), is refused with ErrTooBig. If
// writing fails, this call and every later Put answer ErrStopped until the set
// is opened again; reading goes on.
func (s *Shelves) Put(batch []KV) (shelf uint32, err error) {
	var size int64
	for _, kv := range batch {
		if len(kv.Key) > MaxKey || len(kv.Value) > MaxChunk {
			return 0, fmt.Errorf("%w: a key of %d and a value of %d bytes", ErrTooBig, len(kv.Key), len(kv.Value))
		}
		size += int64(len(kv.Key) + len(kv.Value))
	}
	if size > MaxPut {
		return 0, fmt.Errorf("%w: %d bytes in one batch", ErrTooBig, size)
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.users.Done()
	s.put.Lock()
	defer s.put.Unlock()
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if stopped != nil {
		return 0, fmt.Errorf("%w (%w)", ErrStopped, stopped)
	}
	if err := needFree(s.dir, s.o.Reserve+size); err != nil {
		return 0, err
	}
	id, err := s.writing()
	if err != nil {
		return 0, fmt.Errorf("choosing a shelf of %s: %w", s.dir, err)
	}
	if err := s.cache.use(shelfID{s, id}, func(b *badger.DB) error { return putAll(b, batch) }); err != nil {
		return 0, s.failed(id, err)
	}
	s.mu.Lock()
	info := s.shelves[id]
	info.Bytes += size
	full := info.Bytes >= s.o.MaxBytes
	s.mu.Unlock()
	if full {
		if err := s.closeForWriting(id); err != nil {
			// The batch is safe; the shelf will be closed by the next Put.
			s.o.Logger.Warn("closing a full shelf", "dir", s.dir, "shelf", id, "error", err)
		}
	}
	return id, nil
}

// failed sorts out a write that failed: too big and too full are the caller's
// to answer, everything else stops the set.
func (s *Shelves) failed(id uint32, err error) error {
	if errors.Is(err, badger.ErrTxnTooBig) {
		return fmt.Errorf("%w: too many keys in one batch", ErrTooBig)
	}
	if errors.Is(err, ErrFull) || errors.Is(err, ErrDamaged) {
		return err
	}
	s.mu.Lock()
	s.stopped = err
	s.mu.Unlock()
	s.o.Logger.Error("shelves stopped", "dir", s.dir, "shelf", id, "error", err)
	return fmt.Errorf("%w (writing to shelf %d of %s: %w)", ErrStopped, id, s.dir, err)
}

// onShelf is the key as Badger has it: it takes no empty key, and keeps some
// prefixes to itself.
func onShelf(key []byte) []byte { return append([]byte{'k'}, key...) }

// guarded is the value as Badger has it, a checksum of key and value behind
// it. Badger has checksums too, but a value that fails one it gives out as an
// empty one, and only logs that.
func guarded(kv KV) []byte {
	v := make([]byte, 0, len(kv.Value)+crc32.Size)
	v = append(v, kv.Value...)
	return binary.BigEndian.AppendUint32(v, chunkSum(kv.Key, kv.Value))
}

// unguard takes the checksum off again.
func unguard(key, v []byte) ([]byte, error) {
	end := len(v) - crc32.Size
	if end < 0 || binary.BigEndian.Uint32(v[end:]) != chunkSum(key, v[:end]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	return v[:end], nil
}

func chunkSum(key, val []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, val)
}

func putAll(b *badger.DB, batch []KV) error {
	tx := b.NewTransaction(true)
	defer tx.Discard()
	for _, kv := range batch {
		if err := tx.Set(onShelf(kv.Key), guarded(kv)); err != nil {
			return err
		}
	}
	return commit(tx, b)
}

// writing gives the shelf to write to, making a new one if there is none. The
// caller holds put.
func (s *Shelves) writing() (uint32, error) {
	for _, info := range s.List() {
		if info.Closed {
			continue
		}
		if info.Bytes < s.o.MaxBytes {
			return info.ID, nil
		}
		// Left behind by a crash, or by a failure to close it.
		if err := s.closeForWriting(info.ID); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	id := s.next
	s.mu.Unlock()
	// The number is used up on disk before anything bears it: the number of a
	// shelf that was removed must not come again.
	if err := replaceFile(filepath.Join(s.dir, nextName), strconv.AppendUint(nil, uint64(id)+1, 10)); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(s.path(id), 0o700); err != nil {
		return 0, err
	}
	if err := syncDir(s.dir); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = id + 1
	s.shelves[id] = &ShelfInfo{ID: id}
	return id, nil
}

// Finish closes a shelf for writing before it is full, so that what is put next
// goes to another one: whoever rewrites a shelf to be rid of it needs that. A
// shelf that is closed already, or gone, is left as it is.
func (s *Shelves) Finish(shelf uint32) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.Done()
	s.put.Lock()
	defer s.put.Unlock()
	s.mu.Lock()
	info := s.shelves[shelf]
	done := info == nil || info.Closed
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := s.closeForWriting(shelf); err != nil {
		return fmt.Errorf("finishing shelf %d of %s: %w", shelf, s.dir, err)
	}
	return nil
}

// closeForWriting closes a shelf for good. It is marked only once Badger has
// put everything into its tables, because from then on it is opened for
// reading only, which replays no log.
func (s *Shelves) closeForWriting(id uint32) error {
	// Opened first, if it was not: after a crash there is a log to replay.
	if err := s.cache.use(shelfID{s, id}, func(*badger.DB) error { return nil }); err != nil {
		return err
	}
	return s.cache.exclusive(shelfID{s, id}, func(closing error) error {
		if closing != nil {
			return closing
		}
		if err := replaceFile(filepath.Join(s.path(id), closedName), nil); err != nil {
			return err
		}
		bytes, err := dirBytes(s.path(id))
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.shelves[id].Closed = true
		s.shelves[id].Bytes = bytes
		return nil
	})
}

// Remove deletes a shelf with all that is in it, once nobody reads from it.
// Its number never comes again. When Remove returns, its directory is gone.
func (s *Shelves) Remove(shelf uint32) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.Done()
	s.put.Lock()
	defer s.put.Unlock()
	if _, err := s.find(shelf); err != nil {
		return err
	}
	gone := s.path(shelf) + removedSuffix
	err := s.cache.exclusive(shelfID{s, shelf}, func(error) error {
		// Renamed first: half a shelf would look like a damaged one.
		if err := os.Rename(s.path(shelf), gone); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.shelves, shelf)
		s.mu.Unlock()
		return syncDir(s.dir)
	})
	if err == nil {
		err = os.RemoveAll(gone)
	}
	if err != nil {
		return fmt.Errorf("removing shelf %d of %s: %w", shelf, s.dir, err)
	}
	return nil
}
