//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const diskBytes = 3 << 30 // sparse: what is not written takes no room

// powered is a daemon on a disk of its own.
type powered struct {
	*daemon
	disk *disk
}

func (h *harness) newPowered(ctx context.Context, name string, bytes int64) (*powered, error) {
	disk, err := h.newDisk(name, bytes)
	if err != nil {
		return nil, err
	}
	d, err := h.newDaemon(name, filepath.Join(disk.mount, "data"))
	if err == nil {
		err = d.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, disk.remove())
	}
	return &powered{d, disk}, nil
}

func (p *powered) remove() error {
	p.kill()
	return p.disk.remove()
}

// fail takes the power away, ends what ran, and gives the power back.
func (p *powered) fail(ctx context.Context, w *witness) error {
	w.cut.Store(time.Now().UnixNano())
	if err := p.disk.cut(); err != nil {
		return err
	}
	if err := p.back(w); err != nil {
		return err
	}
	return p.start(ctx)
}

// back ends what runs on a disk without power, and gives the power back.
func (p *powered) back(w *witness) error {
	p.kill()
	if err := errors.Join(p.disk.out(), p.disk.in()); err != nil {
		return err
	}
	w.cut.Store(0)
	return nil
}

// cuts runs rounds of power cuts. aim waits for the moment.
func (h *harness) cuts(ctx context.Context, name string, rounds int, aim func(p *powered) error) (result, error) {
	return h.onDisk(ctx, name, rounds, h.round, func(p *powered, w *witness) error {
		if err := aim(p); err != nil {
			return err
		}
		return p.fail(ctx, w)
	})
}

// onDisk runs rounds on one disk, whose daemon is never closed well in between:
// round is h.round or h.roundWithRights, and fn what it does.
func (h *harness) onDisk(ctx context.Context, name string, rounds int,
	round func(context.Context, *daemon, string, func(*witness) error) (result, error), fn func(*powered, *witness) error) (all result, err error) {
	p, err := h.newPowered(ctx, name, diskBytes)
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	for n := 0; all.rounds < rounds && n < most(rounds); n++ {
		r, err := round(ctx, p.daemon, fmt.Sprintf("%s-%d", name, n), func(w *witness) error { return fn(p, w) })
		if err != nil {
			return all, fmt.Errorf("round %d: %w", n, err)
		}
		all.add(r)
	}
	return all, nil
}

func powerCuts(ctx context.Context, h *harness, rounds int) (result, error) {
	return h.cuts(ctx, "Cut", rounds, func(*powered) error {
		return sleep(ctx, time.Duration(50+rand.IntN(900))*time.Millisecond)
	})
}

// cutsAtRotation cut when JetStream has begun another file.
func cutsAtRotation(ctx context.Context, h *harness, rounds int) (result, error) {
	return h.cuts(ctx, "Rotation", rounds, func(p *powered) error {
		return p.untilNew(ctx, "journal/nats/jetstream/shop/streams/journal/msgs", ".blk")
	})
}

// cutsAtFreeze cut when history writes blocks.
func cutsAtFreeze(ctx context.Context, h *harness, rounds int) (result, error) {
	return h.cuts(ctx, "Freeze", rounds, func(p *powered) error {
		return p.untilWritten(ctx, "publishers/shop/shelves")
	})
}

// cutsAtCheckpoint cut while the state is copied, when the copy takes the
// place of the one before, or while the journal is trimmed behind it. A
// checkpoint is made when the last one is a day old: it is made to look so.
func cutsAtCheckpoint(ctx context.Context, h *harness, rounds int) (result, error) {
	first := true
	return h.cuts(ctx, "Checkpoint", rounds, func(p *powered) error {
		copied := filepath.Join(p.data, "publishers/shop/checkpoint")
		if first {
			first = false
			// One is made after an erasure, too.
			if err := p.someone(ctx, "gone"); err != nil {
				return err
			}
			if err := p.erase(ctx, "gone"); err != nil {
				return err
			}
			if err := until(ctx, 2*time.Minute, func() bool { _, err := os.Stat(copied); return err == nil }); err != nil {
				return fmt.Errorf("waiting for the first checkpoint: %w", err)
			}
		}
		p.kill()
		old := time.Now().Add(-48 * time.Hour)
		if err := os.Chtimes(copied, old, old); err != nil {
			return err
		}
		if err := p.start(ctx); err != nil {
			return err
		}
		renamed := rand.IntN(2) == 0
		err := until(ctx, 30*time.Second, func() bool {
			if renamed {
				info, err := os.Stat(copied)
				return err == nil && time.Since(info.ModTime()) < time.Hour
			}
			_, err := os.Stat(copied + ".new")
			return err == nil
		})
		if err != nil {
			return fmt.Errorf("waiting for a checkpoint: %w", err)
		}
		return sleep(ctx, time.Duration(rand.IntN(8))*time.Millisecond)
	})
}

