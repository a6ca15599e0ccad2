package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/connectors/fcm/standin"
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
		"service_account": s.Account(), "ca": s.CA(), "url": s.URL(), "token_url": s.TokenURL(),
		"connections": 2.0, "streams": 50.0, "timeout": "20s", "payload": formNotification,
	}
	maps.Copy(set, more)
	return set
}

func configured(t testing.TB, set connector.Settings) *fcm {
	t.Helper()
	f := &fcm{}
	problems, err := f.Configure(t.Context(), set)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	t.Cleanup(func() { f.Drain(context.Background()) })
	return f
}

// device makes a token that looks like one.
func device(n int) string { return fmt.Sprintf("dQw4w9WgXcQ:APA91b%020d", n) }

func push(n int) connector.Message {
	return connector.Message{ID: fmt.Sprint("m", n), Channel: "push", Platform: "fcm", To: device(n), Subject: "Hello", Text: "There", Marketing: true}
}

func send(t testing.TB, f *fcm, batch ...connector.Message) []connector.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	outs, err := f.Send(ctx, batch)
	if err != nil || len(outs) != len(batch) {
		t.Fatal(len(outs), err)
	}
	for i, o := range outs {
		if o.ID != batch[i].ID {
			t.Fatalf("outcome %d is of %q", i, o.ID)
		}
		if strings.Contains(o.Reason, batch[i].To) {
			t.Fatalf("the reason names the device: %s", o.Reason)
		}
	}
	return outs
}

func one(t testing.TB, f *fcm, m connector.Message) connector.Outcome {
	t.Helper()
	return send(t, f, m)[0]
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
		Path: testprogram.Install(t, "fcm"), Settings: good, Reachable: true,
		Wrong: []connector.Settings{wrong("service_account", "{}"), wrong("url", "http://fcm.example"), wrong("ca", "x"), wrong("proxy", "proxy:3128")},
	})
}

func TestSettings(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		set  connector.Settings
		path string
	}{
		{connector.Settings{"service_account": "x"}, "service_account"},
		{connector.Settings{"service_account": `{"type":"authorized_user"}`}, "service_account"},
		{connector.Settings{"service_account": `{"type":"service_account","client_email":"a@b.example","private_key":"x"}`}, "service_account"},
		{connector.Settings{"token_url": "http://oauth2.example/token"}, "token_url"},
		{connector.Settings{"proxy": "ftp://proxy.example"}, "proxy"},
		{connector.Settings{"clevertap_account": "ABC-DEF"}, "clevertap_account"},
	} {
		_, problems := read(settingsFor(s, c.set))
		if len(problems) != 1 || !slices.Equal(problems[0].Path, []string{c.path}) {
			t.Errorf("%v: %v", c.path, problems)
		}
	}
}

func TestSends(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	var batch []connector.Message
	for i := range 500 {
		batch = append(batch, push(i))
	}
	for i, o := range send(t, f, batch...) {
		if o.Result != connector.Accepted || !strings.HasPrefix(o.ProviderID, "0:1") {
			t.Fatalf("%d: %+v, %v", i, o, s.Refusals())
		}
	}
	if s.Count() != 500 || s.Conns() != 3 || s.SignIns() != 1 {
		t.Errorf("%d messages, %d connections (two and one to sign in), %d sign-ins", s.Count(), s.Conns(), s.SignIns())
	}
	if err := f.Check(t.Context()); err != nil || s.Count() != 500 {
		t.Errorf("check: %v, %d messages", err, s.Count())
	}
}

// As many as there are streams are on their way at once, and no more.
func TestStreams(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, connector.Settings{"connections": 2.0, "streams": 30.0}))
	for n := range 2 { // the first of each connection goes alone
		one(t, f, push(100+n))
	}
	arrived, open := make(chan bool, 100), make(chan bool)
	s.Answer = func(http.ResponseWriter, *http.Request, standin.Message) bool {
		arrived <- true
		<-open
		return false
	}
	var wg sync.WaitGroup
	for n := range 2 { // two batches share them
		wg.Go(func() {
			var batch []connector.Message
			for i := range 50 {
				batch = append(batch, push(50*n+i))
			}
			send(t, f, batch...)
		})
	}
	for range 60 {
		<-arrived
	}
	close(open)
	wg.Wait()
	if s.Most() != 60 || s.Count() != 102 {
		t.Errorf("%d at once, %d in all", s.Most(), s.Count())
	}
}

