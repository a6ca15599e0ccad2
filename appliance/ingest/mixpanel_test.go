package ingest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
)

// What unmodified libraries sent is taken whole, but for a deletion.
func TestMixpanelRecordings(t *testing.T) {
	a := newDoor(t)
	a.now = time.Date(2026, 11, 25, 17, 40, 0, 0, time.UTC)
	deleted := 0
	a.pub.Refused = func(all []Refused) {
		for _, one := range all {
			if r, ok := one.Err.(*event.Refusal); !ok || r.Field != "$delete" {
				t.Errorf("%v: %s", one.Err, one.Record)
			}
			deleted++
		}
	}
	refusedAnswers := 0
	a.replay("mixpanel.json", func(e sentBy, status int, answer string) {
		want := "1"
		if strings.Contains(e.Path, "verbose=1") {
			want = `{"status":1,"error":null}` + "\n"
		}
		if strings.Contains(answer, "ask for an erasure") {
			refusedAnswers++
		} else if status != 200 || answer != want {
			t.Errorf("%s %s %s: %d %q", e.SDK, e.Method, e.Path, status, answer)
		}
	})
	if deleted != 1 || refusedAnswers != 1 {
		t.Errorf("%d refused", deleted)
	}
	got := map[string]int{}
	for _, f := range a.facts() {
		got[f.Kind.String()+" "+f.Name]++
		for _, p := range f.Props {
			if strings.HasPrefix(p.Key, "$") || strings.HasPrefix(p.Key, "mp_") {
				t.Errorf("%s keeps %s", f.Name, p.Key)
			}
		}
		if old := strings.HasPrefix(f.Name, "Old"); (f.Flags&event.Imported != 0) != old || old && time.UnixMicro(f.Time).UTC().Format(time.DateOnly) != "2024-01-01" {
			t.Errorf("flags or time: %s", show(&f))
		}
		if (f.Name == "Page Viewed" || f.Name == "Added To Cart") && (f.User != "" || f.Device == "" || strings.Contains(f.Device, "$")) {
			t.Errorf("who: %s", show(&f))
		}
		if f.Kind == event.Identify && (f.User == "" || strings.Contains(f.Device, "$")) {
			t.Errorf("who: %s", show(&f))
		}
	}
	wantCounts(t, got, map[string]int{
		"track Order Completed": 3, "track A": 1, "track B": 1, "track Old": 1, "track Old2": 1, "track Plain": 1, "track Charged": 1,
		"track Page Viewed": 2, "track Added To Cart": 2, "identify ": 29, "alias ": 6,
	})
}

