package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

func (a *atDoor) cloister(body string) (status int, answer string) {
	w := a.send("POST", "/cloister/v1/collect?key=WRITEKEY", body)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestCloister(t *testing.T) {
	for _, c := range []struct{ name, body, fact string }{
		{"event", `{"id":"m","ts":"2026-11-23T16:20:00.5Z","user":"u","anonymous":"d","event":"Added","props":{"sku":"A","n":2,"none":null}}`,
			`track id=m user=u device=d name=Added at=2026-11-23T16:20:00.5Z props={"sku":"A","n":2}`},
		{"now", `{"user":"u","event":"A"}`, `track user=u name=A at=2026-11-23T16:26:00Z`},
		{"whole number as id", `{"user":7,"event":"A"}`, `track user=7 name=A at=2026-11-23T16:26:00Z`},
		{"in another zone", `{"user":"u","event":"A","ts":"2026-11-23T21:50:00+05:30"}`, `track user=u name=A at=2026-11-23T16:20:00Z`},
		{"denied and personal properties", `{"user":"u","event":"Charged","props":{"card_number":"4","delivery_address":"x","n":1}}`,
			`track user=u name=Charged at=2026-11-23T16:26:00Z props={"delivery_address":"x","n":1} personal:delivery_address`},
		{"profile", `{"user":"u","profile":{"plan":"gold","old":null,"email":"Asha@Shop.example","phone":"+91 98765 43210"}}`,
			`identify user=u at=2026-11-23T16:26:00Z plan:0="gold" old:4=null email:0="Asha@Shop.example" phone:0="+91 98765 43210" to:email/=Asha@shop.example to:sms/=+919876543210`},
		{"operations", `{"user":"u","once":{"first":"x"},"add":{"tags":["a","b"]},"remove":{"tags":"c"},"increase":{"visits":1,"score":-0.5}}`,
			`identify user=u at=2026-11-23T16:26:00Z first:1="x" tags:2=["a","b"] tags:3="c" visits:5=1 score:5=-0.5`},
		{"login alone", `{"user":"u","anonymous":"d"}`, `identify user=u device=d at=2026-11-23T16:26:00Z`},
		{"alias", `{"user":"u","previous":"old"}`, `alias user=u previous=old at=2026-11-23T16:26:00Z`},
		{"consent", `{"anonymous":"d","consent":[{"purpose":"news","channel":"email","granted":true,"version":"2026-03"},{"purpose":"Advertising","granted":false}]}`,
			`identify device=d at=2026-11-23T16:26:00Z consent:news/email=true consent:Advertising/=false`},
		{"opt out", `{"anonymous":"d","collect":false,"source":"gpc"}`, `identify device=d at=2026-11-23T16:26:00Z consent:collection/=false`},
		{"opt in", `{"user":"u","collect":true}`, `identify user=u at=2026-11-23T16:26:00Z consent:collection/=true`},
		{"addresses", `{"user":"u","channels":{"email":"a@b.example","sms":["+491701234567","+491701234568"],"push":{"platform":"webpush","token":"https://p.example/1","keys":{"auth":"a","p256dh":"b"}}}}`,
			`identify user=u at=2026-11-23T16:26:00Z to:email/=a@b.example to:sms/=+491701234567 to:sms/=+491701234568 to:push/webpush=https://p.example/1{"auth":"a","p256dh":"b"}`},
		{"no address any more", `{"user":"u","anonymous":"d","unreachable":{"push":{"platform":"fcm","token":"T"}}}`,
			`identify user=u device=d at=2026-11-23T16:26:00Z not:push/fcm=T`},
		{"a clock that is ahead", `{"sentAt":"2026-11-23T17:26:00Z","user":"u","event":"A","ts":"2026-11-23T17:20:00Z"}`, `track user=u name=A at=2026-11-23T16:20:00Z`},
		{"a clock that is behind", `{"sentAt":"2026-11-20T16:26:00Z","user":"u","event":"A","ts":"2026-11-20T16:25:59Z"}`, `track user=u name=A at=2026-11-23T16:25:59Z`},
		{"a clock that is right", `{"sentAt":"2026-11-23T16:25:30Z","user":"u","event":"A","ts":"2026-11-23T16:20:00Z"}`, `track user=u name=A at=2026-11-23T16:20:00Z`},
		{"far ahead", `{"user":"u","event":"A","ts":"2099-01-01T00:00:00Z"}`, `track user=u name=A at=2026-11-23T16:26:00Z flags=1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			if status, answer := a.cloister(c.body); status != 200 || answer != `{"accepted":1,"refused":[]}` {
				t.Errorf("%d %s", status, answer)
			}
			a.wantFacts(c.fact)
		})
	}
}

func TestCloisterRefuses(t *testing.T) {
	a := newDoor(t)
	for record, want := range map[string]string{
		`7`:                                   `"code":"invalid","field":"batch"`,
		`{}`:                                  `"code":"empty","field":"event"`,
		`{"user":"u"}`:                        `"code":"empty","field":"event"`,
		`{"event":"A"}`:                       `"code":"nobody"`,
		`{"user":"u","event":"A","colour":1}`: `"field":"colour"`,
		`{"user":"u","event":""}`:             `"code":"empty","field":"event"`,
		`{"user":"u","props":{}}`:             `"code":"empty","field":"event"`,
		`{"user":"u","event":7}`:              `"field":"event"`,
		`{"user":"u","event":"Notification Sent"}`:                                          `"code":"reserved"`,
		`{"user":"u","event":"A","props":[]}`:                                               `"field":"props"`,
		`{"user":"","event":"A"}`:                                                           `"code":"empty","field":"user"`,
		`{"user":{},"event":"A"}`:                                                           `"field":"user"`,
		`{"user":1.5,"event":"A"}`:                                                          `"field":"user"`,
		`{"user":null,"event":"A"}`:                                                         `"field":"user"`,
		`{"user":"u","event":"A","ts":1764000000}`:                                          `"field":"ts"`,
		`{"user":"u","event":"A","ts":"2026-01-02"}`:                                        `"field":"ts"`,
		`{"user":"u","event":"A","ts":"1970-01-01T00:00:00Z"}`:                              `"code":"too_old"`,
		`{"user":"u","event":"A","profile":{}}`:                                             `"field":"event"`,
		`{"user":"u","event":"A","previous":"p"}`:                                           `"field":"event"`,
		`{"user":"u","previous":"p","collect":true}`:                                        `"field":"previous"`,
		`{"anonymous":"d","previous":"p"}`:                                                  `"code":"empty","field":"user"`,
		`{"user":"u","previous":"u"}`:                                                       `"field":"previous"`,
		`{"user":"u","profile":7}`:                                                          `"field":"profile"`,
		`{"user":"u","add":{"tags":null}}`:                                                  `"field":"add.tags"`,
		`{"user":"u","increase":{"n":"1"}}`:                                                 `"field":"increase.n"`,
		`{"user":"u","collect":"no"}`:                                                       `"field":"collect"`,
		`{"user":"u","consent":{}}`:                                                         `"field":"consent"`,
		`{"user":"u","consent":[7]}`:                                                        `"field":"consent[0]"`,
		`{"user":"u","consent":[{"purpose":"news"}]}`:                                       `"field":"consent[0].granted"`,
		`{"user":"u","consent":[{"purpose":"news","granted":1}]}`:                           `"field":"consent[0].granted"`,
		`{"user":"u","consent":[{"purpose":"collection","granted":true}]}`:                  `"field":"consent[0].purpose"`,
		`{"user":"u","consent":[{"purpose":"news","granted":true,"channel":"fax"}]}`:        `"field":"consent[0].channel"`,
		`{"user":"u","consent":[{"purpose":"Advertising","granted":true,"channel":"sms"}]}`: `"field":"consent[0].channel"`,
		`{"user":"u","consent":[{"purpose":"news","granted":true,"when":"now"}]}`:           `"field":"consent[0].when"`,
		`{"user":"u","channels":[]}`:                                                        `"field":"channels"`,
		`{"user":"u","channels":{"email":"nobody"}}`:                                        `"field":"channels.email"`,
		`{"user":"u","channels":{"fax":"1"}}`:                                               `"field":"channels.fax"`,
		`{"user":"u","channels":{"push":{"platform":"webpush","token":"t"}}}`:               `"field":"channels.push"`,
		`{"user":"u","unreachable":{"push":{"platform":"fcm"}}}`:                            `"field":"unreachable.push"`,
		`{"user":"u","event":"` + strings.Repeat("x", 129) + `"}`:                           `"code":"too_long"`,
		`{"user":"u","event":"A","id":"` + strings.Repeat("x", 257) + `"}`:                  `"code":"too_long"`,
		`{"user":"u\u0000","event":"A"}`:                                                    `"code":"character"`,
	} {
		status, answer := a.cloister(`{"batch":[` + record + `]}`)
		if status != 400 || !strings.Contains(answer, `"accepted":0`) || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s, not %s", record, status, answer, want)
		}
	}
	a.wantFacts()
}

// What cannot be taken is named, and the rest is kept.
func TestCloisterBatch(t *testing.T) {
	a := newDoor(t)
	var told []Refused
	a.pub.Refused = func(all []Refused) {
		for _, r := range all {
			told = append(told, Refused{Dialect: r.Dialect, Key: r.Key, Index: r.Index})
		}
	}
	status, answer := a.cloister(`{"sentAt":"2026-11-23T16:26:00Z","batch":[{"user":"u","event":"A","id":"1"},{"user":"u","event":"B","id":"2","x":1},{"anonymous":"d","event":"C"}]}`)
	if status != 200 || !strings.HasPrefix(answer, `{"accepted":2,"refused":[{"index":1,"id":"2","code":"invalid","field":"x","message":"there is no such member; id, ts, `) {
		t.Errorf("%d %s", status, answer)
	}
	a.wantFacts(`track id=1 user=u name=A at=2026-11-23T16:26:00Z`, `track device=d name=C at=2026-11-23T16:26:00Z`)
	if fmt.Sprint(told) != `[{cloister WRITEKEY 1 <nil>  false}]` {
		t.Errorf("told %v", told)
	}
	if status, answer := a.cloister(`{"batch":[]}`); status != 200 || answer != `{"accepted":0,"refused":[]}` {
		t.Errorf("an empty batch: %d %s", status, answer)
	}
}

func TestCloisterRequests(t *testing.T) {
	a := newDoor(t)
	one := `{"user":"u","event":"A"}`
	for body, part := range map[string]string{
		``: "must be a JSON object", `[]`: "must be a JSON object", `7`: "must be a JSON object", `{`: "ends early",
		one + one: "something follows", `{"user":"u","user":"v"}`: "stands twice", "\ufeff" + one: "must be a JSON object",
		`{"batch":{}}`:                  "batch must be a list",
		`{"batch":[],"user":"u"}`:       `\"user\" is unknown beside batch`,
		`{"batch":[],"sentAt":"today"}`: "sentAt must be RFC 3339", `{"batch":[],"direct":1}`: "direct must be",
		`{"key":7,"batch":[]}`:                                                  "key must be a text",
		`{"user":"u","event":"A","props":{"n":1e999}}`:                          "not finite",
		`{"user":"u","event":"A","props":{"n":` + strings.Repeat(`[`, 40):       "nested deeper",
		`{"batch":[` + strings.Repeat(`{},`, cloisterMaxRecords) + `{}]}`:       "at most 1000 records",
		`{"user":"u","event":"A","props":{"n":123456789012345678901234567890}}`: "64 bits",
		`{"user":"u","event":"A","props":{"s":"` + "\xff" + `"}}`:               "UTF-8",
	} {
		status, answer := a.cloister(body)
		if status != 400 || !strings.Contains(answer, part) {
			t.Errorf("%.60q: %d %.300s, not %s", body, status, answer, part)
		}
	}
	a.wantFacts()

	for _, c := range []struct {
		name, query, body string
		headers           []string
		status            int
	}{
		{"basic", "", one, []string{"Authorization", "Basic V1JJVEVLRVk6"}, 200},
		{"query", "?key=WRITEKEY", one, nil, 200},
		{"body of one", "", `{"key":"WRITEKEY","user":"u","event":"A"}`, nil, 200},
		{"body of many", "", `{"key":"WRITEKEY","batch":[` + one + `]}`, []string{"Content-Type", "text/plain"}, 200},
		{"none", "", one, nil, 401},
		{"wrong", "?key=OTHER", one, nil, 401},
		{"wrong in the body", "", `{"key":"OTHER","batch":[]}`, nil, 401},
		{"large", "?key=WRITEKEY", strings.Repeat(" ", cloisterMaxBody+1), nil, 413},
		{"bomb", "?key=WRITEKEY", zipped(t, strings.Repeat(" ", 50<<20)), []string{"Content-Encoding", "gzip"}, 413},
		{"packed", "?key=WRITEKEY", zipped(t, one), []string{"Content-Encoding", "gzip"}, 200},
		{"packed otherwise", "?key=WRITEKEY", one, []string{"Content-Encoding", "br"}, 415},
	} {
		w := a.send("POST", "/cloister/v1/collect"+c.query, c.body, c.headers...)
		if w.Code != c.status || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if n := len(a.facts()); n != 5 {
		t.Errorf("%d facts", n)
	}
	for _, path := range []string{"/cloister/v1/collect", "/cloister/v1/settings"} {
		if w := a.send("OPTIONS", path, ""); w.Code != 204 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// An address is kept only as the rules say, and only where the sender is the
// device itself.
func TestCloisterIP(t *testing.T) {
	a := newDoor(t)
	a.cloister(`{"direct":true,"user":"u","event":"A"}`)
	a.pub.Rules.IP = CutIP
	a.cloister(`{"user":"u","event":"B"}`)
	a.cloister(`{"direct":true,"user":"u","event":"C"}`)
	a.cloister(`{"direct":true,"user":"u","collect":true}`)
	a.wantFacts(`track user=u name=A at=2026-11-23T16:26:00Z`, `track user=u name=B at=2026-11-23T16:26:00Z`,
		`track user=u name=C at=2026-11-23T16:26:00Z props={"ip":"192.0.2.0/24"}`, `identify user=u at=2026-11-23T16:26:00Z consent:collection/=true`)
}

func TestCloisterSettings(t *testing.T) {
	a := newDoor(t)
	a.pub.Purposes = []Purpose{{Name: "news", Title: "News", Channels: []string{"email"}}, {Name: "service", Title: "Your account", Contract: true}}
	a.pub.WebPush = func() string { return "BKEY" }
	a.pub.OptedOut = func(device string) bool { return device == "gone" }
	a.pub.Rules.Events["*"] = &PropertyRules{Allow: []string{"sku"}, Personal: []string{"name"}}
	rest := `"purposes":[{"name":"news","title":"News","contract":false,"channels":["email"]},{"name":"service","title":"Your account","contract":true,"channels":[]}],` +
		`"properties":{"*":{"deny":[],"allow":["sku","name"]},"Charged":{"deny":["card_number"]}},"push":"BKEY"}`
	for query, collect := range map[string]string{"": "true", "&anonymous=here": "true", "&anonymous=gone": "false"} {
		w := a.send("GET", "/cloister/v1/settings?key=WRITEKEY"+query, "")
		a.want(w, 200)
		if got, want := strings.TrimSpace(w.Body.String()), `{"collect":`+collect+`,`+rest; got != want {
			t.Errorf("%s: got  %s\nwant %s", query, got, want)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%v", w.Header())
		}
	}
	a.want(a.send("GET", "/cloister/v1/settings?key=OTHER", ""), 401)
}

func FuzzCloister(f *testing.F) {
	for _, s := range []string{
		`{"batch":[{"id":"m","ts":"2026-11-23T16:20:00Z","user":"u","event":"A","props":{"a":[1,{"b":null}]}}],"sentAt":"2026-11-23T16:00:00.000Z","direct":true,"key":"k"}`,
		`{"user":1,"profile":{"email":"a@b","phone":1234567},"add":{"t":["x"]},"increase":{"n":-1},"consent":[{"purpose":"news","granted":true}],"collect":false}`,
		`{"user":"u","channels":{"push":{"platform":"webpush","token":"t","keys":{}}},"unreachable":{"sms":["+491701234567"]}}`,
		`{"user":"u","previous":"v"}`,
	} {
		f.Add(s)
	}
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{Purposes: map[string][]string{"news": {"email"}}, IP: CutIP}}}
	f.Fuzz(func(t *testing.T, body string) {
		req, err := readCloister(&parser{s: body})
		if err != nil {
			return
		}
		b := door.begin("cloister", key)
		translateCloister(b, req, "192.0.2.1:1", "")
		if len(b.facts)+len(b.refused) != len(req.records) {
			t.Fatalf("%d records made %d facts and %d refusals", len(req.records), len(b.facts), len(b.refused))
		}
		if v, err := event.ParseJSON(refusedList(b.refused, "id").AppendJSON(nil)); err != nil {
			t.Fatalf("%v in %s", err, v)
		}
		fuzzFacts(t, b.facts, b.limits)
	})
}

func TestScripts(t *testing.T) {
	a := newDoor(t)
	w := a.send("GET", "/cloister.js", "")
	if w.Code == 404 {
		// A checkout without the bundle says how to build it.
		a.want(w, 404, "make sdk")
		return
	}
	for _, name := range []string{"/cloister.js", "/cloister-sw.js"} {
		w := a.send("GET", name, "", "Accept-Encoding", "br, gzip")
		a.want(w, 200)
		if n := w.Body.Len(); n >= 5000 || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d bytes as %q", name, n, w.Header().Get("Content-Encoding"))
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || w.Header().Get("Cache-Control") == "" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", name, w.Header())
		}
		for _, bad := range []string{"eval(", "new Function", "document.cookie", "innerHTML"} {
			if strings.Contains(a.send("GET", name, "").Body.String(), bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		a.want(a.send("GET", name, "", "If-None-Match", w.Header().Get("ETag"), "Accept-Encoding", "gzip"), 304)
		if plain := a.send("GET", name, ""); plain.Header().Get("ETag") == w.Header().Get("ETag") {
			t.Errorf("%s: one tag for two contents", name)
		}
		a.want(a.send("POST", name, ""), 405)
	}
}
