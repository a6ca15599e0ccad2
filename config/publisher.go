package config

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Bounds of durations, wide enough for everybody: they find slips of the unit.
const (
	minRetention = day
	maxRetention = 100 * 365 * day
	minCapWindow = time.Minute
	maxCapWindow = 366 * day
)

const defaultJournal = 16 << 30

var (
	publisherPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	namePattern      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	keyPattern       = regexp.MustCompile(`^[!-~]+$`)
	webPushPattern   = regexp.MustCompile(`^B[A-Za-z0-9_-]{86}$`) // 65 bytes, of which the first is 4
)

const (
	publisherForm = "It has up to 64 lower case letters, digits, '-' and '_', and begins with a letter or a digit."
	nameForm      = "It has up to 64 letters, digits, '-', '_' and '.', and begins with a letter or a digit."
)

// keys remembers whose a key is, over all publishers.
type keys map[string]hcl.Range

func (l *loader) publishers(rs []*reader) []Publisher {
	seen := keys{}
	out := make([]Publisher, 0, len(rs))
	for _, r := range rs {
		out = append(out, l.publisher(r, seen))
	}
	return out
}

func (l *loader) publisher(r *reader, seen keys) Publisher {
	p := Publisher{Range: r.n.at()}
	p.Name, _ = r.name(0, textRule{pattern: publisherPattern, max: 64, form: publisherForm})
	p.Title = r.text("title", textRule{missing: p.Name, min: 1, max: 256, example: `"Acme Bank"`})
	p.Timezone, p.Location = timezone(r)

	keys := r.many("key", "name")
	for _, b := range r.many("purpose", "name") {
		p.Purposes = append(p.Purposes, l.purpose(b))
	}
	for _, k := range keys {
		p.Keys = append(p.Keys, l.key(k, seen, p.Purposes))
	}
	if b := r.one("retention"); b != nil {
		p.Retention = l.retention(b)
	}
	p.Identity = Identity{Merge: MergeAnonymous}
	if b := r.one("identity"); b != nil {
		p.Identity = Identity{Range: b.n.at(), Merge: b.text("merge", textRule{missing: MergeAnonymous, choice: []string{MergeAnonymous, MergeKnown}})}
		b.end()
	}
	if b := r.one("quiet_hours"); b != nil {
		p.QuietHours = quietHours(b)
	}
	for _, b := range r.many("cap", "purpose") {
		p.Caps = append(p.Caps, l.cap(b, p.Purposes))
	}
	for _, b := range r.many("properties", "event") {
		p.Properties = append(p.Properties, l.properties(b))
	}
	if b := r.one("profile"); b != nil {
		p.Profile = Profile{Range: b.n.at(), Personal: b.texts("personal", propertyRule)}
		b.end()
	}
	p.Detect = detect(r.one("detect"))
	p.Collect = collect(r.one("collect"))
	p.Limits = Limits{Journal: defaultJournal}
	if b := r.one("limits"); b != nil {
		p.Limits = Limits{Range: b.n.at(), Journal: b.size("journal", defaultJournal, 64<<20, 1<<50),
			KeyRequests: b.whole("key_requests", false, 0, 1, 100_000)}
		p.Limits.KeyRate, _ = measure(b, "key_rate", false, 0, `"5000/s"`, rateForm, ParseRate)
		b.end()
	}
	p.WebPushKey = r.text("web_push_key", textRule{pattern: webPushPattern, form: "It is the public VAPID key, a point of P-256 as 87 characters of base64url: B.. .", example: `"BEl62iUY..7JbE"`})
	if p.Probe = r.duration("probe_devices", false, 0, day, 90*day); p.Probe%day != 0 {
		r.bad(codeBounds, "probe_devices", "probe_devices is not of whole days", `It is a number of whole days: "1d", "7d".`)
	}
	p.Rate, _ = measure(r, "rate", false, 0, `"500/s"`, rateForm, ParseRate)
	p.Connectors = l.connectors(r.many("connector", "channel", "name"))
	r.end()
	if len(p.Keys) == 0 {
		l.warn(codeNoKey, r.n, r.n.at(), fmt.Sprintf("the publisher %q has no key: no app can send it anything", p.Name),
			`Add one: key "app" { id = "ACME-APP" }`)
	}
	return p
}

func (l *loader) retention(r *reader) Retention {
	out := Retention{Range: r.n.at(), Events: r.duration("events", false, 0, minRetention, maxRetention)}
	for _, b := range r.many("event", "name") {
		e := EventRetention{Range: b.n.at()}
		e.Event, _ = b.name(0, textRule{max: 128, form: "It is the name of an event, of at most 128 bytes."})
		e.Keep = b.duration("keep", true, 0, minRetention, maxRetention)
		b.end()
		if out.Events > 0 && e.Keep > out.Events {
			l.bad(codeTogether, b.n, b.at("keep"), fmt.Sprintf("%q would be kept longer than all events are", e.Event), "Raise events, and give the other events a shorter time.")
		}
		out.Names = append(out.Names, e)
	}
	r.end()
	return out
}

