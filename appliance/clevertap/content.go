package clevertap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

// mode is a target_mode: the channel it goes by and, of push, its platforms.
type mode struct {
	channel   string
	platforms []string
}

var modes = map[string]mode{
	"push": {"push", []string{"fcm", "apns"}}, "webpush": {"push", []string{"webpush"}}, "browser": {"push", []string{"webpush"}},
	"email": {"email", nil}, "sms": {"sms", nil}, "webhook": {"webhook", nil}, "webhooks": {"webhook", nil},
}

func modeOf(path string, v event.Value) (mode, error) {
	name := strings.ToLower(v.Text())
	if v.IsNull() {
		name = "push" // what the oldest clients mean
	}
	m, ok := modes[name]
	if !ok {
		return m, wrong("%s: there is no channel %q here; there are push, webpush, email, sms and webhook", path, clip(name, 64))
	}
	return m, nil
}

// deviceNames are what devices and platform_specific call a platform.
var deviceNames = map[string]string{
	"android": "fcm", "ios": "apns", "web": "webpush", "chrome": "webpush", "firefox": "webpush", "safari": "webpush", "edge": "webpush",
}

// platformNames are the vendor's for estimates.
var platformNames = map[string]string{"fcm": "android", "apns": "ios", "webpush": "webpush"}

// devices narrows a push down to what devices says.
func (m *mode) devices(path string, v event.Value) error {
	if v.IsNull() || m.channel != "push" {
		return nil
	}
	list := v.List()
	if v.Kind() != event.List || len(list) == 0 || len(list) > maxConditions {
		return wrong("%s: a list is needed, as [\"android\", \"ios\"]", path)
	}
	var want []string
	for _, e := range list {
		p, ok := deviceNames[strings.ToLower(e.Text())]
		if !ok || !slices.Contains(m.platforms, p) {
			return wrong("%s: there is no %q of this channel", path, clip(e.String(), 64))
		}
		if !slices.Contains(want, p) {
			want = append(want, p)
		}
	}
	slices.Sort(want)
	m.platforms = want
	return nil
}

// reader reads a content; it gathers what is taken and changes nothing.
type reader struct {
	ignored []string
}

func (r *reader) ignore(path string) { r.ignored = append(r.ignored, path) }

// rest passes over the fields of o that were not read. They are about how a
// message looks, and change nothing of who gets it and what it says.
func (r *reader) rest(path string, o []event.Prop, read ...string) {
	for _, p := range o {
		if !slices.Contains(read, p.Key) && !p.Value.IsNull() {
			r.ignore(join(path, clip(p.Key, 64)))
		}
	}
}

// content reads what a message says, in the channel's own fields.
func (r *reader) content(m mode, v event.Value) (campaign.Content, error) {
	var out campaign.Content
	o := v.Object()
	if v.Kind() != event.Object {
		return out, wrong("content: an object is needed")
	}
	text := func(key string) (string, error) {
		t := event.Lookup(o, key)
		if !t.IsNull() && t.Kind() != event.Text {
			return "", wrong("content.%s: a text is needed", key)
		}
		return t.Text(), nil
	}
	var body, subject, title string
	fields := map[string]*string{"body": &body, "subject": &subject, "title": &title}
	if m.channel == "sms" {
		fields["sender"], fields["template"] = &out.Sender, &out.Template
	}
	for key, to := range fields {
		var err error
		if *to, err = text(key); err != nil {
			return out, err
		}
	}
	switch m.channel {
	case "email":
		out.Subject, out.HTML = subject, body
		r.rest("content", o, "subject", "body")
	case "push":
		out.Title, out.Text = title, body
		if err := r.platforms(m, event.Lookup(o, "platform_specific"), &out); err != nil {
			return out, err
		}
		r.rest("content", o, "title", "body", "platform_specific")
	case "sms":
		out.Text = body
		r.rest("content", o, "body", "sender", "template")
	default:
		out.Text = body
		r.rest("content", o, "body")
	}
	return out, campaign.CheckContent(m.channel, out)
}

// purposeOf says what a message is for: what the call names (purpose, or a
// label "purpose:NAME", or a tag_group of that name), else the key's, else the
// only one that the channel has.
func (c *call) purposeOf(channel string, o []event.Prop) (purpose, class string, err error) {
	var names, fit []string
	basis := map[string]string{}
	for _, u := range c.pub.Purposes() {
		names = append(names, u.Name)
		basis[u.Name] = u.Basis
		if len(u.Channels) == 0 || slices.Contains(u.Channels, channel) {
			fit = append(fit, u.Name)
		}
	}
	choose := func(path, name string) (string, string, error) {
		if !slices.Contains(names, name) {
			return "", "", wrong("%s: there is no purpose %q; there are %s", path, clip(name, 64), list(names))
		}
		if !slices.Contains(fit, name) {
			return "", "", wrong("%s: the purpose %q does not use %s", path, name, channel)
		}
		if basis[name] == "contract" {
			return name, campaign.Transactional, nil
		}
		return name, campaign.Marketing, nil
	}
	if v := event.Lookup(o, "purpose"); !v.IsNull() {
		return choose("purpose", v.Text())
	}
	for i, l := range event.Lookup(o, "labels").List() {
		if name, ok := strings.CutPrefix(l.Text(), "purpose:"); ok {
			return choose(fmt.Sprintf("labels[%d]", i), name)
		}
	}
	if tag := event.Lookup(o, "tag_group").Text(); slices.Contains(names, tag) {
		return choose("tag_group", tag)
	}
	if c.key.Purpose != "" {
		return choose("the key's purpose", c.key.Purpose)
	}
	if len(fit) == 1 {
		return choose("", fit[0])
	}
	return "", "", wrong("purpose: consent is given by purpose, so a message needs one: send purpose or a label \"purpose:NAME\", or give the key a purpose in the configuration; there are %s", list(names))
}
