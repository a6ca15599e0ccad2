package flow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// ErrRepeats is wrapped by errors about stored hashes that are damaged.
var ErrRepeats = errors.New("flow: the hashes of facts seen are damaged")

// Hasher hashes under a key that stays the same; *keyring.Publisher is one.
type Hasher interface {
	Hash(domain string, parts ...[]byte) [32]byte
}

// RepeatsOptions of Repeats. The zero value is good.
type RepeatsOptions struct {
	// Run is how many hashes the open run holds at most before it is sorted
	// away; 0 = as many as go into a part of one transaction.
	Run int
}

const (
	repeatsHours = 7 * 24 // for which an id is known, at least; an hour more at most
	hourMicros   = int64(time.Hour / time.Microsecond)

	entryBytes   = 10 // of a hash: among a billion ids in a week, two are taken for one in one week of a million
	tailEntries  = 64 // of one page of the open run
	smallRun     = 1024
	maxRun       = 1 << 18
	entryWritten = 24 // about what a hash costs a transaction when its run is sorted away: itself, its page's end
)

// entry is the hash of an id.
type entry [entryBytes]byte

// Repeats knows the ids of the facts of the last seven days, as keyed hashes.
// New ones gather in the open run, in memory and in small pages; after an
// hour, or when there are many, it is sorted and written as a run that is not
// changed any more. A day and each of its runs have a filter in memory; what
// passes both is looked up. Repeats belong to the applier's goroutine; if a transaction that
// Seen took part in fails, they must be opened anew.
type Repeats struct {
	mac  hash.Hash
	run  int    // bound of the open run
	now  int64  // hour of the newest fact
	next uint32 // number of the next run

	open     map[entry]struct{}
	openHour int64
	tail     []byte // of the open run's last page
	pages    uint32 // of the open run

	days []*repeatsDay // oldest first
}

// OpenRepeats reads back what db knows.
func OpenRepeats(db *kv.DB, keys Hasher, o RepeatsOptions) (*Repeats, error) {
	key := keys.Hash("repeats")
	r := &Repeats{mac: hmac.New(sha256.New, key[:]), run: o.Run, open: make(map[entry]struct{})}
	if r.run <= 0 {
		bytes, _ := db.Limits()
		r.run = int(min(max(bytes/8/entryWritten, smallRun), maxRun))
	}
	err := db.View(r.load)
	if err != nil {
		return nil, fmt.Errorf("opening the hashes of facts seen: %w", err)
	}
	return r, nil
}

// hash is what is kept of an id.
func (r *Repeats) hash(id string) entry {
	r.mac.Reset()
	r.mac.Write([]byte(id))
	var sum [sha256.Size]byte
	return entry(r.mac.Sum(sum[:0])[:entryBytes])
}

// Seen says whether a fact with this id was seen within seven days before
// receivedMicros, and marks it as seen, in t.
func (r *Repeats) Seen(t *kv.Txn, id string, receivedMicros int64) (bool, error) {
	if err := r.turn(t, receivedMicros/hourMicros); err != nil {
		return false, fmt.Errorf("closing a run of facts seen: %w", err)
	}
	e := r.hash(id)
	if _, ok := r.open[e]; ok {
		return true, nil
	}
	for _, d := range slices.Backward(r.days) {
		if !d.mayHave(e) {
			continue
		}
		found, err := d.find(t, e, r.now)
		if err != nil {
			return false, fmt.Errorf("looking for a fact seen: %w", err)
		}
		if found {
			return true, nil
		}
	}
	if err := r.mark(t, e); err != nil {
		return false, fmt.Errorf("marking a fact as seen: %w", err)
	}
	return false, nil
}

// Committed says that the transaction which Seen took part in is on disk.
func (r *Repeats) Committed() {}

// turn goes to the hour of a fact and closes the open run where its hour is
// over. Time goes on with the facts; it goes back only where a clock that was
// far ahead was set right. A fact that does not say is of now.
func (r *Repeats) turn(t *kv.Txn, hour int64) error {
	if hour > r.now || hour > 0 && hour < r.now-24 {
		r.now = hour
	}
	if len(r.open) == 0 {
		r.openHour = r.now
		return nil
	}
	if r.openHour == r.now && len(r.open) < r.run {
		return nil
	}
	return r.close(t)
}

