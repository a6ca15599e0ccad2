//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const webHCL = `
publisher "shop" {
  key "app" { id = "SHOP-APP" }
}
`

// shop is a site with cloister.js and the strictest policy that it works under.
func shop(collect string) http.Handler {
	mux := http.NewServeMux()
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

func TestWebSDK(t *testing.T) {
	d := newDaemon(t, false, webHCL)
	d.start()
	b := browse(t, shop(d.collect))
	b.visit("/")
	b.loaded()

	b.run(`cloister.track("Product Viewed", {sku: "A-1", price: 12.5})`)
	eventually(t, 20*time.Second, "the event is in a question's answer", func() bool { return d.total("shop", "Product Viewed") == 1 })
	if wrong := b.complaints(); len(wrong) > 0 {
		t.Errorf("the browser complains: %q", wrong)
	}
}
