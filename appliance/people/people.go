// Package people is who: it gives every person a number, knows their
// identities and devices, their profile, consent and addresses, and joins,
// parts and forgets people. Which rule joins whom stands in DESIGN.md, the
// bytes in FORMAT.md.
//
// The failure rules: one goroutine, the applier, calls Apply and Erase inside
// its transaction and Committed after it; if the transaction fails, the People
// must be thrown away and opened again, since its memory is then ahead of the
// disk. Readers see what the last Committed published, never less, never half.
// Everything that tells about a person rests sealed under that person's key.
package people

import (
	"errors"
	"log/slog"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// What can be wrong with a person that was asked for.
var (
	ErrUnknown = errors.New("people: nobody has this number or id")
	ErrErased  = errors.New("people: this person was erased")
)

// Why a fact is refused: Resolved.Refused.
const (
	RefusedErased  = "erased"  // its person was erased, and it brings no new consent
	RefusedKnown   = "known"   // it would make two known people one
	RefusedUnknown = "unknown" // it is about somebody nobody knows
	RefusedNobody  = "nobody"  // it names neither a user nor a device
)

// Whom an alias may join: Options.Merge.
const (
	MergeAnonymous = "anonymous" // somebody anonymous with somebody known (the default)
	MergeKnown     = "known"     // also two known people
)

// Options of a publisher's people. The zero value is good.
type Options struct {
	// Merge is MergeAnonymous or MergeKnown.
	Merge string
	// Personal names profile attributes that identify someone, beside those
	// that PersonalKey knows.
	Personal []string
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

// People are one publisher's people. Apply, Erase, Profile and Committed
// belong to the applier's goroutine; everything else is safe for concurrent use.
type People struct{}

// Resolved is what became of a fact.
type Resolved struct {
	Person  uint32       // whom it concerns; 0 = nobody, or it is refused
	New     bool         // the person is seen for the first time
	Refused string       // why it is refused, "" if it is not
	Merged  *Merge       // two numbers became one person
	Dropped []string     // keys of attributes, channels and purposes that were not taken, since a ceiling is reached or the value does not fit
	Events  []event.Fact // the appliance's own events that follow from it: Track facts with Person set
}

// Merge says that Loser is one person with Winner from now on.
type Merge struct {
	Winner, Loser uint32
	Rule          string // "login" or "alias"
}

// Open reads a publisher's people into memory: some 100 bytes a person, and 4
// to 8 more an attribute.
func Open(db *kv.DB, keys *keyring.Publisher, o Options) (*People, error) { return &People{}, nil }

// Apply carries one fact into the state, in t. Facts must come in their order.
func (p *People) Apply(t *kv.Txn, f *event.Fact) (Resolved, error) { return Resolved{}, nil }

// Committed publishes what was applied since the last call. The applier calls
// it after its transaction committed.
func (p *People) Committed() {}

// Profile gives an attribute that is not personal, as of the last Apply: for
// triggers, which run inside the applier.
func (p *People) Profile(person uint32, key string) event.Value { return event.Value{} }

// Numbers gives all numbers that are one person with this one as of the last
// Apply, the winner first.
func (p *People) Numbers(person uint32) []uint32 { return nil }

// Erase forgets a person, with all numbers that were merged into theirs.
func (p *People) Erase(t *kv.Txn, person uint32) error { return nil }

// Sweep deletes, in transactions of its own, what Erase left behind because it
// may be too much for one transaction.
func (p *People) Sweep() (left bool, err error) { return false, nil }
