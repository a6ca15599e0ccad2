// Package delivery gets messages out: an outbox of intentions, a gate that
// every message passes at the moment of hand-off, rendering, sending, retry,
// and what became of it as facts.
//
// What fails, and how: a message that may not go is held, with its reason; one
// the provider refuses has failed; one whose answer was lost is unknown, and is
// not sent again if it is marketing. Before a message is handed over, the
// attempt is on disk; after it, the outcome; then the fact is in the journal;
// then the entry goes. A crash between any two of these sends nothing twice
// and skips nobody (DESIGN.md).
package delivery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// What can go wrong, to be matched with errors.Is.
var (
	ErrUnknown = errors.New("delivery: no such message")
	ErrClosed  = errors.New("delivery: closed")
	// ErrGone is what People answers for an erased or unknown person, and
	// Programme for a campaign that is not there any more.
	ErrGone = errors.New("delivery: gone")
)

// Classes of message. Transactional ones go first, are exempt from quiet hours,
// and are sent again when an answer was lost. Consent, caps and suppression
// hold for both.
const (
	Marketing     = "marketing"
	Transactional = "transactional"
)

// Intention is the wish that one person gets one campaign's message. Its
// fields are those of campaign.Intention, in the same order.
type Intention struct {
	Message  string // id: 32 hexadecimal digits, derived from the cause
	Campaign string
	Revision int
	Variant  string
	Person   uint32
	Cause    string // the fact, timer or run that caused it
	At       int64  // not before; microseconds since 1970
	Expires  int64  // not after
	Class    string
	Channel  string
	Purpose  string
	Props    []event.Prop // of the event that caused it, personal ones included; of Content.Direct what is sent
	// Platforms are those of push that it may go to; none = all.
	Platforms []string
}

// Barrier waits until the applier has reached the journal's end as of the call.
type Barrier interface {
	CaughtUp(ctx context.Context) error
}

// Recipient is a person as the gate and the templates need them.
type Recipient struct {
	Person    uint32          // as merged now
	Profile   []event.Prop    // personal attributes included
	Addresses []event.Address // the newest first
	Since     []int64         // when each of them was last registered, microseconds since 1970
	On        []string        // the device that each of them is on, "" = unknown
	// Allowed is People's, of the person as they were read with the rest.
	Allowed func(purpose, channel string) (bool, Consent)
}

// Consent is the record that allowed or forbade a message.
type Consent struct {
	Granted bool   `json:"granted"`
	Since   int64  `json:"since,omitempty"` // microseconds since 1970
	Source  string `json:"source,omitempty"`
	Version string `json:"version,omitempty"`
}

// People says who somebody is now. It is called concurrently.
type People interface {
	// Recipient gives a person, or ErrGone.
	Recipient(person uint32) (Recipient, error)
	// Allowed says whether there is a consent for the purpose on the channel;
	// without a record the answer is no. It also answers for merged persons.
	Allowed(person uint32, purpose, channel string) (bool, Consent)
	Suppressed(channel, address string) bool
	// With gives everybody who has an address, by number.
	With(channel, address string) ([]uint32, error)
}

// Content is a revision of a campaign: what is sent, and what is asked before.
type Content struct {
	Subject, HTML, Text, Title, Link string        // Liquid
	Sender, Template                 string        // of an SMS
	Push                             *Push         // what only a push has, nil = nothing
	Direct                           bool          // these stand in each intention's Props, by their names in lower case
	Paused                           bool          // the campaign does not run now: its messages wait
	People                           []byte        // further condition: a people expression, nil = none
	LimitMessages                    int           // messages of this campaign to one person, 0 = any number
	LimitPer                         time.Duration // within this long, 0 = ever
	Control                          int           // of 100 persons, so many get nothing; 0 = everybody gets it
}

// Programme knows the campaigns. It is called concurrently.
type Programme interface {
	// Content gives a revision with the campaign's present state, or ErrGone.
	Content(campaign string, revision int) (Content, error)
	// Wanted says whether a message decided earlier is still wanted, and why not.
	Wanted(campaign, message string) (ok bool, reason string, err error)
}

// Audience answers who a people expression means now.
type Audience interface {
	People(ctx context.Context, people []byte) (*roaring.Bitmap, error)
}

// Links makes the addresses that recipients see.
type Links interface {
	Open(message string) string
	Click(message string, n int) string
	Unsubscribe(message string) string
}

// Sender is the connectors. Its methods are called concurrently.
type Sender interface {
	// Routes are those of a channel, in a stable order.
	Routes(channel string) []Route
	// Send hands a batch of one platform to a connector and gives one outcome a
	// message, in order. It must return soon after ctx ends. An error says that
	// nothing is known of the batch; unless it is, or wraps, an *Unsent.
	Send(ctx context.Context, channel, connector string, batch []connector.Message) ([]connector.Outcome, error)
}

// Unsent is a Sender's error when it is certain that nothing reached the
// provider: no connector runs, or it refused the call. The batch is tried again.
type Unsent struct{ Err error }

func (u *Unsent) Error() string { return "not handed over: " + u.Err.Error() }
func (u *Unsent) Unwrap() error { return u.Err }

// Appender appends facts to the journal and returns once they are on disk.
type Appender interface {
	Append(ctx context.Context, facts []event.Fact) error
}

// Keys seal what the outbox keeps under the person's own key.
// *keyring.Publisher is one.
type Keys interface {
	SealPerson(person uint32, aad, plain []byte) ([]byte, error)
	OpenPerson(person uint32, aad, sealed []byte) ([]byte, error)
	Destroyed(person uint32) bool
	Hash(domain string, parts ...[]byte) [32]byte
}

// Purpose is what messages may be for.
type Purpose struct {
	Contract bool          // basis "contract": no consent is needed
	Messages int           // cap per person over all its campaigns, 0 = none
	Per      time.Duration // the cap's window
}

// QuietHours is the time of day when no marketing goes out, in the
// recipient's zone (profile attribute Timezone, an IANA name), else the
// publisher's. From and To are minutes since midnight; equal = never.
type QuietHours struct{ From, To int }

// Options of a publisher's delivery. Those without a default are needed.
type Options struct {
	Keys      Keys
	Barrier   Barrier
	People    People
	Programme Programme
	Audience  Audience
	Links     Links
	Sender    Sender
	Journal   Appender

	Purposes map[string]Purpose // a message of another purpose is held
	Quiet    QuietHours
	Location *time.Location // the publisher's; default UTC
	TZ       string         // profile attribute with the person's zone; default "tz"
	// Tracking is the purpose that opens and clicks are tracked under. "" =
	// the message's own, so that only who granted it is tracked.
	Tracking string

	Rate    float64 // marketing messages a second, over all channels; 0 = no limit
	Workers int     // a channel, and one more for transactional messages only; default 2
	// Batch is how many messages are handed over at once at most; default and
	// greatest 500. A crash during a hand-off leaves a batch a worker whose
	// answer is unknown, so batches are no larger than a connector answers in a
	// tenth of a second.
	Batch   int
	Timeout time.Duration // of one hand-off; default 30 s
	Backoff time.Duration // the first wait for disk and journal, doubled up to 1 h; default 30 s

	Now    func() time.Time
	Timer  func(d time.Duration) (<-chan time.Time, func()) // nil = the runtime's
	Rand   func() float64                                   // [0, 1), for jitter; concurrent; nil = math/rand
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.TZ == "" {
		o.TZ = "tz"
	}
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Batch <= 0 || o.Batch > 500 {
		o.Batch = 500
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timer == nil {
		o.Timer = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTimer(d)
			return t.C, func() { t.Stop() }
		}
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
