package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// entry is a message on its way through one batch.
type entry struct {
	rec         *record
	to          Recipient
	address     event.Address
	content     Content
	unqualified bool
	mayTrack    bool // when it was rendered
	tracked     bool // it holds what is tracked
	msg         connector.Message
	targets     []string
	failed      verdict // rendering said no
	later       error   // why it cannot be decided now
}

// handle carries a batch through the gate and hands over what passes. The order
// is the promise: render, wait for the applier, then in one transaction look at
// consent and record the attempt, then hand over. So nothing that was
// acknowledged before the wait began can be overlooked.
func (d *Delivery) handle(channel string, batch []id) error {
	entries, err := d.gather(batch)
	if err != nil {
		return err
	}
	for _, e := range entries {
		d.prepare(e)
	}
	barrier, cancel := context.WithTimeout(d.ctx, d.o.Timeout)
	defer cancel()
	if err := d.o.Barrier.CaughtUp(barrier); err != nil {
		return fmt.Errorf("waiting for the applier: %w", err)
	}
	for _, e := range entries {
		d.meet(e)
	}
	d.qualify(barrier, entries)
	if d.ctx.Err() != nil {
		return d.ctx.Err() // what failed now may only have been cut short
	}
	going, held, err := d.record(entries)
	if err != nil {
		return err
	}
	results := make([]result, 0, len(going))
	for len(going) > 0 {
		platform := going[0].address.Platform
		var same, others []*entry
		for _, e := range going {
			if e.address.Platform == platform {
				same = append(same, e)
			} else {
				others = append(others, e)
			}
		}
		results = append(results, d.send(channel, platform, same)...)
		going = others
	}
	return d.conclude(results, held)
}

// gather loads the records of a batch that still wait.
func (d *Delivery) gather(batch []id) ([]*entry, error) {
	var entries []*entry
	err := d.db.View(func(t *kv.Txn) error {
		for _, i := range batch {
			r, err := d.load(t, i)
			if errors.Is(err, ErrUnknown) {
				continue
			}
			if err != nil {
				return err
			}
			if r.State == Waiting {
				entries = append(entries, &entry{rec: r})
			}
		}
		return nil
	})
	return entries, err
}

// meet looks up who the recipient is now, and their address.
func (d *Delivery) meet(e *entry) {
	to, err := d.o.People.Recipient(e.rec.Asked)
	if errors.Is(err, ErrGone) {
		e.to, e.address = Recipient{}, event.Address{}
		e.failed = hold(ReasonErased)
		return
	}
	if err != nil {
		e.later = fmt.Errorf("its recipient: %w", err)
		return
	}
	e.to = to
	e.address = d.addressFor(to.Addresses, e.rec.Channel, e.rec.Platforms)
	e.msg.To, e.msg.Platform, e.msg.Extra = e.address.Value, e.address.Platform, e.address.Extra
	if e.msg.ID != "" && e.mayTrack != d.mayTrack(e) {
		e.msg.ID = "" // rendered for another consent than there is now: next time
	}
}

// prepare renders a message that looks as if it would pass.
func (d *Delivery) prepare(e *entry) {
	if d.meet(e); e.failed.reason != "" || e.later != nil {
		return
	}
	v, err := d.judge(e, d.o.Now())
	if err != nil {
		e.later = err
	}
	if v.pass {
		e.failed = d.render(e)
	}
}

// qualify asks each campaign's further condition once for the batch.
func (d *Delivery) qualify(ctx context.Context, entries []*entry) {
	type answer struct {
		who *roaring.Bitmap
		err error
	}
	answers := map[string]answer{}
	for _, e := range entries {
		if len(e.content.People) == 0 || e.to.Person == 0 {
			continue
		}
		key := string(e.content.People)
		a, ok := answers[key]
		if !ok {
			a.who, a.err = d.o.Audience.People(ctx, e.content.People)
			answers[key] = a
		}
		if a.err != nil {
			e.later = fmt.Errorf("who is still meant: %w", a.err)
			continue
		}
		e.unqualified = !a.who.Contains(e.to.Person)
	}
}

// putOff says when to try again to decide over a message that could not be
// decided, so that one campaign or person in trouble keeps no other waiting.
func (d *Delivery) putOff(e *entry, now time.Time) verdict {
	r := e.rec
	d.o.Logger.Error("a message could not be decided, will try again", "message", r.Message, "campaign", r.Campaign, "error", e.later)
	until := now.Add(d.backoff(1, time.Minute))
	if until.After(r.Expires) {
		return verdict{reason: ReasonExpired, detail: "it could not be decided in time"}
	}
	return verdict{until: until}
}

