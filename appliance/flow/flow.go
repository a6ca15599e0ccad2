// Package flow is the applier: it carries every fact of a publisher from the
// journal through the same stages, in the journal's order, once, and commits
// all that follows from a run of facts together with its cursor (DESIGN.md).
//
// Failure rules: a run whose transaction fails leaves the rooms' memory ahead
// of the disk, so the applier stops for good, says why (Failed), and the
// publisher's rooms must be closed and opened again. What is opened again goes
// on at the cursor; nothing is applied twice.
package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
)

// ErrStopped is wrapped by what CaughtUp answers once the applier has stopped.
var ErrStopped = errors.New("flow: the applier has stopped")

// Bounds of one run: what is applied in one transaction.
const (
	runFacts   = 20_000
	runRecords = 16      // read from the journal at once
	rowBytes   = 1 << 20 // of rows, as they were in the journal
	backlog    = 2_000   // facts that wait, from which on the applier is behind
)

// Journal is where facts come from; *journal.Journal is one.
type Journal interface {
	Read(ctx context.Context, after journal.Cursor, max int) ([]journal.Record, error)
	End() journal.Cursor
}

// Programme is the stage of saved objects other than campaigns and lists.
type Programme interface {
	Apply(t *kv.Txn, f *event.Fact) error
	Committed()
}

// Stages are the rooms that a fact passes, in this order.
type Stages struct {
	Repeats   *Repeats
	People    *people.People
	History   *history.History
	Programme Programme
	Campaigns *campaign.Campaigns
	Delivery  *delivery.Delivery
	Erasure   *erasure.Erasure
}

// Options of an applier. The zero value is good.
type Options struct {
	// Moment is held for writing while what a run did becomes visible, so that
	// whoever holds it for reading sees people and history of one moment.
	Moment *sync.RWMutex
	// Applied is told of the rows of a run once they are visible. It must not
	// keep them, nor take long.
	Applied func(rows []history.Row)
	// Behind is told, from the applier's goroutine, that more facts wait than it
	// works on, and, with false, that none do any more.
	Behind func(is bool)
	// Failed is told why the applier stopped, once, from its goroutine. It must
	// not call Close.
	Failed func(error)
	Logger *slog.Logger
}

// Applier applies one publisher's facts.
type Applier struct {
	db      *kv.DB
	journal Journal
	s       Stages
	o       Options
	counts  counts

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	at      cursor        // what is committed
	moved   chan struct{} // closed and replaced when at moves
	stopped error
}

// Open makes an applier that stands where the last committed run ended.
// Nothing is applied before Start. Close it before the stages.
func Open(db *kv.DB, j Journal, s Stages, o Options) (*Applier, error) {
	if o.Moment == nil {
		o.Moment = new(sync.RWMutex)
	}
	if o.Applied == nil {
		o.Applied = func([]history.Row) {}
	}
	if o.Behind == nil {
		o.Behind = func(bool) {}
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Applier{db: db, journal: j, s: s, o: o, moved: make(chan struct{})}
	err := db.View(func(t *kv.Txn) (err error) {
		a.at, err = loadCursor(t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the applier: %w", err)
	}
	return a, nil
}

// Start begins to apply. Call it once.
func (a *Applier) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	batches := make(chan []journal.Record, 1)
	a.wg.Add(2)
	go func() {
		defer a.wg.Done()
		defer close(batches)
		a.read(ctx, batches)
	}()
	go func() {
		defer a.wg.Done()
		defer cancel()
		behind := false
		tell := func(is bool) {
			if is != behind {
				behind = is
				a.o.Behind(is)
			}
		}
		defer func() { tell(false) }()
		for batch := range batches {
			tell(len(batches) > 0 || facts(batch) > backlog)
			if err := a.apply(ctx, batch); err != nil {
				if ctx.Err() == nil {
					a.fail(err)
				}
				return
			}
			if len(batches) == 0 {
				tell(false)
			}
		}
	}()
}

// Close stops after the run that is under way and waits for it.
func (a *Applier) Close() {
	if a.cancel != nil {
		a.cancel()
	}
	a.wg.Wait()
	a.stop(ErrStopped)
}

// read keeps one batch of records ahead of the applier, so that opening and
// decoding them goes on beside applying.
func (a *Applier) read(ctx context.Context, batches chan<- []journal.Record) {
	after := a.position().record
	for ctx.Err() == nil {
		records, err := a.journal.Read(ctx, after, runRecords)
		if err != nil {
			if ctx.Err() == nil {
				a.fail(fmt.Errorf("reading the journal behind %v: %w", after, err))
				a.cancel()
			}
			return
		}
		if len(records) == 0 {
			continue
		}
		after = records[len(records)-1].Cursor
		select {
		case batches <- records:
		case <-ctx.Done():
		}
	}
}

func facts(batch []journal.Record) (n int) {
	for i := range batch {
		n += len(batch[i].Facts)
	}
	return n
}

// roomEvery is how often a full disk is looked at again.
const roomEvery = 250 * time.Millisecond

// apply commits a batch of records in as many runs as that takes. While the
// disk is full it waits, rather than have everything opened anew: questions are
// answered meanwhile, as of then.
func (a *Applier) apply(ctx context.Context, batch []journal.Record) error {
	full := false
	for len(batch) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := a.run(batch)
		if errors.Is(err, errNoRoom) {
			if !full {
				full = true
				a.o.Logger.Error("the applier waits for space on the disk", "error", err)
			}
			select {
			case <-time.After(roomEvery):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			return err
		}
		full = false
		batch = batch[done:]
	}
	return nil
}

// CaughtUp waits until every fact that is in the journal at the time of the
// call has been applied and is visible.
func (a *Applier) CaughtUp(ctx context.Context) error {
	end := a.journal.End()
	for {
		a.mu.Lock()
		at, moved, stopped := a.at, a.moved, a.stopped
		a.mu.Unlock()
		switch {
		case at.reached(end):
			return nil
		case stopped != nil:
			return fmt.Errorf("waiting for the applier: %w", stopped)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the applier: %w", ctx.Err())
		}
	}
}

// Position is the last record that is wholly applied: what comes behind it is
// still needed from the journal.
func (a *Applier) Position() journal.Cursor { return a.position().record }

func (a *Applier) position() cursor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.at
}

func (a *Applier) move(to cursor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = to
	close(a.moved)
	a.moved = make(chan struct{})
}

func (a *Applier) fail(err error) {
	if a.stop(fmt.Errorf("%w: %w", ErrStopped, err)) {
		a.o.Failed(err)
	}
}

// stop wakes everybody who waits; first says that nothing stopped it before.
func (a *Applier) stop(why error) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped != nil {
		return false
	}
	a.stopped = why
	close(a.moved)
	a.moved = make(chan struct{})
	return true
}

// Stats counts what an applier did since it was opened.
type Stats struct {
	Facts    int64
	Rows     int64
	Repeats  int64            // recognised and left out
	Refused  map[string]int64 // by people's reason
	Busy     time.Duration    // in runs
	Runs     int64
	Messages int64 // intentions
}

// Stats gives the counts.
func (a *Applier) Stats() Stats { return a.counts.read() }
