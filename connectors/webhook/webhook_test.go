package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestConformance(t *testing.T) {
	r := newReceiver(t, nil)
	with := func(name string, v any) connector.Settings { return settingsFor(r, connector.Settings{name: v}) }
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "webhook"), Settings: settingsFor(r, nil), Reachable: true,
		To: map[string]string{"webhook": "asha"},
		Wrong: []connector.Settings{
			with("url", "ftp://hooks.acme.example/"),
			with("url", "https:///hook"),
			with("url", "https://user:pass@hooks.acme.example/"),
			with("url", "http://hooks.acme.example/"),
			with("url", "https://169.254.169.254/latest"),
			with("url", "https://[::1]/"),
			with("secret", "secret"),
			with("secret", "whsec_AAAA"),
			with("secret", strings.TrimPrefix(testSecret, "whsec_")),
			with("previous", "whsec_"),
			with("headers", map[string]string{"X-A": "a\r\nX-B: b"}),
			with("headers", map[string]string{"X A": "a"}),
			with("headers", map[string]string{"Webhook-ID": "1"}),
			with("headers", map[string]string{"host": "elsewhere"}),
			with("private", []string{"*"}),
			with("private", []string{"hooks.acme.internal"}),
			with("timeout", "10ms"),
			with("ca", "no pem"),
			with("certificate", "no pem"),
			with("key", "no pem"),
		},
	})
}

// Nobody is there: everything comes again, nothing is accepted.
func TestConformanceWithoutReceiver(t *testing.T) {
	conformance.Test(t, conformance.Target{
		Path:     testprogram.Install(t, "webhook"),
		Settings: connector.Settings{"url": "https://127.0.0.1:1/hook", "private": []string{"127.0.0.1:1"}, "secret": testSecret},
		To:       map[string]string{"webhook": "asha"},
	})
}

func TestMessage(t *testing.T) {
	const before = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	r := newReceiver(t, nil)
	w := configured(t, settingsFor(r, connector.Settings{"previous": before, "headers": map[string]string{"authorization": "Bearer x"}, "content_type": "application/cloudevents+json"}))
	now := time.Unix(1_800_000_000, 0)
	w.now = func() time.Time { return now }
	m := message("5f1c")
	m.Text, m.Expires, m.Unsubscribe = "<b>नमस्ते</b> & \"you\"\n", now.Add(time.Hour), "https://links.acme.example/u/1"
	m.Data = []connector.Header{{Name: "purpose", Value: "offers"}, {Name: "campaign", Value: "cart"}}
	if o := send(t, w, m)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	now = now.Add(time.Minute)
	send(t, w, m)
	p, again := r.got()[0], r.got()[1]
	const want = `{"id":"5f1c","user":"asha","text":"<b>नमस्ते</b> & \"you\"\n","data":{"campaign":"cart","purpose":"offers"},"marketing":true,` +
		`"expires":"2027-01-15T09:00:00Z","unsubscribe":"https://links.acme.example/u/1"}`
	if string(p.body) != want || string(again.body) != want {
		t.Errorf("%s\n%s", p.body, again.body)
	}
	for name, want := range map[string]string{"Webhook-Id": "5f1c", "Webhook-Timestamp": "1800000000", "Authorization": "Bearer x", "Content-Type": "application/cloudevents+json", "User-Agent": "Cloister"} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if p.proto != "HTTP/2.0" || p.path != "/hook" {
		t.Errorf("%s %s", p.proto, p.path)
	}
	if !signed(t, p, testSecret) || !signed(t, p, before) || signed(t, p, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") {
		t.Errorf("signature %s", p.header.Get("webhook-signature"))
	}
	if again.header.Get("webhook-id") != "5f1c" || again.header.Get("webhook-timestamp") != "1800000060" || !signed(t, again, testSecret) {
		t.Errorf("the second time it has %v", again.header)
	}
	if w.Check(t.Context()) != nil || len(r.got()) != 2 {
		t.Error("Check posted something, or failed")
	}
}

