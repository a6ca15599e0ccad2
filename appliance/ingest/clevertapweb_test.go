package ingest

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
)

// clevertapRecorded are requests of the library, unmodified, in a browser; the file lies
// beside the repository.
const clevertapRecorded = "../../../shared/wire/clevertap-web-requests.json"

type recordedCall struct {
	N        int               `json:"n"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Query    map[string]string `json:"query"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Decoded  json.RawMessage   `json:"d_decoded"`
	ARP      json.RawMessage   `json:"arp_decoded"`
	Response struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	} `json:"response"`
}

func recordedCalls(t testing.TB) []recordedCall {
	t.Helper()
	raw, err := os.ReadFile(clevertapRecorded)
	if err != nil {
		t.Fatalf("the recordings: %v", err)
	}
	var file struct{ Entries []recordedCall }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file.Entries
}

func (c *recordedCall) url() string {
	q := url.Values{}
	for k, v := range c.Query {
		q.Set(k, v)
	}
	return c.Path + "?" + q.Encode()
}

func TestClevertapWebRecorded(t *testing.T) {
	a := newWebDoor(t)
	a.pub.Rules.IP = CutIP
	calls := recordedCalls(t)
	if len(calls) < 100 {
		t.Fatalf("%d recordings", len(calls))
	}
	answered := clevertapAnswered
	for _, c := range calls {
		if c.Path != "/a" {
			continue
		}
		// The clock of the appliance was the browser's.
		if ms, err := strconv.ParseInt(c.Query["r"], 10, 64); err == nil {
			a.now = time.UnixMilli(ms)
		}
		var headers []string
		for k, v := range c.Headers {
			headers = append(headers, k, v)
		}
		w := a.send(c.Method, c.url(), c.Body, headers...)
		if c.Method == "OPTIONS" {
			if w.Code != 204 || w.Header().Get("Access-Control-Allow-Headers") != c.Headers["access-control-request-headers"] {
				t.Errorf("%d: preflight %d, %v", c.N, w.Code, w.Header())
			}
			continue
		}
		want := strings.Contains(c.Response.Body, `:OO"`)
		if c.Headers["x-clevertap-encryption-enabled"] != "" {
			a.want(w, 200, `"rn":`+c.Query["rn"], `"rf":false`)
			continue
		}
		m := answered.FindStringSubmatch(w.Body.String())
		if w.Code != 200 || m == nil || strings.HasSuffix(m[2], ":OO") != want {
			t.Errorf("%d: %d %s", c.N, w.Code, w.Body)
			continue
		}
		// What the stand-in answered was enough for the library.
		theirs := answered.FindStringSubmatch(c.Response.Body)
		if rn := c.Query["rn"]; rn != "" && m[5] != rn || rn == "" && m[5] != "0" {
			t.Errorf("%d: number %s", c.N, m[5])
		}
		if theirs != nil && (m[4] != theirs[4] || m[6] != theirs[6]) {
			t.Errorf("%d: %s, and %s was enough", c.N, m[0], theirs[0])
		}
		if gc := strings.TrimSuffix(c.Query["gc"], ":OO"); gc != "" && strings.TrimSuffix(m[2], ":OO") != gc {
			t.Errorf("%d: the device %s became %s", c.N, gc, m[2])
		}
	}
	var got []string
	seen := map[string]string{}
	for _, f := range a.facts() {
		for _, own := range []string{"1a20930e34a000000000000000000001", "1a20931325f000000000000000000002", "1a209315d22000000000000000000003"} {
			if f.Device == own {
				f.Device = own[31:]
			}
		}
		if before, ok := seen[f.ID]; ok && f.ID != "" && before != show(&f) {
			t.Errorf("one id: %s and %s", before, show(&f))
		} else if ok && f.ID != "" {
			continue // the journal's reader drops it
		}
		seen[f.ID] = show(&f)
		f.ID = ""
		got = append(got, show(&f))
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		`track device=1 name=Page Viewed at=2026-11-23T16:15:28Z props={"url":"https://localhost:8444/p1.html"`,
		`track device=1 name=Product Viewed at=2026-11-23T16:15:30Z props={"Product name":"Casio Watch","Price":59.99,"Qty":1,"InStock":true,"Date":"2023-11-14T22:13:20Z","tags":["a","b"],"maker":{"name":"Casio","hq":{"city":"Tokyo"}}`,
		`"Charged ID":24052013,"Items":[{"Category":"Books","Book Title":"The Millionaire next door","Quantity":1},{"Category":"DVD","Quantity":5}]`,
		`identify device=1 at=2026-11-23T16:15:32Z Plan:0="gold" Score:0=10 Age:0=28 Married:0="N" Employed:0="Y" Education:0="Graduate" Joined:0="2023-11-14T22:13:20Z"`,
		`identify user=61026032 device=1 at=2026-11-23T16:15:33Z Name:0="Asha Rao" Email:0="asha@example.com" Phone:0="+919812345678" Gender:0="F"`,
		`consent:Advertising/email=false consent:news/email=false consent:Advertising/push=true consent:news/push=true consent:news/sms=true`,
		`identify device=1 at=2026-11-23T16:15:34Z Stuff:0=["Bag","Shoes"]`,
		`identify device=1 at=2026-11-23T16:15:35Z Stuff:2="Coat"`,
		`identify device=1 at=2026-11-23T16:15:36Z Stuff:2=["Hat","Belt"]`,
		`identify device=1 at=2026-11-23T16:15:37Z Stuff:3="bag"`,
		`Score:5=5`, `Score:5=-2`, `Plan:4=null`,

		`name=Second User Event`, `name=First User Event`, `name=After Clear`,
		`identify device=1 at=2026-11-23T16:15:52Z consent:collection/=false`,
		`identify device=1 at=2026-11-23T16:15:54Z consent:collection/=true`,
		`track device=3 name=Fetch Mode at=2026-11-23T16:16:02Z props={"k":"v","ip":"`,
		`track device=3 name=Encrypted Mode`, `identify user=enc-1 device=3`,
		`to:push/webpush=https://fcm.googleapis.com/fcm/send/dAbC123:APA91bFAKEFAKE{"p256dh":"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM","auth":"tBHItJI5svbpez7KI4CCXg"}`,
		`track device=3 name=Fail Once`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("missing %s", want)
		}
	}
	for _, no := range []string{"Should Not Arrive", "name=wzrk_", `name=No IP at=2026-11-23T16:15:57Z props={"k":"v","ip"`, ":OO", "GMT+"} {
		if strings.Contains(all, no) {
			t.Errorf("%s arrived", no)
		}
	}
	for name, n := range map[string]int{"Fail Once": 1, "Fail Always": 1, "Product Viewed": 1, "Page Viewed": 8} {
		if k := strings.Count(all, "name="+name+" "); k != n {
			t.Errorf("%s: %d times, not %d", name, k, n)
		}
	}
	if t.Failed() {
		t.Log(all)
	}
}

