// Package history keeps what happened: the rows of a publisher's events, the
// newest of them in memory (the head), the others frozen into blocks.
//
// What a caller may rely on: rows are durable with the transaction they were
// appended in and visible, all at once, after Committed. A Snapshot never
// changes. A chunk that is damaged is an error (ErrDamaged) that names the
// block; it never makes an answer smaller (DESIGN.md).
package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrDamaged = errors.New("history: a block is damaged")
	ErrClosed  = errors.New("history: closed")
)

// Ceilings of one publisher's vocabulary. What is beyond them is refused
// (Options.Refused): a name costs something in every index for ever.
const (
	MaxNames = 1024 // event names
	MaxKeys  = 2048 // property keys
	// MaxRowBytes bounds what one row's properties take, packed. Those that
	// come after it is reached are refused.
	MaxRowBytes = 256 << 10
)

// Defaults of Options.
const (
	DefaultFreezeRows  = 256 << 10
	DefaultFreezeBytes = 64 << 20
	DefaultFreezeAge   = time.Hour
	DefaultCacheBytes  = 256 << 20
)

// Sealer seals what goes to disk; *keyring.Publisher is one.
type Sealer interface {
	SealChunk(plain, aad []byte) ([]byte, error)
	OpenChunk(sealed, aad []byte) ([]byte, error)
}

// Board is told of problems; *health.Board is one.
type Board interface {
	Raise(p health.Problem)
	Clear(code, subject string)
}

// Options say how a history is kept. The zero value is good.
type Options struct {
	Location    *time.Location // whose days are the days of bitmaps and blocks; UTC
	FreezeRows  int            // the head is frozen when it holds so many rows
	FreezeBytes int64          // or takes about so many bytes of memory
	Heads       *Heads         // or all that share it take too much; nil = no such bound
	FreezeAge   time.Duration  // or is so old and would fill a block
	Cache       *Cache         // of decoded columns, shared; nil = one of its own
	CacheBytes  int64          // bound of that one; negative = nothing is kept
	Now         func() time.Time
	Logger      *slog.Logger           // nil discards
	Board       Board                  // nil discards
	Subject     string                 // of the problems on Board: the publisher's name
	Emptied     func()                 // a shelf was emptied and waits for RemoveEmptied; nil = it is removed at once
	Refused     func(name, key string) // a row (key is "") or a property was refused, for the ceilings; called by Append
}

