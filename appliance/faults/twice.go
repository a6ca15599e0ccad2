//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Faults that follow each other: one that meets the daemon while it makes the
// one before good, and rights that are asked for in the middle of it all.

// killsAmidStart kills the daemon under load, and again while it starts.
func killsAmidStart(ctx context.Context, h *harness, rounds int) (all result, err error) {
	d, err := h.newDaemon("again", filepath.Join(h.dir, "again"))
	if err != nil {
		return all, err
	}
	defer d.kill()
	if err := d.start(ctx); err != nil {
		return all, err
	}
	for round := 0; all.rounds < rounds && round < most(rounds); round++ {
		r, err := h.roundWithRights(ctx, d, fmt.Sprintf("Again-%d", round), func(*witness) error {
			if err := sleep(ctx, time.Duration(50+rand.IntN(900))*time.Millisecond); err != nil {
				return err
			}
			d.kill()
			for range 1 + rand.IntN(3) {
				starting, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(400))*time.Millisecond)
				err := d.start(starting)
				cancel()
				if err != nil && starting.Err() == nil {
					return err
				}
				d.kill()
			}
			return d.start(ctx)
		})
		if err != nil {
			return all, fmt.Errorf("round %d: %w", round, err)
		}
		all.add(r)
	}
	return all, d.stop()
}

// cutsAmidStart takes the power away under load, and again while the daemon
// starts.
func cutsAmidStart(ctx context.Context, h *harness, rounds int) (result, error) {
	return h.onDisk(ctx, "CutAgain", rounds, h.roundWithRights, func(p *powered, w *witness) error {
		if err := sleep(ctx, time.Duration(50+rand.IntN(900))*time.Millisecond); err != nil {
			return err
		}
		w.cut.Store(time.Now().UnixNano())
		if err := p.disk.cut(); err != nil {
			return err
		}
		if err := p.back(w); err != nil {
			return err
		}
		starting, cancel := context.WithCancel(ctx)
		defer cancel()
		started := make(chan error, 1)
		go func() { started <- p.start(starting) }()
		if err := sleep(ctx, time.Duration(rand.IntN(600))*time.Millisecond); err != nil {
			cancel()
			<-started
			return err
		}
		w.cut.Store(time.Now().UnixNano())
		err := p.disk.cut()
		cancel() // which ends it, if it does not serve yet
		<-started
		if err != nil {
			return err
		}
		if err := p.back(w); err != nil {
			return err
		}
		return p.start(ctx)
	})
}

// failingSyncsCut lets syncs fail for a while and then takes the power away: a
// page that a failed sync left in memory only must not have been acknowledged,
// whatever a later sync said.
func failingSyncsCut(ctx context.Context, h *harness, rounds int) (result, error) {
	round := 0
	return h.onDisk(ctx, "SyncCut", rounds, h.roundWithRights, func(p *powered, w *witness) error {
		which := []string{"fsync", "fdatasync", "msync", "fsync,fdatasync,msync"}[round%4]
		round++
		if err := until(ctx, 10*time.Second, func() bool { return w.n.Load() > 500 }); err != nil {
			return err
		}
		tracer := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+which,
			"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d+2", which, 1+rand.IntN(4)), "-p", fmt.Sprint(p.cmd.Process.Pid))
		if err := tracer.Start(); err != nil {
			return err
		}
		err := sleep(ctx, time.Duration(200+rand.IntN(1300))*time.Millisecond)
		w.cut.Store(time.Now().UnixNano())
		err = errors.Join(err, p.disk.cut())
		_ = tracer.Process.Signal(os.Interrupt)
		p.kill()
		_ = tracer.Wait() // it was told to end
		if err := errors.Join(err, p.disk.out(), p.disk.in()); err != nil {
			return err
		}
		w.cut.Store(0)
		return p.start(ctx)
	})
}

// rights are withdrawals and erasures that were acknowledged in the middle of a
// round.
type rights struct {
	mu             sync.Mutex
	silent, erased []string
}

// roundWithRights is a round in which people withdraw and are forgotten until
// the fault.
func (h *harness) roundWithRights(ctx context.Context, d *daemon, event string, fn func(*witness) error) (result, error) {
	asked := new(rights)
	r, err := h.round(ctx, d, event, func(w *witness) error {
		asking, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { asked.ask(asking, d, w) })
		err := fn(w)
		cancel()
		wg.Wait()
		return err
	})
	if err != nil || r.rounds == 0 {
		return r, err
	}
	for _, why := range asked.broken(ctx, d) {
		r.lost++
		r.notes = append(r.notes, why)
	}
	h.tell("%s: %d withdrawals and %d erasures were acknowledged in it", event, len(asked.silent), len(asked.erased))
	return r, nil
}

// ask goes on until ctx ends. Nobody waits for what was acknowledged to show.
func (a *rights) ask(ctx context.Context, d *daemon, w *witness) {
	counts := func(err error) bool { return err == nil && w.cut.Load() == 0 }
	for n := 0; ctx.Err() == nil; n++ {
		who := fmt.Sprintf("amid-%s-%d", w.event, n)
		if d.identify(ctx, who+"-out", true) == nil && counts(d.identify(ctx, who+"-out", false)) {
			a.mu.Lock()
			a.silent = append(a.silent, who+"-out")
			a.mu.Unlock()
		}
		if d.someone(ctx, who+"-gone") == nil && counts(d.erase(ctx, who+"-gone")) {
			a.mu.Lock()
			a.erased = append(a.erased, who+"-gone")
			a.mu.Unlock()
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

// broken are those that do not hold.
func (a *rights) broken(ctx context.Context, d *daemon) (why []string) {
	for _, who := range a.silent {
		if d.agreed(ctx, who) {
			why = append(why, who+": a withdrawal that was acknowledged amid the round does not hold")
		}
	}
	for _, who := range a.erased {
		var answer *answerError
		err := d.call(ctx, http.MethodGet, "/v1/publishers/shop/people/"+who, nil, nil)
		if !errors.As(err, &answer) || answer.status != http.StatusNotFound && answer.status != http.StatusGone {
			why = append(why, fmt.Sprintf("%s: an erasure that was acknowledged amid the round does not hold: %v", who, err))
		}
	}
	return why
}
