package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/plugins/connector"
)

const (
	recoverPage = 500
	unparkPage  = 500
	unparkEvery = 2 * time.Second
)

// Start settles what an earlier process left behind and starts the workers:
// call it once, when the applier has caught up.
func (d *Delivery) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started || d.closed {
		return
	}
	d.started = true
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		for wait := d.o.Backoff; ; wait = min(2*wait, longestBackoff) {
			err := d.recoverAttempts()
			if err == nil || d.ctx.Err() != nil {
				break
			}
			d.o.Logger.Error("settling what was left behind failed, will try again", "in", wait, "error", err)
			d.pause(wait, nil)
		}
		// Workers only now: until here every attempt on disk is an old one.
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.closed {
			return
		}
		d.wg.Add(1)
		go d.unpark()
		for _, c := range d.channels {
			d.wg.Add(1 + d.o.Workers)
			go c.run(1) // for transactional ones there is always one
			for range d.o.Workers {
				go c.run(2)
			}
		}
	}()
}

// recoverAttempts settles attempts that an earlier process recorded: without an
// outcome they are unknown; with one, their facts are told again.
func (d *Delivery) recoverAttempts() error {
	for d.ctx.Err() == nil {
		var results []result
		var settled []*record
		err := d.db.View(func(t *kv.Txn) error {
			return t.Scan(kv.Delivery, []byte{attemptKey}, nil, func(key, _ []byte) error {
				i := id(key[1:])
				r, err := d.load(t, i)
				if err != nil {
					return err
				}
				if r.settled() {
					settled = append(settled, r)
				} else {
					was := ""
					if n := len(r.Attempts); n > 0 {
						was = r.Attempts[n-1].Connector
					}
					results = append(results, result{rec: r, connector: was, out: connector.Outcome{Result: connector.Unknown, Reason: "the appliance was stopped"}})
				}
				if len(results)+len(settled) == recoverPage {
					return kv.ErrStop
				}
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("reading attempts left behind: %w", err)
		}
		if len(results)+len(settled) == 0 {
			return nil
		}
		d.o.Logger.Warn("settling messages left behind", "unanswered", len(results), "untold", len(settled))
		if err := errors.Join(d.conclude(results, settled), d.letGo(nil)); err != nil {
			return err
		}
	}
	return d.ctx.Err()
}

// unpark brings back what waits for campaigns that run again, or are gone.
func (d *Delivery) unpark() {
	defer d.wg.Done()
	for d.ctx.Err() == nil {
		if err := d.unparkOnce(); err != nil && d.ctx.Err() == nil {
			d.o.Logger.Error("looking after paused campaigns failed, will try again", "error", err)
		}
		d.pause(unparkEvery, nil)
	}
}

func (d *Delivery) unparkOnce() error {
	from := []byte{parkedKey}
	for d.ctx.Err() == nil {
		// The first parked message of the next campaign.
		var first []byte
		err := d.db.View(func(t *kv.Txn) error {
			return t.Scan(kv.Delivery, []byte{parkedKey}, from, func(key, _ []byte) error {
				first = bytes.Clone(key)
				return kv.ErrStop
			})
		})
		if err != nil || first == nil {
			return err
		}
		prefix := first[:len(first)-idBytes] // with the 0 behind the campaign
		campaign := string(prefix[1 : len(prefix)-1])
		back, err := d.unparkCampaign(campaign, prefix, id(first[len(prefix):]))
		if err != nil {
			return err
		}
		if !back {
			from = append(bytes.Clone(prefix[:len(prefix)-1]), 1) // past this campaign
		}
	}
	return nil
}

// unparkCampaign brings back a page of one campaign's messages, unless it is
// still paused.
func (d *Delivery) unparkCampaign(campaign string, prefix []byte, sample id) (bool, error) {
	back := false
	err := d.db.Update(func(t *kv.Txn) error {
		r, err := d.load(t, sample)
		if err != nil {
			return err
		}
		c, err := d.o.Programme.Content(campaign, r.Revision)
		if err != nil && !errors.Is(err, ErrGone) {
			return fmt.Errorf("campaign %s: %w", campaign, err)
		}
		if err == nil && c.Paused && d.o.Now().Before(r.Expires) {
			return nil
		}
		var page []id
		err = t.Scan(kv.Delivery, prefix, nil, func(key, _ []byte) error {
			page = append(page, id(key[len(prefix):]))
			if len(page) == unparkPage {
				return kv.ErrStop
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, i := range page {
			r, err := d.load(t, i)
			if err != nil {
				return err
			}
			if err := d.leaveQueue(t, r); err != nil {
				return err
			}
			if err := d.join(t, r); err != nil {
				return err
			}
		}
		back = true
		return nil
	})
	if back {
		d.Committed()
	}
	return back, err
}

// Close takes no more from the outbox, and waits for what was handed over and
// its outcome. When ctx ends first, hand-offs are cut short and are unknown.
func (d *Delivery) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	done := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("closing delivery: %w", ctx.Err())
		d.kill()
		<-done
	}
	d.kill()
	if gone := d.letGo(nil); gone != nil {
		d.o.Logger.Warn("settled messages will be told again", "error", gone)
	}
	return err
}
