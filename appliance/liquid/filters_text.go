package liquid

import (
	"encoding/base64"
	"errors"
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// simple defines a filter of a text that gives one at most grows times as long.
func simple(name string, grows int, f func(s string) string) {
	define(0, 0, name, func(c *call, v any) (any, error) {
		s, err := c.text(v)
		if err == nil {
			err = c.r.made(len(s) * grows)
		}
		if err != nil {
			return nil, err
		}
		return f(s), nil
	})
}

// trimming defines a filter that takes something off a text and keeps what the
// text is: HTML that was captured stays HTML.
func trimming(name string, f func(s string) string) {
	define(0, 0, name, func(c *call, v any) (any, error) {
		s, err := c.text(v)
		if _, ok := v.(safe); ok {
			return safe(f(s)), err
		}
		return f(s), err
	})
}

func init() {
	simple("upcase", 2, strings.ToUpper)
	simple("downcase", 2, strings.ToLower)
	simple("capitalize", 2, func(s string) string {
		r, n := utf8.DecodeRuneInString(s)
		if n == 0 {
			return s
		}
		return string(unicode.ToUpper(r)) + strings.ToLower(s[n:])
	})
	trimming("strip", func(s string) string { return strings.Trim(s, spaces) })
	trimming("lstrip", func(s string) string { return strings.TrimLeft(s, spaces) })
	trimming("rstrip", func(s string) string { return strings.TrimRight(s, spaces) })
	trimming("strip_newlines", func(s string) string { return strings.NewReplacer("\r\n", "", "\n", "").Replace(s) })
	simple("strip_html", 1, stripHTML)
	simple("url_decode", 1, func(s string) string {
		out, err := url.QueryUnescape(s)
		if err != nil || !utf8.ValidString(out) {
			return s
		}
		return out
	})
	simple("base64_encode", 2, func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })
	simple("base64_url_safe_encode", 2, func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) })
	define(0, 0, "base64_decode", decoding(base64.StdEncoding))
	define(0, 0, "base64_url_safe_decode", decoding(base64.URLEncoding))
	define(0, 0, "url_encode", func(c *call, v any) (any, error) {
		s, err := c.text(v)
		if err == nil {
			err = c.r.made(3 * len(s))
		}
		return encoded(url.QueryEscape(s)), err
	})
	define(0, 0, "escape", escaping(escapeText))
	define(0, 0, "escape_once", escaping(func(s string) string { return escapeText(html.UnescapeString(s)) }))
	define(0, 0, "newline_to_br", func(c *call, v any) (any, error) {
		s, err := c.text(v)
		if err == nil {
			err = c.r.made(7 * len(s))
		}
		if err != nil {
			return nil, err
		}
		_, isSafe := v.(safe)
		if c.r.o.Escape == HTML && !isSafe {
			s = escapeText(s)
		}
		s = strings.NewReplacer("\r\n", "<br />\n", "\n", "<br />\n").Replace(s)
		if c.r.o.Escape == HTML {
			return safe(s), nil
		}
		return s, nil
	})
	define(1, 1, "append", func(c *call, v any) (any, error) { return c.concat(v, c.arg(0)) })
	define(1, 1, "prepend", func(c *call, v any) (any, error) { return c.concat(c.arg(0), v) })
	for name, n := range map[string]int{"replace": -1, "replace_first": 1, "replace_last": 0} {
		least := 1
		if n == 0 {
			least = 2
		}
		define(least, 2, name, func(c *call, v any) (any, error) {
			return c.replace(v, toText(c.arg(0)), toText(c.arg(1)), n)
		})
	}
	for name, n := range map[string]int{"remove": -1, "remove_first": 1, "remove_last": 0} {
		define(1, 1, name, func(c *call, v any) (any, error) { return c.replace(v, toText(c.arg(0)), "", n) })
	}
	define(0, 2, "truncate", truncate)
	define(0, 2, "truncatewords", truncateWords)
	define(1, 1, "split", split)
}

