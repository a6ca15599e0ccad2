package badinput

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/liquid"
	"github.com/cloisterhq/cloister/config"
)

// framing is what has to be wrong on the wire, and so is written byte by byte.
func framing(b *table) {
	l := b.line("Content-Length with Transfer-Encoding, bare LF, folded headers, two Hosts: 400 or read in one way alone, and closed")
	body := `{"userId":"u","event":"x"}`
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for what, text := range map[string]string{
		"two Hosts":           "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + length + "\r\n" + body,
		"no Host":             "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\n" + length + "\r\n" + body,
		"two lengths":         "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\n" + length + "Content-Length: 1\r\n\r\n" + body,
		"a space in a header": "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nContent-Length : 26\r\n\r\n" + body,
		"a NUL in a header":   "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n" + length + "\r\n" + body,
		"a folded first":      "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\n folded\r\nHost: a\r\n" + length + "\r\n" + body,
		"bare LF in a chunk":  "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1a\n" + body + "\r\n0\r\n\r\n",
		"strange encoding":    "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"no method":           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"no version":          "GET /\r\n\r\n",
		"a giant header":      "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n",
	} {
		got := b.d.raw(b.d.collect, text, 5*time.Second)
		code := statusIn(got)
		a := answer{status: code, body: got}
		if code == 501 {
			a.status = 400 // RFC 9112, 6.1: it asks for this very answer to a transfer coding that is not understood
		}
		l.want(what, a, (code >= 400 && code <= 501) && strings.Count(got, "HTTP/1.1 ") == 1)
	}
	// Read by its chunks alone, and the connection closed, as RFC 9112, 6.3 has
	// it: what follows is nobody's request.
	smuggled := "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n" + body +
		"\r\n0\r\n\r\nGET /v1/hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	got := b.d.raw(b.d.collect, smuggled, 5*time.Second)
	l.want("both lengths", answer{status: statusIn(got), body: got},
		statusIn(got) == 200 && strings.Contains(got, "Connection: close") && strings.Count(got, "HTTP/1.1 ") == 1)
	// Lines that end with LF alone, or are folded, mean one and the same to all that read them here.
	for what, text := range map[string]string{
		"bare LF":  "POST /v1/track?writeKey=ACME-APP HTTP/1.1\nHost: a\nConnection: close\n" + strings.ReplaceAll(length, "\r", "") + "\n" + body,
		"obs-fold": "POST /v1/track?writeKey=ACME-APP HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\nConnection: close\r\n" + length + "\r\n" + body,
	} {
		got := b.d.raw(b.d.collect, text, 5*time.Second)
		l.want(what, answer{status: statusIn(got), body: got}, statusIn(got) < 500 && strings.Count(got, "HTTP/1.1 ") == 1)
	}
}

func templates(b *table) {
	l := b.line("Liquid without end, doubling, deep, includes: that message alone")
	for what, source := range map[string]string{
		"endless": "{% for i in (1..9000000000000000000) %}{% endfor %}", "nested": "{% for i in (1..100000) %}{% for j in (1..100000) %}x{% endfor %}{% endfor %}",
		"doubling": "{% assign s = 'abcdefgh' %}" + strings.Repeat("{% assign s = s | append: s %}", 40), "huge": "{{ (1..999999999999) | join }}",
		"deep": strings.Repeat("{% if true %}", 2000), "include": "{% include '/etc/passwd' %}", "render": "{% render 'x' %}",
	} {
		began := time.Now()
		tm, err := liquid.Parse(source)
		if err == nil {
			_, err = tm.Render(nil, liquid.Options{Escape: liquid.HTML})
			if !errors.Is(err, liquid.ErrBudget) {
				err = fmt.Errorf("not its budget: %w", err)
			}
		} else {
			err = nil
		}
		l.want(what, answer{status: 200, body: fmt.Sprint(err)}, (err == nil || errors.Is(err, liquid.ErrBudget)) && time.Since(began) < 2*time.Second)
		content, _ := json.Marshal(map[string]string{"subject": "x", "html": "<p>" + source + "</p>"})
		l.status("saving "+what, b.d.root("POST", "/v1/publishers/acme/campaigns/check",
			`{"id":"bomb","name":"Bomb","channel":"email","purpose":"offers","trigger":{"type":"event","event":{"event":"x"}},"content":`+string(content)+`}`), 200, 400)
	}
}

