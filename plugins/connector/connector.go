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
	// Receipts turns a provider's raw request into receipts; it must check the signature.
	Receipts(ctx context.Context, r Webhook) ([]Receipt, error)
}

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
	Marketing   bool // false = transactional
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

// Outcome is the answer for one message.
type Outcome struct {
	ID         string // of the message
	Result     Result
	ProviderID string        // with Accepted: the provider's id, "" if it gives none
	Class      Class         // with Refused
	Reason     string        // short, without personal data: it goes into reports
	RetryAfter time.Duration // with Again; 0 = the appliance decides
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
)

// Receipt is what became of a message after it was accepted.
type Receipt struct {
	MessageID  string // ours if known, else
	ProviderID string // the provider's
	Kind       ReceiptKind
	Class      Class
	Reason     string
	At         time.Time
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
