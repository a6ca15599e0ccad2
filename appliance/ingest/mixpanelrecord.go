package ingest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// historyAge is the age from which an event is history brought in
// afterwards, by whatever path: Mixpanel itself takes such at /import only.
const historyAge = 5 * day

// mixpanelTranslator makes facts of Mixpanel's records.
type mixpanelTranslator struct {
	rules *Rules
	now   time.Time
	by    time.Duration // that the sender's clock is behind ours
	token string        // of the request's first record
	peer  string        // the sender's address, where it is the device itself and asks to be located
}

// mixpanelKind makes the facts of a record of one kind.
type mixpanelKind func(t *mixpanelTranslator, o []event.Prop) ([]event.Fact, error)

// translateMixpanel makes facts of the records of a request; sent is when it
// says that it was sent, zero = it does not.
func translateMixpanel(b *batch, items []event.Value, sent time.Time, peer string, kind mixpanelKind) {
	t := &mixpanelTranslator{rules: b.pub.Rules, now: b.now, by: skew(b.now, sent), peer: peer}
	b.facts = slices.Grow(b.facts, len(items))
	for i, item := range items {
		if item.Kind() != event.Object {
			b.refuse(i, item, malformed("data", "a record must be an object"))
			continue
		}
		token := mixpanelToken(item.Object())
		if i == 0 {
			t.token = token
		}
		if token != t.token && token != "" {
			b.refuse(i, item, malformed("token", "another token than that of the request's first record"))
			continue
		}
		made, err := kind(t, item.Object())
		if err != nil {
			b.refuse(i, item, err)
			continue
		}
		b.keep(i, item, made...)
	}
}

// mixpanelNames are the events of Mixpanel's own that say what somebody did.
// Its others ($ae_session, $mp_dead_click, $session_start, ..) are machinery
// and make no event.
var mixpanelNames = map[string]string{
	"$mp_web_page_view": "Page Viewed", "mp_page_view": "Page Viewed", "$mp_page_leave": "Page Left",
	"$mp_click": "Autocaptured", "$mp_input_change": "Autocaptured", "$mp_submit": "Autocaptured", "$mp_rage_click": "Rage Clicked",
	"$ae_first_open": "App Installed", "$ae_updated": "App Updated", "$ae_crashed": "App Crashed",
}

var mixpanelActions = map[string]string{"$mp_click": "click", "$mp_input_change": "change", "$mp_submit": "submit"}

// mixpanelContext are the properties of Mixpanel's own that are kept, and the
// names that they get. All others that begin with $ or mp_ are dropped.
var mixpanelContext = map[string]string{
	"$current_url": "url", "current_url_path": "path", "current_url_search": "search", "current_page_title": "title", "$referrer": "referrer",
	"$browser": "browser", "$os": "os", "$os_version": "os_version", "$model": "device_model",
	"$app_version_string": "app_version", "$app_version": "app_version", "$city": "city", "$region": "region", "mp_country_code": "country",
}

// mixpanelEvent makes the facts of an event.
func mixpanelEvent(t *mixpanelTranslator, o []event.Prop) ([]event.Fact, error) {
	given := event.Lookup(o, "properties")
	if !given.IsNull() && given.Kind() != event.Object {
		return nil, malformed("properties", "they must be an object")
	}
	props := given.Object()
	name := event.Lookup(o, "event").Text()
	f := event.Fact{Kind: event.Track, Name: name, ID: idText(event.Lookup(props, "$insert_id"))}
	var err error
	if f.Time, err = t.time("properties.time", event.Lookup(props, "time")); err != nil {
		return nil, err
	}
	if f.Time < t.now.Add(-historyAge).UnixMicro() {
		f.Flags |= event.Imported
	}
	f.User, f.Device = mixpanelWho(props, "")
	switch name {
	case "$identify":
		return mixpanelIdentify(f, props)
	case "$create_alias":
		return aliasOf(f, idText(event.Lookup(props, "alias")))
	case "$merge":
		ids := event.Lookup(props, "$distinct_ids").List()
		if len(ids) != 2 {
			return nil, missing("properties.$distinct_ids", "two ids are needed")
		}
		f.User, f.Device = mixpanelID(ids[0])
		user, device := mixpanelID(ids[1])
		return aliasOf(f, user+device)
	case "$opt_in":
		f.Kind, f.Name = event.Identify, ""
		f.Consents = []event.Consent{{Purpose: event.PurposeCollection, Granted: true, Source: "mixpanel $opt_in"}}
		return []event.Fact{f}, nil
	}
	f.Props = mixpanelProps(props)
	if own := mixpanelNames[name]; own != "" {
		f.Name = own
		if action := mixpanelActions[name]; action != "" {
			f.Props = setProp(f.Props, "action", event.OfText(action))
		}
	} else if strings.HasPrefix(name, "$") {
		return nil, nil
	}
	ip := event.Lookup(props, "ip").Text()
	if ip == "" {
		ip = t.peer
	}
	t.rules.keepIP(&f, ip)
	return []event.Fact{f}, nil
}

