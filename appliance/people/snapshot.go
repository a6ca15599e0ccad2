package people

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
)

// Snapshot is an unchanging view of people for questions. Taking one costs
// nothing and holds nobody up; it is safe for concurrent use. What it returns
// is shared and must not be changed.
type Snapshot struct {
	p *People
	v *view
}

// Snapshot gives the view that the last Committed published.
func (p *People) Snapshot() *Snapshot { return &Snapshot{p: p, v: p.view.Load()} }

// Release lets go of the view; the snapshot must not be used afterwards.
func (s *Snapshot) Release() { s.v = nil }

// Max is the highest number given.
func (s *Snapshot) Max() uint32 { return s.v.max }

// Winner is the number that a person goes by after merges: itself if none.
func (s *Snapshot) Winner(person uint32) uint32 { return s.v.winner(person) }

// Losers gives, for each winner in a partition that has any, the numbers
// merged into it, in their order. They lie in any partition.
func (s *Snapshot) Losers(partition int) map[uint32][]uint32 { return s.v.losersOf(partition) }

// Hidden says whether a person was erased: in no answer, for ever.
func (s *Snapshot) Hidden(person uint32) bool { return s.v.hidden(person) }

// Exists are the people there are: winners, the erased left out.
func (s *Snapshot) Exists() *roaring.Bitmap { return s.v.exists }

// Profile is an attribute that is not personal, indexed by person number, at
// least Max()+1 long; nil if nobody has it. Only winners have values.
func (s *Snapshot) Profile(key string) *block.Column {
	c := s.v.columns[key]
	if c == nil {
		return nil
	}
	return c.column(s.v.max)
}

// Keys are the attributes that Profile has, in order.
func (s *Snapshot) Keys() []string {
	keys := make([]string, 0, len(s.v.columns))
	for k := range s.v.columns {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Reachable are the people with an address on channel that is not suppressed; of
// webhook also those with an id that the publisher gave.
func (s *Snapshot) Reachable(channel string) *roaring.Bitmap {
	if b := s.v.reachable[channel]; b != nil {
		return b
	}
	return roaring.New()
}

// ReachableOn are the people with a push address of a platform that is not
// suppressed.
func (s *Snapshot) ReachableOn(platform string) *roaring.Bitmap {
	return s.Reachable(onPlatform(platform))
}

// Consented are the people who agreed to purpose on channel: the decision
// about the channel counts if there is one, else the general one. Channel ""
// asks for those who agreed in general and took no channel back.
func (s *Snapshot) Consented(purpose, channel string) *roaring.Bitmap {
	out := roaring.New()
	if b := s.v.granted[consentKey{purpose, ""}]; b != nil {
		out = b.Clone()
	}
	for _, c := range consentChannels[1:] {
		if b := s.v.denied[consentKey{purpose, c}]; b != nil && (channel == "" || channel == c) {
			out.AndNot(b)
		}
	}
	if b := s.v.granted[consentKey{purpose, channel}]; b != nil && channel != "" {
		out.Or(b)
	}
	return out
}

// Identity is how a person is listed: the user id known longest, the first
// device if there is none. It reads and opens their record: ErrUnknown,
// ErrErased.
func (s *Snapshot) Identity(person uint32) (string, error) {
	n := s.v.winner(person)
	if s.v.hidden(n) {
		return "", ErrErased
	}
	r, err := s.p.readRecord(n)
	if err != nil {
		return "", err
	}
	return r.listed(), nil
}

// Listed is Identity, told apart: the user id known longest or, where there is
// none, the first device.
func (s *Snapshot) Listed(person uint32) (user, device string, err error) {
	n := s.v.winner(person)
	if s.v.hidden(n) {
		return "", "", ErrErased
	}
	r, err := s.p.readRecord(n)
	if err != nil {
		return "", "", err
	}
	if len(r.identities) > 0 {
		return r.listed(), "", nil
	}
	return "", r.listed(), nil
}
