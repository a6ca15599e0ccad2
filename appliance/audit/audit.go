// Package audit keeps the record of what operators and the appliance did, so
// that nobody can change it afterwards without it being seen: lines in files,
// their hashes in a Merkle tree, the tree's head signed after every write
// (FORMAT.md).
//
// The failure rules: Append returns nil only once its entries and the head
// that covers them are on disk; after any other answer they may be there or
// not. A failed write is tried anew at a later Append, after what is on disk
// was checked. What is found damaged is set aside, never overwritten, and
// reported until an operator has looked; the log then goes on in new files.
// Somebody who has the machine can truncate log and head together: only a head
// kept elsewhere shows that, so it goes to the daemon's log every hour.
//
// An entry holds no personal data: people are named by number.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrClosed  = errors.New("audit: closed")
	ErrBusy    = errors.New("audit: too much waits to be written")
	ErrDamaged = errors.New("audit: the log is damaged or was changed")
)

// Bounds.
const (
	MaxText        = 512 // bytes of one text of an entry; longer ones are cut and end in "…"
	MaxAtOnce      = 64  // entries of one Append
	waiting        = 256 // Appends that wait for the disk
	batch          = 256 // of them written at once
	logHeadEvery   = time.Hour
	tryAgainAfter  = 5 * time.Second
	DefaultFile    = 16 << 20
	DefaultFiles   = 64
	reservedPrefix = "audit." // actions of this room's own
)

// Outcomes of an Entry.
const (
	OK     = "ok"
	Denied = "denied"
	Failed = "failed"
)

// Entry is one thing that was done, or tried.
type Entry struct {
	N         int64     `json:"n"`                   // counts from 0; set by Append
	Time      time.Time `json:"time"`                // set by Append
	Actor     string    `json:"actor"`               // "operator ann", "token 1f3a..", "socket root", "appliance"
	Action    string    `json:"action"`              // "person.read", "sign-in", ..
	Publisher string    `json:"publisher,omitempty"` // whose data
	Subject   string    `json:"subject,omitempty"`   // what it was done to: "person 7", "campaign cart"
	Outcome   string    `json:"outcome"`             // OK, Denied or Failed; "" counts as OK
	From      string    `json:"from,omitempty"`      // the address it came from
	Detail    string    `json:"detail,omitempty"`
}

// Board is told of problems; *health.Board is one.
type Board interface {
	Raise(p health.Problem)
	Clear(code, subject string)
}

// Options say how a log is kept. Dir is needed.
type Options struct {
	Dir string
	// Name is the log's name in its signed heads, a host's by custom; it is
	// fixed when the log is made. Default "cloister".
	Name      string
	FileBytes int64 // a file is followed by another past so many bytes; default 16 MiB
	Files     int   // so many are kept, the oldest goes; default 64, at least 2
	Now       func() time.Time
	Logger    *slog.Logger
	Board     Board // nil discards
}

// Log is one log, open. It is safe for concurrent use.
type Log struct {
	o      Options
	queue  chan *request
	closed chan struct{} // closed by Close: nothing more is taken
	done   chan struct{} // closed by the writer, which then has written everything
	once   sync.Once

	mu       sync.RWMutex // guards what readers see
	head     []byte       // the signed head of what is on disk
	verifier string       // for signatures under it
	view     []stretch    // the files as far as they are on disk
}

type request struct {
	entries []Entry
	answer  chan error // buffered
}

// stretch is a file and how much of it counts.
type stretch struct {
	path  string
	bytes int64
}

// Open opens the log in o.Dir, making it if there is none, and checks all of
// it: about a second for each GiB. Damage is no error here: it is set aside,
// raised as the problem "audit.damaged", and the first entry of the new log.
// Close it.
func Open(o Options) (*Log, error) {
	if o.Name == "" {
		o.Name = "cloister"
	}
	if o.FileBytes == 0 {
		o.FileBytes = DefaultFile
	}
	if o.Files == 0 {
		o.Files = DefaultFiles
	}
	o.Files = max(o.Files, 2)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		o: o, queue: make(chan *request, waiting),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
	w := &writer{log: l}
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("opening the audit in %s: %w", o.Dir, err)
	}
	go w.run()
	return l, nil
}

// Append adds entries, and returns nil once they are on disk. It waits for the
// disk and for nothing else; ErrBusy says that too many wait already. When ctx
// ends first they may still be written.
func (l *Log) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if len(entries) > MaxAtOnce {
		return fmt.Errorf("audit: %d entries at once, %d are allowed", len(entries), MaxAtOnce)
	}
	r := &request{entries: make([]Entry, len(entries)), answer: make(chan error, 1)}
	for i, e := range entries {
		if e.Actor == "" || e.Action == "" || strings.HasPrefix(e.Action, reservedPrefix) {
			return fmt.Errorf("audit: an entry needs an actor and an action of its own, not %q", e.Action)
		}
		r.entries[i] = e.clipped()
	}
	select {
	case <-l.closed:
		return ErrClosed
	default:
	}
	select {
	case l.queue <- r:
	default:
		return ErrBusy
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the audit: %w", ctx.Err())
	case <-l.done:
		// The writer may have taken it as the last.
		select {
		case err := <-r.answer:
			return err
		default:
			return ErrClosed
		}
	}
}

func (e Entry) clipped() Entry {
	if e.Outcome == "" {
		e.Outcome = OK
	}
	for _, s := range []*string{&e.Actor, &e.Action, &e.Publisher, &e.Subject, &e.Outcome, &e.From, &e.Detail} {
		*s = clip(*s)
	}
	return e
}

func clip(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// Head is the signed head of what is on disk, a note as checkpoints of
// transparency logs are: to be kept where this machine's owner cannot reach,
// and given to Verify later.
func (l *Log) Head() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.head
}

// Verifier is the key that checks heads, as Verify takes it: to be kept with
// them.
func (l *Log) Verifier() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.verifier
}

// forget drops what readers see of a log that was set aside.
func (l *Log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head, l.view = nil, nil
}

// Close writes what waits and ends the log. Closing twice is harmless.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.closed) })
	<-l.done
	return nil
}