func TestMixpanelEvents(t *testing.T) {
	const at = `"time":1795449600` // 2026-11-23T16:00:00Z
	for _, c := range []struct {
		name, event string
		want        []string
	}{
		{"a server's", `{"event":"Bought","properties":{"distinct_id":"u","$insert_id":"m","a":1,"n":null,"mp_lib":"x",` + at + `}}`,
			[]string{`track id=m user=u name=Bought at=2026-11-23T16:00:00Z props={"a":1}`}},
		{"milliseconds", `{"event":"Bought","properties":{"distinct_id":7,"time":1795449600250}}`,
			[]string{`track user=7 name=Bought at=2026-11-23T16:00:00.25Z`}},
		{"seconds and parts", `{"event":"Bought","properties":{"distinct_id":"u","time":1795449600.25}}`,
			[]string{`track user=u name=Bought at=2026-11-23T16:00:00.25Z`}},
		{"nobody identified", `{"event":"Bought","properties":{"distinct_id":"$device:d","$device_id":"d",` + at + `}}`,
			[]string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"marked only", `{"event":"Bought","properties":{"distinct_id":"$device:d",` + at + `}}`,
			[]string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"an old phone, before", `{"event":"Bought","properties":{"distinct_id":"d","$device_id":"d",` + at + `}}`,
			[]string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"both", `{"event":"Bought","properties":{"distinct_id":"u","$user_id":"u","$device_id":"d",` + at + `}}`,
			[]string{`track user=u device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"both without distinct_id", `{"event":"Bought","properties":{"$user_id":"u","$device_id":"d",` + at + `}}`,
			[]string{`track user=u device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"identify", `{"event":"$identify","properties":{"distinct_id":"u","$user_id":"u","$device_id":"d","$anon_distinct_id":"$device:d","$insert_id":"m",` + at + `}}`,
			[]string{`identify id=m user=u device=d at=2026-11-23T16:00:00Z`}},
		{"identify of old", `{"event":"$identify","properties":{"distinct_id":"u","$anon_distinct_id":"d",` + at + `}}`,
			[]string{`identify user=u device=d at=2026-11-23T16:00:00Z`}},
		{"identify by a server", `{"event":"$identify","properties":{"$identified_id":"u","$anon_id":"d",` + at + `}}`,
			[]string{`identify user=u device=d at=2026-11-23T16:00:00Z`}},
		{"another user of the device", `{"event":"$identify","properties":{"distinct_id":"v","$user_id":"v","$device_id":"d","$anon_distinct_id":"u",` + at + `}}`,
			[]string{`identify user=v device=d at=2026-11-23T16:00:00Z`}},
		{"alias", `{"event":"$create_alias","properties":{"distinct_id":"u","alias":"v","$insert_id":"m",` + at + `}}`,
			[]string{`alias id=m user=u previous=v at=2026-11-23T16:00:00Z`, `alias id=m/further user=v previous=u at=2026-11-23T16:00:00Z`}},
		{"alias of a device", `{"event":"$create_alias","properties":{"distinct_id":"$device:d","alias":"u",` + at + `}}`,
			[]string{`alias user=u previous=d at=2026-11-23T16:00:00Z`}},
		{"merge", `{"event":"$merge","properties":{"$distinct_ids":["u","$device:d"],` + at + `}}`,
			[]string{`alias user=u previous=d at=2026-11-23T16:00:00Z`, `alias user=d previous=u at=2026-11-23T16:00:00Z`}},
		{"page", `{"event":"$mp_web_page_view","properties":{"distinct_id":"u","$current_url":"https://shop.example/a?b","current_url_path":"/a","current_url_search":"?b","current_url_protocol":"https:","current_page_title":"A","$referrer":"$direct","$browser":"Chrome","$mp_autocapture":true,` + at + `}}`,
			[]string{`track user=u name=Page Viewed at=2026-11-23T16:00:00Z props={"url":"https://shop.example/a?b","path":"/a","search":"?b","title":"A","browser":"Chrome"}`}},
		{"a click", `{"event":"$mp_click","properties":{"distinct_id":"u","$el_id":"x",` + at + `}}`,
			[]string{`track user=u name=Autocaptured at=2026-11-23T16:00:00Z props={"action":"click"}`}},
		{"machinery", `{"event":"$ae_session","properties":{"distinct_id":"u",` + at + `}}`, nil},
		{"opted in", `{"event":"$opt_in","properties":{"distinct_id":"$device:d",` + at + `}}`, []string{`identify device=d at=2026-11-23T16:00:00Z consent:collection/=true`}},
		{"history", `{"event":"Bought","properties":{"distinct_id":"u","time":1704067200}}`, []string{`track user=u name=Bought at=2024-01-01T00:00:00Z flags=2`}},
		{"no time", `{"event":"Bought","properties":{"distinct_id":"u"}}`, []string{`track user=u name=Bought at=2026-11-23T16:26:00Z`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			one := strings.Replace(c.event, `"properties":{`, `"properties":{"token":"WRITEKEY",`, 1)
			a.wantTaken("/track?ip=1", one, c.want...)
			a.wantTaken("/track/", `[`+one+`]`, c.want...)
			a.wantTaken("/track/?verbose=1", "data="+url.QueryEscape(one), c.want...)
			a.wantTaken("/import?strict=1", one, c.want...)
		})
	}
}

func TestMixpanelProfiles(t *testing.T) {
	const who = `"$token":"WRITEKEY","$distinct_id":"u","$time":1795449600,`
	const at = `identify user=u at=2026-11-23T16:00:00Z`
	for _, c := range []struct{ ops, want string }{
		{`"$set":{"$email":"a@B.example","$phone":"+911234567890","$name":"A","plan":"gold","gone":null,"$os":"x","$browser":"y"}`,
			at + ` email:0="a@B.example" phone:0="+911234567890" name:0="A" plan:0="gold" gone:4=null to:email/=a@b.example to:sms/=+911234567890`},
		{`"$set_once":{"first":1,"$initial_referrer":"x","$initial_referring_domain":"$direct","n":null}`, at + ` first:1=1 initial_referrer:1="x"`},
		{`"$add":{"n":2,"m":-1.5}`, at + ` n:5=2 m:5=-1.5`},
		{`"$append":{"l":"x"}`, at + ` l:2="x"`},
		{`"$union":{"l":["x","y"]}`, at + ` l:2=["x","y"]`},
		{`"$remove":{"l":"x"}`, at + ` l:3="x"`},
		{`"$unset":["a","$name","$os"]`, at + ` a:4=null name:4=null`},
		{`"$union":{"$ios_devices":["t"]}`, at + ` to:push/apns=t`},
		{`"$append":{"$android_devices":"t"}`, at + ` to:push/fcm=t`},
		{`"$append":{"$transactions":{"$time":"2026-11-23T12:00:00","$amount":25.5,"sku":"A"}}`, `track user=u name=Charged at=2026-11-23T12:00:00Z props={"amount":25.5,"sku":"A"}`},
		{`"$set":{"$transactions":[]}`, ``},
		{`"$device_id":"d","$user_id":"u","$set":{"a":1}`, `identify user=u device=d at=2026-11-23T16:00:00Z a:0=1`},
	} {
		a := newDoor(t)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		a.wantTaken("/engage", `{`+who+c.ops+`}`, want...)
		a.wantTaken("/engage/", "data="+url.QueryEscape(`[{`+who+c.ops+`}]`), want...)
	}
	a := newDoor(t)
	for _, ops := range []string{`"$delete":""`, `"$add":{"n":"x"}`, `"$set":[1]`, `"$set":{"a":1},"$time":"x"`} {
		one := `{"$token":"WRITEKEY","$distinct_id":"u",` + ops + `}`
		a.want(a.send("POST", "/engage?verbose=1", one), 200, `"status":0`, `"rejected"`)
		if w := a.send("POST", "/engage", one); w.Body.String() != "0" {
			t.Errorf("%s: %s", ops, w.Body)
		}
	}
	if w := a.send("POST", "/groups?verbose=1", `{"$token":"WRITEKEY","$group_key":"company","$group_id":"a","$set":{"b":1}}`); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"status":1`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	a.wantFacts()
}

func TestMixpanelImport(t *testing.T) {
	a := newDoor(t)
	const good = `{"event":"A","properties":{"distinct_id":"u","time":1795449600,"$insert_id":"i"}}`
	const bad = `{"event":"A","properties":{"time":1795449600,"$insert_id":"j"}}`
	const want = `track id=i user=u name=A at=2026-11-23T16:00:00Z`
	post := func(body, path string, headers ...string) {
		t.Helper()
		a.want(a.send("POST", path, body, headers...), 200, `"code":200`, `"status":"OK"`, `"num_records_imported":2`)
		a.wantFacts(want, want)
	}
	token := []string{"Authorization", "Basic V1JJVEVLRVk6"}
	post(`[`+good+`,`+good+`]`, "/import?strict=1", token...)
	post(good+"\n"+good+"\n", "/import?strict=1", append(token, "Content-Type", "application/x-ndjson")...)
	post(zipped(t, good+"\n"+good), "/import", append(token, "Content-Encoding", "gzip")...)
	post(`[`+good+`,`+good+`]`, "/import?strict=1&project_id=SERVER", "Authorization", "Basic dXNlcjpzM2NyZXQ=") // user:s3cret
	w := a.send("POST", "/import?strict=1", `[`+good+`,`+bad+`,7]`, token...)
	a.want(w, 400, `"code":400`, `"num_records_imported":1`, `"status":"Bad Request"`, `"failed_records":[{"index":1,"insert_id":"j","field":"user"`, `{"index":2,"insert_id":""`)
	a.wantFacts(want)
	a.want(a.send("POST", "/import?strict=0", `[`+good+`,`+bad+`]`, token...), 200, `"num_records_imported":1`)
	a.wantFacts(want)
	a.want(a.send("POST", "/import?strict=1", `[`+good+`]`), 401, `"code":401`)
	a.want(a.send("POST", "/import?project_id=SERVER", `[`+good+`]`, "Authorization", "Basic dXNlcjpvdGhlcg=="), 401) // user:other
	a.want(a.send("POST", "/import?strict=1", `[`+strings.Repeat(good+",", mixpanelMaxItems)+good+`]`, token...), 413)
	a.want(a.send("POST", "/import?strict=1", `[`+good, token...), 400, `"code":400`)
	a.wantFacts()
}

func TestMixpanelAnswers(t *testing.T) {
	a := newDoor(t)
	const good = `{"event":"A","properties":{"token":"WRITEKEY","distinct_id":"u"}}`
	say := func(path, body, want string, status int) {
		t.Helper()
		if w := a.send("POST", path, body); w.Code != status || strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
	}
	say("/track", good, "1", 200)
	say("/track?verbose=1", good, `{"status":1,"error":null}`, 200)
	say("/track?redirect=https://evil.example", good, "1", 200)
	say("/track", `[{"event":"A","properties":{"token":"WRITEKEY"}},`+good+`]`, "1", 200)
	say("/track", `{"event":"A","properties":{"token":"WRITEKEY"}}`, "0", 200)
	say("/track", strings.Replace(good, "WRITEKEY", "OTHER", 1), "0", 401)
	say("/track", `[`+good+`,`+strings.Replace(good, "WRITEKEY", "SERVER", 1)+`]`, "1", 200)
	say("/track", `{`, "0", 400)
	say("/track", ``, "0", 400)
	say("/track", `[]`, "0", 401)
	say("/engage", `[]`, "0", 401)
	a.want(a.send("POST", "/track?verbose=1", `{"event":"A","properties":{"token":"WRITEKEY"}}`), 200, `"status":0`, `neither a user nor a device`)
	if w := a.send("GET", "/track?img=1&data="+url.QueryEscape(good), ""); w.Code != 200 || w.Header().Get("Content-Type") != "image/gif" || !strings.HasPrefix(w.Body.String(), "GIF89a") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if n := len(a.facts()); n != 6 {
		t.Errorf("%d facts", n)
	}
	a.err = fmt.Errorf("wrapped: %w", journal.ErrOverloaded)
	a.want(a.send("POST", "/track", good), 503)
	a.want(a.send("POST", "/import", good), 503)
	a.err = nil
	a.door.o.MaxBodies = 1
	a.want(a.send("POST", "/engage", good), 503)
	a.door.o.MaxBodies = 64 << 20
	a.facts()
	for _, c := range []struct{ method, path, part string }{
		{"GET", "/decide?token=x", `"notifications":[]`}, {"GET", "/decide/", `"config"`}, {"GET", "/flags/?context=x", `{"flags":{}}`},
		{"GET", "/settings/?sdk_config=1", `{}`}, {"POST", "/record/?format=gzip", `"status":"OK"`},
	} {
		a.want(a.send(c.method, c.path, ""), 200, c.part)
	}
}

// A clock that is wrong is seen by what a browser says of the sending, and
// where phones and browsers are may be kept, cut.
func TestMixpanelClockAndAddress(t *testing.T) {
	a := newDoor(t)
	const one = `{"event":"A","properties":{"token":"WRITEKEY","distinct_id":"u","time":1795446000}}`
	a.wantTaken("/track/?_=1795447560000", one, `track user=u name=A at=2026-11-23T16:00:00Z`)
	a.pub.Rules.IP = CutIP
	a.wantTaken("/track/?ip=1", one, `track user=u name=A at=2026-11-23T15:00:00Z props={"ip":"192.0.2.0/24"}`)
	a.wantTaken("/track/?ip=0", one, `track user=u name=A at=2026-11-23T15:00:00Z`)
	a.wantTaken("/track/?ip=1", strings.Replace(one, `"time"`, `"ip":"203.0.113.7","time"`, 1), `track user=u name=A at=2026-11-23T15:00:00Z props={"ip":"203.0.113.0/24"}`)
}

func FuzzMixpanel(f *testing.F) {
	f.Add(true, `{"event":"$identify","properties":{"token":"k","distinct_id":"u","$anon_distinct_id":"$device:d","time":1795449600.5,"$insert_id":"i"}}`)
	f.Add(true, `[{"event":"$merge","properties":{"$distinct_ids":["a","b"]}},{"event":"$create_alias","properties":{"distinct_id":"a","alias":"b"}}]`)
	f.Add(false, `{"$token":"k","$distinct_id":"u","$set":{"$email":"a@b.c"},"$append":{"$transactions":{"$amount":1,"$time":"2026-01-01T00:00:00"}},"$union":{"$ios_devices":["t"]}}`)
	f.Add(false, `data=eyIkYWRkIjp7ImEiOjF9LCIkZGlzdGluY3RfaWQiOiJ1In0`)
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{IP: CutIP}}}
	f.Fuzz(func(t *testing.T, events bool, body string) {
		json, _, err := unwrap(body, url.Values{}, 1<<20)
		if err != nil {
			return
		}
		items, err := readMixpanel(&parser{s: json})
		if err != nil {
			return
		}
		kind := mixpanelProfile
		if events {
			kind = mixpanelEvent
		}
		b := door.begin("mixpanel", key)
		translateMixpanel(b, items, time.Time{}, "192.0.2.1", kind)
		_ = refusedList(b.refused, "messageId").AppendJSON(nil)
		fuzzFacts(t, b.facts, b.limits)
	})
}