// mark adds to the open run.
func (r *Repeats) mark(t *kv.Txn, e entry) error {
	r.open[e] = struct{}{}
	if len(r.tail) == 0 || len(r.tail) == tailEntries*entryBytes {
		r.pages++
		r.tail = r.tail[:0]
		if err := r.expire(t); err != nil {
			return err
		}
	}
	r.tail = append(r.tail, e[:]...)
	return t.Set(kv.Repeats, r.tailKey(r.pages), r.tail)
}

// close sorts the open run away.
func (r *Repeats) close(t *kv.Txn) error {
	sorted := make([]entry, 0, len(r.open))
	for e := range r.open {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b entry) int { return slices.Compare(a[:], b[:]) })
	n := repeatsRun{hour: r.openHour, number: r.next, small: len(sorted) <= smallRun, filter: newFilter(len(sorted), runBits, runProbes)}
	if err := n.write(t, sorted); err != nil {
		return err
	}
	for page := uint32(1); page <= r.pages; page++ {
		if err := t.Delete(kv.Repeats, r.tailKey(page)); err != nil {
			return err
		}
	}
	d := r.day(n.hour / 24)
	d.runs = append(d.runs, n)
	d.room = max(d.room, d.hashes+len(sorted))
	for _, e := range sorted {
		d.add(e)
		n.filter.add(e)
	}
	clear(r.open)
	r.next++
	r.openHour, r.pages, r.tail = r.now, 0, r.tail[:0]
	return nil
}

// day finds or makes the day of a run. A new one is taken to be as busy as the
// busiest before it.
func (r *Repeats) day(number int64) *repeatsDay {
	at, ok := slices.BinarySearchFunc(r.days, number, func(d *repeatsDay, n int64) int { return int(d.number - n) })
	if !ok {
		most := 0
		for _, d := range r.days {
			most = max(most, d.hashes)
		}
		r.days = slices.Insert(r.days, at, &repeatsDay{number: number, room: most})
	}
	return r.days[at]
}

// expire deletes one run that is past its time.
func (r *Repeats) expire(t *kv.Txn) error {
	for i, d := range r.days {
		for j, n := range d.runs {
			if !n.past(r.now) {
				continue
			}
			if err := n.delete(t); err != nil {
				return err
			}
			if d.runs = slices.Delete(d.runs, j, j+1); len(d.runs) == 0 {
				r.days = slices.Delete(r.days, i, i+1)
			}
			return nil
		}
		// Days are in order, and a run ahead of the clock is not past either.
		if len(d.runs) > 0 && d.number*24 > r.now-repeatsHours {
			return nil
		}
	}
	return nil
}

// Kinds of key, by their first byte. A page of the open run lies under its
// hour (8 bytes), number (4) and page (4, from 1), and holds hashes as they
// came. A run lies under its hour and number, and holds its hashes in order; of a
// large one, each page has the hashes with one first byte, which ends its key
// and is left out of them. Numbers are big-endian.
const (
	keyTail = 't'
	keyRun  = 'r'
)

func (r *Repeats) tailKey(page uint32) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyTail}, uint64(r.openHour))
	k = binary.BigEndian.AppendUint32(k, r.next)
	return binary.BigEndian.AppendUint32(k, page)
}

// load reads back the runs, a day at a time, and the open run.
func (r *Repeats) load(t *kv.Txn) error {
	hashes := make(map[uint32]int) // by run
	err := t.Scan(kv.Repeats, []byte{keyRun}, nil, func(key, val []byte) error {
		n, bucket, err := parseRunKey(key)
		if err != nil {
			return err
		}
		d := r.day(n.hour / 24)
		if len(d.runs) == 0 || d.runs[len(d.runs)-1].number != n.number {
			d.runs = append(d.runs, n)
		}
		entries, err := n.entries(bucket, val)
		d.room += len(entries)
		hashes[n.number] += len(entries)
		r.next, r.now = max(r.next, n.number+1), max(r.now, n.hour)
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range r.days {
		if err := d.load(t, hashes); err != nil {
			return err
		}
	}
	return t.Scan(kv.Repeats, []byte{keyTail}, nil, func(key, val []byte) error {
		if len(key) != 17 || len(val)%entryBytes != 0 {
			return fmt.Errorf("%w: a page of the open run", ErrRepeats)
		}
		r.openHour = int64(binary.BigEndian.Uint64(key[1:]))
		r.next, r.pages = binary.BigEndian.Uint32(key[9:]), binary.BigEndian.Uint32(key[13:])
		r.now = max(r.now, r.openHour)
		r.tail = append(r.tail[:0], val...)
		for ; len(val) > 0; val = val[entryBytes:] {
			r.open[entry(val)] = struct{}{}
		}
		return nil
	})
}
