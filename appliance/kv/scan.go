package kv

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Scan calls fn for each pair of the keyspace whose key begins with prefix and
// is not below from (nil: from the first), in the order of the keys. key and
// val are only valid until fn returns. fn may read, scan and write: a key that
// it adds is not met by the scan that is running, a value that it changes or
// deletes ahead is. ErrStop from fn ends the scan without an error; any other
// error ends it and is returned as it is.
func (t *Txn) Scan(ks Keyspace, prefix, from []byte, fn func(key, val []byte) error) error {
	start := prefix
	if bytes.Compare(from, prefix) > 0 {
		start = from
	}
	over := &t.pending[ks]
	ahead := over.order()
	ahead = ahead[sort.SearchStrings(ahead, string(start)):]

	it := t.snap.NewIterator(badger.IteratorOptions{Prefix: full(ks, prefix)})
	defer it.Close()
	it.Seek(full(ks, start))
	for {
		inBase := it.Valid()
		inOver := len(ahead) > 0 && strings.HasPrefix(ahead[0], string(prefix))
		var baseKey []byte
		if inBase {
			baseKey = it.Item().Key()[1:]
		}
		var err error
		switch {
		case !inBase && !inOver:
			return nil
		case inOver && (!inBase || ahead[0] <= string(baseKey)):
			key := ahead[0]
			ahead = ahead[1:]
			if inBase && key == string(baseKey) {
				it.Next()
			}
			if w := over.writes[key]; !w.deleted {
				err = fn([]byte(key), w.val)
			}
		default:
			// Written by fn itself, after ahead was taken: the newer value counts.
			if w := over.find(baseKey); w == nil {
				err = it.Item().Value(func(val []byte) error { return fn(baseKey, val) })
			} else if !w.deleted {
				err = fn(baseKey, w.val)
			}
			it.Next()
		}
		if errors.Is(err, ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Last gives copies of the pair with the greatest key that begins with prefix,
// or ErrNotFound.
func (t *Txn) Last(ks Keyspace, prefix []byte) (key, val []byte, err error) {
	over := &t.pending[ks]
	keys := over.order()
	var top string
	var topVal []byte
	for i := endOf(keys, prefix) - 1; i >= 0 && strings.HasPrefix(keys[i], string(prefix)); i-- {
		if w := over.writes[keys[i]]; !w.deleted {
			top, topVal = keys[i], w.val
			break
		}
	}

	base := full(ks, prefix)
	it := t.snap.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	// Going backwards Badger begins at what is not above the key it is given:
	// the first key past the prefix, which may itself be there.
	past := successor(base)
	for it.Seek(past); it.Valid(); it.Next() {
		if k := it.Item().Key(); bytes.Equal(k, past) {
			continue
		} else if !bytes.HasPrefix(k, base) {
			break
		}
		k := it.Item().Key()[1:]
		if topVal != nil && string(k) <= top {
			break
		}
		if over.find(k) != nil {
			continue // deleted here, or it would be the top
		}
		val, err := it.Item().ValueCopy(nil)
		if err != nil {
			return nil, nil, fmt.Errorf("reading from keyspace %d: %w", ks, err)
		}
		return bytes.Clone(k), val, nil
	}
	if topVal == nil {
		return nil, nil, ErrNotFound
	}
	return []byte(top), bytes.Clone(topVal), nil
}

// endOf is the index of the first key above all that begin with prefix.
func endOf(keys []string, prefix []byte) int {
	return sort.Search(len(keys), func(i int) bool {
		return keys[i] > string(prefix) && !strings.HasPrefix(keys[i], string(prefix))
	})
}

// successor is the least key above all that begin with prefix, whose first
// byte, the keyspace, is never 0xff.
func successor(prefix []byte) []byte {
	next := bytes.TrimRight(prefix, "\xff")
	next = bytes.Clone(next)
	next[len(next)-1]++
	return next
}
