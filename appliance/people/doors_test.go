package people

import (
	"fmt"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// update runs fn as the applier does.
func (h *house) update(fn func(*kv.Txn) error) {
	h.t.Helper()
	if err := h.db.Update(fn); err != nil {
		h.t.Fatal(err)
	}
	h.Committed()
}

func (h *house) count(ks kv.Keyspace, prefix []byte) (n int) {
	h.t.Helper()
	err := h.db.View(func(t *kv.Txn) error {
		return t.Scan(ks, prefix, nil, func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func bounce(person uint32, channel, kind string, to ...event.Address) event.Fact {
	return event.Fact{Kind: event.Track, Person: person, Name: event.NotificationBounced, Addresses: to, Props: []event.Prop{
		{Key: event.PropChannel, Value: value(channel)}, {Key: event.PropKind, Value: value(kind)}}}
}

// What the tests below name.
var (
	someIDs       = []string{"ann", "bob", "carl", "phone", "tablet", "watch"}
	someAddresses = []event.Address{email("ann@x"), email("bob@x"), token("T"), token("U")}
	somePurposes  = []string{"offers", "news"}
)

// doors tells all that the room answers, as text that can be compared.
func (h *house) doors() string {
	h.t.Helper()
	var b strings.Builder
	s := h.Snapshot()
	fmt.Fprintf(&b, "max %d exists %v keys %v\n", s.Max(), s.Exists().ToArray(), s.Keys())
	for _, id := range someIDs {
		fmt.Fprintf(&b, "%s is %d\n", id, h.found(id))
	}
	for _, a := range someAddresses {
		fmt.Fprintf(&b, "%s %s suppressed %v\n", a.Channel, a.Value, h.Suppressed(a.Channel, a.Value))
	}
	for _, c := range event.Channels {
		fmt.Fprintf(&b, "reachable by %s %v\n", c, s.Reachable(c).ToArray())
	}
	for _, p := range somePurposes {
		for _, c := range consentChannels {
			fmt.Fprintf(&b, "%s by %q %v\n", p, c, s.Consented(p, c).ToArray())
		}
	}
	for _, l := range s.ListInfos() {
		fmt.Fprintf(&b, "list %+v %v\n", l, s.List(l.Name))
	}
	for i := range event.Partitions {
		if l := s.Losers(i); len(l) > 0 {
			fmt.Fprintf(&b, "losers %v\n", l)
		}
	}
	for n := uint32(1); n <= s.Max(); n++ {
		fmt.Fprintf(&b, "%d: winner %d hidden %v", n, s.Winner(n), s.Hidden(n))
		if p, err := h.Person(n); err != nil {
			fmt.Fprintf(&b, " %v", err)
		} else {
			fmt.Fprintf(&b, " %+v", *p)
		}
		for _, key := range s.Keys() {
			if v := h.Profile(n, key); !v.IsNull() && s.Winner(n) == n {
				col := s.Profile(key)
				shown := ""
				if col.Nums != nil {
					shown = fmt.Sprint(col.Nums[n])
				} else {
					shown = col.Dict[col.Codes[n]-1].String()
				}
				fmt.Fprintf(&b, " %s=%v (%s)", key, v, shown)
			}
		}
		ledger, err := h.Ledger(n)
		fmt.Fprintf(&b, " ledger %+v", ledger)
		if events, err2 := h.OpenEvents(n, -1<<60, 1<<60); err == nil {
			fmt.Fprintf(&b, " events %+v %v", events, err2)
		}
		for _, p := range somePurposes {
			for _, c := range consentChannels {
				ok, d := h.Allowed(n, p, c)
				if ok != s.Consented(p, c).Contains(n) && s.Winner(n) == n {
					h.t.Errorf("person %d, %s by %q: allowed %v, and the bitmap says otherwise", n, p, c, ok)
				}
				fmt.Fprintf(&b, " %v%d", ok, d.Since)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
