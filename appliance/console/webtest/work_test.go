//go:build e2e

package webtest

import (
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// pause takes a running campaign out of work and puts it back.
func pause(b *browser) {
	p := b.publisher()
	id := ask[string](b, `fetch("/v1/publishers`+p[2:]+`/campaigns").then((r) => r.json()).then((c) => c.campaigns.find((x) => x.state === "running")?.id ?? "")`)
	if id == "" {
		b.t.Fatal("the demo has no running campaign")
	}
	b.visit(p + "/campaigns/" + id)
	b.press("Pause")
	b.until("it says so", `document.querySelector(".campaign-lead .badge").innerText === "Paused"`)
	b.press("Go on")
	b.until("it runs again", `document.querySelector(".campaign-lead .badge").innerText === "Running"`)
}

// push writes a push with all that it can show, and finds it all again.
func push(b *browser) {
	b.provoke("status of 400") // while the form is half written
	b.visit(b.publisher() + "/campaigns/new")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[placeholder="Abandoned cart"]`), "Push by a test"))
	ask[bool](b, `(() => {
		const s = [...document.querySelectorAll(".campaign-form select")].find((s) => [...s.options].some((o) => o.value === "push"));
		s.value = "push";
		return s.dispatchEvent(new Event("change", { bubbles: true }));
	})()`)
	field := func(label, value string) {
		b.t.Helper()
		b.do(chromedp.SendKeys(chromedp.Search(`//div[contains(@class,"campaign-form")]//label[normalize-space(.)="`+label+`"]/following-sibling::*[1]`), value))
	}
	field("Title", "Hi ")
	b.press("Profile.Name") // where one writes
	b.until("the field is put into the title", `document.querySelector(".phone .push b").innerText === "Hi Ann"`)
	field("Image", "https://cdn.example/a.png")
	b.press("Add a button")
	b.do(chromedp.SendKeys(chromedp.CSS(`.push-button input[placeholder="Buy"]`), "Buy now"), chromedp.SendKeys(chromedp.CSS(`.push-button input[placeholder="app://buy"]`), "app://buy"))
	b.do(chromedp.Click(chromedp.Search(`//summary[normalize-space(.)="More of a push"]`)))
	field("Subtitle", "Only today")
	field("Opens, on iOS", "shop://sale")
	b.press("Add a key")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[aria-label="Key 1"]`), "aps"), chromedp.SendKeys(chromedp.CSS(`input[aria-label="Value 1"]`), "1"))
	b.until("a key that is Apple's is not taken", `document.querySelector(".todo")?.innerText.includes("reads this key itself")`)
	b.do(chromedp.SendKeys(chromedp.CSS(`input[aria-label="Key 1"]`), "x"))
	b.until("nothing is missing", `document.querySelector(".all-good")`)
	b.until("the preview shows it", `["Only today", "cdn.example/a.png", "Buy now"].every((x) => document.querySelector(".phone .push").innerText.includes(x))`)
	b.shoot("walk-push")
	b.size(390, 844, true)
	b.shoot("walk-push-phone")
	if wide := ask[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
		b.t.Errorf("the form is %d pixels wider than a phone: %s", wide, ask[string](b, widest))
	}
	b.size(1440, 900, false)
	b.press("Save as draft")
	b.until("the campaign shows", `location.pathname.endsWith("/campaigns/push-by-a-test")`)
	b.visit(b.publisher() + "/campaigns/push-by-a-test/edit")
	for _, value := range []string{"Hi {{ Profile.Name }}", "https://cdn.example/a.png", "Buy now", "app://buy", "button-1", "Only today", "shop://sale"} {
		b.until(value+" is kept", fmt.Sprintf(`[...document.querySelectorAll(".campaign-form input")].some((i) => i.value === %q)`, value))
	}
	b.until("the key is kept", `document.querySelector('input[aria-label="Key 1"]').value.length === 4 && document.querySelector('input[aria-label="Value 1"]').value === "1"`)
	b.visit(b.publisher() + "/campaigns/push-by-a-test")
	b.press("Delete")
	b.until("it asks first", `document.querySelector(".dialog[open]")`)
	b.do(chromedp.Click(chromedp.CSS(`.dialog .button.danger`)))
	b.until("it is gone", `location.pathname.endsWith("/campaigns")`)
}

// effect reads what a campaign with a goal and a control group brought about,
// and finds both in its form.
func effect(b *browser) {
	at := b.publisher() + "/campaigns/left-cart"
	b.visit(at)
	b.until("it is said in words", `document.querySelector(".effect h3")?.innerText.length > 0`)
	b.until("there are numbers of those written to", `[...document.querySelectorAll("tbody th")].some((x) => x.innerText === "Written to")`)
	b.shoot("walk-effect")
	b.visit(at + "/edit")
	b.until("the goal is in its form", `document.querySelector('.campaign-form input[aria-label="What people should do"]').value === "Charged"`)
	b.until("and the control group", `[...document.querySelectorAll(".campaign-form input[type=number]")].some((x) => x.value === "20")`)
	b.shoot("walk-goal")
}

func check(b *browser) {
	// A button that waits for an answer takes no click, and is there all the same.
	ready := func(text string) string {
		return fmt.Sprintf(`[...document.querySelectorAll(".connector button")].some((x) => x.innerText.trim() === %q && !x.disabled)`, text)
	}
	b.visit(b.publisher() + "/connectors")
	b.press("Check now")
	// Another notice may say already what this machine cannot confine.
	b.until("the answer shows", `[...document.querySelectorAll(".connector .notice")].some((n) => !/confined/i.test(n.innerText)) && `+ready("Pause"))
	b.shoot("walk-connector-check")
	b.press("Pause")
	b.until("it says that it is paused", `[...document.querySelectorAll(".connector .notice")].some((n) => n.innerText.includes("Its messages wait")) && `+ready("Resume"))
	b.shoot("walk-connector-paused")
	b.press("Resume")
	b.until("it is not paused any more", `![...document.querySelectorAll(".connector button")].some((x) => x.innerText.trim() === "Resume")`)
}

// again sends a message again that was perhaps sent. The demo has none, so the
// daemon's answers stand here, as appliance/console's own tests have them.
func again(b *browser) {
	b.visit(b.publisher() + "/connectors")
	b.until("the way to them is there", `[...document.querySelectorAll("a")].some((x) => x.innerText.trim() === "Failed messages")`)
	ask[bool](b, `(() => {
		const real = window.fetch
		const json = (v) => Promise.resolve(new Response(JSON.stringify(v), {headers: {"Content-Type": "application/json"}}))
		const one = (id, more) => ({message: id.repeat(32), campaign: "left-cart", channel: "sms", settled: "2026-01-02T10:00:00Z", reason: "rejected", ...more})
		window.fetch = (url, o) => {
			const at = String(url.url ?? url)
			if (at.includes("/messages/replay")) {
				window.asked = JSON.parse(o.body)
				window.again = [...(window.again ?? []), ...window.asked.messages]
				return json({messages: window.asked.messages.map((message) => message[0] === "f" ? {message, error: {code: "erased", message: "it was of somebody erased"}} : {message, as: "c".repeat(32)})})
			}
			if (at.includes("/messages?") && at.includes("connector=")) return json(at.includes("cursor=") ? {messages: [one("f"), one("9")], next: ""} : {messages: [one("7"), one("8", {replayed_as: "d".repeat(32)})], next: "further"})
			if (at.includes("/messages?") && at.includes("state=failed")) return json({messages: [one("a", {detail: "DLT: the text does not fit its template", replayed_as: "d".repeat(32)})], next: ""})
			if (at.includes("/messages?") && at.includes("state=unknown")) return json({messages: [one("b")], next: ""})
			return real(url, o)
		}
		return true
	})()`)
	b.do(chromedp.Click(chromedp.Search(`//a[normalize-space(.)="Failed messages"]`)))
	b.until("it says why, and that it was sent again", `document.querySelector("tbody")?.innerText.includes("does not fit its template") && document.querySelector("tbody").innerText.includes("sent again")`)
	b.shoot("walk-messages-failed")
	b.do(chromedp.Click(chromedp.Search(`//label[normalize-space(.)="Unknown"]`)))
	b.press("Send again")
	b.until("it warns", `document.querySelector(".dialog[open]")?.innerText.includes("may get it twice")`)
	b.shoot("walk-messages-again")
	b.do(chromedp.Click(chromedp.CSS(`.dialog .button.danger`)))
	b.until("it was asked for that one, perhaps twice", `window.asked?.perhaps_twice === true && window.asked.messages.join() === "b".repeat(32)`)
	b.until("it is named", `!document.querySelector(".dialog") && document.querySelector("tbody").innerText.includes("sent again")`)

	// All of one connector's, of pages that are not shown too, but for the one that was.
	ask[bool](b, `(() => {
		window.again = []
		const which = document.querySelector('select[aria-label="Connector"]')
		which.selectedIndex = 1
		which.dispatchEvent(new Event("change", {bubbles: true}))
		return true
	})()`)
	b.until("they are listed", `document.querySelector("tbody")?.rows.length === 2`)
	b.press("Send all again")
	b.until("it warns of all", `document.querySelector(".dialog[open]")?.innerText.includes("may get it twice") && document.querySelector(".dialog").innerText.includes("and those after it")`)
	b.shoot("walk-messages-all")
	b.do(chromedp.Click(chromedp.CSS(`.dialog .button.danger`)))
	b.until("each was asked for once", `!document.querySelector(".dialog") && window.asked.perhaps_twice === true && window.again.map((x) => x[0]).join("") === "7f9"`)
	b.until("it says how many were", `document.body.innerText.includes("2 messages are sent again; 1 not: It was of somebody erased.")`)
}

