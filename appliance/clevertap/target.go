package clevertap

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
)

// targetNames are what creating a target takes; those of the second list change
// nothing here, and are named in the answer.
var (
	targetNames = []string{"name", "target_mode", "where", "segment", "when", "content", "devices", "estimate_only", "skip_estimate", "draft", "labels",
		"conversion_goal", "ttl", "purpose", "tag_group"}
	targetIgnored = []string{"provider_nick_name", "respect_frequency_caps", "send_to_all_devices", "respect_throttle", "control_group", "skip_control_group"}
)

// target is a campaign as a call describes it.
type target struct {
	obj      campaign.Campaign
	audience any
	ignored  []string
}

func (d *Door) readTarget(c *call) (*target, error) {
	o := c.body.Object()
	if err := known("", o, append(append([]string{}, targetNames...), targetIgnored...)...); err != nil {
		return nil, err
	}
	t := &target{}
	m, err := modeOf("target_mode", event.Lookup(o, "target_mode"))
	if err != nil {
		return nil, err
	}
	if err := m.devices("devices", event.Lookup(o, "devices")); err != nil {
		return nil, err
	}
	t.obj.Channel, t.obj.Platforms = m.channel, m.platforms
	if t.obj.Purpose, t.obj.Class, err = c.purposeOf(m.channel, o); err != nil {
		return nil, err
	}
	if t.obj.Name = event.Lookup(o, "name").Text(); t.obj.Name == "" || len(t.obj.Name) > 200 {
		return nil, wrong("name: 1 to 200 bytes are needed")
	}
	if t.audience, err = c.audienceOf(o); err != nil {
		return nil, err
	}
	var r reader
	if t.obj.Content, err = r.content(m, event.Lookup(o, "content")); err != nil {
		return nil, err
	}
	t.obj.Trigger.Type = campaign.TriggerOnce
	if t.obj.Trigger.Audience, err = json.Marshal(t.audience); err != nil {
		return nil, fmt.Errorf("encoding an audience: %w", err)
	}
	t.obj.State = campaign.Running
	if isTrue(event.Lookup(o, "draft")) {
		t.obj.State = campaign.Draft
	}
	if t.obj.Trigger.At, err = c.whenOf(event.Lookup(o, "when")); err != nil {
		return nil, err
	}
	if t.obj.Labels, err = texts("labels", event.Lookup(o, "labels")); err != nil {
		return nil, err
	}
	if t.obj.Expires, err = c.ttlOf(event.Lookup(o, "ttl"), t.obj.Trigger.At); err != nil {
		return nil, err
	}
	if t.obj.Goal, err = r.goalOf(event.Lookup(o, "conversion_goal")); err != nil {
		return nil, err
	}
	r.rest("", o, targetNames...)
	t.ignored = r.ignored
	return t, nil
}

// audienceOf reads whom a target is for: where, or a segment. Neither, or
// nothing in it, is everybody.
func (c *call) audienceOf(o []event.Prop) (any, error) {
	v, segment := event.Lookup(o, "where"), event.Lookup(o, "segment")
	if !segment.IsNull() {
		if len(v.Object()) > 0 {
			return nil, wrong("where and segment do not go together")
		}
		name := idText(segment)
		switch strings.ToLower(name) {
		case "":
			return nil, wrong("segment: the name of a saved segment is needed, or \"all\"")
		case "all":
			return node{"all": []any{}}, nil
		}
		return node{"segment": name}, nil
	}
	if !v.IsNull() && v.Kind() != event.Object {
		return nil, wrong("where: a query is needed")
	}
	q, err := readWhere("where", v.Object(), finding{c.pub})
	if err != nil {
		return nil, err
	}
	return q.expression()
}