func escaping(b *table) {
	l := b.line("what templates put out is escaped by where it stands")
	evil := map[string]any{"evil": `"><script>alert(1)</script>'`, "js": "javascript:alert(1)", "crlf": "a\r\nBcc: x@evil.example"}
	for _, c := range []struct {
		template string
		escape   liquid.Escape
		never    string
	}{
		{`<p>{{ evil }}</p>`, liquid.HTML, "<script"}, {`<a title="{{ evil }}">`, liquid.HTML, `"><script`}, {`<a href="{{ js }}">`, liquid.HTML, `"javascript:`},
		{`Hello {{ crlf }}`, liquid.Line, "\r\n"}, {`Hello {{ crlf }}`, liquid.Line, "\n"}, {`{{ evil }}`, liquid.URL, "<"},
	} {
		tm, err := liquid.Parse(c.template)
		out := ""
		if err == nil {
			out, err = tm.Render(evil, liquid.Options{Escape: c.escape})
		}
		l.want(c.template, answer{status: 200, body: fmt.Sprint(out, err)}, !strings.Contains(out, c.never))
	}
}

func headers(b *table) {
	l := b.line("CR and LF in subjects and addresses: refused when it is saved, and never in a header")
	for _, subject := range []string{"a\r\nBcc: x@evil.example", "a\nb", "a\x00b"} {
		content, _ := json.Marshal(map[string]string{"subject": subject, "html": "<p>x</p>"})
		a := b.d.root("POST", "/v1/publishers/acme/campaigns/check",
			`{"id":"crlf","name":"x","channel":"email","purpose":"offers","trigger":{"type":"event","event":{"event":"x"}},"content":`+string(content)+`}`)
		l.status("subject", a, 400, 422)
	}
	for _, address := range []string{"a@b.example\r\nBcc: x@evil.example", "a@b.example,c@d.example", "A <a@b.example>", "a@b@c", "a b@c.example"} {
		v, _ := json.Marshal(address)
		a := b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"ACME-APP","batch":[{"user":"crlf","channels":{"email":`+string(v)+`}}]}`))
		l.status("address", a, 400)
	}
}

func pages(b *table) {
	l := b.line("HTML and script from input: shown as text; CSP, nosniff, COOP")
	for _, path := range []string{"/", "/sign-in", "/v1/me", "/v1/nothing<script>"} {
		a := b.d.operator("GET", path, nil)
		if a.status == 503 && strings.Contains(a.body, "is not in this build") {
			a.status = 404 // a checkout without the web console's bundle
		}
		csp := a.header.Get("Content-Security-Policy")
		l.want(path, a, strings.Contains(csp, "script-src 'self'") && !strings.Contains(csp, "unsafe-inline") && a.header.Get("X-Content-Type-Options") == "nosniff" &&
			a.header.Get("Cross-Origin-Opener-Policy") == "same-origin" && !strings.Contains(a.body, "nothing<script>"))
	}
	for _, o := range doors {
		a := o.send(b.d, strings.NewReader(o.record(`"<script>alert(1)</script>"`, `"<img src=x onerror=alert(1)>"`, `{"<b>":"<script>"}`)))
		kind := a.header.Get("Content-Type")
		l.want(o.name, a, a.status < 500 && !strings.HasPrefix(kind, "text/html") && a.header.Get("X-Content-Type-Options") == "nosniff" || strings.HasPrefix(kind, "application/json"))
	}
}

func cells(b *table) {
	l := b.line("cells that a spreadsheet would run: guarded and quoted")
	for i, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/C calc'!A0"} {
		v, _ := json.Marshal(text)
		a := b.d.app("POST", "/cloister/v1/collect", strings.NewReader(fmt.Sprintf(`{"key":"ACME-APP","batch":[{"id":"cell-%d","user":"cells","event":"Cell","props":{"v":%s}}]}`, i, v)))
		l.want(text, a, strings.Contains(a.body, `"accepted":1`))
	}
	var a answer
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) { // until it is applied
		a = b.d.root("GET", "/v1/publishers/acme/export/events?format=csv&event=Cell&from=2026-01-01T00:00:00Z", "")
		if strings.Count(a.body, "cells") >= 7 || time.Now().After(deadline) {
			break
		}
	}
	for _, text := range []string{"=1+1", "@SUM(A1)", "=cmd|"} {
		l.want("exported "+text, a, strings.Contains(a.body, "'"+text) && !strings.Contains(a.body, ","+text) && !strings.Contains(a.body, `,"`+text))
	}
}

