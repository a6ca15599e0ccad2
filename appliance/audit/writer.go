package audit

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cloisterhq/cloister/appliance/health"
)

// Actions of this room's own.
const (
	actionOpened  = reservedPrefix + "opened"
	actionDamaged = reservedPrefix + "damaged"
	actionTrimmed = reservedPrefix + "trimmed"
)

var trimmedMark = []byte(`"action":"` + actionTrimmed + `"`)

// writer is the only one who writes. It belongs to its goroutine.
type writer struct {
	log    *Log
	signer note.Signer
	public string // the signer's verifier

	file   *os.File // the last of files; nil after a failure
	files  []stretch
	tree   tree
	logged time.Time // when a head last went to the daemon's log
	failed time.Time // when writing last failed
	why    error
}

func (w *writer) run() {
	defer close(w.log.done)
	defer w.close()
	for {
		select {
		case r := <-w.log.queue:
			w.take(r)
		case <-w.log.closed:
			for {
				select {
				case r := <-w.log.queue:
					w.take(r)
				default:
					return
				}
			}
		}
	}
}

// take writes a request together with those that wait behind it.
func (w *writer) take(r *request) {
	rs := []*request{r}
	for len(rs) < batch && len(w.log.queue) > 0 {
		rs = append(rs, <-w.log.queue)
	}
	var entries []Entry
	for _, r := range rs {
		entries = append(entries, r.entries...)
	}
	err := w.ready()
	if err == nil {
		err = w.write(entries)
	}
	if err != nil {
		w.fail(err)
	}
	for _, r := range rs {
		r.answer <- err
	}
}

// ready opens the log anew after a failure, not too often.
func (w *writer) ready() error {
	if w.file != nil {
		return nil
	}
	if since := w.log.o.Now().Sub(w.failed); since >= 0 && since < tryAgainAfter {
		return fmt.Errorf("audit: not written since: %w", w.why)
	}
	if err := w.open(); err != nil {
		return fmt.Errorf("opening the audit again: %w", err)
	}
	w.raise(nil)
	return nil
}

func (w *writer) fail(err error) {
	if w.file == nil && w.why != nil && errors.Is(err, w.why) {
		return // said already
	}
	w.close()
	w.failed, w.why = w.log.o.Now(), err
	w.log.o.Logger.Error("the audit could not be written", "error", err)
	w.raise(err)
}

func (w *writer) raise(err error) {
	b := w.log.o.Board
	if b == nil {
		return
	}
	if err == nil {
		b.Clear("audit.failed", "")
		return
	}
	b.Raise(health.Problem{
		Code: "audit.failed", Severity: health.Degraded,
		Summary: "The audit cannot be written, so what it must record is refused.",
		Hint:    "Look at the disk under the data directory: space, and errors in the kernel's log.",
	})
}

// raiseDamage tells operators of a log that was set aside, now or earlier.
func (w *writer) raiseDamage() {
	if w.log.o.Board == nil {
		return
	}
	w.log.o.Board.Raise(health.Problem{
		Code: "audit.damaged", Severity: health.Degraded,
		Summary: "The audit was damaged or changed; what there was is set aside, and a new one was begun.",
		Hint:    "Look at the directories named damaged-… in the audit's directory, keep them as evidence, and move them away.",
	})
}

func (w *writer) close() {
	if w.file != nil {
		w.file.Close() // everything in it was synced
		w.file = nil
	}
}

// open checks what is there, sets it aside where it is damaged, and opens the
// last file for more.
func (w *writer) open() error {
	dir := w.log.o.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	hadKey, err := w.key()
	if err != nil {
		return err
	}
	f, err := w.check(hadKey)
	var adopted int64
	switch {
	case errors.Is(err, ErrDamaged):
		return w.setAside(err)
	case err != nil:
		return err
	}
	signed, err := os.ReadFile(filepath.Join(dir, headFile))
	if err == nil {
		verifier, verr := w.verifier()
		if verr != nil {
			return verr
		}
		if h, herr := parseHead(signed, verifier); herr == nil {
			adopted = f.tree.size - h.size
		}
	}
	if aside, err := filepath.Glob(filepath.Join(dir, asidePrefix+"*")); err != nil {
		return err
	} else if len(aside) > 0 {
		w.raiseDamage()
	}
	w.tree, w.files = f.tree, f.files
	if n := len(w.files); n > 0 && w.files[n-1].bytes == 0 {
		if err := os.Remove(w.files[n-1].path); err != nil {
			return err
		}
		w.files, f.torn = w.files[:n-1], 0
	}
	if len(w.files) == 0 {
		if err := w.next(); err != nil {
			return err
		}
	} else {
		last := w.files[len(w.files)-1]
		if w.file, err = os.OpenFile(last.path, os.O_WRONLY, 0o600); err != nil {
			return err
		}
		// Half a line was never acknowledged: it goes.
		if f.torn > 0 {
			if err := w.file.Truncate(last.bytes); err != nil {
				return err
			}
		}
		if _, err := w.file.Seek(last.bytes, 0); err != nil {
			return err
		}
	}
	e := Entry{Actor: "appliance", Action: actionOpened}
	if adopted > 0 {
		e.Detail = fmt.Sprintf("%d entries lay behind the signed head", adopted)
	}
	return w.write([]Entry{e})
}

