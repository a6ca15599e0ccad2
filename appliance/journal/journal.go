// Package journal keeps the facts of each publisher, in the order in which
// they came, until their state elsewhere is safe. It is the only room that
// knows NATS: one embedded server without a port, and an account and a file
// stream for each publisher (DESIGN.md, FORMAT.md).
//
// Failure rules. Append returns nil only for facts that are synced to disk. A
// write that fails or is not answered fails its callers, who do not know then
// whether it happened; the engine is opened again and goes on by itself when
// the disk allows it. A stream that holds less than it acknowledged is never
// opened, and so never cut short or written to: ErrDamaged says what is gone.
package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// What can go wrong, to be matched with errors.Is.
var (
	// ErrOverloaded: more waits to be written than QueueBytes. Come back shortly.
	ErrOverloaded = errors.New("journal: more arrives than can be written")
	// ErrFull: the stream is at MaxBytes, or the disk at its reserve.
	ErrFull = errors.New("journal: full")
	// ErrUnavailable: the engine did not answer and is being opened again.
	// Whether the facts were written is unknown; sending them again is safe
	// where they have ids.
	ErrUnavailable = errors.New("journal: the engine does not answer")
	// ErrTooLarge: the facts of one Append exceed MaxAppend.
	ErrTooLarge = errors.New("journal: too many bytes at once")
	// ErrDamaged: acknowledged records are missing or altered; errors.As
	// with *DamageError tells which.
	ErrDamaged = errors.New("journal: damaged")
	// ErrTrimmed: the records asked for are gone, as Trim was told.
	ErrTrimmed = errors.New("journal: trimmed away")
	ErrInUse   = errors.New("journal: open already, here or in another process")
	ErrName    = errors.New("journal: not a publisher's name")
	ErrClosed  = errors.New("journal: closed")
)

// MaxAppend bounds the encoded facts of one Append, in bytes.
const MaxAppend = 7 << 20

// packBytes is how much goes into one record before it is sealed; one Append
// that is larger has a record to itself.
const packBytes = 1 << 20

// Sealer seals records: a *keyring.Publisher.
type Sealer interface {
	SealRecord(plain, aad []byte) ([]byte, error)
	OpenRecord(sealed, aad []byte) ([]byte, error)
}

// StreamOptions of one publisher's journal. The zero value is good.
type StreamOptions struct {
	// MaxBytes is how large the stream may grow on disk; 16 GiB by default.
	// Beyond it Append answers ErrFull.
	MaxBytes int64
	// QueueBytes is how many encoded bytes may wait to be written, 32 MiB by
	// default. Beyond it Append answers ErrOverloaded.
	QueueBytes int64
}

func (o StreamOptions) withDefaults() StreamOptions {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 30
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = 32 << 20
	}
	return o
}

// Stats of a journal since it was opened, but for the last three.
type Stats struct {
	Facts   uint64 // appended
	Records uint64 // that they were packed into
	Plain   uint64 // bytes of their encoding
	Sealed  uint64 // bytes of the records
	Faults  uint64 // times the engine had to be opened again

	Queued int64 // bytes that wait to be written
	Bytes  int64 // on disk, about
	First  uint64
	Last   uint64 // sequences alive; First > Last when there are none
}

// Journal is one publisher's. It is safe for concurrent use.
type Journal struct {
	s         *Server
	publisher string
	keys      Sealer
	o         StreamOptions

	mu      sync.Mutex
	queue   []*request
	queued  int64 // bytes, of those being written too
	fault   error // why nothing can be taken now: there is no connection
	full    bool  // the last write met the disk's or the stream's bound
	closing bool
	// markFault: the mark cannot be written, which must not go on for long.
	markFault error
	link      *link // nil while there is no connection
	mark      mark  // what is certainly on disk
	bytes     int64
	changed   chan struct{} // closed and made anew whenever a reader should look again

	markIO sync.Mutex // one write of the mark's file at a time
	file   *markFile
	marked mark // what it holds

	trim     sync.Mutex // one Trim at a time
	wake     chan struct{}
	markWake chan struct{}
	stop     context.Context // ends when closing, after the queue is written
	stopped  context.CancelFunc
	running  sync.WaitGroup

	facts, records, plain, sealed, faults atomic.Uint64
}

