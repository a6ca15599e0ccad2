//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWebhook: a campaign by webhook reaches whoever has an id, over a kill too,
// signed, each person who consents once.
func TestWebhook(t *testing.T) {
	const secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	key, err := base64.StdEncoding.DecodeString(secret)
	must(t, err)
	var mu sync.Mutex
	got := map[string][]string{} // texts by user
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return // the connector's check
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the daemon was killed
		}
		h := hmac.New(sha256.New, key)
		io.WriteString(h, r.Header.Get("Webhook-Id")+"."+r.Header.Get("Webhook-Timestamp")+"."+string(body))
		if want := "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
			t.Errorf("signed %q, not %q", r.Header.Get("Webhook-Signature"), want)
		}
		var m struct{ ID, User, Text string }
		if err := json.Unmarshal(body, &m); err != nil || m.ID != r.Header.Get("Webhook-Id") {
			t.Errorf("%s: %v", body, err)
		}
		mu.Lock()
		got[m.User] = append(got[m.User], m.Text)
		mu.Unlock()
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	must(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))

	d := newDaemon(t, false, fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["webhook"] }
  connector "webhook" "hooks" {
    plugin = "webhook"
    settings {
      url     = "%s/hook"
      secret  = "whsec_%s"
      private = ["%s"]
      ca      = file(%q)
    }
  }
}
`, server.URL, secret, u.Host, ca))
	d.start()
	profiles := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(profiles, []byte(`{"user":"asha","profile":{"tier":"gold"},"consent":[{"purpose":"offers","granted":true}]}
{"user":"bela","profile":{"tier":"gold"},"consent":[{"purpose":"offers","granted":true}]}
{"user":"chen","profile":{"tier":"gold"}}
`), 0o600))
	t.Log(run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", profiles))
	campaign := func(id string) {
		t.Helper()
		c := map[string]any{
			"id": id, "name": id, "state": "running", "channel": "webhook", "purpose": "offers", "class": "marketing",
			"trigger": map[string]any{"type": "once", "audience": map[string]any{"profile": map[string]any{"property": "tier", "op": "=", "value": "gold"}}},
			"content": map[string]any{"text": id + `: {{ Profile.tier }} & "more"`},
		}
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
	}
	sent := func(n float64) {
		t.Helper()
		eventually(t, 60*time.Second, fmt.Sprint(n, " are sent"), func() bool { return d.total("shop", "Notification Sent") == n })
	}
	campaign("first")
	sent(2)
	d.kill()
	d.start()
	campaign("second")
	sent(4)
	mu.Lock()
	defer mu.Unlock()
	want := `first: gold & "more"|second: gold & "more"`
	if len(got) != 2 || strings.Join(got["asha"], "|") != want || strings.Join(got["bela"], "|") != want {
		t.Errorf("%q", got)
	}
}
