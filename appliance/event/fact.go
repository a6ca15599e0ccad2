// Package event is the vocabulary of the house: the kinds of fact that the
// journal holds, the names of the appliance's own events, the limits that hold
// for all of them, and their encoding as bytes (FORMAT.md).
//
// It is pure: no files, no clock, no goroutines. Everything in it may be used
// concurrently as long as nobody writes to what is shared.
package event

import "fmt"

// Kind is the kind of a fact. Numbers are part of the encoding and never change.
type Kind uint8

const (
	// Track: something a person did, or that happened to them: Name, Props.
	Track Kind = 1
	// Identify: what became known of a person: User, Device (joins them where
	// both are set), Changes, Consents, Addresses. Also a consent withdrawal
	// on its own, and an uploaded profile.
	Identify Kind = 2
	// Alias: Previous and User are the same person.
	Alias Kind = 3
	// Erase: forget User (or Person); ID names the request.
	Erase Kind = 4
	// Programme: an object of the programme was made, changed or moved on:
	// Name is its type (TypeCampaign, ..), Ref its id, Body its JSON.
	// An empty Body deletes it.
	Programme Kind = 5
	// Due: timers whose time has come: Ref is the campaign, Person the person,
	// Body the timer's own key. Written by the timer worker, never by a door.
	Due Kind = 6
	// Run: a run of a one-time campaign began: Ref is the campaign, Body the run id.
	Run Kind = 7
	// Demerge: the joins of User are undone.
	Demerge Kind = 8
	// Send: a message that a call asked for: Ref is the campaign, Person whom,
	// Props what it says. Written by the publisher, never by an app.
	Send Kind = 9
)

// Types of programme object: the Name of a Programme fact.
const (
	TypeCampaign = "campaign"
	TypeSegment  = "segment"
	TypeRFM      = "rfm"
	TypeList     = "list" // uploaded people, part by part: people.ListPart

	// TypeSuppression puts addresses on the suppression list, or takes them off:
	// people.SuppressionBody.
	TypeSuppression = "suppression"
)

// Op is how a Change alters an attribute of a profile.
type Op uint8

// The operations on a profile attribute; numbers are part of the encoding.
const (
	Set      Op = iota // the value becomes this
	SetOnce            // the same, where there is none yet
	Add                // elements join a list (a scalar is promoted to one)
	Remove             // elements leave a list; the last one takes the attribute along
	Delete             // the attribute goes
	Increase           // a number grows by this (a missing one counts as 0); may be negative
)

// Change is one alteration of a profile attribute.
type Change struct {
	Key      string
	Op       Op
	Value    Value
	Personal bool // identifies someone: sealed under the person's key, not askable
}

// Consent is a decision about one purpose on one channel. Channel "" means
// every channel of the purpose.
type Consent struct {
	Purpose string
	Channel string // "email", "sms", "push", "webhook" or ""
	Granted bool
	Source  string // where it was given: "sdk", "import", "unsubscribe link", ..
	Version string // of the notice that was shown, "" if unknown
}

// PurposeCollection is the purpose of collecting what a person does, which no
// publisher names and every one has. Unlike all others it is granted while
// nothing is said: a withdrawal opts the person out, with all their devices.
const PurposeCollection = "collection"

// Address is a way to reach a person on a channel. Removed takes it away.
type Address struct {
	Channel  string // "email", "sms", "push"
	Platform string // for push: "fcm", "apns", "webpush"; else ""
	Value    string // e-mail address, +E.164 number, token
	Extra    string // web push: JSON of the keys; else ""
	Removed  bool
}

// Flags mark what was done to a fact at the door.
type Flags uint8

const (
	// Restamped: the fact claimed to be more than a day ahead and got the server's time.
	Restamped Flags = 1 << iota
	// Imported: history brought in afterwards; it never starts a campaign.
	Imported
	// OffSchema: the publisher's schema has it otherwise, and lets it pass.
	OffSchema
)

// Fact is one thing that is known, as the journal keeps it. Which fields
// count depends on Kind; the others are zero. Times are microseconds since
// 1970 UTC. A fact belongs to exactly one publisher, that of its journal.
type Fact struct {
	Kind      Kind
	Flags     Flags
	ID        string // the sender's message id; repeats of it within 7 days are one fact; "" = never a repeat
	Time      int64  // when it happened
	Received  int64  // when the door took it
	User      string // the publisher's id of the person, "" = anonymous
	Device    string // the device or anonymous id, "" = none
	Previous  string // Alias
	Person    uint32 // set instead of User and Device in the appliance's own facts; 0 = to be resolved
	Name      string
	Ref       string // what else it is about: message id, campaign id, object id
	Props     []Prop
	Changes   []Change
	Consents  []Consent
	Addresses []Address
	Body      []byte
}

// String is for errors and logs: kind and id only, since the rest is personal.
func (f *Fact) String() string { return fmt.Sprintf("%s fact %q", f.Kind, f.ID) }

func (k Kind) String() string {
	switch k {
	case Track:
		return "track"
	case Identify:
		return "identify"
	case Alias:
		return "alias"
	case Erase:
		return "erase"
	case Programme:
		return "programme"
	case Due:
		return "due"
	case Run:
		return "run"
	case Demerge:
		return "demerge"
	case Send:
		return "send"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Names of the appliance's own events. Where they concern a message they
// carry the properties PropCampaign, PropMessage, PropChannel and PropVariant.
const (
	NotificationSent      = "Notification Sent"
	NotificationDelivered = "Notification Delivered"
	NotificationViewed    = "Notification Viewed"
	NotificationClicked   = "Notification Clicked"
	NotificationReplied   = "Notification Replied"
	NotificationBounced   = "Notification Bounced"
	NotificationFailed    = "Notification Failed"
	NotificationHeld      = "Notification Held"
	ChannelUnsubscribed   = "Channel Unsubscribed"
	ConsentChanged        = "Consent Changed"
	AppUninstalled        = "App Uninstalled"
	SessionConcluded      = "Session Concluded"
	PushImpressions       = "Push Impressions"
	IdentityMerged        = "Identity Merged"
)

// Properties of the appliance's own events.
const (
	PropCampaign = "campaign"
	PropMessage  = "message"
	PropChannel  = "channel"
	PropVariant  = "variant"
	PropReason   = "reason"
	PropKind     = "kind"
	PropURL      = "url"
	PropPurpose  = "purpose"
	PropCopyOf   = "copy_of" // the message to another device of the same person
)

var own = map[string]bool{
	NotificationSent: true, NotificationDelivered: true, NotificationViewed: true,
	NotificationClicked: true, NotificationReplied: true, NotificationBounced: true,
	NotificationFailed: true, NotificationHeld: true, ChannelUnsubscribed: true,
	ConsentChanged: true, AppUninstalled: true, SessionConcluded: true,
	PushImpressions: true, IdentityMerged: true,
}

// Own says whether name is one of the appliance's own events, which count as
// "any event" only where they are named.
func Own(name string) bool { return own[name] }

// Platforms are those of push addresses.
var Platforms = []string{"fcm", "apns", "webpush"}

// Channels are the channels that messages go out by.
var Channels = []string{"email", "sms", "push", "webhook"}
