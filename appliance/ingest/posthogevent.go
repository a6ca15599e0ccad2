package ingest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// posthogTranslator makes facts of PostHog's events.
type posthogTranslator struct {
	rules  *Rules
	now    time.Time
	req    *posthogRequest
	remote string // address and port of the peer
}

// translatePosthog makes facts of a request.
func translatePosthog(b *batch, req *posthogRequest, remote string) {
	t := posthogTranslator{rules: b.pub.Rules, now: b.now, req: req, remote: remote}
	b.facts = slices.Grow(b.facts, len(req.items))
	for i, item := range req.items {
		made, err := t.translate(item)
		if err != nil {
			b.refuse(i, item, err)
			continue
		}
		b.keep(i, item, made...)
	}
}

// posthogNames are the events of PostHog's own that say what somebody did.
// Its others ($feature_flag_called, $snapshot, $web_vitals, ..) are machinery
// and make no event.
var posthogNames = map[string]string{
	"$pageview":    "Page Viewed",
	"$pageleave":   "Page Left",
	"$screen":      "Screen Viewed",
	"$autocapture": "Autocaptured",
	"$rageclick":   "Rage Clicked",
}

// posthogContext are the properties of PostHog's own that are kept, and the
// names that they get, which are those of Segment's page and screen. All
// others that begin with $ are dropped.
var posthogContext = map[string]string{
	"$current_url": "url", "$pathname": "path", "$referrer": "referrer", "$screen_name": "name",
	"$browser": "browser", "$os": "os", "$os_name": "os", "$os_version": "os_version",
	"$device_type": "device_type", "$device_model": "device_model", "$app_version": "app_version", "$locale": "locale",
	"$event_type": "action", "$el_text": "text",
}

// translate makes the facts of one event: what became known of the person
// first, then what was done.
func (t *posthogTranslator) translate(item event.Value) ([]event.Fact, error) {
	if item.Kind() != event.Object {
		return nil, malformed("batch", "an event must be an object")
	}
	o := item.Object()
	given := event.Lookup(o, "properties")
	if !given.IsNull() && given.Kind() != event.Object {
		return nil, malformed("properties", "they must be an object")
	}
	props := given.Object()
	name := event.Lookup(o, "event").Text()
	f := event.Fact{ID: posthogID(o, props), Name: name}
	var err error
	if f.Time, err = t.time(o); err != nil {
		return nil, err
	}
	if t.req.history {
		f.Flags |= event.Imported
	}
	f.User, f.Device = posthogWho(name, o, props)
	known := event.Fact{Kind: event.Identify, Flags: f.Flags, User: f.User, Device: f.Device, Time: f.Time}
	known.Changes = posthogChanges(o, props)
	known.Addresses = addresses(known.Changes)
	switch name {
	case "$identify", "$set":
		if z, ok := zone(event.Lookup(props, "$timezone")); ok && name == "$identify" {
			known.Changes = append(known.Changes, z)
		}
		known.ID = f.ID
		return []event.Fact{known}, nil
	case "$opt_in":
		known.ID = f.ID
		known.Consents = []event.Consent{{Purpose: event.PurposeCollection, Granted: true, Source: "posthog $opt_in"}}
		return []event.Fact{known}, nil
	case "$create_alias", "$merge_dangerously":
		return aliasOf(f, idText(event.Lookup(props, "alias")))
	}
	made := make([]event.Fact, 0, 2)
	if len(known.Changes) > 0 {
		known.ID = knownID(f.ID)
		made = append(made, known)
	}
	f.Kind = event.Track
	f.Props = posthogProps(props)
	switch {
	case name == "$groupidentify":
		group := idText(event.Lookup(props, "$group_key"))
		if f.User == "$"+event.Lookup(props, "$group_type").Text()+"_"+group {
			return nil, nil // a server's: the group itself, and nobody of it
		}
		f.Name = "Group Joined"
		for _, p := range properties(event.Lookup(props, "$group_set").Object()) {
			f.Props = setProp(f.Props, p.Key, p.Value)
		}
		f.Props = setProp(f.Props, "group", event.OfText(group))
		if kind := event.Lookup(props, "$group_type"); !kind.IsNull() {
			f.Props = setProp(f.Props, "group_type", kind)
		}
	case posthogNames[name] != "":
		f.Name = posthogNames[name]
	case strings.HasPrefix(name, "$"):
		return made, nil
	}
	if t.rules.IP != DropIP {
		ip := event.Lookup(props, "$ip").Text()
		if ip == "" && event.Lookup(props, "$lib").Text() == "web" {
			ip = peerIP(t.remote) // the sender is the device itself
		}
		t.rules.keepIP(&f, ip)
	}
	t.rules.keepAgent(&f, event.Lookup(props, "$raw_user_agent").Text())
	return append(made, f), nil
}

