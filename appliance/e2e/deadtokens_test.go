//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/connectors/fcm/standin"
)

// TestDeadTokens: with another project's account FCM says of every token that it
// is not this sender's. None is ended, the connector is paused and says what to
// look at, and all get the message when the account is put right.
func TestDeadTokens(t *testing.T) {
	provider, err := standin.New()
	must(t, err)
	t.Cleanup(provider.Close)
	d := newDaemon(t, false, fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["push"] }
  connector "push" "android" {
    plugin    = "fcm"
    platforms = ["fcm"]
    settings {
      service_account = %q
      ca              = %q
      url             = %q
      token_url       = %q
    }
  }
}
`, provider.Account(), provider.CA(), provider.URL(), provider.TokenURL()))
	d.start()
	cloister := func(args ...string) string {
		t.Helper()
		return run(t, program, append(args, "--socket", filepath.Join(d.dir, "admin.sock"))...)
	}
	const people = 60
	var file strings.Builder
	device := func(i int) string { return fmt.Sprintf("dQw4w9WgXcQ:APA91b%020d", i) }
	for i := range people {
		provider.Bad(device(i), "SENDER_ID_MISMATCH")
		fmt.Fprintf(&file, `{"user":"u%d","profile":{"tier":"gold"},"channels":{"push":{"platform":"fcm","token":%q}},"consent":[{"purpose":"offers","granted":true}]}`+"\n", i, device(i))
	}
	path := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(path, []byte(file.String()), 0o600))
	run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", path)
	c := map[string]any{
		"id": "all", "name": "All", "state": "running", "channel": "push", "purpose": "offers",
		"trigger": map[string]any{"type": "once", "audience": map[string]any{"profile": map[string]any{"property": "tier", "op": "=", "value": "gold"}}},
		"content": map[string]any{"title": "Hello", "text": "There"},
	}
	if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
		t.Fatalf("making the campaign: %d", code)
	}
	waiting := func() int {
		var s struct{ Publishers []struct{ Waiting int } }
		d.call("GET", "/admin/status", nil, &s)
		return s.Publishers[0].Waiting
	}
	eventually(t, time.Minute, "it pauses itself, and all wait", func() bool {
		return strings.Contains(cloister("connector", "list"), "android paused itself at ") && waiting() == people
	})
	if n := d.total("shop", "App Uninstalled"); n != 0 {
		t.Errorf("%v tokens are no more", n)
	}
	d.kill()
	d.start()
	eventually(t, 3*time.Minute, "somebody is told what to look at", func() bool {
		var s struct {
			Problems []struct{ Code, Summary, Hint string }
		}
		d.call("GET", "/admin/status", nil, &s)
		for _, p := range s.Problems {
			if p.Code == "connector.doubted" && strings.Contains(p.Summary, "android since") && strings.Contains(p.Hint, "connector resume") {
				return true
			}
		}
		return false
	})
	for i := range people {
		provider.Bad(device(i), "")
	}
	cloister("connector", "resume", "android")
	eventually(t, 3*time.Minute, "all get it", func() bool { return provider.Count() == people && waiting() == 0 })
	eventually(t, time.Minute, "all of it is told", func() bool { return d.total("shop", "Notification Sent") == people })
	if n := d.total("shop", "App Uninstalled"); n != 0 {
		t.Errorf("%v tokens are no more", n)
	}
}
