// Package config is the language that operators write: it loads HCL files,
// says everything that is wrong with them at once, each at the operator's own
// line, and gives typed values with their defaults filled in.
//
// Failure rules. An operator's mistake is a Diagnostic, never a panic and never
// an error of Go; reading goes on after it, so that one run shows them all. If
// there is any error the Config must not be used. Nothing is started, written
// or changed here, so that the same code serves `validate`, a start and a
// reload. What env, file and credential return is never in a Diagnostic.
package config

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Where the files of an installed appliance are.
const (
	DefaultFile = "/etc/cloister/cloister.hcl"
	DefaultDir  = "/etc/cloister/conf.d"
)

// Range is a place in a file. The zero Range means that the value was not
// written but is a default.
type Range = hcl.Range

// Config is all that the operator wrote, checked, with defaults.
type Config struct {
	Appliance  Appliance
	Keyring    Keyring
	Sandbox    Sandbox
	Authors    []Author    // whose connectors may be installed
	Listeners  []Listener  // collect, console, metrics; always all three, in this order; then mail, if it is written
	Publishers []Publisher // as written; at least one
	Files      []string    // what was read, in that order
}

// Listener gives the listener of that name.
func (c *Config) Listener(name string) Listener {
	for _, l := range c.Listeners {
		if l.Name == name {
			return l
		}
	}
	return Listener{}
}

// Appliance is the block of that name.
type Appliance struct {
	Name        string   // default: the host's name
	DataDir     string   // absolute
	PublicURL   string   // where apps and recipients find the collect listener, without a slash at the end; "" = not written
	Connectors  []string // directories searched for connectors before the usual ones
	DiskReserve int64    // bytes that stay free: below, nothing is collected
	LogLevel    slog.Level
	Range       Range
}

// Keyring says where the master key is.
type Keyring struct {
	File  string // absolute
	Make  bool   // it is the default one, made at first start
	Range Range
}

// Grades are how well connectors can be confined, the weakest first: nothing in
// particular; the files of others closed and no processes started; only the
// ports of listed hosts reached as well; only the listed hosts.
var Grades = []string{"none", "files", "ports", "hosts"}

// Author is somebody whose connectors may be installed.
type Author struct {
	Name  string
	Key   string // public, for Ed25519: "ed25519:" and base64
	Range Range
}

// Sandbox says how connectors are confined.
type Sandbox struct {
	Require string // one of Grades, below which no connector runs; "" = none
	Bounds         // of each connector that has none of its own
	Range   Range
}

// Bounds of one connector's process.
type Bounds struct {
	Memory    int64   // bytes
	Threads   int     // where they can be counted
	Processor float64 // how many processors, where there are control groups; 0 = all
}

// The listeners.
const (
	Collect = "collect" // apps, and recipients' links
	Console = "console" // operators: web console and API
	Metrics = "metrics" // /metrics /healthz /readyz
	Mail    = "mail"    // mail that came back, by SMTP
)

// Listener is an address and how it is protected.
type Listener struct {
	Name     string
	Address  string // host:port
	TLS      *TLS   // nil = plain HTTP; of mail, no STARTTLS
	Insecure bool   // plain HTTP beyond loopback was asked for
	// TrustedProxies are whom the listener believes X-Forwarded-For.
	TrustedProxies []netip.Prefix
	Limits         ListenerLimits
	Range          Range
}

// ListenerLimits bound what comes in at a listener. Those of requests are the
// collect listener's alone.
type ListenerLimits struct {
	Connections        int     // open at once
	AddressConnections int     // of one address, or one /64 of IPv6
	AddressRequests    int     // of one address, in work at once
	AddressRate        float64 // requests of one address, a second
	Range              Range
}

// TLS is either two files, which are read again when they change, or a
// certificate of our own making.
type TLS struct {
	CertFile, KeyFile string // absolute
	SelfSigned        bool
	Range             Range
}

// Publisher is an owner of apps.
type Publisher struct {
	Name       string // valid for keyring's publishers
	Title      string // default: Name
	Timezone   string // IANA; default UTC
	Location   *time.Location
	Keys       []Key
	Purposes   []Purpose
	Retention  Retention
	Identity   Identity
	QuietHours *QuietHours // nil = none
	Caps       []Cap
	Properties []Properties
	Profile    Profile
	Detect     Detect
	Collect    CollectRules
	Limits     Limits
	WebPushKey string        // public VAPID key, base64url; "" = that of a connector, if there is one
	Probe      time.Duration // each device is asked by a silent push once in so long, in whole days, whether the app is there; 0 = never
	Rate       float64       // marketing messages a second, over all connectors; 0 = unbounded
	Connectors []Connector
	Range      Range
}

