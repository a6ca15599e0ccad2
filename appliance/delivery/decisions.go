package delivery

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// decisionPage is how many decisions are read at once.
const decisionPage = 500

// Decisions calls fn with each message's decision, in the order of their ids,
// that comes after one ("" = all). They are read in pages, each as of one
// moment: a message that is made meanwhile may be met or not. An error of fn
// ends it and is returned as it is.
func (d *Delivery) Decisions(ctx context.Context, after string, fn func(Decision) error) error {
	from := []byte{recordKey}
	if after != "" {
		i, ok := parseID(after)
		if !ok {
			return fmt.Errorf("message %.40q: %w", after, ErrUnknown)
		}
		from = append(i.key(recordKey), 0) // the first key that is greater
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		page := make([]Decision, 0, decisionPage)
		err := d.db.View(func(t *kv.Txn) error {
			return t.Scan(kv.Delivery, []byte{recordKey}, from, func(key, val []byte) error {
				var r record
				if err := json.Unmarshal(val, &r); err != nil {
					return fmt.Errorf("message %x: its record is damaged: %w", key[1:], err)
				}
				page = append(page, r.Decision)
				from = append(append(from[:0], key...), 0)
				if len(page) == decisionPage {
					return kv.ErrStop
				}
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("reading the outbox: %w", err)
		}
		for _, one := range page {
			if err := fn(one); err != nil {
				return err
			}
		}
		if len(page) < decisionPage {
			return nil
		}
	}
}
