package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// openEngagement opens campaigns, delivery and erasure, and connects them to
// the rooms below.
func (p *Publisher) openEngagement() (err error) {
	o := &p.o
	purposes := make(map[string]delivery.Purpose, len(o.Purposes))
	names := make([]string, 0, len(o.Purposes))
	for _, u := range o.Purposes {
		purposes[u.Name] = delivery.Purpose{Contract: u.Basis == "contract", Messages: u.Cap.Messages, Per: u.Cap.Per}
		names = append(names, u.Name)
	}
	outbox := &outbox{}
	p.campaigns, err = campaign.Open(p.db, campaign.Options{
		Keys:        o.Keys,
		Compile:     p.compile,
		CheckPeople: p.checkPeople,
		Journal:     p,
		Audience:    audience{p},
		Outbox:      outbox,
		Purposes:    names,
		Now:         o.Now,
		Logger:      o.Logger,
	})
	if err != nil {
		return err
	}
	p.delivery, err = delivery.Open(p.db, delivery.Options{
		Keys: o.Keys, Barrier: p, People: recipients{p.people}, Programme: contents{p.campaigns}, Audience: audience{p},
		Links: o.Links, Sender: o.Sender, Journal: p,
		Purposes: purposes, Quiet: o.Quiet, Rate: o.Rate, Location: o.Location,
		Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	outbox.delivery = p.delivery
	return p.openErasure()
}

// compile makes a campaign's trigger of an event reference.
func (p *Publisher) compile(ref []byte) (campaign.Matcher, error) {
	m, err := query.CompileEvent(ref, p.o.Location)
	if err != nil {
		return nil, err
	}
	if m.Timed() {
		return nil, &query.Error{Code: query.CodeNotYet, Path: "filter", Message: "a campaign is not started by the time of day"}
	}
	return m, nil
}

// checkPeople says whether a people expression is one; the error is a
// *query.Error.
func (p *Publisher) checkPeople(expression []byte) error {
	env, release := p.checkEnv()
	defer release()
	return query.CheckPeople(expression, env)
}

// checkEnv is what an expression is checked against, to be released.
func (p *Publisher) checkEnv() (query.Env, func()) {
	w := p.people.Snapshot()
	return query.Env{
		Data: query.Data{People: w}, Location: p.o.Location, Now: p.o.Now,
		Segment: p.programme.segment, RFMs: p.programme.rfms, Find: p.people.Find,
	}, w.Release
}

// goal is a campaign's, for questions about it.
func (p *Publisher) goal(campaign string) (query.Goal, bool) {
	g := p.campaigns.Goal(campaign)
	if g == nil {
		return query.Goal{}, false
	}
	return query.Goal{Event: g.Event, Within: time.Duration(g.Within), Revenue: g.Revenue}, true
}

// audience answers who is meant, as of now.
type audience struct{ p *Publisher }

func (a audience) People(ctx context.Context, expression []byte) (*roaring.Bitmap, error) {
	env, release, err := a.p.env(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return query.Evaluate(ctx, expression, env)
}

// outbox is delivery's, as campaigns know it.
type outbox struct{ delivery *delivery.Delivery }

func (o *outbox) Enqueue(t *kv.Txn, in campaign.Intention) error {
	return o.delivery.Enqueue(t, delivery.Intention(in))
}

func (o *outbox) Committed() { o.delivery.Committed() }

// recipients are people, as delivery knows them.
type recipients struct{ people *people.People }

func (r recipients) Recipient(person uint32) (delivery.Recipient, error) {
	who, err := r.people.Person(person)
	if errors.Is(err, people.ErrErased) || errors.Is(err, people.ErrUnknown) {
		return delivery.Recipient{}, fmt.Errorf("%w: %w", delivery.ErrGone, err)
	}
	if err != nil {
		return delivery.Recipient{}, err
	}
	addresses, since := who.Addresses, who.Since
	if len(who.Identities) > 0 { // a service of the publisher's knows people by the ids that it gave them
		id := who.Identities[0]
		addresses = append(slices.Clone(addresses), event.Address{Channel: "webhook", Value: id.Value})
		since = append(slices.Clone(since), id.Since)
	}
	return delivery.Recipient{
		Person: who.Number, Profile: who.Profile, Addresses: addresses, Since: since, On: who.On,
		Allowed: func(purpose, channel string) (bool, delivery.Consent) {
			return consentOf(who.Allowed(purpose, channel))
		},
	}, nil
}

func (r recipients) Allowed(person uint32, purpose, channel string) (bool, delivery.Consent) {
	return consentOf(r.people.Allowed(person, purpose, channel))
}

func consentOf(ok bool, c people.ConsentState) (bool, delivery.Consent) {
	return ok, delivery.Consent{Granted: c.Granted, Since: c.Since, Source: c.Source, Version: c.Version}
}

func (r recipients) Suppressed(channel, address string) bool {
	return r.people.Suppressed(channel, address)
}

func (r recipients) With(channel, address string) ([]uint32, error) {
	return r.people.With(channel, address)
}

// contents are campaigns, as delivery knows them.
type contents struct{ campaigns *campaign.Campaigns }

func (c contents) Content(id string, revision int) (delivery.Content, error) {
	one, err := c.campaigns.Revision(id, revision)
	if errors.Is(err, campaign.ErrUnknown) {
		return delivery.Content{}, fmt.Errorf("%w: %w", delivery.ErrGone, err)
	}
	if err != nil {
		return delivery.Content{}, err
	}
	out := delivery.Content{
		Subject: one.Content.Subject, HTML: one.Content.HTML, Text: one.Content.Text, Title: one.Content.Title, Link: one.Content.Link,
		Sender: one.Content.Sender, Template: one.Content.Template,
		Direct: one.Trigger.Type == campaign.TriggerAPI, Paused: one.State == campaign.Paused, People: one.People, Control: one.Control,
	}
	if p := one.Content.Push; p != nil {
		out.Push = &delivery.Push{
			Subtitle: p.Subtitle, Image: p.Image, Badge: p.Badge, Links: p.Links, Data: p.Data, Sound: p.Sound, Channel: p.Channel,
			Category: p.Category, Thread: p.Thread, Collapse: p.Collapse, Urgent: p.Urgent, Silent: p.Silent,
		}
		for _, b := range p.Buttons {
			out.Push.Buttons = append(out.Push.Buttons, delivery.Button(b))
		}
	}
	if one.Limit != nil {
		out.LimitMessages, out.LimitPer = one.Limit.PerPerson, time.Duration(one.Limit.Every)
	}
	return out, nil
}

func (c contents) Wanted(id, message string) (bool, string, error) {
	return c.campaigns.Wanted(id, message)
}

// Allowed says whether the person agreed to a purpose on a channel.
func (p *Publisher) Allowed(person uint32, purpose, channel string) bool {
	ok, _ := p.people.Allowed(person, purpose, channel)
	return ok
}
