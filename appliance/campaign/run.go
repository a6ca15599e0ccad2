package campaign

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// The states of a run.
const (
	RunWaiting = "waiting" // for its time
	RunBegun   = "begun"   // its time has come; the audience is being counted
	RunSending = "sending" // the audience is frozen and goes into the outbox
	RunDone    = "done"
	RunMissed  = "missed"  // its time passed while the daemon was down, or the campaign paused
	RunStopped = "stopped" // the campaign ended first
)

// Progress is how far a one-time campaign's run has come.
type Progress struct {
	Run      string     `json:"run"` // id
	State    string     `json:"state"`
	At       time.Time  `json:"at"`
	Audience uint64     `json:"audience"` // persons in the frozen audience
	Enqueued uint64     `json:"enqueued"` // of them handed to the outbox
	Ended    *time.Time `json:"ended,omitempty"`
}

// run is Progress and what the worker needs.
type run struct {
	Progress
	Cursor   uint32 `json:"cursor"` // the last person enqueued
	Pieces   int    `json:"pieces"` // of the frozen audience
	Revision int    `json:"revision"`
}

func (c *Campaigns) progress(id string) (*Progress, error) {
	var r *run
	err := c.db.View(func(t *kv.Txn) (err error) {
		r, err = loadRun(t, id)
		return err
	})
	if r == nil || err != nil {
		return nil, err
	}
	return &r.Progress, nil
}

// loadRun reads a campaign's run; nil if there is none.
func loadRun(t *kv.Txn, id string) (*run, error) {
	b, err := missing(t.Get(kv.Campaign, append([]byte{runKey}, id...)))
	if b == nil || err != nil {
		return nil, err
	}
	var r run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("the run of campaign %q is damaged: %w", id, err)
	}
	return &r, nil
}

func saveRun(t *kv.Txn, id string, r *run) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.Set(kv.Campaign, append([]byte{runKey}, id...), b)
}

// runInstance is the timer instance of a run: person 0.
func (c *Campaigns) runInstance(id string) instance { return c.instanceOf(id, 0, []byte("run")) }

// planRun sets, moves or takes away the timer of a one-time campaign's run as
// its state says. A campaign has one run, ever: who wants to send again copies it.
func (c *Campaigns) planRun(t *kv.Txn, one *compiled, f *event.Fact) error {
	if one.Trigger.Type != TriggerOnce {
		return nil
	}
	r, err := loadRun(t, one.ID)
	if err != nil {
		return err
	}
	if r == nil {
		if one.State != Running {
			return nil
		}
		// One that was deleted and made anew under its old id runs anew.
		h := c.o.Keys.Hash("campaign run", []byte(one.ID), number(uint32(one.Revision)))
		r = &run{Progress: Progress{Run: hex.EncodeToString(h[:8]), State: RunWaiting, At: time.UnixMicro(f.Time).UTC()}}
	}
	in := c.runInstance(one.ID)
	if r.State == RunWaiting {
		if err := t.Delete(kv.Campaign, in.timer(r.At.UnixMicro())); err != nil {
			return err
		}
		if one.Trigger.At != nil {
			r.At = one.Trigger.At.UTC().Truncate(time.Microsecond)
		}
		if one.State == Running {
			if err := t.Set(kv.Campaign, in.timer(r.At.UnixMicro()), []byte(one.ID)); err != nil {
				return err
			}
		}
	}
	if one.State == Ended && r.State != RunDone && r.State != RunMissed {
		r.stop(RunStopped, f.Time)
	}
	return saveRun(t, one.ID, r)
}

func (r *run) stop(state string, us int64) {
	at := time.UnixMicro(us).UTC()
	r.State, r.Ended = state, &at
}

// applyRun begins a run whose time has come, if its timer is still there.
func (c *Campaigns) applyRun(t *kv.Txn, f *event.Fact) error {
	due, in, ok := parseTimer(f.Body)
	one := c.find(f.Ref)
	if !ok || in.person() != 0 || f.Received < due {
		return nil
	}
	b, err := missing(t.Get(kv.Campaign, f.Body))
	if b == nil || err != nil {
		return err
	}
	if err := t.Delete(kv.Campaign, f.Body); err != nil {
		return err
	}
	if one == nil || one.State != Running {
		return nil
	}
	r, err := loadRun(t, f.Ref)
	if err != nil {
		return err
	}
	if r == nil || r.State != RunWaiting {
		return nil
	}
	r.State, r.Revision = RunBegun, one.Revision
	if f.Received-due > one.lateness() {
		r.stop(RunMissed, f.Received)
	}
	return saveRun(t, f.Ref, r)
}