// mixpanelID tells a user's id from a device's, which is marked.
func mixpanelID(v event.Value) (user, device string) {
	if id, ok := strings.CutPrefix(idText(v), "$device:"); ok {
		return "", id
	}
	return idText(v), ""
}

// mixpanelWho tells user and device in a record whose own names begin with
// prefix. Libraries that know of both say so; an id alone is a user's unless
// it is marked or the same as the device's.
func mixpanelWho(o []event.Prop, prefix string) (user, device string) {
	user, device = mixpanelID(event.Lookup(o, prefix+"distinct_id"))
	if s := idText(event.Lookup(o, "$device_id")); s != "" {
		device = s
	}
	if s := idText(event.Lookup(o, "$user_id")); s != "" {
		user = s
	} else if user == device {
		user = ""
	}
	if user == device {
		device = ""
	}
	return user, device
}

// mixpanelIdentify joins who is identified with the device that was anonymous.
// What was somebody else's id before stays theirs.
func mixpanelIdentify(f event.Fact, props []event.Prop) ([]event.Fact, error) {
	f.Kind, f.Name = event.Identify, ""
	for _, name := range []string{"$identified_id", "distinct_id"} {
		if s := idText(event.Lookup(props, name)); s != "" && f.User == "" {
			f.User = s
		}
	}
	for _, name := range []string{"$anon_distinct_id", "$anon_id"} {
		if user, device := mixpanelID(event.Lookup(props, name)); f.Device == "" {
			f.Device = user + device
		}
	}
	if f.Device == f.User {
		f.Device = ""
	}
	return []event.Fact{f}, nil
}

// mixpanelProps are the properties that are kept.
func mixpanelProps(given []event.Prop) []event.Prop {
	out := make([]event.Prop, 0, len(given))
	for _, p := range given {
		switch p.Key {
		case "distinct_id", "token", "time", "ip", "current_domain", "current_url_protocol":
			continue
		}
		if p.Value.IsNull() || mixpanelContext[p.Key] != "" || strings.HasPrefix(p.Key, "$") || strings.HasPrefix(p.Key, "mp_") {
			continue
		}
		out = append(out, p)
	}
	for _, p := range given {
		own := mixpanelContext[p.Key]
		if own == "" || p.Value.IsNull() || p.Value.Text() == "$direct" || !event.Lookup(out, own).IsNull() {
			continue
		}
		out = append(out, event.Prop{Key: own, Value: p.Value})
	}
	return out
}

// mixpanelAttributes are the attributes of Mixpanel's own that are kept, and
// the names that they get; beside them what somebody first came with.
var mixpanelAttributes = map[string]string{
	"$email": "email", "$phone": "phone", "$name": "name", "$first_name": "first_name", "$last_name": "last_name", "$avatar": "avatar",
	"$created": "created", "$city": "city", "$region": "region", "$country_code": "country", "$timezone": "tz",
}

func mixpanelAttribute(key string) (string, bool) {
	if own := mixpanelAttributes[key]; own != "" {
		return own, true
	}
	own := strings.TrimPrefix(key, "$")
	return own, own == key || strings.HasPrefix(own, "initial_")
}

// mixpanelTokens are the attributes that hold push tokens, and their platforms.
var mixpanelTokens = map[string]string{"$android_devices": "fcm", "$ios_devices": "apns"}

