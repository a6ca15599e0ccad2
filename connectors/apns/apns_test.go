package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/connectors/apns/standin"
	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the connector too, when it is started as one.
func TestMain(m *testing.M) { testprogram.Main(m, main) }

func newServer(t testing.TB) *standin.Server {
	t.Helper()
	s, err := standin.New()
	if err != nil {
		t.Fatal(err)
	}
	s.Keep = true
	t.Cleanup(s.Close)
	return s
}

func settingsFor(s *standin.Server, more connector.Settings) connector.Settings {
	set := connector.Settings{
		"topic": standin.Topic, "key": s.Key(), "key_id": standin.KeyID, "team_id": standin.TeamID, "ca": s.CA(), "url": s.URL(),
		"connections": 2.0, "streams": 100.0, "timeout": "20s", "payload": formNotification,
	}
	maps.Copy(set, more)
	return set
}

func configured(t testing.TB, set connector.Settings) *apns {
	t.Helper()
	a := &apns{}
	problems, err := a.Configure(t.Context(), set)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	t.Cleanup(func() { a.Drain(context.Background()) })
	return a
}

func push(n int) connector.Message {
	return connector.Message{ID: fmt.Sprint("m", n), Channel: "push", Platform: "apns", To: fmt.Sprintf("%064x", n+1), Subject: "Hello", Text: "There", Marketing: true}
}

func send(t testing.TB, a *apns, batch ...connector.Message) []connector.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	outs, err := a.Send(ctx, batch)
	if err != nil || len(outs) != len(batch) {
		t.Fatal(len(outs), err)
	}
	for i, o := range outs {
		if o.ID != batch[i].ID || strings.Contains(o.Reason, batch[i].To) {
			t.Fatalf("%d: %+v", i, o)
		}
	}
	return outs
}

func one(t testing.TB, a *apns, m connector.Message) connector.Outcome {
	t.Helper()
	return send(t, a, m)[0]
}

func TestConformance(t *testing.T) {
	s := newServer(t)
	good := settingsFor(s, nil)
	wrong := func(name string, v any) connector.Settings {
		w := maps.Clone(good)
		w[name] = v
		return w
	}
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "apns"), Settings: good, Reachable: true, Platform: "apns",
		Wrong: []connector.Settings{wrong("key", "x"), wrong("key_id", ""), wrong("url", "http://apple.example"), wrong("ca", "x"), wrong("proxy", "proxy:3128")},
	})
}

func TestSettings(t *testing.T) {
	s := newServer(t)
	cert, key := s.Certificate()
	for _, c := range []struct {
		set  connector.Settings
		path string // "" = good
	}{
		{connector.Settings{"key": ""}, "key"},
		{connector.Settings{"key": "-----BEGIN PRIVATE KEY-----"}, "key"},
		{connector.Settings{"certificate": cert, "certificate_key": key}, "certificate"},
		{connector.Settings{"key": "", "certificate": cert, "certificate_key": "x"}, "certificate"},
		{connector.Settings{"key": "", "certificate": cert, "certificate_key": key}, ""},
		{connector.Settings{"topic": ""}, "topic"},
	} {
		_, problems := read(settingsFor(s, c.set))
		if c.path == "" && len(problems) > 0 || c.path != "" && (len(problems) != 1 || !slices.Equal(problems[0].Path, []string{c.path})) {
			t.Errorf("%v: %v", c.path, problems)
		}
	}
}

func TestSends(t *testing.T) {
	s := newServer(t)
	a := configured(t, settingsFor(s, nil))
	var batch []connector.Message
	for i := range 500 {
		batch = append(batch, push(i))
	}
	for i, o := range send(t, a, batch...) {
		if o.Result != connector.Accepted || o.ProviderID != uuid(batch[i].ID) {
			t.Fatalf("%d: %+v, %v", i, o, s.Refusals())
		}
	}
	if s.Count() != 500 || s.Conns() != 2 || s.Tokens() != 1 {
		t.Errorf("%d messages, %d connections, %d tokens", s.Count(), s.Conns(), s.Tokens())
	}
	if err := a.Check(t.Context()); err != nil || s.Count() != 500 {
		t.Errorf("check: %v, %d messages", err, s.Count())
	}
}

// The first message on a connection goes alone, since Apple allows no more.
func TestFirstAlone(t *testing.T) {
	s := newServer(t)
	a := configured(t, settingsFor(s, connector.Settings{"connections": 1.0}))
	var came, beside atomic.Int64
	s.Answer = func(http.ResponseWriter, *http.Request, standin.Notification) bool {
		if came.Add(1) == 1 {
			// The others are where they would go from, were they let.
			for end := time.Now().Add(30 * time.Second); len(a.slots) < 50 && time.Now().Before(end); {
				runtime.Gosched()
			}
			beside.Store(came.Load() - 1)
		}
		return false
	}
	var batch []connector.Message
	for i := range 50 {
		batch = append(batch, push(i))
	}
	send(t, a, batch...)
	if beside.Load() > 0 || s.Count() != 50 || s.Conns() != 1 {
		t.Errorf("%d beside the first, %d in all, %d connections", beside.Load(), s.Count(), s.Conns())
	}
}

