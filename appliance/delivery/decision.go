package delivery

import "time"

// States of a message.
const (
	Waiting    = "waiting"    // in the outbox
	Attempting = "attempting" // handed over, or about to be
	Sent       = "sent"       // accepted by the provider
	Held       = "held"       // kept back by the gate, for good
	Failed     = "failed"     // refused by the provider, or too late
	Lost       = "unknown"    // handed over, answer lost
)

// Decision is what decided over one message, and when. It holds no personal data.
type Decision struct {
	Message    string     `json:"message"`
	Campaign   string     `json:"campaign"`
	Revision   int        `json:"revision"`
	Variant    string     `json:"variant,omitempty"`
	Person     uint32     `json:"person"`
	Cause      string     `json:"cause"`
	Class      string     `json:"class"`
	Channel    string     `json:"channel"`
	Purpose    string     `json:"purpose"`
	State      string     `json:"state"`
	Reason     string     `json:"reason,omitempty"` // of held, failed and unknown
	Detail     string     `json:"detail,omitempty"`
	Basis      string     `json:"basis,omitempty"` // "consent" or "contract"
	Consent    *Consent   `json:"consent,omitempty"`
	Cap        *CapCount  `json:"cap,omitempty"`
	Limit      *CapCount  `json:"limit,omitempty"` // the campaign's own
	QuietUntil *time.Time `json:"quiet_until,omitempty"`
	Suppressed bool       `json:"suppressed,omitempty"`
	Tracked    bool       `json:"tracked,omitempty"`
	Decided    time.Time  `json:"decided"` // when it entered the outbox
	Due        time.Time  `json:"due"`
	Expires    time.Time  `json:"expires"`
	Settled    *time.Time `json:"settled,omitempty"`
	Attempts   []Attempt  `json:"attempts,omitempty"` // the latest 20
	Tries      int        `json:"tries,omitempty"`
	ProviderID string     `json:"provider_id,omitempty"`
	CopyOf     string     `json:"copy_of,omitempty"`     // of a push: the message to another device of the same person, which was decided on
	Copies     int        `json:"copies,omitempty"`      // of a push: further devices that it went to, each by a message of its own
	ReplayOf   string     `json:"replay_of,omitempty"`   // the message that an operator had sent again by this one
	ReplayedAs string     `json:"replayed_as,omitempty"` // and the other way round
}

// CapCount is what a cap had counted when the message passed or met it.
type CapCount struct {
	Messages int    `json:"messages"` // without this one
	Allowed  int    `json:"allowed"`
	Per      string `json:"per,omitempty"`
}

// Attempt is one hand-off.
type Attempt struct {
	At        time.Time `json:"at"`
	Connector string    `json:"connector,omitempty"`
	Outcome   string    `json:"outcome,omitempty"` // "" = not answered
	Class     string    `json:"class,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Gone      string    `json:"gone,omitempty"` // why the address is no more
	Took      string    `json:"took,omitempty"`
}

// Message is what the door for recipients needs of a message.
type Message struct {
	ID       string
	Campaign string
	Variant  string
	Person   uint32
	Purpose  string
	Channel  string
	Targets  []string // where its links lead, by number from 0
}
