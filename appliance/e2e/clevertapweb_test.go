//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var npm = flag.String("npm", "../sdks/node_modules", "where the libraries of apps are installed")

// A real browser with the unmodified library of CleverTap, told nothing but a
// host and a path: its calls, users who take turns, opting out, both of its
// other ways of sending, and web push. The page comes from another origin.
func TestClevertapWeb(t *testing.T) {
	library := filepath.Join(*npm, "clevertap-web-sdk", "clevertap.min.js")
	if _, err := os.Stat(library); err != nil {
		t.Fatalf("%v: run `npm ci` in appliance/sdks first", err)
	}
	d := newDaemon(t, true, `
publisher "shop" {
  web_push_key = "BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U"
  key "web" { id = "TEST-123-456Z" }
  purpose "news" { channels = ["email", "push"] }
}
`)
	d.start()
	pages := http.NewServeMux()
	pages.HandleFunc("/clevertap.min.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, library) })
	pages.HandleFunc("/sw.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "importScripts(%q)\n", d.collect+"/cloister-sw.js")
	})
	pages.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, clevertapPage, strings.TrimPrefix(d.collect, "https://"), r.URL.Query().Get("config"))
	})
	b := browse(t, pages)
	// localhost is another origin than 127.0.0.1, and one where service workers run.
	b.site = strings.Replace(b.site, "127.0.0.1", "localhost", 1)
	until := func(what, expression string) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() bool { return eval[bool](b, "!!("+expression+")") })
	}

	b.visit("/?utm_source=news")
	until("a device id", `clevertap.getCleverTapID()`)
	first := eval[string](b, `clevertap.getCleverTapID()`)
	if len(first) != 32 {
		t.Errorf("the device is %q", first)
	}
	b.run(`clevertap.event.push('Product Viewed', {'Product name': 'नमस्ते 😀', Price: 59.99, Date: new Date(1700000000000), tags: ['a', 'b']})`)
	b.run(`clevertap.event.push('Charged', {Amount: 300, 'Charged ID': 'o-1', Items: [{sku: 'x', n: 1}, {sku: 'y', n: 2}]})`)
	b.run(`clevertap.onUserLogin.push({Site: {Identity: 'u-1', Name: 'Asha Rao', Email: 'asha@shop.example', Phone: '+919812345678', 'MSG-email': false, plan: 'gold', score: 10}})`)
	eventually(t, 20*time.Second, "u-1 is known", func() bool { return d.whois("u-1").Profile["plan"] == "gold" })
	b.run(`clevertap.setMultiValuesForKey('stuff', ['bag', 'shoes'])`)
	b.run(`clevertap.addMultiValueForKey('stuff', 'coat')`)
	b.run(`clevertap.removeMultiValueForKey('stuff', 'bag')`)
	b.run(`clevertap.handleIncrementValue('score', 5)`)
	eventually(t, 20*time.Second, "the profile follows", func() bool {
		p := d.whois("u-1")
		return fmt.Sprint(p.Profile["stuff"]) == "[shoes coat]" && fmt.Sprint(p.Profile["score"]) == "15" && p.device(first)
	})
	if p := d.whois("u-1"); p.Profile["Phone"] != "+919812345678" || !slices.ContainsFunc(p.Consent, func(c consented) bool {
		return c.Purpose == "news" && c.Channel == "email" && !c.Granted
	}) {
		t.Errorf("u-1 is %+v", p)
	}

	// Somebody else takes the browser over, and gives it back.
	b.run(`clevertap.onUserLogin.push({Site: {Identity: 'u-2', Name: 'Bala'}})`)
	until("another device id", fmt.Sprintf(`clevertap.getCleverTapID() && clevertap.getCleverTapID() !== %q`, first))
	second := eval[string](b, `clevertap.getCleverTapID()`)
	b.run(`clevertap.event.push('By The Second')`)
	eventually(t, 20*time.Second, "what the second did is theirs", func() bool { return d.whois("u-2").device(second) && d.total("shop", "By The Second") == 1 })
	b.run(`clevertap.onUserLogin.push({Site: {Identity: 'u-1'}})`)
	until("the first device id", fmt.Sprintf(`clevertap.getCleverTapID() === %q`, first))
	b.run(`clevertap.event.push('By The First Again')`)
	eventually(t, 20*time.Second, "the first goes on", func() bool { return d.total("shop", "By The First Again") == 1 })
	if p := d.whois("u-1"); p.device(second) || !p.device(first) {
		t.Errorf("devices of u-1: %v; the second is %s", p.Devices, second)
	}

	// Opting out: the answer silences the library, and what it keeps meanwhile
	// is sent once it may speak again, and is not taken.
	b.run(`clevertap.privacy.push({optOut: true})`)
	until("it is silent", `clevertap.getCleverTapID().endsWith(':OO')`)
	eventually(t, 20*time.Second, "they are opted out", func() bool { return d.whois("u-1").collection() == "false" })
	b.run(`clevertap.event.push('While Opted Out')`)
	b.run(`clevertap.privacy.push({optOut: false})`)
	until("it speaks again", fmt.Sprintf(`clevertap.getCleverTapID() === %q`, first))
	eventually(t, 20*time.Second, "they are opted in", func() bool { return d.whois("u-1").collection() == "true" })
	b.run(`clevertap.setOffline(true)`)
	b.run(`clevertap.event.push('While Offline')`)
	b.run(`clevertap.setOffline(false)`)
	eventually(t, 20*time.Second, "what was done offline", func() bool { return d.total("shop", "While Offline") == 1 })
	if n := d.total("shop", "While Opted Out"); n != 0 {
		t.Errorf("%v events of somebody who had opted out", n)
	}

	// Web push, with a subscription that a browser outside would get.
	b.run(`clevertap.notifications.push({skipDialog: true, serviceWorkerPath: '/sw.js'})`)
	eventually(t, 20*time.Second, "the subscription", func() bool {
		return slices.ContainsFunc(d.whois("u-1").Channels, func(c struct{ Channel, Platform string }) bool { return c.Platform == "webpush" })
	})
	if state := eval[string](b, `navigator.serviceWorker.ready.then(r => r.active.scriptURL)`); state != b.site+"/sw.js" {
		t.Errorf("the service worker is %q", state)
	}

	// A logout begins a new device.
	b.run(`clevertap.clear()`)
	b.run(`clevertap.event.push('After Clear')`)
	until("a new device id", fmt.Sprintf(`clevertap.getCleverTapID() && clevertap.getCleverTapID() !== %q`, first))
	eventually(t, 20*time.Second, "what was done after it", func() bool { return d.total("shop", "After Clear") == 1 })
	if third := eval[string](b, `clevertap.getCleverTapID()`); third == second || d.whois("u-1").device(third) {
		t.Errorf("the device after clear() is %s", third)
	}

	// The library's other ways of sending.
	for name, config := range map[string]string{"By Fetch": "enableFetchApi: true", "Sealed": "enableFetchApi: true, enableEncryptionInTransit: true"} {
		b.visit("/?config=" + url.QueryEscape(config))
		until("a device id", `clevertap.getCleverTapID()`)
		b.run(fmt.Sprintf(`clevertap.event.push(%q)`, name))
		eventually(t, 20*time.Second, name, func() bool { return d.total("shop", name) == 1 })
		until("it fetches", `performance.getEntriesByType('resource').some(e => e.name.includes('/ct/a') && e.initiatorType === 'fetch')`)
	}
	// Each visit is a page; nothing else was counted, and nothing twice.
	eventually(t, 20*time.Second, "the pages", func() bool { return d.total("shop", "Page Viewed") == 3 })
	for name, n := range map[string]float64{"Product Viewed": 1, "Charged": 1, "By The Second": 1, "While Offline": 1, "wzrk_fetch": 0} {
		if got := d.total("shop", name); got != n {
			t.Errorf("%s: %v, not %v", name, got, n)
		}
	}
	for _, line := range b.complaints() {
		if strings.HasPrefix(line, "uncaught") {
			t.Error(line)
		}
	}
}

