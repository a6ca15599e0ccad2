//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSuppressed: what an operator puts on the suppression list is sent nothing,
// after a kill too, until it is taken off.
func TestSuppressed(t *testing.T) {
	dir := t.TempDir()
	d := newDaemon(t, false, fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["email"] }
  connector "email" "box" {
    plugin = "mailbox"
    settings { dir = %q }
  }
}
`, filepath.Join(dir, "mail")))
	d.start()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	cloister := func(args ...string) string {
		t.Helper()
		return run(t, program, append(args, "--socket", filepath.Join(d.dir, "admin.sock"))...)
	}
	run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", file("people.ndjson",
		`{"user":"asha","channels":{"email":"asha@example.com"},"consent":[{"purpose":"offers","granted":true}]}
{"user":"bela","channels":{"email":"bela@example.com"},"consent":[{"purpose":"offers","granted":true}]}
{"user":"cho","channels":{"email":"cho@example.com"},"consent":[{"purpose":"offers","granted":true}]}
`))
	cloister("suppression", "add", "email", "ASHA@example.com")
	cloister("suppression", "import", "--channel", "email", file("list.csv", "bela@example.com\nnobody@example.com\n"))
	if got := cloister("suppression", "show"); !strings.Contains(got, "operator") || !strings.Contains(got, "3") {
		t.Error(got)
	}
	d.kill()
	d.start()
	campaign := func(id string) (sent, held int) {
		t.Helper()
		c := map[string]any{
			"id": id, "name": id, "state": "running", "channel": "email", "purpose": "offers",
			"trigger": map[string]any{"type": "once", "audience": map[string]any{"any": []any{map[string]any{"identity": []string{"asha"}}, map[string]any{"identity": []string{"bela"}}, map[string]any{"identity": []string{"cho"}}}}},
			"content": map[string]any{"subject": "Hello", "html": "<p>Hello</p><a href=\"{{ unsubscribe_url }}\">No more</a>"},
		}
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
		var report struct {
			Decided, Sent int
			Held          []struct {
				Reason string
				Count  int
			}
		}
		eventually(t, 60*time.Second, "three are decided", func() bool {
			d.call("GET", "/publishers/shop/campaigns/"+id+"/report", nil, &report)
			held = 0
			for _, h := range report.Held {
				if h.Reason != "suppressed" {
					t.Fatalf("held: %s", h.Reason)
				}
				held += h.Count
			}
			return report.Sent+held == 3
		})
		return report.Sent, held
	}
	if sent, held := campaign("first"); sent != 1 || held != 2 {
		t.Errorf("%d sent, %d held", sent, held)
	}
	if got := cloister("suppression", "find", "email", "bela@example.com"); !strings.Contains(got, "operator") {
		t.Error(got)
	}
	cloister("suppression", "remove", "email", "asha@example.com", "bela@example.com")
	if sent, held := campaign("second"); sent != 3 || held != 0 {
		t.Errorf("once they are off the list: %d sent, %d held", sent, held)
	}
}
