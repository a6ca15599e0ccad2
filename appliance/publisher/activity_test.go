package publisher

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Pages of any size are the timelines of all people together, whether rows lie
// in blocks or in the head, also after merges.
func TestPagesOfEventsAreWhatTimelinesHave(t *testing.T) {
	h := open(t)
	r := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	some := func(n int) {
		var facts []event.Fact
		for range n {
			f := track("", []string{"Viewed", "Charged", "Left"}[r.IntN(3)], event.Prop{Key: "n", Value: event.OfInt(int64(r.IntN(10)))})
			// Few instants, so that many are equal.
			f.Time = start.Add(time.Duration(r.IntN(20)) * time.Hour).UnixMicro()
			if who := r.IntN(12); who < 8 {
				f.User = fmt.Sprintf("u%d", who)
			} else {
				f.Device = fmt.Sprintf("d%d", who)
			}
			if f.Name == "Charged" {
				card := event.OfText(fmt.Sprint("card ", r.IntN(1e6)))
				f.Props = append(f.Props, event.Prop{Key: "own", Value: card}, event.Prop{Key: "card", Value: card, Personal: true})
			}
			facts = append(facts, f)
		}
		h.tell(facts...)
	}
	some(300)
	if err := h.history.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	some(300)
	h.tell(event.Fact{Kind: event.Identify, User: "u1", Device: "d9"}, event.Fact{Kind: event.Identify, User: "u2", Device: "d10"})
	some(100)
	if _, err := h.Erase(t.Context(), "u5"); err != nil {
		t.Fatal(err)
	}
	from, to := start.Add(3*time.Hour).UnixMicro(), start.Add(17*time.Hour).UnixMicro()
	said := func(person uint32, at int64, name string, props []event.Prop) string {
		props = slices.Clone(props)
		slices.SortFunc(props, func(a, b event.Prop) int { return cmp.Compare(a.Key, b.Key) })
		return fmt.Sprintf("%d %d %s %s", person, at, name, event.AppendJSONProps(nil, props))
	}
	for _, name := range []string{"Viewed", "Charged"} {
		var want []string
		counts := map[uint32]Activity{}
		all, err := h.Whom(t.Context(), []byte(`{"all":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		for it := all.Iterator(); it.HasNext(); {
			n := it.Next()
			p, err := h.Known(n)
			if err != nil {
				t.Fatal(err)
			}
			id := ""
			if len(p.Identities) > 0 {
				id = p.Identities[0].Value
			} else {
				id = p.Devices[0].ID
			}
			rows, err := h.Timeline(t.Context(), id, 0, 10_000, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if row.Name != name {
					continue
				}
				a := counts[n]
				if a.Count++; a.Count == 1 {
					a.First = row.Time
				}
				a.Last = row.Time
				counts[n] = a
				if v, _ := event.Lookup(row.Props, "n").Number(); row.Time >= from && row.Time < to && v >= 5 {
					want = append(want, said(n, row.Time, row.Name, row.Props))
				}
			}
		}
		slices.Sort(want)
		for _, size := range []int{1, 3, 10, 64, 5000} {
			l := Listing{Reference: fmt.Appendf(nil, `{"event":%q,"filter":{"property":"n","op":">=","value":5}}`, name), From: from, To: to, Limit: size}
			var got []string
			for {
				rows, more, err := h.List(t.Context(), l)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					got = append(got, said(row.Person, row.Time, row.Name, row.Props))
					if own, card := event.Lookup(row.Props, "own"), event.Lookup(row.Props, "card"); !own.Equal(card) {
						t.Errorf("another event's card: %v, not %v", card, own)
					}
				}
				if len(rows) > size {
					t.Fatalf("%d on a page of %d", len(rows), size)
				}
				if !more {
					break
				}
				if len(rows) == 0 {
					t.Fatal("more behind nothing")
				}
				l.After = rows[len(rows)-1].At
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s, pages of %d: %d events, not %d", name, size, len(got), len(want))
			}
		}
		did, err := h.Activities(t.Context(), all.ToArray())
		if err != nil {
			t.Fatal(err)
		}
		for n, a := range counts {
			if did[n][name] != a {
				t.Errorf("%s of person %d: %+v, not %+v", name, n, did[n][name], a)
			}
		}
	}
	// Firsts, and all but these, are all; and a first is one a person.
	l := Listing{Reference: []byte(`{"event":"Viewed"}`), From: math.MinInt64, To: math.MaxInt64, Limit: 10_000}
	whole := map[string]int{}
	count := func(first []byte, again bool) (n int) {
		l.First, l.Again = first, again
		rows, _, err := h.List(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		persons := map[uint32]int64{}
		for _, row := range rows {
			if first != nil && !again {
				if _, twice := persons[row.Person]; twice {
					t.Errorf("two firsts of person %d", row.Person)
				}
				persons[row.Person] = row.Time
			}
			whole[said(row.Person, row.Time, row.Name, row.Props)]++
		}
		return len(rows)
	}
	everybody := []byte(`{"first":{"event":"Viewed"}}`)
	all, firsts, others := count(nil, false), count(everybody, false), count(everybody, true)
	if firsts == 0 || firsts+others != all {
		t.Errorf("%d firsts and %d others of %d", firsts, others, all)
	}
	for row, n := range whole {
		if n%2 != 0 {
			t.Errorf("%s is not in one of the two", row)
		}
	}
	l = Listing{Reference: []byte(`{"event":"Viewed"}`), From: math.MinInt64, To: math.MaxInt64, People: []byte(`{"identity":["u1"]}`), Limit: 10_000}
	rows, _, err := h.List(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	u1, _ := h.FindIdentity("u1")
	for _, row := range rows {
		if row.Person != u1 {
			t.Errorf("%d is not %d", row.Person, u1)
		}
	}
	if len(rows) == 0 {
		t.Error("u1 did nothing")
	}
}

// Whoever has an address is found by it, until they are erased.
func TestWhoHasAnAddress(t *testing.T) {
	h := open(t)
	h.tell(asha(true), event.Fact{Kind: event.Identify, User: "noor", Addresses: []event.Address{{Channel: "email", Value: "asha@example.com"}}})
	asha, _ := h.FindIdentity("asha")
	noor, _ := h.FindIdentity("noor")
	if got, err := h.With("email", "ASHA@example.com"); err != nil || !slices.Equal(got, []uint32{asha, noor}) {
		t.Error(got, err)
	}
	if n, ok := h.FindDevice("phone"); !ok || n != asha {
		t.Error(n, ok)
	}
	if _, ok := h.FindDevice("asha"); ok {
		t.Error("an identity is no device")
	}
	if _, ok := h.FindIdentity("phone"); ok {
		t.Error("a device is no identity")
	}
	requests, err := h.EraseAll(t.Context(), []uint32{asha, noor})
	if err != nil || len(requests) != 2 || requests[0] == requests[1] {
		t.Fatal(requests, err)
	}
	if got, err := h.With("email", "asha@example.com"); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	for _, r := range requests {
		if s, err := h.Erasure(r); err != nil || s.Request != r {
			t.Error(s, err)
		}
	}
}

// A call to send is a fact: it makes one message a person, and none where the
// campaign is not one that calls start.
func TestACallSendsOneMessageToEach(t *testing.T) {
	h := open(t)
	h.tell(asha(true))
	n, _ := h.FindIdentity("asha")
	h.campaign(`{"id":"calls","name":"Calls","state":"running","channel":"email","purpose":"offers","class":"marketing","trigger":{"type":"api"}}`)
	h.campaign(letter)
	content := []event.Prop{{Key: "subject", Value: event.OfText("Hi {{ Profile.Name }}"), Personal: true}, {Key: "text", Value: event.OfText("B"), Personal: true}}
	for _, c := range []string{"calls", "thanks", "nothing"} {
		if sent, err := h.Send(t.Context(), c, []uint32{n, 4711}, content); err != nil || sent != 2 {
			t.Error(sent, err)
		}
	}
	h.eventually("one letter", func() bool { return len(h.post.letters()) == 1 })
	if err := h.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := h.post.letters()[0]; m.Subject != "Hi Asha" || m.Text != "B" || h.Delivery().Stats().Enqueued != 1 {
		t.Errorf("%+v, %+v", m, h.Delivery().Stats())
	}
	for _, bad := range []string{
		`{"id":"x","name":"X","channel":"email","purpose":"offers","trigger":{"type":"api"},"content":{"subject":"S","text":"T"}}`,
		`{"id":"x","name":"X","channel":"email","purpose":"offers","trigger":{"type":"api","event":{"event":"A"}}}`,
		`{"id":"x","name":"X","channel":"email","purpose":"offers","platforms":["fcm"],"trigger":{"type":"api"}}`,
		`{"id":"x","name":"X","channel":"push","purpose":"offers","platforms":["fax"],"trigger":{"type":"api"}}`,
		`{"id":"x","name":"X","channel":"push","purpose":"offers","labels":[""],"trigger":{"type":"api"}}`,
		`{"id":"x","name":"X","channel":"email","purpose":"offers","content":{"subject":"S","text":"T"},"trigger":{"type":"event","event":{"event":"A","filter":{"property":"minute","of":"time","op":"<","value":600}}}}`,
	} {
		if _, err := h.Campaigns().Validate([]byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}
