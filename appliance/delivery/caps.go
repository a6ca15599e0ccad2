package delivery

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// maxCapEntries bounds what one cap keeps of a person.
const maxCapEntries = 1000

// spending is one cap that a message counts against.
type spending struct {
	key      []byte
	messages int
	per      time.Duration // 0 = ever
	reason   string
}

// capsOf lists the caps a message counts against: its purpose's and its
// campaign's own.
func (d *Delivery) capsOf(r *record, c Content) []spending {
	var out []spending
	if p := d.o.Purposes[r.Purpose]; p.Messages > 0 {
		h := d.o.Keys.Hash("delivery cap", []byte("purpose"), []byte(r.Purpose), number(r.Person))
		out = append(out, spending{append([]byte{capKey}, h[:16]...), min(p.Messages, maxCapEntries), p.Per, ReasonCap})
	}
	if c.LimitMessages > 0 {
		h := d.o.Keys.Hash("delivery cap", []byte("campaign"), []byte(r.Campaign), number(r.Person))
		out = append(out, spending{append([]byte{capKey}, h[:16]...), min(c.LimitMessages, maxCapEntries), c.LimitPer, ReasonLimit})
	}
	return out
}

// An entry of a cap is a time in microseconds and a message id.
const capEntry = 8 + idBytes

// countCap counts the messages in the window before now, without r itself.
func (d *Delivery) countCap(t *kv.Txn, c spending, r *record, now time.Time) (int, error) {
	list, err := d.capList(t, c, r.id(), now)
	return len(list) / capEntry, err
}

// capList reads a cap without what left its window and without the message own.
func (d *Delivery) capList(t *kv.Txn, c spending, own id, now time.Time) ([]byte, error) {
	b, err := t.Get(kv.Delivery, c.key)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []byte
	for ; len(b) >= capEntry; b = b[capEntry:] {
		at := micros(int64(binary.BigEndian.Uint64(b)))
		if id(b[8:capEntry]) == own || c.per > 0 && !at.After(now.Add(-c.per)) {
			continue
		}
		out = append(out, b[:capEntry]...)
	}
	return out, nil
}

func (d *Delivery) takeCap(t *kv.Txn, c spending, r *record, now time.Time) error {
	own := r.id()
	list, err := d.capList(t, c, own, now)
	if err != nil {
		return err
	}
	list = binary.BigEndian.AppendUint64(list, uint64(now.UnixMicro()))
	return t.Set(kv.Delivery, c.key, append(list, own[:]...))
}

// release gives back what a message reserved, when nothing was sent after all.
func (d *Delivery) release(t *kv.Txn, r *record, c Content, now time.Time) error {
	if err := d.releaseCaps(t, r, c, now); err != nil {
		return err
	}
	return t.Delete(kv.Delivery, d.uniqueKey(r))
}

func (d *Delivery) releaseCaps(t *kv.Txn, r *record, c Content, now time.Time) error {
	for _, s := range d.capsOf(r, c) {
		list, err := d.capList(t, s, r.id(), now)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			err = t.Delete(kv.Delivery, s.key)
		} else {
			err = t.Set(kv.Delivery, s.key, list)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
