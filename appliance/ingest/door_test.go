package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
)

// atDoor is a door with one publisher whose journal is real.
type atDoor struct {
	t    testing.TB
	door *Door
	j    *journal.Journal
	pub  *Publisher
	read journal.Cursor
	now  time.Time
	err  error // what the journal answers instead
}

// now is a little after the recordings were made.
var now = time.Date(2026, 11, 23, 16, 26, 0, 0, time.UTC)

func newDoor(t testing.TB) *atDoor {
	t.Helper()
	dir := t.TempDir()
	ring, err := keyring.Open(dir+"/keys", bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Publisher("shop")
	if err != nil {
		t.Fatal(err)
	}
	s, err := journal.Open(journal.Options{Dir: dir + "/journal"})
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Journal("shop", keys, journal.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := ring.Close(); err != nil {
			t.Error(err)
		}
	})
	a := &atDoor{t: t, j: j, now: now}
	a.pub = &Publisher{Name: "shop", Journal: a, Rules: &Rules{
		Purposes: map[string][]string{"Advertising": {"email", "push"}, "Analytics": {"webhook"}, "news": nil},
		Events:   map[string]*PropertyRules{"Charged": {Deny: []string{"card_number"}, Personal: []string{"delivery_address"}}},
		Personal: []string{"customer_ref"},
	}}
	a.door = New(Options{
		Now: func() time.Time { return a.now },
		Key: func(id string) (Key, bool) {
			switch id {
			case "WRITEKEY":
				return Key{ID: id, Publisher: a.pub}, true
			case "SERVER":
				return Key{ID: id, Secret: "s3cret", Publisher: a.pub}, true
			}
			return Key{}, false
		},
	})
	return a
}

// Append makes atDoor a Journal that can be told to refuse.
func (a *atDoor) Append(ctx context.Context, facts []event.Fact) error {
	if a.err != nil {
		return a.err
	}
	return a.j.Append(ctx, facts)
}

// facts gives what has reached the journal since it was asked last.
func (a *atDoor) facts() []event.Fact {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out []event.Fact
	for a.read.Sequence < a.j.End().Sequence {
		records, err := a.j.Read(ctx, a.read, 1000)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, r := range records {
			out = append(out, r.Facts...)
			a.read = r.Cursor
		}
	}
	return out
}

// send sends a request and gives its answer.
func (a *atDoor) send(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.door.ServeHTTP(w, r)
	return w
}

func (a *atDoor) upload(body string) *httptest.ResponseRecorder {
	return a.send("POST", "/1/upload", body, "X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret")
}

func (a *atDoor) segment(path, body string) *httptest.ResponseRecorder {
	return a.send("POST", path, body, "Authorization", "Basic V1JJVEVLRVk6")
}

func (a *atDoor) want(w *httptest.ResponseRecorder, status int, parts ...string) {
	a.t.Helper()
	body := w.Body.String()
	if w.Code != status {
		a.t.Errorf("%d, not %d: %.300s", w.Code, status, body)
		return
	}
	for _, p := range parts {
		if !strings.Contains(body, p) {
			a.t.Errorf("the answer lacks %s: %.600s", p, body)
		}
	}
}

// show writes a fact so that tests can compare what matters.
func show(f *event.Fact) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", f.Kind)
	for _, p := range []struct{ name, value string }{{"id", f.ID}, {"user", f.User}, {"device", f.Device}, {"previous", f.Previous}, {"name", f.Name}} {
		if p.value != "" {
			fmt.Fprintf(&b, " %s=%s", p.name, p.value)
		}
	}
	fmt.Fprintf(&b, " at=%s", time.UnixMicro(f.Time).UTC().Format(time.RFC3339Nano))
	if f.Flags != 0 {
		fmt.Fprintf(&b, " flags=%d", f.Flags)
	}
	if len(f.Props) > 0 {
		fmt.Fprintf(&b, " props=%s", event.AppendJSONProps(nil, f.Props))
	}
	for _, p := range f.Props {
		if p.Personal {
			fmt.Fprintf(&b, " personal:%s", p.Key)
		}
	}
	for _, c := range f.Changes {
		fmt.Fprintf(&b, " %s:%d=%s", c.Key, c.Op, c.Value.AppendJSON(nil))
		if c.Personal {
			b.WriteString("(personal)")
		}
	}
	for _, c := range f.Consents {
		fmt.Fprintf(&b, " consent:%s/%s=%v", c.Purpose, c.Channel, c.Granted)
	}
	for _, a := range f.Addresses {
		to := "to"
		if a.Removed {
			to = "not"
		}
		fmt.Fprintf(&b, " %s:%s/%s=%s%s", to, a.Channel, a.Platform, a.Value, a.Extra)
	}
	return b.String()
}

