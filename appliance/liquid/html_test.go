package liquid

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestHTML(t *testing.T) {
	vars := map[string]any{
		"evil": `"><script>alert(1)</script>'`, "js": " JavaScript:alert(1)", "tab": "java\tscript:alert(1)", "url": "https://shop.example/a b?x=1&y=<2>",
		"amp": "a&b=c d", "tel": "tel:+49", "name": "Zoë", "colour": "#ff0000", "tail": "script:alert(1)", "nl": "a\n<b>",
		"list": []any{"<", ">"}, "obj": map[string]any{"a": "<"},
	}
	for _, c := range []struct{ template, want string }{
		{`<p>{{ evil }}</p>`, `<p>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;</p>`},
		{`{{ list }}{{ obj }}`, `&lt;&gt;{&#34;a&#34;=&gt;&#34;&lt;&#34;}`},
		{`<a title="{{ evil }}">`, `<a title="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;">`},
		{`<a title='{{ evil }}'>`, `<a title='&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;'>`},
		{`<title>{{ evil }}</title><p>{{ evil | size }}`, `<title>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;</title><p>28`},
		{`<!-- {{ evil }} --><b>{{ name }}</b>`, `<!-- &#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39; --><b>Zoë</b>`},
		{`<!--[if mso]><a href="{{ url }}"><![endif]-->`, `<!--[if mso]><a href="https://shop.example/a%20b?x=1&amp;y=%3C2%3E"><![endif]-->`},
		{`<a href="{{ url }}">`, `<a href="https://shop.example/a%20b?x=1&amp;y=%3C2%3E">`},
		{`<a href="https://x.example/?q={{ amp }}">`, `<a href="https://x.example/?q=a%26b%3Dc%20d">`},
		{`<a href="https://x.example/?q={{ amp | url_encode }}">`, `<a href="https://x.example/?q=a%26b%3Dc+d">`},
		{`<a href="https://x.example/{{ amp }}/{{ name }}">`, `<a href="https://x.example/a&amp;b=c%20d/Zo%C3%AB">`},
		{`<a href="{{ tab }}">`, `<a href="java%09script:alert(1)">`}, // which is a page of that name
		{`<a href="{{ tel }}">`, `<a href="tel:+49">`},
		{`<td style="color: {{ colour }}">`, `<td style="color: #ff0000">`},
		{`{% capture x %}<b>{{ name }}&{{ evil | slice: 0, 2 }}</b>{% endcapture %}{{ x }}|{{ x | strip }}`, `<b>Zoë&&#34;&gt;</b>|<b>Zoë&&#34;&gt;</b>`},
		{`{% capture x %}{{ amp }}{% endcapture %}<a href="/?q={{ x }}" title="{{ x }}">`, `<a href="/?q=a%26b%3Dc%20d" title="a&amp;b=c d">`},
		{`{{ evil | escape | slice: 0, 1 }}`, `&amp;`},
		{`{{ "<b>" | escape }}{{ "&lt;" | escape_once }}`, `&lt;b&gt;&lt;`},
		{`{{ nl | newline_to_br }}`, "a<br />\n&lt;b&gt;"},
		{`{{ evil | strip_html }}`, `&#34;&gt;&#39;`},
		{`{% if name %}<option selected>{% endif %}`, `<option selected>`},
		{`a < b {{ evil | size }} <`, `a < b 28 <`},
		{`<script>var x = 1 < 2;</script>{{ name }}`, `<script>var x = 1 < 2;</script>Zoë`},
		{`<style>a>b{}</style>{{ name }}`, `<style>a>b{}</style>Zoë`},
	} {
		tm, err := Parse(c.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tm.Render(vars, Options{Escape: HTML})
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
		} else if got != c.want {
			t.Errorf("%s\n gives %s\n not   %s", c.template, got, c.want)
		}
	}
	for _, c := range []string{
		`<a href="{{ js }}">`, `<a href='{{ js }}'>`, `<a href="java{{ tail }}">`, `<img src="{{ js }}">`,
		`<form action=" {{ js }}">`, `<a href="{{ 'javascript' }}:alert(1)">`, `<a href="{{ 'jav' }}{{ 'ascript:x' }}">`,
		`<a href={{ url }}>`, `<a href=x{{ url }}>`, `<a {{ name }}>`, `<{{ name }}>`, `<a{{ name }}>`, `</{{ name }}>`,
		`<a onclick="f('{{ name }}')">`, `<script>{{ name }}</script>`, `<style>{{ name }}</style>`, `<td style="x:{{ js }}">`,
		`<iframe srcdoc="{{ name }}">`, `<a x{{ name }}="">`, `<a x {{ name }}>`, `<a x={{ name }}>`,
		`{% capture x %}<a href="{% endcapture %}`, `<!doctype {{ name }}>`,
	} {
		tm, err := Parse(c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tm.Render(vars, Options{Escape: HTML}); !errors.Is(err, ErrPlace) {
			t.Errorf("%s gives %q, %v", c, got, err)
		}
		// What is wrong by its place is wrong without data too.
		if _, err := tm.Render(nil, Options{Escape: HTML}); !errors.Is(err, ErrPlace) && !strings.Contains(c, "js") && !strings.Contains(c, "tail") {
			t.Errorf("%s is not recognised without data: %v", c, err)
		}
	}
}

func TestLineAndURL(t *testing.T) {
	vars := map[string]any{"name": "Ann\r\nBcc: all@example.com\u2028", "link": "https://x.example/a?b=c", "js": "javascript:alert(1)", "id": "a/b&c"}
	for _, c := range []struct {
		template string
		escape   Escape
		want     string
	}{
		{"Hi {{ name }}!", Line, "Hi Ann  Bcc: all@example.com !"},
		{"{{ link }}", URL, "https://x.example/a?b=c"},
		{"{{ link }}&id={{ id }}", URL, "https://x.example/a?b=c&id=a%2Fb%26c"},
		{"myapp://order/{{ id }}", URL, "myapp://order/a/b&c"},
		{"{{ name }}", URL, "Ann%20%20Bcc:%20all@example.com"},
	} {
		tm, err := Parse(c.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tm.Render(vars, Options{Escape: c.escape})
		if err != nil || got != c.want {
			t.Errorf("%s gives %q, %v, not %q", c.template, got, err, c.want)
		}
	}
	tm, _ := Parse("{{ js }}")
	if got, err := tm.Render(vars, Options{Escape: URL}); !errors.Is(err, ErrPlace) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzHTML lets a value stand anywhere and sees to it that what a browser
// makes of the result has the elements and attributes that the template has
// without it.
func FuzzHTML(f *testing.F) {
	for _, s := range []string{`<p>%s</p>`, `<a href="%s">x</a>`, `<a href='/?a=%s' title=%s>`, `<!-- %s --><b>%s</b>`, `<title>%s</title>`, `<!--[if mso]>%s<![endif]-->`} {
		f.Add(strings.ReplaceAll(s, "%s", "{{v}}"), `"'><script>`)
		f.Add(strings.ReplaceAll(s, "%s", "{{v}}"), `javascript:alert(1)`)
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		if len(source) > 2000 || strings.Count(source, "{%") > 0 || strings.ContainsAny(source, "\x00") || strings.Contains(source, "<plaintext") {
			return
		}
		tm, err := Parse(source)
		if err != nil {
			return
		}
		plain, err := tm.Render(map[string]any{"v": "x"}, Options{Escape: HTML})
		if err != nil {
			return
		}
		got, err := tm.Render(map[string]any{"v": value}, Options{Escape: HTML})
		if err != nil {
			return
		}
		if a, b := skeleton(plain), skeleton(got); a != b {
			t.Errorf("%q with %q:\n%q\n%q\n%q", source, value, got, b, a)
		}
		for _, n := range links(got) {
			if runs(strings.ToLower(n)) && !runsIn(plain) {
				t.Errorf("%q with %q makes a link of scheme %s: %q", source, value, n, got)
			}
		}
	})
}

// skeleton is the tags and attribute names of a page.
func skeleton(page string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch k := z.Next(); k {
		case html.ErrorToken:
			return b.String()
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			tok := z.Token()
			b.WriteString("<" + tok.Data)
			for _, a := range tok.Attr {
				b.WriteString(" " + a.Key)
			}
			b.WriteString(">")
		}
	}
}

// links are the schemes of a page's links, as browsers read them.
func links(page string) (schemes []string) {
	z := html.NewTokenizer(strings.NewReader(page))
	for z.Next() != html.ErrorToken {
		for _, a := range z.Token().Attr {
			if a.Key == "href" || a.Key == "src" || a.Key == "action" {
				v := strings.Map(func(r rune) rune {
					if r <= ' ' {
						return -1
					}
					return r
				}, a.Val)
				if i := strings.IndexAny(v, ":/?#"); i >= 0 && v[i] == ':' {
					schemes = append(schemes, v[:i])
				}
			}
		}
	}
	return schemes
}

func runsIn(page string) bool {
	for _, s := range links(page) {
		if runs(strings.ToLower(s)) {
			return true
		}
	}
	return false
}
