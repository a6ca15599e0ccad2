package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/liquid"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// render fills e.msg, and answers a verdict with a reason if it cannot be.
func (d *Delivery) render(e *entry) verdict {
	r := e.rec
	props, err := d.causing(r)
	if err != nil {
		// The person's key went meanwhile.
		return hold(ReasonErased)
	}
	var set *templateSet
	if e.content.Direct {
		var c Content
		if c, err = directContent(props); err == nil {
			set, err = parseContent(c)
		}
		props = nil
	} else {
		set, err = d.templates.get(r.Campaign, r.Revision, e.content)
	}
	if err != nil {
		return verdict{reason: ReasonTemplate, detail: err.Error()}
	}
	unsubscribe := d.o.Links.Unsubscribe(r.Message)
	vars := map[string]any{
		"Profile":         object(e.to.Profile),
		"Event":           object(props),
		"unsubscribe_url": unsubscribe,
	}
	fill := filler{vars: vars, now: d.o.Now, loc: d.o.Location}
	m := connector.Message{
		ID: r.Message, Channel: r.Channel, Expires: r.Expires, Marketing: r.Class == Marketing,
	}
	e.addressTo(&m)
	if m.Marketing {
		m.Unsubscribe = unsubscribe
	}
	e.mayTrack, e.platform = d.mayTrack(e), e.address.Platform
	m.Text = fill.text(set.text, liquid.None)
	switch r.Channel {
	case "email":
		m.Subject = fill.header("subject", set.subject, liquid.Line)
		m.HTML = fill.text(set.html, liquid.HTML)
		if m.Marketing && m.HTML != "" && !set.html.leaves {
			// There is a way out to be seen, also where the author forgot it;
			// what is plain text only has the header.
			m.HTML = atEnd(m.HTML, `<p><small><a href="`+html.EscapeString(unsubscribe)+`">Unsubscribe</a></small></p>`)
		}
		if m.Text == "" {
			m.Text = textOf(m.HTML)
		}
		if e.tracked = e.mayTrack; e.tracked && m.HTML != "" {
			m.HTML, e.targets = track(m.HTML, func(n int) string { return d.o.Links.Click(r.Message, n) }, d.o.Links.Open(r.Message), unsubscribe)
		}
	case "sms":
		m.Sender, m.Template = set.sender, set.template
	case "push":
		m.Subject = fill.header("title", set.title, liquid.Line)
		e.tracked = e.mayTrack
		link := set.link
		if own, ok := set.push.links[m.Platform]; ok {
			link = own
		}
		m.Link = d.leads(e, &fill, "link", link)
		d.push(e, &fill, &set.push, &m)
	}
	var abort *liquid.Abort
	switch {
	case errors.As(fill.err, &abort):
		return verdict{reason: ReasonAborted, detail: abort.Reason}
	case fill.err != nil:
		return verdict{reason: ReasonTemplate, detail: fill.err.Error()}
	case m.Text == "" && m.HTML == "" && m.Subject == "" && !set.silent():
		return verdict{reason: ReasonTemplate, detail: "the message is empty"}
	}
	e.msg = m
	return verdict{}
}

// causing opens the properties of the event that caused a message.
func (d *Delivery) causing(r *record) ([]event.Prop, error) {
	if len(r.Event) == 0 {
		return nil, nil
	}
	plain, err := d.o.Keys.OpenPerson(r.Asked, aad(sealedEvent, r.id()), r.Event)
	if err != nil {
		return nil, err
	}
	props, _, err := event.ReadProps(plain)
	return props, err
}

// mayTrack says whether opens and clicks of this message may be tracked. It
// takes a consent that was granted: what goes out on the basis of a contract is
// not tracked unless the person agreed to tracking itself.
func (d *Delivery) mayTrack(e *entry) bool {
	purpose := d.o.Tracking
	if purpose == "" {
		purpose = e.rec.Purpose
	}
	ok, _ := e.to.Allowed(purpose, e.rec.Channel)
	return ok
}

// filler renders the parts of one message; it keeps the first error.
type filler struct {
	vars map[string]any
	now  func() time.Time
	loc  *time.Location
	err  error
}

func (f *filler) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *filler) text(p part, escape liquid.Escape) string {
	if f.err != nil || p.t == nil {
		return ""
	}
	out, err := p.t.Render(f.vars, liquid.Options{Escape: escape, Now: f.now, Location: f.loc})
	if err != nil {
		f.fail(fmt.Errorf("%s: %w", p.name, err))
	}
	return out
}

