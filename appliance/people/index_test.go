package people

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Remembered or not, a hash is the same, also where ids share a place and where
// an identity and a device have the same name.
func TestRememberedHashesAreThose(t *testing.T) {
	h := open(t, Options{})
	long := strings.Repeat("x", maxHashedID+1)
	for range 2 {
		for i := range 2 * hashedSlots {
			id := fmt.Sprint("u", i)
			for _, kind := range []idKind{idIdentity, idDevice} {
				if i%1000 == 0 && h.hashOf(kind, id) != h.hashID(kind, id) {
					t.Fatalf("%q of kind %d: another hash", id, kind)
				}
				h.hashOf(kind, id)
			}
		}
	}
	for _, id := range []string{"", long} {
		if h.hashOf(idDevice, id) != h.hashID(idDevice, id) || h.hashOf(idDevice, id) != h.hashID(idDevice, id) {
			t.Errorf("%q: another hash", id)
		}
	}
	h.apply(track("ann", "phone"))
	h.erase(1)
	for _, e := range h.People.hashed {
		if e.id != "" {
			t.Fatalf("an id is remembered after an erasure")
		}
	}
}

// BenchmarkHashOf asks for ids of as many people at random: the cache must
// gain where they repeat and cost little where they do not.
func BenchmarkHashOf(b *testing.B) {
	for _, people := range []int{4_000, 20_000, 1_000_000} {
		h := open(b, Options{})
		ids := make([]string, people)
		for i := range ids {
			ids[i] = fmt.Sprint("customer-", i)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for _, f := range []struct {
			name string
			hash func(idKind, string) hash
		}{{"hashed", h.hashID}, {"cached", h.hashOf}} {
			b.Run(fmt.Sprintf("%s/%d", f.name, people), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f.hash(idIdentity, ids[r.IntN(people)])
				}
			})
		}
	}
}