func (a *atDoor) wantFacts(want ...string) {
	a.t.Helper()
	got := a.facts()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			a.t.Errorf("missing %s", want[i])
		case i >= len(want):
			a.t.Errorf("too many: %s", show(&got[i]))
		case show(&got[i]) != want[i]:
			a.t.Errorf("got  %s\nwant %s", show(&got[i]), want[i])
		}
		if i < len(got) && got[i].Received != a.now.UnixMicro() {
			a.t.Errorf("received at %d", got[i].Received)
		}
	}
}

func TestCannotTakeNow(t *testing.T) {
	a := newDoor(t)
	one := `{"userId":"u","event":"x","messageId":"m"}`
	for _, c := range []struct {
		err    error
		status int
	}{
		{journal.ErrOverloaded, 429}, {journal.ErrFull, 507}, {journal.ErrUnavailable, 503}, {journal.ErrClosed, 503},
		{&journal.DamageError{Reason: "x"}, 503}, {journal.ErrTooLarge, 413}, {io.ErrUnexpectedEOF, 503},
	} {
		a.err = fmt.Errorf("wrapped: %w", c.err)
		for _, w := range []*httptest.ResponseRecorder{a.segment("/v1/track", one), a.upload(`{"d":[{"type":"event","identity":"u","evtName":"x"}]}`)} {
			a.want(w, c.status, `"status":"fail"`)
			if c.status != 413 && w.Header().Get("Retry-After") == "" {
				t.Errorf("%v: no Retry-After", c.err)
			}
		}
		if w := a.segment("/v1/track", one); w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Error("a browser cannot read the answer")
		}
	}
	a.err = nil
	a.door.o.Ready = func() error { return fmt.Errorf("checking: %w", ErrNoSpace) }
	a.want(a.segment("/v1/track", one), 507)
	a.door.o.Ready = func() error { return nil }
	a.want(a.segment("/v1/track", one), 200)
	a.door.o.MaxBodies = 10
	a.want(a.segment("/v1/track", one), 429)
	if n := a.door.load.bodies; n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

func TestTooManyRequests(t *testing.T) {
	a := newDoor(t)
	a.door.load.requests = a.door.o.MaxRequests
	w := a.segment("/v1/track", `{}`)
	a.want(w, 429)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestRoutes(t *testing.T) {
	a := newDoor(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/1/upload", 405}, {"GET", "/v1/track", 405}, {"PUT", "/v1/batch", 405}, {"POST", "/v1/other", 404},
		{"POST", "/", 404}, {"POST", "/1/other", 404}, {"OPTIONS", "/v1/t", 204}, {"GET", "/v1/projects/WRITEKEY/settings", 200}, {"GET", "/v1/projects/OTHER/settings", 404},
	} {
		a.want(a.send(c.method, c.path, ""), c.status)
	}
}

func zipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBodies(t *testing.T) {
	a := newDoor(t)
	one := `{"userId":"u","event":"x","messageId":"m"}`
	post := func(body, encoding string) *httptest.ResponseRecorder {
		return a.send("POST", "/v1/track", body, "Authorization", "Basic V1JJVEVLRVk6", "Content-Encoding", encoding)
	}
	a.want(post(one, ""), 200)
	a.want(post(one, "identity"), 200)
	a.want(post(zipped(t, one), "gzip"), 200)
	a.want(post(zipped(t, one), "GZIP"), 200)
	a.want(post(one, "gzip"), 400)
	a.want(post(zipped(t, one)[:20], "gzip"), 400)
	a.want(post(one, "br"), 415)
	a.want(post(zipped(t, zipped(t, one)), "gzip, gzip"), 415)
	a.want(post(strings.Repeat(" ", segmentMaxBody+1), ""), 413)
	a.want(post(zipped(t, strings.Repeat(" ", 50<<20)), "gzip"), 413)
	a.want(a.send("POST", "/1/upload", zipped(t, `{"d":[`+strings.Repeat(" ", 4<<20)+`]}`), "X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret", "Content-Encoding", "gzip"), 413)
	a.facts()

	// A length that lies, over a real connection.
	srv := httptest.NewServer(a.door)
	defer srv.Close()
	req, err := http.NewRequest("POST", srv.URL+"/v1/track", io.MultiReader(strings.NewReader(strings.Repeat(" ", segmentMaxBody+10))))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("WRITEKEY", "")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("%s", resp.Status)
	}
}
