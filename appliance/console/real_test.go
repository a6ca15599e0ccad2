package console

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// rooms are a publisher's real people, history and query, for what the console
// asks of them.
type rooms struct {
	people  *people.People
	history *history.History
	db      *kv.DB
}

func openRooms(t *testing.T) *rooms {
	t.Helper()
	ring, err := keyring.Open(t.TempDir(), bytes.Repeat([]byte{1}, keyring.MasterBytes), keyring.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, ring.Close()) })
	keys, err := ring.Publisher("acme")
	check(t, err)
	db, err := kv.Open(t.TempDir(), kv.Options{MemTable: 8 << 20})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	shelves, err := kv.OpenShelves(t.TempDir(), kv.NewShelfCache(4), kv.ShelfOptions{})
	check(t, err)
	t.Cleanup(func() { check(t, shelves.Close()) })
	r := &rooms{db: db}
	r.people, err = people.Open(db, keys, people.Options{})
	check(t, err)
	r.history, err = history.Open(db, shelves, keys, history.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, r.history.Close()) })
	return r
}

// apply does what the applier does, as far as it matters here.
func (r *rooms) apply(t *testing.T, facts ...event.Fact) {
	t.Helper()
	check(t, r.db.Update(func(tx *kv.Txn) error {
		for i := range facts {
			res, err := r.people.Apply(tx, &facts[i])
			if err != nil {
				return err
			}
			if facts[i].Kind != event.Track {
				continue
			}
			if err := r.history.Append(tx, []history.Row{{Person: res.Person, Time: facts[i].Time, Name: facts[i].Name, Props: facts[i].Props}}); err != nil {
				return err
			}
		}
		return nil
	}))
	r.people.Committed()
	r.history.Committed()
}

func (r *rooms) ask(body []byte) (*query.Answer, error) {
	h, p := r.history.Snapshot(), r.people.Snapshot()
	defer h.Release()
	defer p.Release()
	return query.Ask(context.Background(), body, query.Env{Data: query.Data{History: h, People: p}, Location: time.UTC, Find: r.people.Find})
}

func message(user, name, campaign, message, reason string, at time.Time) event.Fact {
	f := event.Fact{Kind: event.Track, User: user, Name: name, Time: at.UnixMicro(), Props: []event.Prop{
		{Key: event.PropCampaign, Value: event.OfText(campaign)}, {Key: event.PropMessage, Value: event.OfText(message)},
	}}
	if reason != "" {
		f.Props = append(f.Props, event.Prop{Key: event.PropReason, Value: event.OfText(reason)})
	}
	return f
}

// The questions that reports and segments are made of are ordinary ones, and
// their answers are read right.
func TestReportsAreOrdinaryQuestions(t *testing.T) {
	h, r := open(t), openRooms(t)
	h.acme.ask = r.ask
	token := h.token("acme", access.Marketer)
	h.want(201, token, "POST", "/v1/publishers/acme/campaigns", strings.Replace(cart, `{"name"`, `{"id":"cart","name"`, 1))
	const path = "/v1/publishers/acme/campaigns/cart/report"
	got := h.want(200, token, "GET", path, "")
	if !strings.Contains(got.body, `"decided":0`) || !strings.Contains(got.body, `"buckets":[]`) {
		t.Errorf("before anything happened: %s", got.body)
	}
	one, two := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	r.apply(t,
		event.Fact{Kind: event.Identify, User: "ann", Time: one.UnixMicro(), Changes: []event.Change{{Key: "plan", Value: event.OfText("gold")}},
			Addresses: []event.Address{{Channel: "email", Value: "ann@example.com"}}},
		message("ann", event.NotificationSent, "cart", "m1", "", one), message("bob", event.NotificationSent, "cart", "m2", "", one),
		message("ann", event.NotificationSent, "cart", "m3", "", two), message("ann", event.NotificationSent, "other", "m4", "", two),
		message("ann", event.NotificationViewed, "cart", "m1", "", one), message("ann", event.NotificationViewed, "cart", "m1", "", one.Add(time.Minute)),
		message("ann", event.NotificationViewed, "cart", "m3", "", two), message("ann", event.NotificationClicked, "cart", "m3", "", two),
		message("bob", event.ChannelUnsubscribed, "cart", "m2", "", two),
		message("eve", event.NotificationHeld, "cart", "m5", "no consent", two), message("zoe", event.NotificationHeld, "cart", "m6", "no consent", two),
		message("zoe", event.NotificationHeld, "cart", "m7", "cap", two), message("eve", event.NotificationFailed, "cart", "m8", "refused", two),
		message("eve", event.NotificationBounced, "cart", "m9", "", two),
	)
	got = h.want(200, token, "GET", path, "")
	want := `{"decided":7,"sent":3,"delivered":0,"opened":1,"clicked":1,"unsubscribed":1,"bounced":1,"failed":[{"reason":"refused","count":1}],` +
		`"held":[{"reason":"no consent","count":2},{"reason":"cap","count":1}],"waiting":0,` +
		`"by_day":{"buckets":["2026-01-01","2026-01-02"],"sent":[2,1],"opened":[1,1],"clicked":[0,1]},"goal":null,"converted":null,"revenue":null}`
	if strings.TrimSpace(got.body) != want {
		t.Errorf("%s, want %s", got.body, want)
	}
	got = h.want(200, token, "GET", path+"?from=2026-01-02&to=2026-01-02", "")
	if !strings.Contains(got.body, `"decided":5,"sent":1,`) || !strings.Contains(got.body, `"buckets":["2026-01-02"]`) {
		t.Errorf("of one day: %s", got.body)
	}
	if got := h.want(400, token, "GET", path+"?from=tomorrow", ""); !strings.Contains(got.body, `"path":"from"`) {
		t.Error(got.body)
	}

	got = h.want(200, token, "PUT", "/v1/publishers/acme/segments/gold", `{"people":{"profile":{"property":"plan","op":"=","value":"gold"}}}`)
	if !strings.Contains(got.body, `"count":1,"reachable":{"email":1`) {
		t.Error(got.body)
	}
	if got := h.want(400, token, "PUT", "/v1/publishers/acme/segments/bad", `{"people":{"profile":{"property":"plan","op":"~"}}}`); !strings.Contains(got.body, `"path":"people.profile.op"`) {
		t.Error(got.body)
	}
	got = h.want(200, token, "POST", "/v1/publishers/acme/query", `{"kind":"segment","people":{"identity":["ann"]},"list":{"limit":5}}`)
	if !strings.Contains(got.body, `"people":["ann"]`) {
		t.Error(got.body)
	}
}

// What recent-people falls back on is a question too.
func TestRecentPeopleAreAskedFor(t *testing.T) {
	h, r := open(t), openRooms(t)
	h.acme.ask = r.ask
	r.apply(t, event.Fact{Kind: event.Track, User: "ann", Name: "Viewed", Time: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).UnixMicro()})
	got := h.want(200, h.token("acme", access.Marketer), "GET", "/v1/publishers/acme/recent-people", "")
	if !strings.Contains(got.body, `"identity":"ann"`) {
		t.Error(got.body)
	}
}
