package clevertap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// common reads conditions on profiles, and on the apps and places that events
// tell of.
func (q *where) common(path string, v event.Value, f finder) error {
	if v.Kind() != event.Object {
		return wrong("%s: an object is needed", path)
	}
	o := v.Object()
	if err := known(path, o, "profile_fields", "demographics", "geo_fields", "technographics", "reachability", "app_fields"); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		one  func(path string, o []event.Prop) error
	}{
		{"profile_fields", func(path string, o []event.Prop) error { return q.profileCondition(path, o, f) }},
		{"demographics", q.demographic},
		{"technographics", q.technographic}, {"app_fields", q.appField}, {"reachability", q.reachability},
	} {
		if err := q.conditions(join(path, part.name), event.Lookup(o, part.name), part.one); err != nil {
			return err
		}
	}
	return q.geo(join(path, "geo_fields"), event.Lookup(o, "geo_fields"))
}

func (q *where) profileCondition(path string, o []event.Prop, f finder) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	if channel, ok := map[string]string{"email": "email", "phone": "sms"}[strings.ToLower(c.name)]; ok || strings.EqualFold(c.name, "identity") {
		return q.whoIs(&c, channel, f)
	}
	if f.Personal(c.name) {
		return wrong("%s: %q identifies people: it rests sealed with each and cannot be asked about", join(path, "name"), clip(c.name, 64))
	}
	p, err := c.test(attribute(c.name))
	q.people = append(q.people, p)
	return err
}

// whoIs turns an identity or an address into whom it belongs to now: what
// identifies people is sealed, and can only be looked up.
func (q *where) whoIs(c *condition, channel string, f finder) error {
	if c.op == "exists" && channel != "" {
		q.people = append(q.people, node{"reachable": channel})
		return nil
	}
	if c.op != "equals" || len(c.values) == 0 {
		return wrong("%s: %s identifies people: it takes equals alone", join(c.path, "operator"), c.name)
	}
	ids := []any{}
	for _, v := range c.values {
		text := v.String()
		if channel == "" {
			if _, ok := f.FindIdentity(text); ok {
				ids = append(ids, text)
			}
			continue
		}
		if channel == "sms" {
			text = phone(text)
		}
		persons, err := f.With(channel, text)
		if err != nil {
			return err
		}
		for _, n := range persons {
			name, err := f.name(n)
			if err != nil {
				return err
			}
			if name != "" {
				ids = append(ids, name)
			}
		}
	}
	q.people = append(q.people, node{"identity": ids})
	return nil
}

// phone writes a number as addresses have it: + and digits.
func phone(s string) string {
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
	return "+" + digits
}

var genders = [][]any{{"M", "m", "Male", "male", "MALE"}, {"F", "f", "Female", "female", "FEMALE"}, {"O", "o", "Others", "others", "Other", "other"}, {"U", "u", "Unknown", "unknown"}}

func (q *where) demographic(path string, o []event.Prop) error {
	switch name := strings.ToLower(event.Lookup(o, "name").Text()); name {
	case "gender":
		c, err := readCondition(path, o)
		if err != nil {
			return err
		}
		if c.op != "equals" && c.op != "not_equals" {
			return wrong("%s: gender takes equals or not_equals", join(path, "operator"))
		}
		var all []any
		for _, v := range c.values {
			for _, words := range genders {
				if slices.Contains(words, any(v.Text())) {
					all = append(all, words...)
				}
			}
		}
		if len(all) == 0 {
			return wrong("%s: M, F, O or U", join(path, "value"))
		}
		op := map[string]string{"equals": "in", "not_equals": "not_in"}[c.op]
		q.people = append(q.people, attribute("Gender")(op, all))
		return nil
	case "age":
		return q.age(path, o)
	default:
		return wrong("%s: there is no %q; there are age, gender", join(path, "name"), clip(name, 64))
	}
}

// age reads single ages, and ranges as "18-24" or [18, 24] in a list.
func (q *where) age(path string, o []event.Prop) error {
	if err := known(path, o, "name", "operator", "value"); err != nil {
		return err
	}
	v := event.Lookup(o, "value")
	values := v.List()
	if v.Kind() != event.List {
		values = []event.Value{v}
	}
	if op := event.Lookup(o, "operator").Text(); op != "" && op != "equals" {
		c, err := readCondition(path, o)
		if err != nil {
			return err
		}
		p, err := c.test(attribute("Age"))
		q.people = append(q.people, p)
		return err
	}
	var subs []any
	for _, e := range values {
		if low, high, ok := strings.Cut(e.Text(), "-"); ok {
			a, err1 := strconv.Atoi(strings.TrimSpace(low))
			b, err2 := strconv.Atoi(strings.TrimSpace(high))
			if err1 != nil || err2 != nil {
				return wrong("%s: an age, or a range as \"18-24\"", join(path, "value"))
			}
			subs = append(subs, attribute("Age")("between", []any{a, b}))
			continue
		}
		if pair := e.List(); len(pair) == 2 && pair[0].IsNumber() && pair[1].IsNumber() {
			subs = append(subs, attribute("Age")("between", []any{operands(pair[0])[0], operands(pair[1])[0]}))
			continue
		}
		if n, ok := e.Number(); ok {
			subs = append(subs, attribute("Age")("=", n))
			continue
		}
		return wrong("%s: an age, or a range as \"18-24\"", join(path, "value"))
	}
	q.people = append(q.people, anyOf(subs))
	return nil
}

