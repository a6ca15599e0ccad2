package clevertap

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/query"
)

// messageJSON is a campaign as the report of messages has it.
type messageJSON struct {
	ID         any                `json:"message id"`
	Name       string             `json:"message_name"`
	Channel    string             `json:"channel"`
	Delivery   string             `json:"delivery"`
	Start      string             `json:"start_date"` // yyyymmdd
	Status     string             `json:"status"`
	Sent       any                `json:"sent"`
	Viewed     any                `json:"viewed"`
	Clicked    any                `json:"clicked"`
	Conversion string             `json:"conversion_event,omitempty"`
	Labels     []string           `json:"labels"`
	Days       map[string]dayJSON `json:"daily,omitempty"`
}

type dayJSON struct {
	Sent    any `json:"sent"`
	Viewed  any `json:"viewed"`
	Clicked any `json:"clicked"`
}

// reportSeries are what became of messages: those that went, and the people
// who looked or clicked.
func reportSeries() []node {
	return []node{
		{"name": "sent", "event": event.NotificationSent, "measure": "count"},
		{"name": "viewed", "event": event.NotificationViewed, "measure": "unique"},
		{"name": "clicked", "event": event.NotificationClicked, "measure": "unique"},
	}
}

// reportOf asks what became of all campaigns' messages, by campaign.
func (c *call) reportOf(interval string, span node) (*query.TrendResult, error) {
	q := node{"kind": "trend", "interval": interval, "series": reportSeries(), "breakdown": node{"property": event.PropCampaign, "limit": 10_000}}
	for k, v := range span {
		q[k] = v
	}
	return c.trend(q)
}

// messageReport reports the campaigns that began in a range.
func (d *Door) messageReport(c *call) (answer, error) {
	o := c.body.Object()
	if err := known("", o, "from", "to", "channel", "delivery", "status", "label", "message_type", "daily"); err != nil {
		return nil, err
	}
	from, to, err := c.dates(o)
	if err != nil {
		return nil, err
	}
	filters := map[string][]string{}
	for _, name := range []string{"channel", "delivery", "status", "label", "message_type"} {
		v := event.Lookup(o, name)
		if v.Kind() == event.Text && v.Text() != "" {
			v = event.OfList([]event.Value{v})
		}
		if filters[name], err = texts(name, v); err != nil {
			return nil, err
		}
	}
	wanted := func(name string, values ...string) bool {
		list := filters[name]
		return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(s, v) })
		})
	}
	all, err := c.pub.Campaigns().List()
	if err != nil {
		return nil, err
	}
	told, err := c.reportOf("all", nil)
	if err != nil {
		return nil, err
	}
	starts, err := c.firstSent(from, to)
	if err != nil {
		return nil, err
	}
	out := []*messageJSON{}
	by := map[string]*messageJSON{}
	for i := range all {
		s := &all[i]
		start := startOf(s, starts, c.pub.Location())
		channels := []string{s.Channel}
		if s.Channel == "push" && slices.Equal(s.Platforms, []string{"webpush"}) {
			channels = []string{"browser", "webpush"}
		}
		if s.Channel == "webhook" {
			channels = append(channels, "webhooks")
		}
		m := &messageJSON{
			ID: idOf(s.ID), Name: s.Name, Channel: channels[0], Delivery: deliveryOf(&s.Campaign), Start: strings.ReplaceAll(start, "-", ""), Status: statusOf(s),
			Sent: 0, Viewed: 0, Clicked: 0, Labels: s.Labels,
		}
		if m.Labels == nil {
			m.Labels = []string{}
		}
		if start < from || start > to || !wanted("channel", channels...) || !wanted("delivery", m.Delivery) || !wanted("status", m.Status) ||
			!wanted("label", m.Labels...) || !wanted("message_type", "single") {
			continue
		}
		if s.Goal != nil {
			var ref struct {
				Event string `json:"event"`
			}
			if err := json.Unmarshal(s.Goal.Event, &ref); err == nil {
				m.Conversion = ref.Event
			}
		}
		out, by[s.ID] = append(out, m), m
	}
	for _, s := range told.Series {
		if m := by[campaignOf(s)]; m != nil {
			*map[string]*any{"sent": &m.Sent, "viewed": &m.Viewed, "clicked": &m.Clicked}[s.Name] = whole(s.Total)
		}
	}
	if isTrue(event.Lookup(o, "daily")) && len(out) > 0 {
		if err := c.byDay(by, from, to); err != nil {
			return nil, err
		}
	}
	return answer{"total_results": len(out), "messages": out}, nil
}

// byDay adds what became of the messages on each day of the range that had any.
func (c *call) byDay(by map[string]*messageJSON, from, to string) error {
	t, err := c.reportOf("day", node{"from": from, "to": to})
	if err != nil {
		return err
	}
	for _, s := range t.Series {
		m := by[campaignOf(s)]
		if m == nil {
			continue
		}
		for i, v := range s.Values {
			if v == 0 {
				continue
			}
			day := strings.ReplaceAll(t.Buckets[i], "-", "")
			one, ok := m.Days[day]
			if !ok {
				one = dayJSON{0, 0, 0}
			}
			*map[string]*any{"sent": &one.Sent, "viewed": &one.Viewed, "clicked": &one.Clicked}[s.Name] = whole(v)
			if m.Days == nil {
				m.Days = map[string]dayJSON{}
			}
			m.Days[day] = one
		}
	}
	return nil
}

func campaignOf(s query.TrendSeries) string {
	if len(s.Breakdown) != 1 {
		return ""
	}
	return s.Breakdown[0].Text()
}

// firstSent gives the day of each campaign's first message, if that lies in the
// range; "0" if it lies before.
func (c *call) firstSent(from, to string) (map[string]string, error) {
	out := map[string]string{}
	t, err := c.reportOf("day", node{"from": from, "to": to})
	if err != nil {
		return nil, err
	}
	for _, s := range t.Series {
		if s.Name != "sent" {
			continue
		}
		if i := slices.IndexFunc(s.Values, func(v float64) bool { return v > 0 }); i >= 0 {
			out[campaignOf(s)] = t.Buckets[i]
		}
	}
	day, err := time.Parse(time.DateOnly, from)
	if err != nil {
		return nil, err
	}
	before, err := c.reportOf("all", node{"from": "1970-01-01", "to": day.AddDate(0, 0, -1).Format(time.DateOnly)})
	if err != nil {
		return nil, err
	}
	for _, s := range before.Series {
		if s.Name == "sent" && s.Total > 0 {
			out[campaignOf(s)] = "0"
		}
	}
	return out, nil
}

// startOf is the day that a campaign began: when a one-time one is due, or its
// first message, or that it was made; "" if it has not.
func startOf(s *campaign.Status, sent map[string]string, loc *time.Location) string {
	var at time.Time
	switch {
	case s.Progress != nil:
		at = s.Progress.At
	case s.Trigger.Type == campaign.TriggerOnce && s.Trigger.At != nil:
		at = *s.Trigger.At
	case sent[s.ID] != "":
		return sent[s.ID]
	default:
		at = madeAt(s.ID)
	}
	if at.IsZero() {
		return ""
	}
	return at.In(loc).Format(time.DateOnly)
}

// deliveryOf is what starts a campaign, in the vendor's words.
func deliveryOf(o *campaign.Campaign) string {
	switch o.Trigger.Type {
	case campaign.TriggerEvent:
		return "action"
	case campaign.TriggerInaction:
		return "inaction"
	case campaign.TriggerAPI:
		return "api"
	}
	return "one_time"
}
