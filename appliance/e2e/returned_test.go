//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// deadMailboxes is a mail server where nobody lives.
type deadMailboxes struct{}

func (d deadMailboxes) NewSession(*smtp.Conn) (smtp.Session, error) { return d, nil }
func (deadMailboxes) Mail(string, *smtp.MailOptions) error          { return nil }
func (deadMailboxes) Rcpt(string, *smtp.RcptOptions) error {
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "there is no such mailbox"}
}
func (deadMailboxes) Data(io.Reader) error { return nil }
func (deadMailboxes) Reset()               {}
func (deadMailboxes) Logout() error        { return nil }

func startDeadMailboxes(t *testing.T) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := smtp.NewServer(deadMailboxes{})
	s.Domain = "gone.example"
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(ln) }() // until it is closed
	t.Cleanup(func() { s.Close(); <-ended })
	return ln.Addr().(*net.TCPAddr).Port
}

// TestReturnedMail: a real mail server cannot deliver what a campaign sent, and
// brings the bounce back; the address is not used again, and another's mail is
// not touched by it.
func TestReturnedMail(t *testing.T) {
	back, gone := freePort(t), startDeadMailboxes(t)
	mail := startPostfix(t, fmt.Sprintf(`
transport_maps = inline:{ {gone.example = smtp:[127.0.0.1]:%d}, {bounce.shop.example = smtp:[127.0.0.1]:%d} }
`, gone, back))
	d := newDaemon(t, true, fmt.Sprintf(`
listener "mail" {
  address = "127.0.0.1:%d"
  tls { self_signed = true }
}
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["email"] }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host = "127.0.0.1"
      port = %d
      from = "The Shop <hello@shop.example>"
      tls { mode = "none" }
      bounces {
        domain = "bounce.shop.example"
        key    = "0123456789abcdef0123456789abcdef"
      }
    }
  }
}
`, back, mail.port))
	d.start()
	profiles := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(profiles, []byte(`{"user":"asha","channels":{"email":"asha@gone.example"},"consent":[{"purpose":"offers","granted":true}]}
{"user":"bela","channels":{"email":"bela@shop.example"},"consent":[{"purpose":"offers","granted":true}]}
`), 0o600))
	run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", profiles)
	campaign := func(id, audience string) {
		t.Helper()
		c := fmt.Sprintf(`{"id":%q,"name":%q,"state":"running","channel":"email","purpose":"offers","class":"marketing",
			"trigger":{"type":"once","audience":%s},"content":{"subject":"News","html":"<p>News</p><a href=\"{{ unsubscribe_url }}\">No more</a>"}}`, id, id, audience)
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
	}
	campaign("first", `{"reachable":"email"}`)
	eventually(t, 60*time.Second, "one mail arrives", func() bool { return len(mail.letters(t, "bela@shop.example")) == 1 })
	eventually(t, 60*time.Second, "the other comes back", func() bool { return d.total("shop", "Notification Bounced") == 1 })
	if n := d.total("shop", "Notification Sent"); n != 2 {
		t.Errorf("%v sent", n)
	}
	// Nobody is reached any more at that address.
	campaign("second", `{"any":[{"identity":["asha"]},{"identity":["bela"]}]}`)
	var report struct {
		Sent float64
		Held []struct {
			Reason string
			Count  float64
		}
	}
	eventually(t, 60*time.Second, "the second is held for one and sent to the other", func() bool {
		d.call("GET", "/publishers/shop/campaigns/second/report", nil, &report)
		return report.Sent == 1 && len(report.Held) == 1
	})
	if report.Held[0].Reason != "suppressed" || report.Held[0].Count != 1 {
		t.Errorf("%+v", report)
	}
}

// TestReturnedMailReload: for which domains mail is taken follows the connectors
// at once; the listener itself is there until the next start, and a reload says so.
func TestReturnedMailReload(t *testing.T) {
	port := freePort(t)
	listener := fmt.Sprintf("listener \"mail\" { address = \"127.0.0.1:%d\" }\n", port)
	shop := func(domain string) string {
		return fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host = "127.0.0.1"
      port = 1
      from = "The Shop <hello@shop.example>"
      tls { mode = "none" }
      bounces {
        domain = %q
        key    = "0123456789abcdef0123456789abcdef"
      }
    }
  }
}
`, domain)
	}
	d := newDaemon(t, false, listener+shop("bounce.shop.example"))
	d.start()
	// takes says whether mail to a domain is: that it is for somebody here.
	takes := func(domain string) bool {
		c, err := smtp.Dial(fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			return false
		}
		defer c.Close()
		return c.Mail("", nil) == nil && c.Rcpt("b@"+domain, nil) == nil
	}
	eventually(t, 60*time.Second, "mail is taken", func() bool { return takes("bounce.shop.example") })
	if takes("shop.example") {
		t.Error("mail of a domain that nobody named")
	}
	var r reloaded
	reload := func(want ...string) {
		t.Helper()
		if code := d.call("POST", "/admin/reload", nil, &r); code != 200 || !slices.Equal(r.Restart, want) {
			t.Errorf("%d, %+v", code, r)
		}
	}
	d.write(shop("back.shop.example"))
	reload([]string{}...)
	eventually(t, 60*time.Second, "mail of the other domain is taken", func() bool { return takes("back.shop.example") && !takes("bounce.shop.example") })

	whole, err := os.ReadFile(d.config)
	must(t, err)
	must(t, os.WriteFile(d.config, []byte(strings.Replace(string(whole), listener, "", 1)), 0o600))
	reload(`listener "mail"`)
	if !takes("back.shop.example") {
		t.Error("the listener is gone before the next start")
	}
	d.stop()
	d.start()
	if takes("back.shop.example") {
		t.Error("the listener is still there")
	}
	must(t, os.WriteFile(d.config, whole, 0o600))
	reload(`listener "mail"`)
	if takes("back.shop.example") {
		t.Error("the listener is there before the next start")
	}
	d.stop()
	d.start()
	eventually(t, 60*time.Second, "mail is taken again", func() bool { return takes("back.shop.example") })
}
