package receipts

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider stands in for a connector and the journal behind it.
type provider struct {
	mu       sync.Mutex
	receipts func(context.Context, connector.Webhook) (connector.Answer, error)
	returned func(context.Context, connector.Mail) ([]connector.Receipt, error)
	collect  func(context.Context, string) ([]connector.Receipt, string, error)
	broken   error // of the journal
	told     []connector.Receipt
}

func (p *provider) Receipts(ctx context.Context, w connector.Webhook) (connector.Answer, error) {
	return p.receipts(ctx, w)
}

func (p *provider) Returned(ctx context.Context, m connector.Mail) ([]connector.Receipt, error) {
	return p.returned(ctx, m)
}

func (p *provider) Collect(ctx context.Context, ack string) ([]connector.Receipt, string, error) {
	return p.collect(ctx, ack)
}

func (p *provider) tell(_ context.Context, rs []connector.Receipt) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return p.broken
	}
	p.told = append(p.told, rs...)
	return nil
}

func (p *provider) heard() []connector.Receipt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

func (p *provider) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

func (p *provider) source() Source {
	return Source{Publisher: "acme", Channel: "sms", Name: "gate", Connector: p, Tell: p.tell}
}

// door is one over a single connector.
func door(p *provider, change ...func(*Source)) (*Door, *health.Board) {
	b := health.NewBoard(time.Now)
	return New(Options{
		Find: func(publisher, name string) (Source, bool) {
			s := p.source()
			for _, f := range change {
				f(&s)
			}
			return s, publisher == "acme" && name == "gate"
		},
		PublicURL: func() string { return "https://engage.acme.example/c" }, Board: b,
	}), b
}

func call(d *Door, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

var delivered = connector.Receipt{MessageID: "m", Kind: connector.Delivered}

func TestWebhook(t *testing.T) {
	var got connector.Webhook
	p := &provider{receipts: func(_ context.Context, w connector.Webhook) (connector.Answer, error) {
		got = w
		return connector.Answer{Receipts: []connector.Receipt{delivered}, Status: 202, Headers: []connector.Header{{Name: "X-Thanks", Value: "yes"}}, Body: []byte("ok")}, nil
	}}
	d, _ := door(p)
	w := call(d, "POST", "/receipts/acme/gate/deep/er?a=%20b&c", "MessageSid=1", "X-Twilio-Signature", "sig", "Cookie", "secret", "Connection", "close")
	if w.Code != 202 || w.Body.String() != "ok" || w.Header().Get("X-Thanks") != "yes" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("answered %d %q %v", w.Code, w.Body, w.Header())
	}
	if got.Method != "POST" || got.URL != "https://engage.acme.example/c/receipts/acme/gate/deep/er?a=%20b&c" || string(got.Body) != "MessageSid=1" {
		t.Errorf("the connector got %+v", got)
	}
	if !slices.Equal(got.Headers, []connector.Header{{Name: "X-Twilio-Signature", Value: "sig"}}) {
		t.Errorf("the connector got headers %v", got.Headers)
	}
	if told := p.heard(); len(told) != 1 || told[0] != delivered {
		t.Errorf("told %v", told)
	}
	if s := d.Stats("acme", "sms", "gate"); s.Taken != 1 || s.Receipts != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestWebhookRefused(t *testing.T) {
	full := func(n int) string { return strings.Repeat("x", n) }
	says := func(a connector.Answer, err error) func(context.Context, connector.Webhook) (connector.Answer, error) {
		return func(context.Context, connector.Webhook) (connector.Answer, error) { return a, err }
	}
	one := connector.Answer{Receipts: []connector.Receipt{delivered}}
	for _, c := range []struct {
		name, method, path, body string
		p                        *provider
		away                     bool
		status                   int
		told                     int
	}{
		{"nobody", "POST", "/receipts/", "", &provider{receipts: says(one, nil)}, false, 404, 0},
		{"no connector", "POST", "/receipts/acme", "", &provider{receipts: says(one, nil)}, false, 404, 0},
		{"another publisher", "POST", "/receipts/other/gate", "", &provider{receipts: says(one, nil)}, false, 404, 0},
		{"another connector", "POST", "/receipts/acme/gateway", "", &provider{receipts: says(one, nil)}, false, 404, 0},
		{"method", "DELETE", "/receipts/acme/gate", "", &provider{receipts: says(one, nil)}, false, 405, 0},
		{"a challenge by GET", "GET", "/receipts/acme/gate?hub.challenge=1", "", &provider{receipts: says(connector.Answer{Body: []byte("1")}, nil)}, false, 200, 0},
		{"the largest body", "POST", "/receipts/acme/gate", full(maxBody), &provider{receipts: says(one, nil)}, false, 200, 1},
		{"a larger body", "POST", "/receipts/acme/gate", full(maxBody + 1), &provider{receipts: says(one, nil)}, false, 413, 0},
		{"forged", "POST", "/receipts/acme/gate", "", &provider{receipts: says(one, connector.ErrForged)}, false, 403, 0},
		{"no webhook", "POST", "/receipts/acme/gate", "", &provider{receipts: says(one, ErrUnsupported)}, false, 404, 0},
		{"connector away", "POST", "/receipts/acme/gate", "", &provider{receipts: says(one, errors.New("not running"))}, false, 503, 0},
		{"journal away", "POST", "/receipts/acme/gate", "", &provider{receipts: says(one, nil), broken: errors.New("full")}, false, 503, 0},
		{"publisher away", "POST", "/receipts/acme/gate", "", &provider{receipts: says(one, nil)}, true, 503, 0},
		{"no status", "POST", "/receipts/acme/gate", "", &provider{receipts: says(connector.Answer{Status: 99}, nil)}, false, 200, 0},
		{"connector refuses", "POST", "/receipts/acme/gate", "", &provider{receipts: says(connector.Answer{Status: 400}, nil)}, false, 400, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := door(c.p, func(s *Source) {
				if c.away {
					s.Tell = nil
				}
			})
			w := call(d, c.method, c.path, c.body)
			if w.Code != c.status || len(c.p.heard()) != c.told {
				t.Errorf("%d with %d told, want %d with %d", w.Code, len(c.p.heard()), c.status, c.told)
			}
			if (c.status == 503) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
			if c.body != "" && strings.Contains(w.Body.String(), "xx") {
				t.Error("the body is echoed")
			}
		})
	}
}

