// Package connector is the contract between the appliance and what speaks to a
// provider: what a message is, how its sending can end, and what settings an
// operator may give. Connectors import this package and plugins/serve, and
// nothing else of the appliance. It has no third-party imports.
//
// A failure of the message is an Outcome; an error returned by a method means
// that the connector itself failed, and then nothing is known of the batch.
package connector

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Connector is what an author writes. Describe and Schema must answer before
// Configure, at once, and without side effects. Configure is called once,
// before everything else; the other methods may be called concurrently.
type Connector interface {
	// Describe says what this is.
	Describe() Description
	// Schema says which settings the operator may write in HCL.
	Schema() Schema
	// Configure hands over the settings, already checked against Schema and
	// with its defaults filled in. Problems are the operator's mistakes, each with the path
	// of the setting; any with SeverityError keeps the connector from starting.
	Configure(ctx context.Context, s Settings) ([]Problem, error)
	// Check tries to reach the provider without sending anything.
	Check(ctx context.Context) error
	// Send sends a batch and answers with one Outcome a message, in order.
	Send(ctx context.Context, batch []Message) ([]Outcome, error)
	// Drain ends what was begun and lets go of connections; nothing is sent afterwards.
	Drain(ctx context.Context) error
}

// Receiver is what a connector also is when its provider reports back by webhook.
type Receiver interface {
	// Receipts turns a provider's raw request into receipts. It must check the
	// signature, and return ErrForged if that is wrong.
	Receipts(ctx context.Context, r Webhook) (Answer, error)
}

// Returner is what a connector also is when mail comes back to it.
type Returner interface {
	// MailDomains are those whose mail is this connector's, after Configure.
	MailDomains() []string
	// Returned reads one such mail, and returns ErrForged if it is not about a
	// message of this connector.
	Returned(ctx context.Context, m Mail) ([]Receipt, error)
}

// Collector is what a connector also is when receipts come by its own
// connection to the provider.
type Collector interface {
	// Collect waits for receipts, at most until ctx ends, and gives at most 1000
	// with a token. They are given again until they are acknowledged by it; only
	// then may the provider be told that they arrived.
	Collect(ctx context.Context, ack string) (receipts []Receipt, token string, err error)
}

// WebPusher is what a connector for web push also is.
type WebPusher interface {
	// WebPushKey is the public key with which browsers subscribe, after Configure.
	WebPushKey() string
}

// ErrForged means that what was received did not come from the provider.
var ErrForged = errors.New("not from the provider: the signature is wrong or missing")

// Forgetter is what a connector also is when it, or its provider, keeps
// something of people that erasure must reach.
type Forgetter interface {
	Forget(ctx context.Context, addresses []string) error
}

// Description says what a connector is.
type Description struct {
	Name     string   // "smtp"; the file's name without extension
	Version  string   // semantic
	Summary  string   // one sentence for the operator
	Channels []string // which of "email", "sms", "push", "webhook" it serves
	Batch    int      // how many messages a Send takes at most; 0 = 500
	Network  bool     // it reaches its provider over the network; without it the sandbox allows none
}

// Message is one content for one person. Text is UTF-8; headers, subject and
// addresses hold no line breaks (the appliance has checked, connectors check again).
type Message struct {
	ID          string // unique for ever; the same id is never a different message
	Channel     string
	To          string // e-mail address, +E.164 number, device token or URL
	ToName      string // "" = unknown
	Platform    string // for push: "fcm", "apns", "webpush"
	Extra       string // for web push: JSON of the subscription's keys
	Subject     string // e-mail subject, push title
	Text        string // plain text body; sms and push body
	HTML        string // e-mail only, "" = plain text only
	Headers     []Header
	Data        []Header // push payload keys, webhook fields
	Unsubscribe string   // https URL for one-click unsubscribe (RFC 8058), "" = none
	Link        string   // push: what a click opens
	Expires     time.Time
	Marketing   bool   // false = transactional
	Sender      string // whom it comes from, "" = what the settings say
	Template    string // the id of this text with the provider or a regulator
	Push        *Push  // what a push has beyond the above; nil = nothing
	Files       []File // attached to an e-mail
	// AddressSince is when the address was last registered, zero if unknown.
	AddressSince time.Time
}

// Push is what only a push message has.
type Push struct {
	Subtitle string
	Image    string // https URL
	Sound    string
	Badge    *int   // nil leaves it alone
	Channel  string // Android's notification channel
	Category string // a set of actions that the app has registered
	Thread   string // groups notifications
	Collapse string // a message replaces an earlier one with the same key
	Urgent   bool   // wakes the device
	Silent   bool   // shows nothing; with no data either, a probe
	Buttons  []Button
	Seen     string // https URL that is asked for once the message is shown, "" = none
}

// Button is an action offered with a push.
type Button struct{ ID, Title, Link string }

// File is an attachment.
type File struct {
	Name, Type string // "invoice.pdf", "application/pdf"
	Content    []byte
}

// Header is a named text.
type Header struct{ Name, Value string }

// Result is how an attempt ended.
type Result int

const (
	// Unknown: handed over and the answer was lost. Marketing is not sent again.
	Unknown Result = iota
	// Accepted: the provider has taken it.
	Accepted
	// Refused for good; Reason and Class say why.
	Refused
	// Again: nothing was sent, try after RetryAfter.
	Again
)

