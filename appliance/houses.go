package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cloisterhq/cloister/appliance/clevertap"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/config"
)

const problemNames = "ingest.names"

// house is one publisher as it is configured now, with what stands around its
// rooms: its connectors, and the rules at its door. It never changes; a new
// configuration makes a new house around the same rooms and connectors.
type house struct {
	a        *appliance
	cfg      config.Publisher
	log      *slog.Logger
	senders  *senders
	rooms    *rooms
	door     *ingest.Publisher
	names    *ingest.Names // that its facts may use
	keys     *keyring.Publisher
	refusals *ingest.Refusals
	arrivals *ingest.Arrivals
	hold     *ingest.Hold
	detected *ingest.Detected
}

// houses are the publishers that the configuration names, in its order.
type houses struct {
	a *appliance

	mu  sync.RWMutex
	all []*house
}

// open builds a publisher's house, starts its connectors and opens its rooms. When
// the appliance itself is starting, a connector that does not start is tried again
// later: it must keep nothing else from working.
func (h *houses) open(ctx context.Context, cfg *config.Config, p *config.Publisher, starting bool) error {
	a := h.a
	log := a.log.With("publisher", p.Name)
	s := &senders{host: a.host, publisher: p.Name, log: log}
	var next []running
	for _, c := range p.Connectors {
		start := s.start
		if starting {
			start = s.startAnyway
		}
		r, err := start(ctx, c)
		if err != nil {
			s.put(next)
			s.swap(ctx, nil)
			return err
		}
		next = append(next, r)
	}
	s.put(next)
	one := &house{a: a, cfg: *p, log: log, senders: s, refusals: ingest.NewRefusals(nil), arrivals: ingest.NewArrivals(nil), detected: new(ingest.Detected)}
	if err := one.openHold(cfg); err != nil {
		s.swap(ctx, nil)
		return err
	}
	var err error
	if one.rooms, err = openRooms(p.Name, a.board, log, one.opening(cfg)); err != nil {
		s.swap(ctx, nil)
		return err
	}
	one.names = one.namesInUse()
	one.openDoor()
	one.collect(s.all())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, one)
	return nil
}

// openHold opens the publisher's keys, and what waits at its door.
func (o *house) openHold(cfg *config.Config) (err error) {
	if o.keys, err = o.a.ring.Publisher(o.cfg.Name); err != nil {
		return fmt.Errorf("keys of publisher %q: %w", o.cfg.Name, err)
	}
	if o.hold, err = ingest.OpenHold(filepath.Join(o.dir(cfg), "held"), o.keys, nil, o.log); err != nil {
		return fmt.Errorf("publisher %q: %w", o.cfg.Name, err)
	}
	o.toldOfHeld(nil)
	return nil
}

func (o *house) dir(cfg *config.Config) string {
	return filepath.Join(cfg.Appliance.DataDir, "publishers", o.cfg.Name)
}

func (o *house) openDoor() {
	rules := rulesOf(&o.cfg)
	rules.Names = o.names
	if rules.Detect != nil {
		rules.Detect.Hash, rules.Detect.Seen = o.keys.Hash, o.detected
	}
	o.door = &ingest.Publisher{Name: o.cfg.Name, Journal: o, Rules: rules, Refused: o.refusals.Add, Taken: o.arrivals.Add, Hold: o.hold,
		PerKey:   ingest.Bound{Requests: o.cfg.Limits.KeyRequests, Rate: o.cfg.Limits.KeyRate},
		Purposes: purposesOf(&o.cfg), OptedOut: o.optedOut, WebPush: o.webPush, Hash: o.keys.Hash, Message: o.message}
}

// webPush is the public key with which browsers subscribe: what the
// configuration says, for those who send elsewhere, else that of the connector
// which sends to them.
func (o *house) webPush() string {
	if o.cfg.WebPushKey != "" {
		return o.cfg.WebPushKey
	}
	return o.senders.webPushKey()
}

// optedOut says whether a device's person wants nothing collected. While the
// rooms are away nobody knows; what such a person's device sends is dropped
// behind the door in any case.
func (o *house) optedOut(device string) bool {
	p := o.rooms.now.Load()
	return p != nil && p.OptedOut(device)
}

// message finds one that a library says was seen or clicked.
func (o *house) message(id string) (person uint32, props []event.Prop, ok bool) {
	p := o.rooms.now.Load()
	if p == nil {
		return 0, nil, false
	}
	m, err := p.Delivery().Message(id)
	return m.Person, links.About(m), err == nil
}