// TestBusy: one connector's place is bounded, and what does not fit comes again.
func TestBusy(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	p := &provider{receipts: func(context.Context, connector.Webhook) (connector.Answer, error) {
		in <- struct{}{}
		<-out
		return connector.Answer{}, nil
	}}
	d, _ := door(p)
	var wg sync.WaitGroup
	for range eachAtOnce {
		wg.Go(func() { call(d, "POST", "/receipts/acme/gate", "") })
	}
	for range eachAtOnce {
		<-in
	}
	if w := call(d, "POST", "/receipts/acme/gate", ""); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d past the bound", w.Code)
	}
	close(out)
	wg.Wait()
	if s := d.Stats("acme", "sms", "gate"); s.Taken != eachAtOnce || s.Limited != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestRate(t *testing.T) {
	p := &provider{receipts: func(context.Context, connector.Webhook) (connector.Answer, error) { return connector.Answer{}, nil }}
	now := time.Unix(1_000_000, 0)
	d, _ := door(p)
	d.o.Now = func() time.Time { return now }
	for range 2 * eachRate {
		if w := call(d, "POST", "/receipts/acme/gate", ""); w.Code != 200 {
			t.Fatalf("answered %d within the rate", w.Code)
		}
	}
	if w := call(d, "POST", "/receipts/acme/gate", ""); w.Code != 503 {
		t.Errorf("answered %d past the rate", w.Code)
	}
	now = now.Add(time.Second)
	if w := call(d, "POST", "/receipts/acme/gate", ""); w.Code != 200 {
		t.Errorf("answered %d a second later", w.Code)
	}
}

// TestForgedInARow: a wrong secret is a problem on the board, and ends with the
// first request that is genuine.
func TestForgedInARow(t *testing.T) {
	var err error = connector.ErrForged
	p := &provider{receipts: func(context.Context, connector.Webhook) (connector.Answer, error) { return connector.Answer{}, err }}
	d, b := door(p)
	for i := range forgedInARow {
		if n := len(b.Problems()); n != 0 {
			t.Fatalf("%d problems after %d forged requests", n, i)
		}
		if w := call(d, "POST", "/receipts/acme/gate", ""); w.Code != 403 {
			t.Fatalf("answered %d", w.Code)
		}
	}
	if ps := b.Problems(); len(ps) != 1 || ps[0].Code != problemForged {
		t.Fatalf("problems %v", ps)
	}
	err = nil
	call(d, "POST", "/receipts/acme/gate", "")
	if ps := b.Problems(); len(ps) != 0 {
		t.Errorf("problems %v", ps)
	}
}

// TestServed goes through a real server, whose connections have deadlines.
func TestServed(t *testing.T) {
	p := &provider{receipts: func(_ context.Context, w connector.Webhook) (connector.Answer, error) {
		return connector.Answer{Body: []byte(w.URL)}, nil
	}}
	d, _ := door(p)
	s := httptest.NewServer(d)
	defer s.Close()
	r, err := s.Client().Post(s.URL+"/receipts/acme/gate?x=1", "text/plain", strings.NewReader("b"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || string(body) != "https://engage.acme.example/c/receipts/acme/gate?x=1" {
		t.Errorf("%d %q %v", r.StatusCode, body, err)
	}
	s.Client().CloseIdleConnections()
}
