package campaign

import (
	"encoding/json"
	"time"
)

// The states of a campaign.
const (
	Draft   = "draft"   // does nothing
	Running = "running" // decides and sends
	Paused  = "paused"  // decides nothing new; what waits in the outbox waits on
	Ended   = "ended"   // for good: what waits is held
)

// The classes of message.
const (
	Marketing     = "marketing"
	Transactional = "transactional"
)

// The types of trigger.
const (
	TriggerOnce     = "once"
	TriggerEvent    = "event"
	TriggerInaction = "inaction"
	TriggerAPI      = "api" // by a call that says what is sent, and to whom
)

// What becomes of what fell due while the daemon was down.
const (
	MissedSend = "send" // up to ExpiresAfter late
	MissedDrop = "drop" // more than MissedGrace late: not at all
)

// Bounds.
const (
	MaxBody      = 512 << 10            // bytes of a campaign's JSON
	MaxCampaigns = 10_000               // per publisher
	MaxDelay     = 365 * 24 * time.Hour // of a trigger, and of within
	MaxAge       = 24 * time.Hour       // of an event at receipt that may still trigger
	MissedGrace  = 15 * time.Minute     // how late "drop" still sends
	MaxHold      = 3                    // properties held constant
	MaxLabels    = 20
	MaxControl   = 99                 // of 100 persons
	GoalWithin   = 7 * 24 * time.Hour // of a goal that says nothing of it
	MaxInstances = 64                 // timers that one event may touch in a campaign
)

// Campaign is one campaign, as the console, the API and a Programme fact have it.
type Campaign struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Channel string `json:"channel"`
	Purpose string `json:"purpose"`
	Class   string `json:"class"` // default Marketing
	// Platforms are those of push that it goes to; none = all of them.
	Platforms []string        `json:"platforms,omitempty"`
	Labels    []string        `json:"labels,omitempty"` // what reports can be asked by; nothing else
	Content   Content         `json:"content"`
	Variant   string          `json:"variant,omitempty"`
	Trigger   Trigger         `json:"trigger"`
	People    json.RawMessage `json:"people,omitempty"` // further condition, checked at hand-off
	Missed    string          `json:"missed,omitempty"` // default MissedSend
	Limit     *Limit          `json:"limit,omitempty"`
	Expires   Duration        `json:"expires_after,omitempty"` // how late a message may be; default 24 h
	Control   int             `json:"control,omitempty"`       // of 100 persons, so many get nothing, to compare with
	Goal      *Goal           `json:"goal,omitempty"`
	Revision  int             `json:"revision,omitempty"` // counted by the appliance: 1, 2, ..
}

// Content is what is sent: Liquid templates with Profile.*, Event.* and unsubscribe_url.
type Content struct {
	Subject string `json:"subject,omitempty"` // email
	HTML    string `json:"html,omitempty"`    // email
	Text    string `json:"text,omitempty"`    // body of sms and push; email: made from HTML where missing
	Title   string `json:"title,omitempty"`   // push
	Link    string `json:"link,omitempty"`    // push: what a tap opens
	Push    *Push  `json:"push,omitempty"`    // push: everything else of it

	// Of an SMS, and not Liquid: whom it comes from, if not whom the connector's
	// settings say; and under which id its text is registered.
	Sender   string `json:"sender,omitempty"`
	Template string `json:"template,omitempty"`
}

// Trigger says what starts a campaign for a person.
type Trigger struct {
	Type     string          `json:"type"`
	Audience json.RawMessage `json:"audience,omitempty"` // once: people expression
	At       *time.Time      `json:"at,omitempty"`       // once: nil = when it is set running
	Event    json.RawMessage `json:"event,omitempty"`    // event, inaction: event reference
	Delay    Duration        `json:"delay,omitempty"`    // event
	Without  json.RawMessage `json:"without,omitempty"`  // inaction: event reference
	Within   Duration        `json:"within,omitempty"`   // inaction
	Hold     []string        `json:"hold,omitempty"`     // inaction: one timer for each value of these
}

// Goal is what the campaign is for: the event that it should make people do.
// It changes nothing of what is sent; reports count by it.
type Goal struct {
	Event   json.RawMessage `json:"event"`             // event reference
	Within  Duration        `json:"within,omitempty"`  // of a message; default 7 days
	Revenue string          `json:"revenue,omitempty"` // the event's property with the amount
}

// Limit bounds how often one person gets this campaign.
type Limit struct {
	PerPerson int      `json:"per_person"`
	Every     Duration `json:"every,omitempty"` // 0 = ever
}