// What a key with a secret may do beyond writing.
const (
	AllowRead      = "read"
	AllowErase     = "erase"
	AllowCampaigns = "campaigns"
)

// Key is a credential of apps or servers. Its ID is unique over all publishers.
type Key struct {
	Name    string
	ID      string
	Secret  Secret // "" = it only writes
	Allow   []string
	Purpose string // of campaigns that a server makes with it and that name none; "" = none
	Range   Range
}

// The bases of a purpose.
const (
	BasisConsent  = "consent"
	BasisContract = "contract" // needs no consent
)

// Channels are what messages go over.
var Channels = []string{"email", "sms", "push", "webhook"}

// Purpose is what messages may be for.
type Purpose struct {
	Name     string
	Title    string   // default: Name
	Basis    string   // default: BasisConsent
	Channels []string // default: all
	Range    Range
}

// Retention says how long something is kept; 0 = until erased.
type Retention struct {
	Events time.Duration
	Names  []EventRetention
	Range  Range
}

// EventRetention says how long the events of one name are kept, where that is
// shorter than Retention.Events.
type EventRetention struct {
	Event string
	Keep  time.Duration
	Range Range
}

// How far persons may be joined.
const (
	MergeAnonymous = "anonymous" // somebody unknown becomes somebody known
	MergeKnown     = "known"     // two known people may be joined
)

// Identity says how far persons may be joined.
type Identity struct {
	Merge string
	Range Range
}

// QuietHours are the time of day without marketing, in minutes since
// midnight; over midnight if From > To. They are never equal.
type QuietHours struct {
	From, To int
	Range    Range
}

// Cap bounds the messages of a purpose to one person.
type Cap struct {
	Purpose  string
	Messages int
	Per      time.Duration
	Range    Range
}

// The states of an event.
const (
	StateActive    = "active"
	StateInactive  = "inactive"  // accepted and left out
	StateDiscarded = "discarded" // refused
)

// What becomes of a property that is not known.
const (
	UnknownAllow  = "allow"
	UnknownDrop   = "drop"
	UnknownRefuse = "refuse" // the event
)

// What becomes of an event that is not as its rules say.
const (
	ViolationRefuse = "refuse" // the event
	ViolationDrop   = "drop"   // the property; where one is missing, the event
	ViolationMark   = "mark"   // it is taken, with a mark
)

// Types of properties.
const (
	TypeAny     = "any"
	TypeString  = "string"
	TypeInteger = "integer"
	TypeFloat   = "float"
	TypeBoolean = "boolean"
	TypeTime    = "time"
	TypeList    = "list"
	TypeObject  = "object"
)

// Properties are the rules for one event, its properties above all. Event "*"
// stands for all events without rules of their own.
type Properties struct {
	Event     string
	State     string   // default: active
	Allow     []string // nil = all but the denied
	Deny      []string
	Personal  []string
	Types     map[string]string
	Required  []string
	Unknown   string // default: drop where allow is there, else allow
	Violation string // default: refuse
	Range     Range
}

// What becomes of what apps say of themselves.
const (
	CollectDrop   = "drop"
	CollectCut    = "cut"    // of an IP address: its network
	CollectReduce = "reduce" // of a user agent: families and class
	CollectKeep   = "keep"   // of a user agent: all of it
)

// CollectRules say what is kept of where apps run.
type CollectRules struct {
	IP        string // default: drop
	UserAgent string // default: drop
	Range     Range
}

// What becomes of something that the detectors find.
const (
	DetectKeep = "keep" // it is not looked for
	DetectMask = "mask"
	DetectHash = "hash"
	DetectDrop = "drop"
	DetectHold = "hold"
)

// Detect says what becomes of what identifies somebody in values that are not
// marked personal.
type Detect struct {
	Card       string // default: mask
	NationalID string // these: keep
	IBAN       string
	Email      string
	Phone      string
	Except     []string // names of properties and attributes that are not looked at
	Range      Range
}

// Profile are the rules for attributes of people.
type Profile struct {
	Personal []string // which identify someone, beside the usual ones
	Range    Range
}

