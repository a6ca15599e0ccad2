package clevertap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The vendor's query language (API.md, "Queries"), read into event references
// and people expressions of the question contract. What it says that ours
// cannot is refused by name: a condition that is passed over would count, or
// reach, whom nobody meant.

// Bounds of a query.
const (
	maxConditions = 200 // in one list
	maxValues     = 5000
	lookBack      = 365 // days that a query without a range means
)

// node is a part of a question or expression, to become JSON.
type node = map[string]any

// where is a query, read.
type where struct {
	event  string // "" = any event of the apps
	dated  bool   // from and to are given
	from   string
	to     string
	filter []any // F, all of which hold for the event
	people []any // P, all of which hold for the person
	first  *bool // only the first such event of a person, ever; or only the others
	empty  bool  // nothing is asked: everybody
}

var whereNames = []string{"event_name", "from", "to", "event_properties", "props", "session_properties",
	"common_profile_properties", "common_profile_prop", "advanced_query"}

// finder knows what is asked about people that no expression can say.
type finder interface {
	FindIdentity(identity string) (person uint32, ok bool)
	With(channel, address string) ([]uint32, error)
	Personal(attribute string) bool
	name(person uint32) (string, error) // an identity or device that finds them
}

// readWhere reads a query; also names the members that the call has beside it.
func readWhere(path string, o []event.Prop, f finder, also ...string) (*where, error) {
	if err := known(path, o, append(slices.Clone(whereNames), also...)...); err != nil {
		return nil, err
	}
	q, err := readBase(path, o, f)
	if err != nil {
		return nil, err
	}
	if v := event.Lookup(o, "advanced_query"); !v.IsNull() {
		if err := q.advanced(join(path, "advanced_query"), v, f); err != nil {
			return nil, err
		}
	}
	q.empty = q.event == "" && !q.dated && q.first == nil && len(q.filter) == 0 && len(q.people) == 0
	return q, nil
}

