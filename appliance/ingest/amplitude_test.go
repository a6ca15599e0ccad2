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

// What unmodified libraries sent is taken whole. What cannot be done, clearing
// all attributes, is listed as the library wants it, and then sent without.
func TestAmplitudeRecordings(t *testing.T) {
	a := newDoor(t)
	a.now = time.Date(2026, 11, 25, 17, 40, 0, 0, time.UTC)
	a.replay("amplitude.json", func(e sentBy, status int, answer string) {
		want := `{"code":200,"events_ingested":`
		switch {
		case e.Method == "OPTIONS":
			if status != 204 {
				t.Errorf("%s %s: %d", e.SDK, e.Path, status)
			}
			return
		case strings.HasPrefix(e.Path, "/config"):
			want = `{"configs":{}}`
		case strings.Contains(e.Body, "$clearAll"):
			want = `"events_with_invalid_fields":{"user_properties.$clearAll":[9]}`
			if status != 400 {
				t.Errorf("%d", status)
			}
			i := strings.Index(e.Body, `"$clearAll":"-"`)
			a.want(a.send(e.Method, e.Path, e.Body[:i]+`"$set":{"a":1}`+e.Body[i+len(`"$clearAll":"-"`):]), 200, `"events_ingested":10`)
		}
		if status != 200 && status != 400 || !strings.Contains(answer, want) {
			t.Errorf("%s %s %s: %d %s", e.SDK, e.Method, e.Path, status, answer)
		}
	})
	got := map[string]int{}
	for _, f := range a.facts() {
		got[f.Kind.String()+" "+f.Name]++
		for _, p := range f.Props {
			if strings.HasPrefix(p.Key, "$") || strings.HasPrefix(p.Key, "[") {
				t.Errorf("%s keeps %s", f.Name, p.Key)
			}
		}
		if f.ID == "" || f.User == "" {
			t.Errorf("%s", show(&f))
		}
	}
	wantCounts(t, got, map[string]int{
		"track Order Completed": 2, "track X": 1, "track Charged": 2, "track Page Viewed": 1, "track Added To Cart": 1, "identify ": 6,
	})
}

