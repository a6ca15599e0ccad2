package ingest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// members reads the line's object and hands each value's place to fn, which
// must read it.
func (l *lineDecoder) members(fn func(key string) error) error {
	if l.p.peek() != '{' {
		return errors.New("a line must be a JSON object")
	}
	if err := l.p.each(fn); err != nil {
		return err
	}
	return l.p.end()
}

func (l *lineDecoder) value() (event.Value, error) { return l.p.value(1) }

// text reads a text, or null.
func (l *lineDecoder) text(key string) (string, error) {
	v, err := l.value()
	if err == nil && v.Kind() != event.Text && !v.IsNull() {
		err = fmt.Errorf("%s must be a text", key)
	}
	return v.Text(), err
}

// idOf reads an id, which may be a text or a whole number.
func (l *lineDecoder) idOf(key string) (string, error) {
	v, err := l.value()
	if err != nil {
		return "", err
	}
	id := idText(v)
	if id == "" && !v.IsNull() && v.Kind() != event.Text {
		return "", fmt.Errorf("%s must be a text", key)
	}
	return id, nil
}

// who reads the members that events and profiles share.
func (l *lineDecoder) who(f *event.Fact, key string) (handled bool, err error) {
	switch key {
	case "user":
		f.User, err = l.idOf(key)
	case "anonymous":
		f.Device, err = l.idOf(key)
	case "id":
		f.ID, err = l.idOf(key)
	case "ts":
		var s string
		if s, err = l.text(key); err == nil && s != "" {
			l.timed = true
			f.Time, err = instant(s)
		}
	case "times":
		l.times, err = l.value()
		if err == nil && l.times.Kind() != event.List && !l.times.IsNull() {
			err = errors.New("times must be a list of keys")
		}
	case "seq":
		err = l.p.skip(1)
	default:
		return false, nil
	}
	return true, err
}

func instant(s string) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, errors.New("ts must be RFC 3339, as 2026-01-02T15:04:05Z")
	}
	return t.UnixMicro(), nil
}

// event decodes a line of events.
func (l *lineDecoder) event(f *event.Fact, _ string) error {
	f.Kind = event.Track
	l.timed, l.times = false, event.Value{}
	err := l.members(func(key string) error {
		if handled, err := l.who(f, key); handled {
			return err
		}
		var err error
		switch key {
		case "event":
			f.Name, err = l.text(key)
		case "props":
			v, verr := l.value()
			if verr == nil && v.Kind() != event.Object && !v.IsNull() {
				verr = errors.New("props must be an object")
			}
			f.Props, err = withoutNulls(v.Object()), verr
		default:
			err = fmt.Errorf("the key %q is unknown; user, anonymous, event, ts, props, times, id and seq are allowed", clip(key))
		}
		return err
	})
	if err == nil && !l.timed {
		err = errors.New("ts is missing")
	}
	if err != nil {
		return err
	}
	return l.instants(func(key string) *event.Value {
		for i := range f.Props {
			if f.Props[i].Key == key {
				return &f.Props[i].Value
			}
		}
		return nil
	})
}

// instants makes instants of the values that times names.
func (l *lineDecoder) instants(find func(key string) *event.Value) error {
	for _, k := range l.times.List() {
		v := find(k.Text())
		if v == nil {
			return errors.New("times names what is not there")
		}
		at, err := instant(v.Text())
		if err != nil {
			return fmt.Errorf("%s, which times names, must be RFC 3339", clip(k.Text()))
		}
		*v = event.OfMicros(at)
	}
	return nil
}

// withoutNulls leaves out what has no value, in place.
func withoutNulls(ps []event.Prop) []event.Prop {
	return slices.DeleteFunc(ps, func(p event.Prop) bool { return p.Value.IsNull() })
}

// profileKeys are the members of a line that is not flat.
const profileKeys = "user, anonymous, profile, consent, channels, identities, devices, created, times, ts, id and seq"

