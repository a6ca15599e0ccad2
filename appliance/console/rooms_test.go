package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

func TestAPersonsPage(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		role   access.Role
		masked bool
	}{{access.Admin, false}, {access.Marketer, false}, {access.Analyst, true}} {
		token := h.token("acme", c.role)
		got := h.want(200, token, "GET", "/v1/publishers/acme/people/ann", "")
		var p struct {
			Person   uint32
			Profile  map[string]any
			Personal []string
			Channels []struct{ Address string }
			Messages []struct{ Message string }
			Masked   bool
		}
		got.into(t, &p)
		if p.Person != 7 || p.Masked != c.masked || strings.Contains(got.body, "canary") == c.masked || p.Profile["plan"] != "gold" ||
			len(p.Personal) != 1 || p.Personal[0] != "Name" || len(p.Messages) != 1 || p.Messages[0].Message != "m1" {
			t.Errorf("%s: %s", c.role, got.body)
		}
		got = h.want(200, token, "GET", "/v1/publishers/acme/people/ann/timeline", "")
		if strings.Contains(got.body, "canary") == c.masked || !strings.Contains(got.body, `"amount":12`) {
			t.Errorf("%s: %s", c.role, got.body)
		}
	}
	h.want(403, h.token("acme", access.Auditor), "GET", "/v1/publishers/acme/people/ann", "")
}

