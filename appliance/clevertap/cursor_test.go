package clevertap

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// walk exports with pages of some size and gives what each record is, in order.
func (h *house) walk(path, query string, size int, name func(r map[string]any) string) [][]string {
	h.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	a := h.ok(fmt.Sprintf("%s%sbatch_size=%d", path, sep, size), query)
	path, _, _ = strings.Cut(path, "?")
	var pages [][]string
	before := ""
	for cursor, _ := a["cursor"].(string); cursor != ""; {
		code, a := h.call("SRV", http.MethodGet, path+"?cursor="+cursor, "")
		if code != 200 || a["status"] != "success" {
			h.t.Fatalf("%s: %d %v", path, code, a)
		}
		var page []string
		for _, r := range a["records"].([]any) {
			page = append(page, name(r.(map[string]any)))
		}
		pages = append(pages, page)
		if before != "" && a["previous_cursor"] != before {
			h.t.Errorf("%s: the page before is %v, not %s", path, a["previous_cursor"], before)
		}
		before = cursor
		cursor, _ = a["next_cursor"].(string)
	}
	return pages
}

func identity(r map[string]any) string { return fmt.Sprint(r["identity"]) }

func eventName(r map[string]any) string {
	p := r["profile"].(map[string]any)
	return fmt.Sprintf("%v %.0f %v", p["identity"], r["ts"], r["event_props"].(map[string]any)["Product"])
}

func TestProfilesAreExportedPageByPage(t *testing.T) {
	h := open(t)
	shop(h)
	pages := h.walk("profiles.json", `{"event_name":"Viewed",`+jan+`}`, 2, identity)
	if len(pages) != 2 || !slices.Equal(slices.Concat(pages...), []string{"ann", "bob", "cid"}) {
		t.Error(pages)
	}
	if got := slices.Concat(h.walk("profiles.json", `{"common_profile_properties":{"profile_fields":[{"name":"Plan","value":"gold"}]}}`, 5000, identity)...); !slices.Equal(got, []string{"ann", "cid"}) {
		t.Error(got)
	}
	// As old clients ask: GET, the query in the address.
	code, a := h.call("SRV", http.MethodGet, "profiles.json?batch_size=10&query="+url.QueryEscape(`{"event_name":"Charged",`+jan+`}`), "")
	if code != 200 {
		t.Fatal(a)
	}
	_, a = h.call("SRV", http.MethodGet, "profiles.json?cursor="+a["cursor"].(string), "")
	first := a["records"].([]any)[0].(map[string]any)
	if len(a["records"].([]any)) != 2 || first["events"] == nil || first["profileData"] == nil || first["platformInfo"] == nil {
		t.Error(a)
	}
	if a["next_cursor"] != nil || a["previous_cursor"] != nil {
		t.Error(a)
	}
	a = h.ok("profiles.json?batch_size=10&app=false&events=false&profile=false", `{"event_name":"Charged",`+jan+`}`)
	_, a = h.call("SRV", http.MethodGet, "profiles.json?cursor="+a["cursor"].(string), "")
	first = a["records"].([]any)[0].(map[string]any)
	if first["events"] != nil || first["profileData"] != nil || first["platformInfo"] != nil || first["identity"] != "ann" {
		t.Error(first)
	}
	if !h.log.has("people.list", "profiles, 2 people") {
		t.Error("an export is not in the audit")
	}
}