// whenOf reads when a target goes out: nil is now. Times are the publisher's.
func (c *call) whenOf(v event.Value) (*time.Time, error) {
	text := v.Text()
	if o := v.Object(); v.Kind() == event.Object {
		switch kind := strings.ToLower(event.Lookup(o, "type").Text()); kind {
		case "now":
			return nil, nil
		case "later", "once", "date_time", "scheduled", "specific_date":
		default:
			return nil, wrong("when.type: now, or later with delivery_date_time; there is no %q here", clip(kind, 64))
		}
		for _, p := range o {
			if p.Key == "type" || p.Value.IsNull() {
				continue
			}
			if err := known("when", []event.Prop{p}, "type", "delivery_date_time", "delivery_date_times", "date_time", "datetime"); err != nil {
				return nil, err
			}
			at := p.Value
			if at.Kind() == event.List {
				if len(at.List()) != 1 {
					return nil, wrong("when.%s: one date; make a target for each", p.Key)
				}
				at = at.List()[0]
			}
			text = at.Text()
		}
	}
	switch {
	case v.IsNull():
		return nil, wrong("when: now, or a time as in \"20260131 18:00\", is needed")
	case strings.EqualFold(text, "now"):
		return nil, nil
	}
	at, err := time.ParseInLocation("20060102 15:04", text, c.pub.Location())
	if err != nil {
		return nil, wrong("when: now, or a time as in \"20260131 18:00\", is needed")
	}
	if at.Before(c.now.Add(-time.Minute)) {
		return nil, wrong("when: that time has passed")
	}
	return &at, nil
}

// ttlOf reads how long a message is worth sending: {"ttl_type": "absolute",
// "value": yyyymmddHHMM} or "relative" with minutes, or days, hours and
// minutes.
func (c *call) ttlOf(v event.Value, at *time.Time) (campaign.Duration, error) {
	if v.IsNull() {
		return 0, nil
	}
	o := v.Object()
	if v.Kind() != event.Object {
		return 0, wrong("ttl: an object with ttl_type and value is needed")
	}
	if err := known("ttl", o, "ttl_type", "value"); err != nil {
		return 0, err
	}
	value := event.Lookup(o, "value")
	var out time.Duration
	switch kind := strings.ToLower(event.Lookup(o, "ttl_type").Text()); kind {
	case "absolute":
		end, err := time.ParseInLocation("200601021504", idText(value), c.pub.Location())
		if err != nil {
			return 0, wrong("ttl.value: a time as in 202601311800 is needed")
		}
		from := c.now
		if at != nil {
			from = *at
		}
		out = end.Sub(from)
	case "relative":
		if n, ok := value.Number(); ok {
			out = time.Duration(n * float64(time.Minute))
			break
		}
		if err := known("ttl.value", value.Object(), "days", "hours", "minutes"); err != nil {
			return 0, err
		}
		for name, unit := range map[string]time.Duration{"days": 24 * time.Hour, "hours": time.Hour, "minutes": time.Minute} {
			n, _ := event.Lookup(value.Object(), name).Number()
			if n < 0 || n > 1e6 {
				return 0, wrong("ttl.value.%s: a number is needed", name)
			}
			out += time.Duration(n * float64(unit))
		}
	default:
		return 0, wrong("ttl.ttl_type: absolute or relative")
	}
	if out < time.Minute || out > campaign.MaxDelay {
		return 0, wrong("ttl: a minute to a year after the message is due")
	}
	return campaign.Duration(out.Truncate(time.Second)), nil
}

// goalOf reads what the campaign is for.
func (r *reader) goalOf(v event.Value) (*campaign.Goal, error) {
	if v.IsNull() {
		return nil, nil
	}
	o := v.Object()
	name := v.Text()
	for _, key := range []string{"event_name", "name", "event"} {
		if t := event.Lookup(o, key).Text(); t != "" {
			name = t
		}
	}
	if name == "" {
		return nil, wrong("conversion_goal: the name of an event is needed")
	}
	r.rest("conversion_goal", o, "event_name", "name", "event")
	ref, err := json.Marshal(node{"event": name})
	if err != nil {
		return nil, fmt.Errorf("encoding a goal: %w", err)
	}
	return &campaign.Goal{Event: ref}, nil
}

func texts(path string, v event.Value) ([]string, error) {
	if v.IsNull() {
		return nil, nil
	}
	if v.Kind() != event.List {
		return nil, wrong("%s: a list of texts is needed", path)
	}
	var out []string
	for i, e := range v.List() {
		if e.Text() == "" {
			return nil, wrong("%s[%d]: a text is needed", path, i)
		}
		out = append(out, e.Text())
	}
	return out, nil
}
