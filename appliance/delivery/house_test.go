package delivery

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is delivery on real engines and real people, with an applier that is as
// simple as can be. The journal and what was handed over lie outside and
// survive a restart, as a witness.
type house struct {
	t      testing.TB
	dir    string
	tweak  func(o *Options)
	db     *kv.DB
	ring   *keyring.Keyring
	keys   *keyring.Publisher
	people *people.People
	d      *Delivery

	applying sync.Mutex // the applier: one at a time

	mu        sync.Mutex
	now       time.Time
	timers    []alarm
	journal   []event.Fact // appended, not applied yet
	facts     []event.Fact // applied, each id once
	seen      map[string]bool
	refuses   int  // so many appends fail
	doubts    int  // so many appends are taken, and not answered
	forgets   bool // appends are taken, and forgotten
	campaigns map[string]Content
	unwanted  map[string]string
	audience  *roaring.Bitmap
	broken    string // the audience that cannot be asked
	before    func() // called once, by the next CaughtUp

	handed  []connector.Message // the witness
	through map[string][]string // which connectors each went to
	routes  []Route
	send    sender            // of every connector
	by      map[string]sender // of some
}

type sender = func(batch []connector.Message) ([]connector.Outcome, error)

type alarm struct {
	at time.Time
	ch chan time.Time
}

var begin = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // a Monday

func newHouse(t testing.TB, tweak func(o *Options)) *house {
	h := &house{
		t: t, dir: t.TempDir(), tweak: tweak, now: begin, seen: map[string]bool{}, unwanted: map[string]string{}, audience: roaring.New(),
		routes: []Route{{Name: "relay"}}, through: map[string][]string{}, by: map[string]sender{},
		campaigns: map[string]Content{"news": {Subject: "Hi {{ Profile.Name }}", HTML: `<p>Hi {{ Profile.Name }}, {{ Event.sku }}</p><a href="https://shop.example/?q={{ Event.sku }}">go</a><a href="{{ unsubscribe_url }}">stop</a>`}},
	}
	h.open()
	t.Cleanup(func() { h.close(context.Background()) })
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	fatal := func(err error) {
		if err != nil {
			h.t.Helper()
			h.t.Fatal(err)
		}
	}
	h.ring, err = keyring.Open(filepath.Join(h.dir, "keys"), make([]byte, keyring.MasterBytes), keyring.Options{})
	fatal(err)
	h.keys, err = h.ring.Publisher("acme")
	fatal(err)
	h.db, err = kv.Open(filepath.Join(h.dir, "state"), kv.Options{Small: true, Reserve: 1})
	fatal(err)
	h.people, err = people.Open(h.db, h.keys, people.Options{Merge: people.MergeKnown})
	fatal(err)
	o := Options{
		Keys: h.keys, Barrier: h, People: h, Programme: h, Audience: h, Links: h, Sender: h, Journal: h,
		Purposes: map[string]Purpose{"offers": {}, "capped": {Messages: 2, Per: 24 * time.Hour}, "service": {Contract: true}},
		Now:      h.clock, Rand: func() float64 { return 0.5 },
		Timer: func(d time.Duration) (<-chan time.Time, func()) {
			h.mu.Lock()
			defer h.mu.Unlock()
			a := alarm{h.now.Add(d), make(chan time.Time, 1)}
			h.timers = append(h.timers, a)
			return a.ch, func() {}
		},
	}
	if h.tweak != nil {
		h.tweak(&o)
	}
	h.d, err = Open(h.db, o)
	fatal(err)
}

func (h *house) close(ctx context.Context) {
	if h.d == nil {
		return
	}
	h.d.Close(ctx)
	err := errors.Join(h.db.Close(), h.ring.Close())
	h.d = nil
	if err != nil {
		h.t.Error(err)
	}
}

// restart ends the process at once: what is on its way is cut short.
func (h *house) restart() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.close(ctx)
	h.mu.Lock()
	h.timers = nil
	h.mu.Unlock()
	h.open()
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	for _, a := range h.timers {
		if !a.at.After(h.now) {
			select {
			case a.ch <- h.now:
			default:
			}
		}
	}
	h.mu.Unlock()
	h.d.Committed()
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	end := time.After(time.Minute)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-end:
			h.t.Fatalf("%s: does not happen; %+v", what, h.d.Stats())
		}
	}
}

