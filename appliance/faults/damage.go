//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// way is how a file is damaged. used is where what it holds ends: many files
// are longer than that.
type way struct {
	name string
	do   func(path string, used int64) error
}

var ways = []way{
	{"deleted", func(path string, _ int64) error { return os.Remove(path) }},
	{"a bit in the middle", func(path string, used int64) error { return flip(path, used/2) }},
	{"cut to nothing", func(path string, _ int64) error { return os.Truncate(path, 0) }},
	{"the last 7 bytes missing", func(path string, used int64) error { return os.Truncate(path, max(used-7, 0)) }},
	{"a bit at the beginning", func(path string, used int64) error { return flip(path, min(9, used-1)) }},
	{"a bit at the end", func(path string, used int64) error { return flip(path, max(used-5, 0)) }},
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	if err == nil {
		b[0] ^= 1 << 4
		_, err = f.WriteAt(b, at)
	}
	return errors.Join(err, f.Close())
}

// damages damages every kind of file that a data directory has, each in its own
// copy, and sees whether that is noticed before anything is served from it.
func damages(ctx context.Context, h *harness, n int) (all result, err error) {
	image, err := h.newImage(ctx)
	if err != nil {
		return all, fmt.Errorf("making what is damaged: %w", err)
	}
	type job struct {
		kind, path string
		way        way
	}
	jobs := make(chan job)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for j := range jobs {
				r, err := image.damage(ctx, fmt.Sprintf("damage-%d", i), j.path, j.way)
				if err != nil {
					cancel(fmt.Errorf("%s, %s: %w", j.kind, j.way.name, err))
					return
				}
				mu.Lock()
				all.add(r)
				mu.Unlock()
			}
		})
	}
	for _, kind := range image.kinds {
		for _, w := range ways[:min(n, len(ways))] {
			select {
			case jobs <- job{kind.name, kind.path, w}:
			case <-ctx.Done():
			}
		}
	}
	close(jobs)
	wg.Wait()
	slices.Sort(all.notes)
	all.notes = append(all.notes, fmt.Sprintf("%d kinds of file, %d ways", len(image.kinds), min(n, len(ways))))
	return all, context.Cause(ctx)
}

// image is a data directory to damage copies of: with blocks, a checkpoint, a
// person who withdrew and one who was erased, once closed well and then killed
// under load.
type image struct {
	h      *harness
	data   string
	rounds []*witness
	kinds  []kind
}

// kind is a kind of file, and one of it.
type kind struct{ name, path string }

const imageRound = "Image"

func (h *harness) newImage(ctx context.Context) (*image, error) {
	m := &image{h: h, data: filepath.Join(h.dir, "image")}
	d, err := h.newDaemon("image", m.data)
	if err != nil {
		return nil, err
	}
	defer d.kill()
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if err := d.decide(ctx, imageRound); err != nil {
		return nil, err
	}
	// Until history has made blocks, and the erasure a checkpoint.
	if err := m.load(ctx, d, "First", func(*witness) error {
		if err := d.untilWritten(ctx, "publishers/shop/shelves"); err != nil {
			return err
		}
		return until(ctx, 2*time.Minute, func() bool {
			_, err := os.Stat(filepath.Join(m.data, "publishers/shop/checkpoint"))
			return err == nil
		})
	}); err != nil {
		return nil, err
	}
	if err := d.untilQuiet(ctx, "publishers/shop/shelves"); err != nil {
		return nil, err
	}
	if err := d.stop(); err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if err := m.load(ctx, d, "Second", func(w *witness) error {
		err := until(ctx, 10*time.Second, func() bool { return w.n.Load() > 3000 })
		if err == nil {
			_, err = m.tokens(d, "create", "--publisher", "shop", "--role", "analyst", "--ttl", "90d", "--name", "witness")
		}
		d.kill()
		return err
	}); err != nil {
		return nil, err
	}
	if err := m.listKinds(); err != nil {
		return nil, err
	}
	// Undamaged, everything is there.
	told, err := m.look(ctx, "whole", m.data)
	if err == nil && told != "" {
		err = fmt.Errorf("undamaged, it says: %s", told)
	}
	return m, err
}

// load sends events of a round while fn runs.
func (m *image) load(ctx context.Context, d *daemon, event string, fn func(*witness) error) error {
	w, err := m.h.newWitness(event)
	if err != nil {
		return err
	}
	stop := w.load(ctx, d)
	err = errors.Join(fn(w), stop(), w.close())
	m.rounds = append(m.rounds, w)
	return err
}

var digits = regexp.MustCompile(`[0-9a-f]*[0-9][0-9a-f]*`)

