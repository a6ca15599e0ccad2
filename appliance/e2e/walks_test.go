//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

const shopHCL = `
publisher "shop" {
  title    = "The Shop"
  timezone = "Europe/Berlin"
  key "app" { id = "SHOP-APP" }
  purpose "offers" {
    title    = "Offers and news"
    channels = ["email"]
  }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host = "127.0.0.1"
      port = %d
      from = "The Shop <hello@shop.example>"
      tls { mode = "none" }
    }
  }
}
`

// TestWalks goes the four walks of DESIGN.md in one life: an event becomes a
// number, a left cart becomes a mail, its click comes back, an unsubscribe
// holds, and an erasure leaves nothing.
func TestWalks(t *testing.T) {
	mail := startPostfix(t)
	d := newDaemon(t, true, fmt.Sprintf(shopHCL, mail.port))
	d.start()
	const asha = "asha@shop.example"

	t.Log("a campaign for left carts")
	campaign := map[string]any{
		"id": "left-cart", "name": "Left cart", "state": "running", "channel": "email", "purpose": "offers", "class": "marketing",
		"trigger": map[string]any{
			"type": "inaction", "within": "2s",
			"event": map[string]any{"event": "Added To Cart"}, "without": map[string]any{"event": "Charged"},
		},
		"content": map[string]any{
			"subject": "{{ Profile.name }}, your {{ Event.product }} is waiting",
			"html":    `<html><body><p>Dear {{ Profile.name }}</p><a href="https://shop.example/cart?sku={{ Event.sku }}">Back to your cart</a><p><a href="{{ unsubscribe_url }}">No more of these</a></p></body></html>`,
		},
	}
	if code := d.call("POST", "/publishers/shop/campaigns", campaign, nil); code/100 != 2 {
		t.Fatalf("making the campaign: %d", code)
	}

	t.Log("a Segment library sends a cart")
	client, err := analytics.NewWithConfig("SHOP-APP", analytics.Config{Endpoint: d.collect, Interval: 100 * time.Millisecond, BatchSize: 1, Transport: d.apps.Transport})
	must(t, err)
	consent := &analytics.Context{Extra: map[string]any{"consent": map[string]any{"categoryPreferences": map[string]bool{"offers": true}}}}
	must(t, client.Enqueue(analytics.Identify{UserId: "asha", AnonymousId: "phone-1", Context: consent,
		Traits: analytics.NewTraits().SetName("Asha").SetEmail(asha)}))
	cart := func(sku string) {
		must(t, client.Enqueue(analytics.Track{UserId: "asha", Event: "Added To Cart",
			Properties: analytics.NewProperties().Set("sku", sku).Set("product", "Oak board").Set("price", 46.0)}))
	}
	cart("H-118")
	eventually(t, 10*time.Second, "the cart is in a trend", func() bool { return d.total("shop", "Added To Cart") == 1 })

	t.Log("the mail arrives")
	var got letter
	eventually(t, 60*time.Second, "one mail in the mailbox", func() bool {
		l := mail.letters(t, asha)
		if len(l) == 1 {
			got = l[0]
		}
		return len(l) == 1
	})
	if s := got.Header.Get("Subject"); s != "Asha, your Oak board is waiting" {
		t.Errorf("the subject is %q", s)
	}
	if got.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("List-Unsubscribe-Post is %q", got.Header.Get("List-Unsubscribe-Post"))
	}

	t.Log("its link is clicked")
	click := findLink(t, got.body, "/c/")
	resp, err := d.apps.Get(click)
	must(t, err)
	resp.Body.Close()
	if to := resp.Header.Get("Location"); to != "https://shop.example/cart?sku=H-118" {
		t.Errorf("the click leads to %q (%s)", to, resp.Status)
	}
	type report struct {
		Sent, Clicked, Unsubscribed float64
		Held                        []struct {
			Reason string
			Count  float64
		}
	}
	var r report
	eventually(t, 10*time.Second, "the click is in the report", func() bool {
		d.call("GET", "/publishers/shop/campaigns/left-cart/report", nil, &r)
		return r.Sent == 1 && r.Clicked == 1
	})

	t.Log("one-click unsubscribe")
	unsubscribe := strings.Trim(got.Header.Get("List-Unsubscribe"), "<>")
	resp, err = d.apps.Get(unsubscribe)
	must(t, err)
	resp.Body.Close()
	resp, err = d.apps.Post(unsubscribe, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the one-click POST answers %s", resp.Status)
	}
	eventually(t, 10*time.Second, "the unsubscribe is in the report", func() bool {
		d.call("GET", "/publishers/shop/campaigns/left-cart/report", nil, &r)
		return r.Unsubscribed == 1
	})
	cart("H-207")
	eventually(t, 60*time.Second, "the second cart's message is held", func() bool {
		d.call("GET", "/publishers/shop/campaigns/left-cart/report", nil, &r)
		return len(r.Held) == 1 && r.Held[0].Count == 1
	})
	if n := len(mail.letters(t, asha)); n != 1 {
		t.Errorf("there are %d mails after the unsubscribe", n)
	}
	t.Logf("held: %+v", r.Held)

	t.Log("why: explained")
	var messages struct{ Messages []map[string]any }
	d.call("GET", "/publishers/shop/messages?person=asha&limit=10", nil, &messages)
	if len(messages.Messages) != 2 {
		t.Errorf("there are %d messages of asha's, not 2", len(messages.Messages))
	}
	for _, m := range messages.Messages {
		out := run(t, program, "explain", "--config", d.config, "--publisher", "shop", fmt.Sprint(m["message"]))
		t.Logf("explain:\n%s", out)
	}

	t.Log("erased")
	var erased struct{ Request string }
	if code := d.call("DELETE", "/publishers/shop/people/asha", nil, &erased); code/100 != 2 {
		t.Fatalf("erasing: %d", code)
	}
	if code := d.call("GET", "/publishers/shop/people/asha", nil, nil); code != 404 && code != 410 {
		t.Errorf("an erased person's page answers %d", code)
	}
	for _, e := range []string{"Added To Cart", "Notification Sent", "Notification Clicked"} {
		if n := d.total("shop", e); n != 0 {
			t.Errorf("%q still counts %v", e, n)
		}
	}
	var certificate json.RawMessage
	eventually(t, 3*time.Minute, "the certificate is there", func() bool {
		return d.call("GET", "/publishers/shop/erasures/"+erased.Request, nil, &certificate) == 200 && strings.Contains(string(certificate), "signature")
	})
	t.Logf("certificate: %s", certificate)
	must(t, client.Close())
}

// findLink gives the first link of a mail's HTML part whose path has this in it.
func findLink(t *testing.T, body, part string) string {
	t.Helper()
	plain, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	must(t, err)
	for _, m := range regexp.MustCompile(`href="([^"]+)"`).FindAllSubmatch(plain, -1) {
		if link := html.UnescapeString(string(m[1])); strings.Contains(link, part) {
			return link
		}
	}
	t.Fatalf("no link with %q in:\n%s", part, plain)
	return ""
}
