package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// What a Publisher or an Appliance answers when it cannot do what was asked;
// people's, campaign's and delivery's own errors count as well.
var (
	ErrNotFound    = errors.New("console: there is no such thing")
	ErrUnavailable = errors.New("console: not now")
	ErrOutOfOrder  = errors.New("console: a part that does not follow the one before")
)

// Appliance is what the console needs of the daemon. Everything in it and in
// what it gives is called concurrently.
type Appliance interface {
	Publishers() []Publisher // by name
	Publisher(name string) (Publisher, bool)
	Problems() []health.Problem
	Status() Status
	// Reload reads the configuration again. *BadConfig says why it did not.
	Reload(ctx context.Context) (Reloaded, error)
}

// Status is what the daemon says about itself to the local admin.
type Status struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Demo       bool              `json:"demo"`
	Started    time.Time         `json:"started"`
	Listeners  []Listener        `json:"listeners"`
	Publishers []PublisherStatus `json:"publishers"`
	Problems   []health.Problem  `json:"problems"`
}

// Listener is where the daemon listens.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// PublisherStatus is how much one publisher holds and does.
type PublisherStatus struct {
	Name      string  `json:"name"`
	People    int64   `json:"people"`
	Rows      int64   `json:"rows"`
	PerSecond float64 `json:"per_second"`
	Waiting   int     `json:"waiting"` // messages
}

// Reloaded says what a reload changed.
type Reloaded struct {
	Applied []string `json:"applied"` // took effect
	Restart []string `json:"restart"` // needs a restart
}

// BadConfig says why a configuration was not taken: Text is every mistake, as
// the command line prints them.
type BadConfig struct{ Text string }

func (b *BadConfig) Error() string { return "the configuration has mistakes" }

// Publisher is what the console needs of one publisher.
type Publisher interface {
	Name() string
	Title() string
	Location() *time.Location
	Schema() Schema
	Size() (people, rows int64)

	// Ask answers a question; a bad one is a *query.Error.
	Ask(ctx context.Context, body []byte) (*query.Answer, error)
	// Person gives somebody by an identity or a device: people.ErrUnknown,
	// people.ErrErased.
	Person(identity string) (*people.Person, error)
	Suppressed(channel, address string) bool
	// Timeline gives a person's events before an instant, in microseconds
	// since 1970 (0 = all), personal properties included.
	Timeline(ctx context.Context, identity string, before int64, limit int, asc bool) ([]history.Row, error)
	// Demerge parts what was merged into somebody, and says how many numbers.
	Demerge(ctx context.Context, identity string) (parted int, err error)
	// Erase takes a request to forget somebody, on disk; Certificate tells
	// how far it is, or ErrNotFound.
	Erase(ctx context.Context, identity string) (request string, err error)
	Certificate(request string) (json.RawMessage, error)

	// Recent gives the events applied last, the oldest first; Live those from
	// now on, until ctx ends, when the channel closes. It may leave out some.
	Recent() []LiveEvent
	Live(ctx context.Context) <-chan LiveEvent
	Rate() float64 // events applied a second, over the last minute

	// Arrivals gives what the doors for apps took lately, and the number of the
	// newest; Refusals what they did not take.
	Arrivals(f ArrivalFilter) (all []Arrival, last uint64)
	Refusals(f RefusalFilter) Refusals
	Held
	Suppression
	Apps() Apps

	Campaigns() Campaigns
	Messages() Messages
	// SaveCampaign makes or replaces a campaign that Validate gave; it is
	// applied when these return.
	SaveCampaign(ctx context.Context, c *campaign.Campaign) error
	DeleteCampaign(ctx context.Context, id string) error

	Segments() []Segment // by name
	SaveSegment(ctx context.Context, s Segment) error
	DeleteSegment(ctx context.Context, name string) error

	RFMs() []RFM // by name
	SaveRFM(ctx context.Context, r RFM) error
	DeleteRFM(ctx context.Context, name string) error

	Lists() []people.ListInfo // by name
	// UploadList takes part of an upload, ErrOutOfOrder if another has to come
	// first.
	UploadList(ctx context.Context, name string, in ListUpload) (people.ListInfo, Imported, error)
	DeleteList(ctx context.Context, name string) error

	Connectors() []Connector
	// CheckConnector asks a connector whether it reaches its provider; the
	// error is its answer. ErrNotFound if there is none of the name.
	CheckConnector(ctx context.Context, name string) error
	// PauseConnector keeps a connector from messages until it is resumed;
	// ErrNotFound if there is none.
	PauseConnector(name string) error
	ResumeConnector(name string) error
	// Mailbox gives what mailbox connectors kept, the newest first, or one by
	// its id. ErrNotFound if the publisher has no mailbox connector.
	Mailbox(ctx context.Context, limit int) ([]Mail, error)
	Mail(ctx context.Context, id string) (Mail, error)

	// Import takes lines of NDJSON; kind is "events" or "profiles". See API.md.
	Import(ctx context.Context, kind string, in Import) (Imported, error)
	// Export takes out what there is; kind is "events", "profiles" or
	// "messages". ErrPosition, or a *query.Error about the segment.
	Export(ctx context.Context, kind string, o ExportOptions) (Export, error)
}

