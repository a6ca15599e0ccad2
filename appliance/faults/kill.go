//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"
)

// kills ends the daemon with -9 at random moments, over one data directory.
// The load goes on over the restart, so that what was not answered is sent
// again.
func kills(ctx context.Context, h *harness, rounds int) (all result, err error) {
	d, err := h.newDaemon("kill", filepath.Join(h.dir, "kill"))
	if err != nil {
		return all, err
	}
	defer d.kill()
	if err := d.start(ctx); err != nil {
		return all, err
	}
	for round := 0; all.rounds < rounds && round < most(rounds); round++ {
		r, err := h.round(ctx, d, fmt.Sprintf("Kill-%d", round), func(w *witness) error {
			if err := sleep(ctx, time.Duration(50+rand.IntN(900))*time.Millisecond); err != nil {
				return err
			}
			d.kill()
			return d.start(ctx)
		})
		if err != nil {
			return all, fmt.Errorf("round %d: %w", round, err)
		}
		all.add(r)
	}
	return all, d.stop()
}

// round loads the daemon while fn breaks it and mends it, lets what was not
// answered be sent again, and compares.
func (h *harness) round(ctx context.Context, d *daemon, event string, fn func(w *witness) error) (r result, err error) {
	w, err := h.newWitness(event)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := d.decide(ctx, event); err != nil {
		return r, err
	}
	stop := w.load(ctx, d)
	err = fn(w)
	before := w.n.Load()
	if err == nil {
		// Until some of what was not answered has been sent again; who gets
		// no answer any more only does not count.
		for until := time.Now().Add(5 * time.Second); w.n.Load() < before+200 && time.Now().Before(until) && ctx.Err() == nil; {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err := errors.Join(err, stop()); err != nil {
		return r, err
	}
	if before == 0 || w.n.Load() == before {
		h.tell("%s did not land: %d acknowledged before, %d after", event, before, w.n.Load()-before)
		return result{missed: 1}, nil
	}
	if r, err = w.compare(ctx, d); err != nil {
		return r, err
	}
	if err := d.decided(ctx, event); err != nil {
		r.lost++
		r.notes = append(r.notes, err.Error())
	}
	r.rounds = 1
	h.tell("%s: %d acknowledged, %d lost, %d duplicated", event, r.acked, r.lost, r.duplicated)
	return r, nil
}

// decide has one person withdraw a consent and another forgotten, before a
// round: both are acknowledged.
func (d *daemon) decide(ctx context.Context, round string) error {
	for _, who := range []string{"out-" + round, "gone-" + round} {
		if err := d.someone(ctx, who); err != nil {
			return fmt.Errorf("making %s: %w", who, err)
		}
	}
	if err := d.withdraw(ctx, "out-"+round); err != nil {
		return fmt.Errorf("withdrawing: %w", err)
	}
	return d.erase(ctx, "gone-"+round)
}

// decided says whether that holds.
func (d *daemon) decided(ctx context.Context, round string) error {
	if d.agreed(ctx, "out-"+round) {
		return fmt.Errorf("%s: a withdrawal that was acknowledged does not hold", round)
	}
	var a *answerError
	err := d.call(ctx, http.MethodGet, "/v1/publishers/shop/people/gone-"+round, nil, nil)
	if !errors.As(err, &a) || a.status != http.StatusNotFound && a.status != http.StatusGone {
		return fmt.Errorf("%s: an erasure that was acknowledged does not hold: %w", round, err)
	}
	return nil
}

func (h *harness) tell(format string, args ...any) {
	if h.verbose {
		fmt.Fprintf(h.log, format+"\n", args...)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// most is how often something is tried until so many rounds have landed: a few
// do not, since what is sent is random too.
func most(rounds int) int { return rounds + 3 + rounds/4 }
