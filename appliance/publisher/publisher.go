// Package publisher holds all rooms of one publisher together: it opens them
// bottom-up over the publisher's own directory and keys, connects what they
// declared to need of each other, and closes them top-down. It decides nothing
// of its own.
//
// Failure rules: if the applier stops (a write failed, stored bytes are
// damaged), nothing more becomes visible and nothing more is sent; Append
// answers ErrStopped, questions go on over what is there, Options.Failed is
// told why, and the publisher is to be closed and opened again.
package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/flow"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// ErrStopped is wrapped by what is refused because the applier has stopped.
var ErrStopped = errors.New("publisher: stopped after a failure")

const problemNames = "history.names"

// Board is told of problems; *health.Board is one.
type Board = history.Board

// Purpose is what messages may be for.
type Purpose struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Basis    string   `json:"basis"` // "consent" or "contract"
	Channels []string `json:"channels"`
	Cap      Cap      `json:"-"`
}

// Cap bounds the messages of a purpose to one person; zero = none.
type Cap struct {
	Messages int
	Per      time.Duration
}

// Forgetter tells whoever keeps something of people outside that these
// addresses are to be forgotten: the publisher's connectors.
type Forgetter interface {
	Forget(ctx context.Context, addresses []event.Address) error
}

// Options say how a publisher is kept. Name, Dir, Journal, Keys, Shelves,
// Sender, Links and Forgetter are needed.
type Options struct {
	Name, Title string
	Location    *time.Location // default UTC
	Dir         string         // its own, below the data directory

	Journal *journal.Server
	Keys    *keyring.Publisher
	Shelves *kv.ShelfCache // shared by all publishers
	Heads   *history.Heads // likewise; nil = no bound over all
	Columns *history.Cache // decoded ones, likewise; nil = a cache of its own
	Budget  *query.Budget  // of questions, likewise; nil = no bound over all
	Small   bool           // one of many in the process: less memory each

	Merge      string   // people.MergeAnonymous or MergeKnown
	Personal   []string // profile attributes that identify someone, beside the usual ones
	Purposes   []Purpose
	Quiet      delivery.QuietHours
	Rate       float64 // marketing messages a second, 0 = no limit
	Retention  history.Retention
	Probe      int   // each device is asked by a silent push once in so many days whether the app is there; 0 = never
	MaxJournal int64 // bytes of the journal's stream; 0 = the journal's default

	Sender    delivery.Sender
	Links     delivery.Links
	Forgetter Forgetter
	Holders   []erasure.Holder // what doors have of people; asked before the rooms here

	Board  Board
	Failed func(error) // why the applier stopped; called once, must not call Close
	// WriteFailed is told that the state could not be written: kv.Options.Failed.
	WriteFailed func(error)
	Now         func() time.Time
	Logger      *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = o.Logger.With("publisher", o.Name)
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return o
}

// Publisher is one publisher's rooms, open. It is safe for concurrent use.
type Publisher struct {
	o Options

	db        *kv.DB
	shelves   *kv.Shelves
	journal   *journal.Journal
	people    *people.People
	history   *history.History
	programme *programme
	campaigns *campaign.Campaigns
	delivery  *delivery.Delivery
	erasure   *erasure.Erasure
	applier   *flow.Applier
	live      *live

	moment  sync.RWMutex  // held for writing while a run becomes visible
	copying sync.Mutex    // a checkpoint is being made
	emptied chan struct{} // shelves wait for a checkpoint that does not name them
	failed  atomic.Pointer[error]

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	undo   []func() error // closes what is open, last first
}

