package clevertap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a real publisher behind the door, with keys for what may be done.
type house struct {
	t     testing.TB
	door  *Door
	pub   *publisher.Publisher
	post  *post
	log   *ledger
	shift atomic.Int64 // of the clock
}

// post stands in for connectors: it accepts everything.
type post struct {
	mu   sync.Mutex
	sent []connector.Message
}

// Routes is one connector of every channel.
func (s *post) Routes(string) []delivery.Route { return []delivery.Route{{Name: "post"}} }

func (s *post) Send(_ context.Context, _, _ string, batch []connector.Message) ([]connector.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, batch...)
	outs := make([]connector.Outcome, len(batch))
	for i, m := range batch {
		outs[i] = connector.Outcome{ID: m.ID, Result: connector.Accepted}
	}
	return outs, nil
}

func (s *post) Forget(context.Context, []event.Address) error { return nil }

func (s *post) letters() []connector.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]connector.Message(nil), s.sent...)
}

// ledger is an audit in memory.
type ledger struct {
	mu   sync.Mutex
	list []audit.Entry
}

func (l *ledger) Append(_ context.Context, entries ...audit.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, entries...)
	return nil
}

func (l *ledger) has(action, subject string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if e.Action == action && strings.Contains(e.Subject+" "+e.Detail, subject) {
			return true
		}
	}
	return false
}

const passcode = "PASS"

func open(t testing.TB) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, post: &post{}, log: &ledger{}}
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	check(t, err)
	keys, err := ring.Publisher("acme")
	check(t, err)
	server, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "journal")})
	check(t, err)
	addresses, err := links.NewAddresses("http://127.0.0.1:1", "acme", keys)
	check(t, err)
	h.pub, err = publisher.Open(publisher.Options{
		Name: "acme", Title: "Acme", Dir: filepath.Join(dir, "acme"), Journal: server, Keys: keys, Shelves: kv.NewShelfCache(4), Small: true,
		Location: time.FixedZone("IST", 5*3600+1800),
		Purposes: []publisher.Purpose{
			{Name: "offers", Title: "Offers", Basis: "consent", Channels: []string{"email", "sms", "push"}},
			{Name: "service", Title: "Service", Basis: "contract", Channels: []string{"email", "sms", "push"}},
		},
		Sender: h.post, Forgetter: h.post, Links: addresses,
		Failed: func(err error) { t.Errorf("the applier stopped: %v", err) },
	})
	check(t, err)
	h.pub.Start()
	t.Cleanup(func() { check(t, errors.Join(h.pub.Close(context.Background()), server.Close(), ring.Close())) })
	all := map[string]Key{
		"SRV":   {ID: "SRV", Of: "acme", Read: true, Erase: true, Campaigns: true, Publisher: h.pub},
		"WRITE": {ID: "WRITE", Of: "acme", Publisher: h.pub},
		"OTHER": {ID: "OTHER", Of: "other", Read: true, Publisher: h.pub},
		"AWAY":  {ID: "AWAY", Of: "away", Read: true},
	}
	h.door = New(Options{
		Key: func(id, pass string) (Key, bool) {
			k, ok := all[id]
			return k, ok && pass == passcode
		},
		Audit: h.log, Now: h.now,
	})
	return h
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.shift.Load())) }

