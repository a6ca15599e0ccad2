package guide

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func file(markdown string) fstest.MapFS { return fstest.MapFS{"A.md": {Data: []byte(markdown)}} }

func guide(t testing.TB, markdown string) *Guide {
	t.Helper()
	g, err := New([]Document{{"a", "First", file(markdown), "A.md"}, {"b", "Second", file("# B"), "A.md"}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTree(t *testing.T) {
	for _, c := range []struct{ name, markdown, tree string }{
		{"text", "# One *two*\n\nThree **four** `KEY`\nfive", `[["h1","One ",["em","two"]],["p","Three ",["strong","four"]," ",["code","ACME"],"\nfive"]]`},
		{"the address", "`https://HOST/x` and `HOST/v1`, never GHOST or MONKEY", `[["p",["code","https://engage.example:8443/x"]," and ",["code","engage.example:8443/v1"],", never GHOST or MONKEY"]]`},
		{"code", "```js\na = 'KEY'\n\n<b>\n```\n\n    indented", `[["pre","a = 'ACME'\n\n\u003cb\u003e"],["pre","indented"]]`},
		{"table", "| | |\n|---|---|\n| a | b |", `[["table",["tr",["td","a"],["td","b"]]]]`},
		{"table with a header", "| x | |\n|---|---|\n| a | `b\\|c` |", `[["table",["tr",["th","x"],["td"]],["tr",["td","a"],["td",["code","b|c"]]]]]`},
		{"list", "- a\n- b\n\n1. c", `[["ul",["li","a"],["li","b"]],["ol",["li","c"]]]`},
		{"links", "[out](https://x.example/), [in](DESIGN.md), [bad](javascript:alert)", `[["p",["a","https://x.example/","out"],", in, bad"]]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, ok := guide(t, c.markdown).Tree("a", Fill{URL: "https://engage.example:8443", Key: "ACME"})
			b, err := json.Marshal(tree)
			if got := string(b); !ok || err != nil || got != c.tree {
				t.Errorf("got  %s\nwant %s", got, c.tree)
			}
		})
	}
}

func TestPage(t *testing.T) {
	g := guide(t, "# Say KEY\n\n`<script>` & [x](https://x.example/?a=\"b\")")
	serve := func(name string, f Fill) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		g.ServePage(w, name, "/developers", f)
		return w
	}
	w := serve("a", Fill{Key: `<img src=x>"`})
	body := w.Body.String()
	for _, part := range []string{"<title>First – Cloister</title>", `<h1>Say &lt;img src=x&gt;&#34;</h1>`, `<code>&lt;script&gt;</code> &amp; `,
		`<a href="/developers?key=%3Cimg&#43;src%3Dx%3E%22" aria-current="page">First</a><a href="/developers/b?key=`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is missing in\n%s", part, body)
		}
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "<img") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v\n%s", w.Header(), body)
	}
	if body := serve("b", Fill{}).Body.String(); !strings.Contains(body, `href="/developers/b" aria-current="page"`) {
		t.Error(body)
	}
	if w := serve("c", Fill{}); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

// A document that cannot be shown as it stands is a mistake in it.
func TestUnknownMarkdown(t *testing.T) {
	for _, markdown := range []string{"<div>x</div>", "a <b>c</b>", "![x](y.png)", "> quoted", "a\n\n---\n"} {
		_, err := New([]Document{{"a", "A", file(markdown), "A.md"}})
		if err == nil {
			t.Errorf("%q was taken", markdown)
		}
	}
	if _, err := New([]Document{{"a", "A", fstest.MapFS{}, "A.md"}}); err == nil {
		t.Error("a document that is not there was taken")
	}
}
