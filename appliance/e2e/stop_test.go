//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// provider is one of SMS, as the daemon's other end.
type provider interface {
	// hcl is the settings block of the connector "network", and its plugin.
	hcl() string
	// write has a person send a text.
	write(d *daemon, from, text string)
	// got are the texts that went to a number.
	got(number string) []string
}

// byLine is a message centre.
type byLine struct{ *centre }

func (n byLine) hcl() string {
	return fmt.Sprintf(`
    plugin = "smpp"
    settings {
      host      = "127.0.0.1"
      port      = %d
      system_id = "shop"
      password  = "secret"
      sender    = "SHOP"
    }`, n.port)
}

func (n byLine) write(d *daemon, from, text string) {
	d.t.Helper()
	_, err := fmt.Fprintf(n.in, `{"from":%q,"text":%q}`+"\n", strings.TrimPrefix(from, "+"), text)
	must(d.t, err)
}

func (n byLine) got(number string) (texts []string) {
	for _, s := range n.saw("submit_sm") {
		if "+"+s.To == number {
			texts = append(texts, s.Text)
		}
	}
	return texts
}

// byHTTP is a provider with an interface of its own, or Twilio's.
type byHTTP struct {
	t      *testing.T
	twilio bool
	*httptest.Server

	mu   sync.Mutex
	sent []struct{ To, Text string }
}

