package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/calls"
	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestConformance(t *testing.T) {
	p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"id":"x1"}`) })
	with := func(block string, more connector.Settings) connector.Settings {
		out := generic(p.URL, nil)
		b := connector.Settings{}
		maps.Copy(b, out.Block(block))
		maps.Copy(b, more)
		out[block] = b
		return out
	}
	secret := strings.Repeat("s", 16)
	callbacks := connector.Settings{"secret": secret, "id": "id", "status": "status"}
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "smshttp"), Settings: with("callbacks", callbacks), Reachable: true,
		Wrong: []connector.Settings{
			generic(p.URL, connector.Settings{"timeout": "60s"}),
			generic(p.URL, connector.Settings{"stop_words": []string{"..."}}),
			generic(p.URL, connector.Settings{"proxy": "proxy:3128"}),
			generic(p.URL, connector.Settings{"ca": "x"}),
			generic(p.URL, connector.Settings{"twilio": connector.Settings{"account": testAccount, "token": testToken}}),
			with("request", connector.Settings{"url": "api.provider.example"}),
			with("request", connector.Settings{"url": "https://{to}.provider.example/{text}"}),
			with("request", connector.Settings{"json": `{"to":"{to}","text":"{txt}"}`}),
			with("request", connector.Settings{"json": `{"to":"{to}","text":{text}}`}),
			with("request", connector.Settings{"json": `{"to":"{to}","text":"{text}"} and more`}),
			with("request", connector.Settings{"json": `{"to":"{to}"}`}),
			with("request", connector.Settings{"method": "GET"}),
			with("request", connector.Settings{"form": map[string]string{"to": "{to}"}}),
			with("request", connector.Settings{"headers": map[string]string{"Host": "x"}}),
			with("request", connector.Settings{"headers": map[string]string{"X Y": "x"}}),
			with("request", connector.Settings{"headers": map[string]string{"X": "a\r\nb: c"}}),
			with("request", connector.Settings{"user": "x"}),
			with("request", connector.Settings{"password": "x"}),
			with("request", connector.Settings{"headers": map[string]string{"X": "{password}"}}),
			with("request", connector.Settings{"headers": map[string]string{"X": "{user}"}, "password": "x"}),
			with("request", connector.Settings{"check": "ftp://x"}),
			with("response", connector.Settings{"values": map[string]string{"0": "accepted"}}),
			with("response", connector.Settings{"status": "s", "values": map[string]string{"0": "ok"}}),
			with("response", connector.Settings{"http": map[string]string{"4xx": "other"}}),
			with("response", connector.Settings{"pattern": "("}),
			with("response", connector.Settings{"pattern": "OK"}),
			with("callbacks", connector.Settings{"secret": secret, "status": "status"}),
			with("callbacks", connector.Settings{"secret": secret}),
			with("callbacks", connector.Settings{"secret": secret, "from": "from"}),
			with("callbacks", connector.Settings{"secret": secret + "/", "auth": "path", "from": "from", "text": "text"}),
			with("callbacks", connector.Settings{"secret": secret, "id": "id", "status": "s", "values": map[string]string{"1": "accepted"}}),
		},
	})
}

func TestConformanceTwilio(t *testing.T) {
	api := newTwilio(t, nil)
	with := func(more connector.Settings) connector.Settings { return api.settings(more) }
	noSender := with(nil)
	delete(noSender, "sender")
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "smshttp"), Settings: with(nil), Reachable: true,
		Wrong: []connector.Settings{
			noSender,
			with(connector.Settings{"callback": "engage.acme.example"}),
			with(connector.Settings{"key": "SK0123456789abcdef0123456789abcdef"}), with(connector.Settings{"errors": map[string]string{"1": "gone"}}),
			with(connector.Settings{"url": "api.twilio.com"}),
		},
	})
}

// Nobody is at the other end.
func TestUnreachable(t *testing.T) {
	conformance.Test(t, conformance.Target{Path: testprogram.Install(t, "smshttp"), Settings: generic("http://127.0.0.1:1", nil)})
}

// Texts that look like what stands around them.
var hostile = []string{
	"Hello", "a\"b", `a\"b\`, `","to":"+49000000000`, "a&to=+49000000000&b=", "a=b;c", "100% {to} {id} ${x} %{y}", "<b>&amp;</b>", "line\nline\r\n\r\nline", "../../x?y#z",
	"Ünïcödé 你好 😀", "\u2028", "+1 2", "%00%0a", "{\"a\":1}", "' OR 1=1 --", "$(reboot)",
}

