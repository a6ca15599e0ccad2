package console

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
)

func (s *shop) refusals(f RefusalFilter) Refusals {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Refusals{Counts: []RefusalCount{{"segment", "too_old", false, 2}}, Applied: map[string]int64{"erased": 3}}
	for _, r := range s.refused {
		if out.Last = r.Number; r.Number > f.After && len(out.List) < f.Limit && (f.Code == "" || f.Code == r.Code) {
			out.List = append(out.List, r)
		}
	}
	return out
}

func (s *shop) refuse(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, Refusal{
		Number: number, At: time.Unix(5, 0), Dialect: "segment", Key: "ACME-APP", Index: 1, Code: "too_old", Field: "ts", Message: "too old",
		Record: []byte(`{"event":"Charged","traits":{"email":"` + s.name + `-canary@example.com","n":[1,null]}}`), Bytes: 60,
	})
}

func TestRefusals(t *testing.T) {
	h := open(t)
	h.acme.refuse(7)
	h.acme.refuse(8)
	const path = "/v1/publishers/acme/refusals"
	type list struct {
		Refusals []struct {
			N       uint64
			At      time.Time
			Code    string
			Index   int
			Dialect string
			Record  json.RawMessage
		}
		Last    uint64
		Counts  []RefusalCount
		Applied map[string]int64
		Masked  bool
	}
	for role, record := range map[access.Role]string{
		access.Admin:    `{"event":"Charged","traits":{"email":"acme-canary@example.com","n":[1,null]}}`,
		access.Marketer: `{"event":"Charged","traits":{"email":"acme-canary@example.com","n":[1,null]}}`,
		access.Analyst:  `{"event":"•••","traits":{"email":"•••","n":["•••",null]}}`,
		access.Auditor:  "null",
	} {
		var got list
		before := len(h.entries())
		token := h.token("acme", role)
		h.want(200, token, "GET", path, "").into(t, &got)
		h.want(200, token, "GET", path, "")
		if len(got.Refusals) != 2 || string(got.Refusals[0].Record) != record || got.Refusals[0].N != 7 || got.Refusals[0].Dialect != "segment" ||
			!got.Refusals[0].At.Equal(time.Unix(5, 0)) || got.Last != 8 || got.Applied["erased"] != 3 || len(got.Counts) != 1 || got.Counts[0].Count != 2 {
			t.Errorf("%s: %+v", role, got)
		}
		full := role == access.Admin || role == access.Marketer
		wrote := len(h.entries()) - before
		if got.Masked == full || full && (wrote != 1 || h.entries()[0].Action != "refusals.read") || !full && wrote != 0 {
			t.Errorf("%s: masked %v, %d entries", role, got.Masked, wrote)
		}
	}
	token := h.token("acme", access.Admin)
	for query, want := range map[string]int{"?after=7": 1, "?after=8": 0, "?limit=1": 1, "?code=empty": 0, "?code=too_old&dialect=segment&key=ACME-APP": 2} {
		var got list
		h.want(200, token, "GET", path+query, "").into(t, &got)
		if len(got.Refusals) != want {
			t.Errorf("%s: %d", query, len(got.Refusals))
		}
	}
	for _, query := range []string{"?after=x", "?limit=0", "?limit=1001", "?person=ann", "?after=-1"} {
		h.want(400, token, "GET", path+query, "")
	}
	h.want(404, token, "GET", "/v1/publishers/beta/refusals", "")
}

func TestRefusalStream(t *testing.T) {
	h := open(t)
	h.acme.refuse(7)
	w := h.watch(h.token("acme", access.Admin), "acme", "/refusals/live")
	if e := h.entries()[0]; e.Action != "refusals.watch" {
		t.Errorf("%+v", e)
	}
	for n := uint64(8); n < 11; n++ {
		h.acme.refuse(n)
		h.ticks <- time.Time{}
		if name, data := w.next(); name != "refusal" || !strings.Contains(data, `"n":`+strconv.FormatUint(n, 10)) || !strings.Contains(data, "acme-canary") {
			t.Error(name, data)
		}
	}
	h.want(http.StatusBadRequest, h.token("acme", access.Admin), "GET", "/v1/publishers/acme/refusals/live?what=1", "")
	analyst := h.watch(h.token("acme", access.Analyst), "acme", "/refusals/live?after=6")
	if name, data := analyst.next(); name != "refusal" || !strings.Contains(data, `"n":7`) || strings.Contains(data, "canary") {
		t.Error(name, data)
	}
	check(t, h.Close())
	if name, _ := w.next(); name != "" {
		t.Error("the stream goes on after the console closed")
	}
}