func TestEventsAreExportedPageByPage(t *testing.T) {
	h := open(t)
	shop(h)
	const query = `{"event_name":"Viewed",` + jan + `}`
	want := slices.Concat(h.walk("events.json", query, 5000, eventName)...)
	if len(want) != 6 || !slices.Contains(want, "ann 20260101153000 red shoes") || !slices.Contains(want, "bob 20260101173000 blue shoes") {
		t.Fatal(want)
	}
	for size := 1; size <= 7; size++ {
		if got := slices.Concat(h.walk("events.json", query, size, eventName)...); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, not %v", size, got, want)
		}
	}
	got := slices.Concat(h.walk("events.json", `{"event_name":"Viewed","from":20260102,"to":20260102}`, 10, eventName)...)
	if !slices.Equal(got, []string{"ann 20260102153000 hats"}) {
		t.Error(got)
	}
	got = slices.Concat(h.walk("events.json", `{"event_name":"Viewed",`+jan+`,"event_properties":[{"name":"Price","operator":"greater_than","value":10}],"common_profile_properties":{"profile_fields":[{"name":"Plan","value":"gold"}]}}`, 10, eventName)...)
	if !slices.Equal(got, []string{"ann 20260102153000 hats"}) {
		t.Error(got)
	}
	got = slices.Concat(h.walk("events.json", `{"event_name":"Viewed",`+jan+`,"session_properties":[{"name":"time_of_day","value":["17:00","18:00"]}]}`, 10, eventName)...)
	if !slices.Equal(got, []string{"bob 20260101173000 blue shoes"}) {
		t.Error(got)
	}
	a := h.ok("events.json?batch_size=10", `{"event_name":"Viewed",`+jan+`,"session_properties":[{"name":"utm_source","value":"google"}]}`)
	_, a = h.call("SRV", http.MethodGet, "events.json?cursor="+a["cursor"].(string), "")
	r, _ := json.Marshal(a["records"].([]any)[0].(map[string]any)["session_props"])
	if string(r) != `{"utm_source":"google"}` {
		t.Error(string(r))
	}
	h.fails("events.json", `{`+jan+`}`, 400, "event_name")
	h.fails("events.json", `{"event_name":"Viewed"}`, 400, "from and to")
	for value, want := range map[string][]string{
		"True":  {"ann 20260101153000 red shoes", "bob 20260101153000 red shoes", "cid 20260105153000 hats"},
		"False": {"ann 20260102153000 hats", "bob 20260101163000 red shoes", "bob 20260101173000 blue shoes"},
	} {
		for size := 1; size < 4; size++ {
			got := slices.Concat(h.walk("events.json", `{"event_name":"Viewed",`+jan+`,"session_properties":[{"name":"first_time","value":"`+value+`"}]}`, size, eventName)...)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("first_time %s: %v", value, got)
			}
		}
	}
	h.fails("events.json?batch_size=5001", query, 400, "batch_size")
	h.fails("events.json?batch_size=x", query, 400, "batch_size")
	h.fails("events.json?app=maybe", query, 400, "app")
	h.fails("events.json", "", 400, "a query is needed")
}

// Events of one instant, of one person and of several, are told apart by their
// place alone.
func TestPagesEndWithinAnInstant(t *testing.T) {
	h := open(t)
	for i := range 40 {
		h.tell(did(fmt.Sprintf("u%d", i%3), "Tick", "2026-01-01 10:00", text("Product", fmt.Sprint(i))))
	}
	want := slices.Concat(h.walk("events.json", `{"event_name":"Tick",`+jan+`}`, 100, eventName)...)
	if len(want) != 40 {
		t.Fatal(len(want))
	}
	for _, size := range []int{1, 7, 13, 20, 40} {
		if got := slices.Concat(h.walk("events.json", `{"event_name":"Tick",`+jan+`}`, size, eventName)...); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, not %v", size, got, want)
		}
	}
}

// Merged people's events are theirs, personal properties are there, and the
// erased are gone from the next page on.
func TestAnExportIsOfThePresent(t *testing.T) {
	h := open(t)
	h.tell(event.Fact{Kind: event.Track, Device: "tablet", Name: "Viewed", Time: at("2026-01-01 10:00")})
	h.tell(did("ann", "Viewed", "2026-01-02 10:00", event.Prop{Key: "Product", Value: event.OfText("secret"), Personal: true}), did("bob", "Viewed", "2026-01-03 10:00"))
	h.tell(event.Fact{Kind: event.Identify, User: "ann", Device: "tablet"})
	got := slices.Concat(h.walk("events.json", `{"event_name":"Viewed",`+jan+`}`, 10, eventName)...)
	slices.Sort(got)
	if !slices.Equal(got, []string{"ann 20260101153000 <nil>", "ann 20260102153000 secret", "bob 20260103153000 <nil>"}) {
		t.Error(got)
	}
	a := h.ok("events.json?batch_size=1", `{"event_name":"Viewed",`+jan+`}`)
	h.ok("delete/profiles.json", `{"identity":["ann","bob"]}`)
	_, a = h.call("SRV", http.MethodGet, "events.json?cursor="+a["cursor"].(string), "")
	if n := len(a["records"].([]any)); n != 0 {
		t.Errorf("%d events of the erased", n)
	}
}