// Whatever a message holds arrives as it is, where it was put, and nowhere else.
func TestNothingIsInjected(t *testing.T) {
	p := newProvider(t, nil)
	for name, set := range map[string]connector.Settings{
		"json":  {"json": `{"messages":[{"to":["{to}"],"text":"{text}","ref":"<{id}>","n":12345678901234567890}],"from":"{sender}","template":"{template}"}`},
		"form":  {"form": map[string]string{"to": "{to}", "text": "{text}", "from": "{sender}", "template": "{template}"}},
		"query": {"method": "GET", "url": p.URL + "/send?to={to}&text={text}&from={sender}&template={template}&flag=1"},
		"path":  {"url": p.URL + "/send/{to}/{text}/end"},
	} {
		t.Run(name, func(t *testing.T) {
			s := configured(t, asking(p.URL, set))
			for _, text := range hostile {
				m := sms("id1")
				m.Text, m.Sender = text, "ACME & Söhne"
				p.mu.Lock()
				p.got = nil
				p.mu.Unlock()
				if o := send(t, s, m)[0]; o.Result != connector.Accepted {
					t.Fatalf("%q: %+v", text, o)
				}
				a := p.one(t)
				switch name {
				case "json":
					var got, want any
					must(t, json.Unmarshal([]byte(a.body), &got))
					quoted, _ := json.Marshal(text)
					must(t, json.Unmarshal(fmt.Appendf(nil, `{"messages":[{"to":["+4915112345678"],"text":%s,"ref":"<id1>","n":12345678901234567890}],"from":"ACME & Söhne"}`, quoted), &want))
					if fmt.Sprint(got) != fmt.Sprint(want) || !strings.Contains(a.body, "12345678901234567890") || !strings.Contains(a.body, "<id1>") {
						t.Errorf("%q arrives as %s", text, a.body)
					}
				case "form", "query":
					got := a.form
					want := url.Values{"to": {"+4915112345678"}, "text": {text}, "from": {"ACME & Söhne"}}
					if name == "query" {
						got = a.query
						want["flag"] = []string{"1"}
					}
					if !maps.EqualFunc(got, want, slices.Equal) {
						t.Errorf("%q arrives as %v", text, got)
					}
				case "path":
					parts := strings.Split(a.uri, "/")
					if got, err := url.PathUnescape(parts[3]); len(parts) != 5 || err != nil || got != text {
						t.Errorf("%q arrives as %s", text, a.uri)
					}
				}
			}
		})
	}
}

