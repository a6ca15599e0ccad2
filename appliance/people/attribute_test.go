package people

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

func change(op event.Op, v any) event.Change {
	return event.Change{Key: "k", Op: op, Value: value(v)}
}

func TestChangesOfAnAttribute(t *testing.T) {
	long := make([]string, maxElements+5)
	for i := range long {
		long[i] = fmt.Sprint(i)
	}
	for _, row := range []struct {
		name    string
		changes []event.Change
		want    any
		dropped bool
	}{
		{"set", []event.Change{change(event.Set, 1), change(event.Set, "b")}, "b", false},
		{"set nothing", []event.Change{change(event.Set, 1), change(event.Set, nil)}, nil, false},
		{"set once", []event.Change{change(event.SetOnce, 1), change(event.SetOnce, 2)}, 1, false},
		{"delete", []event.Change{change(event.Set, 1), change(event.Delete, nil)}, nil, false},
		{"delete what is not", []event.Change{change(event.Delete, nil)}, nil, false},
		{"add", []event.Change{change(event.Add, []string{"a", "b"}), change(event.Add, "a"), change(event.Add, "c")}, []string{"a", "b", "c"}, false},
		{"add to a scalar", []event.Change{change(event.Set, "a"), change(event.Add, "b")}, []string{"a", "b"}, false},
		{"add too many", []event.Change{change(event.Add, long)}, long[5:], false},
		{"remove", []event.Change{change(event.Set, []string{"a", "b"}), change(event.Remove, []string{"a", "z"})}, []string{"b"}, false},
		{"remove the last", []event.Change{change(event.Set, []string{"a"}), change(event.Remove, "a")}, nil, false},
		{"remove from nothing", []event.Change{change(event.Remove, "a")}, nil, false},
		{"increase nothing", []event.Change{change(event.Increase, 3)}, 3, false},
		{"increase", []event.Change{change(event.Set, 3), change(event.Increase, -5)}, -2, false},
		{"increase by a fraction", []event.Change{change(event.Set, 1), change(event.Increase, 0.5)}, 1.5, false},
		{"increase back to a whole", []event.Change{change(event.Set, 1.5), change(event.Increase, 0.5)}, 2, false},
		{"increase the text of a number", []event.Change{change(event.Set, "4"), change(event.Increase, 1)}, 5, false},
		{"increase past int64", []event.Change{change(event.Set, math.MaxInt64), change(event.Increase, 1)}, float64(1 << 63), false},
		{"increase a text", []event.Change{change(event.Set, "a"), change(event.Increase, 1)}, "a", true},
		{"increase by a text", []event.Change{change(event.Set, 1), change(event.Increase, "a")}, 1, true},
		{"increase to infinity", []event.Change{change(event.Set, 1.7e308), change(event.Increase, 1.7e308)}, 1.7e308, true},
		{"no such change", []event.Change{change(event.Set, 1), change(99, 2)}, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Options{})
			r := h.one(identify("ann", "", row.changes...))
			if got := slices.Equal(r.Dropped, []string{"k"}); got != row.dropped {
				t.Errorf("dropped %q", r.Dropped)
			}
			for range 2 {
				if row.want == nil {
					wantAttrs(t, h.person(1))
				} else {
					wantAttrs(t, h.person(1), "k", row.want)
				}
				if got := h.Profile(1, "k"); !got.Equal(value(row.want)) {
					t.Errorf("the column has %v", got)
				}
				if (h.Snapshot().Profile("k") != nil) != (row.want != nil) {
					t.Error("a column of nobody, or none of somebody")
				}
				h.reopen()
			}
		})
	}
}

func TestCeilingsOfAPerson(t *testing.T) {
	h := open(t, Options{})
	f := identify("ann", "")
	for i := range maxAttributes + 2 {
		f.Changes = append(f.Changes, attr(fmt.Sprintf("k%04d", i), i))
	}
	if r := h.one(f); !slices.Equal(r.Dropped, []string{"k0512", "k0513"}) {
		t.Errorf("dropped %q", r.Dropped)
	}
	if r := h.one(identify("ann", "", attr("k0000", "other"))); r.Dropped != nil {
		t.Errorf("what is there may change: dropped %q", r.Dropped)
	}

	f = identify("bob", "")
	big := strings.Repeat("x", 4096)
	for i := range maxWeight/4096 + 1 {
		f.Changes = append(f.Changes, attr(fmt.Sprint("k", i), big))
	}
	if r := h.one(f); len(r.Dropped) == 0 {
		t.Error("a profile without end")
	}
	f = identify("carl", "")
	for i := range maxDecisions + 1 {
		f.Consents = append(f.Consents, consent(fmt.Sprint("p", i/4), event.Channels[i%4], true))
	}
	if r := h.one(f); !slices.Equal(r.Dropped, []string{fmt.Sprint("consent.p", maxDecisions/4)}) {
		t.Errorf("dropped %q", r.Dropped)
	}
	for i := range maxDevices + 1 {
		h.apply(track("dan", fmt.Sprint("d", i)))
	}
	if n := len(h.person(4).Devices); n != maxDevices {
		t.Errorf("%d devices", n)
	}
	if h.found("d0") != 4 {
		t.Error("a device that is no longer listed still belongs to its person")
	}
	for i := range maxIdentities + 1 {
		r := h.one(alias("dan", fmt.Sprint("dan", i)))
		if full := i >= maxIdentities-1; full != slices.Equal(r.Dropped, []string{"identity"}) {
			t.Errorf("identity %d: dropped %q", i, r.Dropped)
		}
	}
	if h.found("dan64") != 4 {
		t.Error("an identity that is not listed still belongs to its person")
	}
}

func TestPersonalAttributesAreNoColumns(t *testing.T) {
	h := open(t, Options{Personal: []string{"Shoe Size"}})
	f := identify("ann", "", attr("First Name", "Ann"), attr("shoe_size", 39), attr("city", "Pune"), attr("plan", "gold"),
		event.Change{Key: "secret", Value: value("s"), Personal: true})
	h.apply(f)
	for range 2 {
		if got := h.Snapshot().Keys(); !slices.Equal(got, []string{"city", "plan"}) {
			t.Errorf("keys %q", got)
		}
		for _, key := range []string{"First Name", "shoe_size", "secret"} {
			if h.Snapshot().Profile(key) != nil || !h.Profile(1, key).IsNull() {
				t.Errorf("%s can be asked about", key)
			}
		}
		for _, p := range h.person(1).Profile {
			if want := p.Key != "city" && p.Key != "plan"; p.Personal != want {
				t.Errorf("%s: personal %v", p.Key, p.Personal)
			}
		}
		h.reopen()
	}
	// What was asked about until now and turns out to be personal goes.
	h.apply(identify("ann", "", event.Change{Key: "city", Value: value("Pune"), Personal: true}))
	for range 2 {
		if h.Snapshot().Profile("city") != nil {
			t.Error("the column stayed")
		}
		h.reopen()
	}
	h.apply(identify("ann", "", attr("city", "Oslo")))
	if h.Snapshot().Profile("city") != nil {
		t.Error("once personal, and then not")
	}
}