func TestOutcomes(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f.now = func() time.Time { return now }
	raw := func(status int, header, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	code := func(c, after string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			standin.Fail(w, c)
		}
	}
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter)
		since  time.Duration
		want   connector.Outcome
	}{
		{"unregistered", code("UNREGISTERED", ""), 0, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneRemoved}},
		{"unregistered, in use lately", code("UNREGISTERED", ""), 24 * time.Hour, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneRemoved}},
		{"unregistered, not used for long", code("UNREGISTERED", ""), 300 * 24 * time.Hour, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneStale}},
		{"another sender's", code("SENDER_ID_MISMATCH", ""), 0, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneInvalid}},
		{"quota", code("QUOTA_EXCEEDED", ""), 0, connector.Outcome{Result: connector.Again, RetryAfter: time.Minute}},
		{"quota, and for how long", code("QUOTA_EXCEEDED", "600"), 0, connector.Outcome{Result: connector.Again, RetryAfter: 10 * time.Minute}},
		{"unavailable", code("UNAVAILABLE", "30"), 0, connector.Outcome{Result: connector.Again, RetryAfter: 30 * time.Second}},
		{"unavailable until", code("UNAVAILABLE", now.Add(time.Hour).Format(http.TimeFormat)), 0, connector.Outcome{Result: connector.Again, RetryAfter: time.Hour}},
		{"internal", code("INTERNAL", ""), 0, connector.Outcome{Result: connector.Again}},
		{"Apple's key", code("THIRD_PARTY_AUTH_ERROR", ""), 0, connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}},
		{"no permission", raw(403, "", `{"error":{"code":403,"status":"PERMISSION_DENIED"}}`), 0, connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}},
		{"no project", raw(404, "", `<html>`), 0, connector.Outcome{Result: connector.Again, Class: connector.ClassConfig}},
		{"too many", raw(429, "", ``), 0, connector.Outcome{Result: connector.Again, RetryAfter: time.Minute}},
		{"busy", raw(503, "", `<html>`), 0, connector.Outcome{Result: connector.Again}},
		{"somebody between", raw(502, "", `<html>`), 0, connector.Outcome{Result: connector.Unknown}},
		{"somebody between gave up", raw(504, "", ``), 0, connector.Outcome{Result: connector.Unknown}},
		{"a status that is not listed", raw(418, "", ``), 0, connector.Outcome{Result: connector.Refused, Class: connector.ClassOther}},
		{"accepted without a name", raw(200, "", ``), 0, connector.Outcome{Result: connector.Accepted}},
	} {
		s.Answer = func(w http.ResponseWriter, _ *http.Request, _ standin.Message) bool { c.answer(w); return true }
		m := push(1)
		if c.since > 0 {
			m.AddressSince = now.Add(-c.since)
		}
		got := one(t, f, m)
		if c.want.Result != connector.Accepted && got.Reason == "" {
			t.Errorf("%s: no reason", c.name)
		}
		got.ID, got.Reason = "", ""
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// INVALID_ARGUMENT says that token or content is wrong: the token alone decides.
func TestInvalidArgument(t *testing.T) {
	for _, c := range []struct {
		name  string
		alone string // what FCM says of the token alone, "" = it is good
		want  connector.Outcome
	}{
		{"the content", "", connector.Outcome{Result: connector.Refused, Class: connector.ClassContent}},
		{"the token", "INVALID_ARGUMENT", connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneInvalid}},
		{"the app is gone", "UNREGISTERED", connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneRemoved}},
		{"FCM is busy now", "UNAVAILABLE", connector.Outcome{Result: connector.Again}},
	} {
		s := newServer(t)
		f := configured(t, settingsFor(s, nil))
		s.Answer = func(w http.ResponseWriter, _ *http.Request, m standin.Message) bool {
			switch {
			case !m.ValidateOnly:
				standin.Fail(w, "INVALID_ARGUMENT")
			case len(m.Raw) != 1:
				t.Errorf("the token is not alone: %v", m.Raw)
				return false
			case c.alone != "":
				standin.Fail(w, c.alone)
			default:
				return false
			}
			return true
		}
		got := one(t, f, push(1))
		got.ID, got.Reason = "", ""
		if got != c.want || s.Count() != 0 {
			t.Errorf("%s: %+v, want %+v; %d were sent", c.name, got, c.want, s.Count())
		}
	}
	// Where FCM names the field, nothing is asked twice.
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	var asked atomic.Int64
	s.Answer = func(http.ResponseWriter, *http.Request, standin.Message) bool { asked.Add(1); return false }
	m := push(1)
	m.Push = &connector.Push{Image: "picture.png"}
	if o := one(t, f, m); o.Class != connector.ClassContent {
		t.Errorf("%+v", o)
	}
	m = push(1)
	m.To = "short"
	if o := one(t, f, m); o.Gone != connector.GoneInvalid || o.Class != connector.ClassAddress {
		t.Errorf("%+v", o)
	}
	if asked.Load() != 0 {
		t.Error("it was asked again")
	}
}

