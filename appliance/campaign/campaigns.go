// Package campaign decides who should get what, and why: it watches facts for
// the triggers of running campaigns, keeps timers, and runs broadcasts. What it
// decides are intentions; sending them is delivery's.
//
// Everything that changes state is done in Apply, by the applier, from facts
// alone, so that deciding again gives the same. What happens because time
// passed is appended to the journal first, as a Due or a Run fact, by the
// worker; broadcasts have a worker of their own (DESIGN.md).
package campaign

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// ErrUnknown: there is no such campaign, or not in that revision.
var ErrUnknown = errors.New("campaign: no such campaign or revision")

// Matcher is a compiled event reference. It looks at the fact and at the
// person's profile only, and may be used concurrently.
type Matcher interface {
	Match(name string, props []event.Prop, profile func(key string) event.Value) bool
}

// Appender appends facts to the publisher's journal and returns once they are
// on disk.
type Appender interface {
	Append(ctx context.Context, facts []event.Fact) error
}

// Audience answers who a people expression means now: winners' numbers,
// erased persons left out. The bitmap belongs to the caller.
type Audience interface {
	People(ctx context.Context, people []byte) (*roaring.Bitmap, error)
}

// Outbox takes intentions within a transaction. An intention whose Message is
// known already changes nothing.
type Outbox interface {
	Enqueue(t *kv.Txn, in Intention) error
	Committed() // what was enqueued is on disk
}

// Keys seal what timers keep of events under the person's own key, and make
// ids that nobody outside can compute. *keyring.Publisher is one.
type Keys interface {
	SealPerson(person uint32, aad, plain []byte) ([]byte, error)
	OpenPerson(person uint32, aad, sealed []byte) ([]byte, error)
	Destroyed(person uint32) bool
	Hash(domain string, parts ...[]byte) [32]byte
}

// Intention is the wish that one person gets one campaign's message. Its
// fields are those of delivery.Intention, in the same order.
type Intention struct {
	Message  string // id, derived from campaign, person and cause
	Campaign string
	Revision int
	Variant  string
	Person   uint32
	Cause    string // the fact, timer or run that caused it
	At       int64  // not before; microseconds since 1970
	Expires  int64  // not after
	Class    string // Marketing or Transactional
	Channel  string
	Purpose  string
	Props    []event.Prop // of the event that caused it, personal ones included; of TriggerAPI what is sent
	// Platforms are those of push that it may go to; none = all.
	Platforms []string
}

// Options of a publisher's campaigns. Keys, Compile, Journal, Audience and
// Outbox are needed, the rest have defaults.
type Options struct {
	Keys Keys
	// Compile turns an event reference (QUERIES.md) into a Matcher; its error
	// is the author's mistake.
	Compile func(ref []byte) (Matcher, error)
	// CheckPeople says whether a people expression is one, as of now; nil checks
	// nothing.
	CheckPeople func(people []byte) error
	Journal     Appender
	Audience    Audience
	Outbox      Outbox
	Purposes    []string // those that a campaign may name; nil = any
	Now         func() time.Time
	// Timer gives a channel that receives once d has passed, and a function
	// that lets go of it. nil = the runtime's timers.
	Timer  func(d time.Duration) (<-chan time.Time, func())
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.CheckPeople == nil {
		o.CheckPeople = func([]byte) error { return nil }
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

// Status is one campaign as readers see it.
type Status struct {
	Campaign
	Progress *Progress `json:"progress,omitempty"` // of a one-time campaign
}

// Campaigns are one publisher's. Apply, Merge and Forget belong to the
// applier's goroutine; everything else may be used concurrently.
type Campaigns struct {
	db *kv.DB
	o  Options

	mu  sync.RWMutex // never held while a transaction is begun
	all map[string]*compiled

	// watching are those that look at events, by id, so that deciding again
	// gives the same: the applier's own, made anew when a campaign changes.
	watching []*compiled

	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	due       chan struct{} // one token: timers changed
	broadcast chan struct{} // one token: runs changed

	life    sync.Mutex
	started bool
	closed  bool
}

// compiled is a campaign ready to look at facts.
type compiled struct {
	Campaign
	event, without Matcher  // of the trigger; nil where it has none
	wanted         []string // properties of the event that its content refers to
}

// Open loads the campaigns from db. Nothing runs before Start. Close it.
func Open(db *kv.DB, o Options) (*Campaigns, error) {
	c := &Campaigns{
		db: db, o: o.withDefaults(), all: map[string]*compiled{},
		due: make(chan struct{}, 1), broadcast: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	err := db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Campaign, []byte{objectKey}, nil, func(key, val []byte) error {
			var obj Campaign
			if err := json.Unmarshal(val, &obj); err != nil {
				return fmt.Errorf("campaign %q: its record is damaged: %w", key[1:], err)
			}
			one, err := c.compile(obj)
			if err != nil {
				// It was taken once. What this version does not understand any
				// more must not keep the publisher from opening.
				c.o.Logger.Error("a campaign does not compile and does nothing until it is changed", "campaign", obj.ID, "error", err)
			}
			c.all[obj.ID] = one
			return nil
		})
	})
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("opening campaigns: %w", err)
	}
	c.put("", nil)
	return c, nil
}

