package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

type recorded struct {
	N       int               `json:"n"`
	SDK     string            `json:"sdk"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

// What unmodified libraries sent is taken whole.
func TestSegmentRecordings(t *testing.T) {
	var doc struct {
		Entries []recorded `json:"entries"`
	}
	if err := json.Unmarshal(recording(t, "segment-requests.json"), &doc); err != nil {
		t.Fatal(err)
	}
	a := newDoor(t)
	posts := 0
	for _, e := range doc.Entries {
		body := string(e.Body)
		var headers []string
		for k, v := range e.Headers {
			if k != "content-length" {
				headers = append(headers, k, v)
			}
		}
		if e.Headers["content-encoding"] == "gzip" {
			body = zipped(t, body)
		}
		w := a.send(e.Method, e.Path, body, headers...)
		switch e.Method {
		case "POST":
			posts++
			a.want(w, 200, `"success":true`)
			if strings.Contains(w.Body.String(), "rejected") {
				t.Errorf("%d %s: %s", e.N, e.SDK, w.Body)
			}
		case "OPTIONS":
			a.want(w, 204)
			if got := w.Header().Get("Access-Control-Allow-Headers"); got != e.Headers["access-control-request-headers"] {
				t.Errorf("%d %s: headers allowed: %q", e.N, e.SDK, got)
			}
		default:
			if strings.HasPrefix(e.Path, "/sourceConfig") {
				a.want(w, 200, `{"source":{"id":"WRITEKEY"`, `"destinations":[]`)
			} else {
				a.want(w, 200, `{"integrations":{"Segment.io":{"apiKey":"WRITEKEY"}}}`)
			}
		}
	}
	if posts < 18 {
		t.Fatalf("only %d recordings were sent", posts)
	}
	got := map[string]int{}
	for _, f := range a.facts() {
		got[f.Kind.String()+" "+f.Name]++
		if f.Kind == event.Alias && (f.User == f.Previous || f.Previous == "") {
			t.Errorf("an alias of nobody: %s", show(&f))
		}
		if f.Kind == event.Track && f.ID == "custom-msg-1" {
			want := `track id=custom-msg-1 user=u-1 name=Order Completed at=2023-11-14T22:13:20Z props={"order_id":"o-1","revenue":25.5,"currency":"INR","products":[{"product_id":"p1","price":12.75,"quantity":2}]}`
			if show(&f) != want {
				t.Errorf("got  %s\nwant %s", show(&f), want)
			}
		}
		// Two of RudderStack's libraries were told the event's time by their caller.
		if f.Name == "Order Completed" && time.UnixMicro(f.Time).Year() != 2023 && time.UnixMicro(f.Time).Year() != 2026 {
			t.Errorf("at the wrong time: %s", show(&f))
		}
	}
	for name, least := range map[string]int{"track Order Completed": 6, "identify ": 8, "track Page Viewed": 6, "track Screen Viewed": 4, "track Group Joined": 5, "alias ": 3} {
		if got[name] < least {
			t.Errorf("%s: %d, and at least %d were sent", name, got[name], least)
		}
	}
}

func TestSegmentMessages(t *testing.T) {
	const at = `"timestamp":"2026-11-23T16:00:00.000Z"`
	cases := []struct {
		name, path, body string
		want             []string
	}{
		{"track", "/v1/track", `{"userId":"u","anonymousId":"d","messageId":"m","event":"Bought","properties":{"a":1,"n":null,"l":[1,"x"],"o":{"k":true}},` + at + `}`,
			[]string{`track id=m user=u device=d name=Bought at=2026-11-23T16:00:00Z props={"a":1,"l":[1,"x"],"o":{"k":true}}`}},
		{"numbers as ids", "/v1/t", `{"userId":42,"event":"Bought",` + at + `}`, []string{`track user=42 name=Bought at=2026-11-23T16:00:00Z`}},
		{"the user in both places", "/v1/t", `{"userId":"u","anonymousId":"u","event":"Bought",` + at + `}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"no time", "/v1/t", `{"userId":"u","event":"Bought"}`, []string{`track user=u name=Bought at=2026-11-23T16:26:00Z`}},
		{"nanoseconds and a zone", "/v1/t", `{"userId":"u","event":"Bought","timestamp":"2026-11-23T18:00:00.123456789+02:00"}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00.123456Z`}},
		{"a clock an hour behind", "/v1/t", `{"userId":"u","event":"Bought","timestamp":"2026-11-23T15:00:00Z","sentAt":"2026-11-23T15:26:00Z"}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"a time that the caller gave", "/v1/t", `{"userId":"u","event":"Bought","timestamp":"2023-01-01T00:00:00Z","originalTimestamp":"2026-11-23T15:00:00Z","sentAt":"2026-11-23T15:26:00Z"}`, []string{`track user=u name=Bought at=2023-01-01T00:00:00Z`}},
		{"only originalTimestamp", "/v1/t", `{"userId":"u","event":"Bought","originalTimestamp":"2026-11-23T15:00:00Z","sentAt":"2026-11-23T15:26:00Z"}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"far ahead", "/v1/t", `{"userId":"u","event":"Bought","timestamp":"2036-01-01T00:00:00Z"}`, []string{`track user=u name=Bought at=2026-11-23T16:26:00Z flags=1`}},
		{"page", "/v1/p", `{"anonymousId":"d","name":"Home","category":"Docs","properties":{"category":"own"},` + at + `}`, []string{`track device=d name=Page Viewed at=2026-11-23T16:00:00Z props={"category":"own","name":"Home"}`}},
		{"screen", "/v1/screen", `{"anonymousId":"d","name":"Cart",` + at + `}`, []string{`track device=d name=Screen Viewed at=2026-11-23T16:00:00Z props={"name":"Cart"}`}},
		{"group", "/v1/g", `{"userId":"u","groupId":"g","traits":{"plan":"x","group":"y"},` + at + `}`, []string{`track user=u name=Group Joined at=2026-11-23T16:00:00Z props={"plan":"x","group":"g"}`}},
		{"identify", "/v1/identify", `{"userId":"u","anonymousId":"d","traits":{"email":"A@Shop.EXAMPLE","phone":"+91 98123-45678","plan":"gold","old":null,"customer_ref":"c"},"context":{"timezone":"Asia/Kolkata","traits":{"plan":"tin","city":"Pune"}},` + at + `}`,
			[]string{`identify user=u device=d at=2026-11-23T16:00:00Z email:0="A@Shop.EXAMPLE" phone:0="+91 98123-45678" plan:0="gold" old:4=null customer_ref:0="c"(personal) city:0="Pune" tz:0="Asia/Kolkata" to:email/=A@shop.example to:sms/=+919812345678`}},
		{"alias", "/v1/alias", `{"userId":"u","previousId":"d",` + at + `}`, []string{`alias user=u previous=d at=2026-11-23T16:00:00Z`}},
		{"alias of the anonymous", "/v1/a", `{"userId":"u","anonymousId":"d",` + at + `}`, []string{`alias user=u previous=d at=2026-11-23T16:00:00Z`}},
		{"alias to itself", "/v1/a", `{"userId":"u","previousId":"u","anonymousId":"d",` + at + `}`, nil},
		{"consent on an event", "/v1/t", `{"userId":"u","messageId":"m","event":"Bought","context":{"consent":{"categoryPreferences":{"Advertising":false,"news":true,"Other":true}}},` + at + `}`,
			[]string{`identify id=m/known user=u at=2026-11-23T16:00:00Z consent:Advertising/=false consent:news/=true`, `track id=m user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"all refused", "/v1/identify", `{"userId":"u","context":{"consent":{"categoryPreferences":{}}},` + at + `}`, []string{`identify user=u at=2026-11-23T16:00:00Z consent:Advertising/=false consent:Analytics/=false consent:news/=false`}},
		{"nothing said", "/v1/identify", `{"userId":"u","context":{"consent":{}},` + at + `}`, []string{`identify user=u at=2026-11-23T16:00:00Z`}},
		{"a push token", "/v1/t", `{"anonymousId":"d","event":"Opened","context":{"device":{"token":"tok","type":"iOS"}},` + at + `}`,
			[]string{`identify device=d at=2026-11-23T16:00:00Z to:push/apns=tok`, `track device=d name=Opened at=2026-11-23T16:00:00Z`}},
		{"rules of properties", "/v1/t", `{"userId":"u","event":"Charged","properties":{"amount":1,"card_number":"4111","delivery_address":"x"},` + at + `}`, []string{`track user=u name=Charged at=2026-11-23T16:00:00Z props={"amount":1,"delivery_address":"x"} personal:delivery_address`}},
		{"a batch shares its context", "/v1/batch", `{"batch":[{"type":"track","userId":"u","event":"A"},{"type":"identify","userId":"v"}],"context":{"device":{"token":"tok"}},"sentAt":"2026-11-23T16:26:00Z"}`,
			[]string{`identify user=u at=2026-11-23T16:26:00Z to:push/fcm=tok`, `track user=u name=A at=2026-11-23T16:26:00Z`, `identify user=v at=2026-11-23T16:26:00Z to:push/fcm=tok`}},
		{"a batch's traits and time", "/v1/b", `{"batch":[{"type":"identify","userId":"u","traits":{"plan":"x"}}],"context":{"traits":{"city":"Pune","plan":"y"}},"timestamp":"2026-11-23T16:00:00Z"}`, []string{`identify user=u at=2026-11-23T16:00:00Z plan:0="x" city:0="Pune"`}},
		{"a message's context before its batch's", "/v1/b", `{"batch":[{"type":"identify","userId":"u","context":{"timezone":"Asia/Kolkata"},` + at + `}],"context":{"timezone":"Europe/Berlin"}}`, []string{`identify user=u at=2026-11-23T16:00:00Z tz:0="Asia/Kolkata"`}},
		{"traits in a track's context change nobody", "/v1/t", `{"userId":"u","event":"Bought","context":{"traits":{"plan":"x"}},` + at + `}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"what nobody looks at", "/v1/t", `{"userId":"u","event":"Bought","channel":"web","version":2,"integrations":{"all":true,"Some":{"x":[1]}},"_metadata":{"a":{}},"context":{"library":{"name":"x"},"screen":{"density":1.5}},` + at + `}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00Z`}},
		{"a zone without a colon", "/v1/t", `{"userId":"u","event":"Bought","timestamp":"2026-11-23T18:00:00.5+0200"}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00.5Z`}},
		{"no zone is UTC", "/v1/t", `{"userId":"u","event":"Bought","timestamp":"2026-11-23T16:00:00.25"}`, []string{`track user=u name=Bought at=2026-11-23T16:00:00.25Z`}},
		{"a preference of consent", "/v1/t", `{"anonymousId":"d","messageId":"m","event":"Segment Consent Preference Updated","properties":{},"context":{"consent":{"version":2,"categoryPreferences":{"news":false,"Analytics":true}}},` + at + `}`,
			[]string{`identify id=m/known device=d at=2026-11-23T16:00:00Z consent:news/=false consent:Analytics/=true`, `track id=m device=d name=Segment Consent Preference Updated at=2026-11-23T16:00:00Z`}},
		{"an Android token", "/v1/s", `{"anonymousId":"d","name":"Cart","context":{"device":{"id":"x","token":"tok","type":"android"}},` + at + `}`,
			[]string{`identify device=d at=2026-11-23T16:00:00Z to:push/fcm=tok`, `track device=d name=Screen Viewed at=2026-11-23T16:00:00Z props={"name":"Cart"}`}},
		{"an empty batch", "/v1/b", `{"batch":[]}`, nil},
		{"the old name of batch", "/v1/import", `{"batch":[{"type":"track","userId":"u","event":"A",` + at + `}]}`, []string{`track user=u name=A at=2026-11-23T16:00:00Z`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			a.want(a.segment(c.path, c.body), 200, `{"success":true}`)
			a.wantFacts(c.want...)
		})
	}
}