// Append is the journal's.
func (h *house) Append(ctx context.Context, facts []event.Fact) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuses > 0 {
		h.refuses--
		return errors.New("the journal is full")
	}
	if h.forgets {
		return nil
	}
	h.journal = append(h.journal, facts...)
	if h.doubts > 0 {
		h.doubts--
		return errors.New("the journal did not answer")
	}
	return nil
}

// CaughtUp is the barrier's: the applier runs here.
func (h *house) CaughtUp(ctx context.Context) error {
	h.mu.Lock()
	before := h.before
	h.before = nil
	h.mu.Unlock()
	if before != nil {
		before()
	}
	h.pump()
	return nil
}

func (h *house) pump() {
	h.applying.Lock()
	defer h.applying.Unlock()
	h.mu.Lock()
	facts := h.journal
	h.journal = nil
	h.mu.Unlock()
	h.apply(facts...)
}

// apply is the applier: people, then delivery.
func (h *house) apply(facts ...event.Fact) {
	h.t.Helper()
	for i := range facts {
		f := &facts[i]
		h.mu.Lock()
		repeat := f.ID != "" && h.seen[f.ID]
		h.seen[f.ID] = true
		if !repeat {
			h.facts = append(h.facts, *f)
		}
		h.mu.Unlock()
		if repeat {
			continue
		}
		var gone []uint32
		err := h.db.Update(func(t *kv.Txn) error {
			r, err := h.people.Apply(t, f)
			if err != nil || f.Kind != event.Erase || r.Refused != "" {
				return err
			}
			gone = h.people.Numbers(r.Person)
			for _, n := range gone {
				if err := h.d.Forget(t, n); err != nil {
					return err
				}
			}
			return h.people.Erase(t, r.Person)
		})
		if err != nil {
			h.t.Error(err)
		}
		h.people.Committed()
		if err := h.keys.DestroyPerson(gone...); err != nil {
			h.t.Error(err)
		}
	}
}

// told are the appliance's own facts of that name.
func (h *house) told(name string) (out []event.Fact) {
	h.pump()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.facts {
		if f.Name == name {
			out = append(out, f)
		}
	}
	return out
}

// Recipient is People's.
func (h *house) Recipient(person uint32) (Recipient, error) {
	p, err := h.people.Person(person)
	if err != nil {
		return Recipient{}, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return Recipient{Person: p.Number, Profile: p.Profile, Addresses: p.Addresses, Since: p.Since, On: p.On, Allowed: func(purpose, channel string) (bool, Consent) {
		ok, c := p.Allowed(purpose, channel)
		return ok, Consent{Granted: c.Granted, Since: c.Since, Source: c.Source, Version: c.Version}
	}}, nil
}

// Allowed is People's.
func (h *house) Allowed(person uint32, purpose, channel string) (bool, Consent) {
	ok, c := h.people.Allowed(person, purpose, channel)
	return ok, Consent{Granted: c.Granted, Since: c.Since, Source: c.Source, Version: c.Version}
}

// With is People's.
func (h *house) With(channel, address string) ([]uint32, error) {
	return h.people.With(channel, address)
}

// Suppressed is People's.
func (h *house) Suppressed(channel, address string) bool {
	return h.people.Suppressed(channel, address)
}

// Content is Programme's.
func (h *house) Content(campaign string, revision int) (Content, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.campaigns[campaign]
	if !ok {
		return Content{}, ErrGone
	}
	return c, nil
}

// Wanted is Programme's.
func (h *house) Wanted(campaign, message string) (bool, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	why, not := h.unwanted[campaign]
	return !not, why, nil
}

func (h *house) set(campaign string, change func(c *Content)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.campaigns[campaign]
	change(&c)
	h.campaigns[campaign] = c
}

// audiences is Audience.
func (h *house) People(ctx context.Context, people []byte) (*roaring.Bitmap, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != "" && h.broken == string(people) {
		return nil, errors.New("no such segment")
	}
	return h.audience.Clone(), nil
}

func (h *house) Open(message string) string { return "https://l.example/o/" + message }
func (h *house) Click(message string, n int) string {
	return fmt.Sprintf("https://l.example/c/%s/%d", message, n)
}
func (h *house) Unsubscribe(message string) string { return "https://l.example/u/" + message }

// Send is the connector's.
func (h *house) Send(ctx context.Context, channel, name string, batch []connector.Message) ([]connector.Outcome, error) {
	h.mu.Lock()
	h.handed = append(h.handed, batch...)
	for _, m := range batch {
		h.through[m.ID] = append(h.through[m.ID], name)
	}
	send, by := h.send, h.by[name]
	h.mu.Unlock()
	if by != nil {
		return by(batch)
	}
	if send != nil {
		return send(batch)
	}
	var outs []connector.Outcome
	for _, m := range batch {
		outs = append(outs, connector.Outcome{ID: m.ID, Result: connector.Accepted, ProviderID: "p-" + m.ID})
	}
	return outs, nil
}

// Routes are the connectors'.
func (h *house) Routes(channel string) []Route {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.routes
}

func (h *house) got() []connector.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.handed)
}

