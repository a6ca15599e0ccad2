package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// gives is a daemon that gives an export of pieces, "0\n" to "9\n" ten times
// each, and cuts it where it is told to.
type gives struct {
	asked []url.Values
	// cut says whether a request ends before a piece, or within it.
	cut func(request, piece int) (before, within bool)
	// refuse is a status to answer instead, 0 = none.
	refuse func(request int) int
	silent bool // pieces have no cursors
}

func (g *gives) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	g.asked = append(g.asked, q)
	request := len(g.asked)
	if g.refuse != nil {
		if status := g.refuse(request); status != 0 {
			w.WriteHeader(status)
			fmt.Fprint(w, `{"error":{"code":"x","message":"not like this"}}`)
			return
		}
	}
	first := 0
	if c := q.Get("cursor"); c != "" {
		at, err := strconv.Atoi(c)
		if err != nil {
			panic(err)
		}
		first = at + 1
	}
	rc := http.NewResponseController(w)
	for n := first; n < 10; n++ {
		before, within := false, false
		if g.cut != nil {
			before, within = g.cut(request, n)
		}
		if before {
			panic(http.ErrAbortHandler)
		}
		body := strings.Repeat(strconv.Itoa(n)+"\n", 10)
		cursor := fmt.Sprintf(`,"cursor":"%d"`, n)
		if g.silent || n == 5 { // one piece that is within a person
			cursor = ""
		}
		fmt.Fprintf(w, `{"bytes":%d,"records":10%s}`+"\n", len(body), cursor)
		if within {
			io.WriteString(w, body[:7])
			_ = rc.Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, body)
		_ = rc.Flush()
	}
	fmt.Fprintln(w, `{"bytes":0,"records":0,"done":true}`)
}

var givenWhole = func() string {
	var b strings.Builder
	for n := range 10 {
		b.WriteString(strings.Repeat(strconv.Itoa(n)+"\n", 10))
	}
	return b.String()
}()

func newExporter(c *client, path string, out io.Writer) *exporter {
	return &exporter{client: c, url: "/v1/publishers/acme/export/events", query: url.Values{"format": {"ndjson"}}, path: path, out: out, screen: io.Discard, patience: time.Minute}
}

func isWhole(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || string(b) != givenWhole {
		t.Errorf("the file is %q, %v", b, err)
	}
	st, err := os.Stat(path)
	if err == nil && st.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", st.Mode())
	}
	for _, beside := range []string{".part", ".progress", ".progress.new"} {
		if exists(path + beside) {
			t.Errorf("%s is left", beside)
		}
	}
}

// A connection that is cut, wherever, is taken up again behind the last cursor.
func TestExportGoesOn(t *testing.T) {
	g := &gives{cut: func(request, piece int) (bool, bool) {
		return request == 1 && piece == 3 || request == 3 && piece == 6, request == 2 && piece == 4
	}}
	path := filepath.Join(t.TempDir(), "e.ndjson")
	got, err := newExporter(serve(t, g), path, nil).run(context.Background())
	if err != nil || got.Records != 100 || got.Bytes != int64(len(givenWhole)) {
		t.Errorf("%+v, %v", got, err)
	}
	isWhole(t, path)
	var cursors []string
	for _, q := range g.asked {
		cursors = append(cursors, q.Get("cursor"))
	}
	// The second request got as far as 3, the third passed 5, which has none.
	if fmt.Sprint(cursors) != "[ 2 3 4]" {
		t.Errorf("asked with cursors %q", cursors)
	}
}

// A command that was killed goes on, also if what it wrote last is not whole.
func TestExportAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.ndjson")
	g := &gives{refuse: func(request int) int {
		if request == 2 {
			return 403
		}
		return 0
	}, cut: func(request, piece int) (bool, bool) { return request == 1 && piece == 7, false }}
	c := serve(t, g)
	if _, err := newExporter(c, path, nil).run(context.Background()); err == nil || !strings.Contains(err.Error(), "70 records are in "+path+".part; the same command goes on there") {
		t.Fatalf("it ends with %v", err)
	}
	other := newExporter(c, path, nil)
	other.query.Set("segment", "vips")
	if _, err := other.run(context.Background()); err != nil || g.asked[2].Get("cursor") != "" {
		t.Errorf("another export goes on from this one: %v %v", g.asked[2], err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	g.asked = nil
	if _, err := newExporter(c, path, nil).run(context.Background()); err == nil {
		t.Fatal("not refused")
	}
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString("half a li")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := newExporter(c, path, nil).run(context.Background()); err != nil || got.Records != 100 || g.asked[2].Get("cursor") != "6" {
		t.Errorf("%+v, %v, cursor %q", got, err, g.asked[2].Get("cursor"))
	}
	isWhole(t, path)
	if _, err := newExporter(c, path, nil).run(context.Background()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a file that is there: %v", err)
	}
}

// What the daemon cannot go on with is begun again.
func TestExportBeginsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.csv")
	g := &gives{refuse: func(request int) int { return map[int]int{2: 503, 3: 409}[request] },
		cut: func(request, piece int) (bool, bool) { return request == 1 && piece == 4, false }}
	if got, err := newExporter(serve(t, g), path, nil).run(context.Background()); err != nil || got.Records != 100 || len(g.asked) != 4 {
		t.Errorf("%+v, %v, %d requests", got, err, len(g.asked))
	}
	isWhole(t, path)
}

func TestExportToStandardOutput(t *testing.T) {
	var out bytes.Buffer
	g := &gives{silent: true}
	c := serve(t, g)
	if _, err := newExporter(c, "-", &out).run(context.Background()); err != nil || out.String() != givenWhole {
		t.Errorf("%q, %v", out.String(), err)
	}
	g.cut = func(_, piece int) (bool, bool) { return piece == 4, false }
	if _, err := newExporter(c, "-", io.Discard).run(context.Background()); err == nil {
		t.Error("a cut one ends well")
	}
	if _, err := newExporter(c, "-", full{}).run(context.Background()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("where nothing can be written: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestExportFlags(t *testing.T) {
	for path, want := range map[string]string{
		"-": "format=ndjson", "a.ndjson.zst": "compress=zstd&format=ndjson", "A.CSV": "format=csv", "a.csv.gz": "compress=gzip&format=csv", "a.parquet": "format=parquet", "a.txt": "format=ndjson",
	} {
		if q, err := (&exportFlags{}).query(path); err != nil || q.Encode() != want {
			t.Errorf("%s: %s, %v", path, q.Encode(), err)
		}
	}
	q, err := (&exportFlags{format: "csv", from: "2026-01-31", to: "2026-02-01T12:00:00+05:30", segment: "a b", events: []string{"A", "B,C"}, personal: true, gzip: true}).query("x")
	if want := "compress=gzip&event=A&event=B%2CC&format=csv&from=2026-01-31T00%3A00%3A00Z&personal=true&segment=a+b&to=2026-02-01T06%3A30%3A00Z"; err != nil || q.Encode() != want {
		t.Errorf("%s, %v", q.Encode(), err)
	}
	for _, o := range []exportFlags{{format: "xml"}, {format: "parquet", zstd: true}, {from: "yesterday"}, {to: "2026-13-01"}} {
		if _, err := o.query("x"); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
