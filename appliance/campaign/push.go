package campaign

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/liquid"
)

// Bounds of a push; FCM and Apple take 4,096 bytes in all.
const (
	MaxPushText = 4096 // bytes of one template
	MaxButtons  = 3
	MaxData     = 20
	MaxDataKey  = 64  // bytes
	maxPushName = 128 // bytes of what is no template
)

// Push is what a push has beyond title, text and link. What people read, and
// where it leads, is Liquid, and so is Data; the rest stands as it is.
type Push struct {
	Subtitle string `json:"subtitle,omitempty"` // Liquid
	Image    string `json:"image,omitempty"`    // Liquid: an https URL
	Badge    string `json:"badge,omitempty"`    // Liquid: a number on the app's icon; nothing leaves it alone
	// Links are Liquid, by platform; one that is not there has Content.Link.
	Links    map[string]string `json:"links,omitempty"`
	Buttons  []Button          `json:"buttons,omitempty"`
	Data     map[string]string `json:"data,omitempty"` // Liquid: keys and values for the app
	Sound    string            `json:"sound,omitempty"`
	Channel  string            `json:"channel,omitempty"`  // Android's notification channel
	Category string            `json:"category,omitempty"` // a set of actions that the app registered (iOS)
	Thread   string            `json:"thread,omitempty"`   // groups notifications
	Collapse string            `json:"collapse,omitempty"` // a message replaces an earlier one with the same key
	Urgent   bool              `json:"urgent,omitempty"`   // wakes the device
	Silent   bool              `json:"silent,omitempty"`   // shows nothing; the app gets Data
}

// Empty says whether p says nothing.
func (p *Push) Empty() bool {
	return p.Subtitle+p.Image+p.Badge+p.Sound+p.Channel+p.Category+p.Thread+p.Collapse == "" &&
		len(p.Links)+len(p.Buttons)+len(p.Data) == 0 && !p.Urgent && !p.Silent
}

// Button is an action offered with a push: title and link are Liquid.
type Button struct {
	ID    string `json:"id"` // what the app gets
	Title string `json:"title"`
	Link  string `json:"link,omitempty"`
}

// template is one Liquid text of a content, with its path.
type template struct{ path, src string }

// templates gives the Liquid texts of p, in an order that does not change.
func (p *Push) templates() []template {
	if p == nil {
		return nil
	}
	out := []template{{"content.push.subtitle", p.Subtitle}, {"content.push.image", p.Image}, {"content.push.badge", p.Badge}}
	for _, k := range slices.Sorted(maps.Keys(p.Links)) {
		out = append(out, template{"content.push.links." + k, p.Links[k]})
	}
	for i, b := range p.Buttons {
		at := fmt.Sprintf("content.push.buttons[%d].", i)
		out = append(out, template{at + "title", b.Title}, template{at + "link", b.Link})
	}
	for _, k := range slices.Sorted(maps.Keys(p.Data)) {
		out = append(out, template{"content.push.data." + k, p.Data[k]})
	}
	return out
}

var (
	buttonFields = []string{"id", "title", "link"}
	buttonID     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	dataKey      = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	// What the providers and the SDKs read themselves.
	reservedKey = regexp.MustCompile(`^(aps|from|nt|nm|pr|notification|message_type|collapse_key|google.*|gcm.*|wzrk_.*|ct_media.*|cloister_.*)$`)
)

// ReservedData says whether a key of data is the provider's or an SDK's own.
func ReservedData(key string) bool { return reservedKey.MatchString(key) }

// checkButtonFields says which fields of buttons there are not: those of lists
// are out of reach of the table of fields.
func checkButtonFields(push []event.Prop, m *Mistakes) {
	for i, b := range event.Lookup(push, "buttons").List() {
		for _, p := range b.Object() {
			if !slices.Contains(buttonFields, p.Key) {
				m.add(fmt.Sprintf("content.push.buttons[%d].%s", i, p.Key), "there is no such field; there are %s", strings.Join(buttonFields, ", "))
			}
		}
	}
}

