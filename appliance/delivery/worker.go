package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	suppressed  bool // the address
	content     Content
	unqualified bool
	mayTrack    bool   // when it was rendered
	platform    string // for which it was
	tracked     bool   // it holds what is tracked
	msg         connector.Message
	connector   string // that it goes to
	targets     []string
	failed      verdict // rendering said no
	later       error   // why it cannot be decided now
}

// handle carries a batch through the gate and hands over what passes. The order
// is the promise: render, wait for the applier, then in one transaction look at
// consent and record the attempt, then hand over. So nothing that was
// acknowledged before the wait began can be overlooked. whole says that every
// message of the batch left its place in the queue.
func (d *Delivery) handle(c *channel, batch []id) (whole bool, err error) {
	entries, err := d.gather(batch)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		d.prepare(e)
	}
	barrier, cancel := context.WithTimeout(d.ctx, d.o.Timeout)
	defer cancel()
	if err := d.o.Barrier.CaughtUp(barrier); err != nil {
		return false, fmt.Errorf("waiting for the applier: %w", err)
	}
	meant := d.audiences(barrier, entries)
	if d.ctx.Err() != nil {
		return false, d.ctx.Err() // what failed now may only have been cut short
	}
	going, held, whole, err := d.record(entries, meant)
	if err != nil {
		return false, err
	}
	// Each connector's part by itself, so that none waits for another's answer.
	groups := map[hop][]*entry{}
	for _, e := range going {
		to := hop{e.connector, e.address.Platform}
		groups[to] = append(groups[to], e)
	}
	errs := make([]error, len(groups)+1)
	var parts sync.WaitGroup
	n := 0
	for to, part := range groups {
		n++
		err := &errs[n]
		parts.Go(func() { *err = d.conclude(d.send(c, to, part), nil) })
	}
	if len(held) > 0 {
		errs[0] = d.conclude(nil, held)
	}
	parts.Wait()
	return whole, errors.Join(errs...)
}

// hop is what one call is for.
type hop struct{ connector, platform string }

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

// meet looks up who the recipient is now, their consents, and their address.
func (d *Delivery) meet(e *entry) {
	to, err := d.o.People.Recipient(e.rec.Asked)
	if errors.Is(err, ErrGone) {
		e.to, e.address, e.suppressed = Recipient{}, event.Address{}, false
		e.failed = hold(ReasonErased)
		return
	}
	if err != nil {
		e.later = fmt.Errorf("its recipient: %w", err)
		return
	}
	e.to = to
	e.address, e.suppressed = d.addressFor(&to, e.rec)
	e.addressTo(&e.msg)
	if e.msg.ID != "" && (e.mayTrack != d.mayTrack(e) || e.platform != e.address.Platform) {
		e.msg.ID = "" // rendered for another consent or platform than there is now: next time
	}
}