// Open opens a publisher's rooms. Nothing is applied and nothing is sent before
// Start. Close it.
func Open(o Options) (_ *Publisher, err error) {
	p := &Publisher{o: o.withDefaults(), emptied: make(chan struct{}, 1)}
	p.live = newLive(p.o.Now)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening publisher %q: %w", o.Name, err), p.Close(context.Background()))
		}
	}()
	if err := p.openEngines(); err != nil {
		return nil, err
	}
	if err := p.openRooms(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Publisher) openEngines() (err error) {
	o := &p.o
	if p.db, err = kv.Open(filepath.Join(o.Dir, "state"), kv.Options{Small: o.Small, Logger: o.Logger, Failed: o.WriteFailed}); err != nil {
		return err
	}
	p.closes(p.db.Close)
	if p.shelves, err = kv.OpenShelves(filepath.Join(o.Dir, "shelves"), o.Shelves, kv.ShelfOptions{Logger: o.Logger}); err != nil {
		return err
	}
	p.closes(p.shelves.Close)
	if p.journal, err = o.Journal.Journal(o.Name, o.Keys, journal.StreamOptions{MaxBytes: o.MaxJournal}); err != nil {
		return err
	}
	p.closes(p.journal.Close)
	return nil
}

func (p *Publisher) openRooms() (err error) {
	o := &p.o
	if p.people, err = people.Open(p.db, o.Keys, people.Options{Merge: o.Merge, Personal: o.Personal, Logger: o.Logger}); err != nil {
		return err
	}
	p.history, err = history.Open(p.db, p.shelves, o.Keys, history.Options{
		Location: o.Location, Cache: o.Columns, Now: o.Now, Logger: o.Logger, Board: o.Board, Subject: o.Name,
		Refused: p.refusedName, Emptied: p.shelvesWait, Heads: o.Heads,
	})
	if err != nil {
		return err
	}
	p.closes(p.history.Close)
	repeats, err := flow.OpenRepeats(p.db, o.Keys, flow.RepeatsOptions{})
	if err != nil {
		return err
	}
	if p.programme, err = openProgramme(p.db, o.Logger); err != nil {
		return err
	}
	if err := p.openEngagement(); err != nil {
		return err
	}
	options := flow.Options{Moment: &p.moment, Applied: p.live.applied, Failed: p.fail, Logger: o.Logger}
	if o.Budget != nil {
		options.Behind = o.Budget.Behind
	}
	p.applier, err = flow.Open(p.db, p.journal, flow.Stages{
		Repeats: repeats, People: p.people, History: p.history, Programme: p.programme,
		Campaigns: p.campaigns, Delivery: p.delivery, Erasure: p.erasure,
	}, options)
	return err
}

func (p *Publisher) closes(f func() error) { p.undo = append(p.undo, f) }

// Start begins to apply what is in the journal. Campaigns and delivery begin
// once that is done, so that nothing is sent that a later fact forbids.
func (p *Publisher) Start() {
	p.applier.Start()
	p.wg.Add(2)
	go func() {
		defer p.wg.Done()
		if err := p.applier.CaughtUp(p.ctx); err != nil {
			return // stopped, which Failed was told, or closing
		}
		p.wg.Go(p.keepRetention)
		p.delivery.Start()
		if p.o.Probe > 0 {
			p.wg.Go(p.keepProbing)
		}
		p.campaigns.Start()
		p.erasure.Start()
		p.o.Logger.Info("caught up with the journal; sending begins")
	}()
	go func() {
		defer p.wg.Done()
		p.keepCheckpoints()
	}()
}

// Close stops sending, then applying, then lets go of everything. What was
// acknowledged is on disk. ctx bounds the wait for connectors.
func (p *Publisher) Close(ctx context.Context) error {
	p.cancel()
	p.live.close() // no Live begins after this
	p.wg.Wait()
	var errs []error
	if p.erasure != nil {
		errs = append(errs, p.erasure.Close())
	}
	if p.campaigns != nil {
		errs = append(errs, p.campaigns.Close())
	}
	if p.delivery != nil {
		errs = append(errs, p.delivery.Close(ctx))
	}
	if p.applier != nil {
		p.applier.Close()
	}
	for i := len(p.undo) - 1; i >= 0; i-- {
		errs = append(errs, p.undo[i]())
	}
	p.undo = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing publisher %q: %w", p.o.Name, err)
	}
	return nil
}

