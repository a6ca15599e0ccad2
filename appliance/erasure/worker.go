package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/kv"
)

const (
	maxRound    = 500 // requests carried at once
	longestWait = time.Hour
	stuck       = "erasure.stuck" // code of the problem
)

// request is one on its way.
type request struct {
	h hash
	*record
	addresses []event.Address // opened
}

// run is the worker's life: rounds, as long as there is something to do.
func (e *Erasure) run() {
	defer e.wg.Done()
	wait := e.o.Backoff
	for e.ctx.Err() == nil {
		n, err := e.round(e.ctx)
		switch {
		case e.ctx.Err() != nil:
			return
		case err != nil:
			e.o.Logger.Error("an erasure is not done yet, will try again", "in", wait, "error", err)
			e.o.Board.Raise(health.Problem{
				Code: stuck, Subject: e.o.Publisher, Severity: health.Degraded,
				Summary: "A person who asked to be forgotten is not forgotten everywhere yet.",
				Hint:    "The erasure's page and the log say which holder failed and why; it is asked again by itself.",
			})
			e.pause(wait, nil) // not woken: a failing holder is not asked more often for new requests
			wait = min(2*wait, longestWait)
		case n == maxRound: // there may be more
		case n > 0:
			e.o.Board.Clear(stuck, e.o.Publisher)
			wait = e.o.Backoff
			e.pause(e.o.Gather, nil)
		default:
			e.o.Board.Clear(stuck, e.o.Publisher)
			wait = e.o.Backoff
			e.pause(longestWait, e.wake)
		}
	}
}

func (e *Erasure) pause(d time.Duration, wake <-chan struct{}) {
	tick, stop := e.o.Timer(d)
	defer stop()
	select {
	case <-tick:
	case <-wake:
	case <-e.ctx.Done():
	}
}

// round carries the pending requests as far as they go, and says how many they
// were. The error is of the holders that failed.
func (e *Erasure) round(ctx context.Context) (n int, err error) {
	rs, err := e.pending()
	if err != nil || len(rs) == 0 {
		return 0, err
	}
	if err := e.destroyKeys(rs); err != nil {
		return len(rs), err
	}
	if err := e.openAddresses(rs); err != nil {
		return len(rs), err
	}
	var errs []error
	for _, h := range e.o.Outside {
		errs = append(errs, e.ask(ctx, h, rs, true))
	}
	for _, h := range e.o.Inside {
		if err := e.ask(ctx, h, rs, false); err != nil {
			errs = append(errs, err)
			break
		}
	}
	errs = append(errs, e.dropAddresses(rs), e.certify(rs))
	return len(rs), errors.Join(errs...)
}

// destroyKeys sees to what Committed did, or could not do.
func (e *Erasure) destroyKeys(rs []*request) error {
	var numbers []uint32
	var of []*request
	for _, r := range rs {
		if !r.did(keys) {
			numbers, of = append(numbers, r.Persons...), append(of, r)
		}
	}
	if len(of) == 0 {
		return nil
	}
	if err := e.o.Keys.DestroyPerson(numbers...); err != nil {
		return fmt.Errorf("destroying keys: %w", err)
	}
	return e.done(of, keys, e.o.Now())
}

func (e *Erasure) done(rs []*request, holder string, at time.Time) error {
	at = at.UTC()
	return e.note(rs, func(_ *kv.Txn, r *request) error {
		s := r.step(holder)
		s.Done, s.Error = &at, ""
		return nil
	})
}

// openAddresses opens what those outside have to be told. Where the key went
// first, the certificate will say so.
func (e *Erasure) openAddresses(rs []*request) error {
	var lost []*request
	for _, r := range rs {
		var err error
		if r.addresses, err = e.open(r.h, r.Addresses); err != nil {
			e.o.Logger.Error("the addresses of an erased person cannot be opened any more, so nobody outside can be told", "request", r.Request, "error", err)
			lost = append(lost, r)
		}
	}
	return e.note(lost, func(_ *kv.Txn, r *request) error {
		r.Addresses = nil
		now := e.o.Now().UTC()
		for _, h := range e.o.Outside {
			if s := r.step(h.Name()); s.Done == nil {
				s.Done, s.Error, s.Note = &now, "", "could not be told: the addresses were destroyed before it answered"
			}
		}
		return nil
	})
}

// ask asks one holder for all who need it, and notes what it answered.
func (e *Erasure) ask(ctx context.Context, h Holder, rs []*request, outside bool) error {
	var of []*request
	var persons []Forgotten
	for _, r := range rs {
		if r.did(h.Name()) {
			continue
		}
		f := Forgotten{Numbers: slices.Clone(r.Persons)}
		if outside {
			f.Addresses = slices.Clone(r.addresses)
		}
		of, persons = append(of, r), append(persons, f)
	}
	if len(of) == 0 {
		return nil
	}
	err := h.Forget(ctx, persons)
	if err == nil {
		return e.done(of, h.Name(), e.o.Now())
	}
	if ctx.Err() != nil {
		return err // closing is no failure of the holder's
	}
	noted := e.note(of, func(_ *kv.Txn, r *request) error {
		s := r.step(h.Name())
		s.Tries++
		s.Error = err.Error()
		return nil
	})
	return errors.Join(fmt.Errorf("%s: %w", h.Name(), err), noted)
}

// dropAddresses lets go of addresses that everybody outside was told. The
// others stay sealed under an epoch that is young, and under the one that is
// there at the next round.
func (e *Erasure) dropAddresses(rs []*request) error {
	var told []*request
	for _, r := range rs {
		if len(r.Addresses) > 0 && !slices.ContainsFunc(e.o.Outside, func(h Holder) bool { return !r.did(h.Name()) }) {
			told = append(told, r)
		}
	}
	err := e.note(told, func(_ *kv.Txn, r *request) error {
		r.Addresses = nil
		return nil
	})
	return errors.Join(err, e.Reseal())
}

// certify signs the certificates of requests that every holder reported on.
func (e *Erasure) certify(rs []*request) error {
	var done []*request
	for _, r := range rs {
		if r.did(keys) && !slices.ContainsFunc(e.holders(), func(h Holder) bool { return !r.did(h.Name()) }) {
			done = append(done, r)
		}
	}
	return e.note(done, func(t *kv.Txn, r *request) error {
		now := e.o.Now().UTC()
		r.Done = &now
		var err error
		if r.Body, err = e.body(r.record); err != nil {
			return err
		}
		r.Signature = e.o.Keys.Sign(domain, r.Body)
		return t.Delete(kv.Erasure, r.h.at(openKey, r.Asked))
	})
}