func TestTimeline(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for query, want := range map[string]string{
		"":                             "Notification Sent,Charged,Viewed",
		"?limit=1":                     "Notification Sent",
		"?order=asc":                   "Viewed,Charged,Notification Sent",
		"?before=1970-01-01T00:00:03Z": "Charged,Viewed",
		"?before=1970-01-01T01:00:02.5%2B01:00&limit=1": "Charged",
	} {
		var got struct {
			Events []struct {
				Event string
				TS    time.Time
			}
		}
		h.want(200, token, "GET", "/v1/publishers/acme/people/ann/timeline"+query, "").into(t, &got)
		var names []string
		for _, e := range got.Events {
			names = append(names, e.Event)
		}
		if strings.Join(names, ",") != want {
			t.Errorf("%s: %v, want %s", query, names, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=10001", "?limit=x", "?before=yesterday", "?order=up", "?since=1"} {
		h.want(400, token, "GET", "/v1/publishers/acme/people/ann/timeline"+query, "")
	}
}

// Every read of personal data is in the audit, by number; without the audit
// there is no answer.
func TestReadsAreWrittenDown(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for _, c := range []struct{ method, path, body, action, subject string }{
		{"GET", "/people/ann", "", "person.read", "person 7"},
		{"GET", "/people/ann/timeline", "", "person.timeline", "person 7"},
		{"GET", "/messages?person=ann", "", "person.messages", "person 7"},
		{"GET", "/messages/m1", "", "message.explain", "person 7"},
		{"GET", "/messages?state=failed", "", "messages.list", ""},
		{"GET", "/recent-people", "", "people.list", ""},
		{"POST", "/query", `{"kind":"segment","list":{"limit":5}}`, "people.list", ""},
		{"POST", "/query", `{"kind":"trend","breakdown":{"of":"person"}}`, "people.list", ""},
		{"POST", "/query", `{"kind":"trend","breakdown":[{"property":"x"},{"of":"person"}]}`, "people.list", ""},
		{"GET", "/mailbox", "", "mailbox.read", ""},
		{"GET", "/mailbox/1/html", "", "mailbox.read", "message 1"},
		{"DELETE", "/people/ann", "", "person.erase", "person 7"},
	} {
		before := len(h.entries())
		got := h.call(token, c.method, "/v1/publishers/acme"+c.path, c.body)
		if got.StatusCode >= 300 {
			t.Errorf("%s: %d %s", c.path, got.StatusCode, got.body)
		}
		entries := h.entries()
		if len(entries) != before+1 {
			t.Errorf("%s %s: %d entries more", c.path, c.body, len(entries)-before)
			continue
		}
		if e := entries[0]; e.Action != c.action || e.Subject != c.subject || e.Publisher != "acme" || !strings.HasPrefix(e.Actor, "token ") || e.From != "127.0.0.1" {
			t.Errorf("%s: %+v", c.path, e)
		}
	}
	before := len(h.entries())
	h.want(200, token, "POST", "/v1/publishers/acme/query", `{"kind":"trend"}`)
	if len(h.entries()) != before {
		t.Error("a question that names nobody is in the audit")
	}
	b, err := json.Marshal(h.entries())
	check(t, err)
	if strings.Contains(string(b), "ann") || strings.Contains(string(b), "canary") {
		t.Errorf("the audit names somebody: %s", b)
	}
	check(t, h.audit.Close())
	for _, path := range []string{"/people/ann/timeline", "/mailbox", "/recent-people"} {
		if got := h.want(503, token, "GET", "/v1/publishers/beta"+path, ""); strings.Contains(got.body, "canary") {
			t.Error(got.body)
		}
	}
}

func TestErasing(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for _, role := range []access.Role{access.Analyst, access.Marketer, access.Auditor} {
		h.want(403, h.token("acme", role), "DELETE", "/v1/publishers/acme/people/ann", "")
	}
	if got := h.want(202, token, "DELETE", "/v1/publishers/acme/people/ann", ""); strings.TrimSpace(got.body) != `{"request":"r1"}` {
		t.Error(got.body)
	}
	h.want(404, token, "DELETE", "/v1/publishers/acme/people/ann", "")
	h.want(200, token, "GET", "/v1/publishers/acme/erasures/r1", "")
}

func TestDemerging(t *testing.T) {
	h := open(t)
	h.acme.persons["ann"].Joined = []people.Joined{{Number: 9, Into: 7, Rule: "login", Devices: []string{"d2"}}}
	const path = "/v1/publishers/acme/people/ann"
	for _, role := range []access.Role{access.Analyst, access.Marketer, access.Auditor} {
		h.want(403, h.token("acme", role), "POST", path+"/demerge", "")
	}
	token := h.token("acme", access.Admin)
	if got := h.want(200, token, "GET", path, ""); !strings.Contains(got.body, `"joined":[{"person":9,"into":7,"since":null,"rule":"login","identities":[],"devices":["d2"]}]`) {
		t.Error(got.body)
	}
	if got := h.want(200, token, "POST", path+"/demerge", ""); strings.TrimSpace(got.body) != `{"parted":1}` {
		t.Error(got.body)
	}
	h.want(404, token, "POST", "/v1/publishers/acme/people/nobody/demerge", "")
}

func TestRecentPeople(t *testing.T) {
	h := open(t)
	got := h.want(200, h.token("acme", access.Admin), "GET", "/v1/publishers/acme/recent-people?limit=2", "")
	want := `{"people":[{"identity":"acme-canary","last":"1970-01-01T00:00:01Z","event":"Charged"},{"identity":"ann","last":"1970-01-01T00:00:03Z","event":"Notification Sent"}]}`
	if strings.TrimSpace(got.body) != want {
		t.Errorf("%s, want %s", got.body, want)
	}
	// A page that asks again and again is one read in ten minutes.
	token, before := h.token("acme", access.Marketer), len(h.entries())
	for range 5 {
		h.want(200, token, "GET", "/v1/publishers/acme/recent-people", "")
	}
	h.pass(latelyLasts)
	h.want(200, token, "GET", "/v1/publishers/acme/recent-people", "")
	if n := len(h.entries()) - before; n != 2 {
		t.Errorf("%d entries", n)
	}
}

const cart = `{"name":"Abandoned cart!","channel":"email","purpose":"offers","content":{"subject":"Hi","html":"<p>Hi</p>"},
	"trigger":{"type":"event","event":{"event":"Added To Cart"}}}`

func TestCampaigns(t *testing.T) {
	h := open(t)
	token, analyst := h.token("acme", access.Marketer), h.token("acme", access.Analyst)
	const base = "/v1/publishers/acme/campaigns"
	var c struct {
		ID, State, Class string
		Revision         int
	}
	h.want(200, analyst, "POST", base+"/check", cart).into(t, &c)
	if c.ID != "abandoned-cart" || c.State != "draft" || c.Class != "marketing" {
		t.Errorf("checked: %+v", c)
	}
	h.want(404, token, "GET", base+"/abandoned-cart", "")
	h.want(403, analyst, "POST", base, cart)
	h.want(201, token, "POST", base, cart).into(t, &c)
	h.want(201, token, "POST", base, cart).into(t, &c)
	if c.ID != "abandoned-cart-2" {
		t.Errorf("the second of its name is %+v", c)
	}
	if got := h.want(409, token, "POST", base, strings.Replace(cart, `{"name"`, `{"id":"abandoned-cart","name"`, 1)); got.code() != "exists" {
		t.Error(got.body)
	}
	for _, step := range []struct {
		do     string
		status int
		state  string
	}{{"start", 200, "running"}, {"start", 200, "running"}, {"pause", 200, "paused"}, {"start", 200, "running"}, {"end", 200, "ended"}, {"start", 409, ""}, {"pause", 409, ""}} {
		got := h.want(step.status, token, "POST", base+"/abandoned-cart/"+step.do, "")
		if step.state != "" && !strings.Contains(got.body, `"state":"`+step.state+`"`) {
			t.Errorf("%s: %s", step.do, got.body)
		}
	}
	ended := h.want(200, token, "GET", base+"/abandoned-cart", "")
	if got := h.want(409, token, "PUT", base+"/abandoned-cart", strings.Replace(ended.body, `"ended"`, `"running"`, 1)); got.code() != "state" {
		t.Error(got.body)
	}
	h.want(200, token, "PUT", base+"/abandoned-cart", ended.body)
	got := h.want(200, token, "GET", base+"/abandoned-cart-2", "")
	back := strings.Replace(got.body, `"subject":"Hi"`, `"subject":"Hello"`, 1)
	back = strings.Replace(back, "{", `{"progress":null,`, 1)
	h.want(200, token, "PUT", base+"/abandoned-cart-2", back).into(t, &c)
	if c.Revision != 2 {
		t.Errorf("%+v", c)
	}
	if got := h.want(400, token, "PUT", base+"/other", back); got.code() != "mistakes" {
		t.Error(got.body)
	}
	h.want(204, token, "DELETE", base+"/abandoned-cart-2", "")
	h.want(404, token, "DELETE", base+"/abandoned-cart-2", "")
	if got := h.want(200, analyst, "GET", base, ""); !strings.Contains(got.body, `"abandoned-cart"`) || strings.Contains(got.body, `"abandoned-cart-2"`) {
		t.Error(got.body)
	}
	if got := h.want(200, h.token("beta", access.Admin), "GET", "/v1/publishers/beta/campaigns", ""); strings.TrimSpace(got.body) != `{"campaigns":[]}` {
		t.Error(got.body)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	h := open(t)
	got := h.want(400, h.token("acme", access.Marketer), "POST", "/v1/publishers/acme/campaigns/check",
		`{"name":"","channel":"pigeon","purpose":"spam","color":"red","trigger":{"type":"never"}}`)
	var v struct {
		Error struct {
			Code     string
			Mistakes []campaign.Mistake
		}
	}
	got.into(t, &v)
	if v.Error.Code != "mistakes" || len(v.Error.Mistakes) < 4 {
		t.Errorf("%s", got.body)
	}
	for _, body := range []string{"", "[]", "7", `{"id":7}`, `{"a":1,"a":2}`} {
		h.want(400, h.token("acme", access.Marketer), "POST", "/v1/publishers/acme/campaigns", body)
	}
}

func TestReport(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Marketer)
	h.want(201, token, "POST", "/v1/publishers/acme/campaigns", strings.Replace(cart, `{"name"`, `{"id":"cart","name"`, 1))
	got := h.want(200, token, "GET", "/v1/publishers/acme/campaigns/cart/report", "")
	want := `{"decided":0,"sent":0,"delivered":0,"opened":0,"clicked":0,"unsubscribed":0,"bounced":0,"failed":[],"held":[],"waiting":0,` +
		`"by_day":{"buckets":[],"sent":[],"opened":[],"clicked":[]},"goal":null,"converted":null,"revenue":null}`
	if strings.TrimSpace(got.body) != want {
		t.Errorf("of nothing: %s", got.body)
	}
	h.acme.mu.Lock()
	h.acme.asked = nil
	h.acme.ask = func(body []byte) (*query.Answer, error) {
		if strings.Contains(string(body), `"kind":"campaign"`) {
			return &query.Answer{Result: json.RawMessage(`{"sent":{"count":8,"people":5},"delivered":{"count":7,"people":5},"opened":{"count":9,"people":4},
				"clicked":{"count":3,"people":2},"unsubscribed":{"count":2,"people":1},"bounced":{"count":0,"people":0},
				"failed":{"count":1,"people":1,"reasons":[{"reason":"refused","count":1,"people":1}]},
				"held":{"count":3,"people":3,"reasons":[{"reason":"control","count":2,"people":2},{"reason":null,"count":1,"people":1}]},
				"goal":{"event":"Charged"},"converted":{"p":0.5},"revenue":null}`)}, nil
		}
		return &query.Answer{Result: json.RawMessage(`{"buckets":["2026-01-01","2026-01-02"],"series":[
			{"name":"sent","values":[5,3],"total":8},{"name":"opened","values":[3,2],"total":4},{"name":"clicked","values":[1,1],"total":2}]}`)}, nil
	}
	h.acme.mu.Unlock()
	got = h.want(200, token, "GET", "/v1/publishers/acme/campaigns/cart/report?from=2026-01-01&to=2026-01-02", "")
	want = `{"decided":12,"sent":8,"delivered":7,"opened":4,"clicked":2,"unsubscribed":1,"bounced":0,"failed":[{"reason":"refused","count":1}],` +
		`"held":[{"reason":"control","count":2},{"reason":"not said","count":1}],"waiting":0,` +
		`"by_day":{"buckets":["2026-01-01","2026-01-02"],"sent":[5,3],"opened":[3,2],"clicked":[1,1]},` +
		`"goal":{"event":"Charged"},"converted":{"p":0.5},"revenue":null}`
	if strings.TrimSpace(got.body) != want {
		t.Errorf("%s, want %s", got.body, want)
	}
	for _, q := range h.acme.asked {
		if !strings.Contains(q, `"value":"cart"`) && !strings.Contains(q, `"campaign":"cart"`) || !strings.Contains(q, `"from":"2026-01-01"`) {
			t.Errorf("asked %s", q)
		}
	}
	if r := makeReport(campaignAnswer{}, trend{}, &campaign.Progress{Enqueued: 5}); r.Waiting != 5 || r.Decided != 5 {
		t.Errorf("of a run: %+v", r)
	}
	// Of five people two had a push, one of them on three devices, of which one failed.
	var became campaignAnswer
	var days trend
	for into, s := range map[any]string{
		&became: `{"sent":{"count":3},"failed":{"reasons":[{"reason":"gone","count":1}]}}`,
		&days:   `{"series":[{"name":"sent","values":[3]},{"name":"copies sent","values":[1]},{"name":"copies failed","values":[1]},{"name":"copies held","values":[0]}]}`,
	} {
		if err := json.Unmarshal([]byte(s), into); err != nil {
			t.Fatal(err)
		}
	}
	if r := makeReport(became, days, &campaign.Progress{Enqueued: 5}); r.Waiting != 3 || r.Decided != 7 {
		t.Errorf("of a run with copies: %+v", r)
	}
	h.want(400, token, "GET", "/v1/publishers/acme/campaigns/cart/report?day=1", "")
}

func TestSegments(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Marketer)
	const base = "/v1/publishers/acme/segments"
	got := h.want(200, token, "PUT", base+"/Gold%20%2F%20active", `{"people":{"profile":{"property":"plan","op":"=","value":"gold"}}}`)
	if !strings.Contains(got.body, `"name":"Gold / active"`) || !strings.Contains(got.body, `"count":1`) {
		t.Error(got.body)
	}
	if again := h.want(200, token, "GET", base+"/Gold%20%2F%20active", ""); again.body != got.body {
		t.Errorf("%s, and when it was made %s", again.body, got.body)
	}
	h.acme.mu.Lock()
	h.acme.ask = func([]byte) (*query.Answer, error) {
		return nil, &query.Error{Code: query.CodeUnknown, Message: "no", Path: "people.who"}
	}
	h.acme.mu.Unlock()
	if got := h.want(400, token, "PUT", base+"/bad", `{"people":{"who":1}}`); !strings.Contains(got.body, `"path":"people.who"`) {
		t.Error(got.body)
	}
	h.want(400, token, "PUT", base+"/"+strings.Repeat("n", 200), `{"people":{}}`)
	h.want(400, token, "PUT", base+"/a%0Ab", `{"people":{}}`)
	if got := h.want(200, token, "GET", base, ""); strings.Contains(got.body, "bad") {
		t.Error(got.body)
	}
	h.want(204, token, "DELETE", base+"/Gold%20%2F%20active", "")
	h.want(404, token, "DELETE", base+"/Gold%20%2F%20active", "")
}

func TestRFMs(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Marketer)
	const base = "/v1/publishers/acme/rfms"
	h.acme.ask = func(body []byte) (*query.Answer, error) {
		if !strings.Contains(string(body), `"kind":"rfm"`) {
			t.Errorf("asked %s", body)
		}
		return &query.Answer{Kind: "rfm", Result: &query.RFMResult{Groups: []query.RFMGroup{{Name: "Champions", People: 4}}}}, nil
	}
	got := h.want(200, token, "PUT", base+"/value", `{"question":{"amount":"amount"}}`)
	if !strings.Contains(got.body, `"name":"value","question":{"amount":"amount"},"groups":[{"name":"Champions","people":4,`) {
		t.Error(got.body)
	}
	if again := h.want(200, token, "GET", base+"/value", ""); again.body != got.body {
		t.Errorf("%s, and when it was made %s", again.body, got.body)
	}
	if got := h.want(400, token, "PUT", base+"/bad", `{"question":{"wrong":1}}`); !strings.Contains(got.body, `"path":"question.wrong"`) {
		t.Error(got.body)
	}
	for _, body := range []string{`{}`, `{"question":null}`, `{"rfm":{}}`} {
		h.want(400, token, "PUT", base+"/bad", body)
	}
	h.want(400, token, "PUT", base+"/"+strings.Repeat("n", 200), `{"question":{}}`)
	h.want(404, token, "GET", base+"/none", "")
	if got := h.want(200, h.token("acme", access.Auditor), "GET", base, ""); strings.TrimSpace(got.body) != `{"rfms":[{"name":"value","question":{"amount":"amount"}}]}` {
		t.Error(got.body)
	}
	h.want(403, h.token("acme", access.Analyst), "PUT", base+"/value", `{"question":{}}`)
	h.want(204, token, "DELETE", base+"/value", "")
	h.want(404, token, "DELETE", base+"/value", "")
	if !slices.ContainsFunc(h.entries(), func(e audit.Entry) bool { return e.Action == "rfm.delete" && e.Subject == "rfm value" }) {
		t.Error("the audit does not say so")
	}
}

