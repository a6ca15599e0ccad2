package ingest

import (
	"encoding/json"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
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
	answered := regexp.MustCompile(`^(\$WZRK_WR\.tr\(\{.*\}\);)?\$WZRK_WR\.s\("([^"]+)",(\d+),(true|false),(\d+)(,(?:true|false))?\);$`)
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
