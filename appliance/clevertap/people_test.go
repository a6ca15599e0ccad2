package clevertap

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

func TestAProfileIsFoundByEachOfItsIds(t *testing.T) {
	h := open(t)
	shop(h)
	for _, by := range []string{"identity=ann", "email=ANN@example.com", "objectId=dev-ann"} {
		code, a := h.call("SRV", http.MethodGet, "profile.json?"+by, "")
		r, _ := a["record"].(map[string]any)
		if code != 200 || a["status"] != "success" || r["identity"] != "ann" || r["email"] != "ann@example.com" || r["phone"] != "+14155550101" || r["name"] != "Ann" {
			t.Errorf("%s: %d %v", by, code, a)
			continue
		}
		data, _ := json.Marshal(r["profileData"])
		if string(data) != `{"Age":30,"City":"Kochi","Country":"IN","DOB":"$D_631152000","Gender":"F","Plan":"gold","State":"KL","Vip":true}` {
			t.Errorf("%s: %s", by, data)
		}
		did, _ := json.Marshal(r["events"])
		want := fmt.Sprintf(`"Viewed":{"count":2,"first_seen":%d,"last_seen":%d}`, at("2026-01-01 10:00")/1e6, at("2026-01-02 10:00")/1e6)
		if !strings.Contains(string(did), want) || !strings.Contains(string(did), `"Charged":{"count":1,`) {
			t.Errorf("%s: %s", by, did)
		}
		devices, _ := json.Marshal(r["platformInfo"])
		if string(devices) != `[{"objectId":"dev-ann"}]` {
			t.Errorf("%s: %s", by, devices)
		}
	}
	if a := h.ok("profile.json", `{"identity":"bob"}`); a["record"].(map[string]any)["identity"] != "bob" {
		t.Error(a)
	}
	if !h.log.has("person.read", "person ") {
		t.Error("a read of a profile is not in the audit")
	}
	// A device that is called like somebody's identity is only a device.
	h.tell(event.Fact{Kind: event.Track, Device: "bob", Name: "Viewed"})
	if _, a := h.call("SRV", http.MethodGet, "profile.json?objectId=bob", ""); a["record"].(map[string]any)["identity"] != nil {
		t.Error(a)
	}
	h.fails("profile.json?identity=eve", "", 404, "no such profile")
	h.fails("profile.json", `{}`, 400, "is needed")
	h.fails("profile.json?identity=ann&email=x", "", 400, "not several")
}

func TestSubscribeIsForEverybodyWithTheAddress(t *testing.T) {
	h := open(t)
	shop(h)
	agreed := func(user string) bool {
		n, _ := h.pub.FindIdentity(user)
		return h.pub.Allowed(n, "offers", "email")
	}
	a := h.ok("subscribe", `{"d":[{"type":"email","value":"Shared@example.com","status":"Unsubscribe"},{"type":"phone","value":"+1 (415) 555-0101","status":"Unsubscribe"}]}`)
	if a["processed"] != 2.0 || agreed("cid") || agreed("dora") || !agreed("ann") {
		t.Errorf("%v: cid %v, dora %v, ann %v", a, agreed("cid"), agreed("dora"), agreed("ann"))
	}
	n, _ := h.pub.FindIdentity("ann")
	if h.pub.Allowed(n, "offers", "sms") {
		t.Error("ann gets texts all the same")
	}
	h.ok("subscribe", `{"d":[{"type":"email","value":"shared@example.com","status":"Resubscribe"}]}`)
	if !agreed("cid") || !agreed("dora") {
		t.Error("a resubscription did nothing")
	}
	_, a = h.call("WRITE", http.MethodPost, "subscribe", `{"d":[{"type":"whatsapp","value":"+14155550101","status":"Unsubscribe"},{"type":"email","value":"x","status":"Unsubscribe"},{"type":"email","value":"ann@example.com","status":"no"},{"type":"email","value":"ann@example.com","status":"unsubscribe"}]}`)
	if a["status"] != "partial" || a["processed"] != 1.0 || len(a["unprocessed"].([]any)) != 3 || agreed("ann") {
		t.Error(a)
	}
	if !h.log.has("people.subscribe", "1 addresses") {
		t.Error("not in the audit")
	}
	h.fails("subscribe", `{"d":[]}`, 400, "a list d")
	h.fails("subscribe", `{"d":[`+strings.Repeat(`{},`, 1000)+`{}]}`, 400, "at most 1000")
}

