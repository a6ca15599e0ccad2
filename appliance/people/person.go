package people

import (
	"github.com/cloisterhq/cloister/appliance/event"
)

// Person is everything that is known of somebody, opened.
type Person struct {
	Number     uint32
	Identities []Identity      // the one known longest first
	Devices    []Device        // in the order they were seen
	Profile    []event.Prop    // by key; personal ones are marked
	Consents   []ConsentState  // by purpose, then channel
	Addresses  []event.Address // the newest first; suppressed ones too
	Created    int64           // time of the first fact
	Seen       int64           // time of the latest fact that told something of them, to the day; what they did last, history knows
}

// Identity is an id that the publisher gave.
type Identity struct {
	Value string
	Since int64
}

// Device is a device or anonymous id.
type Device struct {
	ID          string
	Since, Seen int64
}

// ConsentState is the decision in force about a purpose on a channel.
type ConsentState struct {
	Purpose, Channel string // Channel "" = every channel that has no decision of its own
	Granted          bool
	Since            int64 // when it was decided
	Source, Version  string
}

// Find gives the number of the person with this identity or, if there is no
// such identity, this device.
func (p *People) Find(identityOrDevice string) (person uint32, ok bool) { return 0, false }

// Person opens what is known of a person; a merged number gives its winner.
func (p *People) Person(person uint32) (*Person, error) { return nil, ErrUnknown }

// Allowed says whether the person agreed to purpose on channel, and the
// decision that says so. Unknown is no.
func (p *People) Allowed(person uint32, purpose, channel string) (ok bool, record ConsentState, err error) {
	return false, ConsentState{}, nil
}

// Suppressed says whether nothing may be sent to an address, whoever has it.
func (p *People) Suppressed(channel, address string) bool { return false }
