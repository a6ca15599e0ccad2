package people

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// maxPersonalEvents bounds what OpenEvents gives.
const maxPersonalEvents = 10_000

// PersonalEvent holds the personal properties of one event.
type PersonalEvent struct {
	Time  int64
	Name  string
	Props []event.Prop
}

// eventPrefix begins the keys of a number's events: number, time, count.
func eventPrefix(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// eventKey orders times before 1970 before the others.
func eventKey(n uint32, time int64) []byte {
	return binary.BigEndian.AppendUint64(eventPrefix(n), uint64(time)^1<<63)
}

// SealEvent keeps the personal properties of an event with its person. The
// applier calls it in the transaction that applied the event's fact.
func (p *People) SealEvent(t *kv.Txn, person uint32, time int64, name string, personal []event.Prop) error {
	if p.lost.has(person) || p.erased.has(person) {
		return nil
	}
	plain := event.AppendProps(appendText(nil, name), personal)
	sealed, err := p.keys.SealPerson(person, aadEvents, plain)
	if err != nil {
		return fmt.Errorf("sealing an event of person %d: %w", person, err)
	}
	prefix := eventKey(person, time)
	var count uint32
	switch last, _, err := t.Last(kv.PeopleEvents, prefix); {
	case err == nil:
		count = binary.BigEndian.Uint32(last[len(prefix):]) + 1
	case !errors.Is(err, kv.ErrNotFound):
		return fmt.Errorf("looking for events of person %d: %w", person, err)
	}
	if err := t.Set(kv.PeopleEvents, binary.BigEndian.AppendUint32(prefix, count), sealed); err != nil {
		return fmt.Errorf("writing an event of person %d: %w", person, err)
	}
	return nil
}

// OpenEvents gives the personal properties of the events that lie under a
// number, from included, to excluded, in the order of time; at most the first
// 10,000. What lies under numbers merged into it is not among them: an event is
// known by its number. It is ErrErased if who has the number now was erased.
func (p *People) OpenEvents(number uint32, from, to int64) (out []PersonalEvent, err error) {
	if _, err := p.living(number); err != nil {
		return nil, err
	}
	err = p.db.View(func(t *kv.Txn) error {
		out, err = p.eventsOf(t, number, from, to)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the personal events of number %d: %w", number, err)
	}
	return out, nil
}

func (p *People) eventsOf(t *kv.Txn, n uint32, from, to int64) (out []PersonalEvent, err error) {
	err = t.Scan(kv.PeopleEvents, eventPrefix(n), eventKey(n, from), func(key, val []byte) error {
		if len(key) != 16 {
			return fmt.Errorf("%w: an event's key of %d bytes", ErrDamaged, len(key))
		}
		time := int64(binary.BigEndian.Uint64(key[4:]) ^ 1<<63)
		if time >= to || len(out) == maxPersonalEvents {
			return kv.ErrStop
		}
		plain, err := p.keys.OpenPerson(n, aadEvents, val)
		if isDestroyed(err) {
			return kv.ErrStop
		}
		if err != nil {
			return fmt.Errorf("opening an event of person %d: %w", n, err)
		}
		e, err := decodeEvent(plain)
		if err != nil {
			return fmt.Errorf("an event of person %d: %w", n, err)
		}
		e.Time = time
		out = append(out, e)
		return nil
	})
	return out, err
}

// decodeEvent reads what SealEvent sealed; the time is in the key.
func decodeEvent(b []byte) (e PersonalEvent, err error) {
	d := decoder{b: b}
	e.Name = d.text()
	if d.err == nil {
		if e.Props, d.b, err = event.ReadProps(d.b); err != nil {
			return PersonalEvent{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return e, d.end()
}
