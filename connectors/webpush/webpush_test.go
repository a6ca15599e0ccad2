package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestConformance(t *testing.T) {
	s := newService(t, nil)
	base := connector.Settings{"key": testKey, "subject": "mailto:ops@acme.example"}
	with := func(name string, v any) connector.Settings {
		w := connector.Settings{name: v}
		for k, v := range base {
			if _, ok := w[k]; !ok {
				w[k] = v
			}
		}
		return w
	}
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "webpush"), Settings: settingsFor(s, nil), Reachable: true,
		To: map[string]string{"push": s.url + "/sub/a"}, Platform: "webpush", Extra: newBrowser(t).extra(),
		Wrong: []connector.Settings{
			with("key", "AAAA"),
			with("key", strings.Repeat("A", 43)),
			with("key", "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----"),
			with("subject", "ops@acme.example"),
			with("subject", "mailto:Ops <ops@acme.example>"),
			with("subject", "https://localhost/"),
			with("subject", "mailto:ops@acme.local"),
			with("services", []string{"push.acme.example"}),
			with("services", []string{}),
			with("ttl", "1000h"),
			with("timeout", "10ms"),
			with("ca", "no pem"),
			with("proxy", "socks5://proxy.acme.example:1080"),
			with("icon", "https://"),
		},
	})
}

// Nobody is there: everything comes again, nothing is accepted.
func TestConformanceWithoutService(t *testing.T) {
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "webpush"), Settings: connector.Settings{"key": testKey, "subject": "mailto:ops@acme.example", "services": []string{"127.0.0.1:1"}},
		To: map[string]string{"push": "https://127.0.0.1:1/sub"}, Platform: "webpush", Extra: newBrowser(t).extra(),
	})
}

func TestMessage(t *testing.T) {
	s := newService(t, nil)
	w := configured(t, settingsFor(s, connector.Settings{"icon": "https://acme.example/icon.png"}))
	now := time.Now().Truncate(time.Second)
	w.now = func() time.Time { return now }
	b := newBrowser(t)
	m := s.to("m1", b)
	m.Link, m.Expires = "https://acme.example/cart", now.Add(90*time.Minute)
	m.Data = []connector.Header{{Name: "cart", Value: "17"}}
	m.Push = &connector.Push{
		Image: "https://acme.example/cart.jpg", Collapse: "cart", Urgent: true, Seen: "https://links.acme.example/o/m1",
		Buttons: []connector.Button{{ID: "buy", Title: "Buy now", Link: "https://acme.example/buy"}, {ID: "later", Title: "Later"}},
	}
	o := send(t, w, m)[0]
	if o.Result != connector.Accepted || o.ProviderID != s.url+"/m/1" {
		t.Fatalf("%+v", o)
	}
	p := s.got()[0]
	for name, want := range map[string]string{"Ttl": "5400", "Urgency": "high", "Topic": "cart", "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream"} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if p.proto != "HTTP/2.0" || p.path != "/sub/m1" {
		t.Errorf("%s %s", p.proto, p.path)
	}
	plain, err := b.open(p.body)
	must(t, err)
	// The first part is for cloister-sw.js, the second for CleverTap's worker.
	const want = `{"title":"Your cart waits","body":"Two things are in it","icon":"https://acme.example/icon.png","image":"https://acme.example/cart.jpg","tag":"cart",` +
		`"link":"https://acme.example/cart","seen":"https://links.acme.example/o/m1",` +
		`"actions":[{"action":"buy","title":"Buy now","link":"https://acme.example/buy"},{"action":"later","title":"Later"}],"data":{"cart":"17"},` +
		`"notificationOptions":{"body":"Two things are in it","icon":"https://acme.example/icon.png","image":"https://acme.example/cart.jpg","tag":"cart",` +
		`"actions":[{"action":"action1","title":"Buy now","deepLink":"https://acme.example/buy"},{"action":"action2","title":"Later"}],"data":{"cart":"17","wzrk_id":"m1"}},` +
		`"deepLink":"https://acme.example/cart","raiseNotificationViewedPath":"https://links.acme.example/o/m1","redirectPath":"data:,"}`
	if string(plain) != want {
		t.Errorf("%s", plain)
	}
	if k := w.WebPushKey(); k != "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8" {
		t.Errorf("the public key is %s", k)
	}

	plainest := s.to("m2", b)
	plainest.Subject = ""
	if o := send(t, w, plainest)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	p = s.got()[1]
	if p.header.Get("Ttl") != "2419200" || p.header.Get("Urgency") != "normal" || p.header.Get("Topic") != "" {
		t.Errorf("%v", p.header)
	}
	var got payload
	plain, err = b.open(p.body)
	must(t, err)
	must(t, json.Unmarshal(plain, &got))
	if got.Title != "Two things are in it" || got.Body != "" {
		t.Errorf("a notification without a title: %s", plain)
	}
}

