package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/keyring"
)

// house is one directory with its keys and, while it is open, its server.
type house struct {
	t     testing.TB
	dir   string
	board *health.Board
	log   *bytes.Buffer
	ring  *keyring.Keyring
	s     *Server
	o     Options
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), board: health.NewBoard(nil)}
	ring, err := keyring.Open(h.dir+"/keys", bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.ring = ring
	t.Cleanup(func() {
		h.close()
		if err := ring.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) open() *Server {
	h.t.Helper()
	o := h.o
	o.Dir, o.Board = h.dir+"/journal", h.board
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := Open(o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s = s
	return s
}

func (h *house) close() {
	h.t.Helper()
	if h.s == nil {
		return
	}
	if err := h.s.Close(); err != nil {
		h.t.Error(err)
	}
	h.s = nil
}

func (h *house) keys(publisher string) *keyring.Publisher {
	h.t.Helper()
	p, err := h.ring.Publisher(publisher)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) journal(publisher string, o StreamOptions) *Journal {
	h.t.Helper()
	j, err := h.s.Journal(publisher, h.keys(publisher), o)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

func track(id string) event.Fact {
	return event.Fact{
		Kind: event.Track, ID: id, Time: 1_700_000_000_000_000, Received: 1_700_000_000_100_000, User: "u-" + id, Name: "Order Placed",
		Props: []event.Prop{{Key: "amount", Value: event.OfFloat(12.5)}, {Key: "currency", Value: event.OfText("EUR")}},
	}
}

func appendOne(t testing.TB, j *Journal, ids ...string) {
	t.Helper()
	facts := make([]event.Fact, len(ids))
	for i, id := range ids {
		facts[i] = track(id)
	}
	if err := j.Append(context.Background(), facts); err != nil {
		t.Fatal(err)
	}
}

// readIDs reads everything there is after a cursor.
func readIDs(t testing.TB, j *Journal, after Cursor) (ids []string, end Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	end = after
	for stop := j.End(); end.Sequence < stop.Sequence; {
		records, err := j.Read(ctx, end, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Cursor.Sequence != end.Sequence+1 {
				t.Fatalf("record %v after %v", r.Cursor, end)
			}
			end = r.Cursor
			for _, f := range r.Facts {
				ids = append(ids, f.ID)
			}
		}
	}
	return ids, end
}

func TestAppendAndRead(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	appendOne(t, j, "1", "2")
	appendOne(t, j, "3")
	ids, end := readIDs(t, j, Cursor{})
	if got := fmt.Sprint(ids); got != "[1 2 3]" || end != j.End() {
		t.Fatalf("read %s up to %v, the end is %v", got, end, j.End())
	}
	ctx := context.Background()
	records, err := j.Read(ctx, Cursor{}, 1)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	want, got := track("1"), records[0].Facts[0]
	if fmt.Sprint(want) != fmt.Sprint(got) {
		t.Fatalf("read %v, wrote %v", got, want)
	}
	h.close()
	h.open()
	j = h.journal("shop", StreamOptions{})
	if j.End() != end {
		t.Fatalf("the end was %v and is %v", end, j.End())
	}
	appendOne(t, j, "4")
	if ids, _ = readIDs(t, j, end); fmt.Sprint(ids) != "[4]" {
		t.Fatalf("read %v", ids)
	}
}

func TestManyAppenders(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	const callers, each = 100, 20
	var wg sync.WaitGroup
	errs := make(chan error, callers)
	for c := range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if err := j.Append(context.Background(), []event.Fact{track(fmt.Sprintf("%d-%d", c, i))}); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	ids, _ := readIDs(t, j, Cursor{})
	next := map[string]int{}
	for _, id := range ids {
		var c, i int
		if _, err := fmt.Sscanf(id, "%d-%d", &c, &i); err != nil {
			t.Fatal(err)
		}
		if key := fmt.Sprint(c); next[key] != i {
			t.Fatalf("caller %d: %d where %d was due", c, i, next[key])
		} else {
			next[key]++
		}
	}
	if len(ids) != callers*each {
		t.Fatalf("%d facts of %d", len(ids), callers*each)
	}
	if st := j.Stats(); st.Facts != callers*each || st.Records >= st.Facts || st.Queued != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestReadWaits(t *testing.T) {
	h := newHouse(t)
	h.open()
	j := h.journal("shop", StreamOptions{})
	got := make(chan error, 1)
	go func() {
		records, err := j.Read(context.Background(), Cursor{}, 10)
		if err == nil && (len(records) != 1 || records[0].Facts[0].ID != "later") {
			err = fmt.Errorf("read %v", records)
		}
		got <- err
	}()
	appendOne(t, j, "later")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := j.Read(ctx, j.End(), 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go func() {
		_, err := j.Read(context.Background(), j.End(), 1)
		got <- err
	}()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := j.Append(context.Background(), []event.Fact{track("x")}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