func (p *Publisher) fail(err error) {
	p.failed.Store(&err)
	p.o.Logger.Error("the applier has stopped; the publisher must be opened again", "error", err)
	p.o.Failed(err)
}

// refusedName makes a problem of what history has no number left for.
func (p *Publisher) refusedName(_, key string) {
	what := "events"
	if key != "" {
		what = "properties"
	}
	p.raise(health.Problem{Code: problemNames, Severity: health.Warning,
		Summary: "There are more names of " + what + " than are kept; what has a new one is left out.",
		Hint:    "Look for names made of ids or dates, and have the apps send those as values."})
}

// Name is the publisher's name.
func (p *Publisher) Name() string { return p.o.Name }

// Title is what people call it.
func (p *Publisher) Title() string { return p.o.Title }

// Location is its time zone.
func (p *Publisher) Location() *time.Location { return p.o.Location }

// Purposes are what its messages may be for, in the order of the configuration.
func (p *Publisher) Purposes() []Purpose { return p.o.Purposes }

// Campaigns are its campaigns.
func (p *Publisher) Campaigns() *campaign.Campaigns { return p.campaigns }

// Delivery is what gets its messages out.
func (p *Publisher) Delivery() *delivery.Delivery { return p.delivery }

// Journal counts what went into the journal.
func (p *Publisher) Journal() journal.Stats { return p.journal.Stats() }

// Flow counts what the applier did since the publisher was opened.
func (p *Publisher) Flow() flow.Stats { return p.applier.Stats() }

// Hash is a keyed hash under the publisher's own key: see keyring.Publisher.Hash.
func (p *Publisher) Hash(domain string, parts ...[]byte) [32]byte {
	return p.o.Keys.Hash(domain, parts...)
}

// Append puts facts into the journal and returns once they are on disk.
func (p *Publisher) Append(ctx context.Context, facts []event.Fact) error {
	if err := p.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, *err)
	}
	return p.journal.Append(ctx, facts)
}

// CaughtUp waits until all that is in the journal now is visible.
func (p *Publisher) CaughtUp(ctx context.Context) error { return p.applier.CaughtUp(ctx) }

// questionTime is how long a question may take, with the time that it waits for
// others.
const questionTime = time.Minute

// Ask answers a question. The error is a *query.Error where the question is at
// fault.
func (p *Publisher) Ask(ctx context.Context, body []byte) (*query.Answer, error) {
	env, release, err := p.env(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return query.Ask(ctx, body, env)
}

// env is the present moment, once the budget lets a question begin. To be
// released.
func (p *Publisher) env(ctx context.Context) (query.Env, func(), error) {
	share, err := p.share(ctx)
	if err != nil {
		return query.Env{}, nil, err
	}
	p.moment.RLock()
	h, w := p.history.Snapshot(), p.people.Snapshot()
	p.moment.RUnlock()
	return p.envOf(query.Data{History: h, People: w}, share), func() { w.Release(); h.Release(); share.End() }, nil
}

// share begins a question.
func (p *Publisher) share(ctx context.Context) (*query.Share, error) {
	if p.o.Budget == nil {
		return nil, nil
	}
	return p.o.Budget.Begin(ctx, p.o.Name, questionTime)
}

func (p *Publisher) envOf(data query.Data, share *query.Share) query.Env {
	return query.Env{
		Data: data, Location: p.o.Location, Now: p.o.Now, Share: share,
		Segment: p.programme.segment, RFMs: p.programme.rfms, Goal: p.goal, Find: p.people.Find, Deadline: questionTime,
	}
}

// evaluate answers who a people expression means, as of data.
func (p *Publisher) evaluate(ctx context.Context, expression []byte, data query.Data) (*roaring.Bitmap, error) {
	share, err := p.share(ctx)
	if err != nil {
		return nil, err
	}
	defer share.End()
	return query.Evaluate(ctx, expression, p.envOf(data, share))
}