func TestAmplitudeEvents(t *testing.T) {
	const at = `"time":1795449600000` // 2026-11-23T16:00:00Z
	for _, c := range []struct {
		name, event string
		want        []string
	}{
		{"event", `{"event_type":"Bought","user_id":"u","device_id":"d","insert_id":"m","event_properties":{"a":1,"n":null},"session_id":5,"library":"x",` + at + `}`,
			[]string{`track id=m user=u device=d name=Bought at=2026-11-23T16:00:00Z props={"a":1}`}},
		{"nobody identified", `{"event_type":"Bought","user_id":null,"device_id":"d",` + at + `}`, []string{`track device=d name=Bought at=2026-11-23T16:00:00Z`}},
		{"numbers as ids", `{"event_type":"Bought","user_id":7,` + at + `}`, []string{`track user=7 name=Bought at=2026-11-23T16:00:00Z`}},
		{"the same twice", `{"event_type":"Bought","user_id":"u","device_id":"u",` + at + `}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"beside the properties", `{"event_type":"Bought","user_id":"u","event_properties":{"price":1},"price":2,"quantity":3,"revenue":6,"productId":"p","platform":"iOS","os_name":"ios","app_version":"1.2","language":"en","city":"Pune","groups":{"company":"acme","price":"x"},` + at + `}`,
			[]string{`track user=u name=Bought at=2026-11-23T16:00:00Z props={"price":1,"quantity":3,"revenue":6,"product_id":"p","platform":"iOS","os":"ios","app_version":"1.2","locale":"en","city":"Pune","company":"acme"}`}},
		{"revenue", `{"event_type":"revenue_amount","user_id":"u","event_properties":{"$productId":"p","$quantity":2,"$price":12.5,"$revenueType":"buy","$receipt":"x","own":1},` + at + `}`,
			[]string{`track user=u name=Charged at=2026-11-23T16:00:00Z props={"own":1,"product_id":"p","quantity":2,"price":12.5,"revenue_type":"buy","amount":25}`}},
		{"revenue as a sum", `{"event_type":"revenue_amount","user_id":"u","event_properties":{"$revenue":7,"$price":3},` + at + `}`,
			[]string{`track user=u name=Charged at=2026-11-23T16:00:00Z props={"amount":7,"price":3}`}},
		{"identify", `{"event_type":"$identify","user_id":"u","insert_id":"m","user_properties":{"$set":{"email":"a@B.example","x":null},"$setOnce":{"first":1,"initial_referrer":"EMPTY","e":"EMPTY"},"$add":{"n":2,"m":"-1"},"$append":{"l":"a"},"$prepend":{"l":"b"},"$preInsert":{"l":["c"]},"$postInsert":{"l":"d"},"$remove":{"l":"e"},"$unset":{"g":"-"}},` + at + `}`,
			[]string{`identify id=m user=u at=2026-11-23T16:00:00Z email:0="a@B.example" x:4=null first:1=1 e:1="EMPTY" n:5=2 m:5=-1 l:2="a" l:2="b" l:2=["c"] l:2="d" l:3="e" g:4=null to:email/=a@b.example`}},
		{"known by an event", `{"event_type":"Bought","user_id":"u","insert_id":"m","user_properties":{"plan":"gold"},` + at + `}`,
			[]string{`identify id=m/known user=u at=2026-11-23T16:00:00Z plan:0="gold"`, `track id=m user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"page", `{"event_type":"[Amplitude] Page Viewed","user_id":"u","event_properties":{"[Amplitude] Page Location":"https://shop.example/a?b","[Amplitude] Page Path":"/a","[Amplitude] Page Title":"A","[Amplitude] Page Counter":1,"[Amplitude] Previous Page Location":""},` + at + `}`,
			[]string{`track user=u name=Page Viewed at=2026-11-23T16:00:00Z props={"url":"https://shop.example/a?b","path":"/a","title":"A"}`}},
		{"a click", `{"event_type":"[Amplitude] Element Clicked","user_id":"u","event_properties":{"[Amplitude] Element Text":"Buy","[Amplitude] Element Tag":"a"},` + at + `}`,
			[]string{`track user=u name=Autocaptured at=2026-11-23T16:00:00Z props={"text":"Buy","action":"click"}`}},
		{"machinery", `{"event_type":"session_start","user_id":"u",` + at + `}`, nil},
		{"machinery of a page", `{"event_type":"[Amplitude] Network Request","user_id":"u",` + at + `}`, nil},
		{"a group", `{"event_type":"$groupidentify","user_id":"u","groups":{"company":"a"},"group_properties":{"$set":{"b":1}},` + at + `}`, nil},
		{"history", `{"event_type":"Bought","user_id":"u","time":1704067200000}`, []string{`track user=u name=Bought at=2024-01-01T00:00:00Z flags=2`}},
		{"no time", `{"event_type":"Bought","user_id":"u"}`, []string{`track user=u name=Bought at=2026-11-23T16:26:00Z`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			a.wantTaken("/2/httpapi", `{"api_key":"WRITEKEY","events":[`+c.event+`],"options":{"min_id_length":1}}`, c.want...)
			a.wantTaken("/batch", `{"api_key":"WRITEKEY","events":[`+c.event+`]}`, c.want...)
			a.wantTaken("/batch/", `{"events":`+c.event+`,"api_key":"WRITEKEY"}`, c.want...)
			a.wantTaken("/httpapi", "api_key=WRITEKEY&event="+url.QueryEscape(`[`+c.event+`]`), c.want...)
		})
	}
	a := newDoor(t)
	a.wantTaken("/2/httpapi", `{"api_key":"WRITEKEY","client_upload_time":"2026-11-23T15:26:00.000Z","events":[{"event_type":"A","user_id":"u","time":1795446000000}]}`, `track user=u name=A at=2026-11-23T16:00:00Z`)
}

// /batch is PostHog's too: the body tells.
func TestAmplitudeIdentifies(t *testing.T) {
	a := newDoor(t)
	const one = `{"user_id":"u","user_properties":{"$set":{"plan":"gold"},"city":"Pune"}}`
	const want = `identify user=u at=2026-11-23T16:26:00Z plan:0="gold" city:0="Pune"`
	a.wantTaken("/identify", "api_key=WRITEKEY&identification="+url.QueryEscape(one), want)
	a.wantTaken("/identify", "identification="+url.QueryEscape(`[`+one+`]`)+"&api_key=WRITEKEY", want)
	a.wantTaken("/identify", `{"api_key":"WRITEKEY","identification":[`+one+`]}`, want)
	a.wantTaken("/groupidentify", "api_key=WRITEKEY&identification="+url.QueryEscape(`[{"group_type":"company","group_value":"a","group_properties":{"b":1}}]`))
	if w := a.send("POST", "/identify", "api_key=WRITEKEY&identification="+url.QueryEscape(one)); w.Body.String() != "success" {
		t.Errorf("%s", w.Body)
	}
	a.facts()
	for _, body := range []string{"", "api_key=WRITEKEY", "api_key=WRITEKEY&identification=7", "api_key=WRITEKEY&identification=%zz", `{"api_key":"WRITEKEY"}`, "api_key=WRITEKEY&identification=" + url.QueryEscape(`{"user_properties":{}}`)} {
		a.want(a.send("POST", "/identify", body), 400)
	}
	a.want(a.send("POST", "/identify", "api_key=OTHER&identification="+url.QueryEscape(one)), 400, "Invalid API key")
	a.wantFacts()
}

