package clevertap

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/publisher"
)

// profile answers for one person, by identity, email or objectId.
func (d *Door) profile(c *call) (answer, error) {
	var by, value string
	for _, name := range []string{"email", "identity", "objectId"} {
		v := c.URL.Query().Get(name)
		if b := event.Lookup(c.body.Object(), name); !b.IsNull() {
			v = idText(b)
		}
		if v == "" {
			continue
		}
		if by != "" {
			return nil, wrong("one of email, identity and objectId is needed, not several")
		}
		by, value = name, v
	}
	if by == "" {
		return nil, wrong("email, identity or objectId is needed")
	}
	n, ok, err := c.find(by, value)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, unknown("there is no such profile")
	}
	p, err := c.pub.Known(n)
	if err != nil {
		return nil, err
	}
	if err := d.record(c, audit.Entry{Action: "person.read", Subject: subject(p.Number)}); err != nil {
		return nil, err
	}
	did, err := c.pub.Activities(c.Context(), []uint32{n})
	if err != nil {
		return nil, err
	}
	return answer{"record": showProfile(p, did[p.Number], show{app: true, events: true, profile: true})}, nil
}

// find gives whom an id of a kind means. Of several with one address it is the
// one known longest.
func (c *call) find(by, value string) (n uint32, ok bool, err error) {
	if len(value) > event.DefaultLimits().Identity {
		return 0, false, nil
	}
	switch by {
	case "identity":
		n, ok = c.pub.FindIdentity(value)
	case "objectId":
		n, ok = c.pub.FindDevice(value)
	case "email":
		all, err := c.pub.With("email", value)
		if err != nil || len(all) == 0 {
			return 0, false, err
		}
		return all[0], true, nil
	}
	return n, ok, nil
}

func subject(person uint32) string { return fmt.Sprintf("person %d", person) }

// gone says that somebody is not there any more.
func gone(err error) bool {
	return errors.Is(err, people.ErrErased) || errors.Is(err, people.ErrUnknown)
}

// idText is an id that may come as a text or as a whole number.
func idText(v event.Value) string {
	if v.Kind() == event.Text || v.Kind() == event.Int {
		return v.String()
	}
	return ""
}

// props are properties as a JSON object, in their order, dates as the vendor
// writes them.
type props []event.Prop

func (p props) MarshalJSON() ([]byte, error) {
	out := make([]event.Prop, len(p))
	for i, one := range p {
		out[i] = event.Prop{Key: one.Key, Value: vendorDates(one.Value)}
	}
	return event.AppendJSONProps(nil, out), nil
}

func vendorDates(v event.Value) event.Value {
	switch v.Kind() {
	case event.Time:
		return event.OfText(fmt.Sprintf("$D_%d", v.Micros()/1_000_000))
	case event.List:
		out := make([]event.Value, len(v.List()))
		for i, e := range v.List() {
			out[i] = vendorDates(e)
		}
		return event.OfList(out)
	case event.Object:
		out := make([]event.Prop, len(v.Object()))
		for i, e := range v.Object() {
			out[i] = event.Prop{Key: e.Key, Value: vendorDates(e.Value)}
		}
		return event.OfObject(out)
	}
	return v
}

// show says which parts of a profile are wanted.
type show struct{ app, events, profile bool }

type profileJSON struct {
	Identity   string                  `json:"identity,omitempty"`
	Identities []string                `json:"all_identities,omitempty"`
	ObjectID   string                  `json:"objectId,omitempty"`
	Name       json.RawMessage         `json:"name,omitempty"`
	Email      string                  `json:"email,omitempty"`
	Phone      string                  `json:"phone,omitempty"`
	Profile    *props                  `json:"profileData,omitempty"`
	Events     map[string]activityJSON `json:"events,omitempty"`
	Platforms  []platformJSON          `json:"platformInfo,omitempty"`
}

type activityJSON struct {
	Count     int64 `json:"count"`
	FirstSeen int64 `json:"first_seen"` // seconds
	LastSeen  int64 `json:"last_seen"`
}

type platformJSON struct {
	Platform  string `json:"platform,omitempty"`
	ObjectID  string `json:"objectId,omitempty"`
	PushToken string `json:"push_token,omitempty"`
}

var platforms = map[string]string{"fcm": "Android", "apns": "iOS", "webpush": "Web"}

func showProfile(p *people.Person, did map[string]publisher.Activity, s show) profileJSON {
	var out profileJSON
	for _, i := range p.Identities {
		out.Identities = append(out.Identities, i.Value)
	}
	if len(out.Identities) > 0 {
		out.Identity = out.Identities[0]
	}
	if len(p.Devices) > 0 {
		out.ObjectID = p.Devices[0].ID
	}
	data := props{}
	for _, a := range p.Profile {
		switch a.Key {
		case "Name":
			out.Name = a.Value.AppendJSON(nil)
		case "Email", "Phone": // below, as addresses
		default:
			data = append(data, a)
		}
	}
	for _, a := range p.Addresses {
		switch a.Channel {
		case "email":
			out.Email = cmp.Or(out.Email, a.Value)
		case "sms":
			out.Phone = cmp.Or(out.Phone, a.Value)
		case "push":
			if s.app {
				out.Platforms = append(out.Platforms, platformJSON{Platform: platforms[a.Platform], PushToken: a.Value})
			}
		}
	}
	if s.profile {
		out.Profile = &data
	}
	if s.app {
		for _, dev := range p.Devices {
			out.Platforms = append(out.Platforms, platformJSON{ObjectID: dev.ID})
		}
		// With one device and one token it is the device's.
		if len(out.Platforms) == 2 && len(p.Devices) == 1 {
			out.Platforms[0].ObjectID = out.Platforms[1].ObjectID
			out.Platforms = out.Platforms[:1]
		}
	}
	if s.events {
		out.Events = make(map[string]activityJSON, len(did))
		for name, a := range did {
			out.Events[name] = activityJSON{a.Count, a.First / 1_000_000, a.Last / 1_000_000}
		}
	}
	slices.Sort(out.Identities[min(1, len(out.Identities)):])
	return out
}