func configurations(b *table) {
	l := b.line("HCL bombs: refused before the parser")
	for what, src := range map[string]string{
		"parentheses": "a = " + strings.Repeat("(", 900_000), "lists": "a = " + strings.Repeat("[", 100_000), "blocks": strings.Repeat("a {\n", 50_000),
		"templates": "a = " + strings.Repeat(`"${`, 50_000), "negations": "a = " + strings.Repeat("!", 100_000), "too large": strings.Repeat("# x\n", 400_000),
	} {
		_, ds := config.Format("bomb.hcl", []byte(src))
		ok := ds.HasErrors()
		l.want(what, answer{status: 200, body: fmt.Sprintf("%.200v", ds)}, ok && len(ds) < 5)
	}
}

// strangers is who belongs to one publisher and asks for another's.
func strangers(b *table) {
	l := b.line("another publisher's: 404, and in the audit; whose it is, the credential says")
	token := b.d.token("other", "admin")
	for _, path := range []string{"", "/people/u", "/people/u/timeline", "/messages", "/campaigns", "/segments", "/refusals", "/held", "/lists", "/rfms",
		"/export/events", "/mailbox", "/connectors", "/arrivals", "/erasures/x", "/messages/x", "/campaigns/x/report"} {
		a := b.d.operator("GET", "/v1/publishers/acme"+path, nil, "Authorization", token)
		nobody := b.d.operator("GET", "/v1/publishers/nobody"+path, nil, "Authorization", token)
		l.want("GET "+path, a, a.status == 404 && a.body == nobody.body)
	}
	for _, c := range [][3]string{{"POST", "/query", `{}`}, {"DELETE", "/people/u", ""}, {"PUT", "/segments/x", `{}`}, {"POST", "/import/events", ""}, {"POST", "/campaigns", `{}`}} {
		l.status(c[0]+" "+c[1], b.d.operator(c[0], "/v1/publishers/acme"+c[1], strings.NewReader(c[2]), "Authorization", token), 404)
	}
	a := b.d.root("GET", "/v1/audit?limit=200&publisher=acme", "")
	l.want("the audit", a, strings.Contains(a.body, `"denied"`))
	server := []string{"X-CleverTap-Account-Id", "OTHER-SRV", "X-CleverTap-Passcode", secret}
	a = b.d.app("GET", "/1/profile.json?identity=exact", nil, server...)
	l.want("the server API", a, !strings.Contains(a.body, `"success"`))
	a = b.d.app("POST", "/1/delete/profiles.json", strings.NewReader(`{"identity":["exact"]}`), server...)
	left := b.d.root("GET", "/v1/publishers/acme/people/exact", "")
	l.want("the server API erases", a, left.status == 200)
	// The publisher that a body names is nobody's.
	a = b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"OTHER-APP","publisher":"acme","batch":[{"user":"u","event":"x"}]}`))
	l.status("a publisher in the body", a, 400)
}

func guessing(b *table) {
	l := b.line("guessing passwords, tokens and secrets: the same answer, then slower")
	var first string
	slowed := false
	for i := range 12 {
		name := [2]string{"nobody", "somebody-else"}[i%2]
		a := b.d.operator("POST", "/v1/session", strings.NewReader(`{"name":"`+name+`","password":"wrong-password-1"}`))
		if a.status == 429 {
			slowed = slowed || a.header.Get("Retry-After") != ""
			l.want("slower", a, true)
			continue
		}
		if first == "" {
			first = a.body
		}
		l.want("wrong", a, a.status == 401 && a.body == first)
	}
	l.want("in the end", answer{status: 200, body: "never slowed down"}, slowed)
	for _, token := range []string{"Bearer x", "Bearer cloister_" + strings.Repeat("0", 40), "Basic eDp5", "Bearer", "Bearer \xff"} {
		l.status("token", b.d.operator("GET", "/v1/me", nil, "Authorization", token), 401, 429)
	}
	for _, pass := range []string{"", "x", secret + "x", secret[:len(secret)-1]} {
		l.status("passcode", b.d.app("POST", "/1/counts/top.json", strings.NewReader("{}"), "X-CleverTap-Account-Id", "ACME-SRV", "X-CleverTap-Passcode", pass), 401)
		l.status("passcode of upload", b.d.app("POST", "/1/upload", strings.NewReader("{}"), "X-CleverTap-Account-Id", "ACME-SRV", "X-CleverTap-Passcode", pass), 401)
	}
	for _, path := range []string{"/1/profile.json", "/1/profiles.json", "/1/counts/top.json", "/1/delete/profiles.json"} {
		l.status("an app's key at "+path, b.d.app("POST", path, strings.NewReader("{}"), "X-CleverTap-Account-Id", "ACME-APP", "X-CleverTap-Passcode", ""), 401)
	}
}

func sites(b *table) {
	l := b.line("sessions put upon somebody, another site's page: a new session, 403")
	made := b.d.root("POST", "/v1/operators", `{"name":"ann","roles":{"acme":"analyst"}}`)
	var in struct{ Link string }
	_ = json.Unmarshal([]byte(made.body), &in)
	_, token, _ := strings.Cut(in.Link, "#")
	body := func() *strings.Reader { return strings.NewReader(`{"token":"` + token + `"}`) }
	l.status("another site signs somebody in", b.d.operator("POST", "/v1/session/link", body(), "Sec-Fetch-Site", "cross-site"), 403)
	l.status("by Origin alone", b.d.operator("POST", "/v1/session/link", body(), "Origin", "https://evil.example"), 403)
	a := b.d.operator("POST", "/v1/session/link", body(), "Cookie", "cloister=put-there-by-somebody")
	cookie := a.header.Get("Set-Cookie")
	l.want("a session that was there before", a, a.status == 200 && strings.Contains(cookie, "cloister=") && !strings.Contains(cookie, "put-there") &&
		strings.Contains(cookie, "HttpOnly") && strings.Contains(cookie, "SameSite="))
	l.status("the link once more", b.d.operator("POST", "/v1/session/link", body()), 401, 429)
	mine, _, _ := strings.Cut(cookie, ";")
	for _, c := range [][2]string{{"POST", "/v1/tokens"}, {"DELETE", "/v1/session"}, {"PUT", "/v1/publishers/acme/segments/x"}} {
		l.status(c[1], b.d.operator(c[0], c[1], strings.NewReader("{}"), "Cookie", mine, "Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"), 403)
	}
}

func links(b *table) {
	l := b.line("links that lead elsewhere, forged or replayed unsubscribing: 404, and a GET changes nothing")
	token := strings.Repeat("A", 46)
	for _, path := range []string{"/c/acme/" + token + "?url=https://evil.example", "/c/acme/x?u=//evil.example", "/c/?url=https://evil.example", "/c/acme/%2e%2e/x", "/o/acme/" + token,
		"/u/acme/" + token, "/u/nobody/" + token, "/u/acme/" + strings.Repeat("A", 5000), "/u/acme/%00", "/c/acme/" + token + "%0d%0aLocation:%20https://evil.example"} {
		// A path that is not clean is sent to the clean one, here and nowhere else.
		own := func(a answer) bool {
			to := a.header.Get("Location")
			return to == "" || a.status == 307 && strings.HasPrefix(to, "/c/")
		}
		a := b.d.app("GET", path, nil)
		l.want("GET "+path, a, (a.status == 404 || a.status == 307) && own(a))
		a = b.d.app("POST", path, strings.NewReader("List-Unsubscribe=One-Click"), "Content-Type", "application/x-www-form-urlencoded")
		l.want("POST "+path, a, (a.status == 404 || a.status == 405 || a.status == 307) && own(a))
	}
}

func members(b *table) {
	l := b.line("members that nobody knows: 400")
	for _, c := range [][3]string{
		{"POST", "/v1/operators", `{"name":"x","roles":{"acme":"analyst"},"admin":true}`}, {"POST", "/v1/tokens", `{"name":"x","roles":{"acme":"analyst"},"operator":"ann"}`},
		{"PUT", "/v1/operators/ann", `{"roles":{"acme":"analyst"},"password":"x"}`}, {"POST", "/v1/session", `{"name":"x","password":"y","role":"admin"}`},
		{"POST", "/v1/publishers/acme/campaigns/check", `{"id":"x","name":"x","publisher":"other"}`}, {"POST", "/v1/publishers/acme/query", `{"kind":"trend","sql":"x"}`},
		{"PUT", "/v1/publishers/acme/segments/x", `{"people":{},"owner":"x"}`}, {"POST", "/v1/operators", `{"name":"x","Roles":{"*":"admin"}}`},
	} {
		l.status(c[1], b.d.root(c[0], c[1], c[2]), 400)
	}
	l.status("plain HTTP", b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"ACME-APP","batch":[{"user":"u","event":"x","admin":true}]}`)), 400)
	a := b.d.app("POST", "/1/targets/create.json", strings.NewReader(`{"name":"x","estimate_only":true,"bcc":"x"}`), "X-CleverTap-Account-Id", "ACME-SRV", "X-CleverTap-Passcode", secret)
	l.want("server API", a, strings.Contains(a.body, `"fail"`))
}