// addressTo addresses m.
func (e *entry) addressTo(m *connector.Message) {
	m.To, m.Platform, m.Extra = e.address.Value, e.address.Platform, e.address.Extra
	m.AddressSince = time.Time{}
	if i := slices.Index(e.to.Addresses, e.address); i >= 0 && i < len(e.to.Since) {
		m.AddressSince = time.UnixMicro(e.to.Since[i]).UTC()
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

// audience is the answer to a campaign's further condition.
type audience struct {
	who *roaring.Bitmap
	err error
}

// audiences asks each campaign's further condition once for the batch.
func (d *Delivery) audiences(ctx context.Context, entries []*entry) map[string]audience {
	meant := map[string]audience{}
	for _, e := range entries {
		key := string(e.content.People)
		if _, ok := meant[key]; ok || key == "" {
			continue
		}
		var a audience
		a.who, a.err = d.o.Audience.People(ctx, e.content.People)
		meant[key] = a
	}
	return meant
}

// qualify applies the further condition of a message's campaign to its recipient.
func (e *entry) qualify(meant map[string]audience) {
	if len(e.content.People) == 0 || e.to.Person == 0 || e.later != nil {
		return
	}
	a := meant[string(e.content.People)]
	if a.err != nil {
		e.later = fmt.Errorf("who is still meant: %w", a.err)
		return
	}
	e.unqualified = !a.who.Contains(e.to.Person)
}

// putOff says when to try again to decide over a message that could not be
// decided, so that one campaign or person in trouble keeps no other waiting.
func (d *Delivery) putOff(e *entry, now time.Time) verdict {
	r := e.rec
	d.o.Logger.Error("a message could not be decided, will try again", "message", r.Message, "campaign", r.Campaign, "error", e.later)
	until := now.Add(time.Duration((0.5 + d.o.Rand()) * float64(time.Minute)))
	if until.After(r.Expires) {
		return verdict{reason: ReasonExpired, detail: "it could not be decided in time"}
	}
	return verdict{until: until}
}

// record decides each message for good and writes it down: those that go are
// attempts from here on, whatever happens to this process.
func (d *Delivery) record(entries []*entry, meant map[string]audience) (going []*entry, held []*record, whole bool, err error) {
	now := d.o.Now()
	gone := d.takeGone()
	err = d.db.Update(func(t *kv.Txn) error {
		if err := drop(t, gone); err != nil {
			return err
		}
		whole = true
		for _, e := range entries {
			if t.Size() > maxTxn {
				whole = false
				return nil
			}
			// Only an erasure changes what waits and was taken: then its place
			// in the queue is gone.
			if _, err := t.Get(kv.Delivery, e.rec.queue()); errors.Is(err, kv.ErrNotFound) {
				continue
			} else if err != nil {
				return err
			}
			d.meet(e)
			e.qualify(meant)
			if e.to.Person != 0 {
				e.rec.Person = e.to.Person
			}
			v := e.failed
			if v.reason == "" && e.later == nil {
				v, e.later = d.judge(e, now)
			}
			if e.later != nil {
				v = d.putOff(e, now)
			}
			if v.pass && e.msg.ID == "" {
				whole = false
				continue // it did not look like passing before and was not rendered: next time
			}
			if v.pass {
				if v, err = d.pass(t, e, now); err != nil {
					return err
				}
			}
			if err := d.enact(t, e, v, now); err != nil {
				return err
			}
			if v.pass {
				going = append(going, e)
			} else if e.rec.settled() {
				held = append(held, e.rec)
			}
		}
		return nil
	})
	if err != nil {
		d.putGone(gone)
		for _, e := range going {
			d.routes.undo(e, e.connector)
		}
		return nil, nil, false, fmt.Errorf("recording a batch: %w", err)
	}
	return going, held, whole, nil
}

// pass finds a connector for a message that the gate let pass, and takes what
// it counts against.
func (d *Delivery) pass(t *kv.Txn, e *entry, now time.Time) (verdict, error) {
	to := d.routes.choose(e, now)
	if to.route == "" {
		if to.until.After(e.rec.Expires) {
			return verdict{reason: ReasonExpired, detail: "no connector had room for it in time"}, nil
		}
		return verdict{until: to.until, turn: to.turn}, nil
	}
	v, err := d.reserve(t, e, now)
	if err != nil || !v.pass {
		d.routes.undo(e, to.route)
		return v, err
	}
	e.connector = to.route
	return v, nil
}

// enact writes down what the gate said of one message.
func (d *Delivery) enact(t *kv.Txn, e *entry, v verdict, now time.Time) error {
	r := e.rec
	d.counts.wait(r.Channel, -1)
	if err := t.Delete(kv.Delivery, r.queue()); err != nil {
		return err
	}
	switch {
	case v.pass:
		if err := d.copy(t, e); err != nil {
			return err
		}
		if err := d.sealHandOff(e); err != nil {
			return err
		}
		r.Tracked, r.Turn = e.tracked, false
		r.State = Attempting
		r.Tries++
		r.Attempts = append(r.Attempts, Attempt{At: now.UTC(), Connector: e.connector})
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
		r.Due, r.Turn = v.until.UTC(), v.turn
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
func (d *Delivery) send(c *channel, to hop, going []*entry) []result {
	batch := make([]connector.Message, len(going))
	for i, e := range going {
		batch[i] = e.msg
	}
	d.counts.inflight.Add(int64(len(going)))
	defer d.counts.inflight.Add(-int64(len(going)))
	ctx, cancel := context.WithTimeout(d.hard, d.o.Timeout)
	defer cancel()
	began := d.o.Now()
	outs, err := d.o.Sender.Send(ctx, c.name, to.connector, batch)
	took := d.o.Now().Sub(began)
	c.answered(len(batch), took)

	// Only what is said of this batch's own messages counts.
	said := make(map[string]connector.Outcome, len(outs))
	for _, o := range outs {
		said[o.ID] = o
	}
	var unsent *Unsent
	if errors.As(err, &unsent) {
		d.o.Logger.Warn("a batch was not handed over", "channel", c.name, "connector", to.connector, "messages", len(batch), "error", err)
	} else if err != nil {
		d.o.Logger.Error("a hand-off was not answered", "channel", c.name, "connector", to.connector, "messages", len(batch), "error", err)
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
		results[i] = result{rec: e.rec, out: out, connector: to.connector, platform: to.platform, took: took, unsent: unsent != nil}
	}
	if d.routes.landed(c.name, to.connector, len(going), results, err) {
		d.keepDoubt(to.connector)
	}
	return results
}
