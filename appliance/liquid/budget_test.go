package liquid

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestBudgets: what would run for ever, or make too much, costs its message.
func TestBudgets(t *testing.T) {
	for name, source := range map[string]string{
		"nested loops":   "{% for i in (1..100000) %}{% for j in (1..100000) %}x{% endfor %}{% endfor %}",
		"empty loop":     "{% for i in (1..9000000000000000000) %}{% endfor %}",
		"doubling":       "{% assign s = 'abcdefgh' %}" + strings.Repeat("{% assign s = s | append: s %}", 40),
		"growing":        "{% assign s = 'a' %}{% for i in (1..9999) %}{% assign s = s | append: s %}{% endfor %}",
		"replace":        "{% assign s = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}" + strings.Repeat("{% assign s = s | replace: 'a', s %}", 8),
		"replace empty":  "{% assign s = 'aaaaaaaaaaaaaaaa' %}" + strings.Repeat("{% assign s = s | replace: '', s %}", 8),
		"huge range":     "{{ (1..999999999999) | join }}",
		"reversed range": "{% for i in (1..999999999999) reversed %}x{% endfor %}",
		"sorting":        "{% assign l = (1..9000) | sort | sort | sort %}",
		"capture":        "{% capture s %}" + strings.Repeat("x", 1000) + "{% endcapture %}" + strings.Repeat("{% capture s %}{{ s }}{{ s }}{% endcapture %}", 30),
		"uniq":           "{{ (1..5000) | uniq | size }}",
		"output":         strings.Repeat("0123456789", 1000) + "{% for i in (1..100) %}" + strings.Repeat("0123456789", 1000) + "{% endfor %}",
		"split":          "{% assign s = '" + strings.Repeat("x", 60000) + "' %}{{ s | split: '' | size }}",
		"tablerow":       "{% tablerow i in (1..999999) %}x{% endtablerow %}",
		"numbers":        "{% for i in (1..9999) %}{{ i }}{{ i }}{% endfor %}",
		"cycle":          "{% for i in (1..9000) %}{% cycle 1, 2, 3, 4 %}{% endfor %}",
		"padding":        "{{ 'now' | date: '" + strings.Repeat("%32S", 100000) + "' }}",
	} {
		for _, escape := range []Escape{None, Line, HTML, URL} {
			tm, err := Parse(source)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			began := time.Now()
			out, err := tm.Render(nil, Options{Escape: escape})
			if !errors.Is(err, ErrBudget) || out != "" {
				t.Errorf("%s gives %d bytes, %v", name, len(out), err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s took %v", name, took)
			}
		}
	}
}

func TestTime(t *testing.T) {
	tm, err := Parse("{% for i in (1..1000) %}x{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	_, err = tm.Render(nil, Options{Now: func() time.Time { now = now.Add(100 * time.Millisecond); return now }})
	if !errors.Is(err, ErrBudget) {
		t.Errorf("a slow rendering ends with %v", err)
	}
}

func TestDepth(t *testing.T) {
	for name, source := range map[string]string{
		"blocks":   strings.Repeat("{% if true %}", 10_000),
		"brackets": "{{ " + strings.Repeat("a[", 10_000) + " }}",
		"ranges":   "{{ " + strings.Repeat("(", 10_000) + " }}",
		"ands":     "{% if " + strings.Repeat("a and ", 10_000) + "a %}{% endif %}",
		"path":     "{{ a" + strings.Repeat(".b", 10_000) + " }}",
		"liquid":   strings.Repeat("{% liquid ", 1) + strings.Repeat("liquid ", 10_000) + "echo 1 %}",
		"long":     strings.Repeat("x", MaxSource+1),
	} {
		var e *Error
		if _, err := Parse(source); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for source, want := range map[string]string{
		"a\n{% if x %}":                  "line 2: if: never closed with endif",
		"{{ x | nosuch }}":               `line 1: {{ x | nosuch }}: there is no filter "nosuch"`,
		"\n\n{% endif %}":                "line 3: endif: there is nothing open that it could belong to",
		"{% include 'x' %}":              "line 1: include: a template cannot take in other files",
		"{{ x":                           `line 1: "{{" is never closed with "}}"`,
		"{% liquid\necho 1\nfoo 2\n%}":   "line 3: foo: there is no such tag",
		"{% for x of y %}{% endfor %}":   `line 1: for: "in" is needed, not "of"`,
		"{% if x %}\n{{ ' }}{% endif %}": `line 2: {{ ' }}: a text is never closed with '`,
	} {
		_, err := Parse(source)
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, not %s", source, err, want)
		}
	}
}

func TestAbort(t *testing.T) {
	for source, want := range map[string]string{
		"{% abort %}": "", "{% abort_message('too young') %}": "too young", `{% abort_message "so" %}`: "so",
	} {
		tm, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tm.Render(nil, Options{})
		var a *Abort
		if !errors.As(err, &a) || a.Reason != want {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// TestErrorsQuoteNoData: errors are kept with the message's decision.
func TestErrorsQuoteNoData(t *testing.T) {
	vars := map[string]any{"s": "secret", "l": []any{"secret", int64(1), map[string]any{"secret": "secret"}}}
	for _, source := range []string{
		"{{ 1 | divided_by: s }}", "{{ s | slice: s }}", "{{ l | map: s }}", "{{ l | sort }}", "{{ l | where: s }}", "{{ l | uniq: s }}", "{{ l | compact: s }}",
		"{% if s > 1 %}{% endif %}", "{{ 5 | truncate: s }}", "{{ s | base64_decode }}", "{% for i in l limit: s %}{% endfor %}", "{{ s | concat: s }}",
		"<a {{ s }}>", "<td style='{{ l }}'>", "{% abort 'no' %}",
	} {
		tm, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = tm.Render(vars, Options{Escape: HTML}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestFields(t *testing.T) {
	tm, err := Parse(`{{ Profile.city | default: Event.shop["city name"] }}{% for i in Event.items %}{{ i.title }}{% endfor %}{% if Profile[x].y %}{% endif %}{% liquid
 echo Profile.name %}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(tm.Fields(), " "), "Event.items Event.shop.city name Profile Profile.city Profile.name i.title x"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestLocation(t *testing.T) {
	loc := time.FixedZone("IST", 5*3600+1800)
	tm, err := Parse(`{{ t | date: "%Y-%m-%d %H:%M %Z %e %-d %j %V %^b %10Y|%" }} {{ "now" | date: "%H" }}`)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 20, 0, 0, 0, time.UTC)
	got, err := tm.Render(map[string]any{"t": at}, Options{Location: loc, Now: func() time.Time { return at }})
	if want := "2026-03-05 01:30 IST  5 5 064 10 MAR 0000002026|% 01"; err != nil || got != want {
		t.Errorf("%q, %v, not %q", got, err, want)
	}
}

// FuzzParse: whatever the source, nothing panics, and no rendering goes past
// its budget by much.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"{{ a | plus: 1 }}", "{% for i in (1..3) %}{{ i }}{% endfor %}", "{%- if a == 'b' -%}x{%- endif -%}", "{% liquid\necho a\n%}",
		"{% case a %}{% when 1, 2 %}x{% else %}{% endcase %}", "{{ a | sort | uniq | join: ',' }}", "{% capture x %}<a{% endcapture %}{{ x | url_encode }}",
		"{{ 'now' | date: '%-5Y%^a' }}", "{% cycle a: 1, 2 %}{% tablerow i in a cols:2 %}{{ i }}{% endtablerow %}", "{{ a | modulo: -1 | divided_by: -1 | round: 99 }}",
		"{% comment %}{% raw %}{% endraw %}{% endcomment %}{% doc %}{% enddoc %}",
	} {
		f.Add(s)
	}
	vars := map[string]any{"a": []any{int64(1), "b", nil, 2.5, map[string]any{"k": "<v>"}, []any{true}}, "b": "text", "n": int64(-9223372036854775808)}
	f.Fuzz(func(t *testing.T, source string) {
		tm, err := Parse(source)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("an error of another kind: %T %v", err, err)
			}
			return
		}
		for _, escape := range []Escape{None, HTML, URL, Line} {
			out, err := tm.Render(vars, Options{Escape: escape, Limits: Limits{Steps: 2000, Output: 10_000, Memory: 100_000}})
			if err == nil && len(out) > 10_000 {
				t.Fatalf("%d bytes", len(out))
			}
		}
	})
}