// decoding undoes base64. What comes out must be text.
func decoding(e *base64.Encoding) func(c *call, v any) (any, error) {
	return func(c *call, v any) (any, error) {
		s, err := c.text(v)
		if err != nil {
			return nil, err
		}
		out, err := e.DecodeString(s)
		if err != nil {
			out, err = e.WithPadding(base64.NoPadding).DecodeString(s)
		}
		if _, ok := plainText(v).(string); !ok && v != nil || err != nil || !utf8.Valid(out) {
			return nil, c.r.fail("not the base64 of a text")
		}
		return string(out), nil
	}
}

// escaping escapes by hand. Where HTML is made the result is not escaped again.
func escaping(f func(string) string) func(c *call, v any) (any, error) {
	return func(c *call, v any) (any, error) {
		s, err := c.text(v)
		if err == nil {
			err = c.r.made(6 * len(s))
		}
		if err != nil || v == nil {
			return nil, err
		}
		if c.r.o.Escape == HTML {
			return safe(f(s)), nil
		}
		return f(s), nil
	}
}

func (c *call) concat(a, b any) (any, error) {
	x, y := toText(a), toText(b)
	if err := c.r.made(len(x) + len(y)); err != nil {
		return nil, err
	}
	return x + y, nil
}

// replace replaces all (-1), the first (1) or the last (0) of what it finds.
func (c *call) replace(v any, old, by string, n int) (any, error) {
	s, err := c.text(v)
	if err != nil {
		return nil, err
	}
	times := 1
	if n < 0 {
		times = strings.Count(s, old)
	}
	// Counted before it is made.
	if err := c.r.made(times * len(by)); err != nil {
		return nil, err
	}
	if n == 0 {
		i := strings.LastIndex(s, old)
		if i < 0 {
			return s, nil
		}
		return s[:i] + by + s[i+len(old):], nil
	}
	return strings.Replace(s, old, by, n), nil
}

// stripHTML takes the tags, comments, scripts and styles out of a text.
func stripHTML(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := ">"
		for begin, with := range map[string]string{"<!--": "-->", "<script": "</script>", "<style": "</style>"} {
			if len(s) >= len(begin) && strings.EqualFold(s[:len(begin)], begin) && strings.Contains(s, with) {
				end = with
			}
		}
		j := strings.Index(s, end)
		if j < 0 {
			b.WriteString(s)
			return b.String()
		}
		s = s[j+len(end):]
	}
}

func truncate(c *call, v any) (any, error) {
	s, n, end, err := c.cutting(v, 50)
	if err != nil {
		return nil, err
	}
	r := []rune(s)
	if int64(len(r)) <= n {
		return s, nil
	}
	keep := max(n-int64(utf8.RuneCountInString(end)), 0)
	return string(r[:keep]) + end, nil
}

func truncateWords(c *call, v any) (any, error) {
	s, n, end, err := c.cutting(v, 15)
	if err != nil {
		return nil, err
	}
	n = max(n, 1)
	words := strings.Fields(s)
	if int64(len(words)) <= n {
		return s, nil
	}
	return strings.Join(words[:n], " ") + end, nil
}

// cutting reads what the truncating filters have in common.
func (c *call) cutting(v any, length int64) (s string, n int64, end string, err error) {
	if s, err = c.text(v); err == nil {
		err = c.r.made(5 * len(s))
	}
	n, end = length, "..."
	if len(c.args) > 0 {
		if number(c.arg(0)) == nil {
			return "", 0, "", errors.Join(err, c.r.fail("the length is not a number"))
		}
		n = max(toInt(c.arg(0)), 0)
	}
	if len(c.args) > 1 {
		end = toText(c.arg(1))
	}
	return s, n, end, err
}

func split(c *call, v any) (any, error) {
	s, err := c.text(v)
	if err != nil {
		return nil, err
	}
	sep := toText(c.arg(0))
	n := strings.Count(s, sep) + 1
	if err := c.r.step(n); err != nil {
		return nil, err
	}
	if err := c.r.made(32 * n); err != nil {
		return nil, err
	}
	var parts []string
	if sep == " " {
		parts = strings.Fields(s)
	} else {
		parts = strings.Split(s, sep)
	}
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}
