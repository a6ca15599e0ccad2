package ingest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// amplitudeTranslator makes facts of Amplitude's events.
type amplitudeTranslator struct {
	rules *Rules
	now   time.Time
	by    time.Duration // that the sender's clock is behind ours
	peer  string        // address and port; "" = unknown
}

// amplitudeKind makes the facts of a record of one kind.
type amplitudeKind func(t *amplitudeTranslator, o []event.Prop) ([]event.Fact, error)

// translateAmplitude makes facts of the records of a request; sent is when it
// says that it was sent, zero = it does not.
func translateAmplitude(b *batch, items []event.Value, sent time.Time, peer string, kind amplitudeKind) {
	t := &amplitudeTranslator{rules: b.pub.Rules, now: b.now, by: skew(b.now, sent), peer: peer}
	b.facts = slices.Grow(b.facts, len(items))
	for i, item := range items {
		if item.Kind() != event.Object {
			b.refuse(i, item, malformed("events", "an event must be an object"))
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

// amplitudeNames are the events of Amplitude's own that say what somebody did.
// Its others (session_start, [Amplitude] Network Request, ..) are machinery
// and make no event.
var amplitudeNames = map[string]string{
	"[Amplitude] Page Viewed": "Page Viewed", "[Amplitude] Screen Viewed": "Screen Viewed",
	"[Amplitude] Element Clicked": "Autocaptured", "[Amplitude] Element Changed": "Autocaptured", "[Amplitude] Element Interacted": "Autocaptured",
	"[Amplitude] Form Submitted": "Autocaptured", "[Amplitude] Rage Click": "Rage Clicked", "[Amplitude] File Downloaded": "File Downloaded",
	"[Amplitude] Application Installed": "App Installed", "[Amplitude] Application Updated": "App Updated", "[Amplitude] Application Opened": "App Opened",
}

var amplitudeActions = map[string]string{
	"[Amplitude] Element Clicked": "click", "[Amplitude] Element Interacted": "click", "[Amplitude] Element Changed": "change", "[Amplitude] Form Submitted": "submit",
}

// amplitudeContext are the properties of Amplitude's own, and the fields beside
// them, that are kept, and the names that they get.
var amplitudeContext = map[string]string{
	"[Amplitude] Page Location": "url", "[Amplitude] Page Path": "path", "[Amplitude] Page Title": "title", "[Amplitude] Previous Page Location": "referrer",
	"[Amplitude] Screen Name": "name", "[Amplitude] Element Text": "text", "[Amplitude] File Name": "file",
	"platform": "platform", "os_name": "os", "os_version": "os_version", "device_model": "device_model",
	"app_version": "app_version", "version_name": "app_version", "language": "locale", "country": "country", "region": "region", "city": "city",
	"price": "price", "quantity": "quantity", "revenue": "revenue", "productId": "product_id", "product_id": "product_id",
	"revenueType": "revenue_type", "revenue_type": "revenue_type", "currency": "currency",
}

// amplitudeRevenue are the properties of a revenue event.
var amplitudeRevenue = map[string]string{
	"$price": "price", "$quantity": "quantity", "$revenue": "amount", "$productId": "product_id", "$revenueType": "revenue_type", "$currency": "currency",
}

// amplitudeEvent makes the facts of an event: what became known of the person
// first, then what was done.
func amplitudeEvent(t *amplitudeTranslator, o []event.Prop) ([]event.Fact, error) {
	name := event.Lookup(o, "event_type").Text()
	known, err := t.person(o)
	if err != nil {
		return nil, err
	}
	switch name {
	case "$identify":
		return []event.Fact{known}, nil
	case "$groupidentify":
		return nil, nil
	}
	f := known
	f.Kind, f.Name, f.Changes, f.Addresses = event.Track, name, nil, nil
	made := make([]event.Fact, 0, 2)
	if len(known.Changes) > 0 {
		known.ID = knownID(f.ID)
		made = append(made, known)
	}
	own := amplitudeNames[name]
	switch {
	case own != "":
		f.Name = own
	case name == "revenue_amount":
		f.Name = "Charged"
	case name == "session_start", name == "session_end", strings.HasPrefix(name, "[Amplitude] "):
		return made, nil
	}
	given := event.Lookup(o, "event_properties")
	if !given.IsNull() && given.Kind() != event.Object {
		return nil, malformed("event_properties", "they must be an object")
	}
	f.Props = amplitudeProps(o, given.Object(), f.Name == "Charged")
	if action := amplitudeActions[name]; action != "" {
		f.Props = setProp(f.Props, "action", event.OfText(action))
	}
	if t.rules.IP != DropIP {
		ip := event.Lookup(o, "ip").Text()
		if ip == "$remote" {
			ip = peerIP(t.peer)
		}
		t.rules.keepIP(&f, ip)
	}
	t.rules.keepAgent(&f, event.Lookup(o, "user_agent").Text())
	return append(made, f), nil
}

// amplitudeIdentify makes the fact of a record to /identify.
func amplitudeIdentify(t *amplitudeTranslator, o []event.Prop) ([]event.Fact, error) {
	known, err := t.person(o)
	if err != nil {
		return nil, err
	}
	return []event.Fact{known}, nil
}

// person makes what a record says of whom it is about.
func (t *amplitudeTranslator) person(o []event.Prop) (event.Fact, error) {
	f := event.Fact{
		Kind:   event.Identify,
		ID:     idText(event.Lookup(o, "insert_id")),
		User:   idText(event.Lookup(o, "user_id")),
		Device: idText(event.Lookup(o, "device_id")),
	}
	if f.Device == f.User {
		f.Device = ""
	}
	var err error
	if f.Time, err = t.time(event.Lookup(o, "time")); err != nil {
		return f, err
	}
	if f.Time < t.now.Add(-historyAge).UnixMicro() {
		f.Flags |= event.Imported
	}
	if f.Changes, err = amplitudeChanges(event.Lookup(o, "user_properties")); err != nil {
		return f, err
	}
	f.Addresses = addresses(f.Changes)
	return f, nil
}

// amplitudeChanges reads user_properties: attributes, or operations on them.
func amplitudeChanges(v event.Value) ([]event.Change, error) {
	if !v.IsNull() && v.Kind() != event.Object {
		return nil, malformed("user_properties", "they must be an object")
	}
	var out []event.Change
	for _, p := range v.Object() {
		op, isOp := amplitudeOps[p.Key]
		switch {
		case p.Key == "$clearAll":
			return nil, malformed("user_properties.$clearAll", "attributes go one by one, with $unset")
		case !isOp && strings.HasPrefix(p.Key, "$"):
			return nil, malformed("user_properties."+p.Key, "this operation is not known")
		case !isOp:
			out = append(out, change(p))
			continue
		case p.Value.Kind() != event.Object:
			return nil, malformed("user_properties."+p.Key, "it must be an object")
		}
		for _, a := range p.Value.Object() {
			c := event.Change{Key: a.Key, Op: op, Value: a.Value}
			switch op {
			case event.Set:
				c = change(a)
			case event.SetOnce:
				// The browser's library says what nobody came with, too.
				if a.Value.IsNull() || a.Value.Text() == "EMPTY" && strings.HasPrefix(a.Key, "initial_") {
					continue
				}
			case event.Delete:
				c.Value = event.Value{}
			case event.Increase:
				n, ok := a.Value.Number()
				if !ok {
					return nil, malformed("user_properties.$add."+a.Key, "only numbers are added")
				}
				if !a.Value.IsNumber() {
					c.Value = event.OfFloat(n)
				}
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// amplitudeOps are the operations on attributes. Ours know no order: what is
// put before a list joins it like what is put behind it.
var amplitudeOps = map[string]event.Op{
	"$set": event.Set, "$setOnce": event.SetOnce, "$add": event.Increase, "$append": event.Add, "$prepend": event.Add,
	"$preInsert": event.Add, "$postInsert": event.Add, "$remove": event.Remove, "$unset": event.Delete,
}

// amplitudeProps are the properties that are kept: the event's own, those of
// amplitudeContext where the event has none of that name, and its groups, each
// by the name of its type.
func amplitudeProps(o, given []event.Prop, charged bool) []event.Prop {
	out := make([]event.Prop, 0, len(given)+4)
	for _, p := range given {
		if !p.Value.IsNull() && !strings.HasPrefix(p.Key, "[Amplitude] ") && !(charged && strings.HasPrefix(p.Key, "$")) {
			out = append(out, p)
		}
	}
	fill := func(key string, v event.Value) {
		if key != "" && !v.IsNull() && !(v.Kind() == event.Text && v.Text() == "") && event.Lookup(out, key).IsNull() {
			out = append(out, event.Prop{Key: key, Value: v})
		}
	}
	for _, p := range given {
		if strings.HasPrefix(p.Key, "[Amplitude] ") {
			fill(amplitudeContext[p.Key], p.Value)
		} else if charged {
			fill(amplitudeRevenue[p.Key], p.Value)
		}
	}
	if price, ok := event.Lookup(out, "price").Number(); charged && ok {
		quantity, ok := event.Lookup(out, "quantity").Number()
		if !ok {
			quantity = 1
		}
		if amount := price * quantity; amount-amount == 0 {
			fill("amount", event.OfFloat(amount))
		}
	}
	for _, p := range o {
		fill(amplitudeContext[p.Key], p.Value)
	}
	for _, p := range event.Lookup(o, "groups").Object() {
		fill(p.Key, p.Value)
	}
	return out
}

// time is when something happened: milliseconds since 1970. None is now.
func (t *amplitudeTranslator) time(v event.Value) (int64, error) {
	if v.IsNull() {
		return t.now.UnixMicro(), nil
	}
	n, ok := v.Number()
	if !ok || n < 0 || n > 1e14 {
		return 0, malformed("time", "it must be milliseconds since 1970")
	}
	return int64(n*1000) + t.by.Microseconds(), nil
}