func checkPush(channel string, ct *Content, m *Mistakes) {
	p := ct.Push
	switch {
	case p == nil:
		return
	case channel != "push":
		m.add("content.push", "has no meaning with channel %q", channel)
		return
	}
	for _, x := range p.templates() {
		if len(x.src) > MaxPushText {
			m.add(x.path, "%d bytes, %d are allowed", len(x.src), MaxPushText)
			continue
		}
		if !strings.HasPrefix(x.path, "content.push.data.") && strings.ContainsFunc(x.src, unseen) {
			m.add(x.path, "line breaks, other control characters and marks that turn the direction of text are not allowed here")
		}
		if _, err := liquid.Parse(x.src); err != nil {
			m.add(x.path, "%v", err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(p.Links)) {
		if oneOf(m, "content.push.links."+k, k, event.Platforms...); p.Links[k] == "" {
			m.add("content.push.links."+k, "a link is needed, or nothing")
		}
	}
	for _, x := range []template{{"sound", p.Sound}, {"channel", p.Channel}, {"category", p.Category}, {"thread", p.Thread}, {"collapse", p.Collapse}} {
		if len(x.src) > maxPushName || strings.ContainsFunc(x.src, unseen) {
			m.add("content.push."+x.path, "at most %d bytes, and no control characters", maxPushName)
		}
	}
	if len(p.Buttons) > MaxButtons {
		m.add("content.push.buttons", "%d buttons, %d are allowed", len(p.Buttons), MaxButtons)
	}
	for i, b := range p.Buttons {
		at := fmt.Sprintf("content.push.buttons[%d]", i)
		if !buttonID.MatchString(b.ID) || slices.ContainsFunc(p.Buttons[:i], func(o Button) bool { return o.ID == b.ID }) {
			m.add(at+".id", "an id, of its own, has 1 to 64 letters, digits and . _ -")
		}
		if b.Title == "" {
			m.add(at+".title", "a button needs a title")
		}
	}
	if len(p.Data) > MaxData {
		m.add("content.push.data", "%d keys, %d are allowed", len(p.Data), MaxData)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Data)) {
		switch at := "content.push.data." + k; {
		case len(k) > MaxDataKey || !dataKey.MatchString(k):
			m.add("content.push.data", "a key has 1 to %d letters, digits and . _ -", MaxDataKey)
		case ReservedData(k):
			m.add(at, "the provider or an SDK reads this key itself")
		}
	}
	if !p.Silent {
		return
	}
	if len(p.Data) == 0 {
		m.add("content.push.data", "a silent push says something to the app: data is needed")
	}
	for _, x := range []template{{"content.title", ct.Title}, {"content.text", ct.Text}, {"content.link", ct.Link}, {"content.push.image", p.Image}, {"content.push.subtitle", p.Subtitle}, {"content.push.badge", p.Badge}} {
		if x.src != "" {
			m.add(x.path, "nobody sees it: the push is silent")
		}
	}
	if len(p.Buttons) > 0 {
		m.add("content.push.buttons", "nobody sees them: the push is silent")
	}
}

// ContentProps is a content as it goes with a message that a call asks for, by
// the names of Content's fields; what only a push has is one text of JSON.
func ContentProps(ct Content) []event.Prop {
	var out []event.Prop
	put := func(key, value string) {
		if value != "" {
			out = append(out, event.Prop{Key: key, Value: event.OfText(value), Personal: true})
		}
	}
	put("subject", ct.Subject)
	put("html", ct.HTML)
	put("text", ct.Text)
	put("title", ct.Title)
	put("link", ct.Link)
	put("sender", ct.Sender)
	put("template", ct.Template)
	if ct.Push != nil {
		b, _ := json.Marshal(ct.Push) // texts can always be encoded
		put("push", string(b))
	}
	return out
}
