package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	xhtml "golang.org/x/net/html"
)

func tracked(body string) (string, []string) {
	return track(body, func(n int) string { return fmt.Sprintf("https://l/c?%d&x", n) }, "https://l/o", "https://l/u")
}

func TestTrack(t *testing.T) {
	const pixel = `<img src="https://l/o" width="1" height="1" alt="">`
	for _, c := range []struct {
		body, want string
		targets    []string
	}{
		{`<p>x</p>`, `<p>x</p>` + pixel, nil},
		{`<body><p>x</p></body></html>`, `<body><p>x</p>` + pixel + `</body></html>`, nil},
		{`<a class="b" href="https://a/?x=1&amp;y=2">a</a>`, `<a class="b" href="https://l/c?0&amp;x">a</a>` + pixel, []string{"https://a/?x=1&y=2"}},
		{`<A HREF='https://a'>a</A><a href=https://b>b</a><a href="https://a">c</a>`, `<a href="https://l/c?0&amp;x">a</A><a href="https://l/c?1&amp;x">b</a><a href="https://l/c?0&amp;x">c</a>` + pixel, []string{"https://a", "https://b"}},
		{`<map><area href="https://a"/></map>`, `<map><area href="https://l/c?0&amp;x" /></map>` + pixel, []string{"https://a"}},
		{`<a href="https://l/u">u</a><a href="mailto:a@b">m</a><a href="#x">x</a><a name="y">y</a><a href="tel:1">t</a>`, `<a href="https://l/u">u</a><a href="mailto:a@b">m</a><a href="#x">x</a><a name="y">y</a><a href="tel:1">t</a>` + pixel, nil},
		{`<!-- <a href="https://a"> --><script>"<a href='https://b'>"</script>`, `<!-- <a href="https://a"> --><script>"<a href='https://b'>"</script>` + pixel, nil},
		{`<a href="https://a" title="&quot;&lt;">`, `<a href="https://l/c?0&amp;x" title="&#34;&lt;">` + pixel, []string{"https://a"}},
		{"", pixel, nil},
	} {
		got, targets := tracked(c.body)
		if got != c.want || !slices.Equal(targets, c.targets) {
			t.Errorf("%s\n gives %s %q\n not   %s %q", c.body, got, targets, c.want, c.targets)
		}
	}
	var many strings.Builder
	for i := range maxTargets + 20 {
		fmt.Fprintf(&many, `<a href="https://a/%d">`, i)
	}
	if _, targets := tracked(many.String()); len(targets) != maxTargets {
		t.Errorf("%d targets", len(targets))
	}
}

func TestTextOf(t *testing.T) {
	for body, want := range map[string]string{
		"":              "",
		"<p>a</p>b<p>c": "a\n\nb\n\nc",
		"<h1>Hi  <b>you</b></h1>\n<p>See <a href='https://a/?x=1&amp;y'>this</a>.</p>": "Hi you\n\nSee this (https://a/?x=1&y).",
		"<ul><li>a<li>b</ul>": "- a\n- b",
		"<head><title>t</title><style>x{}</style></head>a<br>b<script>s()</script>": "a\nb",
		"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>":           "a b\nc",
		"a&amp;b &lt;c&gt; &nbsp;d":   "a&b <c> d",
		"<a href='#x'>x</a> <a>y</a>": "x y",
	} {
		if got := textOf(body); got != want {
			t.Errorf("%s\n gives %q\n not   %q", body, got, want)
		}
	}
}

// FuzzTrack: tracking changes where links lead, and adds a picture; a browser
// sees nothing else of it.
func FuzzTrack(f *testing.F) {
	for _, s := range []string{`<a href="https://a">x</a>`, `<body></body>`, `<a href='https://a/"&lt;' x=1 y/>`, `<!-- <a> --><a href=https://b/?a&b>`, `<svg><a href="https://c"/></svg>`, `<title><a href="https://a"></title>`, `<a href="https://x" href="https://y">`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 5000 {
			return
		}
		// A page that ends amid a tag shows no picture, and is not meant here.
		body += "--></title></script></style></textarea><p>end</p>"
		if s := shape(body); len(s) == 0 || !strings.HasSuffix(s[len(s)-1], "p") {
			return
		}
		got, targets := tracked(body)
		if len(targets) > maxTargets {
			t.Fatal("too many targets")
		}
		for _, x := range targets {
			if !web(x) {
				t.Errorf("%q is no page of the web", x)
			}
		}
		a, b := shape(body), shape(got)
		if i := slices.IndexFunc(b, func(s string) bool { return strings.Contains(s, "https://l/o") }); i >= 0 {
			b = slices.Delete(b, i, i+1)
		}
		if !slices.Equal(a, b) {
			t.Errorf("%q becomes %q:\n%q\n%q", body, got, a, b)
		}
		textOf(body)
	})
}

// shape is a page's tags, without where links lead, and its texts joined.
func shape(page string) (out []string) {
	z := xhtml.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken {
			return out
		}
		tok := z.Token()
		s := fmt.Sprint(kind, tok.Data)
		for _, a := range tok.Attr {
			if a.Key == "href" {
				a.Val = ""
			}
			s += fmt.Sprintf(" %s=%q", a.Key, a.Val)
		}
		out = append(out, s)
	}
}