func TestLists(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Marketer)
	const base = "/v1/publishers/acme/lists"
	got := h.want(200, token, "POST", base+"/vips%20%2F%20all?source=ab&line=3&mode=add", "ann\nbob\n")
	want := `{"name":"vips / all","people":2,"unknown":1,"changed":"1970-01-01T00:00:00.000005Z","uploading":false,"taken":3,"refused":[{"line":3,"error":"no"}]}`
	if strings.TrimSpace(got.body) != want {
		t.Errorf("%s, want %s", got.body, want)
	}
	h.want(200, token, "POST", base+"/vips%20%2F%20all?source=ab&line=9&last=true", "")
	h.want(200, token, "POST", base+"/once", "ann")
	h.acme.mu.Lock()
	up := h.acme.uploads
	h.acme.mu.Unlock()
	if len(up) != 3 || !up[0].Add || up[0].Last || string(up[0].Body) != "ann\nbob\n" || up[1].Add || !up[1].Last || up[1].Line != 9 || up[1].Source != "ab" {
		t.Errorf("%+v", up)
	}
	if one := up[len(up)-1]; one.Line != 1 || !one.Last || one.Source == "" {
		t.Errorf("all of it at once: %+v", one)
	}
	for _, bad := range []string{"?source=xyz", "?line=0", "?last=yes", "?mode=remove", "?part=1"} {
		h.want(400, token, "POST", base+"/vips"+bad, "ann")
	}
	if got := h.want(409, token, "POST", base+"/vips?source=ab&line=7", "ann"); !strings.Contains(got.body, `"code":"state"`) {
		t.Error(got.body)
	}
	h.want(413, token, "POST", base+"/vips", strings.Repeat("x", importBody+1))
	h.want(403, h.token("acme", access.Analyst), "POST", base+"/vips", "ann")
	if got := h.want(200, h.token("acme", access.Auditor), "GET", base, ""); !strings.Contains(got.body, `{"lists":[{"name":"vips / all","people":2,`) {
		t.Error(got.body)
	}
	h.want(200, token, "GET", base+"/once", "")
	h.want(404, token, "GET", base+"/none", "")
	h.want(204, token, "DELETE", base+"/once", "")
	h.want(404, token, "DELETE", base+"/once", "")
	if !slices.ContainsFunc(h.entries(), func(e audit.Entry) bool {
		return e.Action == "list.upload" && e.Subject == "list vips / all source ab line 3"
	}) {
		t.Error("the audit does not say so")
	}
}

