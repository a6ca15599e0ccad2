package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holder notes what it is asked, and fails as long as it should.
type holder struct {
	name string
	log  *[]string

	mu    sync.Mutex
	fails int
	got   [][]Forgotten
}

func (h *holder) Name() string { return h.name }

func (h *holder) Forget(ctx context.Context, persons []Forgotten) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.log = append(*h.log, h.name)
	if h.fails > 0 {
		h.fails--
		return errors.New("not now")
	}
	h.got = append(h.got, persons)
	return nil
}

// house is a ledger on real engines.
type house struct {
	t      *testing.T
	dir    string
	db     *kv.DB
	ring   *keyring.Keyring
	keys   *keyring.Publisher
	now    time.Time
	paused chan time.Duration // the worker began to wait
	tick   chan time.Time     // ends a wait
	board  *health.Board
	log    []string
	people, history, checkpoint,
	smtp, fcm *holder
	e *Erasure
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), board: health.NewBoard(nil)}
	for _, x := range []struct {
		to   **holder
		name string
	}{{&h.people, "people"}, {&h.history, "history"}, {&h.checkpoint, "checkpoint"}, {&h.smtp, "connector smtp"}, {&h.fcm, "connector fcm"}} {
		*x.to = &holder{name: x.name, log: &h.log}
	}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	if h.ring, err = keyring.Open(filepath.Join(h.dir, "keys"), make([]byte, keyring.MasterBytes), keyring.Options{Now: func() time.Time { return h.now }}); err != nil {
		h.t.Fatal(err)
	}
	if h.keys, err = h.ring.Publisher("acme"); err != nil {
		h.t.Fatal(err)
	}
	if h.db, err = kv.Open(filepath.Join(h.dir, "state"), kv.Options{Small: true, Reserve: 1}); err != nil {
		h.t.Fatal(err)
	}
	h.paused, h.tick = make(chan time.Duration, 1000), make(chan time.Time)
	h.e, err = Open(h.db, Options{
		Publisher: "acme", Keys: h.keys, Board: h.board, Now: func() time.Time { return h.now },
		Inside: []Holder{h.people, h.history, h.checkpoint}, Outside: []Holder{h.smtp, h.fcm},
		Within: []string{"people", "campaigns", "outbox"}, Kept: []string{"Keyed hashes of addresses, so that an import cannot bring them back."},
		Timer: func(d time.Duration) (<-chan time.Time, func()) {
			h.paused <- d
			return h.tick, func() {}
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) close() {
	if h.e == nil {
		return
	}
	err := errors.Join(h.e.Close(), h.db.Close(), h.ring.Close())
	h.e = nil
	if err != nil {
		h.t.Error(err)
	}
}

func (h *house) restart() {
	h.t.Helper()
	h.close()
	h.open()
}

func (h *house) begin(request string, f Forgotten) {
	h.t.Helper()
	err := h.db.Update(func(t *kv.Txn) error { return h.e.Begin(t, request, h.now.UnixMicro(), f) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// wait waits until the worker waits, and says for how long it means to.
func (h *house) wait() time.Duration {
	h.t.Helper()
	select {
	case d := <-h.paused:
		return d
	case <-time.After(20 * time.Second):
		h.t.Fatal("the worker does not come to rest")
		return 0
	}
}

func ann() Forgotten {
	return Forgotten{Numbers: []uint32{7, 300}, Addresses: []event.Address{{Channel: "email", Value: "canary-ann@example.com"}, {Channel: "push", Platform: "fcm", Value: "canary-token"}}}
}

func TestForget(t *testing.T) {
	h := newHouse(t)
	sealed, err := h.keys.SealPerson(7, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	h.begin("r1", ann())
	if h.keys.Destroyed(7) {
		t.Error("the keys went before the transaction")
	}
	h.e.Committed()
	if _, err := h.keys.OpenPerson(7, nil, sealed); !errors.Is(err, keyring.ErrDestroyed) {
		t.Errorf("the keys are there: %v", err)
	}
	if _, err := h.e.Certificate("r1"); !errors.Is(err, ErrPending) {
		t.Errorf("a certificate before anybody reported: %v", err)
	}
	if _, err := h.e.Certificate("r2"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a certificate of no request: %v", err)
	}
	h.e.Start()
	if d := h.wait(); d != 10*time.Minute {
		t.Errorf("the worker waits %v", d)
	}
	c, err := h.e.Certificate("r1")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Verify(h.keys.SigningKey()) || !h.keys.Verify(domain, c.Body, c.Signature) {
		t.Error("the certificate does not verify")
	}
	for _, must := range []string{`"request":"r1"`, `"persons":[7,300]`, `"publisher":"acme"`, `"holder":"history"`, `"holder":"connector smtp"`, `"holder":"keys"`, "Keyed hashes"} {
		if !strings.Contains(string(c.Body), must) {
			t.Errorf("the certificate lacks %s: %s", must, c.Body)
		}
	}
	c.Body = bytes.Replace(c.Body, []byte("r1"), []byte("r2"), 1)
	if c.Verify(h.keys.SigningKey()) || c.Verify(nil) {
		t.Error("a changed certificate verifies")
	}
	if got := strings.Join(h.log, ", "); got != "connector smtp, connector fcm, people, history, checkpoint" {
		t.Errorf("asked in the order %s", got)
	}
	if got := h.smtp.got[0][0].Addresses; !slices.Equal(got, ann().Addresses) {
		t.Errorf("the connector is told %v", got)
	}
	if got := h.history.got[0][0]; got.Addresses != nil || !slices.Equal(got.Numbers, []uint32{7, 300}) {
		t.Errorf("history is told %v", got)
	}
	// Told again, it is not done again.
	h.begin("r1", ann())
	h.e.Committed()
	h.tick <- time.Time{}
	h.wait()
	if len(h.log) != 5 {
		t.Errorf("asked again: %v", h.log)
	}
}

func TestCrashAtEveryStep(t *testing.T) {
	for step := range 7 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			h := newHouse(t)
			h.begin("r1", ann())
			if step > 0 {
				h.e.Committed()
			}
			if step > 1 {
				all := []*holder{h.smtp, h.fcm, h.people, h.history, h.checkpoint}
				all[step-2].fails = 1
				h.e.Start()
				if d := h.wait(); d != 30*time.Second {
					t.Errorf("after a failure the worker waits %v", d)
				}
				if p := h.board.Problems(); len(p) != 1 || p[0].Code != "erasure.stuck" {
					t.Errorf("the board says %v", p)
				}
				s, err := h.e.Status("r1")
				if err != nil || s.Done != nil {
					t.Errorf("%+v, %v", s, err)
				}
				if i := slices.IndexFunc(s.Steps, func(s Step) bool { return s.Holder == all[step-2].name }); s.Steps[i].Error != "not now" || s.Steps[i].Tries != 1 || s.Steps[i].Done != nil {
					t.Errorf("the step is %+v", s.Steps[i])
				}
			}
			h.now = h.now.Add(time.Hour)
			h.restart()
			h.e.Start()
			h.wait()
			if !h.keys.Destroyed(7) || !h.keys.Destroyed(300) {
				t.Error("keys are left")
			}
			if _, err := h.e.Certificate("r1"); err != nil {
				t.Error(err)
			}
			for _, x := range []*holder{h.smtp, h.fcm, h.people, h.history, h.checkpoint} {
				if len(x.got) != 1 {
					t.Errorf("%s was asked with success %d times", x.name, len(x.got))
				}
			}
			if p := h.board.Problems(); len(p) != 0 {
				t.Errorf("the board still says %v", p)
			}
		})
	}
}

// TestOutsideWaitsAlone: a connector that is away keeps the bytes inside from
// nothing, and is told the addresses later, whatever became of the epochs.
func TestOutsideWaitsAlone(t *testing.T) {
	h := newHouse(t)
	h.smtp.fails = 3
	h.begin("r1", ann())
	h.e.Committed()
	h.e.Start()
	for i, want := range []time.Duration{30 * time.Second, time.Minute} {
		if d := h.wait(); d != want {
			t.Errorf("try %d: the worker waits %v", i, d)
		}
		// A day passes, and the journal is trimmed.
		h.now = h.now.Add(24 * time.Hour)
		h.tick <- time.Time{}
	}
	h.wait()
	if len(h.checkpoint.got) != 1 || len(h.fcm.got) != 1 {
		t.Errorf("the others were asked %d and %d times", len(h.checkpoint.got), len(h.fcm.got))
	}
	h.restart()
	// A checkpoint: an epoch begins, and the keys of all before it go.
	n, err := h.keys.NewEpoch()
	if err == nil {
		err = errors.Join(h.e.Reseal(), h.keys.DestroyEpochsBefore(n))
	}
	if err != nil {
		t.Fatal(err)
	}
	h.e.Start()
	h.wait()
	if _, err := h.e.Certificate("r1"); err != nil {
		t.Error(err)
	}
	if got := h.smtp.got[0][0].Addresses; !slices.Equal(got, ann().Addresses) {
		t.Errorf("the connector is told %v", got)
	}
	s, err := h.e.Status("r1")
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range s.Steps {
		if st.Done == nil || st.Error != "" || st.Note != "" {
			t.Errorf("%+v", st)
		}
	}
	err = h.db.View(func(t *kv.Txn) error {
		return t.Scan(kv.Erasure, nil, nil, func(key, val []byte) error {
			if key[0] == recordKey && bytes.Contains(val, []byte(`"addresses"`)) {
				h.t.Error("the addresses are kept")
			}
			if key[0] == openKey {
				h.t.Error("the request is still open")
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddressesLost(t *testing.T) {
	h := newHouse(t)
	h.smtp.fails = 1
	h.begin("r1", ann())
	h.e.Committed()
	h.e.Start()
	h.wait()
	n, err := h.keys.NewEpoch()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.keys.DestroyEpochsBefore(n); err != nil {
		t.Fatal(err)
	}
	h.tick <- time.Time{}
	h.wait()
	c, err := h.e.Certificate("r1")
	if err != nil || !strings.Contains(string(c.Body), "could not be told") {
		t.Errorf("%s, %v", c.Body, err)
	}
	if len(h.smtp.got) != 0 {
		t.Error("the connector was told of nobody")
	}
}

// TestCanary: nothing that names the person is in any file, in clear.
func TestCanary(t *testing.T) {
	h := newHouse(t)
	h.smtp.fails = 1
	h.begin("r1", ann())
	h.e.Committed()
	h.e.Start()
	h.wait()
	h.tick <- time.Time{}
	h.wait()
	h.close()
	err := filepath.Walk(h.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s names the person", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	h := newHouse(t)
	h.begin("r1", Forgotten{Numbers: []uint32{1}})
	h.now = h.now.Add(time.Second)
	h.begin("r1", Forgotten{Numbers: []uint32{2}})
	h.begin("r1", Forgotten{Numbers: []uint32{2}})
	h.now = h.now.Add(time.Second)
	h.begin("", Forgotten{Numbers: []uint32{3}})
	all, err := h.e.List(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 || all[0].Request != "r1" || !strings.HasPrefix(all[1].Request, "r1-") || all[2].Request == "" {
		t.Errorf("%+v", all)
	}
	if some, err := h.e.List(h.now.UnixMicro(), 10); err != nil || len(some) != 1 || some[0].Persons[0] != 3 {
		t.Errorf("%+v, %v", some, err)
	}
	if some, err := h.e.List(0, 2); err != nil || len(some) != 2 {
		t.Errorf("%+v, %v", some, err)
	}
	h.e.Start()
	h.wait()
	for _, s := range all {
		if _, err := h.e.Certificate(s.Request); err != nil {
			t.Error(err)
		}
	}
	if len(h.history.got) != 1 || len(h.history.got[0]) != 3 {
		t.Errorf("history is told of %v: not together", h.history.got)
	}
	if _, err := Open(h.db, Options{Inside: []Holder{h.people, h.people}}); err == nil {
		t.Error("two holders of one name")
	}
}

func TestManyRequests(t *testing.T) {
	h := newHouse(t)
	err := h.db.Update(func(t *kv.Txn) error {
		for i := range 1200 {
			if err := h.e.Begin(t, fmt.Sprint("r", i), h.now.UnixMicro(), Forgotten{Numbers: []uint32{uint32(i + 1)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.e.Committed()
	h.e.Start()
	h.wait()
	for i := range 1200 {
		if _, err := h.e.Certificate(fmt.Sprint("r", i)); err != nil {
			t.Fatal(err)
		}
	}
}