// key reads the signing key, or makes one.
func (w *writer) key() (had bool, err error) {
	path := filepath.Join(w.log.o.Dir, keyFile)
	text, err := os.ReadFile(path)
	if err == nil {
		if w.signer, err = note.NewSigner(strings.TrimSpace(string(text))); err != nil {
			return true, fmt.Errorf("reading the signing key %s: %w", path, err)
		}
		return true, nil // check reads the verifier
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	private, public, err := note.GenerateKey(rand.Reader, w.log.o.Name)
	if err != nil {
		return false, fmt.Errorf("making a signing key: %w", err)
	}
	if w.signer, err = note.NewSigner(private); err != nil {
		return false, fmt.Errorf("making a signing key: %w", err)
	}
	w.public = public
	if err := writeWhole(filepath.Join(w.log.o.Dir, verifierFile), []byte(public+"\n"), 0o644); err != nil {
		return false, err
	}
	return false, writeWhole(path, []byte(private+"\n"), 0o600)
}

func (w *writer) verifier() (note.Verifier, error) {
	text, err := os.ReadFile(filepath.Join(w.log.o.Dir, verifierFile))
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, verifierFile, err)
	}
	if v.Name() != w.signer.Name() || v.KeyHash() != w.signer.KeyHash() {
		return nil, fmt.Errorf("%w: %s does not belong to the signing key", ErrDamaged, verifierFile)
	}
	w.public = strings.TrimSpace(string(text))
	return v, nil
}

// check reads everything and compares it with the signed head.
func (w *writer) check(hadKey bool) (*found, error) {
	dir := w.log.o.Dir
	if !hadKey {
		paths, err := files(dir)
		if err != nil {
			return nil, err
		}
		if len(paths) > 0 || w.log.Head() != nil {
			return nil, fmt.Errorf("%w: the signing key is gone", ErrDamaged)
		}
		return &found{}, nil
	}
	v, err := w.verifier()
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %s is gone", ErrDamaged, verifierFile)
		}
		return nil, err
	}
	// Opened anew after a failure, it must also hold what this process wrote.
	var before [][]byte
	if signed := w.log.Head(); signed != nil {
		before = append(before, signed)
	}
	f, _, err := checkDir(dir, v, before...)
	return f, err
}

// setAside moves what is damaged to a directory of its own and begins anew.
func (w *writer) setAside(why error) error {
	o := w.log.o
	dir := filepath.Join(o.Dir, fmt.Sprintf("%s%d", asidePrefix, o.Now().UnixMicro()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	paths, err := files(o.Dir)
	if err != nil {
		return err
	}
	for _, name := range append(paths, filepath.Join(o.Dir, headFile), filepath.Join(o.Dir, verifierFile)) {
		err := os.Rename(name, filepath.Join(dir, filepath.Base(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	// A key whose verifier is in doubt is not used again.
	if err := os.Rename(filepath.Join(o.Dir, keyFile), filepath.Join(dir, keyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDir(o.Dir); err != nil {
		return err
	}
	if _, err := w.key(); err != nil {
		return err
	}
	o.Logger.Error("the audit is damaged and was set aside", "in", dir, "error", why)
	w.raiseDamage()
	w.tree, w.files = tree{}, nil
	w.log.forget()
	if err := w.next(); err != nil {
		return err
	}
	return w.write([]Entry{{Actor: "appliance", Action: actionDamaged, Outcome: Failed, Subject: filepath.Base(dir), Detail: clip(why.Error())}})
}

// next begins a new file at the tree's end.
func (w *writer) next() error {
	path := filepath.Join(w.log.o.Dir, fileName(w.tree.size))
	line, err := firstLine(&w.tree)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(w.log.o.Dir)
	}
	if err != nil {
		f.Close()
		return err
	}
	w.close()
	w.file = f
	w.files = append(w.files, stretch{path, int64(len(line))})
	return nil
}

// write writes entries and the head that covers them, in this order, so that
// a head never promises what is not there.
func (w *writer) write(entries []Entry) error {
	last := &w.files[len(w.files)-1]
	if last.bytes >= w.log.o.FileBytes {
		if err := w.next(); err != nil {
			return err
		}
		last = &w.files[len(w.files)-1]
	}
	var trim []stretch
	if n := len(w.files) - w.log.o.Files; n > 0 {
		trim = w.files[:n]
		kept := strings.TrimSuffix(filepath.Base(w.files[n].path), logSuffix)
		var first int64
		if _, err := fmt.Sscanf(kept, "%d", &first); err != nil {
			return fmt.Errorf("reading the name of %s: %w", w.files[n].path, err)
		}
		entries = append([]Entry{{Actor: "appliance", Action: actionTrimmed, Subject: fmt.Sprintf("entry %d", first)}}, entries...)
	}
	now := w.log.o.Now().UTC().Truncate(time.Microsecond)
	grown := w.tree.clone()
	var lines []byte
	for _, e := range entries {
		e.N, e.Time = grown.size, now
		if e.Outcome == "" {
			e.Outcome = OK
		}
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding an entry: %w", err)
		}
		grown.add(line)
		lines = append(append(lines, line...), '\n')
	}
	if _, err := w.file.Write(lines); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	signed, err := sign(w.signer, &grown)
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(w.log.o.Dir, headFile), signed, 0o644); err != nil {
		return err
	}
	w.tree = grown
	last.bytes += int64(len(lines))
	for _, s := range trim {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w.files = w.files[len(trim):]
	w.publish(signed, now)
	return nil
}

// publish shows readers what is on disk now.
func (w *writer) publish(signed []byte, now time.Time) {
	l := w.log
	l.mu.Lock()
	l.head, l.verifier = signed, w.public
	l.view = append([]stretch(nil), w.files...)
	l.mu.Unlock()
	if since := now.Sub(w.logged); since < 0 || since >= logHeadEvery {
		w.logged = now
		l.o.Logger.Info("audit head", "head", string(signed))
	}
}
