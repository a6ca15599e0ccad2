package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a publisher on real engines, which can be closed and opened again.
type house struct {
	t         testing.TB
	dir       string
	ring      *keyring.Keyring
	journal   *journal.Server
	post      *post
	retention history.Retention
	now       func() time.Time // nil = time.Now
	budget    *query.Budget
	forgotten atomic.Int64 // persons, by what a door has of them
	*Publisher
}

// post stands in for connectors: it accepts everything.
type post struct {
	mu        sync.Mutex
	sent      []connector.Message
	forgotten []event.Address
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

func (s *post) Forget(_ context.Context, addresses []event.Address) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = append(s.forgotten, addresses...)
	return nil
}

func (h *house) atDoor(_ context.Context, persons []erasure.Forgotten) error {
	h.forgotten.Add(int64(len(persons)))
	return nil
}

func (s *post) letters() []connector.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]connector.Message(nil), s.sent...)
}

func open(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), post: &post{}}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *house) start() {
	h.t.Helper()
	var err error
	if h.ring, err = keyring.Open(filepath.Join(h.dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{}); err != nil {
		h.t.Fatal(err)
	}
	keys, err := h.ring.Publisher("acme")
	if err != nil {
		h.t.Fatal(err)
	}
	if h.journal, err = journal.Open(journal.Options{Dir: filepath.Join(h.dir, "journal")}); err != nil {
		h.t.Fatal(err)
	}
	addresses, err := links.NewAddresses("http://127.0.0.1:1", "acme", keys)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Publisher, err = Open(Options{
		Name: "acme", Title: "Acme", Dir: filepath.Join(h.dir, "acme"), Journal: h.journal, Keys: keys, Shelves: kv.NewShelfCache(4), Small: true,
		Purposes: []Purpose{{Name: "offers", Channels: []string{"email"}}},
		Sender:   h.post, Forgetter: h.post, Links: addresses, Budget: h.budget, Retention: h.retention, Now: h.now,
		Holders: []erasure.Holder{holder{"a door", h.atDoor}},
		Failed:  func(err error) { h.t.Errorf("the applier stopped: %v", err) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Start()
}

func (h *house) stop() {
	h.t.Helper()
	if err := errors.Join(h.Publisher.Close(context.Background()), h.journal.Close(), h.ring.Close()); err != nil {
		h.t.Error(err)
	}
}

func (h *house) reopen() { h.t.Helper(); h.stop(); h.start() }

// tell appends facts, received now, and waits until they are visible.
func (h *house) tell(facts ...event.Fact) {
	h.t.Helper()
	for i := range facts {
		facts[i].Received = time.Now().UnixMicro()
		if facts[i].Time == 0 {
			facts[i].Time = facts[i].Received
		}
	}
	if err := h.Append(h.t.Context(), facts); err != nil {
		h.t.Fatal(err)
	}
	if err := h.CaughtUp(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// count asks how often an event happened, and to how many.
func (h *house) count(name string) (events, persons float64) {
	h.t.Helper()
	q := fmt.Sprintf(`{"kind":"trend","interval":"all","series":[{"name":"A","event":%q,"measure":"count"},{"name":"B","event":%[1]q,"measure":"unique"}]}`, name)
	a, err := h.Ask(h.t.Context(), []byte(q))
	if err != nil {
		h.t.Fatal(err)
	}
	r := a.Result.(*query.TrendResult)
	for _, s := range r.Series {
		if s.Name == "A" {
			events = s.Total
		} else {
			persons = s.Total
		}
	}
	return events, persons
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

func track(user, name string, props ...event.Prop) event.Fact {
	return event.Fact{Kind: event.Track, User: user, Name: name, Props: props}
}

func asha(consent bool) event.Fact {
	return event.Fact{
		Kind: event.Identify, User: "asha", Device: "phone",
		Changes:   []event.Change{{Key: "Name", Value: event.OfText("Asha"), Personal: true}, {Key: "plan", Value: event.OfText("club")}},
		Addresses: []event.Address{{Channel: "email", Value: "asha@example.com"}},
		Consents:  []event.Consent{{Purpose: "offers", Channel: "email", Granted: consent, Source: "test"}},
	}
}

const letter = `{"id":"thanks","name":"Thanks","state":"running","channel":"email","purpose":"offers","class":"marketing",
"trigger":{"type":"event","event":{"event":"Charged"}},"content":{"subject":"Thank you, {{ Profile.Name }}","text":"For {{ Event.Amount }}"}}`

func (h *house) campaign(body string) {
	h.t.Helper()
	c, err := h.Campaigns().Validate([]byte(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.SaveCampaign(h.t.Context(), c); err != nil {
		h.t.Fatal(err)
	}
}

func TestFactsBecomeAnswersOnceAndStayAfterARestart(t *testing.T) {
	h := open(t)
	anonymous := event.Fact{Kind: event.Track, Device: "phone", Name: "Viewed"}
	h.tell(anonymous, asha(true))
	once := track("asha", "Viewed")
	once.ID = "m-1"
	h.tell(once, once)
	h.tell(once)
	check := func(when string) {
		t.Helper()
		if events, persons := h.count("Viewed"); events != 2 || persons != 1 {
			t.Errorf("%s: Viewed %v times by %v people, not 2 by 1", when, events, persons)
		}
		who, err := h.Person("asha")
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if v := event.Lookup(who.Profile, "Name").Text(); v != "Asha" {
			t.Errorf("%s: the name is %q", when, v)
		}
	}
	check("before")
	h.reopen()
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after a restart")
	h.tell(once)
	check("after a repeat from before the restart")
}

func TestAPersonalPropertyIsOnTheTimelineAndInNoAnswer(t *testing.T) {
	h := open(t)
	h.tell(asha(true), track("asha", "Charged",
		event.Prop{Key: "Amount", Value: event.OfInt(7)}, event.Prop{Key: "ship_to", Value: event.OfText("Main St 1"), Personal: true}))
	rows, err := h.Timeline(t.Context(), "asha", 0, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range rows {
		found = found || event.Lookup(r.Props, "ship_to").Text() == "Main St 1"
	}
	if !found {
		t.Errorf("ship_to is not on the timeline: %v", rows)
	}
	for _, e := range h.Schema().Events {
		for _, k := range e.Keys {
			if k == "ship_to" {
				t.Error("ship_to can be asked about")
			}
		}
	}
}

func TestACampaignSendsToWhoAgreedAndHoldsTheRest(t *testing.T) {
	h := open(t)
	h.campaign(letter)
	h.tell(asha(true), event.Fact{Kind: event.Identify, User: "noor", Addresses: []event.Address{{Channel: "email", Value: "noor@example.com"}}})
	amount := event.Prop{Key: "Amount", Value: event.OfInt(7)}
	h.tell(track("asha", "Charged", amount), track("noor", "Charged", amount))
	h.eventually("one letter sent and one held", func() bool {
		sent, _ := h.count(event.NotificationSent)
		held, _ := h.count(event.NotificationHeld)
		return sent == 1 && held == 1
	})
	got := h.post.letters()
	if len(got) != 1 || got[0].To != "asha@example.com" || got[0].Subject != "Thank you, Asha" || got[0].Text != "For 7" {
		t.Errorf("sent: %+v", got)
	}
	d, err := h.Delivery().Explain(got[0].ID)
	if err != nil || d.State != "sent" || d.Consent == nil || !d.Consent.Granted {
		t.Errorf("explained: %+v, %v", d, err)
	}
	h.tell(asha(false), track("asha", "Charged", amount))
	h.eventually("the third is held", func() bool { held, _ := h.count(event.NotificationHeld); return held == 2 })
	if n := len(h.post.letters()); n != 1 {
		t.Errorf("%d letters after the withdrawal", n)
	}
}

// What a campaign with a goal and a control group leaves in history is all that
// its report needs, also after a restart and an erasure.
func TestACampaignIsComparedWithItsControlGroup(t *testing.T) {
	h := open(t)
	h.campaign(`{"id":"welcome","name":"Welcome","state":"running","channel":"email","purpose":"offers","control":50,
		"goal":{"event":{"event":"Charged"},"within":"1h","revenue":"Amount"},
		"trigger":{"type":"event","event":{"event":"Signed Up"}},"content":{"subject":"Welcome","text":"Hello"}}`)
	const people = 40
	user := func(i int) string { return fmt.Sprintf("user%d", i) }
	var known, signed, charged []event.Fact
	for i := range people {
		known = append(known, event.Fact{Kind: event.Identify, User: user(i), Addresses: []event.Address{{Channel: "email", Value: user(i) + "@example.com"}},
			Consents: []event.Consent{{Purpose: "offers", Channel: "email", Granted: true}}})
		signed = append(signed, track(user(i), "Signed Up"))
		charged = append(charged, track(user(i), "Charged", event.Prop{Key: "Amount", Value: event.OfInt(10)}))
	}
	h.tell(known...)
	h.tell(signed...)
	h.eventually("everybody is sent to or held", func() bool {
		sent, _ := h.count(event.NotificationSent)
		held, _ := h.count(event.NotificationHeld)
		return sent+held == people
	})
	h.tell(charged...)
	written := map[string]bool{}
	for _, m := range h.post.letters() {
		written[m.To] = true
	}
	report := func() *query.CampaignResult {
		t.Helper()
		a, err := h.Ask(t.Context(), []byte(`{"kind":"campaign","campaign":"welcome"}`))
		if err != nil {
			t.Fatal(err)
		}
		return a.Result.(*query.CampaignResult)
	}
	check := func(when string, control int) {
		t.Helper()
		r := report()
		if len(written) == 0 || len(written) == people || r.Goal == nil || r.Goal.Event != "Charged" {
			t.Fatalf("%s: %d of %d were written to, %+v", when, len(written), people, r)
		}
		c, m := r.Converted, r.Revenue
		if c.Target.People != int64(len(written)) || c.Target.Converted != c.Target.People || c.Control.People != int64(control) || c.Control.Converted != c.Control.People {
			t.Errorf("%s: %+v, %d were written to", when, c, len(written))
		}
		if *c.Lift != 0 || *c.P != 1 || m.Target.Total != float64(10*len(written)) || m.Control.PerPerson != 10 || m.P != nil {
			t.Errorf("%s: %+v, %+v", when, c, m)
		}
	}
	check("at once", people-len(written))
	h.reopen()
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after a restart", people-len(written))
	for i := range people {
		if !written[user(i)+"@example.com"] {
			if _, err := h.Erase(t.Context(), user(i)); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	check("after an erasure", people-len(written)-1)
}

func TestACampaignIsWaitedForAndGone(t *testing.T) {
	h := open(t)
	h.campaign(letter)
	if _, err := h.Campaigns().Get("thanks"); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteCampaign(t.Context(), "thanks"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Campaigns().Get("thanks"); !errors.Is(err, campaign.ErrUnknown) {
		t.Errorf("after deleting: %v", err)
	}
}

func TestSegments(t *testing.T) {
	h := open(t)
	h.tell(asha(true), track("asha", "Charged"), track("noor", "Viewed"))
	save := func(name, people string) error {
		return h.SaveSegment(t.Context(), Segment{Name: name, People: json.RawMessage(people)})
	}
	if err := save("Buyers", `{"did":{"event":"Charged"}}`); err != nil {
		t.Fatal(err)
	}
	var wrong *query.Error
	if err := save("Wrong", `{"done":{}}`); !errors.As(err, &wrong) {
		t.Errorf("a wrong expression: %v", err)
	}
	h.reopen()
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := h.Ask(t.Context(), []byte(`{"kind":"segment","people":{"segment":"Buyers"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(a.Result); !bytes.Contains(b, []byte(`"count":1`)) {
		t.Errorf("Buyers: %s", b)
	}
	if err := h.DeleteSegment(t.Context(), "Buyers"); err != nil || len(h.Segments()) != 0 {
		t.Errorf("after deleting: %v, %v", h.Segments(), err)
	}
	if err := h.DeleteSegment(t.Context(), "Buyers"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleting again: %v", err)
	}
}

func TestAnErasureLeavesNothing(t *testing.T) {
	h := open(t)
	h.campaign(letter)
	h.tell(asha(true), track("asha", "Charged"), track("noor", "Charged"))
	h.eventually("the letter is sent", func() bool { return len(h.post.letters()) == 1 })
	request, err := h.Erase(t.Context(), "asha")
	if err != nil {
		t.Fatal(err)
	}
	gone := func(when string) {
		t.Helper()
		if events, persons := h.count("Charged"); events != 1 || persons != 1 {
			t.Errorf("%s: Charged %v times by %v, not once by one", when, events, persons)
		}
		if _, err := h.Person("asha"); !errors.Is(err, people.ErrUnknown) && !errors.Is(err, people.ErrErased) {
			t.Errorf("%s: the person's page: %v", when, err)
		}
		if sent, _ := h.count(event.NotificationSent); sent != 0 {
			t.Errorf("%s: Notification Sent counts %v", when, sent)
		}
	}
	gone("at once")
	if !h.Erased("asha") || h.Erased("noor") || h.Erased("nobody") {
		t.Error("who is erased is not known by their id")
	}
	h.tell(track("asha", "Charged"))
	gone("after a late event")
	if _, err := h.Certificate(request); !errors.Is(err, erasure.ErrPending) {
		t.Errorf("a certificate at once: %v", err)
	}
	h.reopen()
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone("after a restart")
	h.eventually("the door forgets them", func() bool { return h.forgotten.Load() > 0 })
}

func TestACheckpointTrimsTheJournalAndNothingIsMissing(t *testing.T) {
	h := open(t)
	for i := range 5 {
		h.tell(track(fmt.Sprintf("u%d", i), "Viewed"))
	}
	if err := h.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := h.Journal(); s.First <= 5 {
		t.Errorf("the journal still begins at %d", s.First)
	}
	h.tell(track("late", "Viewed"))
	h.reopen()
	h.tell(track("later", "Viewed"))
	if events, _ := h.count("Viewed"); events != 7 {
		t.Errorf("Viewed counts %v, not 7", events)
	}
	if err := h.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRetentionTakesEventsOffAnswersAndDisk when a run is over, and a
// checkpoint with it.
func TestRetentionTakesEventsOffAnswersAndDisk(t *testing.T) {
	h := open(t)
	old := track("asha", "Viewed")
	old.Time = time.Now().Add(-40 * 24 * time.Hour).UnixMicro()
	bought := old
	bought.Name, bought.ID = "Charged", "another"
	h.tell(old, bought, track("asha", "Viewed"))
	if err := h.expire(); err != nil { // no retention: nothing goes
		t.Fatal(err)
	}
	shelves := func() (ids []uint32) {
		for _, s := range h.shelves.List() {
			ids = append(ids, s.ID)
		}
		return ids
	}
	h.retention = history.Retention{Events: 400 * 24 * time.Hour, Names: map[string]time.Duration{"Viewed": 30 * 24 * time.Hour}}
	h.reopen()
	// The run at the start may be the one that removes them, and be at its
	// checkpoint still.
	if err := h.expire(); err != nil {
		t.Fatal(err)
	}
	if err := h.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := h.history.Snapshot()
	defer s.Release()
	var names []string
	for _, n := range s.Names() {
		names = append(names, fmt.Sprint(n.Name, n.Rows))
	}
	if !slices.Equal(names, []string{"Charged1", "Viewed1"}) {
		t.Errorf("left are %v", names)
	}
	if left := shelves(); len(left) != 1 || left[0] == 1 {
		t.Errorf("shelves %v", left)
	}
}

// TestRetentionTakesDecisions: what became of a message goes with the events that
// it was about, and no sooner than its links may go.
func TestRetentionTakesDecisions(t *testing.T) {
	h := open(t)
	h.campaign(letter)
	h.tell(asha(true), track("asha", "Charged", event.Prop{Key: "Amount", Value: event.OfInt(7)}))
	h.eventually("the letter is sent", func() bool { return len(h.post.letters()) == 1 })
	message := h.post.letters()[0].ID
	h.eventually("that is told", func() bool { events, _ := h.count(event.NotificationSent); return events == 1 })
	h.retention = history.Retention{Events: 30 * 24 * time.Hour}
	for _, one := range []struct {
		days int
		kept bool
	}{{60, true}, {95, false}} {
		h.now = func() time.Time { return time.Now().Add(time.Duration(one.days) * 24 * time.Hour) }
		h.reopen()
		if err := h.expire(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Delivery().Explain(message); errors.Is(err, delivery.ErrUnknown) == one.kept {
			t.Errorf("after %d days: %v", one.days, err)
		}
		if events, _ := h.count(event.NotificationSent); events != 0 {
			t.Errorf("after %d days the fact is there", one.days)
		}
	}
}

func TestLiveShowsWhatIsApplied(t *testing.T) {
	h := open(t)
	live := h.Live(t.Context())
	h.tell(track("asha", "Viewed", event.Prop{Key: "sku", Value: event.OfText("H-1")}))
	select {
	case e := <-live:
		if e.Event != "Viewed" || e.Identity != "asha" || len(e.Props) != 1 {
			t.Errorf("live: %+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	if r := h.Recent(); len(r) != 1 || r[0].Identity != "asha" {
		t.Errorf("recent: %+v", r)
	}
}
