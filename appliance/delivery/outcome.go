package delivery

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// longestBackoff is the longest wait for the disk or the journal.
const longestBackoff = time.Hour

// result is how one hand-off of a message ended.
type result struct {
	rec       *record // an attempt; nobody else has it
	out       connector.Outcome
	connector string
	platform  string
	took      time.Duration
	unsent    bool // nobody took it
}

// conclude writes down how hand-offs ended, tells the journal of all that is
// settled (held are those that the gate settled), and only then lets go of it.
func (d *Delivery) conclude(results []result, held []*record) error {
	settled, soon := held, map[string]bool{}
	if len(results) > 0 {
		now := d.o.Now()
		err := d.write(func(t *kv.Txn) error {
			for _, res := range results {
				if err := d.outcome(t, res.rec, res, now); err != nil {
					return err
				}
				if res.rec.settled() {
					settled = append(settled, res.rec)
				} else if res.rec.Due.Sub(now) < time.Second {
					soon[res.rec.Channel] = true
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("recording outcomes: %w", err)
		}
	}
	for _, c := range d.channels {
		if soon[c.name] {
			c.wakeUp()
		}
	}
	if err := d.tell(settled); err != nil {
		return err
	}
	d.caught(results)
	return nil
}

// write is an Update that waits while the disk is full: what it has to write
// down is known nowhere else.
func (d *Delivery) write(fn func(*kv.Txn) error) error {
	for wait := d.o.Backoff; ; wait = min(2*wait, longestBackoff) {
		err := d.db.Update(fn)
		if !errors.Is(err, kv.ErrFull) || d.ctx.Err() != nil {
			return err
		}
		d.o.Logger.Error("the disk is full, outcomes of messages wait to be written", "in", wait)
		d.pause(wait, nil)
	}
}

// outcome applies one outcome to a message's record.
func (d *Delivery) outcome(t *kv.Txn, r *record, res result, now time.Time) error {
	out := res.out
	out.Reason = nobody(out.Reason)
	if n := len(r.Attempts); n > 0 {
		a := &r.Attempts[n-1]
		a.Connector, a.Outcome, a.Class, a.Reason, a.Gone = res.connector, out.Result.String(), string(out.Class), out.Reason, string(out.Gone)
		a.Took = res.took.Round(time.Millisecond).String()
	}
	again := out.Result == connector.Again || out.Result == connector.Unknown && r.Class == Transactional
	switch {
	case out.Result == connector.Accepted:
		r.ProviderID = out.ProviderID
		d.settle(r, Sent, "", "")
		if out.ProviderID != "" {
			i := r.id()
			if err := t.Set(kv.Delivery, d.providerKey(res.connector, out.ProviderID), i[:]); err != nil {
				return err
			}
		}
	case again:
		how := retryOf(res)
		next := now.Add(d.after(how, r.Tries, out.RetryAfter))
		if r.Avoid = append(r.Avoid, res.connector); how.elsewhere && d.routes.other(r, res.platform) {
			next = now
		} else {
			r.Avoid = nil
		}
		if next.Before(r.Expires) {
			return d.requeue(t, r, next, out.Result == connector.Again)
		}
		detail := out.Reason
		if out.Result == connector.Unknown {
			detail = ReasonUnknown
		}
		d.settle(r, Failed, ReasonExpired, detail)
		if out.Result == connector.Again {
			if err := d.giveBack(t, r); err != nil {
				return err
			}
		}
	case out.Result == connector.Refused:
		reason := out.Reason
		if reason == "" {
			reason = string(out.Class)
		}
		d.settle(r, Failed, reason, string(out.Class))
		if err := d.giveBack(t, r); err != nil {
			return err
		}
	default:
		// Perhaps it was sent: what it reserved stays reserved.
		d.settle(r, Lost, ReasonUnknown, "")
	}
	if r.State == Sent {
		r.Event = nil // else it may be replayed
	}
	if err := d.enlist(t, r); err != nil {
		return err
	}
	return d.save(t, r)
}

// requeue puts an attempted message back for later.
func (d *Delivery) requeue(t *kv.Txn, r *record, at time.Time, unsent bool) error {
	if unsent {
		if err := d.giveBack(t, r); err != nil {
			return err
		}
	}
	r.State, r.Due = Waiting, at.UTC()
	if err := t.Delete(kv.Delivery, r.id().key(attemptKey)); err != nil {
		return err
	}
	if err := d.join(t, r); err != nil {
		return err
	}
	d.counts.retried.Add(1)
	return d.save(t, r)
}

// giveBack releases what a message reserved; not if it is one of several, since
// another of them may have arrived.
func (d *Delivery) giveBack(t *kv.Txn, r *record) error {
	if r.copied() {
		return nil
	}
	c, err := d.o.Programme.Content(r.Campaign, r.Revision)
	if err != nil && !errors.Is(err, ErrGone) {
		return fmt.Errorf("campaign %s: %w", r.Campaign, err)
	}
	return d.release(t, r, c, d.o.Now())
}

// tell appends the facts of settled messages and has them let go of. It tries
// until the journal takes them, or Close: then Start tells them, and the same
// ids make one fact of what was told twice.
func (d *Delivery) tell(settled []*record) error {
	if len(settled) == 0 {
		return nil
	}
	facts := make([]event.Fact, 0, len(settled))
	for _, r := range settled {
		facts = append(facts, d.factsOf(r)...)
	}
	for wait := d.o.Backoff; ; wait = min(2*wait, longestBackoff) {
		err := d.o.Journal.Append(d.hard, facts)
		if err == nil {
			break
		}
		if d.ctx.Err() != nil {
			return fmt.Errorf("telling the journal of %d messages: %w", len(settled), err)
		}
		d.o.Logger.Error("the journal does not take outcomes, will try again", "facts", len(facts), "in", wait, "error", err)
		d.pause(wait, nil)
	}
	return d.letGo(settled)
}

// maxGone bounds the messages that are told and not let go of yet.
const maxGone = 5000

// letGo removes what holds messages that are told. That costs no transaction of
// its own while there is another to come; nil has it done now. A crash before
// it has them told again.
func (d *Delivery) letGo(told []*record) error {
	d.goneMu.Lock()
	for _, r := range told {
		d.gone = append(d.gone, r.id().key(attemptKey), r.person())
	}
	n := len(d.gone)
	d.goneMu.Unlock()
	if n == 0 || told != nil && n < 2*maxGone {
		return nil
	}
	gone := d.takeGone()
	if err := d.write(func(t *kv.Txn) error { return drop(t, gone) }); err != nil {
		d.putGone(gone)
		return fmt.Errorf("letting go of settled messages: %w", err)
	}
	return nil
}

func (d *Delivery) takeGone() [][]byte {
	d.goneMu.Lock()
	defer d.goneMu.Unlock()
	gone := d.gone
	d.gone = nil
	return gone
}

func (d *Delivery) putGone(gone [][]byte) {
	d.goneMu.Lock()
	defer d.goneMu.Unlock()
	d.gone = append(d.gone, gone...)
}

func drop(t *kv.Txn, keys [][]byte) error {
	for _, key := range keys {
		if err := t.Delete(kv.Delivery, key); err != nil {
			return err
		}
	}
	return nil
}

// factsOf are the facts that a settled message leaves.
func (d *Delivery) factsOf(r *record) []event.Fact {
	name := event.NotificationFailed
	switch r.State {
	case Sent:
		name = event.NotificationSent
	case Held:
		name = event.NotificationHeld
	}
	reason := r.Reason
	facts := []event.Fact{d.fact(r, name, "", *r.Settled, reason)}
	if n := len(r.Attempts); r.State == Failed && n > 0 && r.Attempts[n-1].Class == string(connector.ClassAddress) {
		facts = append(facts, d.bounced(r, "hard", *r.Settled, reason, connector.Gone(r.Attempts[n-1].Gone))...)
	}
	return facts
}

// fact makes one of the appliance's own events about a message. Its id derives
// from message, name and what distinguishes it, so that a repeat is one fact.
func (d *Delivery) fact(r *record, name, distinct string, at time.Time, reason string) event.Fact {
	h := d.o.Keys.Hash("delivery fact", []byte(r.Message), []byte(name), []byte(distinct))
	props := []event.Prop{
		{Key: event.PropCampaign, Value: event.OfText(r.Campaign)},
		{Key: event.PropMessage, Value: event.OfText(r.Message)},
		{Key: event.PropChannel, Value: event.OfText(r.Channel)},
		{Key: event.PropVariant, Value: event.OfText(r.Variant)},
		{Key: event.PropPurpose, Value: event.OfText(r.Purpose)},
	}
	if r.CopyOf != "" {
		props = append(props, event.Prop{Key: event.PropCopyOf, Value: event.OfText(r.CopyOf)})
	}
	if reason != "" {
		props = append(props, event.Prop{Key: event.PropReason, Value: event.OfText(reason)})
	}
	us := at.UnixMicro()
	return event.Fact{
		Kind: event.Track, ID: "own:" + hex.EncodeToString(h[:16]), Time: us, Received: d.o.Now().UnixMicro(),
		Person: r.Person, Name: name, Ref: r.Message, Props: props,
	}
}

// maxReason bounds a provider's reason, in bytes.
const maxReason = 120

// nobody makes a provider's reason fit for reports, though a connector should
// have: short, one line, and without what looks like an address or a number
// of somebody.
func nobody(reason string) string {
	words := strings.FieldsFunc(reason, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	var b strings.Builder
	for _, w := range words {
		digits := 0
		for _, r := range w {
			if unicode.IsDigit(r) {
				digits++
			}
		}
		if strings.Contains(w, "@") || digits > 6 {
			w = "…"
		}
		if b.Len()+len(w) >= maxReason {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToValidUTF8(w, ""))
	}
	return b.String()
}

func (d *Delivery) providerKey(connector, provider string) []byte {
	h := d.o.Keys.Hash("delivery provider", []byte(connector), []byte(provider))
	return append([]byte{providerKey}, h[:16]...)
}
