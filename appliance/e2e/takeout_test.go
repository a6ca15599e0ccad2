//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

const (
	retail     = "../../../shared/data/online_retail/events.ndjson.gz"
	retailRows = 406_829
)

// waitFor looks often, for what passes quickly.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond) // the interval of looking
	}
}

// progress is how far a command came, by its file: a line or a record.
func progress(path string) int64 {
	var p struct{ Line, Records int64 }
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &p) != nil {
		return 0
	}
	return max(p.Line, p.Records)
}

// killed runs a command that says in a file how far it is, kills it, gives it
// again, kills the daemon, and waits for its end. It says where they were.
func killed(t *testing.T, d *daemon, file string, args ...string) {
	t.Helper()
	begin := func() *exec.Cmd {
		c := exec.Command(program, args...)
		c.Stdout, c.Stderr = d.log, d.log
		must(t, c.Start())
		return c
	}
	c := begin()
	waitFor(t, "the command is on its way", func() bool { return progress(file) > 1 })
	must(t, c.Process.Kill())
	_ = c.Wait()
	first := progress(file)
	if first == 0 {
		t.Fatal("the command ended before it was killed")
	}
	c = begin()
	waitFor(t, "the command goes on", func() bool { return progress(file) > first })
	d.kill()
	second := progress(file)
	d.start()
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, d.log)
	}
	if second == 0 || progress(file) != 0 {
		t.Errorf("the daemon was not killed in the middle, or the command left its progress")
	}
	t.Logf("%s: command killed at %d, daemon at %d", strings.Join(args[:2], " "), first, second)
}

// holds waits until a publisher has applied what it took, and compares how many
// events that is.
func (d *daemon) holds(publisher string, want int) {
	d.t.Helper()
	var last, now struct{ Rows int }
	eventually(d.t, time.Minute, "the events are applied", func() bool {
		last = now
		return d.call("GET", "/publishers/"+publisher, nil, &now) == 200 && now.Rows == last.Rows && now.Rows >= want
	})
	if now.Rows != want {
		d.t.Errorf("%s holds %d events, not %d", publisher, now.Rows, want)
	}
}

// TestInAndOut brings real events in and takes them out, with kill -9 in the
// middle of both, and brings what came out in elsewhere: questions agree.
func TestInAndOut(t *testing.T) {
	hcl := ""
	for _, name := range []string{"acme", "beta", "gamma"} {
		hcl += fmt.Sprintf("publisher %q {\n  key \"app\" { id = %q }\n  purpose \"offers\" {}\n}\n", name, strings.ToUpper(name))
	}
	d := newDaemon(t, false, hcl)
	d.start()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	socket := []string{"--socket", filepath.Join(d.dir, "admin.sock")}
	cloister := func(args ...string) string { return run(t, program, append(args, socket...)...) }

	killed(t, d, at("events.ndjson.gz.progress"), append([]string{"import", "events", "--publisher", "acme", "--dir", dir, retail}, socket...)...)
	d.holds("acme", retailRows)

	for _, name := range []string{"whole.ndjson", "whole.csv.gz", "whole.parquet"} {
		if got := cloister("export", "events", "--publisher", "acme", at(name)); name != "whole.parquet" && !strings.Contains(got, "406,829 records") {
			t.Error(got)
		}
	}
	for _, suffix := range []string{".ndjson", ".csv.gz"} {
		killed(t, d, at("cut"+suffix)+".progress", append([]string{"export", "events", "--publisher", "acme", at("cut" + suffix)}, socket...)...)
		whole, err := os.ReadFile(at("whole" + suffix))
		must(t, err)
		cut, err := os.ReadFile(at("cut" + suffix))
		must(t, err)
		if suffix == ".ndjson" && !bytes.Equal(whole, cut) {
			t.Errorf("what was cut is %d bytes, the whole %d, or others", len(cut), len(whole))
		}
	}
	// Compressed pieces lie elsewhere, what they hold is the same.
	if run(t, "sh", "-c", "zcat < '"+at("whole.csv.gz")+"' | sha256sum") != run(t, "sh", "-c", "zcat < '"+at("cut.csv.gz")+"' | sha256sum") {
		t.Error("the CSV that was cut is another one")
	}
	f, err := os.Open(at("whole.parquet"))
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	p, err := parquet.OpenFile(f, st.Size())
	must(t, err)
	if p.NumRows() != retailRows {
		t.Errorf("%d rows of Parquet", p.NumRows())
	}

	cloister("import", "events", "--publisher", "beta", "--dir", dir, at("whole.ndjson"))
	cloister("import", "events", "--publisher", "gamma", "--dir", dir, at("cut.csv.gz"),
		"--type", "props.amount=number", "--type", "props.unit_price=number", "--type", "props.quantity=number")
	for _, name := range []string{"beta", "gamma"} {
		d.holds(name, retailRows)
		for _, q := range []string{
			`{"kind":"trend","interval":"month","from":"2010-12-01","to":"2011-12-31","breakdown":{"property":"country"},"series":[{"name":"A","event":"Item Purchased","measure":"sum","property":"amount"},{"name":"B","event":"Item Purchased","measure":"unique"}]}`,
			`{"kind":"retention","interval":"month","from":"2010-12-01","to":"2011-12-31","start":{"event":"Item Purchased"},"return":{"event":"Item Purchased"}}`,
			`{"kind":"segment","people":{"did":{"event":"Item Purchased"},"sum":{"property":"quantity","op":">","value":1000}}}`,
			`{"kind":"paths","start":{"event":"Item Purchased"},"events":[{"event":"Item Purchased"}],"by":"sku","depth":4,"limit":200}`,
		} {
			var want, got struct{ Result json.RawMessage }
			if d.call("POST", "/publishers/acme/query", q, &want) != 200 || d.call("POST", "/publishers/"+name+"/query", q, &got) != 200 {
				t.Fatal(q)
			}
			if !bytes.Equal(want.Result, got.Result) {
				t.Errorf("%s: %.300s\nat %s: %.300s", q, want.Result, name, got.Result)
			}
		}
	}
}