// answer makes the connector answer alike for every message.
func (h *house) answer(o connector.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send = func(batch []connector.Message) (outs []connector.Outcome, err error) {
		for _, m := range batch {
			o.ID = m.ID
			outs = append(outs, o)
		}
		return outs, nil
	}
}

var counter int

// person makes somebody who agreed to offers and caps by e-mail, and gives
// their number.
func (h *house) person(user string) uint32 {
	h.t.Helper()
	h.identify(user, event.Fact{
		Changes:   []event.Change{{Key: "Name", Value: event.OfText("N-" + user)}},
		Consents:  []event.Consent{{Purpose: "offers", Channel: "email", Granted: true, Source: "form"}, {Purpose: "capped", Channel: "email", Granted: true, Source: "form"}},
		Addresses: []event.Address{{Channel: "email", Value: user + "@example.com"}},
	})
	n, ok := h.people.Find(user)
	if !ok {
		h.t.Fatal("nobody")
	}
	return n
}

func (h *house) identify(user string, f event.Fact) {
	h.t.Helper()
	counter++
	f.Kind, f.ID, f.User, f.Time = event.Identify, fmt.Sprint("id", counter), user, h.clock().UnixMicro()
	h.applying.Lock()
	defer h.applying.Unlock()
	h.apply(f)
}

// want is an intention; change alters it.
func (h *house) want(person uint32, cause string, change ...func(in *Intention)) Intention {
	now := h.clock()
	in := Intention{
		Campaign: "news", Revision: 1, Person: person, Cause: cause, At: now.UnixMicro(), Expires: now.Add(24 * time.Hour).UnixMicro(),
		Class: Marketing, Channel: "email", Purpose: "offers", Props: []event.Prop{{Key: "sku", Value: event.OfText("a&b")}},
	}
	for _, c := range change {
		c(&in)
	}
	sum := h.keys.Hash("message", []byte(in.Campaign), number(person), []byte(cause))
	in.Message = hex.EncodeToString(sum[:16])
	return in
}

func (h *house) enqueue(ins ...Intention) {
	h.t.Helper()
	err := h.db.Update(func(t *kv.Txn) error {
		for _, in := range ins {
			if err := h.d.Enqueue(t, in); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.d.Committed()
}

func (h *house) explain(message string) Decision {
	h.t.Helper()
	d, err := h.d.Explain(message)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// settles waits until a message's end is told.
func (h *house) settles(message string) Decision {
	h.t.Helper()
	h.until("message "+message+" settles", func() bool {
		return h.over(message)
	})
	return h.explain(message)
}

// over says whether a message is settled and nothing holds it any more.
func (h *house) over(message string) (told bool) {
	h.t.Helper()
	r, err := h.d.find(message)
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.db.View(func(t *kv.Txn) error {
		_, err := t.Get(kv.Delivery, r.id().key(attemptKey))
		told = r.settled() && errors.Is(err, kv.ErrNotFound)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return told
}

func lookup(f event.Fact, key string) string { return event.Lookup(f.Props, key).Text() }

func contains(t *testing.T, s, part string) {
	t.Helper()
	if !strings.Contains(s, part) {
		t.Errorf("%q lacks %q", s, part)
	}
}