func TestCursorsAreNobodyElses(t *testing.T) {
	h := open(t)
	shop(h)
	h.fails("profiles.json?cursor=", "", 404, "cursor")
	profiles := h.ok("profiles.json?batch_size=1", `{"event_name":"Viewed",`+jan+`}`)["cursor"].(string)
	events := h.ok("events.json?batch_size=1", `{"event_name":"Viewed",`+jan+`}`)["cursor"].(string)
	id, _, _ := strings.Cut(profiles, ".")
	for _, bad := range []string{"x", id, id + ".", id + ".1", id + ".-1", id + ".99999999999999999999", id + ".0x", "." + id, profiles + ".0", events, "%00", strings.Repeat("a", 9000), "../../etc/passwd"} {
		if code, a := h.call("SRV", http.MethodGet, "profiles.json?cursor="+url.QueryEscape(bad), ""); code != 200 || a["code"] != 404.0 {
			t.Errorf("%.40q: %d %v", bad, code, a)
		}
	}
	if _, a := h.call("OTHER", http.MethodGet, "profiles.json?cursor="+profiles, ""); a["code"] != 404.0 {
		t.Error("another publisher's cursor works", a)
	}
	if code, _ := h.call("WRITE", http.MethodGet, "profiles.json?cursor="+profiles, ""); code != 403 {
		t.Error("a key that may not read has a cursor", code)
	}
	// The same page twice is the same page.
	_, a := h.call("SRV", http.MethodGet, "profiles.json?cursor="+profiles, "")
	_, b := h.call("SRV", http.MethodGet, "profiles.json?cursor="+profiles, "")
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error(a, b)
	}
	if _, a := h.call("SRV", http.MethodGet, "profiles.json?cursor="+url.QueryEscape(profiles), ""); a["status"] != "success" {
		t.Error("encoded once more", a)
	}
	h.later(eventsIdle + time.Minute)
	if _, a := h.call("SRV", http.MethodGet, "events.json?cursor="+events, ""); a["code"] != 404.0 {
		t.Error("a cursor of events lives on, unused", a)
	}
	h.later(profilesLife - 2*eventsIdle)
	if _, a := h.call("SRV", http.MethodGet, "profiles.json?cursor="+profiles, ""); a["status"] != "success" {
		t.Error("a cursor of profiles lives four days", a)
	}
	h.later(2 * eventsIdle)
	if _, a := h.call("SRV", http.MethodGet, "profiles.json?cursor="+profiles, ""); a["code"] != 404.0 {
		t.Error("and no longer", a)
	}
	for range 2 * maxCursors {
		h.ok("events.json", `{"event_name":"Viewed",`+jan+`}`)
	}
	if n := len(h.door.cursors.of["acme"]); n > maxCursors {
		t.Errorf("%d cursors are kept", n)
	}
}

func TestAnAnswerIsThereForWhoComesBack(t *testing.T) {
	h := open(t)
	shop(h)
	a := h.ok("counts/events.json", `{"event_name":"Viewed",`+jan+`}`)
	_, b := h.call("SRV", http.MethodGet, "counts/events.json?req_id="+a["req_id"].(string), "")
	if b["status"] != "success" || b["count"] != 6.0 {
		t.Error(b)
	}
	h.fails("counts/events.json?req_id=nothing", "", 404, "req_id")
	if _, b := h.call("OTHER", http.MethodGet, "counts/events.json?req_id="+a["req_id"].(string), ""); b["code"] != 404.0 {
		t.Error("another publisher's answer", b)
	}
}

// A page that would be too large ends earlier, and the next goes on there.
func TestAPageIsBoundedByItsBytes(t *testing.T) {
	h := open(t)
	shop(h)
	h.door.pageBytes = 700
	for path, want := range map[string]int{"profiles.json": 3, "events.json": 6} {
		name := identity
		if path == "events.json" {
			name = eventName
		}
		pages := h.walk(path, `{"event_name":"Viewed",`+jan+`}`, 5000, name)
		seen := slices.Concat(pages...)
		if slices.Sort(seen); len(pages) < 2 || len(seen) != want || len(slices.Compact(seen)) != want {
			t.Errorf("%s: %v", path, pages)
		}
	}
}