// record decides each message for good and writes it down: those that go are
// attempts from here on, whatever happens to this process.
func (d *Delivery) record(entries []*entry) (going []*entry, held []id, err error) {
	now := d.o.Now()
	err = d.db.Update(func(t *kv.Txn) error {
		for _, e := range entries {
			if t.Size() > maxTxn {
				return nil
			}
			fresh, err := d.load(t, e.rec.id())
			if err != nil {
				return err
			}
			if fresh.State != Waiting {
				continue // forgotten meanwhile
			}
			e.rec = fresh
			if e.to.Person != 0 {
				fresh.Person = e.to.Person
			}
			v := e.failed
			if v.reason == "" && e.later == nil {
				v, e.later = d.judge(e, now)
			}
			if e.later != nil {
				v = d.putOff(e, now)
			}
			if v.pass && e.msg.ID == "" {
				continue // it did not look like passing before and was not rendered: next time
			}
			if v.pass {
				if v, err = d.reserve(t, e, now); err != nil {
					return err
				}
			}
			if err := d.enact(t, e, v, now); err != nil {
				return err
			}
			if v.pass {
				going = append(going, e)
			} else if fresh.settled() {
				held = append(held, fresh.id())
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("recording a batch: %w", err)
	}
	return going, held, nil
}

// enact writes down what the gate said of one message.
func (d *Delivery) enact(t *kv.Txn, e *entry, v verdict, now time.Time) error {
	r := e.rec
	if err := d.leaveQueue(t, r); err != nil {
		return err
	}
	switch {
	case v.pass:
		if err := d.sealHandOff(e); err != nil {
			return err
		}
		r.Tracked = e.tracked
		r.State = Attempting
		r.Tries++
		r.Attempts = append(r.Attempts, Attempt{At: now.UTC()})
		if len(r.Attempts) > maxAttempts {
			r.Attempts = r.Attempts[len(r.Attempts)-maxAttempts:]
		}
		if err := t.Set(kv.Delivery, r.id().key(attemptKey), nil); err != nil {
			return err
		}
	case v.park:
		if err := t.Set(kv.Delivery, r.parked(), nil); err != nil {
			return err
		}
		d.counts.parked.Add(1)
	case !v.until.IsZero():
		r.Due = v.until
		if err := d.join(t, r); err != nil {
			return err
		}
	default:
		d.settle(r, Held, v.reason, v.detail)
		r.Event = nil
		if err := t.Set(kv.Delivery, r.id().key(attemptKey), nil); err != nil {
			return err
		}
	}
	return d.save(t, r)
}

// sealHandOff keeps, under the person's key, where the message goes and where
// its links lead.
func (d *Delivery) sealHandOff(e *entry) (err error) {
	r := e.rec
	r.Sealed, r.Targets = r.Person, nil
	if len(e.targets) > 0 {
		r.Targets, err = d.o.Keys.SealPerson(r.Sealed, aad(sealedTarget, r.id()), appendTexts(nil, e.targets))
		if err != nil {
			return fmt.Errorf("message %s: sealing its links: %w", r.Message, err)
		}
	}
	r.To, err = d.o.Keys.SealPerson(r.Sealed, aad(sealedTo, r.id()), appendTexts(nil, []string{e.address.Platform, e.address.Value}))
	if err != nil {
		return fmt.Errorf("message %s: sealing its address: %w", r.Message, err)
	}
	return nil
}

// handedTo opens the address that a message was handed over for: none if it
// cannot be known any more.
func (d *Delivery) handedTo(r *record) []event.Address {
	if len(r.To) == 0 {
		return nil
	}
	plain, err := d.o.Keys.OpenPerson(r.Sealed, aad(sealedTo, r.id()), r.To)
	if err != nil {
		return nil // erased meanwhile
	}
	texts, err := readTexts(plain)
	if err != nil || len(texts) != 2 {
		return nil
	}
	return []event.Address{{Channel: r.Channel, Platform: texts[0], Value: texts[1]}}
}

// send hands one batch over and gives an outcome for each of its messages.
func (d *Delivery) send(channel, platform string, going []*entry) []result {
	batch := make([]connector.Message, len(going))
	for i, e := range going {
		batch[i] = e.msg
	}
	d.counts.inflight.Add(int64(len(going)))
	defer d.counts.inflight.Add(-int64(len(going)))
	ctx, cancel := context.WithTimeout(d.hard, d.o.Timeout)
	defer cancel()
	began := d.o.Now()
	name, outs, err := d.o.Sender.Send(ctx, channel, platform, batch)
	took := d.o.Now().Sub(began)

	// Only what is said of this batch's own messages counts.
	said := make(map[string]connector.Outcome, len(outs))
	for _, o := range outs {
		said[o.ID] = o
	}
	var unsent *Unsent
	if errors.As(err, &unsent) {
		d.o.Logger.Warn("a batch was not handed over", "channel", channel, "messages", len(batch), "error", err)
	} else if err != nil {
		d.o.Logger.Error("a hand-off was not answered", "channel", channel, "connector", name, "messages", len(batch), "error", err)
	}
	results := make([]result, len(going))
	for i, e := range going {
		out, ok := said[e.rec.Message]
		switch {
		case unsent != nil:
			out = connector.Outcome{Result: connector.Again, Reason: "no connector"}
		case err != nil || !ok:
			out = connector.Outcome{Result: connector.Unknown}
		}
		results[i] = result{id: e.rec.id(), out: out, connector: name, took: took}
	}
	return results
}