func newByHTTP(t *testing.T, twilio bool) *byHTTP {
	n := &byHTTP{t: t, twilio: twilio}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ To, Text string }
		if twilio {
			m.To, m.Text = r.FormValue("To"), r.FormValue("Body")
		} else if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("a request: %v", err)
		}
		n.mu.Lock()
		n.sent = append(n.sent, m)
		id := len(n.sent)
		n.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"sid":"SM%d","status":"queued"}`, id)
	}))
	t.Cleanup(n.Close)
	return n
}

const networkSecret = "0123456789abcdef0123456789abcdef"

func (n *byHTTP) hcl() string {
	if n.twilio {
		return fmt.Sprintf(`
    plugin = "smshttp"
    settings {
      sender = "+15005550006"
      twilio {
        account = "AC0123456789abcdef0123456789abcdef"
        token   = %q
        url     = %q
      }
    }`, networkSecret, n.URL)
	}
	return fmt.Sprintf(`
    plugin = "smshttp"
    settings {
      request {
        url  = "%s/send"
        json = "{\"to\":\"{to}\",\"text\":\"{text}\"}"
      }
      response { id = "sid" }
      callbacks {
        secret = %q
        from   = "from"
        text   = "text"
      }
    }`, n.URL, networkSecret)
}

func (n *byHTTP) write(d *daemon, from, text string) {
	d.t.Helper()
	at := d.collect + "/receipts/shop/network"
	post := func(genuine bool) int {
		var body, kind, header, signature string
		if n.twilio {
			form := url.Values{"MessageSid": {"SM99"}, "SmsStatus": {"received"}, "From": {from}, "To": {"+15005550006"}, "Body": {text}}
			mac := hmac.New(sha1.New, []byte(networkSecret))
			io.WriteString(mac, at)
			for _, name := range slices.Sorted(maps.Keys(form)) {
				io.WriteString(mac, name+form.Get(name))
			}
			body, kind, header, signature = form.Encode(), "application/x-www-form-urlencoded", "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil))
		} else {
			b, err := json.Marshal(map[string]string{"from": from, "text": text})
			must(d.t, err)
			mac := hmac.New(sha256.New, []byte(networkSecret))
			mac.Write(b)
			body, kind, header, signature = string(b), "application/json", "X-Signature", hex.EncodeToString(mac.Sum(nil))
		}
		req, err := http.NewRequest("POST", at, strings.NewReader(body))
		must(d.t, err)
		req.Header.Set("Content-Type", kind)
		if genuine {
			req.Header.Set(header, signature)
		}
		resp, err := d.apps.Do(req)
		must(d.t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := post(false); code != http.StatusForbidden {
		d.t.Errorf("a callback without a signature: %d", code)
	}
	// Told again until it is taken, as providers do.
	eventually(d.t, 60*time.Second, "the callback is taken", func() bool { return post(true) == http.StatusOK })
}

func (n *byHTTP) got(number string) (texts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.sent {
		if m.To == number {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// TestStop: who writes STOP gets nothing more on this channel but what rests on
// a contract, over a restart too; START lets messages through again. Others'
// messages go on all the while.
func TestStop(t *testing.T) {
	for name, make := range map[string]func(*testing.T) provider{
		"smpp":    func(t *testing.T) provider { return byLine{startCentre(t)} },
		"smshttp": func(t *testing.T) provider { return newByHTTP(t, false) },
		"twilio":  func(t *testing.T) provider { return newByHTTP(t, true) },
	} {
		t.Run(name, func(t *testing.T) { stop(t, make(t)) })
	}
}

func stop(t *testing.T, n provider) {
	const asha, bela = "+4915112345678", "+4915112345679"
	d := newDaemon(t, false, fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["sms"] }
  purpose "news" { channels = ["sms"] }
  purpose "service" { basis = "contract" }
  connector "sms" "network" {%s
  }
}
`, n.hcl()))
	d.start()
	profiles := filepath.Join(t.TempDir(), "people.ndjson")
	var lines strings.Builder
	for user, number := range map[string]string{"asha": asha, "bela": bela} {
		fmt.Fprintf(&lines, `{"user":%q,"channels":{"sms":%q},"consent":[{"purpose":"offers","granted":true},{"purpose":"news","granted":true}]}`+"\n", user, number)
	}
	must(t, os.WriteFile(profiles, []byte(lines.String()), 0o600))
	run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", profiles)

	// campaign sends a text of its own to both, and waits until it is decided
	// about both: sent to some, held for the others.
	campaign := func(id, purpose, class string, sent int) {
		t.Helper()
		c := fmt.Sprintf(`{"id":%q,"name":%q,"state":"running","channel":"sms","purpose":%q,"class":%q,
			"trigger":{"type":"once","audience":{"any":[{"identity":["asha"]},{"identity":["bela"]}]}},"content":{"text":%q}}`, id, id, purpose, class, id)
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
		var report struct {
			Sent float64
			Held []struct {
				Reason string
				Count  float64
			}
		}
		eventually(t, 60*time.Second, id+" is decided about for both", func() bool {
			d.call("GET", "/publishers/shop/campaigns/"+id+"/report", nil, &report)
			held := 0.0
			for _, h := range report.Held {
				held += h.Count
			}
			return report.Sent+held == 2
		})
		if int(report.Sent) != sent || sent == 1 && report.Held[0].Reason != "no consent" {
			t.Errorf("%s: %+v", id, report)
		}
	}
	campaign("first", "offers", "marketing", 2)
	n.write(d, asha, "Stop")
	eventually(t, 60*time.Second, "STOP is known", func() bool { return d.total("shop", "Channel Unsubscribed") == 2 })
	campaign("second", "offers", "marketing", 1)
	campaign("third", "news", "marketing", 1)
	d.kill()
	d.start()
	campaign("fourth", "offers", "marketing", 1)
	campaign("account", "service", "transactional", 2)
	n.write(d, bela, "thanks, when do you open?")
	eventually(t, 60*time.Second, "an answer is known", func() bool { return d.total("shop", "Notification Replied") == 1 })
	n.write(d, asha, "START")
	eventually(t, 60*time.Second, "START is known", func() bool { return d.total("shop", "Consent Changed") == 8 }) // 2 each at first, 2 by STOP, 2 by START
	campaign("fifth", "news", "marketing", 2)

	if got, want := n.got(asha), []string{"first", "account", "fifth"}; !slices.Equal(got, want) {
		t.Errorf("asha got %q, want %q", got, want)
	}
	if got, want := n.got(bela), []string{"first", "second", "third", "fourth", "account", "fifth"}; !slices.Equal(got, want) {
		t.Errorf("bela got %q, want %q", got, want)
	}
}