// absent is what the appliance has not, so that nothing of it can be wrong: the
// day that one of these is answered, its line of the catalogue has to be tried.
func absent(b *table) {
	l := b.line("not there: OIDC and other addresses that the daemon would fetch, archives that are restored")
	for _, path := range []string{"/webhooks/acme", "/hooks", "/v1/publishers/acme/webhooks", "/oidc/callback", "/saml", "/restore", "/v1/admin/restore"} {
		l.status(path, b.d.app("POST", path, strings.NewReader("{}")), 404)
		l.status(path+" at the console", b.d.operator("POST", path, strings.NewReader("{}")), 404, 401, 405)
	}
}

// floods sends more with one key than it may: 429, or 503 to libraries that
// throw away at 429, and when to come back.
func floods(b *table) {
	l := b.line("more than a key may send: 429 or 503 with Retry-After, and another publisher notices nothing")
	bodies := map[string]string{
		"/cloister/v1/collect": `{"key":"FLOOD-APP","batch":[{"user":"f","event":"x"}]}`, "/batch/": `{"api_key":"FLOOD-APP","batch":[{"event":"x","distinct_id":"f"}]}`,
		"/v1/track?writeKey=FLOOD-APP": `{"userId":"f","event":"x"}`, "/2/httpapi": `{"api_key":"FLOOD-APP","events":[{"event_type":"x","user_id":"f"}]}`,
	}
	var wg sync.WaitGroup
	limited := map[string]int{}
	var mu sync.Mutex
	for path, body := range bodies {
		for range 4 {
			wg.Go(func() {
				for range 100 {
					a := b.d.app("POST", path, strings.NewReader(body))
					again := a.status == 429 || a.status == 503 && (path == "/batch/" || path == "/2/httpapi")
					if again && a.header.Get("Retry-After") != "" {
						a.status = 429 // stated, whichever it is
						mu.Lock()
						limited[path]++
						mu.Unlock()
					}
					l.status(path, a, 200, 429)
				}
			})
		}
	}
	for range 50 {
		a := b.d.app("POST", "/cloister/v1/collect", strings.NewReader(`{"key":"OTHER-APP","batch":[{"user":"calm","event":"Exploding 0-0"}]}`))
		l.want("another publisher", a, a.status == 200)
	}
	wg.Wait()
	for path := range bodies {
		l.want(path+" was limited", answer{status: 200}, limited[path] > 0)
	}
	a := b.d.ask(b.d.client, "GET", "http://"+b.d.metrics+"/metrics", nil)
	l.want("the metrics", a, strings.Contains(a.body, `cloister_requests_limited_total{limit="key_rate",publisher="flood"}`))
}