func (r Result) String() string {
	switch r {
	case Accepted:
		return "accepted"
	case Refused:
		return "refused"
	case Again:
		return "again"
	}
	return "unknown"
}

// Class sorts refusals by what they mean for the address.
type Class string

const (
	ClassAddress Class = "address" // does not exist: do not use it again
	ClassFull    Class = "full"    // exists, cannot take it now
	ClassPolicy  Class = "policy"  // the provider does not want this message or sender
	ClassContent Class = "content" // the message itself is at fault
	ClassConfig  Class = "config"  // our credentials or settings are
	ClassOther   Class = "other"
)

// Gone says why an address is no more, where the provider tells.
type Gone string

const (
	GoneRemoved Gone = "removed" // the app was uninstalled
	GoneInvalid Gone = "invalid" // never was an address of this sender
	GoneStale   Gone = "stale"   // not used for too long
)

// Outcome is the answer for one message.
type Outcome struct {
	ID         string // of the message
	Result     Result
	ProviderID string        // with Accepted: the provider's id, "" if it gives none
	Class      Class         // with Refused, and with Again where it is known
	Reason     string        // short, without personal data: it goes into reports
	RetryAfter time.Duration // with Again; 0 = the appliance decides
	Gone       Gone          // with ClassAddress, "" = not told
}

// ReceiptKind is what a receipt reports.
type ReceiptKind string

const (
	Delivered  ReceiptKind = "delivered"
	Bounced    ReceiptKind = "bounced"
	Complained ReceiptKind = "complained"
	Opened     ReceiptKind = "opened"
	Clicked    ReceiptKind = "clicked"
	Replied    ReceiptKind = "replied"
	Uninstall  ReceiptKind = "uninstalled"
	// Unsubscribed: the person wants no more of this channel; a message means the
	// address that it went to. Subscribed takes that back.
	Unsubscribed ReceiptKind = "unsubscribed"
	Subscribed   ReceiptKind = "subscribed"
)

// Receipt is what became of a message after it was accepted.
type Receipt struct {
	MessageID  string // ours if known, else
	ProviderID string // the provider's, else
	Address    string // the person's: with Replied, Unsubscribed and Subscribed
	Kind       ReceiptKind
	Class      Class
	Reason     string
	Gone       Gone
	At         time.Time
}

// Answer is what a provider's request said, and what the provider is told.
type Answer struct {
	Receipts []Receipt
	Status   int // 0 = 200
	Headers  []Header
	Body     []byte // at most 64 KiB
}

// Mail is one that came back.
type Mail struct {
	From, To string // of the envelope; From is "" for a bounce
	Message  []byte // as it came, at most 1 MiB of it
}

// Webhook is a provider's raw request.
type Webhook struct {
	Method  string
	URL     string // as the provider called it
	Headers []Header
	Body    []byte
}

// Severity of a Problem.
type Severity int

const (
	SeverityError Severity = iota
	SeverityWarning
)

// Problem is a mistake in the settings.
type Problem struct {
	Severity Severity
	Path     []string // setting, or block and setting: {"tls", "mode"}; empty = the whole
	Summary  string
	Detail   string // what is allowed, what to do
}

func (p Problem) Error() string { return fmt.Sprintf("%v: %s: %s", p.Path, p.Summary, p.Detail) }

// Type of a setting.
type Type string

const (
	TypeString   Type = "string"
	TypeNumber   Type = "number"
	TypeBool     Type = "bool"
	TypeDuration Type = "duration" // "30s", "7d"; handed over as a Go duration string
	TypeStrings  Type = "list(string)"
	TypeMap      Type = "map(string)"
)

// Schema is what an operator may write in a connector's settings block.
type Schema struct {
	Settings []Setting
	Blocks   []Block
}

// Setting is one attribute.
type Setting struct {
	Name       string
	Type       Type
	Doc        string // one sentence for the reference
	Required   bool
	Default    any // string, float64, bool, []string, map[string]string; nil = none
	Sensitive  bool
	Deprecated string // what to use instead; "" = not deprecated
	Enum       []string
	Min, Max   *float64 // numbers: bounds, both included; strings: length
	Pattern    string   // RE2, for strings; anchor it with ^ and $
	// Folder marks a string that is the absolute path of a folder the connector
	// writes to. The appliance makes it; nothing else on the disk can be written.
	Folder bool
	// Reach marks a string or list of strings that says what the connector
	// connects to: a URL, HOST:PORT, or a HOST whose port is the setting "port"
	// beside it. "*.push.example:443" means everything below, "*" every public
	// address. The process reaches nothing else, but for what the operator adds
	// in HCL.
	Reach bool
}

// Block is a nested block, written at most once.
type Block struct {
	Name     string
	Doc      string
	Required bool
	Settings []Setting
}

// Settings are the operator's values by name, checked against the Schema:
// string, float64, bool, []string, map[string]string, and Settings for a block.
type Settings map[string]any

// Text is a string setting, "" if absent.
func (s Settings) Text(name string) string { v, _ := s[name].(string); return v }

// Number is a number setting, 0 if absent.
func (s Settings) Number(name string) float64 { v, _ := s[name].(float64); return v }

// Flag is a bool setting, false if absent.
func (s Settings) Flag(name string) bool { v, _ := s[name].(bool); return v }

// Duration is a duration setting, 0 if absent.
func (s Settings) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(s.Text(name))
	return d
}

// Block is a nested block, nil if absent.
func (s Settings) Block(name string) Settings { v, _ := s[name].(Settings); return v }
