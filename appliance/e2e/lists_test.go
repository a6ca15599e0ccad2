//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestLists uploads people by the command, in parts, asks for them and for the
// groups of a saved rfm, kills the daemon, and erases one of them.
func TestLists(t *testing.T) {
	d := newDaemon(t, false, `
publisher "shop" {
  title = "The Shop"
  key "app" { id = "SHOP-APP" }
}
`)
	d.start()
	dir := t.TempDir()
	const known = 30_000
	var events, ids strings.Builder
	for i := range known {
		fmt.Fprintf(&events, `{"user":"u%d","event":"Charged","ts":"2026-01-%02dT10:00:00Z","props":{"Amount":%d}}`+"\n", i, 1+i%28, i)
		fmt.Fprintf(&ids, "u%d\n", i)
		if i%3 == 0 {
			fmt.Fprintf(&ids, `{"user": "stranger %d"}`+"\n\n", i)
		}
	}
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		w, err := zstd.NewWriter(nil)
		must(t, err)
		must(t, os.WriteFile(path, w.EncodeAll([]byte(text), nil), 0o600))
		return path
	}
	cloister := func(args ...string) string {
		return run(t, program, append(args, "--socket", filepath.Join(d.dir, "admin.sock"))...)
	}
	cloister("import", "events", file("events.zst", events.String()), "--dir", dir)
	if got := cloister("import", "list", "--name", "a list/1", file("ids.zst", ids.String()+`{"who":"u1"}`), "--dir", dir); !strings.Contains(got, "30,000 people are on the list, 10,000 identities are nobody's") ||
		!strings.Contains(got, "1 refused") {
		t.Error(got)
	}
	if got := cloister("list", "show"); !strings.Contains(got, "30000") || !strings.Contains(got, "a list/1") {
		t.Error(got)
	}
	count := func(people string) int64 {
		t.Helper()
		var answer struct{ Result struct{ Count int64 } }
		if code := d.call("POST", "/publishers/shop/query", `{"kind":"segment","people":`+people+`}`, &answer); code != 200 {
			t.Errorf("%s: %d", people, code)
		}
		return answer.Result.Count
	}
	const listed, champions = `{"list":"a list/1"}`, `{"all":[{"list":"a list/1"},{"rfm":"big"}]}`
	question := json.RawMessage(`{"question":{"event":"Charged","amount":"Amount","groups":[{"name":"big","m":[5,5]},{"name":"others"}]}}`)
	if code := d.call("PUT", "/publishers/shop/rfms/value", question, nil); code != 200 {
		t.Fatal(code)
	}
	if a, b := count(listed), count(champions); a != known || b != known/5 {
		t.Errorf("%d on the list, %d of them big", a, b)
	}
	d.kill()
	d.start()
	if a, b := count(listed), count(champions); a != known || b != known/5 {
		t.Errorf("after a kill: %d on the list, %d of them big", a, b)
	}
	if code := d.call("DELETE", "/publishers/shop/people/u29999", nil, nil); code != 202 {
		t.Fatal(code)
	}
	if a := count(listed); a != known-1 {
		t.Errorf("after an erasure: %d on the list", a)
	}
	if got := cloister("import", "list", "--add", "--name", "few", file("few.zst", "u1\nu29999\nu2\n"), "--dir", dir); !strings.Contains(got, "2 people are on the list, 1 identities") {
		t.Error(got)
	}
	cloister("list", "delete", "a list/1")
	if code := d.call("POST", "/publishers/shop/query", `{"kind":"segment","people":`+listed+`}`, nil); code != 400 {
		t.Errorf("a deleted list: %d", code)
	}
}