func TestSegmentItemsAreRefusedOneByOne(t *testing.T) {
	bad := []struct{ item, part string }{
		{`{"type":"track","event":"x"}`, `"code":"nobody"`},
		{`{"type":"track","userId":"u"}`, `"code":"empty","field":"event"`},
		{`{"type":"track","userId":"u","event":"Notification Sent"}`, `"code":"reserved"`},
		{`{"type":"track","userId":"u","event":"` + strings.Repeat("x", 129) + `"}`, `"code":"too_long"`},
		{`{"type":"track","userId":"` + strings.Repeat("x", 513) + `","event":"x"}`, `"code":"too_long","field":"user"`},
		{`{"type":"track","userId":"u\u202e","event":"x"}`, `"code":"character"`},
		{`{"type":"track","userId":"u","event":"a\u0000b"}`, `"code":"character"`},
		{`{"type":"track","userId":"u","event":"x","properties":[1]}`, `"field":"properties"`},
		{`{"type":"track","userId":"u","event":"x","properties":{"":1}}`, `"code":"empty"`},
		{`{"type":"track","userId":"u","event":"x","properties":{"a":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}}`, `"code":"too_deep"`},
		{`{"type":"track","userId":"u","event":"x","properties":{"a":"` + strings.Repeat("x", 4097) + `"}}`, `"code":"too_long"`},
		{`{"type":"track","userId":"u","event":"x","properties":{"a":"` + strings.Repeat("x", 33000) + `"}}`, `larger than 32 kB`},
		{`{"type":"track","userId":"u","event":"x","timestamp":"yesterday"}`, `"field":"timestamp"`},
		{`{"type":"track","userId":"u","event":"x","timestamp":17}`, `"field":"timestamp"`},
		{`{"type":"track","userId":"u","event":"x","timestamp":"1970-01-01T00:00:00Z"}`, `"code":"too_old"`},
		{`{"type":"group","userId":"u"}`, `"field":"groupId"`},
		{`{"type":"alias","previousId":"u"}`, `"field":"userId"`},
		{`{"type":"alias","userId":"u"}`, `"code":"empty","field":"previous"`},
		{`{"type":"other","userId":"u"}`, `"field":"type"`},
		{`{"userId":"u","event":"x"}`, `"field":"type"`},
		{`7`, `must be an object`},
		{`null`, `must be an object`},
	}
	a := newDoor(t)
	a.pub.Rules.Retention = 100 * 365 * day
	refused := 0
	a.pub.Refused = func(all []Refused) { refused += len(all) }
	for i, b := range bad {
		w := a.segment("/v1/batch", fmt.Sprintf(`{"batch":[{"type":"track","userId":"u","event":"Good","messageId":"a%d"},%s,{"type":"track","userId":"u","event":"Good","messageId":"b%d"}]}`, i, b.item, i))
		a.want(w, 200, `"success":true,"accepted":2,"rejected":[{"index":1`, b.part)
	}
	if got := len(a.facts()); got != 2*len(bad) || refused != len(bad) {
		t.Errorf("%d facts taken, %d refused", got, refused)
	}
	many := strings.Repeat(`{"type":"track","userId":"u","event":"x"},`, segmentMaxEvents)
	a.want(a.segment("/v1/batch", `{"batch":[`+many+`{}]}`), 400, "at most 2500")
	a.pub.Rules.Retention = 30 * day
	a.want(a.segment("/v1/track", `{"userId":"u","event":"x","timestamp":"2026-01-01T00:00:00Z"}`), 200, `"code":"too_old"`)
	a.want(a.segment("/v1/identify", `{"userId":"u","timestamp":"2026-01-01T00:00:00Z"}`), 200, `{"success":true}`)
	a.pub.Rules.Retention, a.pub.Rules.Kept = 100*365*day, map[string]time.Duration{"x": 30 * day}
	a.want(a.segment("/v1/track", `{"userId":"u","event":"x","timestamp":"2026-01-01T00:00:00Z"}`), 200, `"code":"too_old"`)
	a.want(a.segment("/v1/track", `{"userId":"u","event":"y","timestamp":"2026-01-01T00:00:00Z"}`), 200, `{"success":true}`)
}

