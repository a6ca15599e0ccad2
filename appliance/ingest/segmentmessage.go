package ingest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// segmentTranslator makes facts of Segment's messages.
type segmentTranslator struct {
	rules *Rules
	now   time.Time
	outer []event.Prop // the request: what holds for every message of a batch that does not say it itself
	from  segmentSender
	made  [2]event.Fact
}

var segmentTooLong = &event.Refusal{Code: event.RefusedTooLong, Field: "message", Message: "a message may not be larger than 32 kB"}

// translate makes the facts of one message: usually one, none for a message
// that says nothing. They are there until the next call.
func (t *segmentTranslator) translate(kind string, item segmentItem) ([]event.Fact, error) {
	if item.message.Kind() != event.Object {
		return nil, malformed("batch", "a message must be an object")
	}
	if item.bytes > segmentMaxOne {
		return nil, segmentTooLong
	}
	o := item.message.Object()
	if kind == "batch" {
		kind = event.Lookup(o, "type").Text()
	}
	f := event.Fact{
		ID:     idText(event.Lookup(o, "messageId")),
		User:   idText(event.Lookup(o, "userId")),
		Device: idText(event.Lookup(o, "anonymousId")),
	}
	if f.Device == "" && f.User == "" {
		f.Device = t.from.anonymous
	}
	if f.Device == f.User {
		f.Device = "" // RudderStack's Go library copies the user there
	}
	var err error
	if f.Time, err = t.time(o); err != nil {
		return nil, err
	}
	context := event.Lookup(o, "context").Object()
	known := event.Fact{Kind: event.Identify, User: f.User, Device: f.Device, Time: f.Time}
	known.Consents = t.consents(t.inContext(context, "consent"))
	known.Addresses = pushAddress(t.inContext(context, "device").Object())
	switch kind {
	case "track", "page", "screen", "group":
		err = t.event(kind, &f, o, context)
	case "identify":
		f.Kind = event.Identify
		f.Changes = traits(event.Lookup(o, "traits").Object(), t.inContext(context, "traits").Object())
		if z, ok := zone(t.inContext(context, "timezone")); ok && event.Lookup(event.Lookup(o, "traits").Object(), "tz").IsNull() {
			f.Changes = append(f.Changes, z)
		}
		f.Consents, f.Addresses = known.Consents, append(known.Addresses, addresses(f.Changes)...)
		t.made[0] = f
		return t.made[:1], nil
	case "alias":
		f.Kind = event.Alias
		if f.Previous = idText(event.Lookup(o, "previousId")); f.Previous == "" {
			f.Previous = f.Device
		}
		f.Device = ""
		if f.User == "" {
			return nil, missing("userId", "the id that the previous one joins is missing")
		}
		if f.Previous == f.User {
			return nil, nil // analytics.js sends these when a user is already known
		}
	default:
		return nil, malformed("type", "it must be identify, track, page, screen, group or alias")
	}
	if err != nil {
		return nil, err
	}
	// Consent and tokens that ride on an event are a fact of their own.
	if len(known.Consents)+len(known.Addresses) == 0 {
		t.made[0] = f
		return t.made[:1], nil
	}
	if f.Kind == event.Alias {
		known.Device = ""
	}
	known.ID = knownID(f.ID)
	t.made = [2]event.Fact{known, f}
	return t.made[:], nil
}

// event makes one of what was done.
func (t *segmentTranslator) event(kind string, f *event.Fact, o, context []event.Prop) error {
	f.Kind = event.Track
	props := event.Lookup(o, "properties")
	if kind == "group" {
		props = event.Lookup(o, "traits")
	}
	if !props.IsNull() && props.Kind() != event.Object {
		return malformed("properties", "they must be an object")
	}
	f.Props = properties(props.Object())
	switch kind {
	case "track":
		f.Name = event.Lookup(o, "event").Text()
	case "group":
		f.Name = "Group Joined"
		group := idText(event.Lookup(o, "groupId"))
		if group == "" {
			return missing("groupId", "the group's id is missing")
		}
		f.Props = setProp(f.Props, "group", event.OfText(group))
	default:
		f.Name = "Page Viewed"
		if kind == "screen" {
			f.Name = "Screen Viewed"
		}
		for _, k := range []string{"name", "category"} {
			if v := event.Lookup(o, k); !v.IsNull() && event.Lookup(f.Props, k).IsNull() {
				f.Props = append(f.Props, event.Prop{Key: k, Value: v})
			}
		}
	}
	if t.rules.IP != DropIP {
		ip := t.inContext(context, "ip").Text()
		if t.inContext(context, "direct").Bool() {
			// The sender is the device itself, and says so.
			if peer := peerIP(t.from.remote); peer != "" {
				ip = peer
			}
		}
		t.rules.keepIP(f, ip)
	}
	t.rules.keepAgent(f, t.inContext(context, "userAgent").Text())
	return nil
}