func TestTopics(t *testing.T) {
	for _, same := range []string{"cart-17", strings.Repeat("a", 32)} {
		if got := topicOf(same); got != same {
			t.Errorf("%q becomes %q", same, got)
		}
	}
	for _, other := range []string{"the cart", "ünïcode", strings.Repeat("a", 33), "x\r\nAuthorization: nobody"} {
		if got := topicOf(other); !topic.MatchString(got) || topicOf(other) != got || got == topicOf(other+"2") {
			t.Errorf("%q becomes %q", other, got)
		}
	}
}

// What a push may hold, to the byte: first both forms, then one, then nothing.
func TestLengths(t *testing.T) {
	s := newService(t, nil)
	w := configured(t, settingsFor(s, nil))
	b := newBrowser(t)
	last, alone := connector.Accepted, false
	for n := 1500; n < 4200; n++ {
		m := connector.Message{ID: "m", Subject: "T", Text: strings.Repeat("x", n)}
		p, err := payloadOf(&m, "")
		if err == nil && len(p) > maxPlain {
			t.Fatalf("%d bytes", len(p))
		}
		if err == nil && !strings.Contains(string(p), "deepLink") && !strings.Contains(string(p), "redirectPath") {
			alone = true
		} else if err == nil && alone {
			t.Fatalf("%d bytes of text: both forms where a shorter one had one", n)
		}
		if err != nil && last == connector.Accepted {
			over := s.to("over", b)
			over.Subject, over.Text = "T", m.Text
			under := over
			under.Text = over.Text[1:]
			outs := send(t, w, over, under)
			if outs[0].Result != connector.Refused || outs[0].Class != connector.ClassContent || outs[1].Result != connector.Accepted {
				t.Errorf("%+v", outs)
			}
			last = connector.Refused
		}
	}
	if !alone || last != connector.Refused {
		t.Error("the limits were not reached")
	}
}

