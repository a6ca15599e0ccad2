package campaign

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/liquid"
)

// Mistake is one thing wrong with a campaign.
type Mistake struct {
	Path    string `json:"path"` // "trigger.within"; "" = the whole
	Message string `json:"message"`
}

// Mistakes are all that is wrong with a campaign.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	var b strings.Builder
	for i, x := range m {
		if i > 0 {
			b.WriteString("; ")
		}
		if x.Path != "" {
			b.WriteString(x.Path + ": ")
		}
		b.WriteString(x.Message)
	}
	return b.String()
}

func (m *Mistakes) add(path, format string, args ...any) {
	*m = append(*m, Mistake{path, fmt.Sprintf(format, args...)})
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// fields are the names that may stand in a campaign, by path.
var fields = map[string][]string{
	"":             {"id", "name", "state", "channel", "purpose", "class", "platforms", "labels", "content", "variant", "trigger", "people", "missed", "limit", "expires_after", "control", "goal", "revision"},
	"content":      {"subject", "html", "text", "title", "link", "sender", "template", "push"},
	"content.push": {"subtitle", "image", "badge", "links", "buttons", "data", "sound", "channel", "category", "thread", "collapse", "urgent", "silent"},
	"trigger":      {"type", "audience", "at", "event", "delay", "without", "within", "hold"},
	"limit":        {"per_person", "every"},
	"goal":         {"event", "within", "revenue"},
}

// Validate checks a campaign's JSON and gives it with the defaults filled in.
// The error is a Mistakes, with everything that is wrong.
func (c *Campaigns) Validate(body []byte) (*Campaign, error) {
	return c.read(body, c.checkPeople)
}

// read is Validate, with people expressions checked by check. The applier checks
// none: what they name (a segment, a list) may stand just before them in the
// journal and not be visible yet.
func (c *Campaigns) read(body []byte, check func(*Campaign, *Mistakes)) (*Campaign, error) {
	var m Mistakes
	if len(body) > MaxBody {
		m.add("", "%d bytes, %d are allowed", len(body), MaxBody)
		return nil, m
	}
	// The strict parser first: names standing twice, depth, bad UTF-8.
	v, err := event.ParseJSON(body)
	if err != nil {
		m.add("", "%v", err)
		return nil, m
	}
	if v.Kind() != event.Object {
		m.add("", "a campaign is an object")
		return nil, m
	}
	for path, known := range fields {
		at, dot := v.Object(), ""
		if path != "" {
			dot = path + "."
			for step := range strings.SplitSeq(path, ".") {
				at = event.Lookup(at, step).Object()
			}
		}
		for _, p := range at {
			if !slices.Contains(known, p.Key) {
				m.add(dot+p.Key, "there is no such field; there are %s", strings.Join(known, ", "))
			}
		}
	}
	checkButtonFields(event.Lookup(event.Lookup(v.Object(), "content").Object(), "push").Object(), &m)
	var o Campaign
	if err := json.Unmarshal(body, &o); err != nil {
		path := ""
		if te, ok := err.(*json.UnmarshalTypeError); ok {
			path = te.Field
			m.add(path, "a %s cannot stand here", te.Value)
		} else {
			m.add(path, "%v", err)
		}
		return nil, m.sorted()
	}
	o.Revision = 0
	o.defaults()
	c.checkObject(&o, &m)
	c.checkTrigger(&o, &m)
	if o.Trigger.Type != TriggerAPI {
		checkContent(o.Channel, &o.Content, &m)
	} else if o.Content != (Content{}) {
		m.add("content", "has no meaning with type %q: each call says what is sent", TriggerAPI)
	}
	if check != nil {
		check(&o, &m)
	}
	if len(m) > 0 {
		return nil, m.sorted()
	}
	return &o, nil
}

func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int { return strings.Compare(a.Path, b.Path) })
	return m
}

func (o *Campaign) defaults() {
	if o.State == "" {
		o.State = Draft
	}
	if o.Class == "" {
		o.Class = Marketing
	}
	if o.Missed == "" {
		o.Missed = MissedSend
	}
	if o.Expires == 0 {
		o.Expires = Duration(MaxAge)
	}
	if o.Goal != nil && o.Goal.Within == 0 {
		o.Goal.Within = Duration(GoalWithin)
	}
	for _, b := range []*json.RawMessage{&o.People, &o.Trigger.Audience, &o.Trigger.Event, &o.Trigger.Without} {
		if !present(*b) {
			*b = nil // null means left out
		}
	}
}