// letter reads a mail as it was sent: in a frame that may do nothing.
func letter(b *browser) {
	b.visit(b.publisher() + "/mailbox")
	b.until("there are letters", `document.querySelectorAll(".box-list button").length > 1`)
	// An e-mail, and not the one that is open already.
	b.until("there is another e-mail", `document.querySelector(".box-list li:not(:has(.badge)):not(:has(.on)) button")`)
	b.do(chromedp.Click(chromedp.CSS(".box-list li:not(:has(.badge)):not(:has(.on)) button")))
	b.until("the one that was clicked is open", `location.hash.length > 3 && document.querySelectorAll(".box-list button.on").length === 1 && document.querySelector(".mail-open h2").innerText === document.querySelector(".box-list button.on .box-subject").innerText`)
	sandbox := ask[string](b, `document.querySelector(".mail-open iframe")?.getAttribute("sandbox") ?? "no frame"`)
	if sandbox != "allow-popups allow-popups-to-escape-sandbox" {
		b.t.Errorf("the frame may do more than show: %q", sandbox)
	}
	b.do(chromedp.Click(chromedp.Search(`//label[normalize-space(.)="Plain text"]`)))
	b.until("its text shows", `document.querySelector(".mail-open .mail-text").innerText.length > 0`)
}

func operators(b *browser) {
	b.visit("/settings/operators")
	b.press("New operator")
	b.until("the form is open", `document.querySelector(".dialog[open] form")`)
	b.do(chromedp.SendKeys(chromedp.CSS(".dialog input"), "tried.by.a.test"))
	b.shoot("walk-operator")
	b.press("Make, and get a link")
	b.until("a link is handed out", `document.querySelector(".dialog .secret")?.innerText.includes("/sign-in#")`)
	b.press("Done")
	b.until("they are listed", `[...document.querySelectorAll("tbody th")].some((x) => x.innerText === "tried.by.a.test")`)
	b.do(chromedp.Click(chromedp.Search(`//tr[normalize-space(th)="tried.by.a.test"]//button[normalize-space(.)="Remove"]`)))
	b.until("it asks first", `document.querySelector(".dialog[open]")`)
	b.do(chromedp.Click(chromedp.CSS(".dialog .button.danger")))
	b.until("they are gone", `!document.querySelector(".dialog") && ![...document.querySelectorAll("tbody th")].some((x) => x.innerText === "tried.by.a.test")`)
}

