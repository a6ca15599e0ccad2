package host

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// The test program is all its connectors: linked into a folder under the name
// of what it is to do wrong (faulty_test.go).
func TestMain(m *testing.M) {
	sandbox.Exec()
	if os.Getenv(connectorpb.CookieKey) == connectorpb.CookieValue {
		actAs(filepath.Base(os.Args[0]))
		return
	}
	goleak.VerifyTestMain(m)
}

// rig is a host over a folder of connectors.
type rig struct {
	*Host
	dir   string
	board *health.Board
	log   *lines

	mu       sync.Mutex
	refusals []Refusal
}

// patient is timing for tests: what is waited for on purpose is short, and what
// must not run out on a machine that is busy with other things is long. A test
// of a deadline shortens that one.
func patient() timing {
	return timing{
		start: time.Minute, describe: time.Minute, configure: time.Minute, check: time.Minute, send: time.Minute,
		receipts: time.Minute, collect: time.Minute, forget: time.Minute, drain: time.Minute, kill: time.Minute,
		pingEvery: 300 * time.Millisecond, ping: time.Minute,
		recheck: 200 * time.Millisecond, backoff: 50 * time.Millisecond, max: 200 * time.Millisecond, parole: time.Hour,
	}
}

func newRig(t testing.TB, o Options, plugins ...string) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), log: &lines{}}
	r.board = health.NewBoard(nil)
	for _, name := range plugins {
		install(t, r.dir, name)
	}
	run, err := os.MkdirTemp("/tmp", "run") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	o.Dirs, o.RunDir, o.Board = []string{r.dir}, run, r.board
	o.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(r.log, testWriter{t}), nil))
	o.Audit = func(f Refusal) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refusals = append(r.refusals, f)
	}
	if o.timing == (timing{}) {
		o.timing = patient()
	}
	r.Host, err = Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		left, _ := os.ReadDir(run)
		for _, e := range left {
			t.Errorf("left in the folder for sockets: %s", e.Name())
		}
	})
	return r
}

// install puts this program into dir under a name. All are one program with
// one checksum, and so with one description, but for those that describe
// themselves otherwise.
func install(t testing.TB, dir, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	own := name == "network" || name == "receiver" || name == "stuck" || name == "wide" || name == "noname" || name == "slowdescribe"
	if !own && os.Link(self, path) == nil {
		return path
	}
	raw, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(path, append(raw, name...), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (r *rig) audited() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refusals)
}

func (r *rig) start(t *testing.T, plugin string) *Connector {
	t.Helper()
	c, err := r.Start(t.Context(), instance(plugin))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instance(plugin string) Instance {
	return Instance{Publisher: "acme", Channel: "email", Name: "main", Plugin: plugin, Settings: connector.Settings{}}
}

// eventually waits for what is expected; a busy machine may take its time.
func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	return inTime(t, what, time.Minute, ok)
}

func inTime(t *testing.T, what string, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("after %s still not: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

func (r *rig) problem(code string) bool {
	return slices.ContainsFunc(r.board.Problems(), func(p health.Problem) bool { return p.Code == code })
}

func messages(n int) []connector.Message {
	var out []connector.Message
	for i := range n {
		out = append(out, connector.Message{ID: fmt.Sprintf("m%d", i), Channel: "email", To: "ana@example.com", Text: "hello"})
	}
	return out
}

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// lines counts and keeps what is logged, the first of it.
type lines struct {
	mu   sync.Mutex
	n    int
	size int
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.size += len(p)
	if l.text.Len() < 1<<20 {
		l.text.Write(p)
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) bytes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if len(p) < 600 {
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}
