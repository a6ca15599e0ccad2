package people

import (
	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/block"
)

// Snapshot is an unchanging view of people for questions. It is cheap to take
// and safe for concurrent use; what it returns is shared and must not be
// changed.
type Snapshot struct{}

// Snapshot gives the view that the last Committed published.
func (p *People) Snapshot() *Snapshot { return &Snapshot{} }

// Release lets go of the view.
func (s *Snapshot) Release() {}

// Max is the highest number given.
func (s *Snapshot) Max() uint32 { return 0 }

// Winner is the number that a person goes by after merges: itself if none.
func (s *Snapshot) Winner(person uint32) uint32 { return person }

// Losers gives, for each winner in a partition, the numbers merged into it.
func (s *Snapshot) Losers(partition int) map[uint32][]uint32 { return nil }

// Hidden says whether a person was erased, for ever.
func (s *Snapshot) Hidden(person uint32) bool { return false }

// Exists are the people there are: winners, the erased left out.
func (s *Snapshot) Exists() *roaring.Bitmap { return nil }

// Profile is an attribute that is not personal, indexed by person number, at
// least Max()+1 long; nil if nobody has it.
func (s *Snapshot) Profile(key string) *block.Column { return nil }

// Keys are the attributes that Profile has, in order.
func (s *Snapshot) Keys() []string { return nil }

// Reachable are the people with an address on channel that is not suppressed.
func (s *Snapshot) Reachable(channel string) *roaring.Bitmap { return nil }

// Consented are the people who agreed to purpose on channel.
func (s *Snapshot) Consented(purpose, channel string) *roaring.Bitmap { return nil }

// Identity is how a person is listed: the user id known longest, a device id
// if there is none.
func (s *Snapshot) Identity(person uint32) (string, error) { return "", ErrUnknown }
