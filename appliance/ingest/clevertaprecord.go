package ingest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// clevertapReserved are the names that the vendor's platform raises itself and
// takes from no customer, beside those that are the appliance's own.
var clevertapReserved = map[string]bool{
	"UTM Visited": true, "App Launched": true, "App Version Changed": true, "Stayed": true, "Reply Sent": true,
	"Experiment Rendered": true, "Reachable By": true, "Identity Set": true, "Identity Reset": true, "Identity Error": true,
	"Geocluster Entered": true, "Geocluster Exited": true, "wzrk_d": true,
	"SCOutgoing": true, "SCIncoming": true, "SCEnd": true,
}

// clevertapTranslator makes facts of records.
type clevertapTranslator struct {
	rules  *Rules
	now    time.Time
	sdk    bool // a library on a device says it, which raises the vendor's own events
	tokens int  // seen in this request
}

func (t *clevertapTranslator) translate(rec event.Value) (event.Fact, error) {
	if rec.Kind() != event.Object {
		return event.Fact{}, &clevertapError{524, "a record must be an object"}
	}
	o := rec.Object()
	f := event.Fact{Time: t.now.UnixMicro()}
	if err := clevertapWho(&f, o); err != nil {
		return f, err
	}
	if ts := event.Lookup(o, "ts"); !ts.IsNull() {
		sec, ok := ts.Number()
		// Milliseconds by mistake are not guessed at.
		if !ok || sec < 0 || sec > 99_999_999_999 {
			return f, &clevertapError{525, "ts must be UNIX seconds"}
		}
		f.Time = int64(sec * 1e6)
	}
	switch event.Lookup(o, "type").Text() {
	case "event":
		return f, t.event(&f, o)
	case "profile":
		return f, t.profile(&f, event.Lookup(o, "profileData"))
	case "token":
		return f, t.token(&f, event.Lookup(o, "tokenData"))
	}
	return f, &clevertapError{524, "type must be event, profile or token"}
}

// clevertapWho reads who a record is about: an id may be a text or a number.
func clevertapWho(f *event.Fact, o []event.Prop) error {
	f.Device = idText(event.Lookup(o, "objectId"))
	if f.Device == "" && !event.Lookup(o, "objectId").IsNull() {
		return &clevertapError{526, "objectId must be a text"}
	}
	for _, k := range []string{"identity", "FBID", "GPID"} {
		if id := idText(event.Lookup(o, k)); id != "" && f.User == "" {
			f.User = id
			if k != "identity" {
				f.User = k + ":" + id
			}
		}
	}
	if f.User == "" && f.Device == "" {
		return &clevertapError{523, "identity, objectId, FBID or GPID is missing"}
	}
	return nil
}

func (t *clevertapTranslator) event(f *event.Fact, o []event.Prop) error {
	f.Kind = event.Track
	f.Name = event.Lookup(o, "evtName").Text()
	if f.Name == "" {
		return &clevertapError{509, "evtName is missing"}
	}
	if clevertapReserved[f.Name] && !t.sdk {
		return &clevertapError{513, "evtName is the name of a system event"}
	}
	data := event.Lookup(o, "evtData")
	if !data.IsNull() && data.Kind() != event.Object {
		return &clevertapError{512, "evtData must be an object"}
	}
	f.Props = slices.Clone(properties(data.Object()))
	for i := range f.Props {
		f.Props[i].Value = dates(f.Props[i].Value)
	}
	return nil
}

var clevertapChannels = map[string]string{
	"MSG-email": "email", "MSG-sms": "sms", "MSG-push": "push", "MSG-push-all": "push",
}

// Flags that forbid an address: true is a withdrawal, false says nothing.
var clevertapForbids = map[string]string{"MSG-dndEmail": "email", "MSG-dndPhone": "sms"}