// posthogID is what a repeat is recognised by.
func posthogID(o, props []event.Prop) string {
	for _, v := range []event.Value{event.Lookup(o, "uuid"), event.Lookup(o, "messageId"), event.Lookup(o, "message_id"), event.Lookup(props, "$insert_id")} {
		if s := idText(v); s != "" {
			return s
		}
	}
	return ""
}

// posthogWho tells the user from the device. PostHog has one distinct_id for
// both; it is a device's as long as the library says that nobody is identified,
// or where it is the id that the library gave the device.
func posthogWho(name string, o, props []event.Prop) (user, device string) {
	id := idText(event.Lookup(o, "distinct_id"))
	if id == "" {
		id = idText(event.Lookup(props, "distinct_id"))
	}
	device = idText(event.Lookup(props, "$device_id"))
	if name == "$identify" {
		if anonymous := idText(event.Lookup(props, "$anon_distinct_id")); anonymous != "" {
			device = anonymous
		}
		if device == id {
			device = ""
		}
		return id, device
	}
	said := func(name string, b bool) bool {
		v := event.Lookup(props, name)
		return v.Kind() == event.Bool && v.Bool() == b
	}
	identified := said("$is_identified", true) || idText(event.Lookup(props, "$user_id")) != ""
	if !identified && (said("$is_identified", false) || said("$process_person_profile", false) || id == device) {
		return "", id
	}
	if device == id {
		device = ""
	}
	return id, device
}

// posthogChanges are what an event says of the person: $set, $set_once and
// $unset, beside the event or among its properties.
func posthogChanges(o, props []event.Prop) []event.Change {
	var out []event.Change
	for _, from := range [][]event.Prop{o, props} {
		for _, p := range event.Lookup(from, "$set").Object() {
			if key, ok := posthogAttribute(p.Key); ok {
				out = append(out, change(event.Prop{Key: key, Value: p.Value}))
			}
		}
		for _, p := range event.Lookup(from, "$set_once").Object() {
			if key, ok := posthogAttribute(p.Key); ok && !p.Value.IsNull() {
				out = append(out, event.Change{Key: key, Op: event.SetOnce, Value: p.Value})
			}
		}
		unset := event.Lookup(from, "$unset")
		for _, v := range unset.List() {
			if key, ok := posthogAttribute(v.Text()); ok {
				out = append(out, event.Change{Key: key, Op: event.Delete})
			}
		}
		for _, p := range unset.Object() {
			if key, ok := posthogAttribute(p.Key); ok {
				out = append(out, event.Change{Key: key, Op: event.Delete})
			}
		}
	}
	return out
}

// posthogAttribute is our name of an attribute; of those that the library
// gathers itself only what somebody first came with is kept.
func posthogAttribute(key string) (string, bool) {
	own := strings.TrimPrefix(key, "$")
	return own, own == key || strings.HasPrefix(own, "initial_")
}

// posthogProps are the properties that are kept: those without a $, those of
// posthogContext where the event has none of that name, and its groups, each
// by the name of its type.
func posthogProps(given []event.Prop) []event.Prop {
	out := make([]event.Prop, 0, len(given))
	for _, p := range given {
		switch p.Key {
		case "distinct_id", "token":
		default:
			if !p.Value.IsNull() && !strings.HasPrefix(p.Key, "$") {
				out = append(out, p)
			}
		}
	}
	for _, p := range given {
		own := posthogContext[p.Key]
		if own == "" || p.Value.IsNull() || p.Value.Text() == "$direct" || !event.Lookup(out, own).IsNull() {
			continue
		}
		out = append(out, event.Prop{Key: own, Value: p.Value})
	}
	for _, p := range event.Lookup(given, "$groups").Object() {
		if !p.Value.IsNull() && event.Lookup(out, p.Key).IsNull() {
			out = append(out, p)
		}
	}
	return out
}

// time is when the event happened, by our clock: what the request says of its
// sending tells how wrong the sender's is. Old libraries say how long ago it
// was instead.
func (t *posthogTranslator) time(o []event.Prop) (int64, error) {
	stamp := event.Lookup(o, "timestamp")
	if stamp.IsNull() || stamp.Kind() == event.Text && stamp.Text() == "" {
		at := t.now
		if ago, ok := event.Lookup(o, "offset").Number(); ok && ago > 0 && ago < 365*24*3600*1000 {
			at = at.Add(-time.Duration(ago * float64(time.Millisecond)))
		}
		return at.UnixMicro(), nil
	}
	at, ok := posthogTime(stamp)
	if !ok {
		return 0, malformed("timestamp", "it must be ISO 8601, as 2026-01-02T15:04:05.000Z")
	}
	sent := t.req.sent
	if own, ok := posthogTime(event.Lookup(o, "sent_at")); ok {
		sent = own
	}
	if !t.req.history {
		at = at.Add(skew(t.now, sent))
	}
	return at.UnixMicro(), nil
}
