//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// centre is a message centre that nobody here wrote, in a process of its own:
// the one that the connector's own tests use.
type centre struct {
	in   io.WriteCloser
	port int

	mu   sync.Mutex
	seen []centreSaw
}

type centreSaw struct {
	Saw    string
	Port   int
	Status int
	To     string
	Text   string
	From   string
	Coding int
	TLVs   map[string]string
}

func startCentre(t *testing.T) *centre {
	t.Helper()
	const script = "../../connectors/smpp/testdata/npm/smsc.mjs"
	if _, err := os.Stat(filepath.Join(filepath.Dir(script), "node_modules")); err != nil {
		t.Fatalf("%v: run `npm ci` in connectors/smpp/testdata/npm first", err)
	}
	cmd := exec.Command("node", script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	c := &centre{in: in}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var s centreSaw
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			c.mu.Lock()
			c.seen = append(c.seen, s)
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		in.Close() // which ends it
		<-done
		_ = cmd.Wait()
	})
	eventually(t, 30*time.Second, "the message centre listens", func() bool { return len(c.saw("listening")) == 1 })
	c.port = c.saw("listening")[0].Port
	return c
}

func (c *centre) saw(what string) (of []centreSaw) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		if s.Saw == what {
			of = append(of, s)
		}
	}
	return of
}

// TestCollected: what a message centre tells by the connector's own connection
// becomes a fact, and is answered to it only then; also what it tells while a
// daemon that was killed comes back.
func TestCollected(t *testing.T) {
	smsc := startCentre(t)
	d := newDaemon(t, false, fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["sms"] }
  connector "sms" "smsc" {
    plugin = "smpp"
    settings {
      host      = "127.0.0.1"
      port      = %d
      system_id = "shop"
      password  = "secret"
      sender    = "SHOP"
    }
  }
}
`, smsc.port))
	d.start()
	profiles := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(profiles, []byte(`{"user":"asha","channels":{"sms":"+4915112345678"},"consent":[{"purpose":"offers","granted":true}]}
{"user":"bela","channels":{"sms":"+4915112345679"},"consent":[{"purpose":"offers","granted":true}]}
`), 0o600))
	t.Log(run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", profiles))
	campaign := func(id, text string) {
		t.Helper()
		c := map[string]any{
			"id": id, "name": id, "state": "running", "channel": "sms", "purpose": "offers", "class": "transactional",
			"trigger": map[string]any{"type": "once", "audience": map[string]any{"reachable": "sms"}},
			"content": map[string]any{"text": text},
		}
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
	}
	campaign("good", "Hello")
	eventually(t, 60*time.Second, "both are delivered", func() bool { return d.total("shop", "Notification Delivered") == 2 })
	eventually(t, 30*time.Second, "the message centre is answered", func() bool { return len(smsc.saw("deliver_sm_resp")) >= 2 })
	if slices.ContainsFunc(smsc.saw("deliver_sm_resp"), func(s centreSaw) bool { return s.Status != 0 }) {
		t.Errorf("the message centre is told %+v", smsc.saw("deliver_sm_resp"))
	}

	d.kill()
	d.start()
	campaign("bad", "this will fail")
	eventually(t, 60*time.Second, "both came back", func() bool { return d.total("shop", "Notification Bounced") == 2 })
	if n := d.total("shop", "Notification Delivered"); n != 2 {
		t.Errorf("%v delivered", n)
	}
}

// TestRegistered: a campaign's sender and template reach the message centre as
// DLT wants them, also of a text that is not GSM's; a text that does not fit its
// template does not leave, and its messages say why.
func TestRegistered(t *testing.T) {
	const entity, template = "1101234567890123456", "1107161234567890123"
	smsc := startCentre(t)
	d := newDaemon(t, false, fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "service" { basis = "contract" }
  connector "sms" "smsc" {
    plugin = "smpp"
    settings {
      host      = "127.0.0.1"
      port      = %d
      system_id = "shop"
      password  = "secret"
      sender    = "OTHERS"
      dlt {
        entity    = %q
        headers   = ["ACMEBK-S"]
        templates = { %q = "Dear {#var#}, your statement is ready. ACME Bank" }
      }
    }
  }
}
`, smsc.port, entity, template))
	d.start()
	profiles := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(profiles, []byte(`{"user":"asha","profile":{"Name":"Asha"},"channels":{"sms":"+919812345678"}}
{"user":"bela","profile":{"Name":"\u092c\u0947\u0932\u093e"},"channels":{"sms":"+919812345679"}}
`), 0o600))
	t.Log(run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", profiles))
	campaign := func(id, text string) {
		t.Helper()
		c := map[string]any{
			"id": id, "name": id, "state": "running", "channel": "sms", "purpose": "service", "class": "transactional",
			"trigger": map[string]any{"type": "once", "audience": map[string]any{"reachable": "sms"}},
			"content": map[string]any{"text": text, "sender": "ACMEBK", "template": template},
		}
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
	}
	campaign("fits", "Dear {{ Profile.Name }}, your statement is ready. ACME Bank")
	eventually(t, 60*time.Second, "both are delivered", func() bool { return d.total("shop", "Notification Delivered") == 2 })
	codings := map[string]int{"+919812345678": 0, "+919812345679": 8}
	texts := map[string]string{"+919812345678": "Dear Asha, your statement is ready. ACME Bank", "+919812345679": "Dear \u092c\u0947\u0932\u093e, your statement is ready. ACME Bank"}
	eventually(t, 60*time.Second, "the message centre says what it saw", func() bool { return len(smsc.saw("submit_sm")) == 2 })
	for _, s := range smsc.saw("submit_sm") {
		to := "+" + strings.TrimPrefix(s.To, "+")
		if s.From != "ACMEBK" || s.Text != texts[to] || s.Coding != codings[to] {
			t.Errorf("%+v", s)
		}
		if e, id := strings.TrimRight(s.TLVs["5120"], "\x00"), strings.TrimRight(s.TLVs["5121"], "\x00"); e != entity || id != template {
			t.Errorf("%s: entity %q, template %q", s.To, e, id)
		}
	}

	campaign("strays", "Dear {{ Profile.Name }}, buy now. ACME Bank")
	eventually(t, 60*time.Second, "both failed", func() bool { return d.total("shop", "Notification Failed") == 2 })
	if n := len(smsc.saw("submit_sm")); n != 2 {
		t.Errorf("%d messages at the message centre", n)
	}
	var failed struct {
		Messages []struct{ Campaign, Detail, Reason string }
	}
	eventually(t, 60*time.Second, "both are listed", func() bool {
		return d.call("GET", "/publishers/shop/messages?state=failed", nil, &failed) == 200 && len(failed.Messages) == 2
	})
	for _, m := range failed.Messages {
		if m.Campaign != "strays" || !strings.Contains(m.Reason+" "+m.Detail, "the text does not fit its template") {
			t.Errorf("%+v", m)
		}
	}
}
