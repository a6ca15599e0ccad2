package campaign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is campaigns on real engines, with an applier, a journal and an outbox
// that are as simple as can be. The outbox lies in the same database, so that it
// forgets what a crash forgets.
type house struct {
	t     *testing.T
	dir   string
	small bool
	db    *kv.DB
	ring  *keyring.Keyring
	keys  *keyring.Publisher
	c     *Campaigns

	mu       sync.Mutex
	now      time.Time
	timers   []alarm
	journal  []event.Fact // appended, not applied yet
	refuses  int          // so many appends fail
	audience *roaring.Bitmap
	broken   string // the audience that cannot be asked
	changed  chan struct{}
}

type alarm struct {
	at time.Time
	ch chan time.Time
}

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newHouse(t *testing.T) *house {
	h := &house{t: t, dir: t.TempDir(), now: begin, audience: roaring.New(), changed: make(chan struct{}, 1)}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	if h.ring, err = keyring.Open(filepath.Join(h.dir, "keys"), make([]byte, keyring.MasterBytes), keyring.Options{Now: h.clock}); err != nil {
		h.t.Fatal(err)
	}
	if h.keys, err = h.ring.Publisher("acme"); err != nil {
		h.t.Fatal(err)
	}
	if h.db, err = kv.Open(filepath.Join(h.dir, "state"), kv.Options{Small: true, Reserve: 1}); err != nil {
		h.t.Fatal(err)
	}
	h.c, err = Open(h.db, Options{
		Keys: h.keys, Compile: func(ref []byte) (Matcher, error) {
			m, err := query.CompileEvent(ref, time.UTC)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
		CheckPeople: func(b []byte) error {
			if string(b) == `"bad"` {
				return errors.New("no people expression")
			}
			return nil
		},
		Journal: h, Audience: h, Outbox: h, Purposes: []string{"offers"}, Now: h.clock,
		Timer: func(d time.Duration) (<-chan time.Time, func()) {
			h.mu.Lock()
			defer h.mu.Unlock()
			a := alarm{h.now.Add(d), make(chan time.Time, 1)}
			h.timers = append(h.timers, a)
			return a.ch, func() {}
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) close() {
	if h.c == nil {
		return
	}
	err := errors.Join(h.c.Close(), h.db.Close(), h.ring.Close())
	h.c = nil
	if err != nil {
		h.t.Error(err)
	}
}

// restart loses what is in memory; the journal stays.
func (h *house) restart() {
	h.t.Helper()
	h.close()
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
	h.c.Committed() // a worker may have looked at the clock before, and not slept yet
}

func (h *house) poke() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	end := time.After(20 * time.Second)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-h.changed:
		case <-look.C:
		case <-end:
			h.t.Fatalf("%s: does not happen", what)
		}
	}
}

// Append is the journal's.
func (h *house) Append(ctx context.Context, facts []event.Fact) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.poke()
	if h.refuses > 0 {
		h.refuses--
		return errors.New("full")
	}
	h.journal = append(h.journal, facts...)
	return nil
}

func (h *house) told() []event.Fact {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.journal)
}

// pump applies what was appended.
func (h *house) pump() {
	h.t.Helper()
	h.mu.Lock()
	facts := h.journal
	h.journal = nil
	h.mu.Unlock()
	h.apply(facts...)
}

// People is the audience's.
func (h *house) People(ctx context.Context, people []byte) (*roaring.Bitmap, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != "" && h.broken == string(people) {
		return nil, errors.New("no such segment")
	}
	return h.audience.Clone(), nil
}

// Enqueue is the outbox's: like delivery's it leaves a known message alone.
func (h *house) Enqueue(t *kv.Txn, in Intention) error {
	key := []byte(in.Message)
	if _, err := t.Get(kv.Delivery, key); !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	props := event.AppendProps(nil, in.Props)
	in.Props = nil
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return t.Set(kv.Delivery, key, append(append(b, 0), props...))
}

// Committed is the outbox's.
func (h *house) Committed() { h.poke() }

// sent is the outbox, by person.
func (h *house) sent() (out []Intention) {
	h.t.Helper()
	err := h.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Delivery, nil, nil, func(_, val []byte) error {
			var in Intention
			b, props, _ := bytes.Cut(val, []byte{0})
			if err := json.Unmarshal(b, &in); err != nil {
				return err
			}
			var err error
			if in.Props, _, err = event.ReadProps(props); err != nil {
				return err
			}
			out = append(out, in)
			return nil
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b Intention) int { return int(a.Person) - int(b.Person) })
	return out
}

// apply is the applier: one transaction for all facts.
func (h *house) apply(facts ...event.Fact) (out []Intention) {
	h.t.Helper()
	err := h.db.Update(func(t *kv.Txn) error {
		for i := range facts {
			got, err := h.c.Apply(t, &facts[i], facts[i].Person, func(key string) event.Value {
				if key == "plan" {
					return event.OfText("gold")
				}
				return event.Value{}
			})
			if err != nil {
				return err
			}
			for _, in := range got {
				if err := h.Enqueue(t, in); err != nil {
					return err
				}
			}
			out = append(out, got...)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.c.Committed()
	return out
}

// at is so long after the beginning, in microseconds.
func after(d time.Duration) int64 { return begin.Add(d).UnixMicro() }

var counter int

// track is an event of a person, received when it happened.
func track(person uint32, name string, d time.Duration, props ...event.Prop) event.Fact {
	counter++
	return event.Fact{Kind: event.Track, ID: fmt.Sprint("id", counter), Person: person, Name: name, Time: after(d), Received: after(d), Props: props}
}

func prop(key string, v any) event.Prop {
	switch x := v.(type) {
	case string:
		return event.Prop{Key: key, Value: event.OfText(x)}
	case []string:
		var l []event.Value
		for _, s := range x {
			l = append(l, event.OfText(s))
		}
		return event.Prop{Key: key, Value: event.OfList(l)}
	case int:
		return event.Prop{Key: key, Value: event.OfInt(int64(x))}
	}
	panic(v)
}

const content = `"channel":"email","purpose":"offers","content":{"subject":"Hi {{ Profile.name }}","html":"<p>{{ Event.sku }}</p>"}`

func (h *house) programme(id, body string, d time.Duration) {
	h.t.Helper()
	if body != "" {
		if _, err := h.c.Validate([]byte(body)); err != nil {
			h.t.Fatalf("%s: %v", body, err)
		}
	}
	h.apply(event.Fact{Kind: event.Programme, Name: event.TypeCampaign, Ref: id, Body: []byte(body), Time: after(d), Received: after(d)})
}

func onEvent(id, state, more string) string {
	return fmt.Sprintf(`{"id":%q,"name":"n","state":%q,%s,"trigger":{"type":"event","event":{"event":"Viewed","filter":{"property":"plan","op":"=","value":"gold","of":"profile"}}%s}}`, id, state, content, more)
}

func cart(id, state, more string) string {
	return fmt.Sprintf(`{"id":%q,"name":"n","state":%q,%s,"trigger":{"type":"inaction","event":{"event":"Added"},"without":{"event":"Charged"},"within":"1h"%s}}`, id, state, content, more)
}

func once(id, state, more string) string {
	return fmt.Sprintf(`{"id":%q,"name":"n","state":%q,%s,"trigger":{"type":"once","audience":{}%s}}`, id, state, content, more)
}