func FuzzFill(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseTarget("https://api.example/a/{text}/b?x={text}&y=1")
		must(t, err)
		doc, err := parseJSON(`{"a":["{text}"],"b":"<{text}>"}`)
		must(t, err)
		fields, err := parseFields(map[string]string{"a": "{text}", "b": "1"})
		must(t, err)
		r := request{method: "POST", url: u, json: doc, headers: fields}
		out, err := r.fill(values{"text": s})
		if err != nil {
			return
		}
		at, err := url.Parse(out.url)
		if err != nil || at.Host != "api.example" || strings.Count(at.EscapedPath(), "/") != 3 || at.Query().Get("x") != s || at.Query().Get("y") != "1" {
			t.Fatalf("%q makes the URL %s, %v", s, out.url, err)
		}
		var got map[string]any
		must(t, json.Unmarshal(out.body, &got))
		valid := strings.ToValidUTF8(s, "\ufffd")
		if s == valid && (len(got) != 2 || got["a"].([]any)[0] != s || got["b"] != "<"+s+">") {
			t.Fatalf("%q makes %s", s, out.body)
		}
		if v := out.header.Get("a"); strings.ContainsAny(v, "\r\n\x00") {
			t.Fatalf("a header of %q", v)
		}
		r = request{method: "POST", url: u, form: fields}
		if out, err = r.fill(values{"text": s}); err != nil {
			t.Fatal(err)
		}
		form, err := url.ParseQuery(string(out.body))
		if want := len(fields) - map[bool]int{true: 1}[s == ""]; err != nil || len(form) != want || form.Get("a") != s || form.Get("b") != "1" {
			t.Fatalf("%q makes the form %s", s, out.body)
		}
	})
}

// The rest of a request: headers, Basic, ids, and what has no value.
func TestRequest(t *testing.T) {
	p := newProvider(t, nil)
	s := configured(t, asking(p.URL, connector.Settings{
		"method": "PUT", "user": "acme", "password": "s3cret", "url": p.URL + "/send?key=1",
		"headers": map[string]string{"X-Api-Key": "k", "Idempotency-Key": "{id}", "X-Template": "{template}", "Content-Type": "application/vnd.acme+json"},
		"json":    `{"to":"{digits}","text":"{text}","ttl":"{ttl}","template":"{template}"}`,
	}))
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	s.now = func() time.Time { return now }
	m := sms("abc")
	m.Expires = now.Add(90 * time.Minute)
	if o := send(t, s, m)[0]; o.Result != connector.Accepted || o.ProviderID != "" {
		t.Fatalf("%+v", o)
	}
	a := p.one(t)
	r := http.Request{Header: a.header}
	user, password, _ := r.BasicAuth()
	if a.method != "PUT" || a.uri != "/send?key=1" || user != "acme" || password != "s3cret" || a.header.Get("Idempotency-Key") != "abc" || a.header.Get("X-Api-Key") != "k" ||
		a.header.Get("Content-Type") != "application/vnd.acme+json" || a.header["X-Template"] != nil || a.body != `{"text":"Hello","to":"4915112345678","ttl":"5400"}` {
		t.Errorf("%+v", a)
	}
}

// What proves who we are goes where the provider wants it, escaped like all else.
func TestSecrets(t *testing.T) {
	p := newProvider(t, nil)
	s := configured(t, asking(p.URL, connector.Settings{
		"user": "a&b", "password": `p"w=1`, "url": p.URL + "/send?user={user}&pass={password}", "headers": map[string]string{"Authorization": "Key {password}"},
		"json": `{"to":"{to}","text":"{text}","auth":{"user":"{user}","password":"{password}"}}`,
	}))
	m := sms("1")
	m.Text = "{password}" // is a text like any other
	if o := send(t, s, m)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	if a := p.one(t); a.header.Get("Authorization") != `Key p"w=1` || a.query.Get("user") != "a&b" || a.query.Get("pass") != `p"w=1` ||
		a.body != `{"auth":{"password":"p\"w=1","user":"a&b"},"text":"{password}","to":"+4915112345678"}` {
		t.Errorf("%+v", a)
	}
}

