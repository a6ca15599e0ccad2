package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/people"
)

func TestSuppressionList(t *testing.T) {
	h := open(t)
	const base = "/v1/publishers/acme/suppression"
	token := h.token("acme", access.Admin)
	say := func(want string, method, path, body string) {
		t.Helper()
		if got := h.want(200, token, method, base+path, body); strings.TrimSpace(got.body) != want {
			t.Errorf("%s %s: %s, want %s", method, path, got.body, want)
		}
	}
	say(`{"addresses":2,"kept":1}`, "POST", "/add", `{"channel":"email","addresses":["acme-canary@example.com"," new@x.example "]}`)
	say(`{"addresses":1,"kept":0}`, "POST", "/add", `{"channel":"sms","addresses":["+91 (98123) 456-78"]}`)
	say(`{"counts":{"bounce":1,"operator":2}}`, "GET", "", "")
	say(`{"suppressed":true,"reason":"operator","since":"1970-01-01T00:00:00.000005Z"}`, "POST", "/find", `{"channel":"sms","address":"+919812345678"}`)
	say(`{"suppressed":false,"reason":"","since":null}`, "POST", "/find", `{"channel":"email","address":"other@x.example"}`)
	say(`{"addresses":[{"reason":"bounce","since":"1970-01-01T00:00:00.000005Z","identity":"ann","channel":"email","address":"acme-canary@example.com"}],"next":""}`, "GET", "/addresses?reason=bounce&limit=5", "")
	say(`{"addresses":1,"kept":0}`, "POST", "/remove", `{"channel":"email","addresses":["new@x.example"]}`)
	say(`{"counts":{"bounce":1,"operator":1}}`, "GET", "", "")

	many := `["` + strings.Repeat(`a@x.example","`, people.MaxSuppress) + `a@x.example"]`
	for _, bad := range []string{
		`{"channel":"email"}`, `{"channel":"email","addresses":[]}`, `{"channel":"pigeon","addresses":["x"]}`, `{"channel":"push","addresses":[" "]}`,
		`{"channel":"email","addresses":["no-at"]}`, `{"channel":"email","addresses":["a b@x"]}`, `{"channel":"email","addresses":["a@"]}`,
		`{"channel":"sms","addresses":["9812345678"]}`, `{"channel":"sms","addresses":["+0123456789"]}`, fmt.Sprintf(`{"channel":"email","addresses":%s}`, many),
	} {
		got := h.want(400, token, "POST", base+"/add", bad)
		if strings.Contains(got.body, "no-at") || strings.Contains(got.body, "9812345678") && !strings.Contains(got.body, "+919812345678") {
			t.Errorf("it quotes what was refused: %s", got.body)
		}
	}
	h.want(400, token, "GET", base+"/addresses?cursor=zz", "")
	h.want(400, token, "GET", base+"/addresses?reason=mood", "")
	h.want(200, h.token("acme", access.Auditor), "GET", base, "")
	for _, role := range []access.Role{access.Marketer, access.Analyst, access.Auditor} {
		h.want(403, h.token("acme", role), "GET", base+"/addresses", "")
		h.want(403, h.token("acme", role), "POST", base+"/find", `{"channel":"email","address":"x@x"}`)
		h.want(403, h.token("acme", role), "POST", base+"/add", `{"channel":"email","addresses":["x@x"]}`)
		h.want(403, h.token("acme", role), "POST", base+"/remove", `{"channel":"email","addresses":["x@x"]}`)
	}
	for _, action := range []string{"suppression.add", "suppression.remove", "suppression.list", "suppression.find"} {
		if !slices.ContainsFunc(h.entries(), func(e audit.Entry) bool { return e.Action == action }) {
			t.Errorf("the audit has no %s", action)
		}
	}
	for _, e := range h.entries() {
		if strings.Contains(e.Subject+e.Detail, "@x.example") || strings.Contains(e.Subject+e.Detail, "98123") {
			t.Errorf("the audit names an address: %+v", e)
		}
	}
}
