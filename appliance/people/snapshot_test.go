package people

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// seen is what a snapshot shows, read twice of the same one.
func seen(s *Snapshot) string {
	out := fmt.Sprint(s.Max(), s.Keys(), s.Exists().ToArray(), s.Reachable("email").ToArray(),
		s.Consented("offers", "").ToArray(), s.Consented("offers", "email").ToArray())
	for _, key := range s.Keys() {
		c := s.Profile(key)
		for n := range s.Max() + 1 {
			if c.Nums != nil {
				out += fmt.Sprint(" ", c.Nums[n])
			} else if code := c.Codes[n]; code != 0 {
				out += " " + c.Dict[code-1].String()
			}
		}
	}
	for i := range event.Partitions {
		if l := s.Losers(i); len(l) > 0 {
			out += fmt.Sprint(" ", l)
		}
	}
	return out
}

// at is what a column shows of somebody.
func at(c *block.Column, n uint32) string {
	switch {
	case c == nil:
		return ""
	case c.Nums != nil:
		return fmt.Sprint(c.Nums[n])
	case c.Codes[n] == 0:
		return ""
	}
	return c.Dict[c.Codes[n]-1].String()
}

// A snapshot never changes, whatever is committed meanwhile; and what it shows
// is one commit, never half of one.
func TestSnapshotsDoNotChange(t *testing.T) {
	h := open(t, Options{})
	h.apply(annFact())
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				s := h.Snapshot()
				first := seen(s)
				if a, b := s.Profile("a"), s.Profile("b"); a != nil || b != nil {
					for n := range s.Max() + 1 {
						if at(a, n) != at(b, n) {
							t.Errorf("person %d has %q and %q, which one commit made equal", n, at(a, n), at(b, n))
						}
					}
				}
				h.Find("u3")
				h.Allowed(2, "offers", "email")
				h.Suppressed("email", "u3@x")
				if again := seen(s); again != first {
					t.Errorf("it was\n%s\nand is\n%s", first, again)
				}
				s.Release()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 120 {
		user := fmt.Sprint("u", i%20)
		var v any = i
		if i%7 == 3 {
			v = fmt.Sprint("text ", i) // the columns leave numbers
		}
		f := identify(user, "", attr("a", v), attr("b", v))
		f.Addresses = []event.Address{email(user + "@x")}
		f.Consents = []event.Consent{consent("offers", []string{"", "email"}[i%2], i%3 != 0)}
		device := fmt.Sprint("d", i)
		h.apply(f, track("", device), track(user, device))
		if i%10 == 9 {
			h.apply(event.Fact{Kind: event.Demerge, User: user})
		}
		if i == 60 {
			h.erase(h.found("u3"))
		}
	}
	close(done)
	readers.Wait()
}

func TestPersonalEvents(t *testing.T) {
	h := open(t, Options{})
	h.apply(track("ann", ""), track("", "phone"))
	card := func(s string) []event.Prop { return []event.Prop{{Key: "card", Value: value(s), Personal: true}} }
	h.update(func(t *kv.Txn) error {
		for _, e := range []struct {
			person uint32
			time   int64
			card   string
		}{{1, 20, "c"}, {1, -10, "a"}, {1, 20, "d"}, {2, 10, "b"}, {1, 30, "e"}} {
			if err := h.SealEvent(t, e.person, e.time, "Paid", card(e.card)); err != nil {
				return err
			}
		}
		return nil
	})
	cards := func(n uint32, from, to int64) (out []string) {
		t.Helper()
		events, err := h.OpenEvents(n, from, to)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Name != "Paid" || !e.Props[0].Personal {
				t.Errorf("%+v", e)
			}
			out = append(out, e.Props[0].Value.Text())
		}
		return out
	}
	if got := cards(1, -100, 100); !slices.Equal(got, []string{"a", "c", "d", "e"}) {
		t.Errorf("all: %q", got)
	}
	if got := cards(1, -10, 20); !slices.Equal(got, []string{"a"}) {
		t.Errorf("from is included, to is not: %q", got)
	}
	h.apply(track("ann", "phone"))
	for range 2 {
		if one, two := cards(1, -100, 100), cards(2, -100, 100); !slices.Equal(one, []string{"a", "c", "d", "e"}) || !slices.Equal(two, []string{"b"}) {
			t.Errorf("merged: %q and %q", one, two)
		}
		h.reopen()
	}
	h.apply(event.Fact{Kind: event.Demerge, User: "ann"})
	if got := cards(2, -100, 100); !slices.Equal(got, []string{"b"}) {
		t.Errorf("parted: %q", got)
	}
}