// Standard Webhooks' own example.
func TestSignatureOfTheStandard(t *testing.T) {
	key, err := readSecret(testSecret)
	must(t, err)
	got := secrets{key}.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
}

func TestOutcomes(t *testing.T) {
	now := time.Now().Truncate(time.Second).UTC()
	for _, c := range []struct {
		status int
		after  string
		want   connector.Outcome
	}{
		{200, "", connector.Outcome{Result: connector.Accepted}},
		{202, "", connector.Outcome{Result: connector.Accepted}},
		{301, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "301: redirects are not followed"}},
		{307, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "307: redirects are not followed"}},
		{400, "", connector.Outcome{Result: connector.Refused, Class: connector.ClassContent, Reason: "400"}},
		{401, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "401: the signature or a header is not taken"}},
		{403, "600", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: 10 * time.Minute, Reason: "403: the signature or a header is not taken"}},
		{404, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "404: nothing takes messages there"}},
		{405, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "405: nothing takes messages there"}},
		{408, "", connector.Outcome{Result: connector.Again, RetryAfter: theirs, Reason: "408"}},
		{410, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "410: nothing takes messages there"}},
		{413, "", connector.Outcome{Result: connector.Refused, Class: connector.ClassContent, Reason: "413"}},
		{415, "", connector.Outcome{Result: connector.Again, Class: connector.ClassConfig, RetryAfter: ourTrouble, Reason: "415: nothing takes messages there"}},
		{422, "", connector.Outcome{Result: connector.Refused, Class: connector.ClassContent, Reason: "422"}},
		{429, "120", connector.Outcome{Result: connector.Again, RetryAfter: 2 * time.Minute, Reason: "429"}},
		{429, now.Add(time.Hour).Format(http.TimeFormat), connector.Outcome{Result: connector.Again, RetryAfter: time.Hour, Reason: "429"}},
		{429, "99999999999999999999", connector.Outcome{Result: connector.Again, RetryAfter: theirs, Reason: "429"}},
		{500, "-1", connector.Outcome{Result: connector.Again, RetryAfter: theirs, Reason: "500"}},
		{503, "900000", connector.Outcome{Result: connector.Again, RetryAfter: 24 * time.Hour, Reason: "503"}},
		{503, now.Add(-time.Hour).Format(http.TimeFormat), connector.Outcome{Result: connector.Again, RetryAfter: theirs, Reason: "503"}},
		{504, "", connector.Outcome{Result: connector.Again, RetryAfter: theirs, Reason: "504"}},
	} {
		t.Run(strconv.Itoa(c.status)+" "+c.after, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				io.WriteString(w, `{"reason": "asha@acme.example is unknown"}`)
			})
			w := configured(t, settingsFor(r, nil))
			w.now = func() time.Time { return now }
			c.want.ID = "m"
			if o := send(t, w, message("m"))[0]; o != c.want {
				t.Errorf("%+v, not %+v", o, c.want)
			}
			if n := len(r.got()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// What is lost after the request was written is unknown, and no other is.
func TestLostAnswer(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("webhook-id") == "lost" {
			panic(http.ErrAbortHandler)
		}
	})
	w := configured(t, settingsFor(r, nil))
	outs := send(t, w, message("a"), message("lost"), message("b"))
	for i, want := range []connector.Result{connector.Accepted, connector.Unknown, connector.Accepted} {
		if outs[i].Result != want {
			t.Errorf("%+v", outs[i])
		}
	}
}

// A receiver that does not answer in time has perhaps taken the message; what
// was not begun when the batch's time was over comes again.
func TestNoAnswer(t *testing.T) {
	release := make(chan struct{})
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	defer close(release)
	w := configured(t, settingsFor(r, connector.Settings{"timeout": "1s", "requests": 1.0}))
	if o := send(t, w, message("slow"))[0]; o.Result != connector.Unknown {
		t.Errorf("%+v", o)
	}
	w.c.timeout = 20 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	outs, err := w.Send(ctx, []connector.Message{message("begun"), message("waits")})
	must(t, err)
	if outs[1].Result != connector.Again || outs[1].ID != "waits" || outs[0].Result == connector.Accepted {
		t.Errorf("%+v", outs)
	}
}

