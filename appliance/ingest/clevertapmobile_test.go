package ingest

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// No Android or iOS runs here: these are requests as the code of their
// libraries builds them.

const a1 = "/a1?os=Android&t=80000&z=TEST-123-456Z&ts=1795451160"

const metaAndroid = `{"g":"__2bf5ab5b","type":"meta","af":{"Build":"42","Version":"1.4","OS Version":"16","SDK Version":80000,"Make":"Google","Model":"Pixel 9","Carrier":"Airtel","useIP":false,"OS":"Android","cc":"in","lib":"Android"},"id":"TEST-123-456Z","tk":"b06-1a2","l_ts":1795451100,"f_ts":1795440000,"ct_pi":"Identity,Email","ddnd":false,"rtl":[],"rct":0,"ait":0,"frs":true,"fl":true,"imp":0,"tlc":[]}`

func (a *atDoor) queue(path string, records ...string) {
	a.t.Helper()
	w := a.send("POST", path, "["+strings.Join(append([]string{metaAndroid}, records...), ",")+"]", "X-CleverTap-Account-ID", "TEST-123-456Z", "X-CleverTap-Token", "b06-1a2", "Content-Type", "application/json; charset=utf-8")
	a.want(w, 200, "{}")
	for _, h := range []string{"X-WZRK-MUTE", "X-WZRK-RD"} {
		if w.Header().Get(h) != "" {
			a.t.Errorf("%s: %s", h, w.Header().Get(h))
		}
	}
}