// The targetDomain has a port and a path, as behind a shop's own domain.
const clevertapPage = `<!doctype html><meta charset="utf-8"><title>Shop</title>
<script src="/clevertap.min.js"></script>
<script>
PushManager.prototype.subscribe = async () => ({endpoint: 'https://fcm.googleapis.com/fcm/send/dAbC:APA91',
  toJSON: () => ({endpoint: 'https://fcm.googleapis.com/fcm/send/dAbC:APA91', expirationTime: null, keys: {p256dh: 'BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM', auth: 'tBHItJI5svbpez7KI4CCXg'}})})
Object.defineProperty(Notification, 'permission', {get: () => 'granted'})
Notification.requestPermission = (f) => { f && f('granted'); return Promise.resolve('granted') }
clevertap.init('TEST-123-456Z', '', '%s/ct', '', {%s})
</script>`

// someone is a person as the console's API shows them.
type someone struct {
	Devices  []struct{ ID string }
	Profile  map[string]any
	Consent  []consented
	Channels []struct{ Channel, Platform string }
}

type consented struct {
	Purpose, Channel string
	Granted          bool
}

// whois gives nobody while the person is not known.
func (d *daemon) whois(identity string) (p someone) {
	d.t.Helper()
	d.call("GET", "/publishers/shop/people/"+identity, nil, &p)
	return p
}

func (p someone) device(id string) bool {
	return slices.ContainsFunc(p.Devices, func(d struct{ ID string }) bool { return d.ID == id })
}

// collection says what was decided about it; "" = nothing.
func (p someone) collection() string {
	for _, c := range p.Consent {
		if c.Purpose == "collection" {
			return fmt.Sprint(c.Granted)
		}
	}
	return ""
}
