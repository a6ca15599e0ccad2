package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cloisterhq/cloister/appliance/health"
)

func TestEntriesAreKeptAndListed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	check(t, l.Append(t.Context(), entry(1), Entry{Actor: "appliance", Action: "start", Outcome: Failed}))
	check(t, l.Close())
	l = open(t, Options{Dir: dir})
	l.add(t, 1)
	got, err := l.List(t.Context(), "", 100)
	check(t, err)
	var said []string
	for _, e := range got {
		said = append(said, fmt.Sprintf("%d %s %s", e.N, e.Action, e.Outcome))
	}
	want := "4 person.read ok, 3 audit.opened ok, 2 start failed, 1 person.read ok, 0 audit.opened ok"
	if strings.Join(said, ", ") != want {
		t.Errorf("the list is %s, want %s", strings.Join(said, ", "), want)
	}
	if got[0].Time.IsZero() || got[0].Subject != "person 0" || got[0].From != "192.0.2.1" {
		t.Errorf("%+v", got[0])
	}
	if only, err := l.List(t.Context(), "acme", 1); err != nil || len(only) != 1 || only[0].N != 4 {
		t.Errorf("of acme, one: %+v, %v", only, err)
	}
	if none, err := l.List(t.Context(), "other", 100); err != nil || len(none) != 0 {
		t.Errorf("of another publisher: %+v, %v", none, err)
	}
	r, err := Verify(dir, l.Verifier(), l.Head())
	if err != nil || r.Size != 5 || r.Behind != 0 || r.First != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhatIsNoEntry(t *testing.T) {
	l := open(t, Options{})
	for _, e := range []Entry{{}, {Actor: "a"}, {Action: "b"}, {Actor: "a", Action: "audit.opened"}} {
		if l.Append(t.Context(), e) == nil {
			t.Errorf("%+v is taken", e)
		}
	}
	if l.Append(t.Context(), make([]Entry, MaxAtOnce+1)...) == nil {
		t.Error("too many at once are taken")
	}
	check(t, l.Append(t.Context()))
}

func TestHostileTextsAreOneLine(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	for _, s := range []string{
		"a\nb", "\x00\x01\x1b[31m", "\xff\xfe", strings.Repeat("é", 100_000), strings.Repeat("\x01", 100_000), "\u2028", `"}` + "\n" + `{"n":0}`,
		`{"action":"audit.trimmed","subject":"entry 3"}`,
	} {
		e := Entry{Actor: s, Action: "x" + s, Publisher: s, Subject: s, Outcome: s, From: s, Detail: s}
		check(t, l.Append(t.Context(), e))
	}
	got, err := l.List(t.Context(), "", 100)
	if err != nil || len(got) != 9 {
		t.Errorf("%d entries, %v", len(got), err)
	}
	check(t, l.Close())
	if _, err := Verify(dir, ""); err != nil {
		t.Error(err)
	}
	open(t, Options{Dir: dir})
}

func TestManyAppendAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, FileBytes: 2000, Files: 1000})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 5 {
				if err := l.Append(context.Background(), entry(i*100+j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if _, err := l.List(context.Background(), "", 50); err != nil {
				t.Error(err)
			}
			if _, err := Verify(dir, "", l.Head()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	got, err := l.List(t.Context(), "acme", 1000)
	check(t, err)
	seen := map[string]bool{}
	for _, e := range got {
		seen[e.Subject] = true
	}
	if len(got) != 100 || len(seen) != 100 {
		t.Errorf("%d entries, %d of them different; want 100", len(got), len(seen))
	}
}

func TestAfterClosing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	var wg sync.WaitGroup
	acknowledged := make(chan int, 100)
	for i := range 50 {
		wg.Go(func() {
			switch err := l.Append(context.Background(), entry(i)); {
			case err == nil:
				acknowledged <- i
			case !errors.Is(err, ErrClosed):
				t.Error(err)
			}
		})
	}
	check(t, l.Close())
	check(t, l.Close())
	wg.Wait()
	close(acknowledged)
	if err := l.Append(t.Context(), entry(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	l = open(t, Options{Dir: dir})
	got, err := l.List(t.Context(), "acme", 100)
	check(t, err)
	there := map[string]bool{}
	for _, e := range got {
		there[e.Subject] = true
	}
	for i := range acknowledged {
		if !there[fmt.Sprintf("person %d", i)] {
			t.Errorf("entry %d was acknowledged and is not there", i)
		}
	}
}

func TestOldFilesGo(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, FileBytes: 1000, Files: 3})
	l.add(t, 60)
	if n := len(logFiles(t, dir)); n > 3 {
		t.Errorf("%d files", n)
	}
	r, err := Verify(dir, "", l.Head())
	if err != nil || r.First == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	got, err := l.List(t.Context(), "", 1000)
	if err != nil || got[len(got)-1].N != r.First {
		t.Errorf("the last listed is %d, the first kept %d; %v", got[len(got)-1].N, r.First, err)
	}
	check(t, l.Close())
	// It goes on where it was.
	l = open(t, Options{Dir: dir, FileBytes: 1000, Files: 3})
	l.add(t, 5)
	if again, err := Verify(dir, ""); err != nil || again.Size < r.Size+6 || again.First < r.First { // and what says that more was trimmed
		t.Errorf("%+v, %v", again, err)
	}
	// Whoever removes one file more is found out.
	check(t, l.Close())
	check(t, os.Remove(logFiles(t, dir)[0]))
	if _, err := Verify(dir, ""); !errors.Is(err, ErrDamaged) {
		t.Errorf("without its first file: %v", err)
	}
}

func TestATrimThatWasCutShort(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, FileBytes: 1000, Files: 2})
	l.add(t, 8)
	paths := logFiles(t, dir)
	first, name := content(t, paths[0]), paths[0]
	for len(logFiles(t, dir)) > 0 && logFiles(t, dir)[0] == name {
		l.add(t, 1)
		if b, err := os.ReadFile(name); err == nil {
			first = b
		}
	}
	check(t, l.Close())
	put(t, name, first) // as if the daemon had stopped before removing it
	if _, err := Verify(dir, ""); err != nil {
		t.Error(err)
	}
	l = open(t, Options{Dir: dir, FileBytes: 1000, Files: 2})
	l.add(t, 1)
	if _, err := os.Stat(name); err == nil {
		t.Error("it was not removed later")
	}
}

