package campaign

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Keys in kv.Campaign. Numbers are big endian; an INSTANCE is a person (4) and
// a hash (16) of the campaign and what is held constant.
//
//	c ID                        -> the campaign (JSON)
//	r ID 0 REVISION4            -> the same, as it was in that revision
//	t DUE8 INSTANCE             -> a timer; person 0: a run's
//	i INSTANCE                  -> DUE8 SINCE8: where its timer is, and of when its event
//	f INSTANCE                  -> EXPIRES8 SINCE8 MESSAGE16: a timer that became a message
//	g MESSAGE16                 -> nothing: that message is not wanted any more
//	e EXPIRES8 INSTANCE MESSAGE16 -> nothing: when f and g may go
//	b ID                        -> a run (JSON)
//	a ID 0 NUMBER4              -> a piece of its frozen audience
//	d ID                        -> REVISION4: the last of a campaign that was deleted
const (
	objectKey    = 'c'
	revisionKey  = 'r'
	timerKey     = 't'
	instanceKey  = 'i'
	firedKey     = 'f'
	cancelledKey = 'g'
	expiryKey    = 'e'
	runKey       = 'b'
	audienceKey  = 'a'
	deletedKey   = 'd'
)

// Apply carries one fact: it is called by the applier, in its transaction, in
// the journal's order. person is whom the fact concerns (0 = nobody), profile
// reads that person's profile as it is after this fact. It returns what is to
// go into the outbox in the same transaction. An error is the database's.
func (c *Campaigns) Apply(t *kv.Txn, f *event.Fact, person uint32, profile func(key string) event.Value) ([]Intention, error) {
	var out []Intention
	var err error
	switch f.Kind {
	case event.Track:
		if person != 0 {
			out, err = c.applyTrack(t, f, person, profile)
		}
	case event.Due:
		out, err = c.applyDue(t, f)
	case event.Programme:
		if f.Name == event.TypeCampaign {
			err = c.applyProgramme(t, f)
		}
	case event.Run:
		err = c.applyRun(t, f)
	case event.Send:
		out = c.applySend(f, person)
	}
	if err != nil {
		return nil, fmt.Errorf("campaigns: %s: %w", f, err)
	}
	return out, nil
}

// applyProgramme takes a campaign as it was made, changed or moved on.
func (c *Campaigns) applyProgramme(t *kv.Txn, f *event.Fact) error {
	before := c.find(f.Ref)
	if len(f.Body) == 0 {
		return c.remove(t, f.Ref)
	}
	obj, err := c.read(f.Body, nil)
	if err != nil || obj.ID != f.Ref {
		// The door validates; what is wrong here all the same, after a change
		// of version perhaps, must not stop the publisher.
		c.o.Logger.Error("a campaign in the journal is not valid and was left out", "campaign", f.Ref, "error", err)
		return nil
	}
	switch {
	case before == nil:
		// Messages of one that was deleted may still be on their way: no
		// revision means two things.
		last, err := missing(t.Get(kv.Campaign, append([]byte{deletedKey}, obj.ID...)))
		if err != nil {
			return err
		}
		if len(last) == 4 {
			obj.Revision = int(binary.BigEndian.Uint32(last))
		}
		obj.Revision++
	case sameRevision(before.Campaign, *obj):
		obj.Revision = before.Revision
	default:
		obj.Revision = before.Revision + 1
	}
	one, err := c.compile(*obj)
	if err != nil {
		c.o.Logger.Error("a campaign in the journal does not compile and was left out", "campaign", f.Ref, "error", err)
		return nil
	}
	b, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	if err := t.Set(kv.Campaign, append([]byte{objectKey}, obj.ID...), b); err != nil {
		return err
	}
	if err := t.Set(kv.Campaign, revisionOf(obj.ID, obj.Revision), b); err != nil {
		return err
	}
	if err := c.planRun(t, one, f); err != nil {
		return err
	}
	c.put(obj.ID, one)
	return nil
}

