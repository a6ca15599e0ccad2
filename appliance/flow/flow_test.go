package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// stage is the programme's, which fails when it is told to.
type stage struct {
	fail    error
	applied []string
}

func (s *stage) Apply(_ *kv.Txn, f *event.Fact) error {
	s.applied = append(s.applied, f.Ref)
	return s.fail
}
func (s *stage) Committed() {}

// nobody stands in for what campaigns and delivery need beside the stages.
type nobody struct{}

func (nobody) People(context.Context, []byte) (*roaring.Bitmap, error) { return roaring.New(), nil }
func (nobody) Append(context.Context, []event.Fact) error              { return nil }
func (nobody) Enqueue(*kv.Txn, campaign.Intention) error               { return nil }
func (nobody) Committed()                                              {}
func (nobody) CaughtUp(context.Context) error                          { return nil }
func (nobody) Recipient(uint32) (delivery.Recipient, error) {
	return delivery.Recipient{}, delivery.ErrGone
}
func (nobody) Suppressed(string, string) bool        { return false }
func (nobody) With(string, string) ([]uint32, error) { return nil, nil }
func (nobody) Content(string, int) (delivery.Content, error) {
	return delivery.Content{}, delivery.ErrGone
}
func (nobody) Wanted(string, string) (bool, string, error) { return false, "", nil }
func (nobody) Open(string) string                          { return "" }
func (nobody) Click(string, int) string                    { return "" }
func (nobody) Unsubscribe(string) string                   { return "" }
func (nobody) Allowed(uint32, string, string) (bool, delivery.Consent) {
	return false, delivery.Consent{}
}
func (nobody) Routes(string) []delivery.Route { return nil }
func (nobody) Send(context.Context, string, string, []connector.Message) ([]connector.Outcome, error) {
	return nil, &delivery.Unsent{Err: errors.New("nobody")}
}

// house is an applier over real stages, which can be closed and opened again.
type house struct {
	t         testing.TB
	dir       string
	programme *stage
	failed    chan error
	rows      int    // as Applied told them
	behind    []bool // as Behind told

	db      *kv.DB
	server  *journal.Server
	journal *journal.Journal
	s       Stages
	*Applier
	undo []func() error
}