func (c *Campaigns) checkObject(o *Campaign, m *Mistakes) {
	if !idPattern.MatchString(o.ID) {
		m.add("id", "an id is 1 to 64 lower-case letters, digits, - and _")
	}
	if o.Name == "" || len(o.Name) > 200 {
		m.add("name", "a name has 1 to 200 bytes")
	}
	oneOf(m, "state", o.State, Draft, Running, Paused, Ended)
	oneOf(m, "channel", o.Channel, event.Channels...)
	oneOf(m, "class", o.Class, Marketing, Transactional)
	oneOf(m, "missed", o.Missed, MissedSend, MissedDrop)
	switch {
	case o.Purpose == "":
		m.add("purpose", "a purpose is needed: consent is given by purpose")
	case c.o.Purposes != nil:
		oneOf(m, "purpose", o.Purpose, c.o.Purposes...)
	}
	if len(o.Platforms) > 0 && o.Channel != "push" {
		m.add("platforms", "has no meaning with channel %q", o.Channel)
	}
	for i, p := range o.Platforms {
		oneOf(m, fmt.Sprintf("platforms[%d]", i), p, event.Platforms...)
	}
	if len(o.Labels) > MaxLabels {
		m.add("labels", "%d labels, %d are allowed", len(o.Labels), MaxLabels)
	}
	for i, l := range o.Labels {
		if l == "" || len(l) > 128 {
			m.add(fmt.Sprintf("labels[%d]", i), "a label has 1 to 128 bytes")
		}
	}
	if len(o.Variant) > 64 {
		m.add("variant", "%d bytes, 64 are allowed", len(o.Variant))
	}
	if o.Expires < 0 || o.Expires > Duration(MaxDelay) {
		m.add("expires_after", "at most %s", Duration(MaxDelay))
	}
	if o.Limit != nil {
		if o.Limit.PerPerson < 1 || o.Limit.PerPerson > 1000 {
			m.add("limit.per_person", "1 to 1000")
		}
		if o.Limit.Every > Duration(MaxDelay) {
			m.add("limit.every", "at most %s; left out means ever", Duration(MaxDelay))
		}
	}
	switch {
	case o.Control < 0 || o.Control > MaxControl:
		m.add("control", "0 to %d of 100 persons", MaxControl)
	case o.Control > 0 && o.Class == Transactional:
		m.add("control", "everybody gets a transactional message")
	}
	c.checkGoal(o.Goal, m)
}

func (c *Campaigns) checkGoal(g *Goal, m *Mistakes) {
	if g == nil {
		return
	}
	c.checkRef("goal.event", g.Event, m)
	if g.Within < 0 || g.Within > Duration(MaxDelay) {
		m.add("goal.within", "at most %s", Duration(MaxDelay))
	}
	if len(g.Revenue) > 128 {
		m.add("goal.revenue", "a property's name has at most 128 bytes")
	}
}

func (c *Campaigns) checkRef(path string, b json.RawMessage, m *Mistakes) {
	if !present(b) {
		m.add(path, "an event reference is needed, as {\"event\": \"Charged\"}")
	} else if _, err := c.o.Compile(b); err != nil {
		m.add(path, "%v", err)
	}
}

// checkPeople asks whether its people expressions are some, and what they name
// is there.
func (c *Campaigns) checkPeople(o *Campaign, m *Mistakes) {
	for _, p := range []struct {
		path string
		body json.RawMessage
	}{{"people", o.People}, {"trigger.audience", o.Trigger.Audience}} {
		if !present(p.body) || p.path == "trigger.audience" && o.Trigger.Type != TriggerOnce {
			continue
		}
		if err := c.o.CheckPeople(p.body); err != nil {
			m.add(p.path, "%v", err)
		}
	}
}