func TestDisassociateTakesANumberAway(t *testing.T) {
	h := open(t)
	shop(h)
	h.ok("disassociate", `{"d":[{"type":"phone","value":"+14155550101"}]}`)
	_, a := h.call("SRV", http.MethodGet, "profile.json?identity=ann", "")
	if r := a["record"].(map[string]any); r["phone"] != nil || r["email"] != "ann@example.com" {
		t.Error(r)
	}
	h.fails("disassociate", `{"d":[{"type":"phone","value":"+14155550101"}]}`, 404, "nobody has")
	h.fails("disassociate", `{"d":[{"type":"email","value":"ann@example.com"}]}`, 400, "must be phone")
}

func TestDemergeGivesEventsBackToTheirDevice(t *testing.T) {
	h := open(t)
	h.tell(event.Fact{Kind: event.Track, Device: "tablet", Name: "Viewed"}, event.Fact{Kind: event.Track, User: "ann", Device: "phone", Name: "Viewed"},
		event.Fact{Kind: event.Identify, User: "ann", Device: "tablet"})
	count := func() any { return h.ok("counts/profiles.json", `{"event_name":"Viewed"}`)["count"] }
	if n := count(); n != 1.0 {
		t.Fatal(n)
	}
	a := h.ok("demerge/profiles.json", `{"identities":["ann"]}`)
	if n := count(); n != 2.0 || a["processed"] != 1.0 {
		t.Error(n, a)
	}
	h.fails("demerge/profiles.json", `{"identities":["eve"]}`, 404, "no such profile")
	h.fails("demerge/profiles.json", `{"identities":[`+strings.Repeat(`"a",`, 100)+`"a"]}`, 400, "at most 100")
	if !h.log.has("person.demerge", "person ") {
		t.Error("not in the audit")
	}
}

func TestDeletedPeopleAreInNoAnswerAtOnce(t *testing.T) {
	h := open(t)
	shop(h)
	a := h.ok("delete/profiles.json", `{"identity":["ann"],"guid":"dev-bob"}`)
	if a["processed"] != 2.0 || len(a["requests"].(map[string]any)) != 2 {
		t.Error(a)
	}
	if n := h.ok("counts/profiles.json", `{"event_name":"Viewed"}`)["count"]; n != 1.0 {
		t.Errorf("%v people are left of 3", n)
	}
	h.fails("profile.json?identity=ann", "", 404, "no such profile")
	_, a = h.call("SRV", http.MethodPost, "delete/profiles.json", `{"identity":["cid","eve"]}`)
	if a["status"] != "partial" || a["processed"] != 1.0 {
		t.Error(a)
	}
	// A device's name is no identity.
	h.fails("delete/profiles.json", `{"guid":"dora"}`, 404, "no such profile")
	h.fails("delete/profiles.json", `{}`, 400, "is needed")
	h.fails("delete/profiles.json", `{"identity":{}}`, 400, "an id is needed")
	if !h.log.has("person.erase", "person ") {
		t.Error("not in the audit")
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	h := open(t)
	shop(h)
	for _, path := range []string{"profile.json?identity=ann", "counts/events.json", "delete/profiles.json"} {
		code, a := h.call("WRITE", http.MethodPost, path, `{"event_name":"Viewed"}`)
		if code != 403 || a["status"] != "fail" || a["code"] != 403.0 {
			t.Errorf("%s: %d %v", path, code, a)
		}
	}
	if !h.log.has("denied", "profile.json") {
		t.Error("a refusal is not in the audit")
	}
	for _, c := range [][2]string{{"SRV", "wrong"}, {"SRV", ""}, {"NO", passcode}, {"", ""}} {
		r := httptest.NewRequest(http.MethodGet, "/1/profile.json?identity=ann", nil)
		r.Header.Set("X-CleverTap-Account-Id", c[0])
		r.Header.Set("X-CleverTap-Passcode", c[1])
		w := httptest.NewRecorder()
		h.door.ServeHTTP(w, r)
		if w.Code != 401 || strings.TrimSpace(w.Body.String()) != `{"code":401,"error":"Invalid Credentials","status":"fail"}` {
			t.Errorf("%v: %d %s", c, w.Code, w.Body)
		}
	}
	if code, a := h.call("AWAY", http.MethodPost, "counts/events.json", "{}"); code != 503 || a["status"] != "fail" {
		t.Error(code, a)
	}
}

func TestBadBodiesAreRefused(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		body string
		code int
	}{
		{`{`, 400}, {`[]`, 400}, {`"x"`, 400}, {`{"a":1,"a":2}`, 400}, {"{\"a\":\"\xff\"}", 400}, {strings.Repeat("[", 10_000), 400},
		{`{"event_name":"` + strings.Repeat("x", maxBody) + `"}`, 413},
	} {
		if code, a := h.call("SRV", http.MethodPost, "counts/events.json", c.body); code != c.code || a["status"] != "fail" {
			t.Errorf("%.40s: %d %v", c.body, code, a)
		}
	}
	if code, _ := h.call("SRV", http.MethodDelete, "counts/events.json", ""); code != 405 {
		t.Error(code)
	}
	if code, _ := h.call("SRV", http.MethodPost, "counts/nothing.json", ""); code != 404 {
		t.Error(code)
	}
}