func (t *clevertapTranslator) profile(f *event.Fact, data event.Value) error {
	f.Kind = event.Identify
	if data.Kind() != event.Object {
		return &clevertapError{524, "profileData must be an object"}
	}
	// Who opts out but lets the library's own events and messages through is
	// taken at their word: the library sends nothing else, and here nothing is
	// decided.
	partly := t.sdk && event.Lookup(data.Object(), "ct_optout").Bool() && event.Lookup(data.Object(), "ct_allow_sys_events_and_communication").Bool()
	for _, p := range data.Object() {
		if p.Value.IsNull() || partly && p.Key == "ct_optout" {
			continue
		}
		if handled, err := t.flag(f, p); err != nil || handled {
			if err != nil {
				return err
			}
			continue
		}
		c, err := clevertapChange(p)
		if err != nil {
			return err
		}
		if c.Op == event.Set {
			if err := clevertapField(&c); err != nil {
				return err
			}
		}
		f.Changes = append(f.Changes, c)
		if p.Key == "Tz" || p.Key == "tz" {
			if z, ok := zone(c.Value); ok {
				f.Changes[len(f.Changes)-1] = z
			}
		}
	}
	f.Addresses = addresses(f.Changes)
	return nil
}

// flag reads what is a decision rather than an attribute.
func (t *clevertapTranslator) flag(f *event.Fact, p event.Prop) (bool, error) {
	on, isFlag := p.Value.Bool(), p.Value.Kind() == event.Bool
	if channel, ok := clevertapChannels[p.Key]; ok {
		if !isFlag {
			return false, &clevertapError{512, p.Key + " must be true or false"}
		}
		f.Consents = append(f.Consents, t.rules.channelConsents(channel, on, "clevertap "+p.Key)...)
		return true, nil
	}
	if channel, ok := clevertapForbids[p.Key]; ok {
		if !isFlag {
			return false, &clevertapError{512, p.Key + " must be true or false"}
		}
		if on {
			f.Consents = append(f.Consents, t.rules.channelConsents(channel, false, "clevertap "+p.Key)...)
		}
		return true, nil
	}
	if p.Key == "ct_allow_sys_events_and_communication" && t.sdk {
		return true, nil // see profile
	}
	if p.Key == "ct_optout" && isFlag {
		f.Consents = append(f.Consents, event.Consent{Purpose: event.PurposeCollection, Granted: !on, Source: "clevertap ct_optout"})
		return true, nil
	}
	return false, nil
}

// clevertapFields are the built-in attributes whose values the vendor checks:
// the code, what is allowed, and those values in lower case.
var clevertapFields = map[string]struct {
	code    int64
	message string
	allowed []string
}{
	"Gender":    {514, "Gender must be M, F, O or U", []string{"m", "f", "o", "u", "male", "female", "others", "other", "unknown"}},
	"Employed":  {517, "Employed must be Y or N", []string{"y", "n", "true", "false"}},
	"Education": {518, "Education must be School, College or Graduate", []string{"school", "college", "graduate"}},
	"Married":   {519, "Married must be Y or N", []string{"y", "n", "true", "false"}},
}

// clevertapField checks a built-in attribute, and writes phone numbers one way.
func clevertapField(c *event.Change) error {
	if field, ok := clevertapFields[c.Key]; ok && !slices.Contains(field.allowed, strings.ToLower(c.Value.String())) {
		return &clevertapError{field.code, field.message}
	}
	switch c.Key {
	case "Email":
		if _, ok := emailAddress(c.Value.Text()); !ok {
			return &clevertapError{515, "Email is no e-mail address"}
		}
	case "Phone":
		number, ok := phoneNumber(c.Value.String())
		if !ok {
			return &clevertapError{516, "Phone must be a number with its country code, as +14155550123"}
		}
		c.Value = event.OfText(number)
	case "Age":
		if n, ok := c.Value.Number(); !ok || n < 1 || n > 150 {
			return &clevertapError{520, "Age must be a number of years"}
		}
	}
	return nil
}

