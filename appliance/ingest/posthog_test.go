package ingest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
)

// What unmodified libraries sent is taken whole.
func TestPosthogRecordings(t *testing.T) {
	a := newDoor(t)
	a.now = time.Date(2026, 11, 25, 17, 40, 0, 0, time.UTC)
	a.replay("posthog.json", func(e sentBy, status int, answer string) {
		want := `"status":1`
		switch {
		case e.Method == "OPTIONS":
			if status != 204 {
				t.Errorf("%s %s: %d", e.SDK, e.Path, status)
			}
			return
		case strings.HasPrefix(e.Path, "/flags"):
			want = `"featureFlags":{}`
		case strings.HasPrefix(e.Path, "/array"):
			want = `"token":"WRITEKEY","hasFeatureFlags":false`
		}
		if status != 200 || !strings.Contains(answer, want) || strings.Contains(answer, "rejected") {
			t.Errorf("%s %s %s: %d %s", e.SDK, e.Method, e.Path, status, answer)
		}
	})
	facts := a.facts()
	got := map[string]int{}
	for _, f := range facts {
		got[f.Kind.String()+" "+f.Name]++
		if f.User == "" && f.Name != "Added To Cart" && f.Name != "No person" && f.Name != "Anon" && f.Kind == event.Track {
			t.Errorf("nobody is known: %s", show(&f))
		}
		for _, p := range f.Props {
			if strings.HasPrefix(p.Key, "$") {
				t.Errorf("%s keeps %s", f.Name, p.Key)
			}
		}
		if (f.Flags&event.Imported != 0) != (f.Name == "Old") {
			t.Errorf("flags: %s", show(&f))
		}
	}
	wantCounts(t, got, map[string]int{
		"track Order Completed": 3, "track Now": 1, "track No person": 1, "track Old": 1, "track Page Viewed": 1, "track Added To Cart": 1,
		"track Group Joined": 1, "track Plain": 1, "track Anon": 1, "track Known": 1,
		"identify ": 9, "alias ": 6,
	})
}

func (a *atDoor) wantTaken(path, body string, want ...string) {
	a.t.Helper()
	w := a.send("POST", path, body)
	a.want(w, 200)
	if strings.Contains(w.Body.String(), "rejected") {
		a.t.Errorf("%s", w.Body)
	}
	a.wantFacts(want...)
}