func (o Options) withDefaults() Options {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.FreezeRows <= 0 {
		o.FreezeRows = DefaultFreezeRows
	}
	if o.FreezeBytes <= 0 {
		o.FreezeBytes = DefaultFreezeBytes
	}
	if o.FreezeAge <= 0 {
		o.FreezeAge = DefaultFreezeAge
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.Cache == nil {
		o.Cache = NewCache(o.CacheBytes)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Board == nil {
		o.Board = health.NewBoard(o.Now)
	}
	if o.Refused == nil {
		o.Refused = func(string, string) {}
	}
	return o
}

// Row is one event as history keeps it. Personal properties have no place in
// it and are left out by Append.
type Row struct {
	Person uint32
	Time   int64 // microseconds since 1970 UTC
	Name   string
	Props  []event.Prop
}

// History is what happened at one publisher. Append and Committed belong to
// one goroutine, the applier's; everything else may be called from any.
type History struct {
	db       *kv.DB
	shelves  *kv.Shelves
	keys     Sealer
	o        Options
	cache    *drawer
	maxPacks uint32 // packed values that one transaction can surely remove
	lastID   atomic.Uint64

	own sync.Mutex // held by who adds to the head or begins another
	// Under own; all but the last two are the applier's.
	words    vocabulary
	cal      *calendar
	pack     packer
	head     *head
	appended bool // rows are in the head that are not committed yet
	wanted   bool // Freeze waits for them to be

	busy    sync.Mutex      // held by who writes shelves or changes the list; taken before own and mu
	counts  counts          // under busy
	told    map[uint32]bool // under busy: shelves that Options.Emptied was called for
	spoiled map[uint64]bool // under busy: blocks and parts that are damaged, as far as is known
	stop    context.CancelFunc
	worker  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond   // heads, old or closed changed
	heads   []*head      // all but the newest wait to be frozen, oldest first
	view    *view        // what the next Snapshot sees
	old     []*blockList // lists before view's that snapshots still hold
	urged   bool         // the newest head is to be frozen, for Options.Heads
	moves   uint64       // grows when there may be something new to clean up
	tidied  uint64       // moves when the worker last found nothing to clean up
	closed  bool
}

// Open opens the history that lies in db and shelves, which stay the caller's
// and must outlive it. Rows that were not frozen yet are brought back into
// memory. Close it to wait for its worker.
func Open(db *kv.DB, shelves *kv.Shelves, keys Sealer, o Options) (*History, error) {
	h := &History{db: db, shelves: shelves, keys: keys, o: o.withDefaults(), moves: 1, spoiled: make(map[uint64]bool), told: make(map[uint32]bool)}
	h.cal = newCalendar(h.o.Location)
	h.cache = h.o.Cache.drawer()
	h.changed = sync.NewCond(&h.mu)
	_, keysAtOnce := db.Limits()
	h.maxPacks = uint32(keysAtOnce / 2)
	if err := db.View(h.load); err != nil {
		return nil, fmt.Errorf("opening history: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.weigh()
	h.worker.Go(func() { h.work(ctx) })
	return h, nil
}

// load reads the vocabulary, the list and the packed rows.
func (h *History) load(t *kv.Txn) error {
	if err := h.words.load(t, h.keys); err != nil {
		return err
	}
	list, err := h.loadList(t)
	if err != nil {
		return err
	}
	if err := h.loadHeads(t); err != nil {
		return err
	}
	h.view = &view{version: 1, list: list}
	for _, hd := range h.heads {
		h.view.heads = append(h.view.heads, hd.view())
	}
	h.publish()
	return nil
}

// Append adds rows, in their order of arrival, to the applier's transaction.
// They become visible with Committed. If the transaction fails the history
// must be closed and opened again. Beside the rows themselves it writes only
// names and keys that are new; the caller bounds its transaction by kv.Limits.
func (h *History) Append(t *kv.Txn, rows []Row) error {
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if len(rows) == 0 {
		return nil
	}
	h.own.Lock()
	defer h.own.Unlock()
	batch, err := h.digest(t, rows)
	if err != nil {
		return fmt.Errorf("appending to history: %w", err)
	}
	if err := h.writePacked(t, batch); err != nil {
		return fmt.Errorf("appending to history: %w", err)
	}
	h.head.add(batch, h.cal)
	h.appended = true
	return nil
}

// Committed makes visible, all at once, what was appended since the last time.
// It waits for the worker when that is far behind.
func (h *History) Committed() {
	h.own.Lock()
	if !h.appended {
		h.own.Unlock()
		return
	}
	h.appended = false
	h.publish()
	turned := h.wanted || h.due(h.head)
	if turned {
		h.turn()
	}
	h.own.Unlock()
	h.weigh()
	if turned {
		h.keepUp()
	}
}

// publish counts the head's new rows in.
func (h *History) publish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := *h.view
	v.version++
	v.names, v.keys = slices.Clip(h.words.names.list), slices.Clip(h.words.keys.list)
	if v.codes == nil || len(v.names) > len(v.codes.names) || len(v.keys) > len(v.codes.keys) {
		v.codes = newCodes(v.names, v.keys)
	}
	v.heads = slices.Clone(v.heads)
	v.heads[len(v.heads)-1] = h.head.view()
	h.view = &v
}

// turn begins a new head, so that the worker can freeze the one before. The
// caller holds own.
func (h *History) turn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = false
	h.head = newHead(h.head.gen+1, h.o.Now())
	h.heads = append(h.heads, h.head)
	v := *h.view
	v.heads = append(slices.Clone(v.heads), h.head.view())
	h.view = &v
	h.changed.Broadcast()
}

// keepUp waits until not too many heads wait to be frozen.
func (h *History) keepUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.heads) > 1+maxWaiting && !h.closed {
		h.changed.Wait()
	}
}

// await waits until is, which is called under mu.
func (h *History) await(ctx context.Context, is func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changed.Broadcast()
	})
	defer stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for !is() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if h.closed {
			return ErrClosed
		}
		h.changed.Wait()
	}
	return nil
}

// namesNow is the vocabulary's names as of the last Committed.
func (h *History) namesNow() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.view.names
}

// Snapshot is the history as of the last Committed. Release it.
func (h *History) Snapshot() *Snapshot {
	h.cache.c.turn.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.list.refs++
	return &Snapshot{h: h, v: h.view}
}

// Close stops and waits for the worker. Snapshots are of no use afterwards.
// Closing twice is harmless.
func (h *History) Close() error {
	h.mu.Lock()
	h.closed = true
	h.changed.Broadcast()
	h.mu.Unlock()
	h.stop()
	h.worker.Wait()
	h.weigh()
	h.cache.close()
	return nil
}
