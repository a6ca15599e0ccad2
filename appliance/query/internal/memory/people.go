package memory

import (
	"errors"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Person is one number and what is known of it.
type Person struct {
	Identity  string
	Profile   map[string]event.Value
	Reachable []string
	Consent   [][2]string // purpose and channel
	Lists     []string
	Winner    uint32 // 0 = itself
	Erased    bool
	Codes     bool // of Profile: numbers in dictionaries too
}

// People is a query.People: number n is People[n-1].
type People []Person

// Winner is the number that a number goes by.
func (p People) Winner(n uint32) uint32 {
	if n > 0 && int(n) <= len(p) && p[n-1].Winner != 0 {
		return p[n-1].Winner
	}
	return n
}

// Losers are the numbers merged into each winner of a partition.
func (p People) Losers(partition int) map[uint32][]uint32 {
	out := map[uint32][]uint32{}
	for i, one := range p {
		if w := one.Winner; w != 0 && event.PartitionOf(w) == partition {
			out[w] = append(out[w], uint32(i+1))
		}
	}
	return out
}

// Hidden says whether a number was erased.
func (p People) Hidden(n uint32) bool { return n > 0 && int(n) <= len(p) && p[n-1].Erased }

func (p People) set(in func(*Person) bool) *roaring.Bitmap {
	out := roaring.New()
	for i := range p {
		if p[i].Winner == 0 && !p[i].Erased && in(&p[i]) {
			out.Add(uint32(i + 1))
		}
	}
	return out
}

// Exists are winners that were not erased.
func (p People) Exists() *roaring.Bitmap { return p.set(func(*Person) bool { return true }) }

// Profile is one attribute, by number; nil if nobody has it.
func (p People) Profile(key string) *block.Column {
	values := make([]event.Value, len(p)+1)
	some, codes := false, false
	for i := range p {
		if v, ok := p[i].Profile[key]; ok && p[i].Winner == 0 && !p[i].Erased {
			values[i+1], some = v, true
		}
		codes = codes || p[i].Codes
	}
	if !some {
		return nil
	}
	return Column(values, codes)
}

// Reachable are those with an address on a channel.
func (p People) Reachable(channel string) *roaring.Bitmap {
	return p.set(func(one *Person) bool { return slices.Contains(one.Reachable, channel) })
}

// Consented are those who agreed to a purpose on a channel.
func (p People) Consented(purpose, channel string) *roaring.Bitmap {
	return p.set(func(one *Person) bool { return slices.Contains(one.Consent, [2]string{purpose, channel}) })
}

// Lists are the lists that somebody is on, erased or merged too.
func (p People) Lists() []string {
	var out []string
	for _, one := range p {
		out = append(out, one.Lists...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// List is who is on a list; a merged number stands for its winner.
func (p People) List(name string) *roaring.Bitmap {
	out := roaring.New()
	for i := range p {
		if slices.Contains(p[i].Lists, name) && !p[i].Erased {
			out.Add(p.Winner(uint32(i + 1)))
		}
	}
	return out
}

// Identity is how a person is listed.
func (p People) Identity(n uint32) (string, error) {
	if n == 0 || int(n) > len(p) {
		return "", errors.New("memory: nobody has this number")
	}
	return p[n-1].Identity, nil
}

// Find gives the number with an identity.
func (p People) Find(identity string) (uint32, bool) {
	i := slices.IndexFunc(p, func(one Person) bool { return one.Identity == identity })
	return uint32(i + 1), i >= 0
}