// request is one Append that waits.
type request struct {
	facts []byte // encoded
	count int
	state atomic.Int32 // waiting, then taken or left
	done  chan error   // of one element
}

// States of a request.
const (
	waiting int32 = iota
	taken
	left
)

var encodings = sync.Pool{New: func() any { return new([]byte) }}

// Append returns nil once all facts are synced to disk, together and in their
// order, in one record. If ctx ends while they wait they are not written; if
// it ends during the write, whether they were is unknown. The facts are the
// caller's again when it returns. An empty list is nothing.
func (j *Journal) Append(ctx context.Context, facts []event.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	buf := encodings.Get().(*[]byte)
	b := (*buf)[:0]
	for i := range facts {
		b = event.AppendFact(b, &facts[i])
	}
	*buf = b
	if len(b) > MaxAppend {
		return fmt.Errorf("%w: %d, and %d are allowed", ErrTooLarge, len(b), MaxAppend)
	}
	r := &request{facts: b, count: len(facts), done: make(chan error, 1)}
	if err := j.enqueue(r); err != nil {
		encodings.Put(buf)
		return err
	}
	select {
	case err := <-r.done:
		encodings.Put(buf)
		return err
	case <-ctx.Done():
		// The flusher reads the buffer if it took the request: then the
		// buffer is left to the collector.
		if r.state.CompareAndSwap(waiting, left) {
			return fmt.Errorf("waiting to be written: %w", ctx.Err())
		}
		return fmt.Errorf("being written, perhaps already on disk: %w", ctx.Err())
	}
}

func (j *Journal) enqueue(r *request) error {
	n := int64(len(r.facts))
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closing:
		return ErrClosed
	case j.fault != nil:
		return j.fault
	case j.markFault != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, j.markFault)
	case j.queued > 0 && j.queued+n > j.o.QueueBytes:
		return fmt.Errorf("%w: %d bytes wait", ErrOverloaded, j.queued)
	case j.bytes+n > j.o.MaxBytes:
		return fmt.Errorf("%w: %d of %d bytes are used", ErrFull, j.bytes, j.o.MaxBytes)
	}
	j.queue = append(j.queue, r)
	j.queued += n
	select {
	case j.wake <- struct{}{}:
	default: // it will look anyway
	}
	return nil
}

// End is the cursor of the last record that is on disk, or of the journal's
// beginning.
func (j *Journal) End() Cursor {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Cursor{j.mark.incarnation, j.mark.last}
}

// Stats tells how the journal is doing.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{
		Facts: j.facts.Load(), Records: j.records.Load(), Plain: j.plain.Load(), Sealed: j.sealed.Load(), Faults: j.faults.Load(),
		Queued: j.queued, Bytes: j.bytes, First: j.mark.trimmed + 1, Last: j.mark.last,
	}
}

// notify lets readers look again. The caller holds mu.
func (j *Journal) notify() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// Close writes what waits, refuses everything after, and ends. Closing twice
// is harmless.
func (j *Journal) Close() error {
	j.mu.Lock()
	already := j.closing
	j.closing = true
	j.notify()
	j.mu.Unlock()
	if already {
		j.running.Wait()
		return nil
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
	j.running.Wait()
	j.mu.Lock()
	l := j.link
	j.link = nil
	m := j.mark
	j.mu.Unlock()
	if l != nil {
		l.close()
	}
	err := j.writeMark(m)
	if cerr := j.file.close(); err == nil {
		err = cerr
	}
	j.s.forget(j)
	if err != nil {
		return fmt.Errorf("closing the journal of %s: %w", j.publisher, err)
	}
	return nil
}

// start begins the journal's two goroutines; Close waits for them.
func (j *Journal) start() {
	j.stop, j.stopped = context.WithCancel(context.Background())
	j.running.Add(2)
	go func() {
		defer j.running.Done()
		defer j.stopped()
		j.flushLoop()
	}()
	go func() {
		defer j.running.Done()
		j.markLoop()
	}()
}

// pause waits for d, or less if the journal is closed meanwhile.
func (j *Journal) pause(d time.Duration) {
	j.mu.Lock()
	changed, closing := j.changed, j.closing
	j.mu.Unlock()
	if closing {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	}
}
