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
	return &importer{client: c, url: "/v1/publishers/acme/import/events", dir: dir, screen: io.Discard, patience: time.Minute}
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
	// A part was refused in part, and the progress not written any more.
	f, err := os.OpenFile(path+".rejects", os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(`{"line":61000,"error":"bad","record":{}}` + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
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
		i.url, i.list = "/v1/publishers/acme/lists/vips?mode=add", true
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

// importCSV imports a file and gives what the daemon took, by line.
func importCSV(t *testing.T, d *takes, dir, path string, flags csvFlags) (importResult, map[string]string) {
	t.Helper()
	d.lines = map[string]string{}
	i := newImporter(serve(t, d), dir)
	var err error
	if i.csv, err = flags.lines("events", path); err != nil {
		t.Fatal(err)
	}
	got, err := i.run(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for id, text := range d.lines {
		_, line, _ := strings.Cut(id, ":")
		out[line] = text
	}
	return got, out
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Records keep the numbers of their lines, and what is refused, here or by the
// daemon, can be mended in place and imported again.
func TestImportOfCSV(t *testing.T) {
	for _, with := range []string{"plain", "gzip", "zstd"} {
		t.Run(with, func(t *testing.T) {
			d := &takes{}
			dir := t.TempDir()
			path := filepath.Join(dir, "e.csv")
			write(t, path, compressed(t, with, "\xef\xbb\xbfcustomer,when,what,note\r\n"+
				"c1,2026-01-02 03:04:05,Bought,\"two\r\nlines\"\r\n"+
				"\r\n"+
				"c2,2026-01-02 03:04:05,Bought,bad\r\n"+ // the daemon refuses it
				"c3,yesterday,Bought,x\r\n"+
				"c4,2026-01-02 03:04:05,Bought\r\n"+
				"c5,2026-01-02 03:04:05,\"Bou\"ght,x\r\n"+
				"c6,2026-01-02 03:04:05,Bought,'=1+1"))
			flags := csvFlags{mapped: []string{"user=customer", "ts=when", "event=what"}, layout: "2006-01-02 15:04:05", zone: "Asia/Kolkata"}
			got, lines := importCSV(t, d, dir, path, flags)
			if got.Taken != 2 || got.Refused != 4 {
				t.Errorf("%+v", got)
			}
			line := func(user, note string) string {
				return `{"user":"` + user + `","ts":"2026-01-01T21:34:05Z","event":"Bought","props":{"note":"` + note + `"}}`
			}
			if len(lines) != 2 || lines["2"] != line("c1", `two\u000d\nlines`) || lines["9"] != line("c6", "=1+1") {
				t.Errorf("the daemon has %q", lines)
			}
			rejects, err := os.ReadFile(got.Rejects)
			if err != nil {
				t.Fatal(err)
			}
			want := "import.line,import.error,customer,when,what,note\r\n" +
				"6,\"column \"\"when\"\": this is not written as \"\"2006-01-02 15:04:05\"\"\",c3,yesterday,Bought,x\r\n" +
				"7,\"3 cells, the header has 4\",c4,2026-01-02 03:04:05,Bought\r\n" +
				"8,\"something stands behind a closing quote; within quotes a quote is written twice\",c5,2026-01-02 03:04:05,\"Bou\"ght,x\r\n"
			if first, rest, _ := strings.Cut(string(rejects), "5,bad,c2,2026-01-02 03:04:05,Bought,bad\r\n"); first+rest != want {
				t.Errorf("rejects are %q\nwant %q", rejects, want)
			}

			// Mended, but for one.
			mended := strings.NewReplacer("yesterday", "2026-01-02 03:04:05", "c4,2026-01-02 03:04:05,Bought", "c4,2026-01-02 03:04:05,Bought,x", `"Bou"ght`, `"Bought"`).Replace(string(rejects))
			write(t, got.Rejects, []byte(mended))
			got, lines = importCSV(t, d, dir, got.Rejects, flags)
			if got.Taken != 3 || got.Refused != 1 {
				t.Errorf("once mended: %+v", got)
			}
			for _, text := range lines {
				if text != line("c3", "x") && text != line("c4", "x") && text != line("c5", "x") {
					t.Errorf("once mended the daemon has %s", text)
				}
			}
			left, err := os.ReadFile(got.Rejects)
			if err != nil || !strings.HasPrefix(string(left), "import.line,import.error,customer,when,what,note\r\n") || !strings.HasSuffix(string(left), ",bad,c2,2026-01-02 03:04:05,Bought,bad\r\n") {
				t.Errorf("what is left is %q, %v", left, err)
			}
		})
	}
}

func TestMendedRejects(t *testing.T) {
	d := &takes{lines: map[string]string{}}
	dir := t.TempDir()
	path := filepath.Join(dir, "e.ndjson")
	write(t, path, []byte("\xef\xbb\xbf{\"n\":1}\n{\"bad\":2}\nbad three\n{\"n\":4}\n"))
	c := serve(t, d)
	got, err := newImporter(c, dir).run(context.Background(), path)
	if err != nil || got.Taken != 2 || got.Refused != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	rejects, err := os.ReadFile(got.Rejects)
	if want := `{"line":2,"error":"bad","record":{"bad":2}}` + "\n" + `{"line":3,"error":"bad","record":"bad three"}` + "\n"; err != nil || string(rejects) != want {
		t.Fatalf("rejects are %s, %v", rejects, err)
	}
	write(t, got.Rejects, []byte(strings.ReplaceAll(string(rejects), `{"bad":2}`, `{"n":2}`)))
	clear(d.lines)
	got, err = newImporter(c, dir).run(context.Background(), got.Rejects)
	if err != nil || got.Taken != 1 || got.Refused != 1 {
		t.Fatalf("once mended: %+v, %v", got, err)
	}
	for _, text := range d.lines {
		if text != `{"n":2}` {
			t.Errorf("the daemon has %s", text)
		}
	}
}

// An import of CSV that was interrupted goes on at its record, and one that is
// read in another way is another one.
func TestImportOfCSVResumes(t *testing.T) {
	const n = 60_000
	dir := t.TempDir()
	path := filepath.Join(dir, "e.csv")
	var b strings.Builder
	b.WriteString("user,event,ts,note\n")
	for i := range n {
		fmt.Fprintf(&b, "u%d,A,2026-01-01T00:00:00Z,\"a\nb\"\n", i)
	}
	write(t, path, []byte(b.String()))
	d := &takes{lines: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	d.onPost = func(post int) {
		if post == 4 {
			cancel()
		}
	}
	c := serve(t, d)
	run := func(ctx context.Context, flags csvFlags) (importResult, error) {
		i := newImporter(c, dir)
		var err error
		if i.csv, err = flags.lines("events", path); err != nil {
			t.Fatal(err)
		}
		return i.run(ctx, path)
	}
	if _, err := run(ctx, csvFlags{}); err == nil {
		t.Fatal("not interrupted")
	}
	before, posts := len(d.lines), d.posts
	d.onPost = nil
	got, err := run(context.Background(), csvFlags{})
	if err != nil || got.Taken != n || len(d.lines) != n {
		t.Fatalf("%+v, %v; the daemon has %d", got, err, len(d.lines))
	}
	if before == 0 || d.posts > posts+6 {
		t.Errorf("%d were in, and %d parts were sent for the rest", before, d.posts-posts)
	}
	if _, err := run(context.Background(), csvFlags{types: []string{"note=json"}, skip: []string{"note"}}); err != nil || len(d.lines) != 2*n {
		t.Errorf("read in another way, the daemon has %d, %v", len(d.lines), err)
	}
}

func TestCSVFlags(t *testing.T) {
	for _, o := range []csvFlags{
		{format: "xml"}, {delimiter: ";"}, {format: "csv", delimiter: ";;"}, {format: "csv", delimiter: `"`}, {format: "csv", zone: "Mars/Olympus"},
		{format: "csv", mapped: []string{"user"}}, {format: "csv", set: []string{"event=A", "event=B"}},
	} {
		if _, err := o.lines("events", "e.ndjson"); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for path, comma := range map[string]byte{"a.csv": ',', "A.CSV.gz": ',', "a.tsv.zst": '\t', "a.csv.rejects": ',', "a.ndjson": 0, "-": 0} {
		l, err := (&csvFlags{}).lines("events", path)
		if err != nil || (l == nil) != (comma == 0) || l != nil && l.comma != comma {
			t.Errorf("%s: %+v, %v", path, l, err)
		}
	}
}
