package links_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/links"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// rooms is a whole publisher on real engines, with a connector that keeps what
// it is given, and the door for recipients in front of it.
type rooms struct {
	t    *testing.T
	door *links.Door
	*publisher.Publisher

	mu   sync.Mutex
	sent []connector.Message
}

// Routes is one connector of every channel.
func (r *rooms) Routes(string) []delivery.Route { return []delivery.Route{{Name: "post"}} }

func (r *rooms) Send(_ context.Context, _, _ string, batch []connector.Message) ([]connector.Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, batch...)
	outs := make([]connector.Outcome, len(batch))
	for i, m := range batch {
		outs[i] = connector.Outcome{ID: m.ID, Result: connector.Accepted}
	}
	return outs, nil
}

func (r *rooms) Forget(context.Context, []event.Address) error { return nil }

// recipient is the publisher as the door knows it.
type recipient struct{ *publisher.Publisher }

func (r recipient) Message(id string) (delivery.Message, error) { return r.Delivery().Message(id) }
func (r recipient) Purposes() (out []links.Purpose) {
	for _, u := range r.Publisher.Purposes() {
		out = append(out, links.Purpose{Name: u.Name, Title: u.Title, Contract: u.Basis == "contract", Channels: u.Channels})
	}
	return out
}

func open(t *testing.T) *rooms {
	r := &rooms{t: t}
	dir := t.TempDir()
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	check(t, err)
	keys, err := ring.Publisher("acme")
	check(t, err)
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "journal")})
	check(t, err)
	addresses, err := links.NewAddresses("https://engage.example", "acme", keys)
	check(t, err)
	r.Publisher, err = publisher.Open(publisher.Options{
		Name: "acme", Title: "Acme", Dir: filepath.Join(dir, "acme"), Journal: j, Keys: keys, Shelves: kv.NewShelfCache(4), Small: true,
		Purposes: []publisher.Purpose{{Name: "offers", Title: "Offers", Channels: []string{"email", "sms"}}},
		Sender:   r, Forgetter: r, Links: addresses,
		Failed: func(err error) { t.Errorf("the applier stopped: %v", err) },
	})
	check(t, err)
	r.door = links.New(links.Options{Publisher: func(name string) (links.Publisher, bool) { return recipient{r.Publisher}, name == "acme" }})
	r.Start()
	t.Cleanup(func() { check(t, errors.Join(r.Close(context.Background()), j.Close(), ring.Close())) })
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rooms) tell(f event.Fact) {
	r.t.Helper()
	f.Received = time.Now().UnixMicro()
	f.Time = f.Received
	check(r.t, r.Append(r.t.Context(), []event.Fact{f}))
	check(r.t, r.CaughtUp(r.t.Context()))
}

// letter waits for the n-th message, from 1.
func (r *rooms) letter(n int) connector.Message {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) { // the interval of looking
		r.mu.Lock()
		if len(r.sent) >= n {
			defer r.mu.Unlock()
			return r.sent[n-1]
		}
		r.mu.Unlock()
		if time.Now().After(end) {
			r.t.Fatalf("message %d does not come; %+v", n, r.Delivery().Stats())
		}
	}
}

// count asks an ordinary question about the campaign's events.
func (r *rooms) count(name string) float64 {
	r.t.Helper()
	check(r.t, r.CaughtUp(r.t.Context()))
	q := fmt.Sprintf(`{"kind":"trend","interval":"all","series":[{"name":"A","event":%q,"measure":"count","filter":{"property":"campaign","op":"=","value":"thanks"}}]}`, name)
	a, err := r.Ask(r.t.Context(), []byte(q))
	check(r.t, err)
	var total float64
	for _, s := range a.Result.(*query.TrendResult).Series {
		total += s.Total
	}
	return total
}