// What can never be sent is refused before anything leaves.
func TestRefusedHere(t *testing.T) {
	p := newProvider(t, nil)
	s := configured(t, asking(p.URL, connector.Settings{
		"headers": map[string]string{"X-Text": "{text}"}, "url": p.URL + "/{sender}/x", "form": map[string]string{"to": "{to}"},
	}))
	change := func(f func(*connector.Message)) connector.Message {
		m := sms("x")
		m.Sender = "A"
		f(&m)
		return m
	}
	for want, m := range map[connector.Class][]connector.Message{
		connector.ClassConfig:  {change(func(m *connector.Message) { m.Channel = "email" })},
		connector.ClassAddress: {change(func(m *connector.Message) { m.To = "015112345678" }), change(func(m *connector.Message) { m.To = "+49151\r\nX: y" })},
		connector.ClassContent: {
			change(func(m *connector.Message) { m.Text = "" }), change(func(m *connector.Message) { m.Text = "a\x00b" }),
			change(func(m *connector.Message) { m.Text = "a\r\nX: y" }), // into a header
			change(func(m *connector.Message) { m.Sender = "a\r\nb" }), change(func(m *connector.Message) { m.Sender = ".." }),
		},
		connector.ClassOther: {change(func(m *connector.Message) { m.Expires = time.Now().Add(-time.Second) })},
	} {
		for _, o := range send(t, s, m...) {
			if o.Result != connector.Refused || o.Class != want {
				t.Errorf("%+v, want %s", o, want)
			}
		}
	}
	if n := len(p.all()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A request is made once, whatever happens to its connection, and whatever
// net/http would do by itself.
func TestNeverTwice(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PUT"} {
		t.Run(method, func(t *testing.T) {
			var n atomic.Int64
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				if n.Add(1) > 1 { // the second has the connection of the first
					conn, _, err := w.(http.Hijacker).Hijack()
					if err == nil {
						conn.Close()
					}
				}
			}))
			t.Cleanup(h.Close)
			s := configured(t, asking(h.URL, connector.Settings{"method": method, "url": h.URL + "/send?to={to}&text={text}", "headers": map[string]string{"Idempotency-Key": "{id}"}}))
			if o := send(t, s, sms("1"))[0]; o.Result != connector.Accepted {
				t.Fatalf("%+v", o)
			}
			if o := send(t, s, sms("2"))[0]; o.Result != connector.Unknown {
				t.Errorf("%+v", o)
			}
			if got := n.Load(); got != 2 {
				t.Errorf("%d requests for 2 messages", got)
			}
		})
	}
}

// A message with a body is not sent twice over HTTP/2 either, and redirects are
// not followed.
func TestHTTP2(t *testing.T) {
	var mu sync.Mutex
	protos := map[string]int{}
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		protos[r.Proto]++
		mu.Unlock()
		switch {
		case strings.Contains(string(body), "away"):
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case strings.Contains(string(body), "reset"):
			panic(http.ErrAbortHandler)
		}
	}))
	h.EnableHTTP2 = true
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	set := asking(h.URL, connector.Settings{"form": map[string]string{"to": "{to}", "text": "{text}"}})
	set["ca"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}))
	s := configured(t, set)
	must(t, s.Check(t.Context()))
	for text, want := range map[string]connector.Result{"Hello": connector.Accepted, "reset": connector.Unknown, "away": connector.Again} {
		m := sms("1")
		m.Text = text
		if o := send(t, s, m)[0]; o.Result != want || want == connector.Again && o.Class != connector.ClassConfig {
			t.Errorf("%s: %+v", text, o)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(protos) != 1 || protos["HTTP/2.0"] != 3 {
		t.Errorf("%v", protos)
	}
	delete(set, "ca")
	if err := configured(t, set).Check(t.Context()); err == nil {
		t.Error("a stranger's certificate is good")
	}
}

func TestProxy(t *testing.T) {
	var through atomic.Int64
	p := newProvider(t, nil)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if r.Header.Get("Proxy-Authorization") == "" || r.URL.Host == "" {
			http.Error(w, "who?", http.StatusProxyAuthRequired)
			return
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
		must(t, err)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(out)
		must(t, err)
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	}))
	t.Cleanup(proxy.Close)
	set := asking(p.URL, connector.Settings{"form": map[string]string{"to": "{to}", "text": "{text}"}})
	set["proxy"] = strings.Replace(proxy.URL, "http://", "http://a:b@", 1)
	s := configured(t, set)
	must(t, s.Check(t.Context()))
	if o := send(t, s, sms("1"))[0]; o.Result != connector.Accepted || through.Load() != 1 || len(p.all()) != 1 {
		t.Errorf("%+v, %d", o, through.Load())
	}
}