// readBase reads what a query and the queries inside it have.
func readBase(path string, o []event.Prop, f finder) (*where, error) {
	q := &where{}
	var err error
	if v := event.Lookup(o, "event_name"); !v.IsNull() {
		if q.event = v.Text(); q.event == "" || len(q.event) > 1024 {
			return nil, wrong("%s: the name of an event is needed", join(path, "event_name"))
		}
	}
	if err = q.dates(path, o); err != nil {
		return nil, err
	}
	for _, name := range []string{"event_properties", "props"} {
		if err := q.conditions(join(path, name), event.Lookup(o, name), q.eventCondition); err != nil {
			return nil, err
		}
	}
	if err := q.conditions(join(path, "session_properties"), event.Lookup(o, "session_properties"), q.sessionCondition); err != nil {
		return nil, err
	}
	for _, name := range []string{"common_profile_properties", "common_profile_prop"} {
		if v := event.Lookup(o, name); !v.IsNull() {
			if err := q.common(join(path, name), v, f); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

// dates reads from and to: yyyymmdd, as a number or a text.
func (q *where) dates(path string, o []event.Prop) (err error) {
	from, to := event.Lookup(o, "from"), event.Lookup(o, "to")
	if from.IsNull() && to.IsNull() {
		return nil
	}
	if q.from, err = day(join(path, "from"), from); err != nil {
		return err
	}
	if q.to, err = day(join(path, "to"), to); err != nil {
		return err
	}
	if q.to < q.from {
		return wrong("%s: it is before from", join(path, "to"))
	}
	q.dated = true
	return nil
}

// day reads yyyymmdd into yyyy-mm-dd.
func day(path string, v event.Value) (string, error) {
	s := v.Text()
	if v.Kind() == event.Int {
		s = strconv.FormatInt(v.Int(), 10)
	}
	t, err := time.Parse("20060102", s)
	if err != nil || len(s) != 8 || t.Year() < 1970 {
		return "", wrong("%s: a date is needed, as in 20260131", path)
	}
	return t.Format(time.DateOnly), nil
}

// conditions reads a list of objects, or one object.
func (q *where) conditions(path string, v event.Value, one func(path string, o []event.Prop) error) error {
	switch v.Kind() {
	case event.Null:
		return nil
	case event.Object:
		return one(path, v.Object())
	case event.List:
	default:
		return wrong("%s: a list is needed", path)
	}
	if len(v.List()) > maxConditions {
		return wrong("%s: %d conditions, and at most %d are taken", path, len(v.List()), maxConditions)
	}
	for i, e := range v.List() {
		at := fmt.Sprintf("%s[%d]", path, i)
		if e.Kind() != event.Object {
			return wrong("%s: an object with name, operator and value is needed", at)
		}
		if err := one(at, e.Object()); err != nil {
			return err
		}
	}
	return nil
}

// condition is one {name, operator, value}.
type condition struct {
	path   string
	name   string
	op     string // of the vendor
	values []event.Value
}

func readCondition(path string, o []event.Prop) (condition, error) {
	c := condition{path: path, op: "equals"}
	if err := known(path, o, "name", "operator", "value"); err != nil {
		return c, err
	}
	if c.name = event.Lookup(o, "name").Text(); c.name == "" || len(c.name) > 1024 {
		return c, wrong("%s: the name of a property is needed", join(path, "name"))
	}
	if v := event.Lookup(o, "operator"); !v.IsNull() {
		c.op = strings.ToLower(v.Text())
	}
	v := event.Lookup(o, "value")
	switch v.Kind() {
	case event.Null:
	case event.List:
		c.values = v.List()
	default:
		c.values = []event.Value{v}
	}
	if len(c.values) > maxValues {
		return c, wrong("%s: %d values, and at most %d are taken", join(path, "value"), len(c.values), maxValues)
	}
	for _, v := range c.values {
		if k := v.Kind(); k == event.Null || k == event.List || k == event.Object {
			return c, wrong("%s: a text, a number, or a list of these is needed", join(path, "value"))
		}
	}
	return c, nil
}

var ordering = map[string]string{"greater_than": ">", "greater_than_equals": ">=", "less_than": "<", "less_than_equals": "<="}

// test makes F or P of a condition; leaf says what a single test looks like,
// with a nil value where the op takes none.
func (c *condition) test(leaf func(op string, value any) any) (any, error) {
	switch c.op {
	case "exists", "does_not_exist":
		// Clients send a value with it now and then; it says nothing.
		if c.op == "exists" {
			return leaf("exists", nil), nil
		}
		return leaf("not_exists", nil), nil
	}
	if len(c.values) == 0 {
		return nil, wrong("%s: a value is needed", join(c.path, "value"))
	}
	switch c.op {
	case "equals", "not_equals":
		var all []any
		for _, v := range c.values {
			all = append(all, operands(v)...)
		}
		one, many := "=", "in"
		if c.op == "not_equals" {
			one, many = "!=", "not_in"
		}
		if len(all) == 1 {
			return leaf(one, all[0]), nil
		}
		return leaf(many, all), nil
	case "contains", "does_not_contain":
		var subs []any
		for _, v := range c.values {
			text := v.Text()
			if v.Kind() != event.Text {
				text = v.String()
			}
			if c.op == "contains" {
				subs = append(subs, leaf("contains", text))
			} else {
				subs = append(subs, leaf("not_contains", text))
			}
		}
		if c.op == "contains" {
			return anyOf(subs), nil
		}
		return allOf(subs), nil
	case "between":
		if len(c.values) != 2 {
			return nil, wrong("%s: between takes two values", join(c.path, "value"))
		}
		return leaf("between", []any{operands(c.values[0])[0], operands(c.values[1])[0]}), nil
	}
	op, ok := ordering[c.op]
	if !ok {
		return nil, wrong("%s: there is no operator %q; there are equals, not_equals, contains, does_not_contain, exists, does_not_exist, greater_than, greater_than_equals, less_than, less_than_equals and between",
			join(c.path, "operator"), clip(c.op, 64))
	}
	if len(c.values) != 1 {
		return nil, wrong("%s: %s takes one value", join(c.path, "value"), c.op)
	}
	return leaf(op, operands(c.values[0])[0]), nil
}

// operands are what a value may be stored as: booleans are the texts True and
// False in the language, and dates $D_ and seconds.
func operands(v event.Value) []any {
	switch v.Kind() {
	case event.Bool:
		return boolean(v.Bool())
	case event.Int:
		return []any{v.Int()}
	case event.Float:
		f, _ := v.Number()
		return []any{f}
	}
	s := v.Text()
	switch s {
	case "True", "true":
		return boolean(true)
	case "False", "false":
		return boolean(false)
	}
	if rest, ok := strings.CutPrefix(s, "$D_"); ok {
		if sec, err := strconv.ParseInt(rest, 10, 64); err == nil && sec > -1<<40 && sec < 1<<40 {
			if t, err := time.Parse("20060102", rest); err == nil && len(rest) == 8 {
				return []any{t.Format(time.DateOnly)}
			}
			return []any{time.Unix(sec, 0).UTC().Format(time.RFC3339)}
		}
	}
	return []any{s}
}

func boolean(b bool) []any {
	if b {
		return []any{true, "True", "true"}
	}
	return []any{false, "False", "false"}
}

func allOf(subs []any) any {
	if len(subs) == 1 {
		return subs[0]
	}
	return node{"all": subs}
}

func anyOf(subs []any) any {
	if len(subs) == 1 {
		return subs[0]
	}
	return node{"any": subs}
}

// property is a test of a property of events: of "" or "item".
func property(name, of string) func(op string, value any) any {
	return func(op string, value any) any {
		f := node{"property": name, "op": op}
		if of != "" {
			f["of"] = of
		}
		if value != nil {
			f["value"] = value
		}
		return f
	}
}

// attribute is a test of an attribute of profiles, as an expression P.
func attribute(name string) func(op string, value any) any {
	return func(op string, value any) any {
		f := node{"property": name, "op": op}
		if value != nil {
			f["value"] = value
		}
		return node{"profile": f}
	}
}

func (q *where) eventCondition(path string, o []event.Prop) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	of := ""
	// Items of a Charged event: any of them counts.
	for _, sep := range []string{"|", "."} {
		if rest, ok := strings.CutPrefix(c.name, "Items"+sep); ok && rest != "" {
			c.name, of = rest, "item"
			break
		}
	}
	f, err := c.test(property(c.name, of))
	q.filter = append(q.filter, f)
	return err
}

// sessionProperties are those of a session, and the property of events that
// tells of it.
var sessionProperties = map[string]string{
	"utm_source": "utm_source", "utm_medium": "utm_medium", "utm_campaign": "utm_campaign",
	"session_referrer": "referrer", "session_source": "CT Source",
}

func (q *where) sessionCondition(path string, o []event.Prop) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	if name, ok := sessionProperties[c.name]; ok {
		f, err := c.test(property(name, ""))
		q.filter = append(q.filter, f)
		return err
	}
	switch c.name {
	case "first_time":
		if c.op != "equals" || len(c.values) != 1 {
			return wrong("%s: first_time takes one value, True or False", path)
		}
		is, ok := operands(c.values[0])[0].(bool)
		if !ok {
			return wrong("%s: first_time is True or False", join(path, "value"))
		}
		q.first = &is
		return nil
	case "time_of_day":
		return q.timeOfDay(&c)
	case "day_of_week":
		return q.dayOfWeek(&c)
	}
	return wrong("%s: there is no session property %q; there are %s", join(path, "name"), clip(c.name, 64), list(append(sorted(sessionProperties), "first_time", "time_of_day", "day_of_week")))
}

// timeOfDay reads ["00:00", "14:00"]: from the one until before the other,
// which may be the next day.
func (q *where) timeOfDay(c *condition) error {
	at := join(c.path, "value")
	if c.op != "equals" || len(c.values) != 2 {
		return wrong("%s: two times are needed, as [\"09:00\", \"14:00\"]", at)
	}
	var minutes [2]int
	for i, v := range c.values {
		t, err := time.Parse("15:04", v.Text())
		if err != nil && !(i == 1 && v.Text() == "24:00") {
			return wrong("%s: a time is needed, as in \"09:00\"", at)
		}
		if minutes[i] = t.Hour()*60 + t.Minute(); err != nil {
			minutes[i] = 24 * 60
		}
	}
	from, to := onClock("minute", ">=", minutes[0]), onClock("minute", "<", minutes[1])
	if minutes[0] < minutes[1] {
		q.filter = append(q.filter, from, to)
	} else {
		q.filter = append(q.filter, node{"any": []any{from, to}})
	}
	return nil
}

// dayOfWeek reads names of days, in full or by their first three letters.
func (q *where) dayOfWeek(c *condition) error {
	var days []any
	for _, v := range c.values {
		name := strings.ToLower(v.Text())
		i := slices.IndexFunc(weekdays, func(d string) bool { return name == d || name == d[:3] })
		if i < 0 {
			return wrong("%s: the name of a day is needed, as Monday", join(c.path, "value"))
		}
		days = append(days, i+1)
	}
	op, ok := map[string]string{"equals": "in", "not_equals": "not_in"}[c.op]
	if !ok || len(days) == 0 {
		return wrong("%s: day_of_week takes equals or not_equals, and days", c.path)
	}
	q.filter = append(q.filter, onClock("weekday", op, days))
	return nil
}

var weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

func onClock(what, op string, value any) any {
	return node{"property": what, "of": "time", "op": op, "value": value}
}

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

var technographics = map[string]string{
	"os": "CT OS", "os_version": "CT OS Version", "browser": "CT Browser", "device": "CT Device", "device_type": "CT Device",
	"make": "CT Make", "model": "CT Model", "network_carrier": "CT Network Carrier", "carrier": "CT Network Carrier",
}

var appFields = map[string]string{
	"app_version": "CT App Version", "ct_app_version": "CT App Version", "sdk_version": "CT SDK Version", "ct_sdk_version": "CT SDK Version", "ct_source": "CT Source",
}

func (q *where) technographic(path string, o []event.Prop) error {
	return q.told(path, o, technographics)
}

func (q *where) appField(path string, o []event.Prop) error { return q.told(path, o, appFields) }

// told reads a condition on what events tell of the app or the device: a name
// of the vendor's, or that of the property itself.
func (q *where) told(path string, o []event.Prop, names map[string]string) error {
	c, err := readCondition(path, o)
	if err != nil {
		return err
	}
	name := c.name
	if own, ok := names[strings.ToLower(strings.ReplaceAll(name, " ", "_"))]; ok {
		name = own
	}
	f, err := c.test(property(name, ""))
	q.filter = append(q.filter, f)
	return err
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

// advanced reads what people did, or did not, beside the query itself. Of the
// names of its members one was seen in the wild, so all likely ones are taken.
func (q *where) advanced(path string, v event.Value, f finder) error {
	if v.Kind() != event.Object {
		return wrong("%s: an object is needed", path)
	}
	if err := known(path, v.Object(), "did_all", "did_any", "did_not", "did_none"); err != nil {
		return err
	}
	for _, p := range v.Object() {
		if p.Value.IsNull() {
			continue
		}
		at := join(path, p.Key)
		list, count, err := advancedEvents(at, p.Value)
		if err != nil {
			return err
		}
		if len(list) > maxConditions {
			return wrong("%s: at most %d events are taken", at, maxConditions)
		}
		var subs []any
		for i, e := range list {
			one := fmt.Sprintf("%s[%d]", at, i)
			if e.Kind() != event.Object {
				return wrong("%s: an object with event_name is needed", one)
			}
			if err := known(one, e.Object(), append(slices.Clone(whereNames[:8]), "operator", "value")...); err != nil {
				return err
			}
			in, err := readBase(one, e.Object(), f)
			if err != nil {
				return err
			}
			if in.event == "" {
				return wrong("%s: event_name is needed", one)
			}
			times := count
			if own := event.Lookup(e.Object(), "value"); !own.IsNull() {
				if times, err = occurrences(one, e.Object()); err != nil {
					return err
				}
			}
			did, err := in.did(times)
			if err != nil {
				return err
			}
			subs = append(subs, did)
		}
		if len(subs) == 0 {
			continue
		}
		switch p.Key {
		case "did_all":
			q.people = append(q.people, allOf(subs))
		case "did_any":
			q.people = append(q.people, anyOf(subs))
		default:
			q.people = append(q.people, node{"not": anyOf(subs)})
		}
	}
	return nil
}

// advancedEvents reads a list of queries, or an object that holds it beside how
// often each must have happened.
func advancedEvents(path string, v event.Value) ([]event.Value, node, error) {
	if v.Kind() == event.List {
		return v.List(), nil, nil
	}
	o := v.Object()
	if v.Kind() != event.Object {
		return nil, nil, wrong("%s: a list of events is needed", path)
	}
	if err := known(path, o, "any_events", "all_events", "events", "operator", "value"); err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"any_events", "all_events", "events"} {
		if l := event.Lookup(o, name); l.Kind() == event.List {
			count, err := occurrences(path, o)
			return l.List(), count, err
		}
	}
	return nil, nil, wrong("%s: a list of events is needed", path)
}

// occurrences reads operator and value as a condition on how often.
func occurrences(path string, o []event.Prop) (node, error) {
	v := event.Lookup(o, "value")
	if v.IsNull() {
		return nil, nil
	}
	n, ok := v.Number()
	if !ok || n < 0 || n != float64(int64(n)) {
		return nil, wrong("%s: a whole number is needed", join(path, "value"))
	}
	op := event.Lookup(o, "operator").Text()
	own, ok := ordering[op]
	switch {
	case op == "" || op == "equals":
		own = "="
	case op == "not_equals":
		own = "!="
	case !ok:
		return nil, wrong("%s: there is no operator %q of how often", join(path, "operator"), clip(op, 64))
	}
	return node{"op": own, "value": int64(n)}, nil
}

// ref is the event reference of the query.
func (q *where) ref() node {
	r := node{}
	if q.event != "" {
		r["event"] = q.event
	}
	if len(q.filter) > 0 {
		r["filter"] = node{"all": q.filter}
	}
	return r
}

// when is the query's range; without one it is the last 365 days.
func (q *where) when() node {
	if !q.dated {
		return node{"last": node{"n": lookBack, "unit": "day"}}
	}
	return node{"from": q.from, "to": q.to}
}

// did is the expression of those who did what the query says, times counting.
func (q *where) did(times node) (any, error) {
	d := node{"did": q.ref(), "in": q.when()}
	if times != nil {
		d["count"] = times
	}
	all := []any{d}
	if q.first != nil {
		first := node{"first": q.ref(), "in": q.when()}
		switch {
		case times != nil:
			return nil, wrong("first_time and a number of times do not go together")
		case *q.first:
			all = []any{first}
		default:
			// Something that was not the first: before the range, or twice in it.
			all = append(all, node{"any": []any{node{"not": first}, node{"did": q.ref(), "in": q.when(), "count": node{"op": ">=", "value": 2}}}})
		}
	}
	return allOf(append(all, q.people...)), nil
}

// expression is whom the query means.
func (q *where) expression() (any, error) {
	if q.empty {
		return node{"all": []any{}}, nil
	}
	return q.did(nil)
}

// among limits a question to the query's people.
func (q *where) among(question node) node {
	if len(q.people) > 0 {
		question["people"] = allOf(q.people)
	}
	return question
}

// span puts the query's range into a question; now is what 365 days count from.
func (q *where) span(question node, now time.Time) node {
	if q.dated {
		question["from"], question["to"] = q.from, q.to
	} else {
		question["from"], question["to"] = now.AddDate(0, 0, -lookBack).UTC().Format(time.RFC3339Nano), now.UTC().Format(time.RFC3339Nano)
	}
	return question
}
