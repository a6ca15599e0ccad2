package ingest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
)

// Rules are what one publisher's operator wrote about what may come in. They
// are read-only once made; a reload makes new ones.
type Rules struct {
	Events    map[string]*PropertyRules // by event name; "*" for all others
	Personal  []string                  // profile attributes that identify someone, beside the usual ones
	Purposes  map[string][]string       // purpose -> its channels, empty = all; what consent can be given for
	Retention time.Duration             // 0 = nothing is too old
	Kept      map[string]time.Duration  // by event name, where shorter
	Limits    event.Limits              // zero = event.DefaultLimits
	IP        IP
	UserAgent Agent
	Detect    *Detector // nil = nothing is looked for
	Names     *Names    // nil = no ceilings
}

// IP says what becomes of the addresses that apps are seen at.
type IP uint8

// What may become of an IP address.
const (
	DropIP IP = iota // it is not kept
	CutIP            // events keep its network as property "ip": /24, or /48 of IPv6
)

// Agent says what becomes of the user agents that apps give.
type Agent uint8

// What may become of a user agent.
const (
	DropAgent   Agent = iota // it is not kept
	ReduceAgent              // events keep properties "browser", "os" and "device_type", where the app says none: families and a class
	KeepAgent                // the same, and all of it as property "user_agent"
)

const day = 24 * time.Hour

// earliest is older than any event of an app: before it lie clocks that were
// never set.
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// verdict is what the rules have to say of a fact that they take.
type verdict struct {
	hold detect.Set // what was found in it for which it has to wait
	off  error      // what a schema does not have, and let pass
}

// apply makes f what may be kept, or says why it cannot be taken (an
// *event.Refusal; errInactive: it is to be left out without a word). now is
// the door's clock; limits are the dialect's.
func (r *Rules) apply(f *event.Fact, now time.Time, limits event.Limits) (v verdict, err error) {
	f.Received = now.UnixMicro()
	if f.Time > f.Received+day.Microseconds() {
		f.Time = f.Received
		f.Flags |= event.Restamped
	}
	if f.Kind == event.Track {
		if v.off, err = r.rulesFor(f.Name).fact(f, r); err != nil {
			return verdict{}, err
		}
	}
	v.hold = r.Detect.fact(f, r.Personal)
	if !plain(f, &limits) {
		if err := event.Check(f, limits); err != nil {
			return verdict{}, err
		}
	}
	if err := r.recent(f, now); err != nil {
		return verdict{}, err
	}
	for i := range f.Changes {
		if slices.Contains(r.Personal, f.Changes[i].Key) {
			f.Changes[i].Personal = true
		}
	}
	if r.Names.known(f) {
		return v, nil
	}
	if err := r.Detect.names(f); err != nil {
		return verdict{}, err
	}
	return v, r.Names.admit(f)
}

// recent refuses what is older than it would be kept.
func (r *Rules) recent(f *event.Fact, now time.Time) error {
	kept := r.Retention
	if one := r.Kept[f.Name]; one > 0 {
		kept = one
	}
	switch {
	case f.Time < earliest:
		return &event.Refusal{Code: event.RefusedTooOld, Field: "ts", Message: "before 1980: the clock that it comes from was not set"}
	case f.Kind == event.Track && kept > 0 && f.Time < now.Add(-kept).UnixMicro():
		return &event.Refusal{Code: event.RefusedTooOld, Field: "ts", Message: fmt.Sprintf("older than the retention of %d days", int(kept/day))}
	}
	return nil
}

// limits are the publisher's, or the general ones.
func (r *Rules) limits() event.Limits {
	if r.Limits == (event.Limits{}) {
		return event.DefaultLimits()
	}
	return r.Limits
}

// purposes lists them in a fixed order, so that a request sent twice makes the
// same facts.
func (r *Rules) purposes() []string { return slices.Sorted(maps.Keys(r.Purposes)) }

// channelConsents are the consents for one channel that a flag without a
// purpose stands for: one for each purpose that uses the channel.
func (r *Rules) channelConsents(channel string, granted bool, source string) []event.Consent {
	var out []event.Consent
	for _, purpose := range r.purposes() {
		if channels := r.Purposes[purpose]; len(channels) == 0 || slices.Contains(channels, channel) {
			out = append(out, event.Consent{Purpose: purpose, Channel: channel, Granted: granted, Source: source})
		}
	}
	return out
}

