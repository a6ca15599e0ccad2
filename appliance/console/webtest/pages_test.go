//go:build e2e

package webtest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestConsole opens every page in both themes, on a desk and on a phone. A page
// must settle, complain about nothing, ask no other host, not scroll sideways,
// and have nothing that axe finds wrong; then the operator's work is done once.
func TestConsole(t *testing.T) {
	axe, err := os.ReadFile(*axeFlag)
	if err != nil {
		t.Fatalf("axe-core is needed: run npm ci in appliance/console/web: %v", err)
	}
	b := open(t)
	b.still()
	pages := b.pages()
	for _, size := range []struct {
		name          string
		width, height int64
		phone         bool
	}{{"desk", 1440, 900, false}, {"phone", 390, 844, true}} {
		b.size(size.width, size.height, size.phone)
		for _, theme := range []string{"light", "dark"} {
			b.visit("/settings")
			b.theme(theme)
			for _, p := range pages {
				name := fmt.Sprintf("%s-%s-%s", p.name, size.name, theme)
				t.Run(name, func(t *testing.T) {
					b.t = t
					b.visit(p.path)
					if p.name == "live" {
						b.until("a few pulses have come", `document.querySelector(".spark polyline")`)
					}
					b.shoot(name)
					for _, c := range b.complaints() {
						t.Error(c)
					}
					if wide := ask[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
						t.Errorf("the page is %d pixels wider than the window: %s", wide, ask[string](b, widest))
					}
					for _, v := range b.axe(axe) {
						t.Error(v)
					}
					b.complaints() // axe's own
				})
				b.t = t
			}
		}
	}
	b.size(1440, 900, false)
	for _, w := range walks {
		t.Run(w.name, func(t *testing.T) {
			b.t = t
			w.walk(b)
			for _, c := range b.complaints() {
				t.Error(c)
			}
		})
		b.t = t
	}
}

// questions are addresses that hold more than the explorers begin with.
var questions = map[string]string{
	"trends-compare": `/trends#last=7d&q=` + url.PathEscape(`{"kind":"trend","series":[{"name":"A","event":"Charged","measure":"unique"},{"name":"B","event":"Product Viewed","measure":"unique","filter":{"property":"country","op":"in","value":["IN","KE"]}}],"interval":"day","compare":"previous","formula":"A / B * 100"}`),
	"trends-split":   `/trends#last=all&q=` + url.PathEscape(`{"kind":"trend","series":[{"name":"A","event":"Product Viewed","measure":"count"}],"interval":"all","breakdown":[{"property":"country","limit":12}]}`),
	"trends-wrong":   `/trends#last=all&q=` + url.PathEscape(`{"kind":"trend","series":[{"name":"A","event":"Charged","measure":"sum","property":"Amount"},{"name":"B","event":"Charged","measure":"count"}],"interval":"day","formula":"A / "}`),
	"funnels-whole":  `/funnels#last=all&q=` + url.PathEscape(`{"kind":"funnel","steps":[{"event":"Product Viewed"},{"event":"Added To Cart","filter":{"property":"quantity","op":">=","value":1}},{"event":"Charged"}],"window":{"n":2,"unit":"day"},"breakdown":[{"property":"platform","limit":12}],"over_time":{"interval":"day","from_step":1}}`),
}

// demoReady: a fresh demo needs a moment until somebody has got a message.
const demoReady = `(async () => {
	const get = async (path) => (await fetch(path)).json();
	const at = "/v1/publishers/" + encodeURIComponent((await get("/v1/me")).publishers[0].name);
	return (await get(at)).events.some((e) => e.name === "Notification Sent" && e.rows > 20);
})()`

const widest = `[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".table-wrap, pre, .subnav")).slice(0, 3).map((e) => e.tagName + "." + e.className).join(", ")`

type page struct{ name, path string }