// Campaigns are a publisher's; *campaign.Campaigns is one.
type Campaigns interface {
	List() ([]campaign.Status, error)
	Get(id string) (campaign.Status, error)
	Validate(body []byte) (*campaign.Campaign, error)
}

// Messages are a publisher's; *delivery.Delivery is one.
type Messages interface {
	Explain(message string) (delivery.Decision, error)
	Stats() delivery.Stats
	// List gives what failed or is unknown, delivery.ErrList where the page
	// before was none; Replay has such messages sent again.
	List(ctx context.Context, l delivery.Listing) (delivery.Page, error)
	Replay(messages []string, perhapsTwice bool) ([]delivery.Replayed, error)
}

// Schema is what a publisher's data is made of.
type Schema struct {
	Events   []EventInfo
	Profile  []string // attributes that can be asked about
	Purposes []Purpose
	Channels []string // those that have a connector
}

// EventInfo says what there is of one event name.
type EventInfo struct {
	Name        string
	Rows        int64
	First, Last int64    // microseconds since 1970
	Keys        []string // of its properties
}

// Purpose is what messages may be for.
type Purpose struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Basis    string   `json:"basis"` // "consent" or "contract"
	Channels []string `json:"channels"`
}

// LiveEvent is one event as it was applied.
type LiveEvent struct {
	Time     int64 // microseconds since 1970
	Event    string
	Person   uint32
	Identity string // "" if it is not known
	Props    []event.Prop
}

// Segment is a saved question about people.
type Segment struct {
	Name   string
	People json.RawMessage // people expression
}

// RFM is a saved question of kind rfm.
type RFM struct {
	Name     string
	Question json.RawMessage
}

// ListUpload is a piece of a file of people.
type ListUpload struct {
	Source string // names the file; lower-case hexadecimal
	Line   int64  // the number of the first line, from 1
	Body   []byte
	Add    bool // else it replaces the list
	Last   bool // the upload ends with it
}

// Connector is a configured connector and how it is.
type Connector struct {
	Channel     string    `json:"channel"`
	Name        string    `json:"name"`
	Plugin      string    `json:"plugin"`
	Version     string    `json:"version"`
	State       string    `json:"state"` // "starting", "running", "restarting", "quarantined", "draining", "stopped"
	Since       time.Time `json:"since"` // when that began
	Restarts    int       `json:"restarts"`
	Error       string    `json:"error"`                 // "" = none
	Unreachable string    `json:"unreachable,omitempty"` // why it did not reach its provider when last tried; "" = it did
	Sent        uint64    `json:"sent"`
	Sandbox     string    `json:"sandbox"`           // what holds it, in words
	Grade       string    `json:"grade"`             // how well that is: "none", "files", "ports", "hosts"
	Missing     string    `json:"missing,omitempty"` // what the machine cannot hold; "" = nothing
	Description string    `json:"description"`
	Webhook     string    `json:"webhook,omitempty"` // what its provider is to call with receipts; "" = it takes none

	Paused   *time.Time `json:"paused,omitempty"`   // since then; nil = it is not
	LeftOut  *time.Time `json:"left_out,omitempty"` // until then, since it takes no messages; nil = it is not
	Failing  *time.Time `json:"failing,omitempty"`  // with LeftOut: the first time since it last worked
	Why      string     `json:"why,omitempty"`      // with LeftOut: how it failed last; with Paused: why delivery paused it, "" = an operator did
	InFlight int        `json:"in_flight"`          // messages handed over and not answered
}

// Mail is a message that a mailbox connector kept.
type Mail struct {
	ID      string    `json:"id"`
	Channel string    `json:"channel"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	At      time.Time `json:"at"`
}

// Import is a piece of a file that is being imported.
type Import struct {
	Source string // names the file, so that its lines are known again; lower-case hexadecimal, may be ""
	Line   int64  // the number of the first line, from 1
	Body   io.Reader
}

// Imported is what became of it.
type Imported struct {
	Taken   int64         `json:"taken"` // lines, on disk
	Refused []RefusedLine `json:"refused"`
}

// RefusedLine is a line that was not taken.
type RefusedLine struct {
	Line  int64  `json:"line"`
	Error string `json:"error"`
}
