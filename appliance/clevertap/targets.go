package clevertap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/query"
)

// estimate counts whom a target would reach now: those in its audience with an
// address and, unless a contract is the basis, a consent. Caps, quiet hours and
// the control group are the gate's, at hand-off.
func (c *call) estimate(t *target) (map[string]any, error) {
	all := []any{t.audience, node{"reachable": t.obj.Channel}}
	if t.obj.Channel == "webhook" {
		all = all[:1]
	}
	if t.obj.Class == campaign.Marketing {
		all = append(all, node{"consent": node{"purpose": t.obj.Purpose, "channel": t.obj.Channel}})
	}
	if t.obj.Channel != "push" {
		n, err := c.persons(node{"all": all})
		return map[string]any{t.obj.Channel: n}, err
	}
	expression, err := json.Marshal(node{"all": all})
	if err != nil {
		return nil, fmt.Errorf("encoding an audience: %w", err)
	}
	who, err := c.pub.Whom(c.Context(), expression)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, p := range t.obj.Platforms {
		out[platformNames[p]] = who.AndCardinality(c.pub.ReachableOn(p))
	}
	return out, nil
}

// createTarget makes a campaign of ours, and sets it running.
func (d *Door) createTarget(c *call) (answer, error) {
	t, err := d.readTarget(c)
	if err != nil {
		return nil, err
	}
	out := answer{}
	if len(t.ignored) > 0 {
		out["ignored"] = t.ignored
	}
	o := c.body.Object()
	only := isTrue(event.Lookup(o, "estimate_only"))
	if only || !isTrue(event.Lookup(o, "skip_estimate")) {
		if out["estimates"], err = c.estimate(t); err != nil {
			return nil, err
		}
	}
	if only {
		return out, nil
	}
	defer d.making.lock(c.key.Of)()
	id, err := d.freeID(c)
	if err != nil {
		return nil, err
	}
	t.obj.ID = strconv.FormatInt(id, 10)
	if err := d.save(c, "campaign.make", &t.obj); err != nil {
		return nil, err
	}
	out["id"] = id
	return out, nil
}

// estimateTarget is the old call that only counts.
func (d *Door) estimateTarget(c *call) (answer, error) {
	t, err := d.readTarget(c)
	if err != nil {
		return nil, err
	}
	n, err := c.estimate(t)
	if err != nil {
		return nil, err
	}
	return answer{"estimates": n}, nil
}

// freeID gives the number of a new target: the second that it was made in, or
// the next that is free. So it also says when that was.
func (d *Door) freeID(c *call) (int64, error) {
	for id := c.now.Unix(); id < c.now.Unix()+campaign.MaxCampaigns; id++ {
		switch _, err := c.pub.Campaigns().Get(strconv.FormatInt(id, 10)); {
		case errors.Is(err, campaign.ErrUnknown):
			return id, nil
		case err != nil:
			return 0, err
		}
	}
	return 0, wrong("there are as many campaigns as there can be")
}

// madeAt is when a target was made; zero if the campaign is not one.
func madeAt(id string) time.Time {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1e9 || n > 1e11 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// save checks and saves a campaign.
func (d *Door) save(c *call, action string, obj *campaign.Campaign) error {
	body, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("encoding a campaign: %w", err)
	}
	checked, err := c.pub.Campaigns().Validate(body)
	if err != nil {
		return err
	}
	return d.change(c, audit.Entry{Action: action, Subject: "campaign " + obj.ID}, func() error { return c.pub.SaveCampaign(c.Context(), checked) })
}

// statusOf is a campaign's state in the vendor's words.
func statusOf(s *campaign.Status) string {
	switch s.State {
	case campaign.Draft:
		return "draft"
	case campaign.Paused:
		return "paused"
	}
	if p := s.Progress; p != nil {
		switch p.State {
		case campaign.RunWaiting:
			if s.State == campaign.Running {
				return "scheduled"
			}
		case campaign.RunBegun:
			return "pending"
		case campaign.RunSending:
			return "running"
		case campaign.RunDone:
			return "completed"
		}
		return "stopped"
	}
	if s.State == campaign.Running {
		return "running"
	}
	return "stopped"
}