func TestPosthogEvents(t *testing.T) {
	const at = `"timestamp":"2026-11-23T16:00:00.000Z"`
	for _, c := range []struct {
		name, event string
		want        []string
	}{
		{"a server's", `{"event":"Bought","distinct_id":"u","uuid":"m","properties":{"a":1,"n":null,"$lib":"x"},` + at + `}`,
			[]string{`track id=m user=u name=Bought at=2026-11-23T16:00:00Z props={"a":1}`}},
		{"a number as id", `{"event":"Bought","properties":{"distinct_id":7,"$insert_id":"i"},` + at + `}`,
			[]string{`track id=i user=7 name=Bought at=2026-11-23T16:00:00Z`}},
		{"nobody identified", `{"event":"Bought","distinct_id":"d","properties":{"$is_identified":false},` + at + `}`,
			[]string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"no profile", `{"event":"Bought","distinct_id":"d","properties":{"$process_person_profile":false},` + at + `}`,
			[]string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"an old browser, before", `{"event":"Bought","properties":{"distinct_id":"d","$device_id":"d"},` + at + `}`,
			[]string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"an old browser, after", `{"event":"Bought","properties":{"distinct_id":"u","$device_id":"d","$user_id":"u"},` + at + `}`,
			[]string{`track user=u device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"the device's id taken for the user's", `{"event":"Bought","properties":{"distinct_id":"u","$device_id":"u","$user_id":"u"},` + at + `}`,
			[]string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"identify", `{"event":"$identify","distinct_id":"u","uuid":"m","$set":{"email":"a@B.example","plan":"gold","gone":null},"$set_once":{"$initial_referrer":"x","$initial_gclid":null,"$referrer":"y","first":1},"properties":{"$anon_distinct_id":"d","$device_id":"e","$timezone":"Asia/Kolkata"},` + at + `}`,
			[]string{`identify id=m user=u device=d at=2026-11-23T16:00:00Z email:0="a@B.example" plan:0="gold" gone:4=null initial_referrer:1="x" first:1=1 tz:0="Asia/Kolkata" to:email/=a@b.example`}},
		{"set", `{"event":"$set","distinct_id":"u","properties":{"$set":{"a":1,"$b":2},"$unset":["c","$d"]},` + at + `}`,
			[]string{`identify user=u at=2026-11-23T16:00:00Z a:0=1 c:4=null`}},
		{"known by an event", `{"event":"Bought","distinct_id":"u","uuid":"m","properties":{"$set":{"a":1},"$unset":{"b":""}},` + at + `}`,
			[]string{`identify id=m/known user=u at=2026-11-23T16:00:00Z a:0=1 b:4=null`, `track id=m user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"alias", `{"event":"$create_alias","distinct_id":"u","uuid":"m","properties":{"alias":"v"},` + at + `}`,
			[]string{`alias id=m user=u previous=v at=2026-11-23T16:00:00Z`, `alias id=m/further user=v previous=u at=2026-11-23T16:00:00Z`}},
		{"alias before anybody is known", `{"event":"$create_alias","distinct_id":"d","properties":{"alias":"u","$device_id":"d"},` + at + `}`,
			[]string{`alias user=u previous=d at=2026-11-23T16:00:00Z`}},
		{"alias of the same", `{"event":"$create_alias","distinct_id":"u","properties":{"alias":"u"},` + at + `}`, nil},
		{"merge", `{"event":"$merge_dangerously","distinct_id":"u","properties":{"alias":"v"},` + at + `}`,
			[]string{`alias user=u previous=v at=2026-11-23T16:00:00Z`, `alias user=v previous=u at=2026-11-23T16:00:00Z`}},
		{"page", `{"event":"$pageview","distinct_id":"u","properties":{"$current_url":"https://shop.example/a?b","$pathname":"/a","$referrer":"$direct","title":"A","$browser":"Chrome","$os":"Linux","$raw_user_agent":"x","$session_id":"s","token":"WRITEKEY"},` + at + `}`,
			[]string{`track user=u name=Page Viewed at=2026-11-23T16:00:00Z props={"title":"A","url":"https://shop.example/a?b","path":"/a","browser":"Chrome","os":"Linux"}`}},
		{"an own property wins", `{"event":"$screen","distinct_id":"u","properties":{"name":"own","$screen_name":"Cart","$groups":{"company":"acme","name":"x"}},` + at + `}`,
			[]string{`track user=u name=Screen Viewed at=2026-11-23T16:00:00Z props={"name":"own","company":"acme"}`}},
		{"a click", `{"event":"$autocapture","distinct_id":"u","properties":{"$event_type":"click","$el_text":"Buy","$elements":[{"tag_name":"button"}]},` + at + `}`,
			[]string{`track user=u name=Autocaptured at=2026-11-23T16:00:00Z props={"action":"click","text":"Buy"}`}},
		{"group", `{"event":"$groupidentify","distinct_id":"u","properties":{"$group_type":"company","$group_key":"acme","$group_set":{"size":7}},` + at + `}`,
			[]string{`track user=u name=Group Joined at=2026-11-23T16:00:00Z props={"size":7,"group":"acme","group_type":"company"}`}},
		{"a group of nobody", `{"event":"$groupidentify","distinct_id":"$company_acme","properties":{"$group_type":"company","$group_key":"acme"},` + at + `}`, nil},
		{"machinery", `{"event":"$feature_flag_called","distinct_id":"u","properties":{"$feature_flag":"x"},` + at + `}`, nil},
		{"opted in", `{"event":"$opt_in","distinct_id":"u","properties":{},` + at + `}`, []string{`identify user=u at=2026-11-23T16:00:00Z consent:collection/=true`}},
		{"a time without zone", `{"event":"A","distinct_id":"u","timestamp":"2026-11-23 16:00:00.5"}`, []string{`track user=u name=A at=2026-11-23T16:00:00.5Z`}},
		{"no time", `{"event":"A","distinct_id":"u"}`, []string{`track user=u name=A at=2026-11-23T16:26:00Z`}},
		{"how long ago", `{"event":"A","distinct_id":"u","offset":60000}`, []string{`track user=u name=A at=2026-11-23T16:25:00Z`}},
		{"a clock that is wrong", `{"event":"A","distinct_id":"u","timestamp":"2026-11-23T15:00:00Z","sent_at":"2026-11-23T15:26:00Z"}`, []string{`track user=u name=A at=2026-11-23T16:00:00Z`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			a.wantTaken("/i/v0/e/", `{"api_key":"WRITEKEY",`+c.event[1:], c.want...)
			a.wantTaken("/batch/", `{"api_key":"WRITEKEY","batch":[`+c.event+`]}`, c.want...)
			if !strings.Contains(c.event, `"token"`) {
				a.wantTaken("/e", `[`+strings.Replace(c.event, `{`, `{"token":"WRITEKEY",`, 1)+`]`, c.want...)
			}
		})
	}
	a := newDoor(t)
	a.wantTaken("/batch", `{"api_key":"WRITEKEY","historical_migration":true,"sent_at":"2026-11-23T10:00:00Z","batch":[{"event":"A","distinct_id":"u","timestamp":"2020-01-01T00:00:00+05:30"}]}`,
		`track user=u name=A at=2019-12-31T18:30:00Z flags=2`)
	a.wantTaken("/batch/", `{"api_key":"WRITEKEY","sent_at":"2026-11-23T15:26:00Z","batch":[{"event":"A","distinct_id":"u","timestamp":"2026-11-23T15:00:00Z"}]}`, `track user=u name=A at=2026-11-23T16:00:00Z`)
	a.wantTaken("/e/?_=1795447560000", `{"api_key":"WRITEKEY","event":"A","distinct_id":"u","timestamp":"2026-11-23T15:00:00Z"}`, `track user=u name=A at=2026-11-23T16:00:00Z`)
}

// Old browser libraries wrap their JSON.
func TestPosthogWrapping(t *testing.T) {
	const json = `{"api_key":"WRITEKEY","event":"Ünï 𝒳","distinct_id":"u","timestamp":"2026-11-23T16:00:00Z"}`
	const want = `track user=u name=Ünï 𝒳 at=2026-11-23T16:00:00Z`
	b64 := base64.StdEncoding.EncodeToString([]byte(json))
	a := newDoor(t)
	for name, r := range map[string][2]string{
		"form":           {"/e/", "data=" + url.QueryEscape(json)},
		"base64":         {"/e/?compression=base64", "data=" + url.QueryEscape(b64)},
		"not escaped":    {"/capture/", "data=" + b64},
		"behind another": {"/track/", "ip=1&data=" + url.QueryEscape(b64)},
		"bare base64":    {"/e/", b64},
		"gzip":           {"/e/?compression=gzip-js&ip=1", zipped(t, json)},
	} {
		w := a.send("POST", r[0], r[1], "Content-Type", "text/plain")
		if w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		a.wantFacts(want)
	}
	a.want(a.send("GET", "/e/?ip=1&data="+url.QueryEscape(b64), ""), 200, `"status":1`)
	a.wantFacts(want)
	for _, body := range []string{"data=!!", "data=%zz", "data=", "", "x", "{", "7", `{"batch":{}}`, `"x"`, "\x1f\x8b"} {
		a.want(a.send("POST", "/e/", body), 400, `"type":"validation_error"`)
	}
}

func TestPosthogRefuses(t *testing.T) {
	a := newDoor(t)
	var told []Refused
	a.pub.Refused = func(all []Refused) { told = append(told, all...) }
	a.want(a.send("POST", "/batch/", `{"api_key":"WRITEKEY","batch":[{"event":"A","distinct_id":"u"},{"event":"A"},{"distinct_id":"u"},7,{"event":"A","distinct_id":"u","timestamp":"x"},{"event":"A","distinct_id":"u","properties":[]},{"event":"$create_alias","distinct_id":"u"},{"event":"Notification Sent","distinct_id":"u"}]}`),
		200, `"status":1`, `"index":1,"code":"nobody"`, `"index":2,"code":"empty"`, `"index":3`, `"index":4`, `"index":5`, `"index":6`, `"index":7,"code":"reserved"`)
	if n := len(a.facts()); n != 1 || len(told) != 7 || told[0].Dialect != "posthog" || told[0].Key != "WRITEKEY" {
		t.Errorf("%d facts, %d refused", n, len(told))
	}
	for _, body := range []string{`{"api_key":"OTHER","event":"A","distinct_id":"u"}`, `{"event":"A","distinct_id":"u"}`, `[]`, `{}`} {
		a.want(a.send("POST", "/capture", body), 401, `"type":"authentication_error"`, `"code":"invalid_api_key"`)
	}
	// posthog-js throws away what is answered 429.
	a.err = fmt.Errorf("wrapped: %w", journal.ErrOverloaded)
	w := a.send("POST", "/e/", `{"api_key":"WRITEKEY","event":"A","distinct_id":"u"}`)
	a.want(w, 503)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	a.err = nil
	a.door.o.MaxBodies = 1
	a.want(a.send("POST", "/e/", `{}`), 503)
}

func TestPosthogAddress(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.IP = CutIP
	for props, want := range map[string]string{
		`{"$ip":"203.0.113.7"}`: "203.0.113.0/24", `{"$lib":"web"}`: "192.0.2.0/24", `{"$lib":"posthog-python"}`: "",
	} {
		a.want(a.send("POST", "/e/", `{"api_key":"WRITEKEY","event":"A","distinct_id":"u","properties":`+props+`}`), 200)
		if got := event.Lookup(a.facts()[0].Props, "ip").Text(); got != want {
			t.Errorf("%s: %q", props, got)
		}
	}
}

func TestPosthogBeside(t *testing.T) {
	a := newDoor(t)
	for _, c := range []struct{ method, path, part string }{
		{"POST", "/flags/?v=2", `"flags":{}`}, {"POST", "/decide/?v=3", `"sessionRecording":false`}, {"POST", "/decide", `"featureFlags":{}`},
		{"POST", "/s/?compression=gzip-js", `"status":1`}, {"GET", "/api/surveys/?token=x", `"surveys":[]`},
		{"GET", "/array/WRITEKEY/config", `"surveys":false`}, {"GET", "/array/WRITEKEY/config.js", `_POSTHOG_REMOTE_CONFIG`},
		{"GET", "/api/feature_flag/local_evaluation/?token=x", `"flags":[]`},
	} {
		a.want(a.send(c.method, c.path, "", "Origin", "https://shop.example"), 200, c.part)
	}
	a.want(a.send("GET", "/array/OTHER/config", ""), 404)
	a.want(a.send("GET", "/array/WRITEKEY/other", ""), 404)
	if n := len(a.facts()); n > 0 {
		t.Errorf("%d facts", n)
	}
}

func FuzzPosthog(f *testing.F) {
	f.Add(`{"api_key":"k","batch":[{"event":"$identify","distinct_id":"u","properties":{"$anon_distinct_id":"d","$set":{"email":"a@b.c","x":null}},"timestamp":"2026-11-23T16:00:00.000Z"}],"sent_at":"2026-11-23T16:00:00.000Z"}`)
	f.Add(`[{"event":"$groupidentify","properties":{"distinct_id":1,"$group_key":"g","$group_type":"t","$group_set":{"a":[{"b":1}]},"$groups":{"a":"b"},"$ip":"1.2.3.4"},"offset":12}]`)
	f.Add(`data=eyJldmVudCI6ICIkY3JlYXRlX2FsaWFzIiwgInByb3BlcnRpZXMiOiB7ImRpc3RpbmN0X2lkIjogInUiLCAiYWxpYXMiOiAidiJ9fQ`)
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{IP: CutIP}}}
	f.Fuzz(func(t *testing.T, body string) {
		json, _, err := unwrap(body, url.Values{}, 1<<20)
		if err != nil {
			return
		}
		v, err := parseJSON(json)
		if err != nil {
			return
		}
		req, err := readPosthog(v)
		if err != nil {
			return
		}
		b := door.begin("posthog", key)
		translatePosthog(b, req, "192.0.2.1:1")
		_ = refusedList(b.refused, "messageId").AppendJSON(nil)
		fuzzFacts(t, b.facts, b.limits)
	})
}