// Limits bound what a publisher may take of the machine.
type Limits struct {
	Journal     int64   // bytes on disk
	KeyRequests int     // that come with one key, in work at once; 0 = the publisher's share
	KeyRate     float64 // requests with one key, a second; 0 = as many as there are
	Range       Range
}

// Connector is one configured instance of a plugin.
type Connector struct {
	Channel   string
	Name      string // unique in the publisher
	Plugin    string
	SHA256    string   // of the binary, in hexadecimal; "" = not pinned
	Rate      float64  // messages a second; 0 = unbounded
	Platforms []string // of push: which devices; nil = all that no other connector names
	Classes   []string // of message; nil = all
	Weight    int      // its share among the connectors of its channel, from 1
	Standby   bool     // takes messages only while no other does
	Domains   []DomainRate
	// Hosts are what it may connect to beside those that its settings name.
	Hosts      []connector.Host
	OwnNetwork bool   // it gets a network namespace of its own
	Require    string // how well it must be confined, of Grades; "" = in no particular way
	Bounds     Bounds
	// Settings are checked against the plugin's schema, with its defaults
	// filled in. They may hold secrets: never print them.
	Settings connector.Settings
	// Unchecked: the plugin could not be asked when the daemon started, so that
	// Settings hold what was written.
	Unchecked bool
	Range     Range
}

// DomainRate bounds the messages of an e-mail connector to some domains, together.
type DomainRate struct {
	Names []string // in lower case; "*" = each that no other block names, apart
	Rate  float64
	Range Range
}

// Secret is a text that prints as "(sensitive)".
type Secret string

const hidden = "(sensitive)"

// Reveal gives the text itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString keeps it out of %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps it out of JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps it out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Connectors is how configuration learns what a plugin allows, and what it
// says of its settings. The methods are called one after another.
type Connectors interface {
	// Pinned says that the program is another than that of this SHA-256. It runs
	// nothing; what else is wrong with a program Describe says.
	Pinned(plugin, sha256 string) error
	Describe(ctx context.Context, plugin string) (connector.Description, connector.Schema, error)
	// Validate's require is one of Grades, or ""; a problem without a path is
	// that of a machine which cannot confine so.
	Validate(ctx context.Context, plugin string, s connector.Settings, require string) ([]connector.Problem, error)
}

// LoadOptions say where values come from. The zero value is good: settings of
// connectors are then read but not checked.
type LoadOptions struct {
	// Connectors answers for plugins; nil = connectors' settings are not
	// checked, and Settings hold them as they were written.
	Connectors Connectors
	// DataDir wins over appliance.data_dir; "" = as written.
	DataDir string
	// Getenv is what env("X") asks; nil = os.LookupEnv.
	Getenv func(name string) (string, bool)
	// Credentials is the directory of credential("name"); "" = what systemd
	// names in CREDENTIALS_DIRECTORY, else /etc/cloister/credentials.
	Credentials string
	// Starting is for the daemon's start: what keeps a connector from running is a
	// warning then, so that one whose program is broken, or is another by now,
	// keeps nothing else from starting.
	Starting bool
	// Patience bounds the time that one plugin may take to answer; default 20 s.
	Patience time.Duration
}

func (o LoadOptions) withDefaults() LoadOptions {
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
	if o.Credentials == "" {
		o.Credentials, _ = o.Getenv("CREDENTIALS_DIRECTORY")
	}
	if o.Credentials == "" {
		o.Credentials = "/etc/cloister/credentials"
	}
	if o.Patience <= 0 {
		o.Patience = 20 * time.Second
	}
	return o
}

// DefaultPaths are what is loaded when nothing else was asked for: the file,
// and the directory if there is one.
func DefaultPaths() []string {
	if st, err := os.Stat(DefaultDir); err == nil && st.IsDir() {
		return []string{DefaultFile, DefaultDir}
	}
	return []string{DefaultFile}
}

// Load reads files, and the *.hcl of directories in lexical order, as one
// configuration; no paths means DefaultPaths. The Config is never nil, and
// must not be used if the Diagnostics have an error.
func Load(paths []string, o LoadOptions) (*Config, Diagnostics) {
	if len(paths) == 0 {
		paths = DefaultPaths()
	}
	l := newLoader(o.withDefaults())
	root := l.parse(paths)
	c := l.config(root)
	return c, l.finish()
}