func token(b *browser) {
	b.visit("/settings/tokens")
	b.press("New token")
	b.until("the form is open", `document.querySelector(".dialog[open] form")`)
	b.do(chromedp.SendKeys(chromedp.CSS(".dialog input"), "tried-by-a-test"))
	b.press("Make")
	b.until("the secret shows once", `document.querySelector(".dialog .secret")`)
	b.press("Done")
	b.until("it is listed", `[...document.querySelectorAll("tbody th")].some((x) => x.innerText === "tried-by-a-test")`)
	b.press("Remove")
	b.until("it asks first", `document.querySelector(".dialog[open]")`)
	b.do(chromedp.Click(chromedp.CSS(".dialog .button.danger")))
	b.until("it is gone", `!document.querySelector(".dialog") && ![...document.querySelectorAll("tbody th")].some((x) => x.innerText === "tried-by-a-test")`)
}

// roles looks at the pages as operators who may less. The console must not even
// ask for what a role does not allow.
func roles(b *browser) {
	p := b.publisher()
	campaign := ask[string](b, `fetch("/v1/publishers`+p[2:]+`/campaigns").then((r) => r.json()).then((c) => c.campaigns[0].id)`)
	who := ask[string](b, `fetch("/v1/publishers`+p[2:]+`/recent-people?limit=1").then((r) => r.json()).then((r) => r.people[0].identity)`)
	message := ask[string](b, `fetch("/v1/publishers`+p[2:]+`/query", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(
		{kind: "trend", series: [{name: "A", event: "Notification Held", measure: "count"}], interval: "all", breakdown: [{property: "message", limit: 1}]})}).then((r) => r.json()).then((a) => a.result.series[0]?.breakdown[0] ?? "")`)
	paths := []string{"/live", "/trends", "/funnels", "/people", "/people/" + who, "/segments", "/segments/Buyers", "/segments/new", "/campaigns", "/campaigns/" + campaign,
		"/campaigns/" + campaign + "/edit", "/campaigns/new", "/connectors", "/messages", "/mailbox", "/incoming", "/incoming#show=held"}
	if message != "" {
		paths = append(paths, "/messages/"+message)
	}
	links := map[string]string{}
	for _, role := range []string{"analyst", "marketer", "auditor"} {
		links[role] = ask[string](b, `fetch("/v1/operators", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({name: "only-`+role+`", roles: {"*": "`+role+`"}})}).then((r) => r.json()).then((r) => r.link)`)
	}
	for role, link := range links {
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.origin+link))
		b.until(role+" is in", `location.pathname.startsWith("/p/") && document.querySelector(".side-who b")?.innerText === "only-`+role+`"`)
		for _, path := range paths {
			b.visit(p + path)
			b.shoot("role-" + role + "-" + strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"))
			for _, c := range b.complaints() {
				b.t.Errorf("%s at %s: %s", role, path, c)
			}
		}
		for _, path := range []string{"/health", "/settings", "/settings/publisher", "/settings/export", "/settings/suppression", "/settings/operators", "/settings/tokens", "/settings/audit"} {
			b.visit(path)
			for _, c := range b.complaints() {
				b.t.Errorf("%s at %s: %s", role, path, c)
			}
		}
	}
}