func TestOverview(t *testing.T) {
	h := open(t)
	got := h.want(200, h.token("acme", access.Auditor), "GET", "/v1/publishers/acme", "")
	want := `{"channels":[],"events":[{"name":"Charged","rows":1,"first":"1970-01-01T00:00:02Z","last":"1970-01-01T00:00:02Z","keys":["amount"],"own":false},` +
		`{"name":"Notification Sent","rows":1,"first":null,"last":null,"keys":[],"own":true}],"name":"acme","people":3,"profile":[],` +
		`"purposes":[{"name":"offers","title":"Offers","basis":"consent","channels":[]}],"role":"auditor","rows":12,"timezone":"UTC","title":"ACME"}`
	if strings.TrimSpace(got.body) != want {
		t.Errorf("%s, want %s", got.body, want)
	}
}

func TestHealthIsShownToWhomItConcerns(t *testing.T) {
	h := open(t)
	h.problems = []health.Problem{{Code: "a", Subject: "acme"}, {Code: "b", Subject: "acme/email/relay"}, {Code: "c", Subject: "beta"}, {Code: "d"}, {Code: "e", Subject: "acme2"}}
	for token, want := range map[string]string{
		h.token("acme", access.Analyst): "ab", h.token("beta", access.Admin): "c", h.token(access.Everywhere, access.Analyst): "abcde",
	} {
		var got struct{ Problems []struct{ Code string } }
		h.want(200, token, "GET", "/v1/health", "").into(t, &got)
		codes := ""
		for _, p := range got.Problems {
			codes += p.Code
		}
		if codes != want {
			t.Errorf("%s, want %s", codes, want)
		}
	}
}