func TestCertificate(t *testing.T) {
	s := newServer(t)
	cert, key := s.Certificate()
	a := configured(t, settingsFor(s, connector.Settings{"key": "", "key_id": "", "team_id": "", "certificate": cert, "certificate_key": key}))
	if o := one(t, a, push(1)); o.Result != connector.Accepted || s.Got()[0].Header.Get("authorization") != "" {
		t.Errorf("%+v, %v", o, s.Refusals())
	}
}

func TestOutcomes(t *testing.T) {
	s := newServer(t)
	a := configured(t, settingsFor(s, nil))
	then := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	address := func(g connector.Gone) connector.Outcome {
		return connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: g}
	}
	config := connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}
	content := connector.Outcome{Result: connector.Refused, Class: connector.ClassContent}
	for _, c := range []struct {
		status int
		reason string
		since  time.Time
		want   connector.Outcome
	}{
		{400, "BadDeviceToken", time.Time{}, address(connector.GoneInvalid)},
		{400, "DeviceTokenNotForTopic", time.Time{}, address(connector.GoneInvalid)},
		{410, "Unregistered", time.Time{}, address(connector.GoneRemoved)},
		{410, "Unregistered", then.Add(-time.Minute), address(connector.GoneRemoved)},
		{410, "Unregistered", then.Add(time.Minute), connector.Outcome{Result: connector.Refused, Class: connector.ClassOther}},
		{410, "ExpiredToken", time.Time{}, address(connector.GoneStale)},
		{413, "PayloadTooLarge", time.Time{}, content},
		{400, "BadCollapseId", time.Time{}, content},
		{400, "TopicDisallowed", time.Time{}, config},
		{403, "InvalidProviderToken", time.Time{}, config},
		{403, "ExpiredProviderToken", time.Time{}, config},
		{403, "BadCertificateEnvironment", time.Time{}, config},
		{429, "TooManyRequests", time.Time{}, connector.Outcome{Result: connector.Again, RetryAfter: time.Minute}},
		{429, "TooManyProviderTokenUpdates", time.Time{}, connector.Outcome{Result: connector.Again, RetryAfter: 10 * time.Minute}},
		{500, "InternalServerError", time.Time{}, connector.Outcome{Result: connector.Again}},
		{503, "ServiceUnavailable", time.Time{}, connector.Outcome{Result: connector.Again}},
		{503, "Shutdown", time.Time{}, connector.Outcome{Result: connector.Again}},
		{502, "", time.Time{}, connector.Outcome{Result: connector.Unknown}},
		{418, "", time.Time{}, connector.Outcome{Result: connector.Refused, Class: connector.ClassOther}},
	} {
		s.Answer = func(w http.ResponseWriter, _ *http.Request, _ standin.Notification) bool {
			at := time.Time{}
			if c.status == 410 {
				at = then
			}
			standin.Fail(w, c.status, c.reason, at)
			return true
		}
		m := push(1)
		m.AddressSince = c.since
		got := one(t, a, m)
		if got.Reason == "" {
			t.Errorf("%s: no reason", c.reason)
		}
		if got.ID, got.Reason = "", ""; got != c.want {
			t.Errorf("%d %s: %+v, want %+v", c.status, c.reason, got, c.want)
		}
	}
}

// A provider token serves forty minutes; one that Apple calls expired is
// replaced once, but not within twenty minutes.
func TestTokenRenewed(t *testing.T) {
	s := newServer(t)
	a := configured(t, settingsFor(s, nil))
	at := time.Now()
	a.now = func() time.Time { return at }
	s.Now = a.now
	for _, step := range []struct {
		after  time.Duration
		tokens int
	}{{0, 1}, {39 * time.Minute, 1}, {2 * time.Minute, 2}} {
		at = at.Add(step.after)
		if o := one(t, a, push(1)); o.Result != connector.Accepted || s.Tokens() != step.tokens {
			t.Errorf("after %s: %+v, %d tokens, want %d", step.after, o, s.Tokens(), step.tokens)
		}
	}
	var asked int
	s.Answer = func(w http.ResponseWriter, _ *http.Request, _ standin.Notification) bool {
		asked++
		standin.Fail(w, 403, "ExpiredProviderToken", time.Time{})
		return true
	}
	at = at.Add(time.Minute)
	if o := one(t, a, push(1)); o.Class != connector.ClassConfig || asked != 1 || s.Tokens() != 2 {
		t.Errorf("too young: %+v, asked %d times with %d tokens", o, asked, s.Tokens())
	}
	at = at.Add(25 * time.Minute)
	if o := one(t, a, push(1)); o.Class != connector.ClassConfig || asked != 3 || s.Tokens() != 3 {
		t.Errorf("old enough: %+v, asked %d times with %d tokens", o, asked, s.Tokens())
	}
}