// header renders what becomes a header or an address: one line.
func (f *filler) header(name string, p part, escape liquid.Escape) string {
	s := strings.TrimSpace(f.text(p, escape))
	if hasControl(s) {
		f.fail(fmt.Errorf("%s: a line break or control character came out", name))
		return ""
	}
	return s
}

// hasControl says whether s has line breaks or other control characters, with
// which a header could be ended and another begun.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	})
}

// opens says whether a tap may open link: a web page, or an app's own scheme.
func opens(link string) bool {
	u, err := url.Parse(link)
	if err != nil || u.Scheme == "" {
		return false
	}
	switch strings.ToLower(u.Scheme) {
	case "javascript", "data", "vbscript", "file", "blob":
		return false
	}
	return true
}

// web says whether link leads to a web page.
func web(link string) bool {
	u, err := url.Parse(link)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// object shows properties to templates.
type object []event.Prop

// Get is the property of that name.
func (o object) Get(key string) (any, bool) {
	for i := range o {
		if o[i].Key == key {
			return plain(o[i].Value), true
		}
	}
	return nil, false
}

// plain is a value as templates know it.
func plain(v event.Value) any {
	switch v.Kind() {
	case event.Bool:
		return v.Bool()
	case event.Int:
		return v.Int()
	case event.Float:
		f, _ := v.Number()
		return f
	case event.Text:
		return v.Text()
	case event.Time:
		return micros(v.Micros())
	case event.List:
		list := make([]any, len(v.List()))
		for i, e := range v.List() {
			list[i] = plain(e)
		}
		return list
	case event.Object:
		return object(v.Object())
	}
	return nil
}

// part is one parsed template of a content; t is nil where there is none.
type part struct {
	name   string
	t      *liquid.Template
	leaves bool // it shows the way to unsubscribe
}

type templateSet struct {
	subject, html, text, title, link part
	push                             pushSet
	sender, template                 string // of an SMS, as they are
}

// maxTemplates bounds the contents kept parsed.
const maxTemplates = 64

type templateKey struct {
	campaign string
	revision int
}

// templates keeps contents parsed. Contents of one revision never change.
type templates struct {
	mu sync.Mutex
	m  map[templateKey]*templateSet
}

func (t *templates) init() { t.m = map[templateKey]*templateSet{} }

func (t *templates) get(campaign string, revision int, c Content) (*templateSet, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := templateKey{campaign, revision}
	if set, ok := t.m[key]; ok {
		return set, nil
	}
	set, err := parseContent(c)
	if err != nil {
		return nil, err
	}
	if len(t.m) >= maxTemplates {
		for k := range t.m { // any one: it is parsed again when it is needed
			delete(t.m, k)
			break
		}
	}
	t.m[key] = set
	return set, nil
}

// directContent is what an intention of its own content says.
func directContent(props []event.Prop) (Content, error) {
	text := func(key string) string { return event.Lookup(props, key).Text() }
	c := Content{Subject: text("subject"), HTML: text("html"), Text: text("text"), Title: text("title"), Link: text("link"), Sender: text("sender"), Template: text("template")}
	if s := text("push"); s != "" {
		if err := json.Unmarshal([]byte(s), &c.Push); err != nil {
			return c, fmt.Errorf("push: %w", err)
		}
	}
	return c, nil
}

func parseContent(c Content) (*templateSet, error) {
	set := &templateSet{sender: c.Sender, template: c.Template}
	for _, x := range []struct {
		name string
		src  string
		to   *part
	}{
		{"subject", c.Subject, &set.subject}, {"html", c.HTML, &set.html}, {"text", c.Text, &set.text},
		{"title", c.Title, &set.title}, {"link", c.Link, &set.link},
	} {
		x.to.name = x.name
		if x.src == "" {
			continue
		}
		var err error
		if x.to.t, err = liquid.Parse(x.src); err != nil {
			return nil, fmt.Errorf("%s: %w", x.name, err)
		}
		x.to.leaves = slices.Contains(x.to.t.Fields(), "unsubscribe_url")
	}
	var err error
	if set.push, err = parsePush(c.Push); err != nil {
		return nil, err
	}
	return set, nil
}