// testHash stands for a keyring's.
func testHash(domain string, parts ...[]byte) (sum [32]byte) {
	copy(sum[:], domain)
	for _, p := range parts {
		for i, c := range p {
			sum[i%16] ^= c
		}
	}
	return sum
}

// newWebDoor is a door where the recordings' account is a key.
func newWebDoor(t testing.TB) *atDoor {
	a := newDoor(t)
	a.pub.Hash = testHash
	a.door.o.Key = func(id string) (Key, bool) { return Key{ID: id, Publisher: a.pub}, id == "TEST-123-456Z" }
	return a
}

func TestClevertapWebCalls(t *testing.T) {
	const g = `"g":"0123abcd","s":1795451000,"id":"TEST-123-456Z"`
	at := []string{"rn", "3", "i", "1795451150", "sn", "0", "r", "1795451159000", "gc", "0123abcd"}
	for _, c := range []struct{ name, kind, d, answer, fact string }{
		{"a page", "page", `{` + g + `,"cpg":"https://shop.example/a?b=1","referrer":"news.example","us":"news","um":"email","uc":"launch"}`,
			`$WZRK_WR.s("0123abcd",1795451000,false,3);`,
			`track device=0123abcd name=Page Viewed at=2026-11-23T16:25:50Z props={"url":"https://shop.example/a?b=1","referrer":"news.example","utm_source":"news","utm_medium":"email","utm_campaign":"launch"}`},
		{"the library's own event", "push", `{"type":"event","evtName":"App Launched",` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`,
			`track device=0123abcd name=App Launched at=2026-11-23T16:25:50Z`},
		{"variables", "push", `{"type":"event","evtName":"wzrk_fetch","evtData":{"t":4},` + g + `}`, `$WZRK_WR.tr({"vars":{}});$WZRK_WR.s("0123abcd",1795451000,false,3);`, ``},
		{"a ping", "ping", `{` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, ``},
		{"where somebody is", "push", `{"type":"profile","profile":{"tz":"GMT+0530"},"af":{"Latitude":19.07,"Longitude":72.87},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, ``},
		{"nobody logs in", "push", `{"type":"profile","profile":{"Email":"asha@shop.example","tz":"Europe/Berlin"},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`,
			`identify device=0123abcd at=2026-11-23T16:25:50Z Email:0="asha@shop.example" tz:0="Europe/Berlin" to:email/=asha@shop.example`},
		{"by another's id", "push", `{"type":"profile","profile":{"FBID":17},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`,
			`identify user=FBID:17 device=0123abcd at=2026-11-23T16:25:50Z FBID:0=17`},
		{"opted out", "push", `{"type":"profile","profile":{"ct_optout":true},` + g + `}`, `$WZRK_WR.s("0123abcd:OO",1795451000,false,3,true);`,
			`identify device=0123abcd at=2026-11-23T16:25:50Z consent:collection/=false`},
		{"opted in", "push", `{"type":"profile","profile":{"ct_optout":false},"g":"0123abcd:OO","s":1795451000,"id":"TEST-123-456Z"}`, `$WZRK_WR.s("0123abcd",1795451000,false,3,false);`,
			`identify device=0123abcd at=2026-11-23T16:25:50Z consent:collection/=true`},
		{"what was done meanwhile", "push", `{"type":"event","evtName":"A","g":"0123abcd:OO","s":1795451000,"id":"TEST-123-456Z"}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, ``},
		{"a session to come", "push", `{"type":"event","evtName":"A","g":"0123abcd","s":9999999999,"id":"TEST-123-456Z"}`, `$WZRK_WR.s("0123abcd",1795451160,false,3);`,
			`track device=0123abcd name=A at=2026-11-23T16:25:50Z`},
		{"Safari's token", "data", `{"endpoint":"QMz1","keys":{"p256dh":"k","auth":"a"},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`,
			`identify device=0123abcd at=2026-11-23T16:25:50Z to:push/webpush=https://web.push.apple.com/QMz1{"p256dh":"k","auth":"a"}`},
		{"Firefox's token", "data", `{"endpoint":"gAAAA","browser":"Firefox","keys":{"p256dh":"k","auth":"a"},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`,
			`identify device=0123abcd at=2026-11-23T16:25:50Z to:push/webpush=https://updates.push.services.mozilla.com/wpush/v2/gAAAA{"p256dh":"k","auth":"a"}`},
		{"an old token of Safari's", "data", `{"endpoint":"00AA","browser":"Safari",` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused 534`},
		{"no keys", "data", `{"endpoint":"x","browser":"Chrome",` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused 535`},
		{"an address elsewhere", "data", `{"endpoint":"../../evil","browser":"Chrome","keys":{"p256dh":"k","auth":"a"},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused 532`},
		{"a token that ends", "data", `{"type":"data","action":"unregister",` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, ``},
		{"a wrong value", "push", `{"type":"profile","profile":{"Email":"no"},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused 515`},
		{"a name of ours", "push", `{"type":"event","evtName":"Notification Sent",` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused reserved`},
		{"a message that is not ours", "push", `{"type":"event","evtName":"Notification Viewed","evtData":{"wzrk_id":"1_2"},` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused reserved`},
		{"no kind", "", `{` + g + `}`, `$WZRK_WR.s("0123abcd",1795451000,false,3);`, `refused invalid`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newWebDoor(t)
			got := ""
			a.pub.Refused = func(all []Refused) {
				code, _, _ := reasonOf(all[0].Err)
				got = "refused " + code
			}
			w := a.call(c.kind, c.d, at...)
			if w.Code != 200 || w.Body.String() != c.answer || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v\n%s, not\n%s", w.Code, w.Header(), w.Body, c.answer)
			}
			for _, f := range a.facts() {
				if !strings.HasPrefix(f.ID, "ctw:") {
					t.Errorf("id %q", f.ID)
				}
				f.ID = ""
				got += show(&f)
			}
			if got != c.fact {
				t.Errorf("got  %s\nwant %s", got, c.fact)
			}
		})
	}
}

// Somebody who takes a browser over gets the same device each time, which
// nobody can work out, and no two get one.
func TestClevertapWebTurns(t *testing.T) {
	a := newWebDoor(t)
	device := func(profile string) string {
		w := a.call("push", `{"type":"profile","profile":`+profile+`,"isOUL":true,"rc":true,"id":"TEST-123-456Z"}`, "rn", "1", "i", "1795451150")
		m := clevertapAnswered.FindStringSubmatch(w.Body.String())
		if m == nil || m[4] != "true" || !strings.Contains(m[1], `"isOUL":true`) {
			t.Fatalf("%s: %s", profile, w.Body)
		}
		return m[2]
	}
	seen := map[string]string{}
	for _, profile := range []string{`{"Identity":"u-1"}`, `{"Identity":"u-2"}`, `{"FBID":"u-1"}`, `{"GPID":"u-1"}`, `{"Email":"A@b.example"}`, `{"Phone":919812345678}`} {
		one, again := device(profile), device(profile)
		if one != again || seen[one] != "" {
			t.Errorf("%s: %s, then %s; %s has the first", profile, one, again, seen[one])
		}
		seen[one] = profile
	}
	if device(`{"Identity":"u-1","Email":"x@y.example"}`) != device(`{"Identity":"u-1"}`) || device(`{"Email":"a@B.example"}`) != device(`{"Email":"A@b.example"}`) {
		t.Error("one person has two devices")
	}
	if device(`{"Name":"x"}`) == device(`{"Name":"x"}`) {
		t.Error("two who say nothing have one device")
	}
	// Who is known on this browser keeps the device that they had.
	w := a.call("push", `{"type":"profile","profile":{"Identity":"u-1"},"isOUL":true,"g":"0123abcd","id":"TEST-123-456Z"}`, "rn", "4")
	a.want(w, 200, `$WZRK_WR.s("0123abcd",1795451160,true,4);`)
	a.facts()
	// A device that has no id yet gets one that nobody had.
	first := a.call("page", `{"id":"TEST-123-456Z"}`, "rn", "1", "i", "1795451150").Body.String()
	second := a.call("page", `{"id":"TEST-123-456Z"}`, "rn", "1", "i", "1795451150").Body.String()
	if first == second || !clevertapAnswered.MatchString(first) {
		t.Errorf("%s, %s", first, second)
	}
}

func TestClevertapWebEdge(t *testing.T) {
	a := newWebDoor(t)
	why := ""
	a.pub.Refused = func(all []Refused) { why = all[0].Err.Error() }
	d := lzPack(`{"endpoint":"x","browser":"Chrome","keys":{"p256dh":"k","auth":"a"},"g":"d","id":"TEST-123-456Z"}`)
	w := a.send("GET", "/a?type=data&d="+url.QueryEscape(d), "", "User-Agent", "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0")
	a.want(w, 200, `$WZRK_WR.s("d",`)
	if a.wantFacts(); !strings.Contains(why, "Edge") {
		t.Errorf("refused: %s", why)
	}
}

// What is sent again is one fact, whenever that is; what differs is another.
func TestClevertapWebRepeats(t *testing.T) {
	a := newWebDoor(t)
	d := `{"type":"event","evtName":"A","g":"d","id":"TEST-123-456Z"}`
	id := func(d string, query ...string) string {
		a.want(a.call("push", d, query...), 200)
		f := a.facts()
		if len(f) != 1 {
			t.Fatalf("%d facts", len(f))
		}
		return f[0].ID
	}
	first := id(d, "rn", "1", "i", "1795451150", "sn", "0", "gc", "d", "r", "1795451159000")
	a.now = a.now.Add(time.Hour)
	if again := id(d, "rn", "1", "i", "1795451150", "sn", "0", "gc", "d", "r", "1795454759000", "s", "1795451000"); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	for _, query := range [][]string{{"rn", "2", "i", "1795451150", "sn", "0"}, {"rn", "1", "i", "1795451151", "sn", "0"}, {"rn", "1", "i", "1795451150", "sn", "1"}, {"rn", "1", "i", "1795451150", "sn", "0", "gc", "e"}} {
		if other := id(d, query...); other == first {
			t.Errorf("%v is the same", query)
		}
	}
}

// Whatever stands in a call, the answer is a script that says nothing but what
// it must: it runs in the shop's page.
func TestClevertapWebAnswersAreSafe(t *testing.T) {
	a := newWebDoor(t)
	a.pub.WebPush = func() string { return "BEl-_62" }
	for _, g := range []string{`</script><script>alert(1)</script>`, `");alert(1);("`, "\u2028", `\\`, "a b", strings.Repeat("x", 129), ":OO", "é"} {
		for _, d := range []string{`{"g":"` + g + `","id":"TEST-123-456Z"}`, `{"type":"profile","isOUL":true,"profile":{"Identity":"` + strings.ReplaceAll(g, `"`, `\"`) + `"},"id":"TEST-123-456Z"}`} {
			for _, kind := range []string{"page", "push"} {
				w := a.call(kind, d, "rn", "7);alert(1", "gc", g)
				if w.Code == 400 {
					continue
				}
				if m := clevertapAnswered.FindStringSubmatch(w.Body.String()); m == nil || m[5] != "0" {
					t.Errorf("%s: %d %s", d, w.Code, w.Body)
				}
			}
		}
	}
	a.want(a.call("page", `{"g":"d","id":"TEST-123-456Z"}`, "rn", "1"), 200, `"webPushConfig":{"showBox":true`, `$WZRK_WR.enableWebPush(true,"BEl-_62");`)
	a.pub.WebPush = func() string { return `"</script>` }
	if w := a.call("page", `{"g":"d","id":"TEST-123-456Z"}`); !strings.Contains(w.Body.String(), `enableWebPush(true,"\"\u003c/script\u003e")`) {
		t.Errorf("%s", w.Body)
	}
	w := a.send("GET", "/a?type=page&d="+url.QueryEscape(lzPack(`{"g":"d","id":"TEST-123-456Z"}`)), "", "X-CleverTap-Encryption-Enabled", "true", "Origin", "https://shop.example")
	a.want(w, 200, `"meta":{"g":"d"`, `"wpe":{"enabled":true`)
	if w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page cannot read the answer")
	}
}

// A page for unsubscribing is answered by a script, and nothing is looked up or
// changed; PostHog's calls of the same path stay PostHog's.
func TestClevertapUnsubscribe(t *testing.T) {
	a := newWebDoor(t)
	d := url.QueryEscape(lzPack(`{"id":"TEST-123-456Z","unsubGroups":[{"name":"</script>","isUnsubscribed":true},7]}`))
	said := func(at, sub, global string) string {
		return `({"at":"` + at + `","sub":"` + sub + `","global":` + global + `,"groups":[{"name":"\u003c/script\u003e","isUnsubscribed":true},{"name":"","isUnsubscribed":false}]});`
	}
	for _, c := range []struct {
		path   string
		status int
		part   string
	}{
		{"/e?r=1&e=AbC-_9&d=" + d, 200, said("u/shop/AbC-_9", "", "false")},
		{"/e?r=1&e=AbC-_9&sub=0&page_type=global&d=" + d, 200, said("u/shop/AbC-_9", "0", "true")},
		{"/ct/e?r=1&e=AbC-_9&sub=2&d=" + d, 200, said("/u/shop/AbC-_9", "2", "false")},
		{"/e?e=..%2F..&d=" + d, 400, "e must be"}, {"/e?e=&d=" + d, 400, "e must be"}, {"/e?e=x", 400, "unpacked"},
		{"/e?e=x&d=" + url.QueryEscape(lzPack("{}")), 401, "account"},
		{"/e?data=" + url.QueryEscape(`{"api_key":"TEST-123-456Z","event":"A","distinct_id":"u"}`), 200, `"status":1`},
	} {
		a.want(a.send("GET", c.path, ""), c.status, c.part)
	}
	if f := a.facts(); len(f) != 1 || f[0].Name != "A" {
		t.Errorf("%d facts", len(f))
	}
	a.want(a.send("GET", "/r?r=1&d="+d, ""), 200)
}

func TestClevertapWebCannotTake(t *testing.T) {
	a := newWebDoor(t)
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/a", 400}, {"/a?d=*", 400}, {"/a?d=" + url.QueryEscape(lzPack("x")), 400}, {"/a?d=" + url.QueryEscape(lzPack("[]")), 400},
		{"/a?d=" + url.QueryEscape(lzPack("{}")), 401}, {"/a?d=" + url.QueryEscape(lzPack(`{"id":"other"}`)), 401},
		{"/a?d=" + url.QueryEscape(lzPack(`{"itp":"x","itk":"x","itv":"x","encrypted":true}`)), 400},
		{"/a?d=" + url.QueryEscape(lzPack(`{"itp":"AAAA","itk":"AAAAAAAAAAAAAAAAAAAAAA==","itv":"AAAA","encrypted":true}`)), 400},
		{"/a?d=" + url.QueryEscape(lzPack(strings.Repeat(" ", clevertapMaxCall+1))), 413},
		{"/shop/a?d=" + url.QueryEscape(lzPack(`{"id":"TEST-123-456Z"}`)), 200}, {"/x/y/z/a?d=" + url.QueryEscape(lzPack(`{"id":"TEST-123-456Z"}`)), 200},
		{"/v1/a?d=", 405}, {"/b?d=", 404},
	} {
		if w := a.send("GET", c.path, ""); w.Code != c.status {
			t.Errorf("%.80s: %d, not %d: %.200s", c.path, w.Code, c.status, w.Body)
		}
		if n := a.door.load.bodies; n != 0 {
			t.Errorf("%.80s: %d bytes are still counted", c.path, n)
		}
	}
	a.err = journal.ErrOverloaded
	a.want(a.call("page", `{"id":"TEST-123-456Z"}`), 429)
	a.door.o.MaxBodies = 10
	a.want(a.call("page", `{"id":"TEST-123-456Z"}`), 429)
}

// FuzzClevertapWeb: whatever a call holds, it is answered by a script that says
// nothing but what it must, and what is taken passes Check.
func FuzzClevertapWeb(f *testing.F) {
	for _, c := range recordedCalls(f) {
		if c.Path == "/a" && len(c.Decoded) < 2000 {
			q := url.Values{}
			for k, v := range c.Query {
				if k != "d" {
					q.Set(k, v)
				}
			}
			f.Add(string(c.Decoded), q.Encode())
		}
	}
	door := New(Options{Now: func() time.Time { return now }})
	key := Key{Publisher: &Publisher{Rules: &Rules{IP: CutIP}, Hash: testHash, WebPush: func() string { return "B-_" }}}
	f.Fuzz(func(t *testing.T, text, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		v, err := parseJSON(text)
		if err != nil || v.Kind() != event.Object {
			return
		}
		b := door.begin("clevertap-web", key)
		answer := translateClevertapCall(b, readClevertapCall(q, text, v), httptest.NewRequest("GET", "/a", nil))
		if s := answer.script(); !clevertapAnswered.MatchString(s) {
			t.Errorf("answered %q", s)
		}
		fuzzFacts(t, b.facts, b.limits)
	})
}

// clevertapAnswered is all that may be answered to a script element.
var clevertapAnswered = regexp.MustCompile(`^(\$WZRK_WR\.tr\(\{[a-zA-Z":,{}]*\}\);)?\$WZRK_WR\.s\("([0-9A-Za-z_.!:@$-]{1,131})",(\d+),(true|false),(\d+)(,(?:true|false))?\);(?:\$WZRK_WR\.enableWebPush\(true,"[0-9A-Za-z_-]*"\);)?$`)

// call sends a call as the library does: packed, by a script element.
func (a *atDoor) call(kind, d string, query ...string) *httptest.ResponseRecorder {
	q := url.Values{"t": {"96"}, "type": {kind}, "d": {lzPack(d)}}
	for i := 0; i < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	return a.send("GET", "/a?"+q.Encode(), "", "User-Agent", "Mozilla/5.0")
}