func TestWhoReadsTheAudit(t *testing.T) {
	h := open(t)
	check(t, h.audit.Append(t.Context(), audit.Entry{Actor: "a", Action: "x", Publisher: "acme"}, audit.Entry{Actor: "a", Action: "y", Publisher: "beta"}, audit.Entry{Actor: "a", Action: "z"}))
	for _, c := range []struct {
		publisher string
		role      access.Role
		query     string
		status    int
		actions   string
	}{
		{access.Everywhere, access.Auditor, "", 200, "z y x audit.opened"},
		{access.Everywhere, access.Admin, "?limit=2", 200, "z y"},
		{access.Everywhere, access.Auditor, "?publisher=acme", 200, "x"},
		{"acme", access.Auditor, "?publisher=acme", 200, "x"},
		{"acme", access.Admin, "?publisher=acme", 200, "x"},
		{"acme", access.Admin, "?publisher=beta", 404, ""},
		{"acme", access.Admin, "", 403, ""},
		{"acme", access.Marketer, "?publisher=acme", 403, ""},
		{access.Everywhere, access.Analyst, "", 403, ""},
	} {
		got := h.want(c.status, h.token(c.publisher, c.role), "GET", "/v1/audit"+c.query, "")
		if c.status != 200 {
			continue
		}
		var v struct{ Entries []audit.Entry }
		got.into(t, &v)
		var actions []string
		for _, e := range v.Entries {
			if e.Action != "denied" {
				actions = append(actions, e.Action)
			}
		}
		if strings.Join(actions, " ") != c.actions {
			t.Errorf("%s on %s%s: %v, want %s", c.role, c.publisher, c.query, actions, c.actions)
		}
	}
}