// wantPlain is wantFacts but for the ids.
func (a *atDoor) wantPlain(want ...string) {
	a.t.Helper()
	var got []string
	for _, f := range a.facts() {
		f.ID = ""
		got = append(got, show(&f))
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		a.t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestClevertapMobile(t *testing.T) {
	const rest = `"n":"Main","s":1795451000,"pg":1,"ep":1795451150,"f":false,"lsl":61`
	message := "5f8d3a3e9d1f4a0c8f9b6a7c1e2d3f40"
	for _, c := range []struct{ name, record, want string }{
		{"an event", `{"evtName":"Product Viewed","evtData":{"price":59.99,"when":"$D_1700000000"},` + rest + `,"type":"event"}`,
			`track device=__2bf5ab5b name=Product Viewed at=2026-11-23T16:25:50Z props={"price":59.99,"when":"2023-11-14T22:13:20Z"}`},
		{"a purchase", `{"evtName":"Charged","evtData":{"Amount":300,"Items":[{"sku":"x","n":1}]},` + rest + `,"type":"event"}`,
			`track device=__2bf5ab5b name=Charged at=2026-11-23T16:25:50Z props={"Amount":300,"Items":[{"sku":"x","n":1}]}`},
		{"launched", `{"evtName":"App Launched","evtData":{"Version":"1.4","Make":"Google","GoogleAdID":"38400000","Latitude":19.07,"Longitude":72.87},` + rest + `,"pai":"com.shop","type":"event"}`,
			`track device=__2bf5ab5b name=App Launched at=2026-11-23T16:25:50Z props={"Version":"1.4","Make":"Google"}`},
		{"an internal event", `{"evtName":"wzrk_fetch","evtData":{"t":4},` + rest + `,"type":"event"}`, ``},
		{"a screen", `{` + rest + `,"type":"page"}`, `track device=__2bf5ab5b name=Screen Viewed at=2026-11-23T16:25:50Z props={"name":"Main"}`},
		{"a campaign's link", `{"us":"news","um":"email","uc":"launch","referrer":"shop://x","install":true,` + rest + `,"type":"page"}`,
			`track device=__2bf5ab5b name=UTM Visited at=2026-11-23T16:25:50Z props={"referrer":"shop://x","utm_source":"news","utm_medium":"email","utm_campaign":"launch","name":"Main"}`},
		{"a login", `{"profile":{"Identity":61026032,"Name":"Asha","Email":"asha@shop.example","Phone":"+919812345678","MSG-push":false,"Stuff":{"$add":["hat"]},"Score":{"$incr":5},"cc":"in","tz":"Asia/Kolkata"},` + rest + `,"type":"profile"}`,
			`identify user=61026032 device=__2bf5ab5b at=2026-11-23T16:25:50Z Name:0="Asha" Email:0="asha@shop.example" Phone:0="+919812345678" Stuff:2=["hat"] Score:5=5 cc:0="in" tz:0="Asia/Kolkata" consent:Advertising/push=false consent:news/push=false to:email/=asha@shop.example to:sms/=+919812345678`},
		{"opted out", `{"profile":{"ct_optout":true,"ct_allow_sys_events_and_communication":false,"tz":"GMT"},` + rest + `,"type":"profile"}`,
			`identify device=__2bf5ab5b at=2026-11-23T16:25:50Z consent:collection/=false`},
		{"opted out of the app's own events", `{"profile":{"ct_optout":true,"ct_allow_sys_events_and_communication":true},` + rest + `,"type":"profile"}`, ``},
		{"opted in", `{"profile":{"ct_optout":false,"ct_allow_sys_events_and_communication":false},` + rest + `,"type":"profile"}`,
			`identify device=__2bf5ab5b at=2026-11-23T16:25:50Z consent:collection/=true`},
		{"a token", `{"data":{"action":"register","id":"fcm:APA91","type":"fcm"},` + rest + `,"type":"data"}`, `identify device=__2bf5ab5b at=2026-11-23T16:25:50Z to:push/fcm=fcm:APA91`},
		{"a token of Apple's", `{"data":{"action":"register","id":"00aa","type":"apns"},"type":"data"}`, `identify device=__2bf5ab5b at=2026-11-23T16:26:00Z to:push/apns=00aa`},
		{"a token that ends", `{"data":{"action":"unregister","id":"fcm:APA91","type":"fcm"},` + rest + `,"type":"data"}`, `identify device=__2bf5ab5b at=2026-11-23T16:25:50Z not:push/fcm=fcm:APA91`},
		{"another provider's token", `{"data":{"action":"register","id":"x","type":"hps"},` + rest + `,"type":"data"}`, `refused 534`},
		{"a ping", `{"mc":1,"nt":"WiFi",` + rest + `,"type":"ping"}`, ``},
		{"a message seen", `{"evtName":"Notification Viewed","evtData":{"wzrk_id":"` + message + `","wzrk_pivot":"wzrk_default"},"s":1,"type":"event","ep":1795451150}`,
			`track name=Notification Viewed at=2026-11-23T16:25:50Z props={"message":"` + message + `"}`},
		{"another's message", `{"evtName":"Notification Clicked","evtData":{"wzrk_id":"1700000000_20231114"},"type":"event","ep":1795451150}`, `refused reserved`},
		{"no type", `{}`, `refused 524`},
		{"no object", `7`, `refused 524`},
		{"no name", `{"type":"event"}`, `refused 509`},
		{"the library's report", `{"evtName":"A","type":"event","ep":1795451150,"wzrk_error":{"c":513,"d":"Stayed is a restricted event name"}}`,
			"refused 513\ntrack device=__2bf5ab5b name=A at=2026-11-23T16:25:50Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newWebDoor(t)
			var refused []string
			a.pub.Refused = func(all []Refused) {
				for _, one := range all {
					code, _, _ := reasonOf(one.Err)
					refused = append(refused, "refused "+code)
				}
			}
			a.pub.Message = func(id string) (uint32, []event.Prop, bool) {
				return 7, []event.Prop{{Key: event.PropMessage, Value: event.OfText(id)}}, id == message
			}
			a.queue(a1, c.record)
			got := refused
			for _, f := range a.facts() {
				if (f.Person == 7) != (c.name == "a message seen") || f.ID == "" {
					t.Errorf("person %d, id %q", f.Person, f.ID)
				}
				f.ID = ""
				got = append(got, show(&f))
			}
			if g := strings.Join(got, "\n"); g != c.want {
				t.Errorf("got\n%s\nwant\n%s", g, c.want)
			}
		})
	}
}

// What is sent again is the same, also with more behind it or written anew; what
// was done twice in a second is two.
func TestClevertapMobileRepeats(t *testing.T) {
	a := newWebDoor(t)
	tap := `{"evtName":"Tap","evtData":{"x":1,"y":2},"type":"event","ep":1795451150}`
	ids := func() (out []string) {
		for _, f := range a.facts() {
			out = append(out, f.ID)
		}
		return out
	}
	a.queue(a1, tap, tap)
	first := ids()
	a.now = a.now.Add(time.Hour)
	a.queue("/ct"+strings.Replace(a1, "1795451160", "1795454760", 1), tap, `{"type":"event","ep":1795451150,"evtData":{"y":2,"x":1},"evtName":"Tap"}`, tap)
	second := ids()
	if len(first) != 2 || len(second) != 3 || first[0] == first[1] || second[0] != first[0] || second[1] != first[1] || second[2] == second[1] {
		t.Errorf("%v, then %v", first, second)
	}
	// Another device's tap is another.
	w := a.send("POST", a1, `[{"type":"meta","g":"other"},`+tap+`]`, "X-CleverTap-Account-ID", "TEST-123-456Z")
	a.want(w, 200)
	if other := ids(); len(other) != 1 || other[0] == first[0] {
		t.Errorf("%v", other)
	}
}

func TestClevertapMobileClock(t *testing.T) {
	a := newWebDoor(t)
	// The device is a day and an hour behind, and says when it sends.
	a.queue(strings.Replace(a1, "1795451160", "1795361160", 1), `{"type":"event","evtName":"A","ep":1795361100}`)
	a.wantPlain(`track device=__2bf5ab5b name=A at=2026-11-23T16:25:00Z`)
	for _, ts := range []string{"", "x", "-1", "1e300", "NaN"} {
		a.queue("/a1?ts="+ts, `{"type":"event","evtName":"A","ep":1795451100}`)
		a.wantPlain(`track device=__2bf5ab5b name=A at=2026-11-23T16:25:00Z`)
	}
}

func TestClevertapMobileAnswers(t *testing.T) {
	a := newWebDoor(t)
	w := a.send("GET", "/hello?os=iOS&t=70000&z=TEST-123-456Z", "", "Host", "x")
	a.want(w, 200, "{}")
	if w.Header().Get("X-WZRK-RD") != "example.com" || w.Header().Get("X-WZRK-SPIKY-RD") != "example.com" || w.Header().Get("X-WZRK-MUTE") != "" {
		t.Errorf("%v", w.Header())
	}
	account := []string{"X-CleverTap-Account-ID", "TEST-123-456Z"}
	// A library would send these again for ever, and nothing behind them.
	said := 0
	a.pub.Refused = func(all []Refused) { said += len(all) }
	for _, body := range []string{``, `x`, `{}`, `[]`, `[7]`, `[{"type":"event","evtName":"A"}]`, `[{"type":"meta","g":"d"},{"type":"event","evtName":"A","evtData":{"n":99999999999999999999}}]`,
		`[{"type":"meta"},{"type":"event","evtName":"A"}]`, `[{"type":"meta","g":7},{"type":"event","evtName":"A"}]`,
		`[{"type":"meta","g":"d"}` + strings.Repeat(`,{}`, clevertapMaxSent) + `]`} {
		before := said
		a.want(a.send("POST", "/a1", body, account...), 200, "{}")
		if said == before {
			t.Errorf("nobody is told of %.60s", body)
		}
	}
	a.want(a.send("POST", "/a1", "["+metaAndroid+"]", account...), 200, "{}")
	a.wantFacts()
	a.want(a.send("POST", "/a1", "["+metaAndroid+"]"), 401)
	a.want(a.send("POST", "/a1?z=TEST-123-456Z", "["+metaAndroid+"]"), 200)
	a.want(a.send("POST", "/a1", `{"itp":"..","itk":"..","itv":".."}`, append(account, "X-CleverTap-Encryption-Enabled", "true")...), 419)
	for _, path := range []string{"/defineVars", "/defineTemplates", "/content", "/inbox/v2/getMessages", "/inbox/v2/deleteMessages", "/ct/defineVars", "/ct/inbox/v2/getMessages"} {
		a.want(a.send("POST", path, `[`+metaAndroid+`]`), 200, "{}")
		if w := a.send("OPTIONS", path, "", "Access-Control-Request-Headers", "content-type"); w.Code != 204 || w.Header().Get("Access-Control-Allow-Headers") != "content-type" {
			t.Errorf("%s: preflight %d", path, w.Code)
		}
	}
}

// FuzzClevertapMobile: whatever comes is answered, and what is taken passes Check.
func FuzzClevertapMobile(f *testing.F) {
	f.Add("["+metaAndroid+`,{"type":"event","evtName":"A","evtData":{"a":[1,{"b":null}]},"ep":1}]`, "1795451160")
	f.Add("["+metaAndroid+`,{"type":"profile","profile":{"Identity":1,"x":{"$add":[1]},"ct_optout":true}}]`, "1")
	f.Add("["+metaAndroid+`,{"type":"data","data":{"action":"register","id":"x","type":"fcm"}},{"type":"page","us":"x"}]`, "")
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{IP: CutIP}, Hash: testHash}}
	f.Fuzz(func(t *testing.T, body, ts string) {
		v, err := parseJSON(body)
		if err != nil {
			return
		}
		r := httptest.NewRequest("POST", "/a1?"+url.Values{"ts": {ts}}.Encode(), nil)
		b := door.begin("clevertap-mobile", key)
		translateClevertapQueue(b, v, r)
		fuzzFacts(t, b.facts, b.limits)
	})
}

// What a device says of itself makes no counters, and stands in the record alone.
func TestClevertapReported(t *testing.T) {
	for said, want := range map[string]string{`{"c":513,"d":"ann@shop.example"}`: "513", `{"c":1e18}`: "512", `{"c":-1}`: "512", `{"c":"x"}`: "512", `{}`: "512"} {
		v, err := event.ParseJSON([]byte(said))
		if err != nil {
			t.Fatal(err)
		}
		if code, _, message := reasonOf(clevertapReported(v)); code != want || strings.Contains(message, "ann@") {
			t.Errorf("%s: %s %q", said, code, message)
		}
	}
}
