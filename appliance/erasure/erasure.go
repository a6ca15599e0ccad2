// Package erasure is the ledger of forgetting: who asked to be forgotten, which
// holder of their data has reported it gone, and, when all have, a certificate
// that anybody can verify.
//
// A request begins in the applier's transaction, the one in which the rooms
// below forget the person; as soon as that is committed the person's keys are
// destroyed. The rest is a worker's, step by step, each noted with its time
// once it is on disk, so that it goes on after a restart where it was. Holders
// may therefore be asked again for what they have done already.
//
// Failure rules: a holder that fails is asked again, later and later, and the
// board says so; nothing else of a request is undone or repeated. A request
// is never given up and has no certificate before every holder reported
// (DESIGN.md).
package erasure

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrUnknown = errors.New("erasure: no such request")
	ErrPending = errors.New("erasure: not every holder has reported yet")
)

// Forgotten is one person who is being erased.
type Forgotten struct {
	Numbers   []uint32        // all that are one person with them
	Addresses []event.Address // where connectors knew them by
}

// Holder has something of people that an erasure must reach. Forget returns nil
// once it is gone there, on disk. It may be called again for the same persons,
// must bear ctx ending at any time, and is never called twice at once.
type Holder interface {
	Name() string // as the certificate says it: "history"
	Forget(ctx context.Context, persons []Forgotten) error
}

// Keys are what the ledger needs of a publisher's keys; *keyring.Publisher is them.
type Keys interface {
	DestroyPerson(persons ...uint32) error
	SealRecord(plain, aad []byte) ([]byte, error)
	OpenRecord(sealed, aad []byte) ([]byte, error)
	EpochOf(sealed []byte) (uint32, error)
	Epoch() uint32
	Hash(domain string, parts ...[]byte) [32]byte
	Sign(domain string, msg []byte) []byte
	SigningKey() ed25519.PublicKey
}

// Board is told of problems; *health.Board is one.
type Board interface {
	Raise(p health.Problem)
	Clear(code, subject string)
}

// Options of a publisher's ledger. Publisher, Keys and the holders are needed.
type Options struct {
	Publisher string // its name, for certificates and the board
	Keys      Keys
	// Inside are the holders within the appliance, in the order in which they
	// must forget: where one copies from another (a checkpoint from history),
	// the other comes first. One that fails keeps those behind it waiting.
	Inside []Holder
	// Outside are those beyond it, connectors above all. They are asked first,
	// and one that fails keeps nobody waiting but the certificate. Only they
	// are given Addresses.
	Outside []Holder
	// Within are the rooms that forgot in the applier's own transaction, for
	// the certificate.
	Within []string
	// Kept is what stays, and why, for the certificate: sentences.
	Kept []string
	// Gather is how long the requests after a first one are gathered, since
	// holders forget many at the cost of one; default 10 minutes.
	Gather  time.Duration
	Backoff time.Duration // the first wait after a failure, doubled up to 1 h; default 30 s
	Board   Board         // nil = nobody is told
	Now     func() time.Time
	Timer   func(d time.Duration) (<-chan time.Time, func()) // nil = the runtime's
	Logger  *slog.Logger
}

type silent struct{}

func (silent) Raise(health.Problem) {}
func (silent) Clear(_, _ string)    {}

func (o Options) withDefaults() Options {
	if o.Gather <= 0 {
		o.Gather = 10 * time.Minute
	}
	if o.Backoff <= 0 {
		o.Backoff = 30 * time.Second
	}
	if o.Board == nil {
		o.Board = silent{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timer == nil {
		o.Timer = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTimer(d)
			return t.C, func() { t.Stop() }
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Erasure is one publisher's ledger. Begin and Committed belong to the
// applier's goroutine; everything else may be used concurrently.
type Erasure struct {
	db *kv.DB
	o  Options

	begun []uint32 // numbers of the applier's transaction, their keys still there

	wake   chan struct{} // one token: there is a new request
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	started bool
	closed  bool
}

// Open opens the ledger in db. Requests go on once Start was called. Close it.
func Open(db *kv.DB, o Options) (*Erasure, error) {
	e := &Erasure{db: db, o: o.withDefaults(), wake: make(chan struct{}, 1)}
	seen := map[string]bool{transaction: true, keys: true}
	for _, h := range e.holders() {
		if seen[h.Name()] {
			return nil, fmt.Errorf("erasure: two holders are called %q", h.Name())
		}
		seen[h.Name()] = true
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

func (e *Erasure) holders() []Holder {
	return append(append([]Holder{}, e.o.Outside...), e.o.Inside...)
}

// Start lets the requests that are not done go on: call it once.
func (e *Erasure) Start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started || e.closed {
		return
	}
	e.started = true
	e.wg.Add(1)
	go e.run()
}

// Close ends what holders are doing and waits for it. What was not noted as
// done is done again after the next Start.
func (e *Erasure) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
	return nil
}

// Begin notes a request in the transaction in which the rooms forget the
// person. request names it, "" = a name is made; at is when it was asked, in
// microseconds since 1970. A request of that name for somebody else gets a
// name with something behind it. If the transaction fails the ledger must be
// opened anew, as people must.
func (e *Erasure) Begin(t *kv.Txn, request string, at int64, f Forgotten) error {
	if err := e.begin(t, request, at, f); err != nil {
		return fmt.Errorf("noting an erasure: %w", err)
	}
	e.begun = append(e.begun, f.Numbers...)
	return nil
}

// Committed tells that Begin's transaction is on disk: now their keys go. If
// that fails the worker tries again.
func (e *Erasure) Committed() {
	if len(e.begun) == 0 {
		return
	}
	if err := e.o.Keys.DestroyPerson(e.begun...); err != nil {
		e.o.Logger.Error("the keys of an erased person could not be destroyed, will try again", "error", err)
	}
	e.begun = nil
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
