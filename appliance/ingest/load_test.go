package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// blocked is a journal whose disk does not answer.
type blocked struct{ waits, until chan struct{} }

func (b blocked) Append(ctx context.Context, _ []event.Fact) error {
	b.waits <- struct{}{}
	select {
	case <-b.until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type atOnce struct{}

func (atOnce) Append(context.Context, []event.Fact) error { return nil }

// nothingCounted wants that no request is in work.
func nothingCounted(t *testing.T, d *Door) {
	t.Helper()
	l := &d.load
	if l.requests != 0 || l.bodies != 0 {
		t.Errorf("%d requests and %d bytes are still counted", l.requests, l.bodies)
	}
	for name, s := range l.of {
		if *s != (share{}) {
			t.Errorf("of %q: %+v", name, *s)
		}
	}
}

func track(d *Door, key, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/v1/track", strings.NewReader(`{"userId":"u","event":"x","messageId":"m"}`))
	r.SetBasicAuth(key, "")
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// p99 sends 500 requests, all of which are taken, one after another.
func p99(t *testing.T, d *Door, key string) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 500 {
		began := time.Now()
		if w := track(d, key, "10.9.9.9:1"); w.Code != 200 {
			t.Fatalf("%s: %d %s", key, w.Code, w.Body)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[494]
}

func twoPublishers(o Options, a, b *Publisher) *Door {
	o.Key = func(id string) (Key, bool) {
		switch id {
		case "A":
			return Key{ID: id, Publisher: a}, true
		case "B":
			return Key{ID: id, Publisher: b}, true
		}
		return Key{}, false
	}
	return New(o)
}

// TestOneFloodsAnotherSends has a publisher whose journal does not answer fill
// its share; another's requests are all taken.
func TestOneFloodsAnotherSends(t *testing.T) {
	j := blocked{make(chan struct{}, 1000), make(chan struct{})}
	a := &Publisher{Name: "a", Journal: j, Rules: &Rules{}}
	b := &Publisher{Name: "b", Journal: atOnce{}, Rules: &Rules{}}
	d := twoPublishers(Options{MaxRequests: 100}, a, b)
	alone := p99(t, d, "B")
	var sent sync.WaitGroup
	answers := make(chan *httptest.ResponseRecorder, 1000)
	for i := range 1000 {
		sent.Go(func() { answers <- track(d, "A", fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)) })
	}
	refused, waiting := 0, 0
	for refused+waiting < 1000 {
		select {
		case w := <-answers:
			if refused++; w.Code != 429 || w.Header().Get("Retry-After") == "" {
				t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
			}
		case <-j.waits:
			waiting++
		}
	}
	if waiting == 0 || waiting > 51 {
		t.Errorf("%d of 100 places are one publisher's", waiting)
	}
	during := p99(t, d, "B")
	t.Logf("p99 of the other publisher: %v, and %v beside the flood", alone, during)
	if during > 10*alone+50*time.Millisecond {
		t.Errorf("the flood costs the other publisher %v instead of %v", during, alone)
	}
	close(j.until)
	sent.Wait()
	nothingCounted(t, d)
	if w := track(d, "A", "10.9.9.9:1"); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
	var n uint64
	for _, l := range d.Limited() {
		if l.Publisher == "b" {
			t.Errorf("%+v", l)
		}
		n += l.Count
	}
	if n != uint64(refused) {
		t.Errorf("%d limited: %+v", n, d.Limited())
	}
}

func TestSharesOfBodies(t *testing.T) {
	j := blocked{make(chan struct{}, 30), make(chan struct{})}
	a := &Publisher{Name: "a", Journal: j, Rules: &Rules{}}
	b := &Publisher{Name: "b", Journal: atOnce{}, Rules: &Rules{}}
	d := twoPublishers(Options{MaxBodies: 1 << 20}, a, b)
	big := func(key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v1/batch", strings.NewReader(`{"batch":[{"type":"track","userId":"u","event":"x"}],"x":"`+strings.Repeat("x", 100<<10)+`"}`))
		r.SetBasicAuth(key, "")
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w
	}
	var sent sync.WaitGroup
	answers := make(chan int, 100)
	for range 30 {
		sent.Go(func() { answers <- big("A").Code })
	}
	waiting := 0
	for refused := 0; refused+waiting < 30; {
		select {
		case code := <-answers:
			if refused++; code != 429 {
				t.Fatal(code)
			}
		case <-j.waits:
			waiting++
		}
	}
	if waiting == 0 || waiting > 6 { // bodies of 100 KiB
		t.Errorf("%d of 1 MiB are one publisher's", waiting)
	}
	if w := big("B"); w.Code != 200 {
		t.Errorf("the other publisher: %d %s", w.Code, w.Body)
	}
	close(j.until)
	sent.Wait()
	nothingCounted(t, d)
}

func TestPerAddressAndKey(t *testing.T) {
	at := now
	pub := &Publisher{Name: "a", Journal: atOnce{}, Rules: &Rules{}}
	d := twoPublishers(Options{Now: func() time.Time { return at }, PerAddress: Bound{Rate: 2}}, pub, pub)
	for range 11 { // five seconds' worth, and the one that is over it
		if w := track(d, "A", "10.0.0.1:1"); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	if w := track(d, "A", "10.0.0.1:2"); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("too fast: %d %v", w.Code, w.Header())
	}
	if w := track(d, "A", "10.0.0.2:1"); w.Code != 200 {
		t.Errorf("another address: %d", w.Code)
	}
	r := httptest.NewRequest("POST", "/i/v0/e/", strings.NewReader(`{}`))
	r.RemoteAddr = "10.0.0.1:1"
	w := httptest.NewRecorder()
	if d.ServeHTTP(w, r); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a library that throws away at 429: %d", w.Code)
	}
	at = at.Add(time.Second)
	if w := track(d, "A", "10.0.0.1:1"); w.Code != 200 {
		t.Errorf("a second later: %d", w.Code)
	}

	pub.PerKey = Bound{Rate: 0.2}
	for range 2 {
		if w := track(d, "A", "10.0.0.3:1"); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	if w := track(d, "A", "10.0.0.3:1"); w.Code != 429 || w.Header().Get("Retry-After") != "5" {
		t.Errorf("the key is too fast: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := track(d, "B", "10.0.0.3:1"); w.Code != 200 {
		t.Errorf("another key: %d", w.Code)
	}
}

// TestGateForgets has more senders than are remembered.
func TestGateForgets(t *testing.T) {
	var g gate[int]
	b := Bound{Requests: 1}
	if why, _ := g.enter(-1, now, b); why != "" {
		t.Fatal(why)
	}
	for i := range maxSenders + 100 {
		if why, _ := g.enter(i, now, b); why != "" {
			t.Fatal(i, why)
		}
		g.leave(i, b)
	}
	if len(g.senders) != maxSenders || g.recent.Len() != maxSenders {
		t.Errorf("%d are remembered", len(g.senders))
	}
	if why, _ := g.enter(-1, now, b); why != limitRequests {
		t.Errorf("who has something in work was forgotten: %q", why)
	}
}

func TestPeers(t *testing.T) {
	for remote, want := range map[string]string{
		"10.1.2.3:4": "10.1.2.3/32", "[::ffff:10.1.2.3]:4": "10.1.2.3/32", "[2001:db8:1:2:3::4%eth0]:5": "2001:db8:1:2::/64",
	} {
		if got := Peer(remote); got != netip.MustParsePrefix(want) {
			t.Errorf("%s: %v", remote, got)
		}
	}
}

// TestManyUnpack has phones hang in the middle of packed bodies: what they may
// grow to is not counted before they do.
func TestManyUnpack(t *testing.T) {
	pub := &Publisher{Name: "a", Journal: atOnce{}, Rules: &Rules{}}
	d := twoPublishers(Options{}, pub, pub)
	packed := zipped(t, `{"userId":"u","event":"x","messageId":"m"}`)
	type hung struct {
		w    *io.PipeWriter
		code chan int
	}
	var all []hung
	for range 500 {
		in, out := io.Pipe()
		h := hung{out, make(chan int, 1)}
		r := httptest.NewRequest("POST", "/v1/track", in)
		r.SetBasicAuth("A", "")
		r.Header.Set("Content-Encoding", "gzip")
		r.ContentLength = int64(len(packed))
		go func() {
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			h.code <- w.Code
		}()
		_, err := io.WriteString(out, packed[:12]) // returns when it was read
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	for _, h := range all {
		_, _ = io.WriteString(h.w, packed[12:])
		h.w.Close()
		if code := <-h.code; code != 200 {
			t.Fatalf("%d", code)
		}
	}
}

// TestTrickle sends the half of a body and no more.
func TestTrickle(t *testing.T) {
	pub := &Publisher{Name: "a", Journal: atOnce{}, Rules: &Rules{}}
	d := twoPublishers(Options{Patience: 50 * time.Millisecond}, pub, pub)
	s := httptest.NewServer(d)
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/track?writeKey=A HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	answer, err := io.ReadAll(conn) // to the end: the connection is closed
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) || !bytes.Contains(answer, []byte("Connection: close")) {
		t.Errorf("%s", answer)
	}
	resp, err := http.Post(s.URL+"/v1/track?writeKey=A", "", strings.NewReader(`{"userId":"u","event":"x"}`))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(err, resp)
	}
	resp.Body.Close()
}