// What rides on a message of the longest id there may be has one that fits.
func TestKnownOfLongID(t *testing.T) {
	a := newDoor(t)
	body := fmt.Sprintf(`{"userId":"u","messageId":"%s","event":"E","context":{"consent":{"categoryPreferences":{"news":true}}}}`, strings.Repeat("m", event.DefaultLimits().ID))
	for range 2 {
		a.want(a.segment("/v1/track", body), 200, `{"success":true}`)
	}
	got := a.facts()
	if len(got) != 4 || got[0].ID != got[2].ID || got[0].ID == got[1].ID {
		t.Errorf("%d facts", len(got))
	}
}

func TestSegmentKeys(t *testing.T) {
	a := newDoor(t)
	body := `{"userId":"u","event":"x","writeKey":"WRITEKEY"}`
	for _, c := range []struct {
		auth, body string
		status     int
	}{
		{"", body, 200},
		{"Basic V1JJVEVLRVk6", `{"userId":"u","event":"x"}`, 200},
		{"Basic V1JJVEVLRVk=", `{"userId":"u","event":"x"}`, 200}, // no colon
		{"Bearer abc", body, 200},
		{"Basic b3RoZXI6", body, 401},
		{"", `{"userId":"u","event":"x"}`, 401},
		{"", `{"userId":"u","event":"x","writeKey":"OTHER"}`, 401},
		{"", `{"userId":"u","event":"x","writeKey":["WRITEKEY"]}`, 401},
	} {
		a.want(a.send("POST", "/v1/track", c.body, "Authorization", c.auth, "Content-Type", "text/plain"), c.status)
	}
}