// comeIn sends what an app would, in two dialects, with some that is refused and
// one that is held.
func (b *browser) comeIn(publisher string) {
	b.t.Helper()
	to := ask[struct{ URL, Key string }](b, `fetch("/v1/publishers/`+url.PathEscape(publisher)+`/developers").then((r) => r.json()).then((d) => ({URL: d.url, Key: d.keys[0].id}))`)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for path, body := range map[string]string{
		"/cloister/v1/collect": `{"batch":[
			{"user":"ann","anonymous":"d-1","event":"Product Viewed","props":{"sku":"A-1","price":12.5,"tags":["new","oak"]}},
			{"user":"ann","anonymous":"d-1","profile":{"plan":"gold"},"consent":[{"purpose":"unheard-of","granted":true}]},
			{"user":"ann","event":"Product Viewed","colour":"red"},
			{"user":"ann","event":"Refund Asked","props":{"note":"to DE89370400440532013000, please","order":46}}]}`,
		"/v1/batch": `{"batch":[{"type":"track","userId":"ben","event":"Charged","properties":{"Amount":46,"Currency":"EUR"},"messageId":"m-1"},
			{"type":"track","userId":"ben","event":"Charged","timestamp":"1970-01-01T00:00:00Z"},{"type":"identify","userId":"ben","traits":{"plan":"silver"}}]}`,
	} {
		req, err := http.NewRequest("POST", to.URL+path, strings.NewReader(body))
		if err != nil {
			b.t.Fatal(err)
		}
		req.SetBasicAuth(to.Key, "")
		resp, err := client.Do(req)
		if err != nil {
			b.t.Fatalf("sending to %s: %v", to.URL, err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.t.Fatalf("%s: %s", path, resp.Status)
		}
	}
}

// pages gives the address of every page, with things that are really there.
func (b *browser) pages() []page {
	b.t.Helper()
	b.until("the demo has sent a message", demoReady)
	found := ask[struct{ Publisher, Campaign, Segment, Identity, Message string }](b, `(async () => {
		const get = async (path) => (await fetch(path)).json();
		const publisher = (await get("/v1/me")).publishers[0].name;
		const at = "/v1/publishers/" + encodeURIComponent(publisher);
		const campaigns = (await get(at + "/campaigns")).campaigns ?? [];
		const segments = (await get(at + "/segments")).segments ?? [];
		const people = (await get(at + "/recent-people?limit=50")).people ?? [];
		let message = "";
		for (const p of people) {
			const m = (await get(at + "/messages?limit=1&person=" + encodeURIComponent(p.identity))).messages ?? [];
			if (m.length) { message = m[0].message; break; }
		}
		const running = campaigns.find((c) => c.state === "running") ?? campaigns[0];
		return { Publisher: publisher, Campaign: running?.id ?? "", Segment: segments[0]?.name ?? "", Identity: people[0]?.identity ?? "", Message: message };
	})()`)
	for what, v := range map[string]string{"campaign": found.Campaign, "person": found.Identity} {
		if v == "" {
			b.t.Fatalf("the demo has no %s to look at", what)
		}
	}
	b.comeIn(found.Publisher)
	at := "/p/" + found.Publisher
	pages := []page{
		{"live", at + "/live"}, {"trends", at + "/trends"}, {"funnels", at + "/funnels"},
		{"people", at + "/people"}, {"person", at + "/people/" + found.Identity},
		{"person-unknown", at + "/people/nobody-of-this-name"},
		{"segments", at + "/segments"}, {"segment-new", at + "/segments/new"},
		{"campaigns", at + "/campaigns"}, {"campaign", at + "/campaigns/" + found.Campaign},
		{"campaign-edit", at + "/campaigns/" + found.Campaign + "/edit"}, {"campaign-new", at + "/campaigns/new"},
		{"incoming", at + "/incoming"}, {"incoming-held", at + "/incoming#show=held"}, {"developers", at + "/developers"}, {"developers-dialects", at + "/developers#d=dialects"}, {"developers-http", at + "/developers#d=http"}, {"developers-clevertap", at + "/developers#d=clevertap"},
		{"connectors", at + "/connectors"}, {"messages", at + "/messages"}, {"mailbox", at + "/mailbox"},
		{"health", "/health"}, {"settings", "/settings"}, {"settings-publisher", "/settings/publisher"}, {"settings-export", "/settings/export"}, {"settings-suppression", "/settings/suppression"},
		{"settings-operators", "/settings/operators"}, {"settings-tokens", "/settings/tokens"}, {"settings-audit", "/settings/audit"},
		{"nothing", at + "/no-such-page"},
	}
	for name, q := range questions {
		pages = append(pages, page{name, at + q})
	}
	if found.Segment != "" {
		pages = append(pages, page{"segment", at + "/segments/" + found.Segment})
	}
	if found.Message != "" {
		pages = append(pages, page{"message", at + "/messages/" + found.Message})
	}
	// What is asked for and is not there answers 404, which browsers log.
	b.provoke("status of 404")
	b.provoke("/query")           // one question is wrong on purpose: 400
	b.provoke("/campaigns/check") // a new campaign lacks something: 400
	return pages
}

// axe gives what axe-core finds wrong with the page.
func (b *browser) axe(source []byte) []string {
	b.t.Helper()
	ask[bool](b, string(source)+"\n;true")
	found := ask[string](b, `axe.run(document, {iframes: false, resultTypes: ["violations"]}).then((r) => JSON.stringify(
		r.violations.map((v) => ({id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " " + (n.any[0]?.message ?? n.all[0]?.message ?? n.none[0]?.message ?? ""))}))))`)
	var violations []struct {
		ID, Impact string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatalf("axe's answer: %v", err)
	}
	var out []string
	for _, v := range violations {
		out = append(out, fmt.Sprintf("axe %s (%s): %s", v.ID, v.Impact, strings.Join(v.Nodes, "; ")))
	}
	return out
}