func setProp(ps []event.Prop, key string, v event.Value) []event.Prop {
	for i := range ps {
		if ps[i].Key == key {
			ps[i].Value = v
			return ps
		}
	}
	return append(ps, event.Prop{Key: key, Value: v})
}

// inContext finds a part of the message's context, or else of the request's.
func (t *segmentTranslator) inContext(own []event.Prop, key string) event.Value {
	if v := event.Lookup(own, key); !v.IsNull() {
		return v
	}
	return event.Lookup(event.Lookup(t.outer, "context").Object(), key)
}

// time is when the event happened. A device's own clock may be wrong: what it
// says of the event and of the sending tells by how much. A library that gives
// both timestamp and another originalTimestamp was told the time by its
// caller, who knows.
func (t *segmentTranslator) time(o []event.Prop) (int64, error) {
	stamp, original := event.Lookup(o, "timestamp"), event.Lookup(o, "originalTimestamp")
	told := stamp.Text() != "" && original.Text() != "" && stamp.Text() != original.Text()
	for _, other := range []event.Value{original, event.Lookup(t.outer, "timestamp")} {
		if stamp.IsNull() || stamp.Kind() == event.Text && stamp.Text() == "" {
			stamp = other
		}
	}
	if stamp.IsNull() || stamp.Kind() == event.Text && stamp.Text() == "" {
		return t.now.UnixMicro(), nil
	}
	at, ok := isoTime(stamp.Text())
	if !ok {
		return 0, malformed("timestamp", "it must be ISO 8601, as 2026-01-02T15:04:05.000Z")
	}
	sent := event.Lookup(o, "sentAt").Text()
	for _, other := range []string{event.Lookup(t.outer, "sentAt").Text(), t.from.sentAt} {
		if sent == "" {
			sent = other
		}
	}
	if sent != "" && !told {
		if s, ok := isoTime(sent); ok {
			if skew := t.now.Sub(s); skew > time.Minute || skew < -time.Minute {
				at = at.Add(skew)
			}
		}
	}
	return at.UnixMicro(), nil
}

// isoTime reads a time of any precision. Without a zone it is UTC, as on the
// servers whose libraries write it so.
func isoTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// consents reads a consent object: a category is a purpose, by its name. An
// object whose list of categories is empty refuses them all; without the list
// nothing is said.
func (t *segmentTranslator) consents(consent event.Value) []event.Consent {
	const source = "segment context.consent"
	prefs := event.Lookup(consent.Object(), "categoryPreferences")
	if prefs.Kind() != event.Object {
		return nil
	}
	if len(prefs.Object()) == 0 {
		return t.rules.withdrawn(source)
	}
	var out []event.Consent
	for _, p := range prefs.Object() {
		if _, ok := t.rules.Purposes[p.Key]; ok && p.Value.Kind() == event.Bool {
			out = append(out, event.Consent{Purpose: p.Key, Granted: p.Value.Bool(), Source: source})
		}
	}
	return out
}

// pushAddress reads the token convention of the mobile libraries.
func pushAddress(device []event.Prop) []event.Address {
	token := event.Lookup(device, "token").Text()
	if token == "" {
		return nil
	}
	platform := "fcm"
	switch strings.ToLower(event.Lookup(device, "type").Text()) {
	case "ios", "ipados", "tvos", "watchos", "macos", "apns":
		platform = "apns"
	}
	return []event.Address{{Channel: "push", Platform: platform, Value: token}}
}

// traits makes changes of traits; those of the message win over those of its context.
func traits(own, context []event.Prop) []event.Change {
	out := make([]event.Change, 0, len(own)+len(context)+1)
	for _, p := range own {
		out = append(out, change(p))
	}
	for _, p := range context {
		if !slices.ContainsFunc(own, func(q event.Prop) bool { return q.Key == p.Key }) {
			out = append(out, change(p))
		}
	}
	return out
}

func change(p event.Prop) event.Change {
	if p.Value.IsNull() {
		return event.Change{Key: p.Key, Op: event.Delete}
	}
	return event.Change{Key: p.Key, Value: p.Value}
}