// slowHeaders is slowloris: a header that never ends.
func slowHeaders(b *table) {
	l := b.line("slow headers, slow bodies, slow readers, idle connections: closed, 408; others notice nothing")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			began := time.Now()
			got := b.d.raw(b.d.collect, "POST /v1/batch HTTP/1.1\r\nHost: a\r\nX-A: ", 20*time.Second)
			took := time.Since(began)
			l.want(fmt.Sprintf("a header that does not end, after %v", took), answer{status: 200, body: got}, took < 15*time.Second)
		})
	}
	wg.Wait()
}

func slowBody(b *table) {
	l := b.line("slow headers, slow bodies, slow readers, idle connections: closed, 408; others notice nothing")
	var wg sync.WaitGroup
	for _, path := range []string{"/v1/batch", "/batch/", "/track", "/2/httpapi", "/1/upload", "/cloister/v1/collect", "/a1"} {
		wg.Go(func() {
			got := b.d.raw(b.d.collect, "POST "+path+"?writeKey=ACME-APP&z=ACME-APP HTTP/1.1\r\nHost: a\r\nX-CleverTap-Account-Id: ACME-SRV\r\nX-CleverTap-Passcode: "+secret+"\r\nContent-Length: 100000\r\n\r\n{", 25*time.Second)
			code := statusIn(got)
			a := answer{status: code, body: got}
			never429 := path == "/batch/" || path == "/track" || path == "/2/httpapi"
			if never429 && code == 503 { // stated: their libraries throw away at 408
				a.status = 408
			}
			if path == "/a1" && code == 408 { // whose account is another, here
				a.status = 408
			}
			l.want(path+": a body that trickles", a, code == 408 && !never429 || code == 503 && never429)
		})
	}
	wg.Wait()
}