// TestWalk carries a message from a trigger to somebody and back: it is opened
// and clicked, which the report shows; consent is withdrawn by one click and
// given again on the page; the person is forgotten.
func TestWalk(t *testing.T) {
	r := open(t)
	c, err := r.Campaigns().Validate([]byte(`{"id":"thanks","name":"Thanks","state":"running","channel":"email","purpose":"offers",
		"trigger":{"type":"event","event":{"event":"Charged"}},
		"content":{"subject":"Thank you, {{ Profile.Name }}","html":"<p>For {{ Event.sku }}</p><a href=\"https://shop.example/p/{{ Event.sku }}?who={{ Profile.Name }}\">again</a>"}}`))
	check(t, err)
	check(t, r.SaveCampaign(t.Context(), c))
	r.tell(event.Fact{
		Kind: event.Identify, User: "asha", Changes: []event.Change{{Key: "Name", Value: event.OfText("Asha & Co"), Personal: true}},
		Addresses: []event.Address{{Channel: "email", Value: "asha@example.com"}},
		Consents:  []event.Consent{{Purpose: "offers", Channel: "email", Granted: true, Source: "form", Version: "3"}},
	})
	charged := event.Fact{Kind: event.Track, User: "asha", Name: "Charged", Props: []event.Prop{{Key: "sku", Value: event.OfText("b-1")}}}
	r.tell(charged)
	m := r.letter(1)
	if m.To != "asha@example.com" || m.Subject != "Thank you, Asha & Co" || !strings.Contains(m.HTML, "For b-1") {
		t.Errorf("%+v", m)
	}
	click := regexp.MustCompile(`href="([^"]+)"`).FindStringSubmatch(m.HTML)[1]
	pixel := regexp.MustCompile(`src="([^"]+)"`).FindStringSubmatch(m.HTML)[1]
	do := func(method, address string, form url.Values) *httptest.ResponseRecorder {
		q := httptest.NewRequest(method, address, strings.NewReader(form.Encode()))
		if form != nil {
			q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		r.door.ServeHTTP(w, q)
		return w
	}
	if w := do("GET", pixel, nil); w.Code != 200 {
		t.Errorf("the pixel answers %d", w.Code)
	}
	if w := do("GET", click, nil); w.Code != 302 || w.Header().Get("Location") != "https://shop.example/p/b-1?who=Asha%20%26%20Co" {
		t.Errorf("the link answers %d, %s", w.Code, w.Header().Get("Location"))
	}
	for name, want := range map[string]float64{event.NotificationSent: 1, event.NotificationViewed: 1, event.NotificationClicked: 1, event.ChannelUnsubscribed: 0} {
		if got := r.count(name); got != want {
			t.Errorf("%s counts %v", name, got)
		}
	}

	// The page, looked at, changes nothing; the POST does, at once.
	if w := do("GET", m.Unsubscribe, nil); w.Code != 200 || !strings.Contains(w.Body.String(), "Offers") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r.tell(charged)
	second := r.letter(2)
	for range 2 {
		if w := do("POST", m.Unsubscribe, url.Values{"List-Unsubscribe": {"One-Click"}}); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if got := r.count(event.ChannelUnsubscribed); got != 1 {
		t.Errorf("Channel Unsubscribed counts %v", got)
	}
	r.tell(charged)
	for end := time.Now().Add(20 * time.Second); r.count(event.NotificationHeld) != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the third is not held")
		}
	}
	if n := len(r.sent); n != 2 {
		t.Errorf("%d messages after a withdrawal", n)
	}

	// Given again on the page of the newer message.
	if w := do("GET", second.Unsubscribe, nil); strings.Contains(w.Body.String(), "checked") {
		t.Errorf("%s", w.Body)
	}
	if w := do("POST", second.Unsubscribe, url.Values{"action": {"save"}, "allow": {"email offers"}}); w.Code != 200 || !strings.Contains(w.Body.String(), `value="email offers" checked`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r.tell(charged)
	r.letter(3)
	who, err := r.Person("asha")
	check(t, err)
	if len(who.Consents) != 1 || who.Consents[0].Source != "preference page" {
		t.Errorf("%+v: only what changed is decided", who.Consents)
	}

	// Forgotten: links lead nowhere, and unsubscribing is confirmed.
	request, err := r.Erase(t.Context(), "asha")
	check(t, err)
	for _, address := range []string{pixel, click, m.Unsubscribe} {
		if w := do("GET", address, nil); w.Code != 404 {
			t.Errorf("%s answers %d", address, w.Code)
		}
	}
	if w := do("POST", m.Unsubscribe, url.Values{"List-Unsubscribe": {"One-Click"}}); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
	for _, name := range []string{event.NotificationSent, event.NotificationClicked, event.ChannelUnsubscribed, "Charged"} {
		if got := r.count(name); got != 0 {
			t.Errorf("%s counts %v", name, got)
		}
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		cert, err := r.Certificate(request)
		if err == nil {
			if !strings.Contains(string(cert.Body), request) {
				t.Errorf("%s", cert.Body)
			}
			break
		}
		if s, serr := r.Erasure(request); time.Now().After(end) {
			t.Fatalf("no certificate: %v, %+v, %v", err, s, serr)
		}
	}
}