func TestTheAuditsHeadIsForElsewhere(t *testing.T) {
	h := open(t)
	var got struct{ Head, Verifier string }
	h.want(200, h.token(access.Everywhere, access.Auditor), "GET", "/v1/audit/head", "").into(t, &got)
	if got.Head != string(h.audit.Head()) || !strings.HasPrefix(got.Verifier, "cloister+") {
		t.Errorf("%+v", got)
	}
	h.want(403, h.token("acme", access.Auditor), "GET", "/v1/audit/head", "")
	h.want(403, h.token(access.Everywhere, access.Marketer), "GET", "/v1/audit/head", "")
}

func TestConnectors(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	h.acme.connectors = []Connector{{Channel: "email", Name: "relay", State: "running"}}
	if got := h.want(200, token, "GET", "/v1/publishers/acme/connectors", ""); !strings.Contains(got.body, `"name":"relay"`) {
		t.Error(got.body)
	}
	if got := h.want(200, h.token("beta", access.Admin), "GET", "/v1/publishers/beta/connectors", ""); strings.TrimSpace(got.body) != `{"connectors":[]}` {
		t.Error(got.body)
	}
	h.want(200, token, "POST", "/v1/publishers/acme/connectors/relay/check", "")
	h.acme.checked = fmt.Errorf("asking: %w", ErrNotFound)
	h.want(404, token, "POST", "/v1/publishers/acme/connectors/relay/check", "")
	h.acme.checked = errors.New("it does not answer")
	if got := h.want(200, token, "POST", "/v1/publishers/acme/connectors/relay/check", ""); strings.TrimSpace(got.body) != `{"ok":false,"problem":"it does not answer"}` {
		t.Error(got.body)
	}
}