// later moves the door's clock on.
func (h *house) later(d time.Duration) { h.shift.Add(int64(d)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call makes a call in the name of a key and gives the answer.
func (h *house) call(key, method, path, body string) (int, map[string]any) {
	h.t.Helper()
	r := httptest.NewRequest(method, "/1/"+path, strings.NewReader(body))
	r.Header.Set("X-CleverTap-Account-ID", key)
	r.Header.Set("X-CleverTap-Passcode", passcode)
	w := httptest.NewRecorder()
	h.door.ServeHTTP(w, r)
	if w.Code >= 500 && key != "AWAY" {
		h.t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
	}
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		h.t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code, out
}

// ok makes a call that must succeed.
func (h *house) ok(path, body string) map[string]any {
	h.t.Helper()
	code, a := h.call("SRV", http.MethodPost, path, body)
	if code != 200 || a["status"] != "success" {
		h.t.Fatalf("%s %s: %d %v", path, body, code, a)
	}
	return a
}

// fails makes a call that must be answered with this code and text.
func (h *house) fails(path, body string, code int, text string) {
	h.t.Helper()
	_, a := h.call("SRV", http.MethodPost, path, body)
	if a["status"] != "fail" || a["code"] != float64(code) || !strings.Contains(fmt.Sprint(a["error"]), text) {
		h.t.Errorf("%s %s: %v, not %d with %q", path, body, a, code, text)
	}
}

// tell appends facts, received now, and waits until they are visible.
func (h *house) tell(facts ...event.Fact) {
	h.t.Helper()
	for i := range facts {
		facts[i].Received = time.Now().UnixMicro()
		if facts[i].Time == 0 {
			facts[i].Time = facts[i].Received
		}
	}
	check(h.t, h.pub.Append(h.t.Context(), facts))
	check(h.t, h.pub.CaughtUp(h.t.Context()))
}

func (h *house) eventually(what string, ok func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			h.t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // the interval of looking
	}
}

func at(s string) int64 {
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

func did(user, name, when string, props ...event.Prop) event.Fact {
	return event.Fact{Kind: event.Track, User: user, Name: name, Time: at(when), Props: props}
}

func text(key, value string) event.Prop  { return event.Prop{Key: key, Value: event.OfText(value)} }
func num(key string, v int64) event.Prop { return event.Prop{Key: key, Value: event.OfInt(v)} }

func who(user, email, phone string, consent bool, changes ...event.Change) event.Fact {
	f := event.Fact{Kind: event.Identify, User: user, Device: "dev-" + user, Changes: changes}
	if email != "" {
		f.Addresses = append(f.Addresses, event.Address{Channel: "email", Value: email})
		f.Changes = append(f.Changes, event.Change{Key: "Email", Value: event.OfText(email)})
	}
	if phone != "" {
		f.Addresses = append(f.Addresses, event.Address{Channel: "sms", Value: phone})
		f.Changes = append(f.Changes, event.Change{Key: "Phone", Value: event.OfText(phone)})
	}
	for _, ch := range []string{"email", "sms", "push"} {
		f.Consents = append(f.Consents, event.Consent{Purpose: "offers", Channel: ch, Granted: consent, Source: "test"})
	}
	return f
}

func set(key string, v event.Value) event.Change { return event.Change{Key: key, Value: v} }

// shop is a small set that the counts of the tests were made from by hand.
//
//	ann   F 30 gold  IN/KL/Kochi  Viewed shoes 1 Jan, Viewed hats 2 Jan, Charged 100 (books, pens) 2 Jan
//	bob   M 20 basic IN/KL/Kochi  Viewed shoes 1 Jan 3 times, Charged 50 (books) 5 Jan
//	cid   M 40 gold  DE           Viewed hats 5 Jan, App Launched 3 Jan
//	dora  no event, e-mail shared with cid
func shop(h *house) {
	item := func(category string) event.Value {
		return event.OfObject([]event.Prop{text("Category", category)})
	}
	h.tell(
		who("ann", "ann@example.com", "+14155550101", true, set("Gender", event.OfText("F")), set("Age", event.OfInt(30)), set("Plan", event.OfText("gold")), set("Name", event.OfText("Ann")),
			set("Country", event.OfText("IN")), set("State", event.OfText("KL")), set("City", event.OfText("Kochi")), set("Vip", event.OfBool(true)), set("DOB", event.OfTime(time.Unix(631152000, 0)))),
		who("bob", "bob@example.com", "+14155550102", false, set("Gender", event.OfText("Male")), set("Age", event.OfInt(20)), set("Plan", event.OfText("basic")),
			set("Country", event.OfText("IN")), set("State", event.OfText("KL")), set("City", event.OfText("Kochi"))),
		who("cid", "shared@example.com", "", true, set("Gender", event.OfText("M")), set("Age", event.OfInt(40)), set("Plan", event.OfText("gold")), set("Country", event.OfText("DE"))),
		who("dora", "shared@example.com", "", true),
	)
	h.tell(
		did("ann", "Viewed", "2026-01-01 10:00", text("Product", "red shoes"), num("Price", 10), text("utm_source", "google")),
		did("ann", "Viewed", "2026-01-02 10:00", text("Product", "hats"), num("Price", 20)),
		did("ann", "Charged", "2026-01-02 11:00", num("Amount", 100), event.Prop{Key: "Items", Value: event.OfList([]event.Value{item("books"), item("pens")})}),
		did("bob", "Viewed", "2026-01-01 10:00", text("Product", "red shoes"), num("Price", 10)),
		did("bob", "Viewed", "2026-01-01 11:00", text("Product", "red shoes"), num("Price", 10)),
		did("bob", "Viewed", "2026-01-01 12:00", text("Product", "blue shoes"), num("Price", 15)),
		did("bob", "Charged", "2026-01-05 11:00", num("Amount", 50), event.Prop{Key: "Items", Value: event.OfList([]event.Value{item("books")})}),
		did("cid", "Viewed", "2026-01-05 10:00", text("Product", "hats"), event.Prop{Key: "Sale", Value: event.OfText("True")}),
		did("cid", "App Launched", "2026-01-03 10:00", text("CT App Version", "1.2"), text("os", "iOS"), event.Prop{Key: "Day", Value: event.OfTime(time.Unix(1767225600, 0))}),
	)
}