// A batch whose time is over while the provider is silent leaves one message
// unknown; what was not begun comes again.
func TestSilent(t *testing.T) {
	ctx, over := context.WithCancel(t.Context())
	p := newProvider(t, func(_ http.ResponseWriter, r *http.Request) {
		over()
		<-r.Context().Done()
	})
	s := configured(t, generic(p.URL, connector.Settings{"window": 1.0}))
	outs, err := s.Send(ctx, []connector.Message{sms("1"), sms("2"), sms("3")})
	must(t, err)
	if outs[0].Result != connector.Unknown || outs[1].Result != connector.Again || outs[2].Result != connector.Again {
		t.Errorf("%+v", outs)
	}
	// Nothing is begun that could not be ended.
	end, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	outs, err = s.Send(end, []connector.Message{sms("4")})
	must(t, err)
	if outs[0].Result != connector.Again || len(p.all()) != 1 {
		t.Errorf("%+v", outs)
	}
}

// Once a provider does not let us in it is not asked for each message.
func TestStops(t *testing.T) {
	p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	s := configured(t, generic(p.URL, connector.Settings{"window": 2.0}))
	var batch []connector.Message
	for i := range 50 {
		batch = append(batch, sms(fmt.Sprint(i)))
	}
	for _, o := range send(t, s, batch...) {
		if o.Result != connector.Again || o.Class != connector.ClassConfig {
			t.Fatalf("%+v", o)
		}
	}
	if n := len(p.all()); n > 4 {
		t.Errorf("asked %d times", n)
	}
}

func TestWindow(t *testing.T) {
	var now, most atomic.Int64
	p := newProvider(t, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		now.Add(-1)
	})
	s := configured(t, asking(p.URL, connector.Settings{"form": map[string]string{"to": "{to}", "text": "{text}"}}))
	s.slots = calls.NewSlots(3)
	var wg sync.WaitGroup
	for b := range 4 {
		wg.Go(func() {
			var batch []connector.Message
			for i := range 25 {
				batch = append(batch, sms(fmt.Sprint(b, "-", i)))
			}
			for _, o := range send(t, s, batch...) {
				if o.Result != connector.Accepted {
					t.Errorf("%+v", o)
				}
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || len(p.all()) != 100 {
		t.Errorf("%d at once, %d in all", most.Load(), len(p.all()))
	}
}

// A check of the generic form asks for what the settings name, with their headers.
func TestCheck(t *testing.T) {
	status := atomic.Int64{}
	status.Store(200)
	p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	s := configured(t, asking(p.URL, connector.Settings{"check": p.URL + "/account", "headers": map[string]string{"X-Api-Key": "k", "X-Id": "{id}"}, "form": map[string]string{"to": "{to}", "text": "{text}"}}))
	must(t, s.Check(t.Context()))
	if a := p.one(t); a.method != "GET" || a.uri != "/account" || a.header.Get("X-Api-Key") != "k" || a.body != "" || a.header.Get("Content-Type") != "" {
		t.Errorf("%+v", a)
	}
	status.Store(403)
	if err := s.Check(t.Context()); err == nil {
		t.Error("a refusal is well")
	}
	p.Close()
	if err := s.Check(t.Context()); err == nil {
		t.Error("nobody is there, and it is well")
	}
}

// In the clear is said.
func TestClear(t *testing.T) {
	s := &smshttp{}
	problems, err := s.Configure(t.Context(), generic("http://gateway.example", nil))
	must(t, err)
	if len(problems) != 1 || problems[0].Severity != connector.SeverityWarning {
		t.Errorf("%+v", problems)
	}
}
