package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

const (
	// leastKept is how long decisions are kept at least: without them the links of
	// what was sent lead nowhere, the one for unsubscribing among them, and receipts
	// find no message.
	leastKept = 90 * 24 * time.Hour
	// expirePage is how many records are looked at in one transaction, so that none
	// is open for long and none grows past what kv takes.
	expirePage = 500
)

// Expire removes the decisions of messages that were settled longer ago than
// keep, and than 90 days, with all that is kept of these messages, and says how
// many; 0 keeps them. It reads every decision, page by page, and may run beside
// everything else. One that cannot be read is passed over and told at the end.
func (d *Delivery) Expire(ctx context.Context, keep time.Duration) (removed int, err error) {
	if keep <= 0 {
		return 0, nil
	}
	before := d.o.Now().Add(-max(keep, leastKept))
	var damaged error
	for from := []byte{recordKey}; from != nil; {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		var past []id
		past, from, err = d.settledBefore(before, from, &damaged)
		if err != nil {
			return removed, fmt.Errorf("looking for messages past the retention: %w", err)
		}
		if len(past) == 0 {
			continue
		}
		n := 0
		err = d.db.Update(func(t *kv.Txn) error {
			n = 0
			for _, i := range past {
				gone, err := d.expire(t, i, before)
				if err != nil {
					return err
				}
				if gone {
					n++
				}
			}
			return nil
		})
		if err != nil {
			return removed, fmt.Errorf("removing messages past the retention: %w", err)
		}
		removed += n
	}
	return removed, damaged
}

// settledBefore reads a page of records from a key on. next is where the page
// after it begins, nil if there is none. The first one that cannot be read is
// noted in damaged.
func (d *Delivery) settledBefore(before time.Time, from []byte, damaged *error) (past []id, next []byte, err error) {
	err = d.db.View(func(t *kv.Txn) error {
		n := 0
		return t.Scan(kv.Delivery, []byte{recordKey}, from, func(key, val []byte) error {
			var r record
			switch err := json.Unmarshal(val, &r); {
			case err != nil && *damaged == nil:
				*damaged = fmt.Errorf("message %x: its record is damaged: %w", key[1:], err)
			case err == nil && r.settled() && r.Settled.Before(before):
				past = append(past, id(key[1:]))
			}
			if n++; n == expirePage {
				next = append(append(next, key...), 0)
				return kv.ErrStop
			}
			return nil
		})
	})
	return past, next, err
}

// expire removes one message with its keys. One that the journal has not been
// told of yet stays.
func (d *Delivery) expire(t *kv.Txn, i id, before time.Time) (bool, error) {
	if _, err := t.Get(kv.Delivery, i.key(attemptKey)); !errors.Is(err, kv.ErrNotFound) {
		return false, err
	}
	r, err := d.load(t, i)
	if errors.Is(err, ErrUnknown) {
		return false, nil // another Expire was there first
	}
	if err != nil {
		return false, err
	}
	if !r.settled() || !r.Settled.Before(before) {
		return false, nil
	}
	keys := [][]byte{i.key(recordKey), listKey(r.State, *r.Settled, i)}
	if r.ProviderID != "" {
		keys = append(keys, d.providerKey(r.lastConnector(), r.ProviderID))
	}
	// Of a duplicate it is another's.
	unique := d.uniqueKey(r)
	if own, err := t.Get(kv.Delivery, unique); err == nil && string(own) == r.Message {
		keys = append(keys, unique)
	} else if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return false, err
	}
	return true, drop(t, keys)
}
