package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
)

// Bounds of what is held, of one publisher.
const (
	HoldRecords = 10_000
	holdBytes   = 64 << 20
	HoldLasts   = 30 * 24 * time.Hour // then it is discarded
)

// ErrNotHeld: there is no held record of this number.
var ErrNotHeld = errors.New("no such record is held")

// Held is a record that waits for an operator to look at it: its facts as they
// would go to the journal, but for what was found in them.
type Held struct {
	Number  uint64 // given by Hold; grows, also over a restart
	At      time.Time
	Dialect string
	Key     string     // id of the key that it came with, "" of a file
	Kinds   detect.Set // of what was found
	Facts   []event.Fact
}

// Sealer is what a hold needs of a publisher's keys; *keyring.Publisher is one.
type Sealer interface {
	SealChunk(plain, aad []byte) ([]byte, error)
	OpenChunk(sealed, aad []byte) ([]byte, error)
}

// Hold keeps records that wait, sealed, in a file for each request that
// brought some: what is released, discarded, erased or a month old is
// rewritten without, so that nothing of it stays behind in a store that only
// appends. It is safe for concurrent use.
type Hold struct {
	dir  string
	keys Sealer
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex
	files []heldFile // the oldest first
	count int
	bytes int64
	next  uint64
	ids   map[[16]byte]bool // of records, by the ids that their senders gave

	unreadable []string // files, at the opening
}

// heldFile is what is known of a file without reading it.
type heldFile struct {
	name    string
	bytes   int64
	numbers []uint64 // of its records, ascending
	last    time.Time
	ids     [][16]byte
}

// OpenHold opens a publisher's hold in a directory of its own, which it makes.
// now nil means time.Now.
func OpenHold(dir string, keys Sealer, now func() time.Time, log *slog.Logger) (*Hold, error) {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Hold{dir: dir, keys: keys, now: now, log: log, next: uint64(now().UnixMicro()), ids: make(map[[16]byte]bool)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the hold: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the hold: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), heldSuffix) { // from before a crash
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("opening the hold: %w", err)
			}
			continue
		}
		records, size, err := h.read(e.Name())
		if err != nil {
			// It cannot be shown or released; what it held is lost, the rest is not.
			h.log.Error("a file of held records cannot be read", "file", e.Name(), "error", err)
			h.unreadable = append(h.unreadable, e.Name())
			continue
		}
		h.note(e.Name(), size, records)
	}
	return h, h.Expire()
}

// Unreadable are the files that could not be read when the hold was opened. They
// stay as they are: neither an erasure nor time reaches them.
func (h *Hold) Unreadable() []string { return h.unreadable }

// Room says whether more can be held; a little over the bounds may be.
func (h *Hold) Room() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count < HoldRecords && h.bytes < holdBytes
}

// Add has records on disk when it returns nil. Those that are held already, by
// the ids that their senders gave, are left out.
func (h *Hold) Add(all []Held) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.now()
	number := max(h.next, uint64(at.UnixMicro()))
	var records []heldRecord
	for i := range all {
		if id, ok := senderID(all[i].Facts); ok && h.ids[id] {
			continue
		}
		number++
		r := heldRecord{Number: number, At: at.UTC(), Dialect: all[i].Dialect, Key: all[i].Key, Kinds: all[i].Kinds}
		for j := range all[i].Facts {
			f := all[i].Facts[j]
			if f.ID == "" { // released twice, it is one
				f.ID = "held:" + strconv.FormatUint(number, 10) + ":" + strconv.Itoa(j)
			}
			r.Facts = event.AppendFact(r.Facts, &f)
		}
		records = append(records, r)
	}
	if err := h.expireLocked(); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	name := fmt.Sprintf("%016x%s", records[0].Number, heldSuffix)
	size, err := h.write(name, records)
	if err != nil {
		return err
	}
	h.next = number
	h.note(name, size, records)
	return nil
}

// List gives the records above a number, the oldest first, at most limit.
func (h *Hold) List(after uint64, limit int) ([]Held, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.expireLocked(); err != nil {
		return nil, err
	}
	var out []Held
	for _, f := range h.files {
		if f.numbers[len(f.numbers)-1] <= after {
			continue
		}
		records, _, err := h.read(f.name)
		if err != nil {
			return nil, err
		}
		for i := range records {
			if records[i].Number <= after {
				continue
			}
			one, err := records[i].held()
			if err != nil {
				return nil, err
			}
			if out = append(out, one); len(out) == limit {
				return out, nil
			}
		}
	}
	return out, nil
}

