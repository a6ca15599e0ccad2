package console

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
)

func (s *shop) Held(after uint64, limit int) ([]HeldRecord, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []HeldRecord
	for _, h := range s.waiting {
		if h.Number > after && len(out) < limit {
			out = append(out, h)
		}
	}
	return out, len(s.waiting), nil
}

func (s *shop) let(number uint64, what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.waiting {
		if h.Number == number {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.decided = append(s.decided, fmt.Sprint(number, " ", what))
			return nil
		}
	}
	return fmt.Errorf("held: %w", ErrNotFound)
}

func (s *shop) ReleaseHeld(_ context.Context, n uint64, mask bool) error {
	return s.let(n, map[bool]string{true: "masked", false: "as it is"}[mask])
}

func (s *shop) DiscardHeld(n uint64) error { return s.let(n, "discarded") }

func TestHeld(t *testing.T) {
	h := open(t)
	for n := uint64(1); n <= 4; n++ {
		h.acme.waiting = append(h.acme.waiting, HeldRecord{
			Number: n, At: time.Unix(5, 0), Expires: time.Unix(9, 0), Dialect: "segment", Key: "ACME-APP", Kinds: []string{"email"},
			Facts: []event.Fact{{Kind: event.Track, Name: "Asked", User: "ann", Time: 1_000_000, Props: []event.Prop{{Key: "note", Value: event.OfText("***@example.com")}}}},
		})
	}
	const path = "/v1/publishers/acme/held"
	for _, role := range []access.Role{access.Analyst, access.Marketer, access.Auditor} {
		h.want(403, h.token("acme", role), "GET", path, "")
		h.want(403, h.token("acme", role), "POST", path+"/1/release", `{"as":"is"}`)
		h.want(403, h.token("acme", role), "DELETE", path+"/1", "")
	}
	token := h.token("acme", access.Admin)
	got := h.want(200, token, "GET", path+"?after=3&limit=5", "")
	if want := `{"count":4,"held":[{"n":4,"at":"1970-01-01T00:00:05Z","expires":"1970-01-01T00:00:09Z","dialect":"segment","key":"ACME-APP","kinds":["email"],` +
		`"facts":[{"kind":"track","ts":"1970-01-01T00:00:01Z","user":"ann","event":"Asked","props":{"note":"***@example.com"}}]}]}`; strings.TrimSpace(got.body) != want {
		t.Error(got.body)
	}
	h.want(204, token, "POST", path+"/1/release", `{"as":"is"}`)
	h.want(204, token, "POST", path+"/2/release", `{"as":"masked"}`)
	h.want(204, token, "DELETE", path+"/3", "")
	h.want(404, token, "DELETE", path+"/3", "")
	h.want(404, token, "POST", path+"/3/release", `{"as":"is"}`)
	h.want(404, token, "DELETE", path+"/x", "")
	h.want(400, token, "POST", path+"/4/release", `{"as":"whole"}`)
	h.want(400, token, "POST", path+"/4/release", `{}`)
	h.want(400, token, "GET", path+"?after=x", "")
	if got := strings.Join(h.acme.decided, ", "); got != "1 as it is, 2 masked, 3 discarded" {
		t.Error(got)
	}
	var actions []string
	for _, e := range h.entries() {
		if strings.HasPrefix(e.Action, "held.") {
			actions = append(actions, e.Action+" "+e.Subject+" "+string(e.Outcome))
		}
	}
	// The newest first; what fails is written down twice.
	if got := strings.Join(actions[len(actions)-4:], ", "); !strings.HasPrefix(got, "held.discard held record 3 ") || !strings.Contains(got, "held.release_masked held record 2 ") ||
		!strings.Contains(got, "held.release held record 1 ") || !strings.HasSuffix(got, "held.read  ok") {
		t.Error(got)
	}
}
