package ingest

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// sink takes everything and keeps nothing.
type sink struct{}

func (sink) Append(context.Context, []event.Fact) error { return nil }

// No input, however strange, is answered 5xx, by any path of these dialects.
func FuzzAnswers(f *testing.F) {
	paths := []string{"/i/v0/e/", "/e/?compression=lz64", "/capture", "/batch", "/batch/", "/track", "/track/?verbose=1&ip=1", "/engage", "/groups",
		"/import?strict=1", "/import", "/2/httpapi", "/httpapi", "/identify", "/groupidentify", "/flags/?v=2", "/decide", "/s/", "/record/",
		"/a1?z=K&ts=1", "/defineVars"}
	for i := range paths {
		f.Add(uint8(i), "", `{"api_key":"K","token":"K","event":"A","batch":[{"event":"$identify","distinct_id":"u","properties":{"token":"K","$set":{"a":[1]}}}]}`)
		f.Add(uint8(i), "gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00")
		f.Add(uint8(i), "", "api_key=K&data=IY18aQ==&identification=%5B%7B%7D%5D&event=%7B%7D")
		f.Add(uint8(i), "", `[{"type":"meta","g":"d"},{"type":"event","evtName":"A","ep":1},{"type":"profile","profile":{"ct_optout":true}}]`)
		f.Add(uint8(i), "", `{"api_key":"K","events":[{"event_type":"A","user_id":"u"},{}]}`)
	}
	pub := &Publisher{Journal: sink{}, Rules: &Rules{IP: CutIP}}
	door := New(Options{Now: func() time.Time { return now }, Key: func(id string) (Key, bool) { return Key{ID: "K", Publisher: pub}, id == "K" }})
	f.Fuzz(func(t *testing.T, path uint8, encoding, body string) {
		for _, method := range []string{"POST", "GET"} {
			target := paths[int(path)%len(paths)]
			r := httptest.NewRequest(method, target, strings.NewReader(body))
			if method == "GET" {
				q := r.URL.Query()
				q.Set("data", body)
				r = httptest.NewRequest(method, r.URL.Path+"?"+q.Encode(), nil)
			}
			r.Header.Set("Content-Encoding", encoding)
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			if w.Code >= 500 || w.Code < 200 || w.Code == 429 {
				t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
			}
			nothingCounted(t, door)
		}
	})
}

// A form that is none is refused, and what is JSON is never taken for a form.
func TestUnwrap(t *testing.T) {
	for _, c := range []struct{ body, query, want string }{
		{`{"a":"&data=x"}`, "", `{"a":"&data=x"}`},
		{" \n[1]", "", " \n[1]"},
		{"data=%7B%7D&x=1", "", `{}`},
		{"x=1&data=e30", "", `{}`},
		{"data=e30%3D", "", `{}`},
		{"e30=", "", `{}`},
		{"", "data=e30", `{}`},
		{"", "data=%7B%7D", `{}`},
		{"data=", "data=e30", ""},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := unwrap(c.body, query, 1<<20); err != nil || got != c.want {
			t.Errorf("%q, %q: %q, %v", c.body, c.query, got, err)
		}
	}
	for _, body := range []string{"x", "data=*", "data=%z", "data=a"} {
		if got, _, err := unwrap(body, url.Values{}, 1<<20); err == nil || statusOf(err) != 400 {
			t.Errorf("%q: %q, %v", body, got, err)
		}
	}
}
