//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

const webHCL = `
publisher "shop" {
  connector "push" "browsers" {
    plugin    = "webpush"
    platforms = ["webpush"]
    settings {
      key      = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
      subject  = "mailto:ops@shop.example"
      services = [%q]
      ca       = file(%q)
    }
  }
  key "app" { id = "SHOP-APP" }
  purpose "offers" {
    title    = "Offers and news"
    channels = ["email", "push"]
  }
  purpose "service" {
    title = "About your account"
    basis = "contract"
  }
  properties "*" { deny = ["card_number"] }
}
`

// shop is a site with cloister.js and the strictest policy that it works under.
func shop(collect string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", fmt.Sprintf(
			"default-src 'none'; img-src data:; script-src %[1]s; connect-src %[1]s; worker-src 'self'; require-trusted-types-for 'script'; trusted-types cloister", collect))
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">
<script async src="%s/cloister.js" data-key="SHOP-APP"></script></html>`, collect)
	})
	mux.HandleFunc("GET /cloister-sw.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "importScripts(%q);\n", collect+"/cloister-sw.js")
	})
	return mux
}

// loaded waits until cloister.js is there.
func (b *tab) loaded() {
	b.t.Helper()
	eventually(b.t, 20*time.Second, "cloister.js is there", func() bool { return eval[bool](b, "!!window.cloister?.track") })
}

// loads opens the page and waits until cloister.js is there.
func (b *tab) loads(path string) {
	b.t.Helper()
	b.visit(path)
	b.loaded()
}

// clean says that the browser complained about nothing but what is named.
func (b *tab) clean(but ...string) {
	b.t.Helper()
	for _, text := range b.complaints() {
		if !slices.ContainsFunc(but, func(s string) bool { return strings.Contains(text, s) }) {
			b.t.Errorf("the browser complains: %s", text)
		}
	}
}

// visitor is what the appliance says of somebody.
type visitor struct {
	Identities []struct{ Value string }
	Devices    []struct{ ID string }
	Profile    map[string]any
	Consent    []struct {
		Purpose, Channel, Source, Version string
		Granted                           bool
	}
	Channels []struct{ Channel, Platform, Address string }
}

func (d *daemon) visitor(identity string) (v visitor) {
	d.t.Helper()
	d.call("GET", "/publishers/shop/people/"+identity, nil, &v)
	return v
}

// consented gives what somebody decided about a purpose on a channel, "" = nothing.
func (v visitor) consented(purpose, channel string) string {
	for _, c := range v.Consent {
		if c.Purpose == purpose && c.Channel == channel {
			return fmt.Sprintf("%v %s %s", c.Granted, c.Source, c.Version)
		}
	}
	return ""
}

// TestWebSDK is one visitor's life with cloister.js under the strictest policy.
func TestWebSDK(t *testing.T) {
	service := newPushService(t)
	d := newDaemon(t, false, fmt.Sprintf(webHCL, service.host, service.ca))
	d.start()
	b := browse(t, shop(d.collect))
	// Browsers have Global Privacy Control; this one is told by the address.
	_, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {get: () => location.search.includes("gpc")})`})
	must(t, err)
	counts := func(event string, n float64) {
		t.Helper()
		eventually(t, 30*time.Second, fmt.Sprintf("%v of %q are in a question's answer", n, event), func() bool { return d.total("shop", event) >= n })
		if got := d.total("shop", event); got != n {
			t.Errorf("%v of %q, not %v", got, event, n)
		}
	}

	t.Log("an event, without what may not leave the device")
	b.loads("/?utm_source=mail")
	b.run(`cloister.track("Product Viewed", {sku: "A-1", price: 12.5, card_number: "4111111111111111"}); await cloister.settings()`)
	if queued := eval[string](b, `JSON.stringify(localStorage)`); strings.Contains(queued, "4111") {
		t.Errorf("the card's number waits on the device: %s", queued)
	}
	counts("Product Viewed", 1)
	counts("Session Started", 1)
	if cookies := eval[string](b, "document.cookie"); cookies != "" {
		t.Errorf("there is a cookie: %s", cookies)
	}

	t.Log("she logs in, and decides")
	b.run(`cloister.identify("asha", {plan: "gold", email: "asha@shop.example"})`)
	b.run(`cloister.consent([{purpose: "offers", channel: "email", granted: true, version: "2026-03"}, {purpose: "offers", channel: "push", granted: true}])`)
	eventually(t, 20*time.Second, "her consent is known", func() bool { return d.visitor("asha").consented("offers", "email") == "true sdk 2026-03" })
	if v := d.visitor("asha"); v.Profile["plan"] != "gold" || len(v.Devices) != 1 || v.Devices[0].ID != eval[string](b, "cloister.anonymous()") {
		t.Errorf("%+v", v)
	}
	if titles := eval[string](b, `cloister.settings().then((s) => s.purposes.map((p) => p.title + (p.contract ? "!" : "")).join())`); titles != "Offers and news,About your account!" {
		t.Errorf("the purposes are %s", titles)
	}

	t.Log("offline, through a reload, in two tabs, over a crash of the appliance")
	offline := func(b *tab, yes bool) {
		_, err := chromedp.Call(b.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: yes})
		must(t, err)
	}
	offline(b, true)
	b.run(`for (let i = 0; i < 30; i++) cloister.track("Offline", {i})`)
	b.clean()
	d.kill()
	other := b.another()
	other.visit("/empty") // the same origin: it shares what waits, and cannot load the script
	b.run(`for (let i = 30; i < 60; i++) cloister.track("Offline", {i})`)
	offline(b, false) // and still nobody answers
	eventually(t, 20*time.Second, "a failure was noticed", func() bool { return eval[bool](b, `!!localStorage.getItem("cloister:SHOP-APP:fails")`) })
	d.start()
	b.loads("/")
	other.loads("/")
	other.run(`for (let i = 60; i < 80; i++) cloister.track("Offline", {i})`)
	b.run(`for (let i = 80; i < 100; i++) cloister.track("Offline", {i})`)
	counts("Offline", 100)
	b.clean("ERR_CONNECTION_REFUSED", "ERR_INTERNET_DISCONNECTED", "Failed to fetch")
	other.clean()

	t.Log("a page that goes")
	b.run(`cloister.track("Left"); location.href = "about:blank"`)
	counts("Left", 1)
	b.loads("/") // sends it once more, with the same id
	eventually(t, 20*time.Second, "nothing waits", func() bool {
		return eval[bool](b, `!Object.keys(localStorage).some((k) => k.startsWith("cloister:SHOP-APP:q"))`)
	})
	counts("Left", 1)

	t.Log("web push")
	for _, name := range []string{"notifications", "push"} {
		_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name, UserVisibleOnly: name == "push"}, Setting: browser.PermissionSettingGranted, Origin: b.site})
		must(t, err)
	}
	// The browser's push service is the one thing that is not there, and ours stands
	// in for it: the message goes through the daemon and the connector to it, is
	// opened as a browser would, and from there on the browser has it. The key is the
	// public one of the connector's.
	endpoint, keys := service.subscribe()
	b.run(`PushManager.prototype.subscribe = async (o) => {
		const key = btoa(String.fromCharCode(...new Uint8Array(o.applicationServerKey)));
		if (key !== "BP4z9KsN6nGRTbVYI/c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8=") throw new Error("key " + key);
		return {toJSON: () => ({endpoint: "` + endpoint + `", keys: ` + keys + `})};
	}`)
	if !eval[bool](b, "cloister.subscribe()") {
		t.Fatal("she could not subscribe")
	}
	eventually(t, 20*time.Second, "her browser can be reached", func() bool { return len(d.visitor("asha").Channels) == 2 })
	registered := make(chan serviceworker.RegistrationID, 16)
	must(t, chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*serviceworker.EventWorkerRegistrationUpdated); ok {
			for _, r := range e.Registrations {
				select {
				case registered <- r.RegistrationID:
				default:
				}
			}
		}
	}))
	_, err = chromedp.Call(b.ctx, serviceworker.Enable, cdp.Empty{})
	must(t, err)
	var worker serviceworker.RegistrationID
	select {
	case worker = <-registered:
	case <-time.After(20 * time.Second):
		t.Fatal("there is no service worker")
	}
	code := d.call("POST", "/publishers/shop/campaigns", map[string]any{
		"id": "cart", "name": "cart", "state": "running", "channel": "push", "purpose": "offers", "class": "marketing",
		"trigger": map[string]any{"type": "once", "audience": map[string]any{"reachable": "push"}},
		"content": map[string]any{"title": "Your cart waits", "text": "Two things are in it, {{ Profile.plan }}", "link": b.site + "/cart"},
	}, nil)
	if code/100 != 2 {
		t.Fatalf("making the campaign: %d", code)
	}
	data := ""
	select {
	case body := <-service.posted:
		data = service.open(body)
	case <-time.After(60 * time.Second):
		t.Fatal("nothing arrived at the push service")
	}
	if !strings.Contains(data, `"title":"Your cart waits"`) || !strings.Contains(data, `"body":"Two things are in it, gold"`) {
		t.Errorf("the browser gets %s", data)
	}
	// It asks for the address seen once the browser has shown it. What the browser
	// lists as shown is no measure: without a desktop it forgets at once.
	_, err = chromedp.Call(b.ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: b.site, RegistrationID: worker, Data: data})
	must(t, err)
	counts("Notification Viewed", 1)
	b.run(`await cloister.unsubscribe()`)
	eventually(t, 20*time.Second, "her browser cannot be reached any more", func() bool { return len(d.visitor("asha").Channels) == 1 })

	t.Log("she opts out, on all her devices")
	b.run(`cloister.optOut(); cloister.track("Never")`)
	eventually(t, 20*time.Second, "that is known", func() bool { return d.visitor("asha").consented("collection", "") == "false sdk " })
	curl := d.collectJSON(t, `{"key":"SHOP-APP","user":"asha","event":"Never"}`)
	if !strings.Contains(curl, `"accepted":1`) {
		t.Error(curl)
	}
	b.run(`cloister.optIn(); cloister.track("Again")`)
	counts("Again", 1)
	counts("Never", 0)

	t.Log("what was decided elsewhere holds here, too")
	device := eval[string](b, "cloister.anonymous()")
	d.collectJSON(t, `{"key":"SHOP-APP","user":"asha","collect":false}`)
	eventually(t, 20*time.Second, "the device may not collect", func() bool {
		return strings.HasPrefix(d.fetch(t, "/cloister/v1/settings?key=SHOP-APP&anonymous="+device), `{"collect":false`)
	})
	b.run(`localStorage.setItem("cloister:SHOP-APP:asked", "0")`) // what was known has grown old
	b.loads("/")
	eventually(t, 20*time.Second, "the device knows", func() bool { return !eval[bool](b, "cloister.collects()") })
	b.run(`cloister.track("Never")`)

	t.Log("the page for developers, beside the doors")
	b.open(d.collect + "/developers?key=SHOP-APP")
	if text := eval[string](b, "document.body.innerText"); !strings.Contains(text, `AnalyticsBrowser.load({ writeKey: 'SHOP-APP', cdnURL: '`+d.collect+`' }`) {
		t.Errorf("it says %.300s", text)
	}
	b.open(d.collect + "/developers/http?key=NOBODYS") // an unknown key is not repeated
	if text := eval[string](b, "document.body.innerText"); strings.Contains(text, "NOBODYS") || !strings.Contains(text, "curl -u KEY: "+d.collect) {
		t.Errorf("it says %.300s", text)
	}
	b.clean("favicon.ico")
	b.loads("/")

	t.Log("another visitor, whose browser asks for privacy")
	b.run(`localStorage.clear()`)
	b.loads("/?gpc")
	b.run(`cloister.track("Never"); await cloister.flush()`)
	anonymous := eval[string](b, "cloister.anonymous()")
	eventually(t, 20*time.Second, "that it does is recorded", func() bool { return d.visitor(anonymous).consented("collection", "") == "false gpc " })
	b.clean()
	other.clean()
	counts("Never", 0)
}

// collectJSON sends a body to the plain form.
func (d *daemon) collectJSON(t *testing.T, body string) string {
	t.Helper()
	resp, err := d.apps.Post(d.collect+"/cloister/v1/collect", "application/json", strings.NewReader(body))
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

func (d *daemon) fetch(t *testing.T, path string) string {
	t.Helper()
	resp, err := d.apps.Get(d.collect + path)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}
