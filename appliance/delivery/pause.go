package delivery

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// Pause keeps a connector from messages, across restarts, until Resume: they go
// to the others of its channel, or wait. What it was given already is not called
// back; Route says how much that is. Pausing again changes nothing.
func (d *Delivery) Pause(connector string) error {
	d.pausing.Lock()
	defer d.pausing.Unlock()
	now := d.o.Now().UTC()
	err := d.db.Update(func(t *kv.Txn) error {
		if !d.Route(connector).Paused.IsZero() {
			return nil
		}
		return t.Set(kv.Delivery, pausedName(connector), binary.BigEndian.AppendUint64(nil, uint64(now.UnixMicro())))
	})
	if err != nil {
		return fmt.Errorf("pausing the connector %q: %w", connector, err)
	}
	d.routes.setPaused(connector, now)
	return nil
}

// Resume lets a connector have messages again. One that delivery paused by itself,
// since it says of nearly all tokens that they are no more, is looked at anew, and
// believed for a day when it is resumed twice within one.
func (d *Delivery) Resume(connector string) error {
	d.pausing.Lock()
	defer d.pausing.Unlock()
	err := d.db.Update(func(t *kv.Txn) error { return t.Delete(kv.Delivery, pausedName(connector)) })
	if err != nil {
		return fmt.Errorf("resuming the connector %q: %w", connector, err)
	}
	d.routes.setPaused(connector, time.Time{})
	d.Committed()
	return nil
}

// keepDoubt writes down why delivery paused a connector by itself. Without it, a
// restart would try twenty tokens more.
func (d *Delivery) keepDoubt(connector string) {
	d.pausing.Lock()
	defer d.pausing.Unlock()
	s := d.Route(connector)
	if s.Doubt == "" {
		return // it was resumed
	}
	d.o.Logger.Error("a connector is paused", "connector", connector, "why", s.Doubt)
	err := d.db.Update(func(t *kv.Txn) error {
		return t.Set(kv.Delivery, pausedName(connector), append(binary.BigEndian.AppendUint64(nil, uint64(s.Paused.UnixMicro())), s.Doubt...))
	})
	if err != nil {
		d.o.Logger.Error("a connector is paused until a restart only", "connector", connector, "error", err)
	}
}

func pausedName(connector string) []byte { return append([]byte{pausedKey}, connector...) }

// setPaused notes since when a connector is paused; the zero time = it is not.
func (r *routes) setPaused(connector string, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(connector)
	if since.IsZero() {
		s.doubt.resume(r.d.o.Now())
	}
	if since.IsZero() || s.paused.IsZero() {
		s.paused = since
	}
}

// loadPaused reads which connectors an earlier process left paused.
func (r *routes) loadPaused(t *kv.Txn) error {
	return t.Scan(kv.Delivery, []byte{pausedKey}, nil, func(key, val []byte) error {
		if len(val) < 8 {
			return fmt.Errorf("since when the connector %q is paused is damaged", key[1:])
		}
		s := r.of(string(key[1:]))
		s.paused, s.doubt.why = micros(int64(binary.BigEndian.Uint64(val))), string(val[8:])
		return nil
	})
}