// namesInUse bounds the names that may come in, beside those there are.
func (o *house) namesInUse() *ingest.Names {
	var events, keys, attributes []string
	if p := o.rooms.now.Load(); p != nil {
		s := p.Schema()
		attributes = s.Profile
		for _, e := range s.Events {
			events = append(events, e.Name)
			keys = append(keys, e.Keys...)
		}
	}
	n := ingest.NewNames(events, keys, attributes)
	n.Over = func(what string) {
		o.a.board.Raise(health.Problem{Code: problemNames, Subject: o.cfg.Name, Severity: health.Warning,
			Summary: "The apps send more names (" + what + ") than are kept; records with new ones are refused.",
			Hint:    "Look for names made of ids or dates, and have the apps send those as values."})
	}
	return n
}

// opening says how this house's rooms are opened.
func (o *house) opening(cfg *config.Config) opening {
	return func(failed func(error)) (*publisher.Publisher, error) {
		a := o.a
		options := roomsOf(&o.cfg)
		options.Dir = o.dir(cfg)
		options.Journal, options.Keys, options.Shelves, options.Heads = a.journal, o.keys, a.shelves, a.heads
		options.Small = len(cfg.Publishers) >= manyPublishers
		var p *publisher.Publisher // it is there before it forgets anybody
		options.Holders = []erasure.Holder{o.refusals, o.arrivals, o.hold.Holder(func(id string) bool { return p.Erased(id) })}
		options.Sender, options.Forgetter = o.senders, o.senders
		var err error
		if options.Links, err = links.NewAddresses(publicURL(cfg), o.cfg.Name, o.keys); err != nil {
			return nil, fmt.Errorf("addresses of publisher %q: %w", o.cfg.Name, err)
		}
		options.Columns, options.Budget, options.Board, options.Logger = a.columns, a.budget, a.board, a.log
		options.Failed, options.WriteFailed = failed, a.failStop
		if p, err = publisher.Open(options); err != nil {
			return nil, err
		}
		p.Start()
		return p, nil
	}
}

// Append makes a house the journal of its door.
func (o *house) Append(ctx context.Context, facts []event.Fact) error {
	p := o.rooms.now.Load()
	if p == nil {
		return errAway
	}
	return p.Append(ctx, facts)
}

// change puts a new house in the place of an old one, around the same rooms.
func (h *houses) change(ctx context.Context, cfg *config.Config, c change) {
	one := &house{a: h.a, cfg: *c.next, log: c.old.log, senders: c.old.senders, rooms: c.old.rooms, names: c.old.names,
		keys: c.old.keys, refusals: c.old.refusals, arrivals: c.old.arrivals, hold: c.old.hold, detected: c.old.detected}
	one.openDoor()
	h.mu.Lock()
	if i := slices.Index(h.all, c.old); i >= 0 {
		h.all[i] = one
	}
	h.mu.Unlock()
	one.collect(conns(c.connectors)) // what goes has nothing more to tell
	one.senders.swap(ctx, c.connectors)
	if c.rooms {
		one.rooms.reopen(one.opening(cfg))
	}
}

// remove closes a publisher that is not configured any more. Its data stays.
func (h *houses) remove(ctx context.Context, old *house) {
	h.mu.Lock()
	h.all = slices.DeleteFunc(h.all, func(o *house) bool { return o == old })
	h.mu.Unlock()
	old.collect(nil)
	old.rooms.close()
	old.senders.swap(ctx, nil)
}

// find gives a publisher's house, nil if there is none.
func (h *houses) find(name string) *house {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, one := range h.all {
		if one.cfg.Name == name {
			return one
		}
	}
	return nil
}

func (h *houses) list() []*house {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.all)
}

// key finds whom a credential of an app belongs to.
func (h *houses) key(id string) (ingest.Key, bool) {
	one, k, ok := h.keyOf(id)
	if !ok {
		return ingest.Key{}, false
	}
	return ingest.Key{ID: k.ID, Secret: k.Secret.Reveal(), Publisher: one.door}, true
}

func (h *houses) keyOf(id string) (*house, config.Key, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, one := range h.all {
		for _, k := range one.cfg.Keys {
			if k.ID == id {
				return one, k, true
			}
		}
	}
	return nil, config.Key{}, false
}

// server finds what an account id and its passcode open for a server that asks.
func (h *houses) server(id, passcode string) (clevertap.Key, bool) {
	one, k, ok := h.keyOf(id)
	if !ok || !(ingest.Key{ID: k.ID, Secret: k.Secret.Reveal()}).Opens(passcode) {
		return clevertap.Key{}, false
	}
	may := func(what string) bool { return slices.Contains(k.Allow, what) }
	out := clevertap.Key{ID: k.ID, Of: one.cfg.Name, Read: may(config.AllowRead), Erase: may(config.AllowErase), Campaigns: may(config.AllowCampaigns), Purpose: k.Purpose}
	if p := one.rooms.now.Load(); p != nil {
		out.Publisher = p
	}
	return out, true
}

// close closes every publisher's rooms, then drains its connectors.
func (h *houses) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, one := range h.list() {
		wg.Go(func() { h.remove(ctx, one) })
	}
	wg.Wait()
	return nil
}
