package clevertap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Bounds of one call.
const (
	maxAddresses  = 1000 // subscribe, disassociate
	maxIdentities = 100  // demerge, delete
)

// unprocessed is one entry that was not taken, as in the answer to an upload.
type unprocessed struct {
	Status string `json:"status"`
	Code   int    `json:"code"`
	Error  string `json:"error"`
	Record any    `json:"record"`
}

// processed answers for a list of which some were taken.
func processed(n int, rest []unprocessed) answer {
	status := "success"
	switch {
	case n == 0 && len(rest) > 0:
		status = "fail"
	case len(rest) > 0:
		status = "partial"
	}
	if rest == nil {
		rest = []unprocessed{}
	}
	a := answer{"status": status, "processed": n, "unprocessed": rest}
	if status == "fail" {
		a["error"], a["code"] = rest[0].Error, rest[0].Code
	}
	return a
}

// entries are the records of {"d": [..]}.
func (c *call) entries() ([]event.Value, error) {
	if err := known("", c.body.Object(), "d"); err != nil {
		return nil, err
	}
	d := event.Lookup(c.body.Object(), "d")
	if d.Kind() != event.List || len(d.List()) == 0 {
		return nil, wrong("the body must be an object with a list d")
	}
	if len(d.List()) > maxAddresses {
		return nil, wrong("d holds %d records, and at most %d are taken", len(d.List()), maxAddresses)
	}
	return d.List(), nil
}

// addressChannels are the channels of an entry's type.
var addressChannels = map[string]string{"email": "email", "phone": "sms"}

// addressOf reads {type, value}.
func addressOf(e event.Value) (channel, value string, err error) {
	o := e.Object()
	kind := strings.ToLower(event.Lookup(o, "type").Text())
	if kind == "whatsapp" {
		return "", "", wrong("there is no channel whatsapp here")
	}
	channel = addressChannels[kind]
	value = idText(event.Lookup(o, "value"))
	switch {
	case channel == "":
		return "", "", wrong("type must be email or phone")
	case value == "" || len(value) > event.DefaultLimits().Identity:
		return "", "", wrong("value is missing")
	case channel == "sms":
		if value = phone(value); len(value) < 8 || len(value) > 16 {
			return "", "", wrong("value must be a number with its country code, as +14155550123")
		}
	case !strings.Contains(value, "@"):
		return "", "", wrong("value is no e-mail address")
	}
	return channel, value, nil
}

// subscribe takes decisions about addresses: they are those of everybody who
// has the address, for each purpose that uses its channel.
func (d *Door) subscribe(c *call) (answer, error) {
	return d.aboutAddresses(c, "people.subscribe", func(e event.Value, channel, value string, persons []uint32) ([]event.Fact, error) {
		var granted bool
		switch strings.ToLower(event.Lookup(e.Object(), "status").Text()) {
		case "unsubscribe":
		case "resubscribe":
			granted = true
		default:
			return nil, wrong("status must be Unsubscribe or Resubscribe")
		}
		var consents []event.Consent
		for _, u := range c.pub.Purposes() {
			if len(u.Channels) == 0 || slices.Contains(u.Channels, channel) {
				consents = append(consents, event.Consent{Purpose: u.Name, Channel: channel, Granted: granted, Source: "clevertap subscribe"})
			}
		}
		var facts []event.Fact
		for _, n := range persons {
			facts = append(facts, event.Fact{Kind: event.Identify, Person: n, Consents: consents})
		}
		return facts, nil
	})
}

