package event

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Limits bound what one fact may hold. Lengths are in bytes of UTF-8.
type Limits struct {
	ID         int // message ids
	Identity   int // users and devices
	Name       int // event names
	Key        int // property and attribute names
	Text       int // text values
	Properties int // properties of an event, or attributes in one change of a profile
	List       int // elements of a list
	Depth      int // nesting of lists and objects
}

// DefaultLimits are the general ones; a dialect's own limits win over them.
func DefaultLimits() Limits {
	return Limits{ID: 256, Identity: 512, Name: 128, Key: 128, Text: 4096, Properties: 256, List: 256, Depth: 8}
}

// Codes of a Refusal.
const (
	RefusedEmpty     = "empty"      // something needed is missing
	RefusedTooLong   = "too_long"   // a text is longer than allowed
	RefusedTooMany   = "too_many"   // a list or object has more than allowed
	RefusedTooDeep   = "too_deep"   // nested deeper than allowed
	RefusedCharacter = "character"  // bytes that are no UTF-8, or characters that ids and names may not have
	RefusedRepeated  = "repeated"   // a name stands twice
	RefusedReserved  = "reserved"   // the name is one of the appliance's own
	RefusedNobody    = "nobody"     // neither a user nor a device
	RefusedNotFinite = "not_finite" // a number that is none
	RefusedNoID      = "no_id"      // an id that stands for having none (Placeholder)
	RefusedTooOld    = "too_old"    // older than the retention
)

// Refusal says why a fact cannot be taken. It quotes names, never values.
type Refusal struct {
	Code    string
	Field   string // "event", "properties.amount", ..
	Message string // a whole sentence, with what is allowed
}

func (r *Refusal) Error() string { return r.Field + ": " + r.Message }

// Check says whether f, from outside, can be taken; the error is a *Refusal.
func Check(f *Fact, l Limits) error {
	c := checker{l: l}
	c.id("messageId", f.ID, l.ID)
	c.id("user", f.User, l.Identity)
	c.id("device", f.Device, l.Identity)
	c.id("previous", f.Previous, l.Identity)
	for _, one := range [...]struct{ field, id string }{{"user", f.User}, {"device", f.Device}, {"previous", f.Previous}} {
		if Placeholder(one.id) {
			c.refuse(RefusedNoID, one.field, fmt.Sprintf("%q is no id: programs write it where they have none, and it would join strangers", one.id))
		}
	}
	if f.User == "" && f.Device == "" && f.Person == 0 {
		c.refuse(RefusedNobody, "user", "neither a user nor a device is named")
	}
	switch f.Kind {
	case Track:
		if f.Name == "" {
			c.refuse(RefusedEmpty, "event", "the event has no name")
		}
		if Own(f.Name) && f.Person == 0 {
			c.refuse(RefusedReserved, "event", fmt.Sprintf("%q is one of the appliance's own events", f.Name))
		}
		c.id("event", f.Name, l.Name)
		c.props("properties", f.Props, 0)
	case Alias:
		if f.Previous == "" {
			c.refuse(RefusedEmpty, "previous", "the id that joins is missing")
		}
	}
	if len(f.Changes) > l.Properties {
		c.refuse(RefusedTooMany, "profile", fmt.Sprintf("%d attributes, %d are allowed", len(f.Changes), l.Properties))
	}
	for i := range f.Changes {
		ch := &f.Changes[i]
		c.key("profile", ch.Key)
		c.value("profile."+ch.Key, ch.Value, 1)
	}
	for _, a := range f.Addresses {
		c.id("channels."+a.Channel, a.Value, l.Text)
		c.text("channels."+a.Channel, a.Extra, l.Text)
	}
	for _, s := range f.Consents {
		c.id("consent.purpose", s.Purpose, l.Key)
		c.id("consent.channel", s.Channel, l.Key)
		c.id("consent.source", s.Source, l.Key)
		c.id("consent.version", s.Version, l.Key)
	}
	if c.first == nil {
		return nil
	}
	return c.first
}

type checker struct {
	l     Limits
	first *Refusal
}

func (c *checker) refuse(code, field, message string) {
	if c.first == nil {
		c.first = &Refusal{Code: code, Field: clip(field), Message: message}
	}
}

// clip keeps a field's name short enough for an answer.
func clip(s string) string {
	if len(s) <= 160 {
		return s
	}
	n := 160
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// id checks what names something: no control characters, no direction marks
// with which one name can be made to look like another.
func (c *checker) id(field, s string, limit int) {
	c.text(field, s, limit)
	for _, r := range s {
		if unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			c.refuse(RefusedCharacter, field, fmt.Sprintf("the character U+%04X is not allowed here", r))
			return
		}
	}
}

func (c *checker) text(field, s string, limit int) {
	if len(s) > limit {
		c.refuse(RefusedTooLong, field, fmt.Sprintf("%d bytes, %d are allowed", len(s), limit))
	}
	if !utf8.ValidString(s) {
		c.refuse(RefusedCharacter, field, "this is not valid UTF-8")
	}
}

func (c *checker) key(field, key string) {
	if key == "" {
		c.refuse(RefusedEmpty, field, "a name is empty")
	}
	c.id(field+"."+key, key, c.l.Key)
}

func (c *checker) props(field string, ps []Prop, depth int) {
	if len(ps) > c.l.Properties {
		c.refuse(RefusedTooMany, field, fmt.Sprintf("%d properties, %d are allowed", len(ps), c.l.Properties))
		return
	}
	for i := range ps {
		c.key(field, ps[i].Key)
		// Few properties: comparing pairs beats building a set.
		if len(ps) <= 32 {
			for j := range i {
				if ps[j].Key == ps[i].Key {
					c.refuse(RefusedRepeated, field+"."+ps[i].Key, "the name stands twice")
				}
			}
		}
		c.value(field+"."+ps[i].Key, ps[i].Value, depth+1)
	}
	if len(ps) > 32 {
		seen := make(map[string]struct{}, len(ps))
		for i := range ps {
			if _, ok := seen[ps[i].Key]; ok {
				c.refuse(RefusedRepeated, field+"."+ps[i].Key, "the name stands twice")
			}
			seen[ps[i].Key] = struct{}{}
		}
	}
}

func (c *checker) value(field string, v Value, depth int) {
	switch v.kind {
	case Text:
		c.text(field, v.text(), c.l.Text)
	case Float:
		if f, _ := v.Number(); f-f != 0 {
			c.refuse(RefusedNotFinite, field, "the number is not finite")
		}
	case List, Object:
		if depth > c.l.Depth {
			c.refuse(RefusedTooDeep, field, fmt.Sprintf("nested deeper than %d", c.l.Depth))
			return
		}
		if v.kind == Object {
			c.props(field, v.obj(), depth)
			return
		}
		list := v.list()
		if len(list) > c.l.List {
			c.refuse(RefusedTooMany, field, fmt.Sprintf("%d elements, %d are allowed", len(list), c.l.List))
			return
		}
		for i := range list {
			c.value(field, list[i], depth+1)
		}
	}
}
