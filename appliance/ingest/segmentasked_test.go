package ingest

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/journal"
)

func TestSegmentAsked(t *testing.T) {
	a := newDoor(t)
	const basic = "Basic V1JJVEVLRVk6"
	for _, c := range []struct {
		method, path, auth string
		status             int
		part               string
	}{
		{"GET", "/v1/projects/WRITEKEY/settings", "", 200, `{"integrations":{"Segment.io":{"apiKey":"WRITEKEY"}}}`},
		{"GET", "/v1/projects/OTHER/settings", "", 404, ""},
		{"GET", "/sourceConfig", basic, 200, `"writeKey":"WRITEKEY","enabled":true`},
		{"GET", "/sourceConfig/?p=npm&writeKey=WRITEKEY", "", 200, `"config":{"statsCollection":{"errors":{"enabled":false},"metrics":{"enabled":false}}}`},
		{"GET", "/sourceConfig/?writeKey=OTHER", "", 401, `"success":false`},
		{"GET", "/sourceConfig/", "", 401, `"success":false`},
		{"HEAD", "/sourceConfig/?view=ad", "", 200, ""},
		{"OPTIONS", "/sourceConfig/", "", 204, ""},
		{"OPTIONS", "/v1/projects/WRITEKEY/settings", "", 204, ""},
		{"GET", "/cluster-info", basic, 200, `{"nodeCount":1}`},
		{"GET", "/v1/track", basic, 405, ""},
		{"POST", "/v1/other", basic, 404, ""},
	} {
		w := a.send(c.method, c.path, "", "Authorization", c.auth, "Origin", "https://shop.example")
		a.want(w, c.status, c.part)
		if c.status < 300 && w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: no page may read it", c.method, c.path)
		}
	}
}

// An image's address carries a message; the image is answered whatever it is.
func TestSegmentPixel(t *testing.T) {
	const at = `"timestamp":"2026-11-23T16:00:00Z"`
	data := func(s string) string {
		return "?data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s)))
	}
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"its own key", "/v1/pixel/track" + data(`{"writeKey":"WRITEKEY","userId":"u","event":"Mail Opened",`+at+`}`), []string{`track user=u name=Mail Opened at=2026-11-23T16:00:00Z`}},
		{"short name, key in the query", "/v1/pixel/p" + data(`{"anonymousId":"d","name":"Home",`+at+`}`) + "&writeKey=WRITEKEY", []string{`track device=d name=Page Viewed at=2026-11-23T16:00:00Z props={"name":"Home"}`}},
		{"base64 for addresses", "/v1/pixel/t?data=" + base64.RawURLEncoding.EncodeToString([]byte(`{"writeKey":"WRITEKEY","userId":"u??>","event":"E",`+at+`}`)), []string{`track user=u??> name=E at=2026-11-23T16:00:00Z`}},
		{"another's key", "/v1/pixel/track" + data(`{"writeKey":"OTHER","userId":"u","event":"E"}`), nil},
		{"no key", "/v1/pixel/track" + data(`{"userId":"u","event":"E"}`), nil},
		{"no such type", "/v1/pixel/other" + data(`{"writeKey":"WRITEKEY","userId":"u","event":"E"}`), nil},
		{"no data", "/v1/pixel/track?writeKey=WRITEKEY", nil},
		{"no base64", "/v1/pixel/track?writeKey=WRITEKEY&data=%25%25", nil},
		{"no JSON", "/v1/pixel/track" + data(`{"writeKey":`), nil},
		{"refused", "/v1/pixel/track" + data(`{"writeKey":"WRITEKEY","event":"E"}`), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			pixelAt(a, c.path)
			a.wantFacts(c.want...)
		})
	}
	a := newDoor(t)
	a.err = journal.ErrOverloaded
	pixelAt(a, "/v1/pixel/track"+data(`{"writeKey":"WRITEKEY","userId":"u","event":"E"}`))
}

func pixelAt(a *atDoor, path string) {
	a.t.Helper()
	w := a.send("GET", path, "", "Accept", "image/*", "Content-Encoding", "br")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/gif" || !strings.HasPrefix(w.Body.String(), "GIF89a") {
		a.t.Errorf("%d %v", w.Code, w.Header())
	}
}

