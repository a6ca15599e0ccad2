package delivery

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// maxReceiptAge bounds how far a receipt's own time is believed.
const maxReceiptAge = 30 * 24 * time.Hour

// Receipts turns what the provider of a channel's connector reports into facts
// and appends them. Receipts that name no message of that connector's are counted
// and dropped. A provider's ids are its own: two connectors may have the same. A
// complaint also withdraws the consent that the message stood on.
func (d *Delivery) Receipts(ctx context.Context, channel, from string, rs []connector.Receipt) error {
	var facts []event.Fact
	for _, rc := range rs {
		r, err := d.receiptOf(channel, from, rc)
		if errors.Is(err, ErrUnknown) {
			d.counts.strays.Add(1)
			continue
		}
		if err != nil {
			return err
		}
		if d.o.Keys.Destroyed(r.Person) {
			d.counts.strays.Add(1)
			continue
		}
		facts = append(facts, d.receiptFacts(r, rc)...)
		d.counts.receipts.Add(1)
	}
	if len(facts) == 0 {
		return nil
	}
	if err := d.o.Journal.Append(ctx, facts); err != nil {
		return fmt.Errorf("telling the journal of %d receipts: %w", len(rs), err)
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

func (d *Delivery) receiptFacts(r *record, rc connector.Receipt) []event.Fact {
	now := d.o.Now()
	at := rc.At
	if at.IsZero() || at.After(now) || at.Before(now.Add(-maxReceiptAge)) {
		at = now
	}
	// Delivered and bounced happen once; opens and clicks are as many as their times.
	stamp := at.UTC().Format(time.RFC3339Nano)
	switch rc.Kind {
	case connector.Delivered:
		return []event.Fact{d.fact(r, event.NotificationDelivered, "", at, "")}
	case connector.Bounced:
		f := d.fact(r, event.NotificationBounced, "", at, nobody(rc.Reason))
		kind := "soft"
		if rc.Class == connector.ClassAddress {
			kind = "hard"
		}
		f.Props = append(f.Props, event.Prop{Key: event.PropKind, Value: event.OfText(kind)})
		f.Addresses = d.handedTo(r)
		return []event.Fact{f}
	case connector.Complained:
		f := d.fact(r, event.NotificationBounced, "complaint", at, nobody(rc.Reason))
		f.Props = append(f.Props, event.Prop{Key: event.PropKind, Value: event.OfText("complaint")})
		f.Addresses = d.handedTo(r)
		h := d.o.Keys.Hash("delivery fact", []byte(r.Message), []byte("withdrawal"))
		w := event.Fact{
			Kind: event.Identify, ID: "own:" + hex.EncodeToString(h[:16]), Time: f.Time, Received: f.Received,
			Person: r.Person, Ref: r.Message,
			Consents: []event.Consent{{Purpose: r.Purpose, Channel: r.Channel, Source: "complaint"}},
		}
		return []event.Fact{f, w}
	case connector.Opened:
		return []event.Fact{d.fact(r, event.NotificationViewed, stamp, at, "")}
	case connector.Clicked:
		return []event.Fact{d.fact(r, event.NotificationClicked, stamp, at, "")}
	case connector.Replied:
		return []event.Fact{d.fact(r, event.NotificationReplied, stamp, at, "")}
	case connector.Uninstall:
		return []event.Fact{d.fact(r, event.AppUninstalled, "", at, "removed")}
	}
	return nil
}