func TestRefusedBeforeTheService(t *testing.T) {
	s := newService(t, nil)
	w := configured(t, settingsFor(s, nil))
	b := newBrowser(t)
	for name, c := range map[string]struct {
		change func(*connector.Message)
		class  connector.Class
		gone   connector.Gone
	}{
		"another platform":   {func(m *connector.Message) { m.Platform = "fcm" }, connector.ClassConfig, ""},
		"another service":    {func(m *connector.Message) { m.To = "https://push.evil.example/x" }, connector.ClassConfig, ""},
		"another port":       {func(m *connector.Message) { m.To = "https://127.0.0.1:1/x" }, connector.ClassConfig, ""},
		"not https":          {func(m *connector.Message) { m.To = strings.Replace(m.To, "https", "http", 1) }, connector.ClassAddress, connector.GoneInvalid},
		"a user in it":       {func(m *connector.Message) { m.To = strings.Replace(m.To, "//", "//x@", 1) }, connector.ClassAddress, connector.GoneInvalid},
		"no address":         {func(m *connector.Message) { m.To = "" }, connector.ClassAddress, connector.GoneInvalid},
		"no keys":            {func(m *connector.Message) { m.Extra = "" }, connector.ClassAddress, connector.GoneInvalid},
		"silent":             {func(m *connector.Message) { m.Push = &connector.Push{Silent: true} }, connector.ClassContent, ""},
		"expired":            {func(m *connector.Message) { m.Expires = time.Now().Add(-time.Minute) }, connector.ClassOther, ""},
		"more than can be":   {func(m *connector.Message) { m.Text = strings.Repeat("x", 4096) }, connector.ClassContent, ""},
		"quotes double that": {func(m *connector.Message) { m.Text = strings.Repeat(`"`, 2000) }, connector.ClassContent, ""},
	} {
		m := s.to("m", b)
		c.change(&m)
		o := send(t, w, m)[0]
		if o.Result != connector.Refused || o.Class != c.class || o.Gone != c.gone || o.Reason == "" || m.To != "" && strings.Contains(o.Reason, m.To) {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if n := len(s.got()); n > 0 {
		t.Errorf("%d left", n)
	}
}

func TestAnswers(t *testing.T) {
	type answer struct {
		status int
		header [2]string
		body   string
	}
	var now answer
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		if now.header[0] != "" {
			w.Header().Set(now.header[0], now.header[1])
		}
		w.WriteHeader(now.status)
		io.WriteString(w, now.body)
	})
	w := configured(t, settingsFor(s, nil))
	b := newBrowser(t)
	at := time.Now().Truncate(time.Second)
	w.now = func() time.Time { return at }
	date := at.Add(2 * time.Minute).UTC().Format(http.TimeFormat)
	is := func(r connector.Result, c connector.Class, g connector.Gone, after time.Duration, reason string) connector.Outcome {
		return connector.Outcome{ID: "m", Result: r, Class: c, Gone: g, RetryAfter: after, Reason: reason}
	}
	const wait, no = connector.Again, connector.Refused
	for name, c := range map[string]struct {
		answer answer
		want   connector.Outcome
	}{
		"taken":               {answer{201, [2]string{}, ""}, is(connector.Accepted, "", "", 0, "")},
		"taken with an id":    {answer{201, [2]string{"Location", "https://p/1"}, ""}, connector.Outcome{ID: "m", Result: connector.Accepted, ProviderID: "https://p/1"}},
		"no body":             {answer{200, [2]string{}, "<html>"}, is(connector.Accepted, "", "", 0, "")},
		"removed":             {answer{410, [2]string{}, `{"reason":"Unregistered"}`}, is(no, connector.ClassAddress, connector.GoneRemoved, 0, "410 Unregistered")},
		"not there":           {answer{404, [2]string{}, ""}, is(no, connector.ClassAddress, connector.GoneRemoved, 0, "404")},
		"never was":           {answer{404, [2]string{}, `{"code":404,"errno":102,"error":"Not Found"}`}, is(no, connector.ClassAddress, connector.GoneInvalid, 0, "404 errno 102")},
		"Google, another key": {answer{403, [2]string{}, "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n"}, is(no, connector.ClassConfig, "", 0, "403: subscribed with another key")},
		"Mozilla, the same":   {answer{401, [2]string{}, `{"code":401,"errno":109,"error":"Unauthorized","message":"VAPID public key mismatch"}`}, is(no, connector.ClassConfig, "", 0, "401 errno 109: subscribed with another key")},
		"Apple, the same":     {answer{400, [2]string{}, `{"reason":"VapidPkHashMismatch"}`}, is(no, connector.ClassConfig, "", 0, "400 VapidPkHashMismatch: subscribed with another key")},
		"a wrong token":       {answer{403, [2]string{}, `{"reason":"BadJwtToken"}`}, is(wait, connector.ClassConfig, "", 5*time.Minute, "403 BadJwtToken: the key or the subject is not taken")},
		"no token":            {answer{401, [2]string{}, ""}, is(wait, connector.ClassConfig, "", 5*time.Minute, "401: the key or the subject is not taken")},
		"too large":           {answer{413, [2]string{}, ""}, is(no, connector.ClassContent, "", 0, "413")},
		"badly made":          {answer{400, [2]string{}, `{"errno":110}`}, is(no, connector.ClassContent, "", 0, "400 errno 110")},
		"too many":            {answer{429, [2]string{"Retry-After", "90"}, ""}, is(wait, "", "", 90*time.Second, "429")},
		"too many until":      {answer{429, [2]string{"Retry-After", date}, ""}, is(wait, "", "", 2*time.Minute, "429")},
		"too many, for years": {answer{429, [2]string{"Retry-After", "99999999999"}, ""}, is(wait, "", "", 24*time.Hour, "429")},
		"too many, nonsense":  {answer{429, [2]string{"Retry-After", "soon"}, ""}, is(wait, "", "", 30*time.Second, "429")},
		"throttled":           {answer{406, [2]string{}, ""}, is(wait, "", "", 30*time.Second, "406")},
		"broken":              {answer{500, [2]string{}, "do not correspond to the credentials used to create"}, is(wait, "", "", 30*time.Second, "500")},
		"away":                {answer{503, [2]string{"Retry-After", "3600"}, `{"reason":"an address: ana@acme.example"}`}, is(wait, "", "", time.Hour, "503")},
		"elsewhere":           {answer{307, [2]string{"Location", "http://169.254.169.254/"}, ""}, is(wait, "", "", 5*time.Minute, "307: redirects are not followed")},
	} {
		now = c.answer
		if got := send(t, w, s.to("m", b))[0]; got != c.want {
			t.Errorf("%s: %+v, not %+v", name, got, c.want)
		}
	}
}

