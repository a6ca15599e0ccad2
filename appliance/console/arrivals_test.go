package console

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
)

func (s *shop) arrivals(f ArrivalFilter) ([]Arrival, uint64) {
	if f.After >= 9 || f.Key == "OTHER" || f.Limit < 1 {
		return nil, 9
	}
	return []Arrival{{Number: 9, At: time.Unix(5, 0), Dialect: "segment", Key: "ACME-APP", Sender: "analytics-go", Kind: "track", Event: "Charged", ID: "m-canary",
		Time: 4_000_000, User: "ann-canary", Device: "d-canary", Detail: []byte(`{"props":{"amount":12,"note":"acme-canary"}}`)}}, 9
}

func TestArrivals(t *testing.T) {
	h := open(t)
	const path = "/v1/publishers/acme/arrivals"
	for role, want := range map[access.Role]string{
		access.Admin:    `"id":"m-canary","ts":"1970-01-01T00:00:04Z","user":"ann-canary","anonymous":"d-canary","detail":{"props":{"amount":12,"note":"acme-canary"}}}],"last":9,"masked":false}`,
		access.Marketer: `"user":"ann-canary"`,
		access.Analyst:  `"id":"","ts":"1970-01-01T00:00:04Z","user":"•••","anonymous":"•••","detail":{"props":{"amount":"•••","note":"•••"}}}],"last":9,"masked":true}`,
		access.Auditor:  `"user":"•••","anonymous":"•••","detail":null}],"last":9,"masked":true}`,
	} {
		before, token := len(h.entries()), h.token("acme", role)
		h.want(200, token, "GET", path, "")
		body := strings.TrimSpace(h.want(200, token, "GET", path, "").body)
		full := role == access.Admin || role == access.Marketer
		if wrote := len(h.entries()) - before; full && (wrote != 1 || h.entries()[0].Action != "arrivals.read") || !full && wrote != 0 {
			t.Errorf("%s: %d entries in the audit", role, wrote)
		}
		if !strings.Contains(body, want) || !strings.Contains(body, `"dialect":"segment","key":"ACME-APP","sender":"analytics-go","kind":"track","event":"Charged"`) {
			t.Errorf("%s: %s", role, body)
		}
		if !full && strings.Contains(body, "canary") {
			t.Errorf("%s sees %s", role, body)
		}
	}
	token := h.token("acme", access.Admin)
	for _, query := range []string{"?after=9", "?key=OTHER"} {
		if body := h.want(200, token, "GET", path+query, "").body; !strings.HasPrefix(body, `{"arrivals":[],"last":9`) {
			t.Errorf("%s: %s", query, body)
		}
	}
	for _, query := range []string{"?after=x", "?limit=0", "?limit=501", "?colour=1"} {
		h.want(400, token, "GET", path+query, "")
	}
	h.want(404, token, "GET", "/v1/publishers/beta/arrivals", "")
}

func TestDevelopers(t *testing.T) {
	h := open(t)
	analyst := h.token("acme", access.Analyst)
	const path = "/v1/publishers/acme/developers"
	if body := strings.TrimSpace(h.want(200, analyst, "GET", path, "").body); body != `{"documents":[{"name":"connect","title":"Connecting"}],"keys":[{"name":"app","id":"acme-APP","secret":false},{"name":"server","id":"acme-SRV","secret":true}],"url":"https://engage.example"}` {
		t.Error(body)
	}
	for query, key := range map[string]string{"": "acme-APP", "?key=acme-SRV": "acme-SRV"} {
		var got struct{ Body json.RawMessage }
		h.want(200, analyst, "GET", path+"/connect"+query, "").into(t, &got)
		if want := `[["p","Say ",["code","` + key + `"]," to https://engage.example"]]`; string(got.Body) != want {
			t.Errorf("%s: %s", query, got.Body)
		}
	}
	h.want(404, analyst, "GET", path+"/other", "")
	h.want(400, analyst, "GET", path+"/connect?key=beta-APP", "")
	h.want(404, analyst, "GET", "/v1/publishers/beta/developers/connect", "")
}
