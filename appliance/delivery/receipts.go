package delivery

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// maxReceiptAge bounds how far a receipt's own time is believed.
const maxReceiptAge = 30 * 24 * time.Hour

// Receipts turns what the provider of a channel's connector reports into facts
// and appends them. Receipts that name no message of that connector's, and no
// address that anybody has, are counted and dropped; those by a provider's id that
// is not known yet wait a while for their message's outcome. A provider's ids are
// its own: two connectors may have the same.
func (d *Delivery) Receipts(ctx context.Context, channel, from string, rs []connector.Receipt) error {
	var facts []event.Fact
	caughtUp, came := false, len(rs)
	for len(rs) > 0 {
		rc := rs[0]
		rs = rs[1:]
		r, err := d.receiptOf(channel, from, rc)
		if errors.Is(err, ErrUnknown) && rc.MessageID == "" && rc.ProviderID != "" && rc.Address == "" {
			d.early.put(from, rc, d.o.Now())
			d.counts.strays.Add(1)
			// The outcome may have been written since it was looked for: then whoever
			// takes what waits, here or there, sees to all of it.
			if _, err = d.receiptOf(channel, from, rc); !errors.Is(err, ErrUnknown) {
				rs = append(slices.Clone(rs), d.early.take(from, rc.ProviderID)...)
			}
			if err == nil || errors.Is(err, ErrUnknown) {
				continue
			}
		}
		if err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
		wish := rc.Kind == connector.Unsubscribed || rc.Kind == connector.Subscribed
		switch {
		case r != nil && d.o.Keys.Destroyed(r.Person), r == nil && (rc.Address == "" || !wish && rc.Kind != connector.Replied):
			d.counts.strays.Add(1)
			continue
		case r != nil && !wish:
			facts = append(facts, d.receiptFacts(r, rc)...)
			d.counts.receipts.Add(1)
			continue
		}
		// Whoever said before this that the address is theirs is to be known.
		if !caughtUp {
			if err := d.o.Barrier.CaughtUp(ctx); err != nil {
				return fmt.Errorf("waiting until all addresses are known: %w", err)
			}
			caughtUp = true
		}
		more, known, err := d.addressFacts(r, channel, from, rc)
		if err != nil {
			return err
		}
		if !known {
			d.counts.strays.Add(1)
			continue
		}
		facts = append(facts, more...)
		d.counts.receipts.Add(1)
	}
	if len(facts) == 0 {
		return nil
	}
	if err := d.o.Journal.Append(ctx, facts); err != nil {
		return fmt.Errorf("telling the journal of %d receipts: %w", came, err)
	}
	return nil
}

// receiptOf finds the message that a connector's receipt is about: only one that
// this connector was given.
func (d *Delivery) receiptOf(channel, from string, rc connector.Receipt) (*record, error) {
	r, err := d.named(from, rc)
	if err == nil && !r.given(channel, from) {
		return nil, fmt.Errorf("message %s: %w by connector %q", r.Message, ErrUnknown, from)
	}
	return r, err
}

// given says whether the message was, or just now is, handed to a connector.
func (r *record) given(channel, name string) bool {
	return r.Channel == channel && slices.ContainsFunc(r.Attempts, func(a Attempt) bool {
		return a.Connector == name || a.Connector == "" // the answer is not there yet, or was lost
	})
}

func (d *Delivery) named(from string, rc connector.Receipt) (*record, error) {
	if rc.MessageID != "" {
		return d.find(rc.MessageID)
	}
	if rc.ProviderID == "" {
		return nil, ErrUnknown
	}
	var r *record
	err := d.db.View(func(t *kv.Txn) error {
		b, err := t.Get(kv.Delivery, d.providerKey(from, rc.ProviderID))
		if errors.Is(err, kv.ErrNotFound) || err == nil && len(b) != idBytes {
			return ErrUnknown
		}
		if err != nil {
			return err
		}
		r, err = d.load(t, id(b))
		return err
	})
	return r, err
}

// when is a receipt's own time as far as it is believed.
func (d *Delivery) when(rc connector.Receipt) time.Time {
	now := d.o.Now()
	if rc.At.IsZero() || rc.At.After(now) || rc.At.Before(now.Add(-maxReceiptAge)) {
		return now
	}
	return rc.At
}

// receiptFacts are what a receipt about a message makes known. Delivered and
// bounced happen once; opens and clicks are as many as their times. A complaint
// also withdraws the consent that the message stood on.
func (d *Delivery) receiptFacts(r *record, rc connector.Receipt) []event.Fact {
	at := d.when(rc)
	stamp := at.UTC().Format(time.RFC3339Nano)
	switch rc.Kind {
	case connector.Delivered:
		f := d.fact(r, event.NotificationDelivered, "", at, "")
		f.Addresses = d.handedTo(r)
		return []event.Fact{f}
	case connector.Bounced:
		return d.bounced(r, kindOf(rc.Class), at, nobody(rc.Reason), rc.Gone)
	case connector.Complained:
		f := d.bounced(r, "complaint", at, nobody(rc.Reason), "")[0]
		return []event.Fact{f, d.consents(r.Person, r.Message, at, "withdrawal", []event.Consent{{Purpose: r.Purpose, Channel: r.Channel, Source: "complaint"}})}
	case connector.Opened:
		return []event.Fact{d.fact(r, event.NotificationViewed, stamp, at, "")}
	case connector.Clicked:
		return []event.Fact{d.fact(r, event.NotificationClicked, stamp, at, "")}
	case connector.Replied:
		return []event.Fact{d.fact(r, event.NotificationReplied, stamp, at, "")}
	case connector.Uninstall:
		if r.Channel != "push" {
			return nil // there is no app there
		}
		return d.uninstalled(r, at, rc.Gone)
	}
	return nil
}