// clevertapChange reads one attribute: a value, or one of the operators
// $set $add $remove $delete $incr $decr.
func clevertapChange(p event.Prop) (event.Change, error) {
	c := event.Change{Key: p.Key, Value: dates(p.Value)}
	o := p.Value.Object()
	if len(o) != 1 || !strings.HasPrefix(o[0].Key, "$") {
		return c, nil
	}
	c.Value = dates(o[0].Value)
	switch o[0].Key {
	case "$set":
		c.Op = event.Set
	case "$add":
		c.Op = event.Add
	case "$remove":
		c.Op = event.Remove
	case "$delete":
		c.Op, c.Value = event.Delete, event.Value{}
	case "$incr", "$decr":
		n, ok := c.Value.Number()
		if !ok || n <= 0 || !c.Value.IsNumber() {
			return c, &clevertapError{512, o[0].Key + " takes a number above 0"}
		}
		if c.Op = event.Increase; o[0].Key == "$decr" {
			c.Value = event.OfFloat(-n)
		}
	default:
		return c, &clevertapError{512, "the operator must be $set, $add, $remove, $delete, $incr or $decr"}
	}
	return c, nil
}

func (t *clevertapTranslator) token(f *event.Fact, data event.Value) error {
	f.Kind = event.Identify
	if t.tokens++; t.tokens > clevertapMaxTokens {
		return &clevertapError{531, "at most 100 tokens are taken in one call"}
	}
	if f.Device == "" {
		return &clevertapError{530, "a token needs an objectId"}
	}
	if data.Kind() != event.Object {
		return &clevertapError{531, "tokenData must be an object"}
	}
	o := data.Object()
	a := event.Address{Channel: "push", Value: event.Lookup(o, "id").Text()}
	if a.Value == "" {
		return &clevertapError{532, "the token's id is missing"}
	}
	switch typ := strings.ToLower(event.Lookup(o, "type").Text()); typ {
	case "":
		return &clevertapError{533, "the token's type is missing"}
	case "fcm", "gcm":
		a.Platform = "fcm"
	case "apns":
		a.Platform = "apns"
	case "chrome":
		keys := event.Lookup(o, "keys").Object()
		if event.Lookup(keys, "p256dh").Text() == "" || event.Lookup(keys, "auth").Text() == "" {
			return &clevertapError{535, "the token's keys p256dh and auth are missing"}
		}
		a.Platform = "webpush"
		a.Extra = string(event.AppendJSONProps(nil, keys))
	default:
		return &clevertapError{534, "the token's type must be fcm, apns or chrome"}
	}
	f.Addresses = []event.Address{a}
	return nil
}

// dates turns CleverTap's date texts into instants: $D_<epoch seconds>, or
// $D_yyyymmdd from social profiles (told apart by their length); $E_ wraps an
// enum. What only looks like one stays a text.
func dates(v event.Value) event.Value {
	switch v.Kind() {
	case event.Text:
		s := v.Text()
		if rest, ok := strings.CutPrefix(s, "$E_"); ok {
			return event.OfText(rest)
		}
		rest, ok := strings.CutPrefix(s, "$D_")
		if !ok {
			return v
		}
		if len(rest) == 8 {
			if t, err := time.Parse("20060102", rest); err == nil {
				return event.OfTime(t)
			}
		}
		if sec, err := strconv.ParseInt(rest, 10, 64); err == nil && sec > -1<<40 && sec < 1<<40 {
			return event.OfMicros(sec * 1e6)
		}
	case event.List:
		out := make([]event.Value, len(v.List()))
		for i, e := range v.List() {
			out[i] = dates(e)
		}
		return event.OfList(out)
	case event.Object:
		out := make([]event.Prop, len(v.Object()))
		for i, p := range v.Object() {
			out[i] = event.Prop{Key: p.Key, Value: dates(p.Value)}
		}
		return event.OfObject(out)
	}
	return v
}

// properties leaves out those without a value. Where there are none such, as
// nearly always, it gives ps itself.
func properties(ps []event.Prop) []event.Prop {
	null := func(p event.Prop) bool { return p.Value.IsNull() }
	if !slices.ContainsFunc(ps, null) {
		return slices.Clip(ps)
	}
	return slices.DeleteFunc(slices.Clone(ps), null)
}

// idText is an id that may come as a text or as a whole number.
func idText(v event.Value) string {
	if v.Kind() == event.Text || v.Kind() == event.Int {
		return v.String()
	}
	return ""
}