func openHouse(t testing.TB) *house {
	h := &house{t: t, dir: t.TempDir(), programme: &stage{}}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) open() {
	h.t.Helper()
	h.undo, h.failed = nil, make(chan error, 1)
	closes := func(f func() error) { h.undo = append(h.undo, f) }
	ring, err := keyring.Open(filepath.Join(h.dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	h.must(err)
	closes(ring.Close)
	keys, err := ring.Publisher("acme")
	h.must(err)
	h.server, err = journal.Open(journal.Options{Dir: filepath.Join(h.dir, "journal")})
	h.must(err)
	closes(h.server.Close)
	h.journal, err = h.server.Journal("acme", keys, journal.StreamOptions{})
	h.must(err)
	closes(h.journal.Close)
	h.db, err = kv.Open(filepath.Join(h.dir, "state"), kv.Options{Small: true})
	h.must(err)
	closes(h.db.Close)
	shelves, err := kv.OpenShelves(filepath.Join(h.dir, "shelves"), kv.NewShelfCache(2), kv.ShelfOptions{})
	h.must(err)
	closes(shelves.Close)
	h.s = Stages{Programme: h.programme}
	h.s.Repeats, err = OpenRepeats(h.db, keys, RepeatsOptions{})
	h.must(err)
	h.s.People, err = people.Open(h.db, keys, people.Options{})
	h.must(err)
	h.s.History, err = history.Open(h.db, shelves, keys, history.Options{})
	h.must(err)
	closes(h.s.History.Close)
	h.s.Campaigns, err = campaign.Open(h.db, campaign.Options{Keys: keys, Journal: nobody{}, Audience: nobody{}, Outbox: nobody{},
		Compile: func([]byte) (campaign.Matcher, error) { return nil, errors.New("no campaigns here") }})
	h.must(err)
	closes(h.s.Campaigns.Close)
	h.s.Delivery, err = delivery.Open(h.db, delivery.Options{Keys: keys, Barrier: nobody{}, People: nobody{}, Programme: nobody{},
		Audience: nobody{}, Links: nobody{}, Sender: nobody{}, Journal: nobody{}})
	h.must(err)
	closes(func() error { return h.s.Delivery.Close(context.Background()) })
	h.s.Erasure, err = erasure.Open(h.db, erasure.Options{Publisher: "acme", Keys: keys})
	h.must(err)
	closes(h.s.Erasure.Close)
	h.Applier, err = Open(h.db, h.journal, h.s, Options{
		Applied: func(rows []history.Row) { h.rows += len(rows) }, Failed: func(err error) { h.failed <- err },
		Behind: func(is bool) { h.behind = append(h.behind, is) },
	})
	h.must(err)
	h.Start()
}

func (h *house) close() {
	h.t.Helper()
	h.Applier.Close()
	for i := len(h.undo) - 1; i >= 0; i-- {
		if err := h.undo[i](); err != nil {
			h.t.Error(err)
		}
	}
}

func (h *house) append(facts ...event.Fact) {
	h.t.Helper()
	h.must(h.journal.Append(h.t.Context(), facts))
}

// kept counts the rows that can be asked about.
func (h *house) kept() int64 {
	s := h.s.History.Snapshot()
	defer s.Release()
	return s.Rows()
}

func ticks(user string, from, n int) []event.Fact {
	facts := make([]event.Fact, n)
	for i := range facts {
		at := int64(1_700_000_000_000_000 + from + i)
		facts[i] = event.Fact{Kind: event.Track, Name: "Tick", User: user, Time: at, Received: at, ID: fmt.Sprintf("%s-%d", user, from+i)}
	}
	return facts
}

func TestARecordOfManyRunsIsAppliedOnce(t *testing.T) {
	h := openHouse(t)
	const n = runFacts + runFacts/2
	h.append(ticks("asha", 0, n)...)
	h.must(h.CaughtUp(t.Context()))
	if s := h.Stats(); s.Runs < 2 || s.Facts != n {
		t.Errorf("%d facts in %d runs, not %d in several", s.Facts, s.Runs, n)
	}
	if h.kept() != n || h.rows != n {
		t.Errorf("%d rows are kept and %d were told of, not %d", h.kept(), h.rows, n)
	}
}

// TestBehind: what is more than a backlog is told of, and its end.
func TestBehind(t *testing.T) {
	h := openHouse(t)
	h.append(ticks("asha", 0, 1)...)
	h.must(h.CaughtUp(t.Context()))
	h.append(ticks("asha", 1, backlog+1)...)
	h.must(h.CaughtUp(t.Context()))
	h.Applier.Close()
	if !slices.Equal(h.behind, []bool{true, false}) {
		t.Errorf("told %v", h.behind)
	}
}

func TestARestartAnywhereInARecordGoesOnThere(t *testing.T) {
	h := openHouse(t)
	const batches, each = 12, 9000
	for i := range batches {
		h.append(ticks("asha", i*each, each)...)
		// Wherever the applier is just now, also within a record.
		h.close()
		h.open()
	}
	h.must(h.CaughtUp(t.Context()))
	if h.kept() != batches*each {
		t.Errorf("%d rows are kept, not %d", h.kept(), batches*each)
	}
	h.append(ticks("asha", 0, each)...)
	h.must(h.CaughtUp(t.Context()))
	if h.kept() != batches*each || h.Stats().Repeats != each {
		t.Errorf("after repeats %d rows are kept and %d were recognised", h.kept(), h.Stats().Repeats)
	}
}

func TestAFailureStopsTheApplierAndOpeningAnewGoesOn(t *testing.T) {
	h := openHouse(t)
	broken := errors.New("broken")
	h.programme.fail = broken
	h.append(ticks("asha", 0, 3)...)
	h.append(event.Fact{Kind: event.Programme, Name: event.TypeSegment, Ref: "s"})
	h.append(ticks("asha", 3, 3)...)
	if err := h.CaughtUp(t.Context()); !errors.Is(err, ErrStopped) || !errors.Is(err, broken) {
		t.Fatalf("CaughtUp says %v", err)
	}
	if err := <-h.failed; !errors.Is(err, broken) {
		t.Errorf("Failed was told %v", err)
	}
	h.programme.fail = nil
	h.close()
	h.open()
	h.must(h.CaughtUp(t.Context()))
	if h.kept() != 6 {
		t.Errorf("%d rows are kept, not 6", h.kept())
	}
}

func TestAnIdOfTheAppliancesOwnCannotBeTakenInAdvance(t *testing.T) {
	h := openHouse(t)
	h.append(ticks("asha", 0, 1)...)
	h.must(h.CaughtUp(t.Context()))
	n, _ := h.s.People.Find("asha")
	own := event.Fact{Kind: event.Track, Name: event.NotificationSent, Person: n, Time: 1, Received: 1, ID: "sent-1"}
	outside := event.Fact{Kind: event.Track, Name: "Tick", User: "asha", Time: 1, Received: 1, ID: "sent-1"}
	h.append(outside, own, own)
	h.must(h.CaughtUp(t.Context()))
	if h.kept() != 3 {
		t.Errorf("%d rows are kept, not 3", h.kept())
	}
}

func TestCaughtUpEndsWithItsContext(t *testing.T) {
	h := openHouse(t)
	h.Applier.Close()
	h.append(ticks("asha", 0, 1)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.CaughtUp(ctx); err == nil {
		t.Error("CaughtUp says yes")
	}
}

func FuzzCursor(f *testing.F) {
	at := cursor{record: journal.Cursor{Incarnation: 1, Sequence: 2}, skip: 3}
	b, err := at.record.AppendBinary([]byte{cursorVersion})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(b, 0, 0, 0, 3))
	f.Add([]byte{cursorVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCursor(b); err == nil && len(b) != 21 {
			t.Errorf("%x is read as %v", b, c)
		}
	})
}