func TestWhatWasLeftUnfinished(t *testing.T) {
	dir := made(t, 3, Options{})
	path := logFiles(t, dir)[0]
	whole := content(t, path)
	line := []byte(`{"n":4,"time":"2026-03-01T09:00:00Z","actor":"a","action":"b","outcome":"ok"}` + "\n")
	for n := 1; n <= len(line); n++ {
		put(t, path, append(append([]byte{}, whole...), line[:n]...))
		r, err := Verify(dir, "")
		behind := int64(0)
		if n == len(line) {
			behind = 1
		}
		if err != nil || r.Behind != behind {
			t.Fatalf("%d bytes behind the end: %+v, %v", n, r, err)
		}
	}
	l := open(t, Options{Dir: dir})
	l.add(t, 1)
	got, err := l.List(t.Context(), "", 3)
	check(t, err)
	if got[1].Action != actionOpened || !strings.HasPrefix(got[1].Detail, "1 entries lay behind") {
		t.Errorf("what was found behind the head is not said: %+v", got[1])
	}
	if _, err := Verify(dir, ""); err != nil {
		t.Error(err)
	}
}

func TestDamageIsSetAside(t *testing.T) {
	dir := made(t, 5, Options{})
	path := logFiles(t, dir)[0]
	b := content(t, path)
	b[len(b)/2] ^= 1
	put(t, path, b)
	board := health.NewBoard(nil)
	l := open(t, Options{Dir: dir, Board: board})
	l.add(t, 2)
	got, err := l.List(t.Context(), "", 10)
	check(t, err)
	last := got[len(got)-1]
	if last.Action != actionDamaged || last.Outcome != Failed || last.N != 0 {
		t.Errorf("the new log begins with %+v", last)
	}
	aside := filepath.Join(dir, last.Subject)
	if string(content(t, filepath.Join(aside, filepath.Base(path)))) != string(b) {
		t.Error("what was set aside was changed")
	}
	if ps := board.Problems(); len(ps) != 1 || ps[0].Code != "audit.damaged" {
		t.Errorf("problems: %+v", ps)
	}
	if _, err := Verify(dir, ""); !errors.Is(err, ErrDamaged) {
		t.Errorf("with something set aside: %v", err)
	}
	check(t, l.Close())
	board = health.NewBoard(nil)
	l = open(t, Options{Dir: dir, Board: board}) // it is not forgotten
	if len(board.Problems()) != 1 {
		t.Error("after a restart nobody is told")
	}
	check(t, l.Close())
	check(t, os.RemoveAll(aside))
	if _, err := Verify(dir, ""); err != nil {
		t.Error(err)
	}
}

func TestAFailedWriteIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	board, c := health.NewBoard(nil), newClock()
	l := open(t, Options{Dir: dir, Board: board, Now: c.Now})
	l.add(t, 3)
	away := dir + ".away"
	check(t, os.Rename(dir, away))
	if err := l.Append(t.Context(), entry(10)); err == nil {
		t.Fatal("it is written to a directory that is not there")
	}
	if ps := board.Problems(); len(ps) != 1 || ps[0].Code != "audit.failed" {
		t.Errorf("problems: %+v", ps)
	}
	if err := l.Append(t.Context(), entry(11)); err == nil {
		t.Error("it is tried again at once")
	}
	check(t, os.Rename(away, dir))
	c.mu.Lock()
	c.now = c.now.Add(tryAgainAfter)
	c.mu.Unlock()
	check(t, l.Append(t.Context(), entry(12)))
	if ps := board.Problems(); len(ps) != 0 {
		t.Errorf("problems: %+v", ps)
	}
	if _, err := Verify(dir, ""); err != nil {
		t.Error(err)
	}
	// If what it wrote is not there any more, that is damage.
	check(t, os.Rename(dir, away))
	_ = l.Append(t.Context(), entry(13))
	c.mu.Lock()
	c.now = c.now.Add(tryAgainAfter)
	c.mu.Unlock()
	check(t, l.Append(t.Context(), entry(14)))
	got, err := l.List(t.Context(), "", 10)
	check(t, err)
	if got[len(got)-1].Action != actionDamaged {
		t.Errorf("the log that came instead begins with %+v", got[len(got)-1])
	}
}

func TestTheCallersTimeEnds(t *testing.T) {
	l := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(ctx, entry(1)); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(context.Background(), entry(1)); err != nil {
				b.Error(err)
			}
		}
	})
}