// An answer that is lost leaves a message unknown, and no other.
func TestLost(t *testing.T) {
	s, away := newServer(t), newServer(t)
	a := configured(t, settingsFor(s, nil))
	s.Answer = func(_ http.ResponseWriter, _ *http.Request, n standin.Notification) bool {
		if n.Device == push(1).To {
			panic(http.ErrAbortHandler) // the stream is reset
		}
		return false
	}
	outs := send(t, a, push(0), push(1), push(2))
	for i, want := range []connector.Result{connector.Accepted, connector.Unknown, connector.Accepted} {
		if outs[i].Result != want {
			t.Errorf("%d: %+v", i, outs[i])
		}
	}
	b := configured(t, settingsFor(s, connector.Settings{"url": away.URL()}))
	away.Close()
	for _, o := range send(t, b, push(1), push(2)) {
		if o.Result != connector.Again || o.Class != "" {
			t.Errorf("nobody there: %+v", o)
		}
	}
}

func TestPayload(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	badge := 3
	full := push(1)
	full.Link, full.Expires = "acme://offers/7?a=1&b=2", noon.Add(time.Hour)
	full.Data = []connector.Header{{Name: "sku", Value: "A<1>"}}
	full.Push = &connector.Push{
		Subtitle: "For you", Image: "https://cdn.acme.example/a.png", Sound: "ping.caf", Badge: &badge, Category: "OFFER", Thread: "offers",
		Collapse: strings.Repeat("long ", 20), Urgent: true,
	}
	silent := push(1)
	silent.Push = &connector.Push{Silent: true, Urgent: true}
	for _, c := range []struct {
		name, form, want string
		m                connector.Message
		header           map[string]string
	}{
		{"plain", "notification", `{"aps": {"alert": {"title": "Hello", "body": "There"}}, "cloister_id": "m1"}`, push(1),
			map[string]string{"apns-push-type": "alert", "apns-priority": "5", "apns-expiration": "", "apns-collapse-id": ""}},
		{"everything", "notification", `{"aps": {"alert": {"title": "Hello", "subtitle": "For you", "body": "There"}, "badge": 3, "sound": "ping.caf",
			"category": "OFFER", "thread-id": "offers", "mutable-content": 1}, "cloister_id": "m1", "sku": "A<1>",
			"cloister_link": "acme://offers/7?a=1&b=2", "cloister_image": "https://cdn.acme.example/a.png"}`, full,
			map[string]string{"apns-push-type": "alert", "apns-priority": "10", "apns-expiration": "1795698000"}},
		{"for CleverTap's SDK", "clevertap", `{"aps": {"alert": {"title": "Hello", "subtitle": "For you", "body": "There"}, "badge": 3, "sound": "ping.caf",
			"category": "OFFER", "thread-id": "offers", "mutable-content": 1}, "W$id": "m1", "W$dt": "APPLE", "sku": "A<1>",
			"wzrk_dl": "acme://offers/7?a=1&b=2", "ct_mediaUrl": "https://cdn.acme.example/a.png", "ct_mediaType": "image"}`, full, nil},
		{"silent", "notification", `{"aps": {"content-available": 1}, "cloister_id": "m1"}`, silent,
			map[string]string{"apns-push-type": "background", "apns-priority": "5"}},
	} {
		s := newServer(t)
		a := configured(t, settingsFor(s, connector.Settings{"payload": c.form}))
		a.now = func() time.Time { return noon }
		s.Now = a.now
		if o := one(t, a, c.m); o.Result != connector.Accepted {
			t.Fatalf("%s: %+v, %v", c.name, o, s.Refusals())
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		n := s.Got()[0]
		if !reflect.DeepEqual(n.Payload, want) {
			t.Errorf("%s: got %v, want %v", c.name, n.Payload, want)
		}
		for k, v := range c.header {
			if n.Header.Get(k) != v {
				t.Errorf("%s: %s is %q, want %q", c.name, k, n.Header.Get(k), v)
			}
		}
	}
	s := newServer(t)
	a := configured(t, settingsFor(s, nil))
	m := push(1)
	m.Text = strings.Repeat("x", maxPayload)
	if o := one(t, a, m); o.Class != connector.ClassContent {
		t.Errorf("too long: %+v", o)
	}
	m = push(1)
	m.To = "no token"
	if o := one(t, a, m); o.Gone != connector.GoneInvalid {
		t.Errorf("no token: %+v", o)
	}
	if len(s.Refusals()) > 0 || s.Count() > 0 {
		t.Errorf("they were sent: %v", s.Refusals())
	}
}