// profile decodes a line of profiles.
func (l *lineDecoder) profile(f *event.Fact, _ string) error {
	f.Kind = event.Identify
	f.Time = l.now.UnixMicro()
	l.timed, l.times = false, event.Value{}
	var flat []event.Prop
	var profile, consent, channels, identities, devices, created event.Value
	structured := false // else all but who and when are attributes
	parts := map[string]*event.Value{
		"profile": &profile, "consent": &consent, "channels": &channels, "identities": &identities, "devices": &devices, "created": &created,
	}
	err := l.members(func(key string) error {
		if handled, err := l.who(f, key); handled {
			return err
		}
		v, err := l.value()
		if part := parts[key]; part != nil {
			*part = v
			structured = structured || key == "profile" || key == "consent" || key == "channels"
		} else {
			flat = append(flat, event.Prop{Key: key, Value: v})
		}
		return err
	})
	if err != nil {
		return err
	}
	if !structured {
		for _, key := range []string{"identities", "devices", "created"} {
			flat = append(flat, event.Prop{Key: key, Value: *parts[key]})
			*parts[key] = event.Value{}
		}
	}
	if structured && len(flat) > 0 {
		return fmt.Errorf("the key %q is unknown; %s are allowed", clip(flat[0].Key), profileKeys)
	}
	if !profile.IsNull() && profile.Kind() != event.Object {
		return errors.New("profile must be an object")
	}
	for _, p := range append(flat, profile.Object()...) {
		if !p.Value.IsNull() {
			f.Changes = append(f.Changes, event.Change{Key: p.Key, Value: p.Value})
		}
	}
	err = l.instants(func(key string) *event.Value {
		for i := range f.Changes {
			if f.Changes[i].Key == key {
				return &f.Changes[i].Value
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !created.IsNull() && !l.timed {
		if f.Time, err = instant(created.Text()); err != nil {
			return errors.New("created must be RFC 3339")
		}
	}
	if err := l.known(f, identities, devices); err != nil {
		return err
	}
	if err := l.consents(f, consent); err != nil {
		return err
	}
	f.Addresses = addresses(f.Changes)
	return l.channels(f, channels)
}

// known reads what else somebody is known by, a fact each.
func (l *lineDecoder) known(f *event.Fact, identities, devices event.Value) error {
	if err := idList(identities, "identities"); err != nil {
		return err
	}
	if err := idList(devices, "devices"); err != nil {
		return err
	}
	for i, v := range identities.List() {
		switch {
		case i == 0 && v.Text() != f.User:
			return errors.New("the first of identities must be user")
		case i > 0:
			l.more = append(l.more, event.Fact{Kind: event.Alias, Flags: f.Flags, Time: f.Time, Previous: f.User, User: v.Text()})
		}
	}
	for _, v := range devices.List() {
		switch {
		case v.Text() == f.Device:
		case f.User == "":
			return errors.New("devices belong to a user, and there is none")
		case f.Device == "":
			f.Device = v.Text()
		default:
			l.more = append(l.more, event.Fact{Kind: event.Identify, Flags: f.Flags, Time: f.Time, User: f.User, Device: v.Text()})
		}
	}
	return nil
}

func idList(v event.Value, key string) error {
	if v.IsNull() {
		return nil
	}
	if v.Kind() != event.List || slices.ContainsFunc(v.List(), func(e event.Value) bool { return e.Kind() != event.Text || e.Text() == "" }) {
		return fmt.Errorf("%s must be a list of texts", key)
	}
	return nil
}

// consents reads decisions: those that say since when are facts of their own,
// of that time.
func (l *lineDecoder) consents(f *event.Fact, v event.Value) error {
	if v.IsNull() {
		return nil
	}
	if v.Kind() != event.List {
		return errors.New("consent must be a list")
	}
	for _, e := range v.List() {
		c, since, err := l.consent(e)
		if err != nil {
			return err
		}
		if since == 0 {
			f.Consents = append(f.Consents, c)
			continue
		}
		l.more = append(l.more, event.Fact{Kind: event.Identify, Flags: f.Flags, Time: since, User: f.User, Device: f.Device, Consents: []event.Consent{c}})
	}
	return nil
}

func (l *lineDecoder) consent(v event.Value) (c event.Consent, since int64, err error) {
	c = event.Consent{Source: "import"}
	granted := event.Value{}
	for _, p := range v.Object() {
		switch p.Key {
		case "purpose":
			c.Purpose = p.Value.Text()
		case "channel":
			c.Channel = p.Value.Text()
		case "granted":
			granted = p.Value
		case "source":
			c.Source = p.Value.Text()
		case "version":
			c.Version = p.Value.Text()
		case "since":
			if since, err = instant(p.Value.Text()); err != nil {
				return c, 0, errors.New("consent.since must be RFC 3339")
			}
		default:
			return c, 0, fmt.Errorf("the key consent.%s is unknown; purpose, channel, granted, source, version and since are allowed", clip(p.Key))
		}
	}
	if granted.Kind() != event.Bool {
		return c, 0, errors.New("consent.granted must be true or false")
	}
	c.Granted = granted.Bool()
	if _, ok := l.rules.Purposes[c.Purpose]; !ok && c.Purpose != event.PurposeCollection {
		return c, 0, fmt.Errorf("the purpose %q is not one of the publisher's", clip(c.Purpose))
	}
	if c.Channel != "" && !slices.Contains(event.Channels, c.Channel) {
		return c, 0, fmt.Errorf("the channel %q is unknown", clip(c.Channel))
	}
	return c, since, nil
}

// channels reads addresses by channel: one, or a list.
func (l *lineDecoder) channels(f *event.Fact, v event.Value) error {
	if v.IsNull() {
		return nil
	}
	if v.Kind() != event.Object {
		return errors.New("channels must be an object")
	}
	for _, p := range v.Object() {
		list := []event.Value{p.Value}
		if p.Value.Kind() == event.List {
			list = p.Value.List()
		}
		for _, e := range list {
			a, err := channelAddress(p.Key, e)
			if err != nil {
				return err
			}
			if !slices.Contains(f.Addresses, a) {
				f.Addresses = append(f.Addresses, a)
			}
		}
	}
	return nil
}

func channelAddress(channel string, v event.Value) (event.Address, error) {
	a := event.Address{Channel: channel}
	ok := false
	switch channel {
	case "email":
		a.Value, ok = emailAddress(v.Text())
	case "sms":
		a.Value, ok = phoneNumber(v.String())
	case "push":
		o := v.Object()
		a.Platform, a.Value = event.Lookup(o, "platform").Text(), event.Lookup(o, "token").Text()
		if keys := event.Lookup(o, "keys"); keys.Kind() == event.Object {
			a.Extra = string(keys.AppendJSON(nil))
		}
		ok = a.Value != "" && slices.Contains([]string{"fcm", "apns", "webpush"}, a.Platform) && (a.Platform == "webpush") == (a.Extra != "")
		if !ok {
			return a, errors.New("channels.push must be an object with platform (fcm, apns, webpush), token, and for webpush its keys")
		}
	default:
		return a, fmt.Errorf("the channel %q is unknown; email, sms and push have addresses", clip(channel))
	}
	if !ok {
		return a, fmt.Errorf("what stands in channels.%s is no address of that channel", channel)
	}
	return a, nil
}