// mixpanelProfile makes the facts of a record about a person.
func mixpanelProfile(t *mixpanelTranslator, o []event.Prop) ([]event.Fact, error) {
	f := event.Fact{Kind: event.Identify}
	var err error
	if f.Time, err = t.time("$time", event.Lookup(o, "$time")); err != nil {
		return nil, err
	}
	f.User, f.Device = mixpanelWho(o, "$")
	var charged []event.Fact
	for _, op := range o {
		switch op.Key {
		case "$set", "$set_once", "$add", "$append", "$union", "$remove":
			if op.Value.Kind() != event.Object {
				return nil, malformed(op.Key, "it must be an object")
			}
			for _, p := range op.Value.Object() {
				if p.Key == "$transactions" {
					if op.Key == "$append" {
						charged = append(charged, t.charge(f, p.Value.Object()))
					}
					continue
				}
				if platform := mixpanelTokens[p.Key]; platform != "" {
					f.Addresses = append(f.Addresses, mixpanelAddresses(platform, p.Value, op.Key == "$remove")...)
					continue
				}
				if key, ok := mixpanelAttribute(p.Key); ok && p.Value.Text() != "$direct" && (op.Key == "$set" || !p.Value.IsNull()) {
					c, err := mixpanelChange(op.Key, event.Prop{Key: key, Value: p.Value})
					if err != nil {
						return nil, err
					}
					f.Changes = append(f.Changes, c)
				}
			}
		case "$unset":
			for _, v := range op.Value.List() {
				if key, ok := mixpanelAttribute(v.Text()); ok {
					f.Changes = append(f.Changes, event.Change{Key: key, Op: event.Delete})
				}
			}
		case "$delete":
			return nil, malformed("$delete", "a token that lies in apps deletes nobody; ask for an erasure")
		}
	}
	f.Addresses = append(f.Addresses, addresses(f.Changes)...)
	if len(f.Changes)+len(f.Addresses) == 0 {
		return charged, nil
	}
	return append([]event.Fact{f}, charged...), nil
}

// mixpanelChange makes a change of an operation on one attribute.
func mixpanelChange(op string, p event.Prop) (event.Change, error) {
	c := event.Change{Key: p.Key, Value: p.Value}
	switch op {
	case "$set":
		c = change(p)
	case "$set_once":
		c.Op = event.SetOnce
	case "$append", "$union":
		c.Op = event.Add
	case "$remove":
		c.Op = event.Remove
	case "$add":
		if !p.Value.IsNumber() {
			return c, malformed("$add."+p.Key, "only numbers are added")
		}
		c.Op = event.Increase
	}
	return c, nil
}

func mixpanelAddresses(platform string, tokens event.Value, removed bool) []event.Address {
	list := tokens.List()
	if tokens.Kind() == event.Text {
		list = []event.Value{tokens}
	}
	var out []event.Address
	for _, v := range list {
		if v.Text() != "" {
			out = append(out, event.Address{Channel: "push", Platform: platform, Value: v.Text(), Removed: removed})
		}
	}
	return out
}

// charge makes an event of a payment that a profile is given.
func (t *mixpanelTranslator) charge(of event.Fact, o []event.Prop) event.Fact {
	f := event.Fact{Kind: event.Track, Name: "Charged", User: of.User, Device: of.Device, Time: of.Time}
	for _, p := range o {
		switch {
		case p.Key == "$amount":
			f.Props = append(f.Props, event.Prop{Key: "amount", Value: p.Value})
		case p.Key == "$time":
			if at, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(p.Value.Text(), "Z")); err == nil {
				f.Time = at.UnixMicro()
			}
		case !strings.HasPrefix(p.Key, "$") && p.Key != "amount" && !p.Value.IsNull():
			f.Props = append(f.Props, p)
		}
	}
	if f.Time < t.now.Add(-historyAge).UnixMicro() {
		f.Flags |= event.Imported
	}
	return f
}

// time is when something happened: seconds since 1970, or milliseconds, which
// their size tells. None is now.
func (t *mixpanelTranslator) time(field string, v event.Value) (int64, error) {
	if v.IsNull() {
		return t.now.UnixMicro(), nil
	}
	n, ok := v.Number()
	if !ok || n < 0 || n > 1e14 {
		return 0, malformed(field, "it must be seconds or milliseconds since 1970")
	}
	if n < 1e11 {
		n *= 1000
	}
	return int64(n*1000) + t.by.Microseconds(), nil
}