// An answer without end costs neither memory nor time.
func TestEndlessAnswer(t *testing.T) {
	var wrote atomic.Int64
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		for chunk := make([]byte, 64<<10); req.Context().Err() == nil && wrote.Load() < 1<<30; {
			n, err := w.Write(chunk)
			if wrote.Add(int64(n)); err != nil {
				return
			}
		}
	})
	w := configured(t, settingsFor(r, nil))
	if o := send(t, w, message("m"))[0]; o.Result != connector.Accepted {
		t.Errorf("%+v", o)
	}
	if n := wrote.Load(); n > 64<<20 {
		t.Errorf("%d bytes were read", n)
	}
}

func TestCertificates(t *testing.T) {
	cert, key, pool := newCertificate(t)
	r := newReceiver(t, nil, wants(pool))
	if o := send(t, configured(t, settingsFor(r, connector.Settings{"certificate": cert, "key": key})), message("m"))[0]; o.Result != connector.Accepted {
		t.Errorf("%+v", o)
	}
	// Without one, or from an authority that is not known, nothing is taken.
	if o := send(t, configured(t, settingsFor(r, nil)), message("m"))[0]; o.Result == connector.Accepted {
		t.Errorf("without a certificate: %+v", o)
	}
	if o := send(t, configured(t, settingsFor(newReceiver(t, nil), connector.Settings{"ca": cert})), message("m"))[0]; o.Result != connector.Again {
		t.Errorf("of another authority: %+v", o)
	}
	if n := len(r.got()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestRefusedBeforehand(t *testing.T) {
	r := newReceiver(t, nil)
	w := configured(t, settingsFor(r, nil))
	for want, change := range map[connector.Class]func(*connector.Message){
		connector.ClassConfig:  func(m *connector.Message) { m.Channel = "sms" },
		connector.ClassContent: func(m *connector.Message) { m.ID = "a.b" },
		connector.ClassOther:   func(m *connector.Message) { m.Expires = time.Now().Add(-time.Second) },
	} {
		m := message("m")
		change(&m)
		if o := send(t, w, m)[0]; o.Result != connector.Refused || o.Class != want {
			t.Errorf("%+v", o)
		}
	}
	if n := len(r.got()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Many messages go over few connections, each once.
func TestMany(t *testing.T) {
	r := newReceiver(t, nil)
	w := configured(t, settingsFor(r, connector.Settings{"requests": 8.0}))
	var batch []connector.Message
	for i := range 500 {
		batch = append(batch, message(fmt.Sprint("m", i)))
	}
	for _, o := range send(t, w, batch...) {
		if o.Result != connector.Accepted {
			t.Fatalf("%+v", o)
		}
	}
	seen := map[string]int{}
	for _, p := range r.got() {
		seen[p.header.Get("webhook-id")]++
	}
	if len(seen) != 500 || len(r.got()) != 500 {
		t.Errorf("%d messages in %d requests", len(seen), len(r.got()))
	}
}

// A receiver that nobody may post to gets not even a connection.
func TestNotListed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	h := &httptest.Server{Listener: l, Config: &http.Server{}}
	var conns atomic.Int64
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	h.Start()
	defer h.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	// localhost is a name that leads to the machine itself.
	w := configured(t, connector.Settings{"url": "https://localhost:" + port + "/", "secret": testSecret, "timeout": "20s"})
	o := send(t, w, message("m"))[0]
	if o.Result != connector.Again || o.Class != connector.ClassConfig || !strings.Contains(o.Reason, "not among `private`") || conns.Load() != 0 {
		t.Errorf("%+v, %d connections", o, conns.Load())
	}
}