// slowReader asks much and reads nothing of it.
func slowReader(b *table) {
	l := b.line("slow headers, slow bodies, slow readers, idle connections: closed, 408; others notice nothing")
	for range 20 {
		conn, err := net.Dial("tcp", b.d.collect)
		if err != nil {
			l.want("a reader that does not read", answer{body: err.Error()}, false)
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		for range 2000 {
			if _, err := conn.Write([]byte("GET /cloister/v1/settings?key=ACME-APP HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
				break // the daemon reads no more until somebody reads its answers
			}
		}
	}
	began := time.Now()
	a := b.d.app("GET", "/cloister/v1/settings?key=ACME-APP", nil)
	l.want("somebody else meanwhile", a, a.status == 200 && time.Since(began) < 5*time.Second)
}

func idleConnections(b *table) {
	l := b.line("slow headers, slow bodies, slow readers, idle connections: closed, 408; others notice nothing")
	before := b.d.memory("VmRSS:")
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	buf := make([]byte, 4096)
	for range *idle {
		conn, err := net.Dial("tcp", b.d.collect)
		if err != nil {
			l.want("to connect", answer{body: err.Error()}, false)
			return
		}
		open = append(open, conn)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write([]byte("OPTIONS /v1/batch HTTP/1.1\r\nHost: a\r\n\r\n")); err == nil {
			_, _ = conn.Read(buf)
		}
	}
	began := time.Now()
	a := b.d.app("OPTIONS", "/v1/batch", nil)
	l.want(fmt.Sprintf("beside %d idle ones, %d MiB and then %d", *idle, before, b.d.memory("VmRSS:")), a, a.status == 204 && time.Since(began) < 5*time.Second && b.d.memory("VmRSS:") < before+300)
}

// log wants of the log that all of it is lines of JSON, without what came in.
func log(b *table) {
	l := b.line("what stands in the log: lines of JSON, no control characters, nobody's data")
	for _, path := range []string{"/v1/batch%0d%0alevel=ERROR%20msg=forged", "/%1b[31mred", "/u/acme/" + canary, "/1/" + canary} {
		a := b.d.app("POST", path, strings.NewReader("{}"), "User-Agent", "forged", "X-CleverTap-Account-Id", canary)
		l.want(path, a, a.status >= 400 && a.status < 500)
	}
	for text := range strings.Lines(b.d.log.String()) {
		var one map[string]any
		ok := json.Unmarshal([]byte(text), &one) == nil
		ok = ok || !strings.HasPrefix(text, "{") // what it says to whoever starts it
		clean := strings.IndexFunc(strings.TrimSuffix(text, "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
		l.want("a line", answer{status: 200, body: text}, ok && clean && !strings.Contains(text, canary) && !strings.Contains(text, "forged"))
	}
}
