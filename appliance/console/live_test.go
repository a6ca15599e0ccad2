package console

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
)

// watcher reads a live stream.
type watcher struct {
	t      *testing.T
	cancel context.CancelFunc
	res    *http.Response
	lines  *bufio.Reader
}

func (h *house) watch(who, publisher, path string) *watcher {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", h.server.URL+"/v1/publishers/"+publisher+path, nil)
	check(h.t, err)
	if secret, is := strings.CutPrefix(who, "cookie:"); is {
		req.AddCookie(&http.Cookie{Name: "cloister", Value: secret})
	} else {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	check(h.t, err)
	w := &watcher{h.t, cancel, res, bufio.NewReader(res.Body)}
	h.t.Cleanup(w.close)
	return w
}

func (w *watcher) close() { w.cancel(); w.res.Body.Close() }

// next gives the next event's name and data, "" at the end of the stream.
func (w *watcher) next() (name, data string) {
	w.t.Helper()
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			return "", ""
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			return name, line[len("data: "):]
		}
	}
}

// await waits for what another goroutine brings about.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func (h *house) open() int {
	h.live.mu.Lock()
	defer h.live.mu.Unlock()
	return h.live.all
}

func TestLive(t *testing.T) {
	h := open(t)
	w := h.watch(h.token("acme", access.Admin), "acme", "/live")
	if got := w.res.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Errorf("content type %s", got)
	}
	if name, data := w.next(); name != "hit" || data != `{"ts":"1970-01-01T00:00:01Z","event":"Charged","person":7,"identity":"acme-canary","props":{"amount":12}}` {
		t.Errorf("first %s %s", name, data)
	}
	if name, data := w.next(); name != "pulse" || data != `{"per_second":3.5,"people":3,"rows":12,"waiting":2,"sent_minute":0,"problems":0}` {
		t.Errorf("then %s %s", name, data)
	}
	h.acme.happen(LiveEvent{Time: 5_000_000, Event: "New\nline", Person: 8, Identity: "bob", Props: []event.Prop{{Key: "x", Value: event.OfText("a\n\nevent: fake")}}})
	if name, data := w.next(); name != "hit" || !strings.Contains(data, `"event":"New\nline"`) || !strings.Contains(data, `a\n\nevent: fake`) {
		t.Errorf("then %s %s", name, data)
	}
	h.ticks <- h.clock()
	if name, _ := w.next(); name != "pulse" {
		t.Errorf("then %s", name)
	}
	// More than anybody can look at is left out, until the next pulse.
	for range 100 {
		h.acme.happen(LiveEvent{Time: 5_000_000, Event: "Many", Person: 8})
	}
	hits := 1
	for range hitsPerSecond * 2 {
		if name, _ := w.next(); name == "hit" {
			hits++
		}
		if hits == 100 {
			break
		}
	}
	w.close()
	await(t, "the stream's end", func() bool { return h.open() == 0 && h.acme.watching() == 0 })
}

func TestLiveShowsRolesWhatTheyMaySee(t *testing.T) {
	h := open(t)
	for role, sees := range map[access.Role]bool{access.Analyst: false, access.Auditor: false, access.Marketer: true, access.Admin: true} {
		w := h.watch(h.token("acme", role), "acme", "/live")
		if _, data := w.next(); strings.Contains(data, "acme-canary") != sees || strings.Contains(data, "amount") != sees {
			t.Errorf("%s is shown %s", role, data)
		}
		w.close()
	}
	w := h.watch(h.token("acme", access.Admin), "beta", "/live")
	if w.res.StatusCode != http.StatusNotFound {
		t.Errorf("another publisher's: %d", w.res.StatusCode)
	}
}

func TestLiveEndsWithTheSession(t *testing.T) {
	for _, c := range []struct {
		what string
		end  func(h *house, secret string)
	}{
		{"signed out", func(h *house, secret string) { check(h.t, h.access.SignOut(secret)) }},
		{"another role", func(h *house, _ string) {
			_, err := h.access.SetGrants("ann", access.Grants{"acme": access.Analyst})
			check(h.t, err)
		}},
		{"another publisher", func(h *house, _ string) {
			_, err := h.access.SetGrants("ann", access.Grants{"beta": access.Admin})
			check(h.t, err)
		}},
		{"idle", func(h *house, _ string) { h.pass(time.Hour) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := open(t)
			secret := h.operator("ann", access.Grants{"acme": access.Admin})
			w := h.watch("cookie:"+secret, "acme", "/live")
			w.next()
			w.next()
			h.ticks <- h.clock()
			if name, _ := w.next(); name != "pulse" {
				t.Errorf("it ended early")
			}
			c.end(h, secret)
			h.ticks <- h.clock()
			if name, data := w.next(); name != "" {
				t.Errorf("it goes on: %s %s", name, data)
			}
			await(t, "the stream's end", func() bool { return h.open() == 0 && h.acme.watching() == 0 })
		})
	}
}

func TestLiveIsBounded(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for range streamsEach {
		h.watch(token, "acme", "/live")
	}
	if w := h.watch(token, "acme", "/live"); w.res.StatusCode != http.StatusTooManyRequests || w.res.Header.Get("Retry-After") == "" {
		t.Errorf("one more of the same: %d", w.res.StatusCode)
	}
	for range maxStreams/streamsEach - 1 {
		token := h.token("acme", access.Admin)
		for range streamsEach {
			h.watch(token, "acme", "/live")
		}
	}
	if w := h.watch(h.token("acme", access.Admin), "acme", "/live"); w.res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more in all: %d", w.res.StatusCode)
	}
	// Closing the console ends them all.
	check(t, h.Close())
	if n := h.open(); n != 0 {
		t.Errorf("%d are open after Close", n)
	}
	if w := h.watch(token, "acme", "/live"); w.res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: %d", w.res.StatusCode)
	}
}

func TestLiveEndsWithThePublisher(t *testing.T) {
	h := open(t)
	w := h.watch(h.token("acme", access.Admin), "acme", "/live")
	w.next()
	w.next()
	h.acme.mu.Lock()
	for _, ch := range h.acme.live {
		close(ch)
	}
	h.acme.live = nil
	h.acme.mu.Unlock()
	if name, _ := w.next(); name != "" {
		t.Errorf("it goes on: %s", name)
	}
}