// compile compiles a campaign's references. With an error it gives one that no
// event matches.
func (c *Campaigns) compile(obj Campaign) (*compiled, error) {
	one := &compiled{Campaign: obj, wanted: wanted(obj.Content)}
	for _, x := range []struct {
		path string
		ref  []byte
		to   *Matcher
	}{{"trigger.event", obj.Trigger.Event, &one.event}, {"trigger.without", obj.Trigger.Without, &one.without}} {
		if len(x.ref) == 0 {
			continue
		}
		m, err := c.o.Compile(x.ref)
		if err != nil {
			return &compiled{Campaign: obj}, fmt.Errorf("%s: %w", x.path, err)
		}
		*x.to = m
	}
	return one, nil
}

// Start starts the workers: call it once, when the applier has caught up.
func (c *Campaigns) Start() {
	c.life.Lock()
	defer c.life.Unlock()
	if c.started || c.closed {
		return
	}
	c.started = true
	c.wg.Add(2)
	go c.watchTimers()
	go c.runBroadcasts()
}

// Committed tells that the applier's transaction is on disk.
func (c *Campaigns) Committed() {
	token(c.due)
	token(c.broadcast)
}

func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// pause waits for d, a token, or the end.
func (c *Campaigns) pause(d time.Duration, wake <-chan struct{}) {
	if d <= 0 {
		return
	}
	// Never for long: a clock that was set must not keep a worker asleep.
	tick, stop := c.o.Timer(min(d, longestWait))
	defer stop()
	select {
	case <-tick:
	case <-wake:
	case <-c.ctx.Done():
	}
}

const (
	longestWait = 30 * time.Second
	firstRetry  = time.Second
	lastRetry   = 5 * time.Minute
)

// Close stops the workers and waits for them. A broadcast goes on where it was.
func (c *Campaigns) Close() error {
	c.life.Lock()
	c.closed = true
	c.life.Unlock()
	c.cancel()
	c.wg.Wait()
	return nil
}

// List gives all campaigns, by id.
func (c *Campaigns) List() ([]Status, error) {
	c.mu.RLock()
	out := make([]Status, 0, len(c.all))
	for _, one := range c.all {
		out = append(out, Status{Campaign: one.Campaign})
	}
	c.mu.RUnlock()
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.ID, b.ID) })
	for i := range out {
		var err error
		if out[i].Progress, err = c.progress(out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Get gives one campaign, or ErrUnknown.
func (c *Campaigns) Get(id string) (Status, error) {
	one := c.find(id)
	if one == nil {
		return Status{}, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	p, err := c.progress(id)
	return Status{Campaign: one.Campaign, Progress: p}, err
}

// Goal gives a campaign's goal as it is now: nil if it has none, or there is no
// such campaign.
func (c *Campaigns) Goal(id string) *Goal {
	if one := c.find(id); one != nil {
		return one.Goal
	}
	return nil
}

// put keeps a campaign as it is now; nil takes it away.
func (c *Campaigns) put(id string, one *compiled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one != nil {
		c.all[id] = one
	} else {
		delete(c.all, id)
	}
	c.watching = nil
	for _, id := range slices.Sorted(maps.Keys(c.all)) {
		if one := c.all[id]; one.looksAtEvents() && (one.State == Running || one.State == Paused) {
			c.watching = append(c.watching, one)
		}
	}
}

func (c *Campaigns) find(id string) *compiled {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.all[id]
}

// Revision gives a campaign as it was in one of its revisions, with the state
// it has now, or ErrUnknown. It may be used within a transaction.
func (c *Campaigns) Revision(id string, revision int) (*Campaign, error) {
	one := c.find(id)
	if one == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	if one.Revision == revision {
		obj := one.Campaign
		return &obj, nil
	}
	var obj Campaign
	err := c.db.View(func(t *kv.Txn) error {
		b, err := t.Get(kv.Campaign, revisionOf(id, revision))
		if errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("%w: %q revision %d", ErrUnknown, id, revision)
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &obj)
	})
	if err != nil {
		return nil, fmt.Errorf("campaign %q: %w", id, err)
	}
	obj.State = one.State
	return &obj, nil
}

// Wanted says whether a message decided earlier is still wanted: the campaign
// has not ended, and for an inaction the awaited event has not happened since.
// reason says why not. It may be used within a transaction.
func (c *Campaigns) Wanted(campaign, message string) (ok bool, reason string, err error) {
	one := c.find(campaign)
	if one == nil {
		return false, "the campaign was deleted", nil
	}
	if one.State == Ended || one.State == Draft {
		return false, "the campaign has ended", nil
	}
	if one.Trigger.Type != TriggerInaction {
		return true, "", nil
	}
	id, err := hex.DecodeString(message)
	if err != nil {
		return false, "", fmt.Errorf("message id %q: %w", message, err)
	}
	err = c.db.View(func(t *kv.Txn) error {
		_, err := t.Get(kv.Campaign, append([]byte{cancelledKey}, id...))
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		return true, "", nil
	}
	if err != nil {
		return false, "", fmt.Errorf("campaign %q: %w", campaign, err)
	}
	return false, "the awaited event happened", nil
}