// kindOf sorts what came back by whose fault it is: hard is an address that will
// never work; block is what the provider does not want of us, or what is wrong
// with the message or our settings, none of which is the address's fault; soft is
// an address that does not work now.
func kindOf(c connector.Class) string {
	switch c {
	case connector.ClassAddress:
		return "hard"
	case connector.ClassPolicy, connector.ClassContent, connector.ClassConfig:
		return "block"
	}
	return "soft"
}

// bounced are the facts of a message that came back, by its kind. A token that
// is no more means that the app is.
func (d *Delivery) bounced(r *record, kind string, at time.Time, reason string, gone connector.Gone) []event.Fact {
	distinct := ""
	if kind == "complaint" {
		distinct = kind // it may have been delivered, and told so, before
	}
	f := d.fact(r, event.NotificationBounced, distinct, at, reason)
	f.Props = append(f.Props, event.Prop{Key: event.PropKind, Value: event.OfText(kind)})
	f.Addresses = d.handedTo(r)
	facts := []event.Fact{f}
	if kind == "hard" && r.Channel == "push" {
		facts = append(facts, d.uninstalled(r, at, gone)...)
	}
	return facts
}

// uninstalled is the fact that the app is not there any more, or, by its reason,
// that nobody can tell since its token is worth nothing.
func (d *Delivery) uninstalled(r *record, at time.Time, gone connector.Gone) []event.Fact {
	switch gone {
	case connector.GoneRemoved, connector.GoneInvalid, connector.GoneStale:
	default:
		gone = connector.GoneRemoved
	}
	f := d.fact(r, event.AppUninstalled, "", at, string(gone))
	f.Addresses = d.handedTo(r)
	return []event.Fact{f}
}

// consents is the fact that somebody decided. what tells decisions on the same
// message apart.
func (d *Delivery) consents(person uint32, about string, at time.Time, what string, cs []event.Consent) event.Fact {
	h := d.o.Keys.Hash("delivery fact", []byte(about), []byte(what))
	return event.Fact{
		Kind: event.Identify, ID: "own:" + hex.EncodeToString(h[:16]), Time: at.UnixMicro(), Received: d.o.Now().UnixMicro(),
		Person: person, Ref: about, Consents: cs,
	}
}

// Sources of consents that receipts bring. Who unsubscribes withdraws what was
// granted and what was not; only what was is granted again by who takes it back.
const (
	stopSource  = "unsubscribe receipt of "
	idleSource  = "unsubscribe receipt, without consent, of "
	startSource = "subscribe receipt of "
)

// wish is what becomes of someone's consents to purposes on a channel when they
// unsubscribe, or take that back.
func (d *Delivery) wish(person uint32, channel, from string, purposes []string, kind connector.ReceiptKind) (cs []event.Consent) {
	for _, purpose := range purposes {
		granted, now := d.o.People.Allowed(person, purpose, channel)
		c := event.Consent{Purpose: purpose, Channel: channel, Granted: kind == connector.Subscribed, Source: startSource + from}
		stopped := !granted && strings.HasPrefix(now.Source, stopSource)
		switch {
		case c.Granted && !stopped:
			continue // nothing to take back: this is not by itself a consent
		case c.Granted:
		case granted:
			c.Source = stopSource + from
		case stopped:
			c.Source = now.Source // said again
		default:
			c.Source = idleSource + from
		}
		cs = append(cs, c)
	}
	return cs
}

// addressFacts are what a receipt makes known that is about an address: the one
// that it names, or that its message went to. It is of everybody who has the
// address, since nobody knows who of them wrote, and of the message's recipient
// (r, nil = none). Who unsubscribes withdraws every purpose that rests on consent,
// on this channel. known says whether there is anybody.
func (d *Delivery) addressFacts(r *record, channel, from string, rc connector.Receipt) (facts []event.Fact, known bool, err error) {
	address := rc.Address
	var persons []uint32
	if r != nil {
		persons = append(persons, r.Person)
		address = "" // a message is named: it knows where it went
		if to := d.handedTo(r); len(to) > 0 {
			address = to[0].Value
		}
	}
	if address != "" {
		others, err := d.o.People.With(channel, address)
		if err != nil {
			return nil, false, fmt.Errorf("looking whose address a receipt is about: %w", err)
		}
		for _, p := range others {
			if !slices.Contains(persons, p) {
				persons = append(persons, p)
			}
		}
	}
	var purposes []string
	for name, p := range d.o.Purposes {
		if !p.Contract {
			purposes = append(purposes, name)
		}
	}
	slices.Sort(purposes)
	at := d.when(rc)
	h := d.o.Keys.Hash("delivery receipt", []byte(channel), []byte(from), []byte(address), []byte(rc.Kind), []byte(at.UTC().Format(time.RFC3339Nano)))
	for _, person := range persons {
		if d.o.Keys.Destroyed(person) {
			continue
		}
		known = true
		own := hex.EncodeToString(h[:16]) + " " + strconv.FormatUint(uint64(person), 10)
		if rc.Kind == connector.Replied {
			facts = append(facts, event.Fact{
				Kind: event.Track, ID: "own:" + own, Time: at.UnixMicro(), Received: d.o.Now().UnixMicro(), Person: person, Name: event.NotificationReplied,
				Props: []event.Prop{{Key: event.PropChannel, Value: event.OfText(channel)}},
			})
			continue
		}
		about := ""
		if r != nil && person == r.Person {
			about = r.Message
		}
		if cs := d.wish(person, channel, from, purposes, rc.Kind); len(cs) > 0 {
			facts = append(facts, d.consents(person, about, at, own, cs))
		}
	}
	return facts, known, nil
}
