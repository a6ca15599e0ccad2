package query

import (
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Goal is what a campaign is for, as it was saved with it: what a question of
// kind campaign leaves out is taken from there.
type Goal struct {
	Event   []byte        // event reference
	Within  time.Duration // of a message
	Revenue string        // property with the amount; "" = none
}

// goalWindow is how long after a message a conversion counts, where neither the
// question nor the campaign says.
var goalWindow = span{7, unitDay}

// campaignQuestion is a question of kind campaign.
type campaignQuestion struct {
	id, message string // "" = any; one of them is given
	stages      []*ref
	conversion  *ref // nil = none asked for
	window      span
	revenue     string // "" = none
	every       bool   // every message opens a window, not the first alone
	within      period
	breakdown   breakdown
	people      *expr
}

// stage is a kind of event about a message.
type stage int

const (
	stageSent stage = iota
	stageFailed
	stageHeld
	stageControl // held for the control group, beside stageHeld
	stageDelivered
	stageOpened
	stageClicked
	stageReplied
	stageBounced
	stageUnsubscribed
	stages
)

var stageEvents = [stages]string{
	event.NotificationSent, event.NotificationFailed, event.NotificationHeld, event.NotificationHeld,
	event.NotificationDelivered, event.NotificationViewed, event.NotificationClicked, event.NotificationReplied,
	event.NotificationBounced, event.ChannelUnsubscribed,
}

// reasonControl is the reason of a message held for the control group, as
// delivery writes it.
const reasonControl = "control"

func (c *parser) campaign(f *fields) (question, error) {
	q := &campaignQuestion{window: goalWindow}
	var err error
	for _, x := range []struct {
		key string
		to  *string
	}{{"campaign", &q.id}, {"message", &q.message}} {
		n := f.take(x.key)
		if *x.to, err = n.textOr(""); err != nil {
			return nil, err
		}
		if !n.absent() && *x.to == "" {
			return nil, n.bad("a %s has an id", x.key)
		}
	}
	if q.id == "" && q.message == "" {
		return nil, fail(CodeMissing, join(f.path, "campaign"), "a campaign is needed, or a message")
	}
	if err := c.campaignStages(q); err != nil {
		return nil, err
	}
	if err := c.campaignGoal(q, f); err != nil {
		return nil, err
	}
	if q.within, err = c.period(f); err != nil {
		return nil, err
	}
	if q.breakdown, err = c.breakdown(f.take("breakdown")); err != nil {
		return nil, err
	}
	q.people, err = c.people(f.take("people"))
	return q, err
}

// campaignStages makes the references to what is told of the messages.
func (c *parser) campaignStages(q *campaignQuestion) error {
	top := c.top
	c.top = nil // the filter beside kind is about the conversion
	defer func() { c.top = top }()
	is := func(key, value string) event.Value {
		return event.OfObject([]event.Prop{{Key: "property", Value: event.OfText(key)}, {Key: "op", Value: event.OfText("=")}, {Key: "value", Value: event.OfText(value)}})
	}
	var about []event.Value
	if q.id != "" {
		about = append(about, is(event.PropCampaign, q.id))
	}
	if q.message != "" {
		about = append(about, is(event.PropMessage, q.message))
	}
	for s, name := range stageEvents {
		all := about
		if stage(s) == stageControl {
			all = append(all[:len(all):len(all)], is(event.PropReason, reasonControl))
		}
		filter, err := c.filter(node{v: event.OfObject([]event.Prop{{Key: "all", Value: event.OfList(all)}}), path: "campaign"})
		if err != nil {
			return err
		}
		q.stages = append(q.stages, &ref{name: name, filter: filter})
	}
	return nil
}

// campaignGoal reads what counts as a conversion. What is left out is the
// campaign's own goal, except that its amount belongs to its event.
func (c *parser) campaignGoal(q *campaignQuestion, f *fields) error {
	var saved Goal
	has := false
	if c.goal != nil && q.id != "" {
		saved, has = c.goal(q.id)
	}
	if has && saved.Within > 0 {
		q.window = spanOf(saved.Within)
	}
	conversion, window, revenue, start := f.take("conversion"), f.take("window"), f.take("revenue"), f.take("start")
	switch {
	case !conversion.absent():
	case has:
		v, err := parseText(saved.Event)
		if err != nil {
			return err
		}
		conversion.v = v
		q.revenue = saved.Revenue
	default:
		for _, n := range []node{window, revenue, start} {
			if !n.absent() {
				return fail(CodeMissing, conversion.path, "an event reference is needed: the campaign has no goal of its own")
			}
		}
		return nil
	}
	var err error
	if q.conversion, err = c.onlyRef(conversion); err != nil {
		return err
	}
	if !window.absent() {
		if q.window, err = window.span(); err != nil {
			return err
		}
	}
	if !revenue.absent() {
		if q.revenue, err = revenue.text(); err != nil {
			return err
		}
		if q.revenue == "" {
			return revenue.bad("a property has a name")
		}
	}
	i, err := start.oneOf(0, "first", "any")
	q.every = i == 1
	return err
}

// spanOf is a length of time in the largest unit that it is whole in, up to days.
func spanOf(d time.Duration) span {
	for u := unitDay; u > unitSecond; u-- {
		if length := time.Duration(unitLengths[u]) * time.Microsecond; d%length == 0 {
			return span{float64(d / length), u}
		}
	}
	return span{d.Seconds(), unitSecond}
}

func (c *campaignQuestion) answer(q *run) (any, error) {
	people, err := q.limit(c.people)
	if err != nil {
		return nil, err
	}
	sent, exposed, err := c.readMessages(q, people)
	if err != nil {
		return nil, err
	}
	arms := newArms(q, c)
	if c.conversion != nil {
		if arms, err = c.readArms(q, exposed); err != nil {
			return nil, err
		}
	}
	return c.result(q, sent, arms)
}

// readMessages counts what is told of the messages, and finds the people whose
// conversions matter.
func (c *campaignQuestion) readMessages(q *run, people *roaring.Bitmap) (*messageReport, *roaring.Bitmap, error) {
	p := &pass{refs: c.stages, people: people, within: c.within, dims: append([]dimension{{key: event.PropReason}}, c.breakdown.dims...)}
	took, err := q.read(p, func() consumer { return newMessageReport(q, c) })
	if err != nil {
		return nil, nil, err
	}
	all, exposed := newMessageReport(q, c), roaring.New()
	for _, t := range took {
		r := t.(*messageReport)
		all.merge(r)
		exposed.AddMany(r.exposed)
	}
	return all, exposed, all.reserve()
}

// readArms follows the people who were to get a message, or were held for the
// control group, to their conversions.
func (c *campaignQuestion) readArms(q *run, exposed *roaring.Bitmap) (*arms, error) {
	p := &pass{refs: []*ref{c.stages[stageSent], c.stages[stageFailed], c.stages[stageControl], c.conversion},
		people: exposed, within: c.within, dims: c.breakdown.dims}
	if c.revenue != "" {
		p.numbers = []string{c.revenue}
	}
	if !p.within.toOpen {
		// A conversion may come after the range; a calendar's months are not of
		// one length, so the last message need not wait the longest.
		p.within.to = q.cal.add(p.within.to, c.window, 1) + 4*day
	}
	took, err := q.read(p, func() consumer { return newArms(q, c) })
	if err != nil {
		return nil, err
	}
	all := newArms(q, c)
	for _, t := range took {
		all.merge(t.(*arms))
		if err := all.reserve(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
