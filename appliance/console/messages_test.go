package console

import (
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/delivery"
)

func TestMessagesThatFailed(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Analyst)
	got := h.want(200, token, "GET", "/v1/publishers/acme/messages?state=unknown&campaign=cart&connector=relay&from=2026-01-02T00:00:00Z&to=2026-01-03T00:00:00Z&limit=7&cursor=more", "")
	if !strings.Contains(got.body, `"m1"`) || !strings.Contains(got.body, `"next":"more"`) {
		t.Error(got.body)
	}
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	l := h.acme.listing
	if !l.From.Equal(day) || !l.To.Equal(day.AddDate(0, 0, 1)) {
		t.Errorf("from %v to %v", l.From, l.To)
	}
	l.From, l.To = time.Time{}, time.Time{}
	if l != (delivery.Listing{State: delivery.Lost, Campaign: "cart", Connector: "relay", After: "more", Limit: 7}) {
		t.Errorf("%+v", l)
	}
	for query, at := range map[string]string{
		"state=sent": "state", "state=": "state", "state=failed&limit=501": "limit", "state=failed&from=today": "from", "state=failed&cursor=x": "cursor", "state=failed&person=ann": "person",
	} {
		if got := h.want(400, token, "GET", "/v1/publishers/acme/messages?"+query, ""); !strings.Contains(got.body, `"path":"`+at+`"`) {
			t.Errorf("%s: %s", query, got.body)
		}
	}
}

// TestReplaying: who may, that it is written down with what was said of it, and
// what is answered of each.
func TestReplaying(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	id := func(d string) string { return strings.Repeat(d, 32) }
	four := `"` + id("1") + `","` + id("2") + `","` + id("3") + `","` + id("4") + `"`
	path := "/v1/publishers/acme/messages/replay"
	got := h.want(200, token, "POST", path, `{"messages":[`+four+`]}`)
	var all struct {
		Messages []struct {
			Message, As string
			Error       *struct{ Code string }
		}
	}
	got.into(t, &all)
	for n, code := range []string{"perhaps_sent", "not_found", "erased", "state"} {
		if m := all.Messages[n]; m.Message != id(string(rune('1'+n))) || m.As != "" || m.Error == nil || m.Error.Code != code {
			t.Errorf("%s: %+v", code, m)
		}
	}
	if e := h.entries()[0]; e.Action != "message.replay" || e.Publisher != "acme" || e.Subject != "message "+strings.NewReplacer(`"`, "", ",", " ").Replace(four) {
		t.Errorf("%+v", e)
	}
	if got := h.want(200, token, "POST", path, `{"messages":["`+id("1")+`"],"perhaps_twice":true}`); !strings.Contains(got.body, `"as":"new"`) {
		t.Error(got.body)
	}
	if e := h.entries()[0]; e.Action != "message.replay_perhaps_twice" || e.Subject != "message "+id("1") {
		t.Errorf("%+v", e)
	}
	many := strings.Repeat(`"`+id("1")+`",`, delivery.MaxReplay) + `"` + id("2") + `"`
	for _, body := range []string{`{}`, `{"messages":[]}`, `{"messages":["m1"]}`, `{"messages":["` + id("x") + `"]}`, `{"messages":[` + many + `]}`, `{"messages":["` + id("1") + `"],"all":true}`} {
		h.want(400, token, "POST", path, body)
	}
}

func TestPausingConnectors(t *testing.T) {
	h := open(t)
	h.acme.connectors = []Connector{{Channel: "email", Name: "relay", State: "running"}}
	token := h.token("acme", access.Admin)
	for _, c := range []struct{ verb, part string }{
		{"pause", `"paused":"1970-`}, {"resume", `"in_flight":0`}, {"drain", `"paused":"1970-`},
	} {
		got := h.want(200, token, "POST", "/v1/publishers/acme/connectors/relay/"+c.verb, "")
		if !strings.Contains(got.body, c.part) || c.verb == "resume" && strings.Contains(got.body, "paused") {
			t.Errorf("%s: %s", c.verb, got.body)
		}
		if e := h.entries()[0]; e.Action != "connector."+c.verb || e.Subject != "connector relay" || e.Publisher != "acme" {
			t.Errorf("%+v", e)
		}
		h.want(404, token, "POST", "/v1/publishers/acme/connectors/none/"+c.verb, "")
	}
}