// listKinds finds one file of each kind: the largest with that name, numbers
// left aside. Empty files and sockets have nothing to damage.
func (m *image) listKinds() error {
	largest := make(map[string]int64)
	found := make(map[string]string)
	err := filepath.WalkDir(m.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(m.data, path)
		if err != nil {
			return err
		}
		name := digits.ReplaceAllString(rel, "#")
		if size := blocks(info); info.Size() > 0 && size > largest[name] {
			largest[name], found[name] = size, rel
		}
		return nil
	})
	for name, path := range found {
		m.kinds = append(m.kinds, kind{name, path})
	}
	slices.SortFunc(m.kinds, func(a, b kind) int { return strings.Compare(a.name, b.name) })
	return err
}

// damage damages a file of a copy and looks what comes of it.
func (m *image) damage(ctx context.Context, name, path string, w way) (r result, err error) {
	data := filepath.Join(m.h.dir, name)
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	if err := command("cp", "-a", "--sparse=always", m.data, data); err != nil {
		return r, err
	}
	file := filepath.Join(data, path)
	used, err := usedBytes(file)
	if err != nil {
		return r, err
	}
	if err := w.do(file, used); err != nil {
		return r, err
	}
	before, err := digest(file)
	if err != nil {
		return r, err
	}
	r.rounds = 1
	told, err := m.look(ctx, name, data)
	what := path + ", " + w.name + ": "
	switch {
	case errors.Is(err, errSilent):
		r.silent++
		r.notes = append(r.notes, "SILENT: "+what+err.Error())
	case err != nil:
		return r, err
	case told == "":
		r.harmless++
		m.h.tell("harmless: %s", what)
	default:
		r.noticed++
		m.h.tell("noticed: %s%s", what, told)
		if kept, err := m.kept(data, before); err != nil || !kept {
			r.silent++
			r.notes = append(r.notes, "OVERWRITTEN: "+what+told)
		}
	}
	return r, nil
}

// errSilent: less was served, and nothing said so.
var errSilent = errors.New("nothing is said of it")

// look starts a daemon over data and asks for everything. told is what it says
// is wrong, "" if nothing is and everything is there.
func (m *image) look(ctx context.Context, name, data string) (told string, err error) {
	if data == m.data { // the image stays as it is
		data += "-copy"
		if err := command("cp", "-a", "--sparse=always", m.data, data); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	}
	d, err := m.h.newDaemon(name, data)
	if err != nil {
		return "", err
	}
	defer d.kill()
	if err := d.start(ctx); errors.Is(err, errEnded) {
		return "it does not start: " + lastLine(err.Error()), nil
	} else if err != nil {
		return "", err
	}
	var a *answerError
	for _, w := range m.rounds {
		r, err := w.compare(ctx, d)
		switch {
		case errors.As(err, &a) || err != nil && ctx.Err() == nil:
			return "it does not answer: " + lastLine(err.Error()), nil
		case err != nil:
			return "", err
		case r.lost+r.duplicated > 0:
			told = fmt.Sprintf("%d of %d are missing, %d twice", r.lost, r.acked, r.duplicated)
		}
	}
	if err := d.decided(ctx, imageRound); err != nil {
		told += " " + err.Error()
	}
	if list, err := m.tokens(d, "list", "--json"); err != nil || !strings.Contains(list, "witness") {
		told += " a token that was given is gone"
	}
	wrong, err := d.status(ctx)
	if err != nil {
		return "", err
	}
	var says string
	for _, p := range wrong {
		says += p.Code + ": " + p.Summary + " "
	}
	if out, err := exec.Command(m.h.program, "audit", "verify", "--config", d.config).CombinedOutput(); err != nil {
		says += "audit verify: " + lastLine(string(out))
	}
	if told != "" && says == "" {
		return "", fmt.Errorf("%w: %s", errSilent, told)
	}
	return strings.TrimSpace(told + " " + says), nil
}

// tokens asks the daemon by its command line.
func (m *image) tokens(d *daemon, args ...string) (string, error) {
	out, err := exec.Command(m.h.program, append(append([]string{"token"}, args...), "--config", d.config)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("token %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// usedBytes is where the last byte is that is not 0.
func usedBytes(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return max(int64(len(bytes.TrimRight(b, "\x00"))), 1), nil
}

// digest is that of a file, nothing if there is none.
func digest(path string) (sum [sha256.Size]byte, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sum, nil
	}
	return sha256.Sum256(b), err
}

// kept says whether a file of these bytes is still anywhere in data.
func (m *image) kept(data string, want [sha256.Size]byte) (found bool, err error) {
	if want == ([sha256.Size]byte{}) || want == sha256.Sum256(nil) {
		return true, nil // nothing was there to keep
	}
	err = filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		sum, err := digest(path)
		if sum == want {
			found = true
			return fs.SkipAll
		}
		return err
	})
	return found, err
}