// withdrawn are the consents of someone who wants nothing at all.
func (r *Rules) withdrawn(source string) []event.Consent {
	var out []event.Consent
	for _, purpose := range r.purposes() {
		out = append(out, event.Consent{Purpose: purpose, Source: source})
	}
	return out
}

// peerIP is the address of whom an http.Request.RemoteAddr stands for; "" where
// it is not of a network.
func peerIP(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	return at.Addr().String()
}

// keepIP adds what may be kept of an address to an event.
func (r *Rules) keepIP(f *event.Fact, text string) {
	if r.IP == DropIP || f.Kind != event.Track {
		return
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return // it says nothing, and is not kept
	}
	bits := 48
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = 24
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return
	}
	f.Props = setProp(f.Props, "ip", event.OfText(network.String()))
}

// keepAgent adds what may be kept of a user agent to an event.
func (r *Rules) keepAgent(f *event.Fact, text string) {
	if r.UserAgent == DropAgent || f.Kind != event.Track || text == "" {
		return
	}
	a := reduce(text)
	for _, p := range []event.Prop{
		{Key: "browser", Value: event.OfText(a.browser)}, {Key: "os", Value: event.OfText(a.os)}, {Key: "device_type", Value: event.OfText(a.device)},
	} {
		if p.Value.Text() != "" && event.Lookup(f.Props, p.Key).IsNull() {
			f.Props = append(f.Props, p)
		}
	}
	if r.UserAgent == KeepAgent {
		f.Props = setProp(f.Props, "user_agent", event.OfText(text))
	}
}

// added says whether a property is one that keepIP or keepAgent adds: what the
// operator asks for is in no schema of the app's.
func (r *Rules) added(p *event.Prop) bool {
	switch p.Key {
	case "ip":
		_, err := netip.ParsePrefix(p.Value.Text())
		return r.IP == CutIP && err == nil
	case "browser", "os", "device_type":
		return r.UserAgent != DropAgent
	case "user_agent":
		return r.UserAgent == KeepAgent
	}
	return false
}

// addresses are the ways to reach someone that stand in a profile: e-mail and
// phone. A value that cannot be an address stays an attribute only.
func addresses(changes []event.Change) []event.Address {
	var out []event.Address
	for _, c := range changes {
		if c.Op != event.Set && c.Op != event.SetOnce {
			continue
		}
		switch strings.ToLower(c.Key) {
		case "email":
			if a, ok := emailAddress(c.Value.Text()); ok {
				out = append(out, event.Address{Channel: "email", Value: a})
			}
		case "phone":
			if a, ok := phoneNumber(c.Value.String()); ok {
				out = append(out, event.Address{Channel: "sms", Value: a})
			}
		}
	}
	return out
}

// zone is an attribute for the person's time zone, where the text is the name
// of one; "GMT+0530", as some libraries send it, is none.
func zone(v event.Value) (event.Change, bool) {
	name := v.Text()
	if name != "UTC" && !strings.Contains(name, "/") || len(name) > 64 {
		return event.Change{}, false
	}
	return event.Change{Key: "tz", Value: event.OfText(name)}, true
}

// emailAddress accepts what a mail server could: one @, no spaces, no control
// characters, something on both sides. Lists and display names are refused.
func emailAddress(s string) (string, bool) {
	s = strings.TrimSpace(s)
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 || len(s) > 254 || at == len(s)-1 || strings.Count(s, "@") != 1 {
		return "", false
	}
	for _, c := range s {
		if c <= ' ' || c == 0x7f || strings.ContainsRune(`,;<>()[]\":`, c) {
			return "", false
		}
	}
	return s[:at+1] + strings.ToLower(s[at+1:]), true
}

// phoneNumber makes +digits of a number written with its country code; some
// SDKs send it as a JSON number without the plus.
func phoneNumber(s string) (string, bool) {
	b := make([]byte, 1, 16)
	b[0] = '+'
	for i, c := range s {
		switch {
		case c >= '0' && c <= '9':
			b = append(b, byte(c))
		case c == '+' && i == 0, c == ' ', c == '-', c == '(', c == ')', c == '.':
		default:
			return "", false
		}
	}
	if n := len(b) - 1; n < 7 || n > 15 {
		return "", false
	}
	return string(b), true
}