// A service that loses its connection before it answers, or does not answer
// while there is time, has perhaps taken the message.
func TestLostAnswers(t *testing.T) {
	s := newService(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	w := configured(t, settingsFor(s, nil))
	if o := send(t, w, s.to("m", newBrowser(t)))[0]; o.Result != connector.Unknown {
		t.Errorf("cut: %+v", o)
	}
	ctx, over := context.WithCancel(t.Context())
	s = newService(t, func(_ http.ResponseWriter, r *http.Request) {
		over() // of the time that the batch has
		<-r.Context().Done()
	})
	outs, err := configured(t, settingsFor(s, nil)).Send(ctx, []connector.Message{s.to("m", newBrowser(t))})
	must(t, err)
	if outs[0].Result != connector.Unknown {
		t.Errorf("silent: %+v", outs[0])
	}
}

func TestNobodyThere(t *testing.T) {
	s := newService(t, nil)
	w := configured(t, settingsFor(s, connector.Settings{"services": []string{"127.0.0.1:1"}, "timeout": "1s"}))
	m := s.to("m", newBrowser(t))
	m.To = "https://127.0.0.1:1/x"
	if o := send(t, w, m)[0]; o.Result != connector.Again {
		t.Errorf("%+v", o)
	}
	if err := w.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	// A certificate that nobody vouches for is as if nobody were there.
	stranger := configured(t, settingsFor(s, connector.Settings{"ca": pemOfAnother(t)}))
	if o := send(t, stranger, s.to("m", newBrowser(t)))[0]; o.Result != connector.Again || len(s.got()) != 0 {
		t.Errorf("%+v", o)
	}
}

// pemOfAnother is a certificate that has nothing to do with the service's.
func pemOfAnother(t *testing.T) string {
	t.Helper()
	key, err := readKey(testKey)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

// When the time of a batch is over, what was begun is unknown and the rest comes again.
func TestOutOfTime(t *testing.T) {
	s := newService(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w := configured(t, settingsFor(s, connector.Settings{"requests": 2.0}))
	var batch []connector.Message
	for i := range 10 {
		batch = append(batch, s.to(fmt.Sprint(i), newBrowser(t)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	outs, err := w.Send(ctx, batch)
	must(t, err)
	count := map[connector.Result]int{}
	for _, o := range outs {
		count[o.Result]++
	}
	if n := len(s.got()); count[connector.Unknown] < n || count[connector.Unknown] > 2 || count[connector.Again] != 10-count[connector.Unknown] {
		t.Errorf("%v of %d that arrived", count, n)
	}
}

// Many messages go at once over few connections, each with a key of its own,
// all under one token.
func TestManyAtOnce(t *testing.T) {
	s := newService(t, nil)
	w := configured(t, settingsFor(s, nil))
	b := newBrowser(t)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			var batch []connector.Message
			for j := range 100 {
				batch = append(batch, s.to(fmt.Sprintf("%d-%d", i, j), b))
			}
			for _, o := range send(t, w, batch...) {
				if o.Result != connector.Accepted {
					t.Errorf("%+v", o)
				}
			}
		})
	}
	wg.Wait()
	tokens, senders, paths := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range s.got() {
		tokens[p.header.Get("Authorization")] = true
		senders[string(p.body[:86])] = true
		paths[p.path] = true
		if _, err := b.open(p.body); err != nil {
			t.Error(err)
		}
	}
	if len(tokens) != 1 || len(senders) != 300 || len(paths) != 300 || len(s.conns) > 8 {
		t.Errorf("%d tokens, %d keys, %d messages, %d connections", len(tokens), len(senders), len(paths), len(s.conns))
	}
}

func TestThroughAProxy(t *testing.T) {
	s := newService(t, nil)
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	w := configured(t, settingsFor(s, connector.Settings{"proxy": proxy.URL}))
	if o := send(t, w, s.to("m", newBrowser(t)))[0]; o.Result != connector.Again || len(asked) != 1 || asked[0] != "CONNECT 127.0.0.1:"+s.port {
		t.Errorf("%+v %v", o, asked)
	}
}