// The rule is of calls in work, by account and API.
func TestAFourthCallAtOnceIsToldToComeBack(t *testing.T) {
	h := open(t)
	shop(h)
	inside, leave := make(chan struct{}), make(chan struct{})
	for range maxInFlight {
		r, w := blocked(inside, leave), httptest.NewRecorder()
		go h.door.ServeHTTP(w, r)
		<-inside
	}
	code, a := h.call("SRV", http.MethodPost, "counts/events.json", `{}`)
	if code != 429 || a["error"] != "Too many concurrent requests" {
		t.Error(code, a)
	}
	if code, a := h.call("SRV", http.MethodPost, "counts/profiles.json", `{}`); code != 200 {
		t.Error("another API has places of its own", code, a)
	}
	close(leave)
	h.eventually("a place is free", func() bool {
		code, _ := h.call("SRV", http.MethodPost, "counts/events.json", `{}`)
		return code == 200
	})
}

// blocked is a call whose body does not come before leave is closed.
func blocked(inside chan<- struct{}, leave <-chan struct{}) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/1/counts/events.json", waiting{inside, leave})
	r.Header.Set("X-CleverTap-Account-ID", "SRV")
	r.Header.Set("X-CleverTap-Passcode", passcode)
	return r
}

type waiting struct {
	inside chan<- struct{}
	leave  <-chan struct{}
}

func (w waiting) Read([]byte) (int, error) {
	w.inside <- struct{}{}
	<-w.leave
	return 0, http.ErrBodyReadAfterClose
}

func TestSixteenUploadsAtOnceAreOneTooMany(t *testing.T) {
	h := open(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	upload := h.door.Upload(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-leave
	}))
	ask := func(pass string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/1/upload", nil)
		r.Header.Set("X-CleverTap-Account-Id", "SRV")
		r.Header.Set("X-CleverTap-Passcode", pass)
		w := httptest.NewRecorder()
		upload.ServeHTTP(w, r)
		return w
	}
	for range maxUploads {
		go ask(passcode)
		<-inside
	}
	if w := ask(passcode); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Error(w.Code, w.Body)
	}
	// Who knows the account's public id alone takes nobody's place: the door
	// behind says 401.
	go ask("guess")
	<-inside
	close(leave)
}
