//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tryTrace says whether another process may be traced here.
func tryTrace() error {
	if err := command("strace", "-o", "/dev/null", "-e", "trace=none", "true"); err != nil {
		return fmt.Errorf("it needs strace: %w", err)
	}
	return nil
}

// tryBoth is both.
func tryBoth() error { return errors.Join(tryDisk(), tryTrace()) }

// failingSyncs lets a sync fail under load, by a tracer that answers EIO in the
// kernel's place: nothing may be acknowledged for it, and after a restart
// everything that was must be there.
func failingSyncs(ctx context.Context, h *harness, rounds int) (all result, err error) {
	d, err := h.newDaemon("eio", filepath.Join(h.dir, "eio"))
	if err != nil {
		return all, err
	}
	defer d.kill()
	for round := 0; all.rounds < rounds && round < most(rounds); round++ {
		// Each thread counts for itself, so several are met.
		which := []string{"fsync", "fdatasync", "msync"}[round%3]
		if err := d.start(ctx); err != nil {
			return all, fmt.Errorf("round %d: %w", round, err)
		}
		r, err := h.round(ctx, d, fmt.Sprintf("Sync-%d", round), func(w *witness) error {
			if err := until(ctx, 10*time.Second, func() bool { return w.n.Load() > 500 }); err != nil {
				return err
			}
			tracer := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+which, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d+", which, 1+round%4), "-p", fmt.Sprint(d.cmd.Process.Pid))
			if err := tracer.Start(); err != nil {
				return err
			}
			err := sleep(ctx, 1500*time.Millisecond)
			_ = tracer.Process.Signal(os.Interrupt)
			_ = tracer.Wait() // it was told to end
			d.kill()
			return errors.Join(err, d.start(ctx))
		})
		if err != nil {
			return all, fmt.Errorf("round %d, %s: %w", round, which, err)
		}
		d.kill()
		all.add(r)
	}
	return all, nil
}

// fullDisks fill a small disk beside the daemon until it is full to the last
// block, and free it again: the door answers 507 (or 503) with Retry-After,
// reading, withdrawing and erasing go on in the reserve, the daemon does not
// die of it, and collecting goes on by itself within 30 s.
func fullDisks(ctx context.Context, h *harness, rounds int) (all result, err error) {
	p, err := h.newPowered(ctx, "full", 2<<30)
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	var slowest time.Duration
	for round := 0; all.rounds < rounds && round < most(rounds); round++ {
		r, err := h.round(ctx, p.daemon, fmt.Sprintf("Full-%d", round), func(w *witness) error {
			if err := until(ctx, 10*time.Second, func() bool { return w.n.Load() > 500 }); err != nil {
				return err
			}
			back, err := p.fill(ctx, w)
			slowest = max(slowest, back)
			return err
		})
		if err != nil {
			return all, fmt.Errorf("round %d: %w", round, err)
		}
		all.add(r)
	}
	all.notes = append(all.notes, fmt.Sprintf("collecting again %v after space was freed, at the slowest", slowest.Round(time.Millisecond)))
	return all, nil
}

// fill fills the disk, tries what must go on, and frees it. back is how long it
// took until something was acknowledged again.
func (p *powered) fill(ctx context.Context, w *witness) (back time.Duration, err error) {
	ballast := filepath.Join(p.disk.mount, "ballast")
	who := "gone-" + w.event
	if err := p.someone(ctx, who); err != nil {
		return 0, err
	}
	// First down to the reserve, in which the rest must work.
	if err := p.leave(ballast, 400<<20); err != nil {
		return 0, err
	}
	refused := func() int64 {
		return w.answered(http.StatusInsufficientStorage) + w.answered(http.StatusServiceUnavailable)
	}
	was := refused()
	if err := until(ctx, 20*time.Second, func() bool { return refused() > was || p.gone() }); err != nil {
		return 0, fmt.Errorf("the door does not refuse at the reserve: %w", err)
	}
	if err := p.retryAfter(ctx, w); err != nil {
		return 0, err
	}
	if err := p.ask(ctx, w.event); err != nil {
		return 0, fmt.Errorf("at the reserve: %w", err)
	}
	if err := p.erase(ctx, who); err != nil {
		return 0, fmt.Errorf("erasing at the reserve: %w", err)
	}
	// Then to the last block.
	if err := p.leave(ballast, 0); err != nil {
		return 0, err
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	if p.gone() {
		return 0, fmt.Errorf("the daemon died of a full disk: %s", p.log.end())
	}
	if err := p.ask(ctx, w.event); err != nil {
		return 0, fmt.Errorf("on a disk that is full: %w", err)
	}
	before := w.n.Load()
	if err := os.Remove(ballast); err != nil {
		return 0, err
	}
	freed := time.Now()
	if err := until(ctx, 30*time.Second, func() bool { return w.n.Load() > before || p.gone() }); err != nil {
		return 0, fmt.Errorf("collecting does not go on: %w: %s", err, p.log.end())
	}
	if p.gone() {
		return 0, fmt.Errorf("the daemon died after a full disk: %s", p.log.end())
	}
	return time.Since(freed), nil
}

// ask asks how often an event happened.
func (d *daemon) ask(ctx context.Context, event string) error {
	q := object{"kind": "trend", "interval": "all", "series": []object{{"name": "A", "event": event, "measure": "count"}}}
	if err := d.call(ctx, http.MethodPost, "/v1/publishers/shop/query", q, nil); err != nil {
		return fmt.Errorf("asking: %w: %s", err, d.log.end())
	}
	return nil
}

// leave lets a file grow until so many bytes are free.
func (p *powered) leave(path string, free int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for {
		have, err := freeBytes(p.disk.mount)
		if err != nil {
			return err
		}
		if have <= free && free > 0 {
			return f.Sync()
		}
		if _, err := f.Write(chunk[:min(int64(len(chunk)), max(have-free, 4096))]); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				return nil
			}
			return err
		}
	}
}

// retryAfter looks at one refusal.
func (p *powered) retryAfter(ctx context.Context, w *witness) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.collect+"/v1/track", strings.NewReader(`{"userId":"u","event":"Refused","messageId":"refused"}`))
	if err != nil {
		return err
	}
	req.SetBasicAuth(appKey, "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage && resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		return fmt.Errorf("at the reserve a message is answered %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	return nil
}
