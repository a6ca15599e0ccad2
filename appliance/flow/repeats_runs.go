package flow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// repeatsRun is hashes in order that are not changed any more. A small one is
// one page; another has a page for every first byte of its hashes, which is
// then left out.
type repeatsRun struct {
	hour   int64 // in which its first was received
	number uint32
	small  bool
	filter *filter // of its own: a day has many runs
}

// past says whether none of it can be asked for any more.
func (n repeatsRun) past(now int64) bool { return n.hour+1+repeatsHours <= now }

// key is that of a page. Keys are in the order of hours, so that a day's lie
// together.
func (n repeatsRun) key(bucket byte) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyRun}, uint64(n.hour))
	k = binary.BigEndian.AppendUint32(k, n.number)
	if n.small {
		return k
	}
	return append(k, bucket)
}

func parseRunKey(k []byte) (n repeatsRun, bucket byte, err error) {
	if len(k) != 13 && len(k) != 14 {
		return n, 0, fmt.Errorf("%w: a key of %d bytes", ErrRepeats, len(k))
	}
	n = repeatsRun{hour: int64(binary.BigEndian.Uint64(k[1:])), number: binary.BigEndian.Uint32(k[9:]), small: len(k) == 13}
	if !n.small {
		bucket = k[13]
	}
	return n, bucket, nil
}

// width is the bytes of a hash in a page.
func (n repeatsRun) width() int {
	if n.small {
		return entryBytes
	}
	return entryBytes - 1
}

func (n repeatsRun) write(t *kv.Txn, sorted []entry) error {
	for len(sorted) > 0 {
		here, bucket := len(sorted), sorted[0][0]
		if !n.small {
			here = sort.Search(len(sorted), func(i int) bool { return sorted[i][0] > bucket })
		}
		page := make([]byte, 0, here*n.width())
		for i := range sorted[:here] {
			page = append(page, sorted[i][entryBytes-n.width():]...)
		}
		if err := t.Set(kv.Repeats, n.key(bucket), page); err != nil {
			return err
		}
		sorted = sorted[here:]
	}
	return nil
}

func (n repeatsRun) delete(t *kv.Txn) error {
	for bucket := range 256 {
		if err := t.Delete(kv.Repeats, n.key(byte(bucket))); err != nil {
			return err
		}
		if n.small {
			break
		}
	}
	return nil
}

// entries are the hashes of a page.
func (n repeatsRun) entries(bucket byte, page []byte) ([]entry, error) {
	w := n.width()
	if len(page) == 0 || len(page)%w != 0 {
		return nil, fmt.Errorf("%w: a page of %d bytes", ErrRepeats, len(page))
	}
	out := make([]entry, 0, len(page)/w)
	for ; len(page) > 0; page = page[w:] {
		e := entry{bucket}
		copy(e[entryBytes-w:], page[:w])
		out = append(out, e)
	}
	return out, nil
}

// find looks a hash up.
func (n repeatsRun) find(t *kv.Txn, e entry) (bool, error) {
	if !n.filter.has(e) {
		return false, nil
	}
	page, err := t.Get(kv.Repeats, n.key(e[0]))
	if errors.Is(err, kv.ErrNotFound) && !n.small {
		return false, nil // no hash begins like this
	}
	if err != nil {
		return false, err
	}
	w := n.width()
	if len(page)%w != 0 {
		return false, fmt.Errorf("%w: a page of %d bytes", ErrRepeats, len(page))
	}
	_, found := sort.Find(len(page)/w, func(i int) int { return bytes.Compare(e[entryBytes-w:], page[i*w:][:w]) })
	return found, nil
}

// repeatsDay is the runs of one day, with filters over all their hashes.
type repeatsDay struct {
	number  int64 // days since 1970 UTC
	runs    []repeatsRun
	filters []*filter
	hashes  int
	room    int // hashes to be expected
}

func (d *repeatsDay) add(e entry) {
	if n := len(d.filters); n == 0 || d.filters[n-1].full() {
		d.filters = append(d.filters, newFilter(max(d.room-d.hashes, d.hashes, smallRun), dayBits, dayProbes))
	}
	d.filters[len(d.filters)-1].add(e)
	d.hashes++
}

func (d *repeatsDay) mayHave(e entry) bool {
	return slices.ContainsFunc(d.filters, func(f *filter) bool { return f.has(e) })
}

// find looks for a hash in the runs that are not past, the newest first.
func (d *repeatsDay) find(t *kv.Txn, e entry, now int64) (bool, error) {
	for _, n := range slices.Backward(d.runs) {
		if n.past(now) {
			continue
		}
		if found, err := n.find(t, e); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// load fills the filters from the pages.
func (d *repeatsDay) load(t *kv.Txn, hashes map[uint32]int) error {
	for i := range d.runs {
		run := &d.runs[i]
		run.filter = newFilter(hashes[run.number], runBits, runProbes)
		prefix := run.key(0)[:13]
		err := t.Scan(kv.Repeats, prefix, nil, func(key, val []byte) error {
			n, bucket, err := parseRunKey(key)
			if err != nil {
				return err
			}
			entries, err := n.entries(bucket, val)
			for _, e := range entries {
				d.add(e)
				run.filter.add(e)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
