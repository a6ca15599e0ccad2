// Package campaign decides who should get what, and why: it watches facts for
// the triggers of running campaigns, keeps timers, and runs broadcasts. What it
// decides are intentions; sending them is delivery's.
//
// Everything that changes state is done in Apply, by the applier, from facts
// alone, so that deciding again gives the same. What happens because time
// passed is appended to the journal first, as a Due or a Run fact, by the
// worker; broadcasts have a worker of their own (DESIGN.md).
package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrUnknown = errors.New("campaign: no such campaign or revision")
	ErrClosed  = errors.New("campaign: closed")
)

// Matcher is a compiled event reference. It looks at the fact and at the
// person's profile only, and may be used concurrently.
type Matcher interface {
	Match(name string, props []event.Prop, profile func(key string) event.Value) bool
}

// Appender appends facts to the publisher's journal and returns once they are
// on disk.
type Appender interface {
	Append(ctx context.Context, facts []event.Fact) error
}

// Audience answers who a people expression means now: winners' numbers,
// erased persons left out. The bitmap belongs to the caller.
type Audience interface {
	People(ctx context.Context, people []byte) (*roaring.Bitmap, error)
}

// Outbox takes intentions within a transaction. An intention whose Message is
// known already changes nothing.
type Outbox interface {
	Enqueue(t *kv.Txn, in Intention) error
}

// Keys seal what timers keep of events under the person's own key, and make
// ids that nobody outside can compute. *keyring.Publisher is one.
type Keys interface {
	SealPerson(person uint32, aad, plain []byte) ([]byte, error)
	OpenPerson(person uint32, aad, sealed []byte) ([]byte, error)
	Destroyed(person uint32) bool
	Hash(domain string, parts ...[]byte) [32]byte
}

// Intention is the wish that one person gets one campaign's message. Its
// fields are those of delivery.Intention, in the same order.
type Intention struct {
	Message  string // id, derived from campaign, person and cause
	Campaign string
	Revision int
	Variant  string
	Person   uint32
	Cause    string // the fact, timer or run that caused it
	At       int64  // not before; microseconds since 1970
	Expires  int64  // not after
	Class    string // Marketing or Transactional
	Channel  string
	Purpose  string
	Props    []event.Prop // of the event that caused it, personal ones included
}

// Options of a publisher's campaigns. Keys, Compile, Journal, Audience and
// Outbox are needed, the rest have defaults.
type Options struct {
	Keys Keys
	// Compile turns an event reference (QUERIES.md) into a Matcher; its error
	// is the author's mistake.
	Compile func(ref []byte) (Matcher, error)
	// CheckPeople says whether a people expression is one; nil checks nothing.
	CheckPeople func(people []byte) error
	Journal     Appender
	Audience    Audience
	Outbox      Outbox
	Purposes    []string // those that a campaign may name; nil = any
	Now         func() time.Time
	// Timer gives a channel that receives once d has passed, and a function
	// that lets go of it. nil = the runtime's timers.
	Timer  func(d time.Duration) (<-chan time.Time, func())
	Rand   *rand.Rand // for the spread of retries; nil = seeded by the runtime
	Logger *slog.Logger
}

// Progress is how far a broadcast has come.
type Progress struct {
	Run      string    `json:"run"`
	State    string    `json:"state"` // "waiting", "begun", "sending", "done", "missed", "stopped"
	At       time.Time `json:"at"`
	Audience uint64    `json:"audience"`        // persons in the frozen audience
	Enqueued uint64    `json:"enqueued"`        // of them handed to the outbox
	Error    string    `json:"error,omitempty"` // why it does not go on; it is tried again
}

// State of one campaign as readers see it.
type Status struct {
	Campaign
	Progress *Progress `json:"progress,omitempty"`
	Timers   int       `json:"-"`
}

// raw is JSON kept as it came.
type raw = json.RawMessage