// disassociate takes a number away from everybody who has it.
func (d *Door) disassociate(c *call) (answer, error) {
	return d.aboutAddresses(c, "people.disassociate", func(e event.Value, channel, value string, persons []uint32) ([]event.Fact, error) {
		if channel != "sms" {
			return nil, wrong("type must be phone")
		}
		if len(persons) == 0 {
			return nil, unknown("nobody has this number")
		}
		var facts []event.Fact
		for _, n := range persons {
			f := event.Fact{Kind: event.Identify, Person: n, Addresses: []event.Address{{Channel: channel, Value: value, Removed: true}}}
			p, err := c.pub.Known(n)
			if gone(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if v := event.Lookup(p.Profile, "Phone"); !v.IsNull() && phone(v.String()) == value {
				f.Changes = []event.Change{{Key: "Phone", Op: event.Delete, Personal: true}}
			}
			facts = append(facts, f)
		}
		return facts, nil
	})
}

// aboutAddresses makes facts of each entry of a list of addresses.
func (d *Door) aboutAddresses(c *call, action string, facts func(e event.Value, channel, value string, persons []uint32) ([]event.Fact, error)) (answer, error) {
	list, err := c.entries()
	if err != nil {
		return nil, err
	}
	var all []event.Fact
	var rest []unprocessed
	for i, e := range list {
		channel, value, err := addressOf(e)
		var made []event.Fact
		if err == nil {
			var persons []uint32
			if persons, err = c.pub.With(channel, value); err != nil {
				return nil, err
			}
			made, err = facts(e, channel, value, persons)
		}
		if err != nil {
			f := faultOf(err)
			if f.http >= 500 {
				return nil, err
			}
			rest = append(rest, unprocessed{"fail", f.code, fmt.Sprintf("%s. Skipped record number : %d", f.message, i+1), e})
			continue
		}
		all = append(all, made...)
	}
	if len(all) > 0 {
		err = d.change(c, audit.Entry{Action: action, Detail: fmt.Sprintf("%d addresses, %d people", len(list)-len(rest), len(all))},
			func() error { return c.pub.Tell(c.Context(), all) })
		if err != nil {
			return nil, err
		}
	}
	return processed(len(list)-len(rest), rest), nil
}

// ids reads one id, or a list of ids.
func ids(path string, v event.Value) ([]string, error) {
	list := v.List()
	if v.Kind() != event.List {
		list = []event.Value{v}
	}
	if len(list) > maxIdentities {
		return nil, wrong("%s: %d ids, and at most %d are taken", path, len(list), maxIdentities)
	}
	var out []string
	for i, e := range list {
		id := idText(e)
		if id == "" || len(id) > event.DefaultLimits().Identity {
			return nil, wrong("%s[%d]: an id is needed", path, i)
		}
		out = append(out, id)
	}
	return out, nil
}

// demerge parts what was joined with an identity, at once.
func (d *Door) demerge(c *call) (answer, error) {
	o := c.body.Object()
	if err := known("", o, "identities"); err != nil {
		return nil, err
	}
	list, err := ids("identities", event.Lookup(o, "identities"))
	if err != nil {
		return nil, err
	}
	var facts []event.Fact
	var rest []unprocessed
	for _, id := range list {
		n, ok := c.pub.FindIdentity(id)
		if !ok {
			rest = append(rest, unprocessed{"fail", 404, "there is no such profile", id})
			continue
		}
		facts = append(facts, event.Fact{Kind: event.Demerge, Person: n})
	}
	if len(facts) > 0 {
		err = d.change(c, audit.Entry{Action: "person.demerge", Subject: subjects(facts)}, func() error { return c.pub.Tell(c.Context(), facts) })
		if err != nil {
			return nil, err
		}
	}
	return processed(len(facts), rest), nil
}

// subjects names the people of facts, as many as an entry has room for.
func subjects(facts []event.Fact) string {
	var b strings.Builder
	for i, f := range facts {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > audit.MaxText-40 {
			fmt.Fprintf(&b, "and %d more", len(facts)-i)
			break
		}
		b.WriteString(subject(f.Person))
	}
	return b.String()
}

// deleteProfiles forgets people: when it is answered no question and no send
// sees them. Each request leads to its certificate.
func (d *Door) deleteProfiles(c *call) (answer, error) {
	o := c.body.Object()
	if err := known("", o, "identity", "guid"); err != nil {
		return nil, err
	}
	var persons []uint32
	var named []string
	var rest []unprocessed
	n := 0
	for _, kind := range []struct {
		name string
		find func(string) (uint32, bool)
	}{{"identity", c.pub.FindIdentity}, {"guid", c.pub.FindDevice}} {
		v := event.Lookup(o, kind.name)
		if v.IsNull() {
			continue
		}
		list, err := ids(kind.name, v)
		if err != nil {
			return nil, err
		}
		for _, id := range list {
			who, ok := kind.find(id)
			if !ok {
				rest = append(rest, unprocessed{"fail", 404, "there is no such profile", id})
				continue
			}
			n++
			if !slices.Contains(persons, who) {
				persons, named = append(persons, who), append(named, id)
			}
		}
	}
	if n+len(rest) == 0 {
		return nil, wrong("identity or guid is needed")
	}
	requests := map[string]string{}
	if len(persons) > 0 {
		facts := make([]event.Fact, len(persons))
		for i, who := range persons {
			facts[i].Person = who
		}
		err := d.change(c, audit.Entry{Action: "person.erase", Subject: subjects(facts)}, func() error {
			all, err := c.pub.EraseAll(c.Context(), persons)
			for i, r := range all {
				requests[named[i]] = r
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	a := processed(n, rest)
	a["requests"] = requests
	return a, nil
}
