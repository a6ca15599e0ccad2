package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// takes is a daemon that takes imports: it keeps what came by id.
type takes struct {
	mu     sync.Mutex
	lines  map[string]string // id -> line
	posts  int
	fails  func(post int) int // status to answer instead, 0 = none
	onPost func(post int)
}

func (d *takes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.posts++
	post := d.posts
	d.mu.Unlock()
	if d.onPost != nil {
		d.onPost(post)
	}
	if d.fails != nil {
		if status := d.fails(post); status != 0 {
			w.WriteHeader(status)
			fmt.Fprint(w, `{"error":{"code":"busy","message":"come back"}}`)
			return
		}
	}
	line, _ := strconv.ParseInt(r.URL.Query().Get("line"), 10, 64)
	var out importAnswer
	s := bufio.NewScanner(r.Body)
	s.Buffer(nil, 2<<20)
	for ; s.Scan(); line++ {
		text := s.Text()
		switch {
		case strings.TrimSpace(text) == "":
		case strings.Contains(text, "bad"):
			out.Refused = append(out.Refused, refusal{Line: line, Error: "bad"})
		default:
			d.mu.Lock()
			d.lines[r.URL.Query().Get("source")+":"+strconv.FormatInt(line, 10)] = text
			d.mu.Unlock()
			out.Taken++
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// serve gives a client of a daemon on a socket.
func serve(t *testing.T, h http.Handler) *client {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
	c, err := (&target{socket: path}).open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func newImporter(c *client, dir string) *importer {
	return &importer{client: c, url: "/v1/publishers/acme/import/events", inFlight: 3, dir: dir, screen: io.Discard, patience: time.Minute}
}

// lines makes n lines, of which some are blank, bad, or too long.
func lines(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		switch {
		case i%1000 == 0:
			fmt.Fprintf(&b, "{\"bad\":%d}\n", i)
		case i%999 == 0:
			b.WriteString("\r\n")
		case i == 5:
			b.WriteString(strings.Repeat("x", lineBytes+1) + "\n")
		default:
			fmt.Fprintf(&b, "{\"event\":\"E\",\"n\":%d}\n", i)
		}
	}
	return strings.TrimSuffix(b.String(), "\n") // the last line has no end
}

func compressed(t *testing.T, with, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch with {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	default:
		return []byte(text)
	}
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImport(t *testing.T) {
	const n = 45_001
	for _, with := range []string{"plain", "gzip", "zstd"} {
		t.Run(with, func(t *testing.T) {
			d := &takes{lines: map[string]string{}, fails: func(post int) int {
				return map[int]int{1: 503, 2: 429}[post]
			}}
			dir := t.TempDir()
			path := filepath.Join(dir, "e.ndjson")
			if err := os.WriteFile(path, compressed(t, with, lines(n)), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := newImporter(serve(t, d), dir).run(context.Background(), path)
			if err != nil {
				t.Fatal(err)
			}
			// One is too long, every 1000th is bad, every 999th is blank.
			if got.Refused != 46 || got.Taken != n-46-45 || int(got.Taken) != len(d.lines) {
				t.Errorf("%+v, and the daemon has %d", got, len(d.lines))
			}
			for id, text := range d.lines {
				_, number, _ := strings.Cut(id, ":")
				if want := `{"event":"E","n":` + number + `}`; text != want {
					t.Fatalf("line %s is %q", id, text)
				}
			}
			rejects, err := os.ReadFile(got.Rejects)
			if err != nil || bytes.Count(rejects, []byte("\n")) != 46 {
				t.Errorf("%d rejects, %v", bytes.Count(rejects, []byte("\n")), err)
			}
			if !strings.Contains(string(rejects), `{"line":3000,"error":"bad","record":{"bad":3000}}`) ||
				!strings.Contains(string(rejects), `{"line":5,"error":"the line is longer than 1 MiB","record":""}`) {
				t.Errorf("rejects: %.300s", rejects)
			}
			if _, err := os.Stat(path + ".progress"); !errors.Is(err, os.ErrNotExist) {
				t.Error("a finished import leaves its progress")
			}
		})
	}
}

// An import that is interrupted goes on where it was, under the same ids.
func TestImportResumes(t *testing.T) {
	const n = 150_000
	dir := t.TempDir()
	path := filepath.Join(dir, "e.ndjson")
	if err := os.WriteFile(path, []byte(lines(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &takes{lines: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	d.onPost = func(post int) {
		if post == 4 {
			cancel()
		}
	}
	c := serve(t, d)
	first := newImporter(c, dir)
	first.inFlight = 1
	_, err := first.run(ctx, path)
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Fatalf("not interrupted: %v", err)
	}
	var mark bookmark
	b, err := os.ReadFile(path + ".progress")
	if err != nil || json.Unmarshal(b, &mark) != nil || mark.Line != 3*partLines+1 {
		t.Fatalf("progress %s: %v", b, err)
	}
	d.onPost, d.posts = nil, 0
	got, err := newImporter(c, dir).run(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	want := n - 151 - 150
	if len(d.lines) != want || got.Taken != int64(want) {
		t.Errorf("the daemon has %d of %d, taken %d", len(d.lines), want, got.Taken)
	}
	if d.posts != (n+partLines-1)/partLines-3 {
		t.Errorf("%d parts sent", d.posts)
	}
	if rejects, err := os.ReadFile(got.Rejects); err != nil || bytes.Count(rejects, []byte("\n")) != 151 {
		t.Errorf("%d rejects, %v", bytes.Count(rejects, []byte("\n")), err)
	}
	for id := range d.lines {
		if source, _, _ := strings.Cut(id, ":"); source != mark.Source {
			t.Fatalf("another id: %s", id)
		}
	}
	// Another publisher begins at the beginning.
	if err := os.WriteFile(path+".progress", b, 0o600); err != nil {
		t.Fatal(err)
	}
	other := newImporter(c, dir)
	other.url = "/v1/publishers/other/import/events"
	if got, err := other.run(context.Background(), path); err != nil || got.Taken != int64(want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestImportGivesUp(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "e.ndjson")
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for status, code := range map[int]int{400: exitFailed, 404: exitFailed, 503: exitNotReady} {
		d := &takes{lines: map[string]string{}, fails: func(int) int { return status }}
		i := newImporter(serve(t, d), dir)
		i.patience = 0
		_, err := i.run(context.Background(), path)
		var e *exitError
		if !errors.As(err, &e) || e.code != code || !strings.Contains(err.Error(), "come back") {
			t.Errorf("%d: %v", status, err)
		}
	}
	c, err := (&target{socket: filepath.Join(dir, "missing.sock")}).open()
	if err != nil {
		t.Fatal(err)
	}
	i := newImporter(c, dir)
	i.patience = 0
	var e *exitError
	if _, err = i.run(context.Background(), path); !errors.As(err, &e) || e.code != exitUnreachable {
		t.Errorf("without a daemon: %v", err)
	}
	broken := filepath.Join(dir, "broken.gz")
	whole := compressed(t, "gzip", lines(1000))
	if err := os.WriteFile(broken, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newImporter(serve(t, &takes{lines: map[string]string{}}), dir).run(context.Background(), broken); err == nil {
		t.Error("half a file is taken as a whole one")
	}
}

// Whatever is in a file, its parts are its lines, each once, under its number.
func TestParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.StringMatching(`[a-z{}":]{0,12}`), 1, 200).Draw(t, "lines")
		want[len(want)-1] += "x" // an empty last line is none
		text := strings.Join(want, rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))
		if rapid.Bool().Draw(t, "ends") {
			text += "\n"
		}
		first := int64(rapid.IntRange(1, len(want)).Draw(t, "first"))
		s, err := openSource("-", strings.NewReader(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		next := first
		for err == nil {
			var p *part
			if p, err = s.next(first); p == nil {
				break
			}
			if p.line != next {
				t.Fatalf("a part begins at %d, not %d", p.line, next)
			}
			for ; next < p.next; next++ {
				if got := p.text(next); got != want[next-1] {
					t.Fatalf("line %d is %q, not %q", next, got, want[next-1])
				}
			}
		}
		if !errors.Is(err, io.EOF) || next != int64(len(want))+1 {
			t.Fatalf("ends at %d of %d: %v", next, len(want), err)
		}
	})
}

func TestBar(t *testing.T) {
	b := &bar{w: io.Discard, name: "a", size: 1000}
	b.add(500, 1234567, 2)
	if got, want := b.text(10*time.Second), "a [############............]  50 %, 10s left  1,234,567 lines, 123,456/s, 2 refused"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	b.waits(errors.New("\x1b[31m503"))
	if got := b.text(time.Second); !strings.HasSuffix(got, "waiting: ?[31m503") {
		t.Errorf("%q", got)
	}
}

// takesLists is a daemon that takes parts of a list only in their order.
type takesLists struct {
	takes
	next  int64
	ended bool
}

func (d *takesLists) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	line, _ := strconv.ParseInt(q.Get("line"), 10, 64)
	body, _ := io.ReadAll(r.Body)
	d.posts++
	if d.fails != nil && d.fails(d.posts) != 0 {
		w.WriteHeader(d.fails(d.posts))
		return
	}
	if q.Get("mode") != "add" || line != 1 && line != d.next {
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error":{"code":"state","message":"begin again"}}`)
		return
	}
	d.next = line + int64(bytes.Count(body, []byte("\n")))
	d.ended = q.Get("last") == "true"
	_ = json.NewEncoder(w).Encode(importAnswer{Taken: int64(len(bytes.Fields(body))), People: 5, Unknown: 2})
}

// A list is sent in order, blank stretches with it, and ended by a call of its
// own; where somebody else came between, the next run begins again.
func TestImportOfAList(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ids")
	text := strings.Repeat("ann\n", partLines) + strings.Repeat("\n", partLines+5) + "bob"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &takesLists{}
	d.fails = func(post int) int { return map[int]int{2: 503}[post] }
	c := serve(t, d)
	begin := func() (importResult, error) {
		i := newImporter(c, dir)
		i.url, i.inFlight, i.list = "/v1/publishers/acme/lists/vips?mode=add", 1, true
		return i.run(t.Context(), path)
	}
	got, err := begin()
	if err != nil || !d.ended || d.next != 2*partLines+7 || d.posts != 5 || got.Taken != partLines+1 {
		t.Errorf("%+v, %v, %d calls to line %d", got, err, d.posts, d.next)
	}
	if !strings.HasSuffix(got.String(), "; 5 people are on the list, 2 identities are nobody's") {
		t.Error(got)
	}
	d.posts, d.fails = 0, func(post int) int { return map[int]int{2: 409}[post] }
	if _, err := begin(); !errors.Is(err, errOutOfOrder) {
		t.Errorf("somebody came between: %v", err)
	}
	if _, err := os.Stat(path + ".progress"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the next run would not begin again")
	}
	if _, err := begin(); err != nil || d.next != 2*partLines+7 {
		t.Errorf("begun again: %v, line %d", err, d.next)
	}
}