// someone makes a person with an event, an address and a consent, and waits
// until they are known.
func (d *daemon) someone(ctx context.Context, who string) error {
	if err := d.identify(ctx, who, true); err != nil {
		return err
	}
	return until(ctx, 10*time.Second, func() bool {
		return d.call(ctx, http.MethodGet, "/v1/publishers/shop/people/"+who, nil, nil) == nil
	})
}

// identify tells of somebody, as an app does.
func (d *daemon) identify(ctx context.Context, who string, consents bool) error {
	body, err := json.Marshal(object{"userId": who, "traits": object{"email": who + "@example.com"},
		"context": object{"consent": object{"categoryPreferences": object{"offers": consents}}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.collect+"/v1/identify", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(appKey, "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("telling of somebody is answered %s", resp.Status)
	}
	return nil
}

// withdraw takes a consent back, as an app does, and waits until that counts.
func (d *daemon) withdraw(ctx context.Context, who string) error {
	if err := d.identify(ctx, who, false); err != nil {
		return err
	}
	return until(ctx, 10*time.Second, func() bool { return !d.agreed(ctx, who) })
}

// agreed says whether a person's consent to offers is in force.
func (d *daemon) agreed(ctx context.Context, who string) bool {
	var p struct {
		Consent []struct {
			Purpose string
			Granted bool
		}
	}
	if err := d.call(ctx, http.MethodGet, "/v1/publishers/shop/people/"+who, nil, &p); err != nil {
		return true // nobody knows
	}
	return slices.ContainsFunc(p.Consent, func(c struct {
		Purpose string
		Granted bool
	}) bool {
		return c.Purpose == "offers" && c.Granted
	})
}

// erase forgets somebody.
func (d *daemon) erase(ctx context.Context, who string) error {
	return d.call(ctx, http.MethodDelete, "/v1/publishers/shop/people/"+who, nil, nil)
}

// untilNew waits until there is a file more.
func (d *daemon) untilNew(ctx context.Context, dir, suffix string) error {
	known, err := d.files(dir, suffix)
	if err != nil {
		return err
	}
	err = until(ctx, 30*time.Second, func() bool {
		now, err := d.files(dir, suffix)
		for name := range now {
			if _, there := known[name]; err == nil && !there {
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("waiting for another file of %s: %w", dir, err)
	}
	return sleep(ctx, time.Duration(rand.IntN(5))*time.Millisecond)
}

// untilWritten waits until a file is there that was not, or is larger.
func (d *daemon) untilWritten(ctx context.Context, dir string) error {
	known, err := d.files(dir, "")
	if err != nil {
		return err
	}
	err = until(ctx, time.Minute, func() bool {
		now, err := d.files(dir, "")
		for name, size := range now {
			if before, there := known[name]; err == nil && (!there || size != before) {
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("waiting for something to be written in %s: %w", dir, err)
	}
	return sleep(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
}

// untilQuiet waits until nothing has been written in a directory for a while.
func (d *daemon) untilQuiet(ctx context.Context, dir string) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		before, err := d.files(dir, "")
		if err != nil {
			return err
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		after, err := d.files(dir, "")
		if err != nil {
			return err
		}
		if maps.Equal(before, after) {
			return nil
		}
	}
	return fmt.Errorf("after a minute something is still written in %s", dir)
}

// files are the blocks that the files of a directory take, by name.
func (d *daemon) files(dir, suffix string) (map[string]int64, error) {
	out := make(map[string]int64)
	root := filepath.Join(d.data, dir)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			out[path] = blocks(info)
		}
		return err
	})
	return out, err
}

// until looks often until ok, for at most so long.
func until(ctx context.Context, within time.Duration, ok func() bool) error {
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v", within)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
