package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock moves on by a second whenever it is asked.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func open(t *testing.T, o Options) *Log {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Now == nil {
		o.Now = newClock().Now
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, l.Close()) })
	return l
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entry(i int) Entry {
	return Entry{Actor: "operator ann", Action: "person.read", Publisher: "acme", Subject: fmt.Sprintf("person %d", i), From: "192.0.2.1"}
}

func (l *Log) add(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		check(t, l.Append(t.Context(), entry(i)))
	}
}

// made is a log of n entries, closed.
func made(t *testing.T, n int, o Options) (dir string) {
	t.Helper()
	o.Dir = t.TempDir()
	l := open(t, o)
	l.add(t, n)
	check(t, l.Close())
	return o.Dir
}

func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	check(t, os.CopyFS(filepath.Join(to, "log"), os.DirFS(dir)))
	return filepath.Join(to, "log")
}

func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := files(dir)
	check(t, err)
	return paths
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	check(t, os.WriteFile(path, b, 0o600))
}
