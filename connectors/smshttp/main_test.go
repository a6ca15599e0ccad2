package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the connector too, when it is started as one.
func TestMain(m *testing.M) { testprogram.Main(m, main) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asked is a request that a provider got.
type asked struct {
	method, uri string
	header      http.Header
	body        string
	form, query url.Values
}

// provider is one, of any kind.
type provider struct {
	*httptest.Server
	mu  sync.Mutex
	got []asked
}

func newProvider(t testing.TB, answer http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading a request: %v", err)
		}
		a := asked{method: r.Method, uri: r.RequestURI, header: r.Header, body: string(body), query: r.URL.Query()}
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
			if a.form, err = url.ParseQuery(a.body); err != nil {
				t.Errorf("a form: %v", err)
			}
		}
		p.mu.Lock()
		p.got = append(p.got, a)
		p.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) all() []asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]asked(nil), p.got...)
}

func (p *provider) one(t testing.TB) asked {
	t.Helper()
	all := p.all()
	if len(all) != 1 {
		t.Fatalf("%d requests", len(all))
	}
	return all[0]
}

// generic are settings for a provider of the simplest kind.
func generic(url string, more connector.Settings) connector.Settings {
	out := connector.Settings{
		"sender": "ACME", "window": 10.0, "timeout": "10s",
		"request":  connector.Settings{"url": url + "/send", "method": "POST", "json": `{"to":"{to}","text":"{text}"}`},
		"response": connector.Settings{"id": "id"},
	}
	maps.Copy(out, more)
	return out
}

func asking(url string, more connector.Settings) connector.Settings {
	out := connector.Settings{"url": url + "/send", "method": "POST"}
	maps.Copy(out, more)
	return connector.Settings{"request": out}
}

func configured(t testing.TB, set connector.Settings) *smshttp {
	t.Helper()
	s := &smshttp{}
	problems, err := s.Configure(t.Context(), set)
	must(t, err)
	for _, p := range problems {
		if p.Severity == connector.SeverityError {
			t.Fatal(p)
		}
	}
	t.Cleanup(func() { s.Drain(context.Background()) })
	return s
}

func sms(id string) connector.Message {
	return connector.Message{ID: id, Channel: "sms", To: "+4915112345678", Text: "Hello", Marketing: true}
}

func send(t testing.TB, s *smshttp, batch ...connector.Message) []connector.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	outs, err := s.Send(ctx, batch)
	if err != nil || len(outs) != len(batch) {
		t.Fatal(len(outs), err)
	}
	for i, o := range outs {
		if o.ID != batch[i].ID {
			t.Fatalf("outcome %d is of %q", i, o.ID)
		}
		if digits := strings.TrimPrefix(batch[i].To, "+"); len(digits) > 6 && strings.Contains(o.Reason, digits) {
			t.Fatalf("the reason names the person: %s", o.Reason)
		}
	}
	return outs
}

// twilioAPI answers as https://www.twilio.com/docs/messaging/api/message-resource
// says that Twilio does; errors are by number.
type twilioAPI struct {
	*provider
	account, user, password string
}

const (
	testAccount = "AC0123456789abcdef0123456789abcdef"
	testToken   = "12345"
)

func newTwilio(t testing.TB, errors map[string]int) *twilioAPI {
	t.Helper()
	api := &twilioAPI{account: testAccount, user: testAccount, password: testToken}
	n := 0
	api.provider = newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fail := func(status, code int, message string) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"code": %d, "message": %q, "more_info": "https://www.twilio.com/docs/errors/%d", "status": %d}`, code, message, code, status)
		}
		user, password, _ := r.BasicAuth()
		if user != api.user || password != api.password {
			fail(401, 20003, "Authenticate")
			return
		}
		if r.URL.Path != "/2010-04-01/Accounts/"+api.account+"/Messages.json" {
			fail(404, 20404, "The requested resource "+r.URL.Path+" was not found")
			return
		}
		if r.Method == "GET" {
			io.WriteString(w, `{"messages": [], "page": 0, "page_size": 1}`)
			return
		}
		all := api.all()
		f := all[len(all)-1].form
		to, from, service := f.Get("To"), f.Get("From"), f.Get("MessagingServiceSid")
		switch code := errors[to]; {
		case code == 20429:
			fail(429, code, "Too Many Requests")
		case code != 0:
			fail(400, code, "about "+to)
		case from == "" && service == "":
			fail(400, 21603, "A 'From' phone number is required.")
		case f.Get("Body") == "":
			fail(400, 21602, "Message body is required.")
		default:
			n++
			w.WriteHeader(http.StatusCreated)
			json.NewEncoder(w).Encode(map[string]any{
				"sid": fmt.Sprintf("SM%032x", n), "status": "queued", "error_code": nil, "error_message": nil, "num_segments": "1",
				"account_sid": api.account, "to": to, "from": from, "body": f.Get("Body"), "date_sent": nil, "price": nil,
			})
		}
	})
	return api
}

func (api *twilioAPI) settings(more connector.Settings) connector.Settings {
	block := connector.Settings{"account": testAccount, "token": testToken, "url": api.URL}
	maps.Copy(block, more)
	return connector.Settings{"sender": "+15005550006", "window": 1.0, "timeout": "10s", "twilio": block}
}

// call is a webhook with a form.
func call(url string, form url.Values, headers ...string) connector.Webhook {
	w := connector.Webhook{Method: "POST", URL: url, Body: []byte(form.Encode()), Headers: []connector.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}}
	for i := 0; i < len(headers); i += 2 {
		w.Headers = append(w.Headers, connector.Header{Name: headers[i], Value: headers[i+1]})
	}
	return w
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
