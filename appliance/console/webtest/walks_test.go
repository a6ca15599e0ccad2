//go:build e2e

package webtest

import (
	"fmt"
	"github.com/chromedp/cdproto/network"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// walks are what an operator does, by mouse and by keyboard.
var walks = []struct {
	name string
	walk func(*browser)
}{
	{"palette", palette}, {"trend by hand", trend}, {"condition", condition}, {"funnel list", funnel}, {"make a segment", segment},
	{"make a campaign", campaign}, {"make a push", push}, {"pause and go on", pause}, {"what a campaign brought about", effect}, {"check a connector", check}, {"send a message again", again}, {"read a letter", letter},
	{"see what an app sends", incoming}, {"decide about what is held", held},
	{"let somebody in", operators}, {"a token", token}, {"erase a person", erase},
	{"skip link", skip}, {"lost connection", lost}, {"other roles", roles}, {"sign out", signOut},
}

func (b *browser) publisher() string {
	b.t.Helper()
	return "/p/" + ask[string](b, `fetch("/v1/me").then((r) => r.json()).then((m) => m.publishers[0].name)`)
}

// choose picks a value in a combo box by its accessible name.
func (b *browser) choose(label, value string) {
	b.t.Helper()
	sel := chromedp.CSS(fmt.Sprintf(`input[aria-label=%q]`, label))
	b.do(chromedp.Click(sel), chromedp.SendKeys(sel, value), chromedp.SendKeys(sel, kb.Enter))
	b.until(label+" is "+value, fmt.Sprintf(`document.querySelector('input[aria-label=%q]').value === %q`, label, value))
}

// press clicks the button with this text.
func (b *browser) press(text string) {
	b.t.Helper()
	sel := chromedp.Search(fmt.Sprintf(`//button[normalize-space(.)=%q]`, text))
	b.do(chromedp.Click(sel))
}

func palette(b *browser) {
	b.visit(b.publisher() + "/live")
	b.do(chromedp.KeyEvent("k", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.until("the palette is open", `document.querySelector(".palette[open]")`)
	b.do(chromedp.KeyEvent("funn"))
	b.until("one result is on top", `document.querySelector("#palette-0")?.innerText.includes("Funnels")`)
	b.shoot("walk-palette")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the funnels show", `location.pathname.endsWith("/funnels") && !document.querySelector(".palette")`)
	b.do(chromedp.KeyEvent("k", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.until("the palette is open", `document.querySelector(".palette[open]")`)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("Esc closes it", `!document.querySelector(".palette")`)
}

// incoming: what an app sends stands there by itself, and why it was not taken.
func incoming(b *browser) {
	publisher := strings.TrimPrefix(b.publisher(), "/p/")
	b.visit("/p/" + publisher + "/incoming#show=refused")
	before := ask[int](b, `document.querySelectorAll(".incoming li").length`)
	b.comeIn(publisher)
	b.until("what was refused is there", fmt.Sprintf(`document.querySelectorAll(".incoming li").length > %d`, before))
	b.do(chromedp.Click(chromedp.Search(`//span[text()="Not taken"]/following::b[text()="Charged"][1]`)))
	b.until("the record and the reason show", `document.querySelector(".incoming-body")?.innerText.includes("before 1980") && document.querySelector(".incoming-body pre").innerText.includes("1970-01-01T00:00:00Z")`)
	b.shoot("walk-incoming")
	b.do(chromedp.Click(chromedp.Search(`//label[normalize-space(.)="Taken"]`)))
	b.until("what was taken shows", `[...document.querySelectorAll(".incoming li")].some((l) => l.innerText.includes("cloister") && l.innerText.includes("Product Viewed")) && !document.querySelector(".incoming .badge.bad")`)
	b.press("Hold still")
	b.until("it can go on", `[...document.querySelectorAll("button")].some((b) => b.innerText.includes("Go on"))`)
}

// held: what a detector held is let go as it is or masked, or thrown away.
func held(b *browser) {
	p := b.publisher()
	for range 3 {
		b.comeIn(strings.TrimPrefix(p, "/p/"))
	}
	b.visit(p + "/incoming#show=held")
	const count = `document.querySelectorAll(".incoming li").length`
	b.until("what is held is there", count+` >= 3`)
	if ask[bool](b, `document.body.innerText.includes("DE8937040044")`) {
		b.t.Error("what was found is shown")
	}
	for _, verb := range []string{"Release masked", "Release as it is", "Discard"} {
		before := ask[int](b, count)
		b.do(chromedp.Click(chromedp.CSS(".incoming li:first-child summary")))
		b.until("the record shows", `document.querySelector(".incoming-body pre")?.innerText.includes("Refund Asked")`)
		if verb == "Release masked" {
			b.shoot("walk-held")
		}
		b.press(verb)
		b.until("it asks first", `document.querySelector(".dialog[open]")`)
		if verb == "Discard" {
			b.shoot("walk-held-discard")
		}
		b.do(chromedp.Click(chromedp.CSS(".dialog button[type=submit]")))
		b.until("it waits no more", fmt.Sprintf(`!document.querySelector(".dialog") && %s === %d`, count, before-1))
	}
	b.until("the two that were released are there", `(async () => {
		const rows = (await (await fetch("/v1/publishers`+p[2:]+`/people/ann/timeline?limit=100")).json()).events.filter((e) => e.event === "Refund Asked");
		return rows.length === 2 && rows.filter((e) => e.props.note.includes("DE89370400440532013000")).length === 1;
	})()`)
}

func trend(b *browser) {
	b.visit(b.publisher() + "/trends")
	b.press("Split by a property")
	b.do(chromedp.Click(chromedp.CSS(`input[aria-label="Property to split by"]`)))
	b.until("properties are offered", `document.querySelector(".combo-list li[role=option]")`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the address holds the question", `location.hash.includes("breakdown")`)
	b.until("the answer is split", `document.querySelectorAll(".legend li").length > 0 || document.querySelectorAll(".stats .stat").length > 0`)
	b.until("it has settled", settled)
	b.shoot("walk-trend-split")
	total := ask[string](b, `document.querySelector(".answer").innerText`)
	// The copied address opens the same view.
	path := ask[string](b, `location.pathname + location.hash`)
	b.visit(path)
	b.until("the same answer shows", `document.querySelector(".answer .legend, .answer .stats")`)
	if again := ask[string](b, `location.pathname + location.hash`); again != path {
		b.t.Errorf("the address changed from %s to %s", path, again)
	}
	_ = total
	b.do(chromedp.Click(chromedp.Search(`//label[normalize-space(.)="Table"]`)))
	b.until("the table twin shows", `document.querySelector(".answer tbody tr")`)
}

func condition(b *browser) {
	b.visit(b.publisher() + "/trends")
	before := ask[string](b, `document.querySelector(".answer .stat dd").innerText`)
	b.press("Where")
	b.choose("Property", "country")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[aria-label="Value"]`), "IN"))
	b.until("the question has it", `decodeURIComponent(location.hash).includes('"filter":{"property":"country","op":"=","value":"IN"}')`)
	b.until("the answer is a smaller one", settled+` && document.querySelector(".answer .stat dd")?.innerText !== `+fmt.Sprintf("%q", before))
	b.shoot("walk-condition")
}

func funnel(b *browser) {
	b.visit(b.publisher() + "/funnels")
	b.until("steps show", `document.querySelector(".funnel li, .answer .empty")`)
	if ask[bool](b, `!![...document.querySelectorAll("button")].find((x) => x.innerText === "Who got here")`) {
		b.press("Who got here")
		b.until("people are listed", `document.querySelector(".dialog[open] .people-list li")`)
		b.shoot("walk-funnel-people")
		b.do(chromedp.KeyEvent(kb.Escape))
		b.until("Esc closes the list", `!document.querySelector(".dialog")`)
	}
}

func segment(b *browser) {
	p := b.publisher()
	b.visit(p + "/segments/new")
	b.do(chromedp.SendKeys(chromedp.CSS(`main input[placeholder]`), "Tried by a test"))
	b.until("people are counted", `document.querySelector(".preview .big-number")`)
	b.press("Save")
	b.until("it is saved", `location.pathname.endsWith("/segments/Tried%20by%20a%20test")`)
	b.until("it has settled", settled)
	b.press("Delete")
	b.until("it asks first", `document.querySelector(".dialog[open]")`)
	b.do(chromedp.Click(chromedp.CSS(`.dialog .button.danger`)))
	b.until("it is gone", `location.pathname.endsWith("/segments")`)
}

func campaign(b *browser) {
	p := b.publisher()
	b.provoke("status of 400") // mistakes are looked for on purpose
	b.visit(p + "/campaigns/new")
	b.press("Save as draft")
	b.until("mistakes stand at their fields", `document.querySelectorAll(".campaign-form .field-error").length > 1`)
	b.shoot("walk-campaign-mistakes")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[placeholder="Abandoned cart"]`), "Tried by a test"))
	b.until("the id follows the name", `[...document.querySelectorAll(".campaign-form input.mono")].some((i) => i.value === "tried-by-a-test")`)
	b.do(chromedp.SendKeys(chromedp.CSS(`.campaign-form input[placeholder^="Still there"]`), "A subject"))
	b.press("Start from an example")
	b.until("nothing is missing", `document.querySelector(".all-good")`)
	b.shoot("walk-campaign-ready")
	b.press("Save as draft")
	b.until("the campaign shows", `location.pathname.endsWith("/campaigns/tried-by-a-test")`)
	b.until("it has settled", settled)
	b.press("Delete")
	b.until("it asks first", `document.querySelector(".dialog[open]")`)
	b.do(chromedp.Click(chromedp.CSS(`.dialog .button.danger`)))
	b.until("it is gone", `location.pathname.endsWith("/campaigns")`)
}

func skip(b *browser) {
	b.visit(b.publisher() + "/segments")
	b.do(chromedp.KeyEvent(kb.Tab))
	b.until("the skip link comes first", `document.activeElement.className === "skip"`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the page has the focus", `document.activeElement.id === "main"`)
}

func lost(b *browser) {
	b.provoke("ERR_INTERNET_DISCONNECTED")
	b.provoke("net::ERR")
	b.visit(b.publisher() + "/campaigns")
	b.offline(true)
	ask[bool](b, `(document.querySelector('a[href$="/segments"]').click(), true)`)
	b.until("the loss shows", `document.querySelector(".lost")`)
	b.shoot("walk-lost")
	b.offline(false)
	b.until("it recovers", `!document.querySelector(".lost")`)
	b.until("and loads what it lacked", settled+` && document.querySelector("h1").innerText === "Segments"`)
}

func signOut(b *browser) {
	b.provoke("status of 401")
	b.visit(b.publisher() + "/live")
	b.do(chromedp.Click(chromedp.CSS(`button[aria-label="Sign out"]`)))
	b.until("the door shows", `location.pathname === "/sign-in" && document.querySelector("input[type=password]")`)
	b.shoot("sign-in-desk")
	b.size(390, 844, true)
	b.shoot("sign-in-phone")
	b.size(1440, 900, false)
	b.visit("/sign-in#not-a-token")
	b.until("a bad link is explained", `document.querySelector("h1").innerText === "This link does not open"`)
	b.shoot("sign-in-bad-link")
	b.theme("light")
	b.visit("/setup#not-a-token")
	b.shoot("setup")
	if ask[int](b, `fetch("/v1/me").then((r) => r.status)`) != 401 {
		b.t.Error("the session goes on after signing out")
	}
}

// offline takes the network away from the page, also from what it has open.
func (b *browser) offline(yes bool) {
	b.t.Helper()
	rules := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{}}
	if yes {
		rules.MatchedNetworkConditions = []*network.Conditions{{URLPattern: "", Offline: true, DownloadThroughput: -1, UploadThroughput: -1}}
	}
	if _, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, rules); err != nil {
		b.t.Fatalf("taking the network away: %v", err)
	}
}
