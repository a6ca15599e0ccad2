package people

import (
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// rows are the addresses with messages that came back, as they are on disk.
func (h *house) rows() (n int) {
	h.t.Helper()
	err := h.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.People, []byte{keySoft}, nil, func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestSoftRows(t *testing.T) {
	at := func(f event.Fact, days int64) event.Fact { f.Time = days * day; return f }
	arrived := func(name string, to ...event.Address) event.Fact {
		return event.Fact{Kind: event.Track, Person: 1, Name: name, Addresses: to, Props: []event.Prop{{Key: event.PropChannel, Value: value("email")}}}
	}
	soft := bounce(1, "email", "soft", email("ann@x"))
	other := bounce(1, "email", "soft", email("other@x"))
	for _, row := range []struct {
		name       string
		facts      []event.Fact
		rows       int
		suppressed bool
	}{
		{"one", []event.Fact{at(soft, 100)}, 1, false},
		{"four", []event.Fact{at(soft, 100), at(soft, 110), at(soft, 120), at(soft, 130)}, 1, false},
		{"five over days", []event.Fact{at(soft, 100), at(soft, 100), at(soft, 101), at(soft, 102), at(soft, 103)}, 0, true},
		{"five of another address's", []event.Fact{at(soft, 100), at(other, 100), at(soft, 101), at(soft, 102), at(soft, 103)}, 2, false},
		{"ten at once", []event.Fact{at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100)}, 1, false},
		{"ten at once and one later", []event.Fact{at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 100), at(soft, 103)}, 0, true},
		{"told out of order", []event.Fact{at(soft, 103), at(soft, 103), at(soft, 102), at(soft, 101), at(soft, 100), at(soft, 103)}, 0, true},
		{"another arrived", []event.Fact{at(soft, 100), at(arrived(event.NotificationDelivered, email("other@x")), 101)}, 1, false},
		{"it arrived", []event.Fact{at(soft, 100), at(arrived(event.NotificationDelivered, email("ann@x")), 101)}, 0, false},
		{"something was opened", []event.Fact{at(soft, 100), at(arrived(event.NotificationViewed), 101)}, 0, false},
		{"hard after soft", []event.Fact{at(soft, 100), at(bounce(1, "email", "hard", email("ann@x")), 101)}, 0, true},
		{"a block is nobody's fault", []event.Fact{at(bounce(1, "email", "block", email("ann@x")), 101)}, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := open(t, Options{})
			h.apply(at(told("ann", "", email("ann@x")), 1))
			for _, f := range row.facts {
				h.apply(f)
				h.reopen()
			}
			if n := h.rows(); n != row.rows || h.Suppressed("email", "ann@x") != row.suppressed {
				t.Errorf("%d rows, suppressed %v", n, h.Suppressed("email", "ann@x"))
			}
			h.erase(1)
			if n := h.rows(); row.name == "one" && n != 0 {
				t.Errorf("%d rows of nobody", n)
			}
		})
	}
}

// An app that is gone takes its token along, until it is registered again; what
// an app tells of itself names none.
func TestUninstalled(t *testing.T) {
	gone := event.Fact{Kind: event.Track, Person: 1, Name: event.AppUninstalled, Addresses: []event.Address{token("T")}, Props: []event.Prop{{Key: event.PropChannel, Value: value("push")}}}
	h := open(t, Options{})
	h.apply(told("ann", "phone", token("T"), token("U")))
	h.apply(event.Fact{Kind: event.Track, Device: "phone", Name: event.AppUninstalled, Addresses: []event.Address{token("U")}})
	if h.Suppressed("push", "U") {
		t.Error("an app says of a token that it is gone")
	}
	h.apply(gone)
	h.reopen()
	if !h.Suppressed("push", "T") || h.Suppressed("push", "U") || !h.Snapshot().Reachable("push").Contains(1) {
		t.Error("the wrong token is used")
	}
	h.apply(told("ann", "phone", token("T")))
	h.reopen()
	if h.Suppressed("push", "T") {
		t.Error("it was registered again")
	}
	gone.Time = 1
	h.apply(gone)
	if h.Suppressed("push", "T") {
		t.Error("what was said of before ended it")
	}
	// A mailbox does not come back by being named again.
	h.apply(told("ann", "", email("ann@x")), bounce(1, "email", "hard", email("ann@x")), told("ann", "", email("ann@x")))
	if !h.Suppressed("email", "ann@x") {
		t.Error("a dead mailbox is used again")
	}
}