// Bodies that are no JSON, or no JSON that is one: nothing of them is kept.
func TestMalformed(t *testing.T) {
	a := newDoor(t)
	for _, body := range []string{
		``, `{`, `[]`, `null`, `"x"`, `{"batch":[{}]} x`, `{"batch":[],"batch":[]}`, `{"batch":[{"type":"track","type":"track"}]}`, "\xef\xbb\xbf{\"batch\":[]}",
		`{"batch":[{"type":"track","userId":"u","event":"x","properties":{"a":NaN}}]}`, `{"batch":[{"type":"track","userId":"u","event":"x","properties":{"a":1e400}}]}`,
		`{"batch":[{"type":"track","userId":"u","event":"x","properties":{"a":123456789012345678901}}]}`, "{\"batch\":[{\"userId\":\"\xff\"}]}", `{"batch":[{"userId":"\ud800"}]}`,
		`{"batch":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `{"batch":{}}`, `{"d":[]}`, `{"batch":[1,]}`, `{"batch":[],}`, strings.Repeat("[", 200_000),
	} {
		w := a.segment("/v1/batch", body)
		a.want(w, 400, `"success":false`)
		w = a.upload(strings.ReplaceAll(body, `"batch"`, `"d"`))
		if body != `{"d":[]}` {
			a.want(w, 400, `"status":"fail"`, `"code":400`)
		}
	}
	if got := a.facts(); len(got) > 0 {
		t.Errorf("%d facts were kept", len(got))
	}
}

func TestIPIsCut(t *testing.T) {
	a := newDoor(t)
	send := func(context string) string {
		a.want(a.segment("/v1/track", `{"userId":"u","event":"x","context":`+context+`}`), 200, `{"success":true}`)
		f := a.facts()
		return event.Lookup(f[0].Props, "ip").Text()
	}
	if got := send(`{"ip":"203.0.113.7"}`); got != "" {
		t.Errorf("kept %q", got)
	}
	a.pub.Rules.IP = CutIP
	for context, want := range map[string]string{
		`{"ip":"203.0.113.7"}`: "203.0.113.0/24", `{"ip":"::ffff:203.0.113.7"}`: "203.0.113.0/24", `{"ip":"2001:db8:1:2::3"}`: "2001:db8:1::/48",
		`{"ip":"fe80::1%eth0"}`: "fe80::/48", `{"ip":"no"}`: "", `{"ip":7}`: "", `{}`: "", `{"direct":true}`: "192.0.2.0/24",
	} {
		if got := send(context); got != want {
			t.Errorf("%s: %q, not %q", context, got, want)
		}
	}
}

func TestCeilings(t *testing.T) {
	a := newDoor(t)
	over := 0
	names := make([]string, MaxNames-1)
	for i := range names {
		names[i] = fmt.Sprint("e", i)
	}
	a.pub.Rules.Names = NewNames(names, nil, nil)
	a.pub.Rules.Names.Over = func(string) { over++ }
	a.want(a.segment("/v1/track", `{"userId":"u","event":"last"}`), 200, `{"success":true}`)
	a.want(a.segment("/v1/track", `{"userId":"u","event":"beyond"}`), 200, `"code":"too_many"`)
	a.want(a.segment("/v1/track", `{"userId":"u","event":"last","properties":{"a":1}}`), 200, `{"success":true}`)
	a.want(a.segment("/v1/track", `{"userId":"u","event":"e7","properties":{"a":1}}`), 200, `{"success":true}`)
	if over != 1 || len(a.facts()) != 3 {
		t.Errorf("%d refused", over)
	}
}

func fuzzFacts(t *testing.T, facts []event.Fact, limits event.Limits) {
	t.Helper()
	for i := range facts {
		f := &facts[i]
		if err := event.Check(f, limits); err != nil {
			t.Fatalf("taken, and Check says: %v", err)
		}
		back, err := event.DecodeFacts(event.AppendFact(nil, f))
		if err != nil || len(back) != 1 || show(&back[0]) != show(f) {
			t.Fatalf("%s comes back as %v, %v", show(f), back, err)
		}
	}
}

func FuzzSegment(f *testing.F) {
	f.Add("batch", `{"batch":[{"type":"track","userId":"u","event":"x","properties":{"a":[1,{"b":null}]},"timestamp":"2026-11-23T16:00:00.000Z"}],"sentAt":"2026-11-23T16:00:00.000Z"}`)
	f.Add("identify", `{"userId":1,"traits":{"email":"a@b","phone":1234567},"context":{"consent":{"categoryPreferences":{"news":true}},"device":{"token":"t"}}}`)
	f.Add("alias", `{"userId":"u","previousId":"v"}`)
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{Purposes: map[string][]string{"news": {"email"}}, IP: CutIP}}}
	f.Fuzz(func(t *testing.T, kind, body string) {
		req, err := readSegment(&parser{s: body}, kind)
		if err != nil {
			return
		}
		b := door.begin("segment", key)
		translateSegment(b, req, segmentSender{remote: "192.0.2.1:1"})
		_ = refusedList(b.refused, "messageId").AppendJSON(nil)
		fuzzFacts(t, b.facts, b.limits)
	})
}