func TestImport(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	got := h.want(200, token, "POST", "/v1/publishers/acme/import/events?source=ab12&line=17", "{}\n{}\n")
	if strings.TrimSpace(got.body) != `{"taken":1,"refused":[{"line":17,"error":"no"}]}` || h.acme.imported != "events ab12 17 {}\n{}\n" {
		t.Errorf("%s; it was given %q", got.body, h.acme.imported)
	}
	h.want(200, token, "POST", "/v1/publishers/acme/import/profiles", "{}")
	if h.acme.imported != "profiles  1 {}" {
		t.Errorf("it was given %q", h.acme.imported)
	}
	h.want(413, token, "POST", "/v1/publishers/acme/import/events", strings.Repeat("{}\n", importBody/3+1))
	if got := h.want(503, token, "POST", "/v1/publishers/acme/import/events", "full"); got.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	// Few at the same time.
	for range cap(h.heavy) {
		h.heavy <- struct{}{}
	}
	h.want(429, token, "POST", "/v1/publishers/acme/import/events", "{}")
}

// API.md names every route.
func TestTheDocumentIsWhole(t *testing.T) {
	b, err := os.ReadFile("API.md")
	check(t, err)
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		short := strings.Replace(path, "/v1/publishers/{p}", "…", 1)
		if !strings.Contains(string(b), path) && !strings.Contains(string(b), short) {
			t.Errorf("API.md has no %s", path)
		}
		if !strings.Contains(string(b), "`"+method) {
			t.Errorf("API.md has no %s", method)
		}
	}
}

func TestProblemsHaveAStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{access.ErrUnknown, 401}, {access.ErrBusy, 429}, {access.ErrTooMany, 409}, {audit.ErrBusy, 429}, {audit.ErrClosed, 503},
		{errBroken, 500}, {fmt.Errorf("a: %w", http.ErrHandlerTimeout), 500},
	} {
		if got := problemOf(c.err).status; got != c.status {
			t.Errorf("%v: %d, want %d", c.err, got, c.status)
		}
	}
}
