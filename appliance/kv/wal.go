package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// What is known of the log that Badger keeps of a memtable: a head, then
// entries of meta, user meta, length of key and of value, expiry, key, value
// and CRC. A transaction's entries are marked, and closed by one more whose
// key is finKey. The file is made long and filled from the front, so that what
// follows the last entry is zeros.
const (
	walHead     = 20
	metaInTxn   = 1 << 6
	metaFinTxn  = 1 << 7
	finKey      = "!badger!txn"
	finHead     = 5       // bytes before the key of a closing entry
	pageBytes   = 4096    // what a file system loses or keeps as one
	maxWALEntry = 1 << 30 // beyond is not an entry
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errWAL is of a log that was damaged after it was written.
var errWAL = errors.New("damaged before its end")

// checkWAL looks for damage in a memtable's log. Badger replays it up to the
// first entry that is not whole and drops the rest without a word, which is
// right only after a crash in the middle of the last transaction. That is told
// apart by what follows: transactions are synced one after another, so of an
// unfinished one nothing can follow, or its own last part, with a page between
// that never reached the disk. last says that no later log exists.
func checkWAL(b []byte, last bool) error {
	if len(b) < walHead {
		return nil // made and not yet headed: nothing was in it
	}
	whole := walHead // end of the last whole transaction
	at := walHead
	for {
		n, meta := walEntry(b[at:])
		if n == 0 {
			break
		}
		at += n
		if meta&metaFinTxn != 0 {
			whole = at
		}
	}
	rest := b[at:]
	if len(bytes.TrimLeft(rest, "\x00")) == 0 {
		return nil
	}
	if !last {
		return errWAL
	}
	marks, firstMark := finMarks(rest)
	if marks == 0 {
		return nil
	}
	if marks > 1 || !zeroPage(b, whole, at+firstMark) {
		return errWAL
	}
	return nil
}

// walEntry measures the entry that b begins with: 0 if it is not whole.
func walEntry(b []byte) (length int, meta byte) {
	if len(b) < 2 {
		return 0, 0
	}
	head := 2
	var sizes [3]uint64 // of key, of value, and the expiry
	for i := range sizes {
		v, n := binary.Uvarint(b[head:])
		if n <= 0 {
			return 0, 0
		}
		sizes[i] = v
		head += n
	}
	if sizes[0] == 0 || sizes[0] > maxWALEntry || sizes[1] > maxWALEntry {
		return 0, 0
	}
	end := head + int(sizes[0]) + int(sizes[1])
	if end+crc32.Size > len(b) {
		return 0, 0
	}
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return 0, 0
	}
	return end + crc32.Size, b[0]
}

// finMarks counts the entries in b that close a transaction, and tells where
// the first begins.
func finMarks(b []byte) (count, first int) {
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(finKey))
		if i < 0 {
			return count, first
		}
		at += i
		if start := at - finHead; start >= 0 {
			if n, meta := walEntry(b[start:]); n > 0 && meta&metaFinTxn != 0 {
				if count == 0 {
					first = start
				}
				count++
			}
		}
		at += len(finKey)
	}
}

// zeroPage says whether a whole page between from and to holds only zeros.
func zeroPage(b []byte, from, to int) bool {
	for p := (from + pageBytes - 1) / pageBytes * pageBytes; p+pageBytes <= to; p += pageBytes {
		if len(bytes.TrimLeft(b[p:p+pageBytes], "\x00")) == 0 {
			return true
		}
	}
	return false
}