// What events tell of the app and the device, by the vendor's names: the
// properties that the doors give it, first the one that all dialects share.
var (
	technographics = map[string][]string{
		"os": {"os", "OS", "CT OS"}, "os_version": {"os_version", "OS Version", "CT OS Version"}, "browser": {"browser", "CT Browser"},
		"device": {"device_type", "CT Device"}, "device_type": {"device_type", "CT Device"}, "make": {"make", "Make", "CT Make"},
		"model": {"device_model", "Model", "CT Model"}, "carrier": {"carrier", "Carrier", "CT Network Carrier"}, "network_carrier": {"carrier", "Carrier", "CT Network Carrier"},
	}
	appFields = map[string][]string{
		"app_version": {"app_version", "Version", "CT App Version"}, "ct_app_version": {"app_version", "Version", "CT App Version"},
		"sdk_version": {"sdk_version", "SDK Version", "CT SDK Version"}, "ct_sdk_version": {"sdk_version", "SDK Version", "CT SDK Version"},
		"ct_source": {"CT Source"},
	}
)

// propertiesOf are the properties that a name of the vendor's means.
func propertiesOf(names map[string][]string, name string) []string {
	if own, ok := names[strings.ToLower(strings.ReplaceAll(name, " ", "_"))]; ok {
		return own
	}
	return []string{name}
}

func (q *where) technographic(path string, o []event.Prop) error {
	return q.told(path, o, technographics)
}

func (q *where) appField(path string, o []event.Prop) error { return q.told(path, o, appFields) }

// told reads a condition on what events tell of the app or the device: a name
// of the vendor's, or that of the property itself.
func (q *where) told(path string, o []event.Prop, names map[string][]string) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	var subs []any
	for _, name := range propertiesOf(names, c.name) {
		f, err := c.test(property(name, ""))
		if err != nil {
			return err
		}
		subs = append(subs, f)
	}
	// One of them is there, whichever door the event came by.
	if strings.HasPrefix(c.op, "not_") || strings.HasPrefix(c.op, "does_not_") {
		q.filter = append(q.filter, allOf(subs))
	} else {
		q.filter = append(q.filter, anyOf(subs))
	}
	return nil
}

// reachability reads a channel's name out of what is asked (has_email, push,
// ..), and whether it should be so.
func (q *where) reachability(path string, o []event.Prop) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	channel := reachableBy(c.name)
	if channel == "" {
		return wrong("%s: there is no %q; it names email, phone or push", join(path, "name"), clip(c.name, 64))
	}
	is := c.op != "not_equals" && c.op != "does_not_exist"
	if len(c.values) > 1 {
		return wrong("%s: one value, True or False", join(path, "value"))
	}
	if len(c.values) == 1 {
		switch strings.ToLower(c.values[0].String()) {
		case "true", "yes", "1":
		case "false", "no", "0":
			is = !is
		default:
			return wrong("%s: True or False", join(path, "value"))
		}
	}
	p := any(node{"reachable": channel})
	if !is {
		p = node{"not": p}
	}
	q.people = append(q.people, p)
	return nil
}

func reachableBy(name string) string {
	name = strings.ToLower(name)
	switch {
	case strings.Contains(name, "email"):
		return "email"
	case strings.Contains(name, "sms"), strings.Contains(name, "phone"):
		return "sms"
	case strings.Contains(name, "push"), strings.Contains(name, "token"):
		return "push"
	}
	return ""
}

// geo reads places: [["Country", "State", "City"], ..], any of which counts.
func (q *where) geo(path string, v event.Value) error {
	if v.IsNull() {
		return nil
	}
	if v.Kind() != event.List || len(v.List()) > maxConditions {
		return wrong("%s: a list of at most %d lists is needed, as [[\"India\", \"Kerala\", \"Kochi\"]]", path, maxConditions)
	}
	var subs []any
	for i, e := range v.List() {
		at := fmt.Sprintf("%s[%d]", path, i)
		if e.Kind() != event.List || len(e.List()) == 0 || len(e.List()) > len(geoAttributes) {
			return wrong("%s: country, state and city in a list are needed, or the first of these", at)
		}
		var parts []any
		for k, name := range e.List() {
			if name.Text() == "" {
				return wrong("%s: a name is needed", fmt.Sprintf("%s[%d]", at, k))
			}
			parts = append(parts, attribute(geoAttributes[k])("=", name.Text()))
		}
		subs = append(subs, allOf(parts))
	}
	if len(subs) > 0 {
		q.people = append(q.people, anyOf(subs))
	}
	return nil
}

var geoAttributes = []string{"Country", "State", "City"}