// erase forgets somebody, which needs their identity typed.
func erase(b *browser) {
	b.provoke("status of 410")
	p := b.publisher()
	who := ask[string](b, `fetch("/v1/publishers`+p[2:]+`/recent-people?limit=100").then((r) => r.json()).then((r) => r.people[r.people.length - 1].identity)`)
	b.visit(p + "/people/" + who)
	b.press("Erase")
	b.until("it asks first", `document.querySelector(".dialog[open]")`)
	if !ask[bool](b, `document.querySelector(".dialog .button.danger").disabled`) {
		b.t.Error("it can be pressed before the identity is typed")
	}
	b.do(chromedp.SendKeys(chromedp.CSS(".dialog input"), who))
	b.shoot("walk-erase")
	b.do(chromedp.Click(chromedp.CSS(".dialog .button.danger")))
	b.until("they are gone", `location.pathname.includes("/erasures/") && document.querySelector(".notice")`)
	b.until("and it has settled", settled)
	b.shoot("walk-erasure")
	b.visit(p + "/people/" + who)
	// An app may be met again under the same device; the identity is not.
	title := ask[string](b, `document.querySelector(".empty h2")?.innerText ?? "a page"`)
	if title != "This person was erased" && title != "Nobody has this identity" {
		b.t.Errorf("%q shows after the erasure", title)
	}
}