// The libraries drop what is listed and send the rest again, so nothing of such
// a request is kept.
func TestAmplitudeRefuses(t *testing.T) {
	a := newDoor(t)
	var told []Refused
	a.pub.Refused = func(all []Refused) { told = append(told, all...) }
	a.want(a.send("POST", "/2/httpapi", `{"api_key":"WRITEKEY","events":[{"event_type":"A","user_id":"u"},{"event_type":"A"},{"user_id":"u"},7,{"event_type":"A","user_id":"u","time":"x"},{"event_type":"A","user_id":"u","event_properties":[]},{"event_type":"$identify","user_id":"u","user_properties":{"$add":{"a":"x"}}},{"event_type":"A"}]}`),
		400, `"code":400`, `"events_with_missing_fields":{"user":[1,7],"event":[2]}`, `"events":[3]`, `"time":[4]`, `"event_properties":[5]`, `"user_properties.$add.a":[6]`, `"silenced_events":[]`)
	if n := len(a.facts()); n != 0 || len(told) != 7 || told[0].Dialect != "amplitude" {
		t.Errorf("%d facts, %d refused", n, len(told))
	}
	const one = `{"api_key":"WRITEKEY","events":[{"event_type":"A","user_id":"u"}]}`
	a.want(a.send("POST", "/2/httpapi", strings.Replace(one, "WRITEKEY", "OTHER", 1)), 400, `"error":"Invalid API key`)
	a.want(a.send("POST", "/batch", strings.Replace(one, "WRITEKEY", "OTHER", 1)), 400, `"error":"Invalid API key`)
	for _, body := range []string{`{`, `{"api_key":"WRITEKEY","events":[]}`, `{"api_key":"WRITEKEY"}`, `{"api_key":"WRITEKEY","events":7}`} {
		a.want(a.send("POST", "/2/httpapi", body), 400, `"missing_field":"events"`)
	}
	a.want(a.send("POST", "/2/httpapi", `{"api_key":"WRITEKEY","events":[`+strings.Repeat(`7,`, amplitudeMaxEvents)+`7]}`), 413, `"code":413`)
	a.want(a.send("POST", "/2/httpapi", strings.Repeat(" ", amplitudeMaxBody)+one), 413, `"code":413`)
	a.want(a.send("POST", "/batch", strings.Repeat(" ", amplitudeMaxBody)+one), 200)
	a.want(a.send("POST", "/batch", strings.Repeat(" ", amplitudeMaxBatch)+one), 413, `"code":413`)
	a.want(a.send("POST", "/batch", `{`), 400, `"code":400`, `"missing_field":"events"`)
	a.want(a.send("POST", "/batch", strings.Repeat(" ", posthogMaxBody)+`{"api_key":"WRITEKEY","batch":[]}`), 413)
	a.facts()
	// What is answered 429 is sent again at once, until the libraries give up.
	a.err = fmt.Errorf("wrapped: %w", journal.ErrOverloaded)
	a.want(a.send("POST", "/2/httpapi", one), 503, `"code":503`)
	a.want(a.send("POST", "/batch", one), 503, `"code":503`)
	a.err = nil
	a.want(a.send("GET", "/config/WRITEKEY?config_group=browser", "", "Origin", "https://shop.example"), 200, `{"configs":{}}`)
	a.want(a.send("POST", "/sessions/v2/track", "x"), 200)
}

func TestAmplitudeAddress(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.IP = CutIP
	for ip, want := range map[string]string{`"203.0.113.7"`: "203.0.113.0/24", `"$remote"`: "192.0.2.0/24", `null`: ""} {
		a.want(a.send("POST", "/2/httpapi", `{"api_key":"WRITEKEY","events":[{"event_type":"A","user_id":"u","ip":`+ip+`}]}`), 200)
		if got := event.Lookup(a.facts()[0].Props, "ip").Text(); got != want {
			t.Errorf("%s: %q", ip, got)
		}
	}
}

func FuzzAmplitude(f *testing.F) {
	f.Add(true, `[{"event_type":"A","user_id":"u","insert_id":"i","time":1795449600000,"event_properties":{"[Amplitude] Page Path":"/"},"user_properties":{"$set":{"a":1}},"groups":{"a":["b"]},"ip":"1.2.3.4"}]`)
	f.Add(true, `[{"event_type":"revenue_amount","device_id":"d","event_properties":{"$price":1e308,"$quantity":1e308}}]`)
	f.Add(false, `api_key=k&identification=%7B%22user_id%22%3A%22u%22%2C%22user_properties%22%3A%7B%22%24add%22%3A%7B%22a%22%3A%221%22%7D%7D%7D`)
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{IP: CutIP}}}
	f.Fuzz(func(t *testing.T, events bool, body string) {
		b := door.begin("amplitude", key)
		if events {
			v, err := parseJSON(body)
			if err != nil {
				return
			}
			translateAmplitude(b, v.List(), time.Time{}, "192.0.2.1:1", amplitudeEvent)
		} else {
			_, items, err := readAmplitudeForm(&parser{s: body}, "identification")
			if err != nil {
				return
			}
			translateAmplitude(b, items, time.Time{}, "", amplitudeIdentify)
		}
		_ = refusedList(b.refused, "messageId").AppendJSON(nil)
		fuzzFacts(t, b.facts, b.limits)
	})
}
