package clevertap

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Bounds of a direct send.
const (
	maxRecipients    = 1000
	maxContent       = 60 << 10 // bytes of what one message says: it travels with each
	maxCallCampaigns = 500      // campaigns that calls make for their tag groups
)

var (
	sendNames   = []string{"to", "content", "tag_group", "campaign_id", "purpose", "labels", "devices"}
	sendIgnored = []string{"provider_nick_name", "notification_sent", "respect_frequency_caps", "send_to_all_devices", "ttl", "name"}
)

// send asks for a message to people that the call names. What is asked is on
// disk when it is answered; whether it may go, the gate says, as of every
// message: consent, caps, quiet hours, suppression.
func (d *Door) send(c *call) (answer, error) {
	o := c.body.Object()
	if err := known("", o, append(append([]string{}, sendNames...), sendIgnored...)...); err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(path.Base(c.URL.Path), ".json")
	m := modes[name]
	if err := m.devices("devices", event.Lookup(o, "devices")); err != nil {
		return nil, err
	}
	purpose, class, err := c.purposeOf(m.channel, o)
	if err != nil {
		return nil, err
	}
	var r reader
	content, err := r.content(m, event.Lookup(o, "content"))
	if err != nil {
		return nil, err
	}
	says := campaign.ContentProps(content)
	if n := len(event.AppendProps(nil, says)); n > maxContent {
		return nil, wrong("content: %d bytes, and at most %d go with a direct message; make a campaign of it (targets/create.json)", n, maxContent)
	}
	persons, strangers, err := c.recipients(event.Lookup(o, "to"))
	if err != nil {
		return nil, err
	}
	r.rest("", o, sendNames...)
	out := answer{"message": "Added to queue for processing", "queued": len(persons), "unknown": strangers}
	if len(persons) > 0 {
		group := idText(event.Lookup(o, "tag_group"))
		if group == "" {
			group = idText(event.Lookup(o, "campaign_id"))
		}
		id, err := d.callCampaign(c, name, m, purpose, class, group, &r)
		if err != nil {
			return nil, err
		}
		err = d.change(c, audit.Entry{Action: "message.send", Subject: "campaign " + id, Detail: fmt.Sprintf("%s, %d people", name, len(persons))}, func() error {
			sent, err := c.pub.Send(c.Context(), id, persons, says)
			if err != nil && sent > 0 {
				return fmt.Errorf("%d of %d are queued: %w", sent, len(persons), err)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(r.ignored) > 0 {
		out["ignored"] = r.ignored
	}
	return out, nil
}

// recipients finds whom a call names: {"Identity": [..], "Email": [..], ..},
// in any spelling. Each gets one message, however often they are named.
func (c *call) recipients(v event.Value) (persons []uint32, strangers int, err error) {
	if v.Kind() != event.Object {
		return nil, 0, wrong("to: an object with Identity, Email, FBID, GPID or objectId is needed")
	}
	n := 0
	for _, p := range v.Object() {
		kind := strings.ToLower(p.Key)
		if p.Value.IsNull() {
			continue
		}
		list := p.Value.List()
		if p.Value.Kind() != event.List {
			list = []event.Value{p.Value}
		}
		if n += len(list); n > maxRecipients {
			return nil, 0, wrong("to: at most %d people are taken in one call", maxRecipients)
		}
		for i, e := range list {
			id := idText(e)
			if id == "" || len(id) > event.DefaultLimits().Identity {
				return nil, 0, wrong("to.%s[%d]: an id is needed", clip(p.Key, 64), i)
			}
			by := ""
			switch kind {
			case "identity":
				by = "identity"
			case "fbid", "gpid":
				by, id = "identity", strings.ToUpper(kind)+":"+id
			case "email":
				by = "email"
			case "objectid", "wzrk_id":
				by = "objectId"
			default:
				return nil, 0, wrong("to.%s: there is no such id; there are Identity, Email, FBID, GPID, objectId", clip(p.Key, 64))
			}
			who, ok, err := c.find(by, id)
			switch {
			case err != nil:
				return nil, 0, err
			case !ok:
				strangers++
			case !slices.Contains(persons, who):
				persons = append(persons, who)
			}
		}
	}
	if n == 0 {
		return nil, 0, wrong("to: nobody is named")
	}
	return persons, strangers, nil
}

// callCampaign gives the campaign that direct messages of a kind belong to: one
// for each channel, purpose and tag group, made when it is first needed. An
// operator sees, pauses and ends it like any other.
func (d *Door) callCampaign(c *call, name string, m mode, purpose, class, group string, r *reader) (string, error) {
	defer d.making.lock(c.key.Of)()
	all := c.pub.Campaigns()
	for {
		h := sha256.Sum256([]byte(strings.Join(append([]string{name, purpose, group}, m.platforms...), "\x00")))
		id := "api-" + hex.EncodeToString(h[:8])
		s, err := all.Get(id)
		switch {
		case err == nil && s.State == campaign.Running:
			return id, nil
		case err == nil:
			return "", wrong("the campaign %s, which these messages belong to, is %s", id, s.State)
		case !errors.Is(err, campaign.ErrUnknown):
			return "", err
		}
		if group != "" {
			list, err := all.List()
			if err != nil {
				return "", err
			}
			made := 0
			for i := range list {
				if list[i].Trigger.Type == campaign.TriggerAPI {
					made++
				}
			}
			if made >= maxCallCampaigns || len(group) > 128 {
				// Groups made of ids would make campaigns without end.
				group = ""
				r.ignore("tag_group")
				continue
			}
		}
		obj := &campaign.Campaign{
			ID: id, Name: "Calls: " + name + ", " + purpose, State: campaign.Running, Channel: m.channel, Platforms: m.platforms,
			Purpose: purpose, Class: class, Trigger: campaign.Trigger{Type: campaign.TriggerAPI},
		}
		if group != "" {
			obj.Name, obj.Labels = obj.Name+", "+clip(group, 100), []string{group}
		}
		return id, d.save(c, "campaign.make", obj)
	}
}