// Count is how many records are held.
func (h *Hold) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// Take gives a record to release, which must be on disk elsewhere when it
// returns nil, and then lets go of it: ErrNotHeld if there is none. A record
// that is not released is discarded.
func (h *Hold) Take(number uint64, release func(Held) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.files {
		if !slices.Contains(h.files[i].numbers, number) {
			continue
		}
		records, _, err := h.read(h.files[i].name)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Number != number {
				continue
			}
			one, err := r.held()
			if err == nil && release != nil {
				err = release(one)
			}
			if err != nil {
				return fmt.Errorf("releasing a held record: %w", err)
			}
			return h.rewrite(i, records, func(r *heldRecord) bool { return r.Number == number })
		}
	}
	return ErrNotHeld
}

// Expire lets go of what is too old; whoever keeps it calls it now and then.
func (h *Hold) Expire() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expireLocked()
}

// A file's records came together, so they end together.
func (h *Hold) expireLocked() error {
	for len(h.files) > 0 && h.now().Sub(h.files[0].last) > HoldLasts {
		if err := h.rewrite(0, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// Holder makes it a holder of people's data: erased says whether an id is one
// of somebody who was erased.
func (h *Hold) Holder(erased func(id string) bool) erasure.Holder { return forgetful{h, erased} }

type forgetful struct {
	h      *Hold
	erased func(id string) bool
}

func (forgetful) Name() string { return "doors: records held for review" }

func (f forgetful) Forget(ctx context.Context, _ []erasure.Forgotten) error {
	h := f.h
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := 0; i < len(h.files); {
		if err := ctx.Err(); err != nil {
			return err
		}
		records, _, err := h.read(h.files[i].name)
		if err != nil {
			return err
		}
		var gone []uint64
		for _, r := range records {
			one, err := r.held()
			if err != nil {
				return err
			}
			if slices.ContainsFunc(one.Facts, func(e event.Fact) bool {
				return e.User != "" && f.erased(e.User) || e.Device != "" && f.erased(e.Device) || e.Previous != "" && f.erased(e.Previous)
			}) {
				gone = append(gone, r.Number)
			}
		}
		before := len(h.files)
		if len(gone) > 0 {
			if err := h.rewrite(i, records, func(r *heldRecord) bool { return slices.Contains(gone, r.Number) }); err != nil {
				return err
			}
		}
		if len(h.files) == before {
			i++
		}
	}
	return nil
}

// rewrite writes file i without the records that gone names, or removes it.
func (h *Hold) rewrite(i int, records []heldRecord, gone func(*heldRecord) bool) error {
	name := h.files[i].name
	kept := make([]heldRecord, 0, len(records))
	for j := range records {
		if !gone(&records[j]) {
			kept = append(kept, records[j])
		}
	}
	var size int64
	var err error
	if len(kept) > 0 {
		size, err = h.write(name, kept)
	} else if err = os.Remove(filepath.Join(h.dir, name)); err == nil || errors.Is(err, fs.ErrNotExist) {
		err = syncDir(h.dir)
	}
	if err != nil {
		return fmt.Errorf("letting go of held records: %w", err)
	}
	f := h.files[i]
	h.files = slices.Delete(h.files, i, i+1)
	h.count -= len(f.numbers)
	h.bytes -= f.bytes
	for _, id := range f.ids {
		delete(h.ids, id)
	}
	if len(kept) > 0 {
		h.note(name, size, kept)
	}
	return nil
}

// note takes note of a file.
func (h *Hold) note(name string, size int64, records []heldRecord) {
	f := heldFile{name: name, bytes: size}
	for i := range records {
		r := &records[i]
		f.numbers = append(f.numbers, r.Number)
		f.last = r.At
		h.next = max(h.next, r.Number)
		if one, err := r.held(); err == nil {
			if id, ok := senderID(one.Facts); ok {
				f.ids = append(f.ids, id)
				h.ids[id] = true
			}
		}
	}
	at, _ := slices.BinarySearchFunc(h.files, name, func(f heldFile, name string) int { return strings.Compare(f.name, name) })
	h.files = slices.Insert(h.files, at, f)
	h.count += len(records)
	h.bytes += size
}

// Release makes facts of a held record what may go to the journal: as they are,
// or with what they were held for masked, whatever is looked for by now. They
// are history by now, so they start no campaign.
func (r *Rules) Release(h Held, mask bool) []event.Fact {
	action := Keep
	if mask {
		action = MaskIt
	}
	d := r.Detect.without(h.Kinds, action)
	for i := range h.Facts {
		h.Facts[i].Flags |= event.Imported
		d.fact(&h.Facts[i], r.Personal)
	}
	return h.Facts
}

// ShowHeld masks what a record was held for, and what is looked for by now, so
// that an operator can decide without seeing more than that takes.
func (r *Rules) ShowHeld(h Held) Held {
	d := r.Detect.without(h.Kinds, MaskIt).masking()
	for i := range h.Facts {
		d.fact(&h.Facts[i], nil)
	}
	return h
}