// targetOf finds the target that a call names.
func (c *call) targetOf() (*campaign.Status, error) {
	o := c.body.Object()
	if err := known("", o, "id"); err != nil {
		return nil, err
	}
	id := idText(event.Lookup(o, "id"))
	if id == "" {
		id = c.URL.Query().Get("id")
	}
	if id == "" {
		return nil, wrong("id is needed")
	}
	s, err := c.pub.Campaigns().Get(id)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// idOf is a campaign's id as the vendor has it: a number, where it is one.
func idOf(id string) any {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && strconv.FormatInt(n, 10) == id {
		return n
	}
	return id
}

// listTargets lists the targets of a range, by the day that they are due.
func (d *Door) listTargets(c *call) (answer, error) {
	o := c.body.Object()
	if err := known("", o, "from", "to"); err != nil {
		return nil, err
	}
	from, to, err := c.dates(o)
	if err != nil {
		return nil, err
	}
	all, err := c.pub.Campaigns().List()
	if err != nil {
		return nil, err
	}
	type row struct {
		ID     any    `json:"id"`
		Name   string `json:"name"`
		On     int64  `json:"scheduled_on"` // yyyymmddHHMM
		Status string `json:"status"`
	}
	out := []row{}
	for i := range all {
		s := &all[i]
		at := madeAt(s.ID)
		if at.IsZero() || s.Trigger.Type != campaign.TriggerOnce {
			continue
		}
		if s.Progress != nil {
			at = s.Progress.At
		} else if s.Trigger.At != nil {
			at = *s.Trigger.At
		}
		at = at.In(c.pub.Location())
		if day := at.Format(time.DateOnly); day < from || day > to {
			continue
		}
		out = append(out, row{idOf(s.ID), s.Name, vendorTime(at) / 100, statusOf(s)})
	}
	return answer{"targets": out, "total_results": len(out)}, nil
}

// dates reads from and to of a call that has no query.
func (c *call) dates(o []event.Prop) (from, to string, err error) {
	q := &where{}
	if err := q.dates("", o); err != nil {
		return "", "", err
	}
	if !q.dated {
		return "", "", wrong("from and to are needed")
	}
	return q.from, q.to, nil
}

// targetResult reports a target that has ended.
func (d *Door) targetResult(c *call) (answer, error) {
	s, err := c.targetOf()
	if err != nil {
		return nil, err
	}
	if status := statusOf(s); status != "completed" && status != "stopped" && s.Trigger.Type == campaign.TriggerOnce {
		return nil, &fault{http: http.StatusConflict, code: http.StatusConflict, message: "the campaign is " + status}
	}
	a, err := c.ask(node{"kind": "campaign", "campaign": s.ID})
	if err != nil {
		return nil, err
	}
	r, ok := a.Result.(*query.CampaignResult)
	if !ok {
		return nil, fmt.Errorf("a campaign was answered with %T", a.Result)
	}
	return answer{"result": map[string]any{
		"sent": r.Sent.Count, "viewed": r.Opened.People, "clicked": r.Clicked.People, "delivered": r.Delivered.Count, "bounced": r.Bounced.Count,
		"failed": r.Failed.Count, "held": r.Held.Count, "unsubscribed": r.Unsubscribed.People,
	}}, nil
}

// stopTarget ends a target for good.
func (d *Door) stopTarget(c *call) (answer, error) {
	defer d.making.lock(c.key.Of)()
	s, err := c.targetOf()
	if err != nil {
		return nil, err
	}
	switch statusOf(s) {
	case "completed":
		return nil, wrong("the campaign is completed")
	case "stopped":
		return answer{"message": "the campaign is stopped"}, nil
	}
	obj := s.Campaign
	obj.State = campaign.Ended
	// As it stands it may have become wrong: ending always goes.
	err = d.change(c, audit.Entry{Action: "campaign.ended", Subject: "campaign " + obj.ID}, func() error { return c.pub.SaveCampaign(c.Context(), &obj) })
	if err != nil {
		return nil, err
	}
	return answer{"message": "the campaign is stopped"}, nil
}
