// Package people is who: it gives every person a number, knows their
// identities and devices, their profile, consent and addresses, and joins,
// parts and forgets people. Which rule joins whom stands in IDENTITY.md, the
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
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

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

// People are one publisher's people. Apply, Erase, Profile, Numbers and
// Committed belong to the applier's goroutine; everything else is safe for
// concurrent use.
type People struct {
	db       *kv.DB
	keys     *keyring.Publisher
	merge    string
	personal map[string]bool // of Options, plain
	log      *slog.Logger

	mu       sync.RWMutex // guards what is committed of the two lists, and holds them to the view
	index    list[uint32]
	suppress list[suppression]
	soft     list[soft]
	view     atomic.Pointer[view]

	// What follows is the applier's.

	count         counters
	identified    *roaring.Bitmap     // numbers with an identity of their own
	apart         *roaring.Bitmap     // numbers that a demerge made, kept from joining again at a login
	erased        *bits               // by a fact
	lost          *bits               // their key is destroyed, though no fact here says so (yet)
	lostHolds     map[uint32][]hash   // the addresses of those, which their records no longer tell
	exists        *bits               // neither merged away, nor erased, nor lost
	merged        *bits               // numbers that are not their own winner
	winners       pages[uint32]       // of those
	mergesChanged bool                // since the last view
	members       map[uint32][]uint32 // winner -> the numbers merged into it
	columns       map[string]*column
	reachable     map[string]*bits
	consent       map[consentKey]*answers
	lists         map[string]*uploaded
	lastSet       uint32             // of the numbers of sets of lists
	listsChanged  bool               // since the last view
	cache         map[uint32]*record // as saved, of the transaction that runs
	hashed        []hashedID         // ids met lately
}

// Resolved is what became of a fact.
type Resolved struct {
	Person   uint32       // whom it concerns; 0 = nobody, or it is refused
	Number   uint32       // of theirs, the one that an event is kept under: the named user's own, so that a demerge gives it back
	New      bool         // the person is seen for the first time
	Refused  string       // why it is refused, "" if it is not
	OptedOut bool         // the person does not want to be collected: the fact joined ids, withdrew and took back, and is not kept
	Merged   *Merge       // two numbers became one person
	Dropped  []string     // keys of attributes, channels and purposes that were not taken, since a ceiling is reached or the value does not fit
	Events   []event.Fact // the appliance's own events that follow from it: Track facts with Person set
}

// Merge says that Loser is one person with Winner from now on.
type Merge struct {
	Winner, Loser uint32
	Rule          string // "login" or "alias"
}

// Apply carries one fact into the state, in t. Facts must come in their order.
// An error means that the transaction must not commit, and that these People
// must be opened anew.
func (p *People) Apply(t *kv.Txn, f *event.Fact) (Resolved, error) {
	a := applying{p: p, t: t, f: f, time: f.Time}
	if a.time == 0 {
		a.time = f.Received
	}
	if err := a.apply(); err != nil {
		return Resolved{}, fmt.Errorf("applying a %s to people: %w", f, err)
	}
	return a.out, nil
}

// Profile gives an attribute that is not personal, as of the last Apply: for
// triggers, which run inside the applier.
func (p *People) Profile(person uint32, key string) event.Value {
	if c := p.columns[key]; c != nil {
		return c.get(p.root(person))
	}
	return event.Value{}
}

// Numbers gives all numbers that are one person with this one, as of the last
// Apply: the winner first, whichever was asked for. It is nil for a number
// that was never given.
func (p *People) Numbers(person uint32) []uint32 {
	if person == 0 || person > p.count.max {
		return nil
	}
	w := p.root(person)
	return append([]uint32{w}, p.members[w]...)
}

// root is the number that a number goes by.
func (p *People) root(n uint32) uint32 {
	if w := p.winners.get(n); w != 0 {
		return w
	}
	return n
}