// timezone reads a zone; the machine's own ("Local") is not one, since it may
// change under the data.
func timezone(r *reader) (string, *time.Location) {
	const form = `Write a name of the IANA database: "Asia/Kolkata", "Europe/Berlin", "UTC".`
	name := r.text("timezone", textRule{missing: "UTC", max: 64, example: `"Asia/Kolkata"`})
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		r.bad(codeMalformed, "timezone", "there is no time zone "+r.shown("timezone", name), form)
		return "UTC", time.UTC
	}
	return name, loc
}

func (l *loader) key(r *reader, seen keys, purposes []Purpose) Key {
	k := Key{Range: r.n.at()}
	r.guarded = true
	k.Name, _ = r.name(0, textRule{pattern: namePattern, form: nameForm})
	k.ID = r.text("id", textRule{need: true, min: 1, max: 128, pattern: keyPattern, form: "It is printable ASCII without spaces.", example: `"ACME-APP"`})
	k.Secret = Secret(r.text("secret", textRule{min: 1, max: 512, secret: true, example: `file("/etc/cloister/srv")`}))
	k.Allow = r.texts("allow", textRule{choice: []string{AllowRead, AllowErase, AllowCampaigns}})
	k.Purpose = r.text("purpose", textRule{min: 1, max: 64, example: `"offers"`})
	r.end()
	if k.Purpose != "" && !slices.Contains(k.Allow, AllowCampaigns) {
		r.bad(codeTogether, "purpose", "a key that may not make campaigns needs no purpose", `Add "campaigns" to allow, or remove purpose.`)
	}
	if names := namesOf(purposes); k.Purpose != "" && !slices.Contains(names, k.Purpose) {
		r.bad(codeNoSuch, "purpose", "there is no purpose "+r.shown("purpose", k.Purpose), suggest(k.Purpose, names)+"The purposes of this publisher are: "+quoted(names, "and")+".")
	}
	if len(k.Allow) > 0 && !r.is("secret") {
		r.bad(codeTogether, "allow", "a key without a secret only writes", "Apps carry the id, so everybody knows it. Add a secret, or remove allow.")
	}
	if r.inClear("secret") {
		l.clear(r, "secret")
	}
	if k.ID == "" {
		return k
	}
	if first, there := seen[k.ID]; there {
		r.bad(codeTaken, "id", "the id "+r.shown("id", k.ID)+" is taken", "An id names one key of one publisher, over the whole appliance.",
			Place{Range: first, Note: "used here first"})
	} else {
		seen[k.ID] = r.at("id")
	}
	return k
}

// clear warns of a secret that stands in the file.
func (l *loader) clear(r *reader, name string) {
	l.warn(codeClear, r.n, r.at(name), name+" stands in the file for everybody who may read it",
		`Keep it elsewhere: `+name+` = file("/etc/cloister/..") or credential("..").`)
}

// PurposeCollection is the purpose that no publisher names and every one has.
const PurposeCollection = "collection"

func (l *loader) purpose(r *reader) Purpose {
	p := Purpose{Range: r.n.at()}
	p.Name, _ = r.name(0, textRule{pattern: namePattern, form: nameForm})
	if p.Name == PurposeCollection {
		l.bad(codeTaken, r.n, r.n.labelAt(0), fmt.Sprintf("every publisher has the purpose %q", PurposeCollection),
			"It stands for collecting what people do, and whoever withdraws it opts out of that. Give this one another name.")
	}
	p.Title = r.text("title", textRule{missing: p.Name, min: 1, max: 256, example: `"Offers and news"`})
	p.Basis = r.text("basis", textRule{missing: BasisConsent, choice: []string{BasisConsent, BasisContract}})
	p.Channels = r.texts("channels", textRule{choice: Channels})
	switch {
	case !r.is("channels"):
		p.Channels = slices.Clone(Channels)
	case p.Channels != nil && len(p.Channels) == 0:
		r.bad(codeBounds, "channels", "a purpose needs a channel", "Allowed: "+quoted(Channels, "or")+"; without the line it is all of them.")
	}
	r.end()
	return p
}

func quietHours(r *reader) *QuietHours {
	from, ok1 := measure(r, "from", true, 0, `"21:00"`, timeForm, parseTimeOfDay)
	to, ok2 := measure(r, "to", true, 0, `"09:00"`, timeForm, parseTimeOfDay)
	r.end()
	if ok1 && ok2 && from == to {
		r.bad(codeTogether, "to", "the quiet hours end when they begin", "Set another time; or remove the block, and no hour is quiet.")
	}
	return &QuietHours{From: from, To: to, Range: r.n.at()}
}

func (l *loader) cap(r *reader, purposes []Purpose) Cap {
	c := Cap{Range: r.n.at(), Purpose: r.n.labels[0]}
	c.Messages = r.whole("messages", true, 0, 1, 1_000_000)
	c.Per = r.duration("per", true, 0, minCapWindow, maxCapWindow)
	r.end()
	if names := namesOf(purposes); !slices.Contains(names, c.Purpose) {
		l.bad(codeNoSuch, r.n, r.n.labelAt(0), fmt.Sprintf("there is no purpose %q", c.Purpose),
			suggest(c.Purpose, names)+"The purposes of this publisher are: "+quoted(names, "and")+".")
	}
	return c
}

func namesOf(purposes []Purpose) []string {
	var names []string
	for _, p := range purposes {
		names = append(names, p.Name)
	}
	return names
}
