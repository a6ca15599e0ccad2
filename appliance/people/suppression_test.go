package people

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

func (h *house) suppression(remove bool, addresses ...event.Address) event.Fact {
	return event.Fact{Kind: event.Programme, Name: event.TypeSuppression, Time: 7, Body: h.SuppressionBody(remove, addresses)}
}

func (h *house) why(channel, address string) string {
	h.t.Helper()
	s, on, err := h.Suppression(channel, address)
	if err != nil || on != (s.Reason != "") || on != h.Suppressed(channel, address) {
		h.t.Fatalf("%+v, %v, %v, and suppressed is %v", s, on, err, h.Suppressed(channel, address))
	}
	return s.Reason
}

func TestOperatorsSuppress(t *testing.T) {
	h := open(t, Options{})
	h.apply(told("ann", "", email("ann@x")), told("bob", "", email("bob@x")), told("cid", "", email("cid@x")))
	h.apply(bounce(2, "email", "hard", email("bob@x")))
	h.erase(3)
	put := h.suppression(false, email(" ANN@x"), email("bob@x"), email("cid@x"), email("nobody@x"), event.Address{Channel: "sms", Value: "+911"})
	for range 2 { // told again, it changes nothing
		h.apply(put)
		for range 2 {
			got := []string{h.why("email", "ann@x"), h.why("email", "bob@x"), h.why("email", "cid@x"), h.why("email", "nobody@x"), h.why("sms", "+911"), h.why("email", "+911")}
			if want := []string{"operator", "bounce", "erased", "operator", "operator", ""}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			h.reached("email")
			h.reopen()
		}
	}
	counts, err := h.SuppressionCounts(t.Context())
	if want := map[string]int64{"operator": 3, "bounce": 1, "erased": 1}; err != nil || !maps.Equal(counts, want) {
		t.Errorf("%v, %v", counts, err)
	}
	h.apply(h.suppression(true, email("ann@x"), email("bob@x"), email("cid@x"), email("other@x")))
	for range 2 {
		h.reached("email", 1, 2)
		if why := h.why("email", "cid@x"); why != SuppressedErased {
			t.Errorf("an erased person's address is on it for %q", why)
		}
		h.reopen()
	}
}

// TestErasedBeforeOperators: what an operator may take off is not all that keeps
// an erased person from coming back.
func TestErasedBeforeOperators(t *testing.T) {
	h := open(t, Options{})
	h.apply(told("ann", "", email("ann@x"), email("old@x")), h.suppression(false, email("ann@x")), bounce(1, "email", "hard", email("old@x")))
	h.erase(1)
	h.apply(h.suppression(true, email("ann@x"), email("old@x")))
	if a, b := h.why("email", "ann@x"), h.why("email", "old@x"); a != SuppressedErased || b != SuppressedBounce {
		t.Errorf("they are on it for %q, %q", a, b)
	}
}

func TestSuppressionPages(t *testing.T) {
	h := open(t, Options{})
	var all []event.Address
	for i := range 50 {
		all = append(all, email(fmt.Sprintf("u%d@x", i)))
		if i < 20 {
			h.apply(told(fmt.Sprint("u", i), "", all[i]))
		}
	}
	h.apply(h.suppression(false, all...), bounce(1, "email", "complaint", email("angry@x")))
	for _, c := range []struct {
		reason          string
		limit, all, has int
	}{{"", 7, 51, 20}, {"", 51, 51, 20}, {"operator", 10, 50, 20}, {"complaint", 10, 1, 0}, {"bounce", 10, 0, 0}} {
		seen, has := 0, map[uint32]string{}
		for after := ""; ; {
			page, next, err := h.Suppressions(t.Context(), c.reason, after, c.limit)
			if err != nil || len(page) > c.limit {
				t.Fatalf("%d, %v", len(page), err)
			}
			for _, s := range page {
				seen++
				if s.Person != 0 {
					has[s.Person] = s.Address.Value
				}
				if c.reason != "" && s.Reason != c.reason || s.Since == 0 && s.Reason == SuppressedOperator || s.Person == 3 && s.Identity != "u2" {
					t.Errorf("%+v", s)
				}
			}
			if after = next; next == "" {
				break
			}
		}
		if seen != c.all || len(has) != c.has || c.has > 0 && has[3] != "u2@x" {
			t.Errorf("%+v: %d, whose %v", c, seen, has)
		}
	}
	for _, wrong := range []string{"x", "00", "zz", fmt.Sprintf("%034x", 1)} {
		if _, _, err := h.Suppressions(t.Context(), "", wrong, 10); err == nil {
			t.Errorf("after %q is a page", wrong)
		}
	}
}

// TestSuppressionBodies: what is no body of such a fact changes nothing.
func TestSuppressionBodies(t *testing.T) {
	h := open(t, Options{})
	good := h.SuppressionBody(false, []event.Address{email("ann@x")})
	for _, body := range [][]byte{nil, {}, {3}, {1, 2}, good[:16], append(slices.Clone(good), 1), append([]byte{9}, good[1:]...), make([]byte, 1+16*(MaxSuppress+1))} {
		h.apply(event.Fact{Kind: event.Programme, Name: event.TypeSuppression, Body: body})
	}
	if counts, err := h.SuppressionCounts(t.Context()); err != nil || len(counts) > 0 {
		t.Errorf("%v, %v", counts, err)
	}
}
