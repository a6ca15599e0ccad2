package kv

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// pairOverhead is what one write costs beside its key and value, in bytes.
const pairOverhead = 24

// errReadOnly is a mistake of the caller's.
var errReadOnly = errors.New("kv: write in a View")

// Txn is one transaction: a snapshot, and in an Update what was written since,
// which its reads see. It belongs to the goroutine that runs the function it
// was given to, and must not be used after that returns.
type Txn struct {
	db       *DB
	snap     *badger.Txn // reads only; writes wait in pending
	writable bool
	pending  [endOfKeyspaces]overlay
	bytes    int64
	keys     int64
	maxBytes int64
	maxKeys  int64
	failed   error // a refused write: the transaction cannot commit
	after    []func()
}

// OnCommit has fn called once what an Update writes is on disk, before it
// returns and before the next begins; never if it does not get there. fn must be
// quick, and must not use the database.
func (t *Txn) OnCommit(fn func()) { t.after = append(t.after, fn) }

// Size gives the bytes that the transaction would write, as Limits counts them.
func (t *Txn) Size() int { return int(t.bytes) }

// Keys gives the number of keys that the transaction would write.
func (t *Txn) Keys() int { return int(t.keys) }

// Get gives a copy of the key's value, or ErrNotFound.
func (t *Txn) Get(ks Keyspace, key []byte) ([]byte, error) {
	if w := t.pending[ks].find(key); w != nil {
		if w.deleted {
			return nil, ErrNotFound
		}
		return bytes.Clone(w.val), nil
	}
	item, err := t.snap.Get(full(ks, key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading from keyspace %d: %w", ks, err)
	}
	val, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("reading from keyspace %d: %w", ks, err)
	}
	return val, nil
}

// Set writes a pair; it copies both. Past MaxKey, MaxValue or Limits it
// answers ErrTooBig, and the transaction then cannot commit.
func (t *Txn) Set(ks Keyspace, key, val []byte) error {
	return t.put(ks, key, &write{val: append([]byte{}, val...)})
}

// Delete removes a key, if it is there. It counts like a write.
func (t *Txn) Delete(ks Keyspace, key []byte) error {
	return t.put(ks, key, &write{deleted: true})
}

func (t *Txn) put(ks Keyspace, key []byte, w *write) error {
	if !t.writable {
		return errReadOnly
	}
	if !ks.valid() {
		return t.fail(fmt.Errorf("kv: write to the unknown keyspace %d", ks))
	}
	if len(key) > MaxKey || len(w.val) > MaxValue {
		return t.fail(fmt.Errorf("%w: a key of %d and a value of %d bytes in keyspace %d", ErrTooBig, len(key), len(w.val), ks))
	}
	size, keys := t.bytes, t.keys
	if old := t.pending[ks].find(key); old != nil {
		size += int64(len(w.val) - len(old.val))
	} else {
		size += int64(len(key)+len(w.val)) + pairOverhead
		keys++
	}
	if size > t.maxBytes || keys > t.maxKeys {
		return t.fail(fmt.Errorf("%w: %d bytes in %d keys", ErrTooBig, size, keys))
	}
	t.bytes, t.keys = size, keys
	t.pending[ks].put(key, w)
	return nil
}

func (t *Txn) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// commit hands what is pending to Badger as one synced transaction.
func (t *Txn) commit() error {
	if t.keys == 0 {
		return nil
	}
	tx := t.db.b.NewTransaction(true)
	defer tx.Discard()
	for ks := range t.pending {
		for key, w := range t.pending[ks].writes {
			k := full(Keyspace(ks), []byte(key))
			var err error
			if w.deleted {
				err = tx.Delete(k)
			} else {
				err = tx.Set(k, w.val)
			}
			if err != nil {
				return fmt.Errorf("writing to keyspace %d: %w", ks, err)
			}
		}
	}
	return commit(tx, t.db.b)
}

// full is the key as Badger has it.
func full(ks Keyspace, key []byte) []byte {
	k := make([]byte, 1+len(key))
	k[0] = byte(ks)
	copy(k[1:], key)
	return k
}