// clock is a clock that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(0, c.at.Load()) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }
func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().UnixNano())
	return c
}

func TestTokenRenewed(t *testing.T) {
	s := newServer(t)
	c := newClock()
	f := configured(t, settingsFor(s, nil))
	f.now = c.now
	for _, step := range []struct {
		after   time.Duration
		signIns int
	}{{0, 1}, {54 * time.Minute, 1}, {2 * time.Minute, 2}} {
		c.add(step.after)
		if o := one(t, f, push(1)); o.Result != connector.Accepted || s.SignIns() != step.signIns {
			t.Errorf("after %s: %+v, %d sign-ins, want %d", step.after, o, s.SignIns(), step.signIns)
		}
	}
	// It is revoked: a whole batch signs in once, and nothing is lost.
	s.Revoke()
	var batch []connector.Message
	for i := range 200 {
		batch = append(batch, push(i))
	}
	for _, o := range send(t, f, batch...) {
		if o.Result != connector.Accepted {
			t.Fatalf("%+v", o)
		}
	}
	if s.SignIns() != 3 {
		t.Errorf("%d sign-ins", s.SignIns())
	}
}

// Of a batch that cannot sign in, one asks, and it all comes again.
func TestCannotSignIn(t *testing.T) {
	s, other := newServer(t), newServer(t)
	c := newClock()
	f := configured(t, settingsFor(s, connector.Settings{"service_account": other.Account()}))
	f.now = c.now
	var batch []connector.Message
	for i := range 300 {
		batch = append(batch, push(i))
	}
	for _, o := range send(t, f, batch...) {
		if o.Result != connector.Again || o.Class != connector.ClassConfig {
			t.Fatalf("%+v", o)
		}
	}
	if n := len(s.Refusals()); n != 1 {
		t.Errorf("it asked %d times: %v", n, s.Refusals())
	}
	if err := f.Check(t.Context()); err == nil {
		t.Error("the check is content")
	}
	c.add(retryAfter)
	send(t, f, push(1))
	if n := len(s.Refusals()); n != 2 {
		t.Errorf("it asked %d times: %v", n, s.Refusals())
	}
}

// An access token that is refused again and again stops the batch.
func TestAccessRefused(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, connector.Settings{"connections": 1.0, "streams": 1.0}))
	var asked atomic.Int64
	s.Answer = func(w http.ResponseWriter, _ *http.Request, _ standin.Message) bool {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	for _, o := range send(t, f, push(1), push(2), push(3)) {
		if o.Result != connector.Again || o.Class != connector.ClassConfig {
			t.Errorf("%+v", o)
		}
	}
	if asked.Load() != 2 || s.SignIns() != 2 {
		t.Errorf("%d requests, %d sign-ins", asked.Load(), s.SignIns())
	}
}

func TestUnreachable(t *testing.T) {
	s, away := newServer(t), newServer(t)
	f := configured(t, settingsFor(s, connector.Settings{"url": away.URL()}))
	away.Close()
	for _, o := range send(t, f, push(1), push(2)) {
		if o.Result != connector.Again || o.Class != "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestOutOfTime(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	outs, err := f.Send(ctx, []connector.Message{push(1)})
	if err != nil || outs[0].Result != connector.Again || s.Count() != 0 {
		t.Errorf("%+v, %v", outs, err)
	}
}