// sameRevision says whether two versions send the same to the same people.
func sameRevision(a, b Campaign) bool {
	a.State, a.Name, a.Revision, a.Goal, a.Labels = b.State, b.Name, b.Revision, b.Goal, b.Labels
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// remove deletes a campaign with its revisions and its run. Timers that are
// left find no campaign when they fall due.
func (c *Campaigns) remove(t *kv.Txn, id string) error {
	one := c.find(id)
	if one == nil {
		return nil
	}
	if err := t.Set(kv.Campaign, append([]byte{deletedKey}, id...), number(uint32(one.Revision))); err != nil {
		return err
	}
	for _, prefix := range [][]byte{append([]byte{revisionKey}, id+"\x00"...), append([]byte{audienceKey}, id+"\x00"...)} {
		var keys [][]byte
		err := t.Scan(kv.Campaign, prefix, nil, func(key, _ []byte) error {
			keys = append(keys, bytes.Clone(key))
			return nil
		})
		if err != nil {
			return err
		}
		for _, k := range keys {
			if err := t.Delete(kv.Campaign, k); err != nil {
				return err
			}
		}
	}
	if err := t.Delete(kv.Campaign, append([]byte{objectKey}, id...)); err != nil {
		return err
	}
	if err := t.Delete(kv.Campaign, append([]byte{runKey}, id...)); err != nil {
		return err
	}
	c.put(id, nil)
	return nil
}

// applyTrack looks at an event for every campaign's trigger.
func (c *Campaigns) applyTrack(t *kv.Txn, f *event.Fact, person uint32, profile func(key string) event.Value) ([]Intention, error) {
	if len(c.watching) == 0 {
		return nil, nil
	}
	starts := mayStart(f)
	left := newAllowance()
	var out []Intention
	for _, one := range c.watching {
		id := one.ID
		if one.without != nil && one.without.Match(f.Name, f.Props, profile) {
			if err := c.cancelTimers(t, one, f, person); err != nil {
				return nil, err
			}
		}
		if !starts || one.State != Running || event.Lookup(f.Props, event.PropCampaign).Text() == id && event.Own(f.Name) {
			continue
		}
		if one.event == nil || !one.event.Match(f.Name, f.Props, profile) {
			continue
		}
		if one.Trigger.Type == TriggerEvent {
			if !left.fire() {
				c.o.Logger.Error("one event starts too many campaigns, some were left out", "campaign", id, "event", f.String())
				continue
			}
			out = append(out, c.intend(one, person, c.causeOf(f), f.Time+one.Trigger.Delay.micros(), left.keep(f.Props, one.wanted)))
			continue
		}
		if err := c.setTimers(t, one, f, person, left); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// looksAtEvents says whether what people do matters to a campaign.
func (o *Campaign) looksAtEvents() bool {
	return o.Trigger.Type == TriggerEvent || o.Trigger.Type == TriggerInaction
}

// applySend makes the message that a call asked for. A campaign that does not
// run, or is of another kind, sends nothing.
func (c *Campaigns) applySend(f *event.Fact, person uint32) []Intention {
	one := c.find(f.Ref)
	if one == nil || one.State != Running || one.Trigger.Type != TriggerAPI || person == 0 {
		return nil
	}
	return []Intention{c.intend(one, person, c.causeOf(f), f.Time, f.Props)}
}

// mayStart says whether an event may start a campaign at all. History brought
// in afterwards, events that come more than a day late and those of a clock that
// is more than a day ahead do not: when they happened nobody knows. Nor does
// what the appliance says of its own sending, with which campaigns would feed
// themselves.
func mayStart(f *event.Fact) bool {
	if f.Flags&(event.Imported|event.Restamped) != 0 || f.Received-f.Time > MaxAge.Microseconds() {
		return false
	}
	switch f.Name {
	case event.NotificationSent, event.NotificationHeld, event.NotificationFailed, event.NotificationDelivered, event.NotificationBounced:
		return false
	}
	return true
}

// intend makes an intention. The id of its message derives from campaign,
// person and cause, so that deciding twice makes one message.
func (c *Campaigns) intend(one *compiled, person uint32, cause string, at int64, props []event.Prop) Intention {
	h := c.o.Keys.Hash("campaign message", []byte(one.ID), number(person), []byte(cause))
	return Intention{
		Message: hex.EncodeToString(h[:16]), Campaign: one.ID, Revision: one.Revision, Variant: one.Variant,
		Person: person, Cause: cause, At: at, Expires: at + one.lateness(),
		Class: one.Class, Channel: one.Channel, Purpose: one.Purpose, Props: props, Platforms: one.Platforms,
	}
}

// causeOf names the event that caused something.
func (c *Campaigns) causeOf(f *event.Fact) string {
	id := []byte(f.ID)
	if len(id) == 0 {
		id = event.AppendFact(nil, f)
	}
	h := c.o.Keys.Hash("campaign cause", id)
	return "event:" + hex.EncodeToString(h[:16])
}

// lateness is how long after its time a message may still go, in microseconds.
func (o *Campaign) lateness() int64 {
	if o.Missed == MissedDrop {
		return MissedGrace.Microseconds()
	}
	return o.Expires.micros()
}

func revisionOf(id string, revision int) []byte {
	k := append([]byte{revisionKey}, id...)
	return binary.BigEndian.AppendUint32(append(k, 0), uint32(revision))
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// missing turns "no such key" into a nil value.
func missing(b []byte, err error) ([]byte, error) {
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	return b, err
}
