package links

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acme is a publisher on a real keyring, with one message of each kind.
type acme struct {
	*keyring.Publisher
	name string

	mu       sync.Mutex
	facts    []event.Fact
	allowed  map[string]bool // purpose channel
	fails    int             // so many appends fail
	failing  error
	behind   bool // CaughtUp does not come back
	messages map[string]delivery.Message
	gone     map[string]bool
	broken   error // Message fails
}

func newAcme(t *testing.T, name string) *acme {
	ring, err := keyring.Open(t.TempDir(), make([]byte, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	keys, err := ring.Publisher(name)
	if err != nil {
		t.Fatal(err)
	}
	return &acme{Publisher: keys, name: name, failing: journal.ErrOverloaded, allowed: map[string]bool{"offers email": true, "news email": true}, gone: map[string]bool{}, messages: map[string]delivery.Message{
		mail: {ID: mail, Campaign: "cart", Variant: "a", Person: 7, Purpose: "offers", Channel: "email", Targets: []string{"https://shop.example/cart?user=ann%40example.com#top", "https://shop.example/", "javascript:alert(1)"}},
		bill: {ID: bill, Campaign: "bill", Person: 7, Purpose: "service", Channel: "email"},
	}}
}

const (
	mail = "00112233445566778899aabbccddeeff"
	bill = "ffeeddccbbaa99887766554433221100"
)

func (a *acme) Name() string  { return a.name }
func (a *acme) Title() string { return `Acme <Bank>` }
func (a *acme) Purposes() []Purpose {
	return []Purpose{
		{Name: "offers", Title: "Offers & deals", Channels: []string{"email", "sms"}},
		{Name: "news", Channels: []string{"email"}},
		{Name: "service", Title: "Your account", Contract: true, Channels: []string{"email"}},
	}
}

func (a *acme) Message(id string) (delivery.Message, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch m, ok := a.messages[id]; {
	case a.broken != nil:
		return delivery.Message{}, a.broken
	case a.gone[id]:
		return delivery.Message{}, fmt.Errorf("message: %w", delivery.ErrGone)
	case !ok:
		return delivery.Message{}, fmt.Errorf("message: %w", delivery.ErrUnknown)
	default:
		return m, nil
	}
}

func (a *acme) Allowed(person uint32, purpose, channel string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return person == 7 && a.allowed[purpose+" "+channel]
}

func (a *acme) Append(ctx context.Context, facts []event.Fact) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fails > 0 {
		a.fails--
		return a.failing
	}
	a.facts = append(a.facts, facts...)
	return nil
}

func (a *acme) CaughtUp(ctx context.Context) error {
	a.mu.Lock()
	behind := a.behind
	a.mu.Unlock()
	if !behind {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (a *acme) take() []event.Fact {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.facts
	a.facts = nil
	return out
}

type fixture struct {
	t    *testing.T
	acme *acme
	at   *Addresses
	door *Door
	now  time.Time
	wait []time.Duration
}

func setUp(t *testing.T) *fixture {
	f := &fixture{t: t, acme: newAcme(t, "acme"), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if f.at, err = NewAddresses("https://engage.example/", "acme", f.acme); err != nil {
		t.Fatal(err)
	}
	f.door = New(Options{
		Publisher: func(name string) (Publisher, bool) { return f.acme, name == f.acme.name },
		Now:       func() time.Time { return f.now },
		Timer: func(d time.Duration) (<-chan time.Time, func()) {
			f.wait = append(f.wait, d)
			c := make(chan time.Time, 1)
			c <- time.Time{}
			return c, func() {}
		},
	})
	return f
}

func (f *fixture) do(method, address string, body io.Reader, header ...string) *http.Response {
	f.t.Helper()
	r := httptest.NewRequest(method, address, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.door.ServeHTTP(w, r)
	return w.Result()
}

func (f *fixture) get(address string) *http.Response { return f.do("GET", address, nil) }

func (f *fixture) post(address string, form url.Values) *http.Response {
	return f.do("POST", address, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenAndClick(t *testing.T) {
	f := setUp(t)
	r := f.get(f.at.Open(mail))
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "image/gif" || r.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(text(t, r), "GIF89a") {
		t.Errorf("open answers %v", r)
	}
	r = f.get(f.at.Click(mail, 0))
	if r.StatusCode != 302 || r.Header.Get("Location") != "https://shop.example/cart?user=ann%40example.com#top" || r.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("click answers %v", r)
	}
	facts := f.acme.take()
	if len(facts) != 2 {
		t.Fatalf("%d facts", len(facts))
	}
	for i, want := range []string{event.NotificationViewed, event.NotificationClicked} {
		x := facts[i]
		if x.Name != want || x.Kind != event.Track || x.Person != 7 || x.Ref != mail || x.Time != f.now.UnixMicro() || !strings.HasPrefix(x.ID, "own:") {
			t.Errorf("%+v", x)
		}
		for key, v := range map[string]string{"campaign": "cart", "message": mail, "channel": "email", "variant": "a", "purpose": "offers"} {
			if got := event.Lookup(x.Props, key).Text(); got != v {
				t.Errorf("%s is %q", key, got)
			}
		}
		if err := event.Check(&x, event.DefaultLimits()); err != nil {
			t.Error(err)
		}
	}
	if got := event.Lookup(facts[1].Props, "url").Text(); got != "https://shop.example/cart" {
		t.Errorf("the fact says %q: it must not name the recipient", got)
	}
}

func TestRepeats(t *testing.T) {
	f := setUp(t)
	for range 20 {
		f.get(f.at.Open(mail))
		f.get(f.at.Click(mail, 0))
	}
	f.get(f.at.Click(mail, 1))
	if got := len(f.acme.take()); got != 3 {
		t.Errorf("%d facts of a burst", got)
	}
	f.now = f.now.Add(59 * time.Second)
	f.get(f.at.Click(mail, 0))
	if got := len(f.acme.take()); got != 0 {
		t.Errorf("%d facts within the minute", got)
	}
	f.now = f.now.Add(2 * time.Second)
	f.get(f.at.Click(mail, 0))
	if got := len(f.acme.take()); got != 1 {
		t.Errorf("%d facts after the minute", got)
	}
	f.do("HEAD", f.at.Click(mail, 1), nil)
	f.do("GET", f.at.Open(mail), nil, "Sec-Purpose", "prefetch;prerender")
	if got := len(f.acme.take()); got != 0 {
		t.Errorf("%d facts of HEAD and a prefetch", got)
	}
	if r := f.do("HEAD", f.at.Click(mail, 1), nil); r.StatusCode != 302 {
		t.Errorf("HEAD answers %d", r.StatusCode)
	}
	if s := f.door.Stats(); s.Opens != 1 || s.Clicks != 3 || s.Repeats == 0 {
		t.Errorf("%+v", s)
	}
}

func TestRecentIsBounded(t *testing.T) {
	r := newRecent(time.Minute)
	at := time.Unix(1000, 0)
	for i := range 3 * maxRecent {
		if !r.first(fmt.Sprint(i), at) {
			t.Fatalf("%d is no repeat", i)
		}
	}
	if n := len(r.now) + len(r.older); n > 2*maxRecent {
		t.Errorf("%d are remembered", n)
	}
	if r.first(fmt.Sprint(3*maxRecent-1), at) {
		t.Error("a repeat is not recognised")
	}
	if !r.first(fmt.Sprint(3*maxRecent-1), at.Add(-time.Hour)) {
		t.Error("a clock set back makes everything a repeat")
	}
}

// TestForged: whatever is not exactly one of our links is nothing.
func TestForged(t *testing.T) {
	f := setUp(t)
	other := newAcme(t, "other")
	elsewhere, err := NewAddresses("https://engage.example", "acme", other)
	if err != nil {
		t.Fatal(err)
	}
	good := f.at.Click(mail, 0)
	token := good[strings.LastIndexByte(good, '/')+1:]
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{
		elsewhere.Click(mail, 0), // another's keys
		strings.Replace(good, "/c/", "/u/", 1), strings.Replace(good, "/c/", "/o/", 1), strings.Replace(good, "/c/", "/x/", 1),
		strings.Replace(good, "/acme/", "/other/", 1), strings.Replace(f.at.Open(mail), "/o/", "/u/", 1),
		good + "A", good[:len(good)-1], good + "/", good + "=", strings.Replace(good, "/c/", "/c//", 1),
		f.at.Click("0000", 0), f.at.Click(mail, 1<<16), f.at.Click(mail, -1), f.at.Click(mail, 2), f.at.Click(mail, 3), f.at.Click(bill, 0),
		f.at.Click("11112233445566778899aabbccddeeff", 0), // signed, and unknown
		"https://engage.example/", "https://engage.example/c/acme", "https://engage.example/c/acme/" + strings.Repeat("A", 5000),
	}
	for i := range raw {
		x := slices.Clone(raw)
		x[i] ^= 1
		bad = append(bad, "https://engage.example/c/acme/"+base64.RawURLEncoding.EncodeToString(x))
	}
	want := ""
	for _, address := range bad {
		r := f.get(address)
		if r.StatusCode != 404 || r.Header.Get("Location") != "" {
			t.Errorf("%s answers %d", address, r.StatusCode)
		}
		body := text(t, r)
		if want == "" {
			want = body
		}
		if body != want {
			t.Errorf("%s: the answers differ", address)
		}
	}
	if r := f.post(strings.Replace(good, "/c/", "/u/", 1), url.Values{"List-Unsubscribe": {"One-Click"}}); r.StatusCode != 404 {
		t.Errorf("a forged unsubscribe answers %d", r.StatusCode)
	}
	if facts := f.acme.take(); len(facts) != 0 {
		t.Errorf("%v", facts)
	}
	if f.door.Stats().Forged == 0 {
		t.Error("nothing was counted")
	}
}

func TestGetChangesNothing(t *testing.T) {
	f := setUp(t)
	for range 3 {
		r := f.get(f.at.Unsubscribe(mail))
		if r.StatusCode != 200 {
			t.Fatalf("%d", r.StatusCode)
		}
		f.do("HEAD", f.at.Unsubscribe(mail), nil)
		f.get(f.at.Unsubscribe(mail) + "?List-Unsubscribe=One-Click&action=unsubscribe")
	}
	if facts := f.acme.take(); len(facts) != 0 {
		t.Errorf("%v", facts)
	}
}

func TestOneClick(t *testing.T) {
	f := setUp(t)
	for range 2 { // once more is the same
		r := f.post(f.at.Unsubscribe(mail), url.Values{"List-Unsubscribe": {"One-Click"}})
		if r.StatusCode != 200 {
			t.Fatalf("%d", r.StatusCode)
		}
		facts := f.acme.take()
		if len(facts) != 1 {
			t.Fatalf("%d facts", len(facts))
		}
		x := facts[0]
		if x.Kind != event.Identify || x.Person != 7 || x.Ref != mail || x.ID != "" || event.Lookup(x.Props, "campaign").Text() != "cart" ||
			!slices.Equal(x.Consents, []event.Consent{{Purpose: "offers", Channel: "email", Source: "unsubscribe one-click"}}) {
			t.Errorf("%+v", x)
		}
		if err := event.Check(&x, event.DefaultLimits()); err != nil {
			t.Error(err)
		}
	}
	// Gmail sends this encoding.
	var b strings.Builder
	mp := multipart.NewWriter(&b)
	mp.WriteField("List-Unsubscribe", "One-Click")
	mp.Close()
	if r := f.do("POST", f.at.Unsubscribe(mail), strings.NewReader(b.String()), "Content-Type", mp.FormDataContentType()); r.StatusCode != 200 || len(f.acme.take()) != 1 {
		t.Errorf("multipart answers %d", r.StatusCode)
	}
	// Nothing that belongs to a contract is promised away.
	r := f.post(f.at.Unsubscribe(bill), url.Values{"List-Unsubscribe": {"One-Click"}})
	if body := text(t, r); r.StatusCode != 200 || !strings.Contains(body, "belong to your contract") || len(f.acme.take()) != 1 {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	for _, c := range []struct {
		body, kind string
		status     int
	}{
		{"", "application/x-www-form-urlencoded", 400}, {"List-Unsubscribe=no", "application/x-www-form-urlencoded", 400},
		{"%zz", "application/x-www-form-urlencoded", 400}, {"x", "multipart/form-data", 400}, {"List-Unsubscribe=One-Click", "text/plain", 400},
		{"a=" + strings.Repeat("x", maxBody), "application/x-www-form-urlencoded", 413}, {"x", "multipart/form-data; boundary=b", 400},
	} {
		if r := f.do("POST", f.at.Unsubscribe(mail), strings.NewReader(c.body), "Content-Type", c.kind); r.StatusCode != c.status {
			t.Errorf("%.40q as %s answers %d", c.body, c.kind, r.StatusCode)
		}
	}
	if facts := f.acme.take(); len(facts) != 0 {
		t.Errorf("%v", facts)
	}
	for _, method := range []string{"PUT", "DELETE", "OPTIONS", "POST"} {
		if r := f.do(method, f.at.Open(mail), nil); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s answers %d", method, r.StatusCode)
		}
	}
}

func TestUnsubscribeUnderLoad(t *testing.T) {
	f := setUp(t)
	f.acme.fails = 5
	if r := f.post(f.at.Unsubscribe(mail), url.Values{"action": {"unsubscribe"}}); r.StatusCode != 200 {
		t.Fatalf("%d", r.StatusCode)
	}
	if got := len(f.acme.take()); got != 1 {
		t.Errorf("%d facts", got)
	}
	if fmt.Sprint(f.wait) != "[50ms 100ms 200ms 400ms 800ms]" {
		t.Errorf("waited %v", f.wait)
	}
	// An open is not waited for, and the reader does not notice.
	f.wait, f.acme.fails = nil, 1
	if r := f.get(f.at.Open(mail)); r.StatusCode != 200 || len(f.wait) != 0 || f.door.Stats().Lost != 1 {
		t.Errorf("%d, waited %v", r.StatusCode, f.wait)
	}
	// A flood of opens takes no place from a decision.
	for range maxTracking {
		f.door.tracking <- struct{}{}
	}
	if r := f.get(f.at.Click(mail, 0)); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("%d", r.StatusCode)
	}
	if r := f.post(f.at.Unsubscribe(mail), url.Values{"action": {"unsubscribe"}}); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestNotSavedIsNotConfirmed(t *testing.T) {
	f := setUp(t)
	f.door.o.Patience = 50 * time.Millisecond
	f.door.o.Timer = func(d time.Duration) (<-chan time.Time, func()) {
		t := time.NewTimer(d)
		return t.C, func() { t.Stop() }
	}
	f.acme.fails, f.acme.failing = 1<<30, journal.ErrFull
	r := f.post(f.at.Unsubscribe(mail), url.Values{"List-Unsubscribe": {"One-Click"}})
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(text(t, r), "could not be saved") {
		t.Errorf("%d", r.StatusCode)
	}
	if f.door.Stats().Refused != 1 {
		t.Error("nothing was counted")
	}
}

func TestPreferences(t *testing.T) {
	f := setUp(t)
	// Only what changes is decided.
	r := f.post(f.at.Unsubscribe(mail), url.Values{"action": {"save"}, "allow": {"email news", "sms offers", "email nothing", "email service"}})
	body := text(t, r)
	if r.StatusCode != 200 || !strings.Contains(body, "Your choice is saved.") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	facts := f.acme.take()
	if len(facts) != 1 || !slices.Equal(facts[0].Consents, []event.Consent{
		{Purpose: "offers", Channel: "email", Source: "preference page"}, {Purpose: "offers", Channel: "sms", Granted: true, Source: "preference page"},
	}) {
		t.Errorf("%+v", facts)
	}
	// The page shows what was decided, though the applier may not be there yet.
	if !strings.Contains(body, `value="sms offers" checked`) || strings.Contains(body, `value="email offers" checked`) || !strings.Contains(body, `value="email news" checked`) || strings.Contains(body, "Unsubscribe</button>") {
		t.Error(body)
	}
	if r := f.post(f.at.Unsubscribe(mail), url.Values{"action": {"save"}, "allow": {"email news", "email offers"}}); r.StatusCode != 200 || len(f.acme.take()) != 0 {
		t.Error("a choice that changes nothing was written")
	}
	f.post(f.at.Unsubscribe(mail), url.Values{"action": {"stop"}})
	if facts := f.acme.take(); len(facts) != 1 || !slices.Equal(facts[0].Consents, []event.Consent{{Purpose: "offers", Source: "unsubscribe link"}, {Purpose: "news", Source: "unsubscribe link"}}) {
		t.Errorf("%+v", facts)
	}
}

// A script on a page of the publisher's is told the same as data, and nobody's
// address; what it saves is saved as by the page.
func TestPreferencesAsData(t *testing.T) {
	f := setUp(t)
	r := f.do("GET", f.at.Unsubscribe(mail), nil, "Accept", "application/json", "Origin", "https://shop.example")
	body := text(t, r)
	if r.StatusCode != 200 || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	for _, part := range []string{`"own":"email offers"`, `{"title":"E-mail","value":"email offers","on":true}`, `"contract":true`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is missing: %s", part, body)
		}
	}
	if len(f.acme.take()) != 0 {
		t.Error("a GET was a fact")
	}
	r = f.do("POST", f.at.Unsubscribe(mail), strings.NewReader("action=unsubscribe"), "Accept", "application/json", "Content-Type", "application/x-www-form-urlencoded")
	if facts := f.acme.take(); r.StatusCode != 200 || len(facts) != 1 || facts[0].Consents[0].Granted {
		t.Errorf("%d %+v", r.StatusCode, facts)
	}
	f.acme.behind = true
	if r := f.do("GET", f.at.Unsubscribe(mail), nil, "Accept", "application/json"); r.StatusCode != 503 {
		t.Errorf("what may be wrong is told: %d", r.StatusCode)
	}
	if r := f.get(f.at.Unsubscribe(mail)); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("pages of others may read the page")
	}
}

func TestPreferencesWhileBehind(t *testing.T) {
	f := setUp(t)
	f.acme.behind = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := f.door.chosen(ctx, f.acme, f.acme.messages[mail], []string{"email news"})
	if len(out) != 3 {
		t.Errorf("%v: with nothing known all must be decided", out)
	}
}

func TestGone(t *testing.T) {
	f := setUp(t)
	f.acme.gone[mail] = true
	if r := f.get(f.at.Unsubscribe(mail)); r.StatusCode != 404 {
		t.Errorf("%d", r.StatusCode)
	}
	if r := f.get(f.at.Click(mail, 0)); r.StatusCode != 404 {
		t.Errorf("%d", r.StatusCode)
	}
	if r := f.post(f.at.Unsubscribe(mail), url.Values{"List-Unsubscribe": {"One-Click"}}); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	f.acme.broken = errors.New("disk")
	if r := f.get(f.at.Click(mail, 0)); r.StatusCode != 503 {
		t.Errorf("%d", r.StatusCode)
	}
	if facts := f.acme.take(); len(facts) != 0 {
		t.Errorf("%v", facts)
	}
}

// TestPage: no script, nothing from elsewhere, a policy that fits, and every
// field has a name.
func TestPage(t *testing.T) {
	f := setUp(t)
	r := f.get(f.at.Unsubscribe(mail))
	body := text(t, r)
	csp := r.Header.Get("Content-Security-Policy")
	for _, must := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, must) {
			t.Errorf("the policy %q lacks %s", csp, must)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(body, "<Bank>") || !strings.Contains(body, "Acme &lt;Bank&gt;") {
		t.Errorf("%s\n%s", csp, body)
	}
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		seen[n.Data]++
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if a.Key == "style" || a.Key == "src" || a.Key == "href" || a.Key == "action" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
		switch n.Data {
		case "html":
			if attr["lang"] != "en" {
				t.Error("no language")
			}
		case "style":
			sum := sha256.Sum256([]byte(n.FirstChild.Data))
			if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(csp, want) {
				t.Errorf("the policy does not know the style: %s", want)
			}
		case "input":
			if attr["type"] != "hidden" && n.Parent.Data != "label" {
				t.Errorf("an input without a label: %v", attr)
			}
		case "fieldset":
			if first := n.FirstChild.NextSibling; first == nil || first.Data != "legend" {
				t.Error("a fieldset without a legend")
			}
		case "form":
			if attr["method"] != "post" {
				t.Error("a form that does not post")
			}
		case "script", "link", "img", "iframe":
			t.Errorf("<%s>", n.Data)
		}
	}
	if seen["h1"] != 1 || seen["main"] != 1 || seen["title"] != 1 || seen["form"] != 3 || seen["fieldset"] != 3 {
		t.Errorf("%v", seen)
	}
}

func TestAddresses(t *testing.T) {
	f := setUp(t)
	for _, bad := range []string{"", "engage.example", "ftp://x", "https://", "https://u:p@x", "https://x/?a=b", "https://x/#a", "javascript:alert(1)"} {
		if _, err := NewAddresses(bad, "acme", f.acme); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	var _ delivery.Links = f.at
	a, err := NewAddresses("http://localhost:8080/in/", "acme", f.acme)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Unsubscribe(mail); !strings.HasPrefix(got, "http://localhost:8080/in/u/acme/") || len(got) > 120 {
		t.Errorf("%s", got)
	}
	for _, l := range []string{f.at.Open(mail), f.at.Click(mail, 0), f.at.Click(mail, 1), f.at.Unsubscribe(mail)} {
		if strings.Contains(l, "ann") || strings.Contains(l, "shop") || strings.Contains(l, hex.EncodeToString([]byte{0, 0, 0, 7})) {
			t.Errorf("%s tells something", l)
		}
	}
}

// FuzzPath: no path gets past the signature, and none panics.
func FuzzPath(f *testing.F) {
	f.Add("/c/acme/ABCD", "GET")
	f.Add("/u/acme/"+strings.Repeat("A", 46), "POST")
	f.Add("//", "HEAD")
	ring, err := keyring.Open(f.TempDir(), make([]byte, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { ring.Close() })
	keys, err := ring.Publisher("acme")
	if err != nil {
		f.Fatal(err)
	}
	a := &acme{Publisher: keys, name: "acme", messages: map[string]delivery.Message{mail: {ID: mail, Person: 7}}}
	door := New(Options{Publisher: func(name string) (Publisher, bool) { return a, name == "acme" }})
	f.Fuzz(func(t *testing.T, path, method string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{}, Body: http.NoBody}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != 404 {
			t.Errorf("%q answers %d", path, w.Code)
		}
	})
}