func (c *Campaigns) checkTrigger(o *Campaign, m *Mistakes) {
	tr := &o.Trigger
	oneOf(m, "trigger.type", tr.Type, TriggerOnce, TriggerEvent, TriggerInaction, TriggerAPI)
	ref := func(path string, b json.RawMessage) { c.checkRef(path, b, m) }
	none := func(path string, set bool) {
		if set {
			m.add(path, "has no meaning with type %q", tr.Type)
		}
	}
	switch tr.Type {
	case TriggerOnce:
		if !present(tr.Audience) {
			m.add("trigger.audience", "a people expression is needed")
		}
		none("trigger.event", present(tr.Event))
		none("trigger.delay", tr.Delay != 0)
	case TriggerAPI:
		none("trigger.event", present(tr.Event))
		none("trigger.delay", tr.Delay != 0)
	case TriggerEvent:
		ref("trigger.event", tr.Event)
		if tr.Delay > Duration(MaxDelay) {
			m.add("trigger.delay", "at most %s", Duration(MaxDelay))
		}
	case TriggerInaction:
		ref("trigger.event", tr.Event)
		ref("trigger.without", tr.Without)
		if tr.Within <= 0 || tr.Within > Duration(MaxDelay) {
			m.add("trigger.within", "more than 0 and at most %s", Duration(MaxDelay))
		}
		none("trigger.delay", tr.Delay != 0)
		if len(tr.Hold) > MaxHold {
			m.add("trigger.hold", "%d properties, %d are allowed", len(tr.Hold), MaxHold)
		}
		for i, h := range tr.Hold {
			if h == "" || len(h) > 128 {
				m.add(fmt.Sprintf("trigger.hold[%d]", i), "a property's name has 1 to 128 bytes")
			}
		}
	}
	if tr.Type != TriggerOnce {
		none("trigger.audience", present(tr.Audience))
		none("trigger.at", tr.At != nil)
	}
	if tr.Type != TriggerInaction {
		none("trigger.without", present(tr.Without))
		none("trigger.within", tr.Within != 0)
		none("trigger.hold", len(tr.Hold) > 0)
	}
}

// CheckContent says what is wrong with what is sent over a channel: a Mistakes,
// or nil.
func CheckContent(channel string, ct Content) error {
	var m Mistakes
	if checkContent(channel, &ct, &m); len(m) > 0 {
		return m.sorted()
	}
	return nil
}

// unseen says whether a character makes one line look like another, or like two.
func unseen(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func checkContent(channel string, ct *Content, m *Mistakes) {
	for _, p := range []struct {
		path, src string
		header    bool
	}{
		{"content.subject", ct.Subject, true}, {"content.title", ct.Title, true}, {"content.link", ct.Link, true},
		{"content.html", ct.HTML, false}, {"content.text", ct.Text, false},
	} {
		if p.header && strings.ContainsFunc(p.src, unseen) {
			m.add(p.path, "line breaks, other control characters and marks that turn the direction of text are not allowed here")
		}
		if p.src == "" {
			continue
		}
		t, err := liquid.Parse(p.src)
		if err != nil {
			m.add(p.path, "%v", err)
			continue
		}
		if p.path == "content.html" {
			// What stands where no value can stand is a mistake with any value;
			// all else that fails without values may do well with them.
			if _, err := t.Render(nil, liquid.Options{Escape: liquid.HTML}); errors.Is(err, liquid.ErrPlace) {
				m.add(p.path, "%v", err)
			}
		}
	}
	checkSMS(channel, ct, m)
	checkPush(channel, ct, m)
	switch channel {
	case "email":
		if ct.Subject == "" {
			m.add("content.subject", "an e-mail needs a subject")
		}
		if ct.HTML == "" && ct.Text == "" {
			m.add("content.html", "an e-mail needs html or text")
		}
	case "sms", "webhook":
		if ct.Text == "" {
			m.add("content.text", "a text is needed")
		}
	case "push":
		if ct.Title == "" && ct.Text == "" && (ct.Push == nil || !ct.Push.Silent) {
			m.add("content.title", "a push needs a title or a text")
		}
	}
}

var (
	// A number, a short code, or a name of up to 11 characters; a name with the
	// suffix of an Indian header is shorter than that.
	senderPattern   = regexp.MustCompile(`^(\+?[0-9]{3,15}|[A-Za-z0-9 &._-]{1,11})$`)
	templatePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

func checkSMS(channel string, ct *Content, m *Mistakes) {
	for _, p := range []struct {
		path, value, allowed string
		pattern              *regexp.Regexp
	}{
		{"content.sender", ct.Sender, "a sender is a number, a short code, or a name of up to 11 letters, digits, spaces and & . _ -", senderPattern},
		{"content.template", ct.Template, "an id of a registered text has 1 to 64 letters, digits and . _ -", templatePattern},
	} {
		switch {
		case p.value == "":
		case channel != "sms":
			m.add(p.path, "has no meaning with channel %q", channel)
		case !p.pattern.MatchString(p.value):
			m.add(p.path, "%s", p.allowed)
		}
	}
}

func oneOf(m *Mistakes, path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		m.add(path, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// present says whether a JSON value is there and not null.
func present(b json.RawMessage) bool { return len(b) > 0 && string(b) != "null" }