// What RudderStack's library for browsers says in headers counts where the
// message does not say it, and what it sends as a page goes needs no header.
func TestRudderHeaders(t *testing.T) {
	a := newDoor(t)
	id := base64.StdEncoding.EncodeToString([]byte("d-1"))
	a.want(a.send("POST", "/v1/track", `{"event":"E","originalTimestamp":"2026-11-23T15:00:00Z"}`,
		"Authorization", "Basic V1JJVEVLRVk6", "AnonymousId", id, "SentAt", "2026-11-23T15:26:00Z"), 200)
	a.want(a.send("POST", "/v1/track", `{"event":"E","userId":"u","originalTimestamp":"2026-11-23T16:00:00Z","sentAt":"2026-11-23T16:26:00Z"}`,
		"Authorization", "Basic V1JJVEVLRVk6", "AnonymousId", id, "SentAt", "2026-11-23T15:26:00Z"), 200)
	a.want(a.send("POST", "/beacon/v1/batch?writeKey=WRITEKEY", `{"batch":[{"type":"track","anonymousId":"d-2","event":"E","originalTimestamp":"2026-11-23T16:00:00Z"}]}`,
		"Content-Type", "text/plain;charset=UTF-8"), 200)
	a.wantFacts(`track device=d-1 name=E at=2026-11-23T16:00:00Z`, `track user=u name=E at=2026-11-23T16:00:00Z`, `track device=d-2 name=E at=2026-11-23T16:00:00Z`)
}

// Libraries send again at 408, 410, 429, 460 and most of 500 to 599, and throw
// the rest away; at 451 RudderStack's for Go asks for another cluster. So
// nothing but these is ever answered.
func TestSegmentStatuses(t *testing.T) {
	good := `{"userId":"u","event":"E"}`
	big := `{"userId":"u","event":"E","properties":{"a":"` + strings.Repeat("x", segmentMaxOne) + `"}}`
	for _, c := range []struct {
		name, path, body, encoding string
		err                        error
		status                     int
		retry                      string
	}{
		{"taken", "/v1/track", good, "", nil, 200, ""},
		{"malformed", "/v1/track", `{`, "", nil, 400, ""},
		{"one larger than 32 kB", "/v1/track", big, "", nil, 400, ""},
		{"one of a batch larger than 32 kB", "/v1/batch", `{"batch":[` + strings.Replace(big, `{`, `{"type":"track",`, 1) + `]}`, "", nil, 200, ""},
		{"a body larger than 500 kB", "/v1/batch", `{"batch":[` + strings.Repeat(" ", segmentMaxBody) + `]}`, "", nil, 413, ""},
		{"packed strangely", "/v1/track", good, "br", nil, 415, ""},
		{"overloaded", "/v1/track", good, "", journal.ErrOverloaded, 429, "1"},
		{"full", "/v1/track", good, "", journal.ErrFull, 507, "30"},
		{"too large for the journal", "/v1/track", good, "", journal.ErrTooLarge, 413, ""},
		{"broken", "/v1/track", good, "", errors.New("broken"), 503, "5"},
	} {
		a := newDoor(t)
		a.err = c.err
		w := a.send("POST", c.path, c.body, "Authorization", "Basic V1JJVEVLRVk6", "Content-Encoding", c.encoding)
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retry {
			t.Errorf("%s: %d, Retry-After %q: %s", c.name, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		wantsReset(t, w)
	}
	a := newDoor(t)
	a.door.o.MaxBodies = 1
	w := a.segment("/v1/track", good)
	a.want(w, 429)
	wantsReset(t, w)
}

// wantsReset: 429 says when to come back, in the ways that libraries look for,
// and to pages as well.
func wantsReset(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code != http.StatusTooManyRequests {
		return
	}
	for _, h := range []string{"Retry-After", "X-RateLimit-Reset"} {
		if w.Header().Get(h) != "1" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), h) {
			t.Errorf("429 with %s %q, and pages see %q", h, w.Header().Get(h), w.Header().Get("Access-Control-Expose-Headers"))
		}
	}
}
