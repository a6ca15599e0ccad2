package delivery

import (
	"bytes"
	"html"
	"net/url"
	"slices"
	"strings"

	xhtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// track points the web links of an HTML body at click, by their number, and
// puts an open pixel at its end. It gives where the links led. Links past
// maxTargets, and keep, stay as they are; so does everything that is no link.
func track(body string, click func(n int) string, open, keep string) (string, []string) {
	out := make([]byte, 0, len(body)+1<<10)
	var targets []string
	number := map[string]int{}
	pixel := `<img src="` + html.EscapeString(open) + `" width="1" height="1" alt="">`
	z := xhtml.NewTokenizer(strings.NewReader(body))
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken {
			return string(append(out, pixel...)), targets
		}
		at := len(out)
		out = append(out, z.Raw()...) // first: reading a tag's name changes it
		name, has := z.TagName()
		switch tag := atom.Lookup(name); {
		case kind == xhtml.EndTagToken && tag == atom.Body:
			out = slices.Insert(out, at, []byte(pixel)...)
			pixel = ""
		case (kind == xhtml.StartTagToken || kind == xhtml.SelfClosingTagToken) && has && (tag == atom.A || tag == atom.Area):
			attrs, href := attributes(z)
			if href < 0 {
				break
			}
			target := strings.TrimSpace(attrs[href].Val)
			if target == keep || !web(target) {
				break
			}
			n, ok := number[target]
			if !ok {
				if len(targets) == maxTargets {
					break
				}
				n = len(targets)
				targets = append(targets, target)
				number[target] = n
			}
			attrs[href].Val = click(n)
			out = append(out[:at], startTag(string(name), attrs, kind == xhtml.SelfClosingTagToken)...)
		}
	}
}

// atEnd puts a piece at the end of an HTML body.
func atEnd(body, piece string) string {
	var out strings.Builder
	out.Grow(len(body) + len(piece))
	z := xhtml.NewTokenizer(strings.NewReader(body))
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken {
			out.WriteString(piece)
			return out.String()
		}
		raw := string(z.Raw())
		if name, _ := z.TagName(); kind == xhtml.EndTagToken && atom.Lookup(name) == atom.Body {
			out.WriteString(piece)
			piece = ""
		}
		out.WriteString(raw)
	}
}

// attributes reads a tag's, and finds href.
func attributes(z *xhtml.Tokenizer) (attrs []xhtml.Attribute, href int) {
	href = -1
	for more := true; more; {
		var k, v []byte
		k, v, more = z.TagAttr()
		if len(k) == 0 {
			continue
		}
		if string(k) == "href" && href < 0 {
			href = len(attrs)
		}
		attrs = append(attrs, xhtml.Attribute{Key: string(k), Val: string(v)})
	}
	return attrs, href
}

func startTag(name string, attrs []xhtml.Attribute, closed bool) string {
	var b strings.Builder
	b.WriteString("<" + name)
	for _, a := range attrs {
		b.WriteString(" " + a.Key + `="` + html.EscapeString(a.Val) + `"`)
	}
	if closed {
		b.WriteString(" /")
	}
	b.WriteString(">")
	return b.String()
}

// textOf makes the plain text part of an HTML body: its text, a line for each
// block, and behind each link where it leads.
func textOf(body string) string {
	if body == "" {
		return ""
	}
	w := textWriter{}
	w.b.Grow(len(body))
	var links []string
	skip := 0
	z := xhtml.NewTokenizer(strings.NewReader(body))
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken {
			return strings.TrimSpace(w.b.String())
		}
		name, has := z.TagName()
		tag := atom.Lookup(name)
		switch kind {
		case xhtml.TextToken:
			if skip == 0 {
				w.text(z.Text())
			}
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			switch tag {
			case atom.Script, atom.Style, atom.Head, atom.Title:
				if kind == xhtml.StartTagToken {
					skip++
				}
			case atom.Br:
				w.line(1)
			case atom.Li:
				w.line(1)
				w.text([]byte("- "))
			case atom.A:
				target := ""
				if has {
					if attrs, href := attributes(z); href >= 0 {
						target = strings.TrimSpace(attrs[href].Val)
					}
				}
				if kind == xhtml.StartTagToken && len(links) < maxTargets {
					links = append(links, target)
				}
			default:
				w.line(blocks[tag])
			}
		case xhtml.EndTagToken:
			switch tag {
			case atom.Script, atom.Style, atom.Head, atom.Title:
				skip = max(skip-1, 0)
			case atom.A:
				if n := len(links); n > 0 {
					if u, err := url.Parse(links[n-1]); err == nil && u.Scheme != "" && skip == 0 {
						w.text([]byte(" (" + links[n-1] + ")"))
					}
					links = links[:n-1]
				}
			case atom.Td, atom.Th:
				w.space = true
			default:
				w.line(blocks[tag])
			}
		}
	}
}

// blocks are the line breaks that an element stands between.
var blocks = map[atom.Atom]int{
	atom.P: 2, atom.H1: 2, atom.H2: 2, atom.H3: 2, atom.H4: 2, atom.Table: 2, atom.Ul: 2, atom.Ol: 2,
	atom.Blockquote: 2, atom.Div: 1, atom.Tr: 1, atom.Section: 1, atom.Header: 1, atom.Footer: 1, atom.Hr: 1,
}

// textWriter joins white space.
type textWriter struct {
	b     strings.Builder
	lines int  // line breaks at the end
	space bool // white space is owed
}

func (w *textWriter) line(n int) {
	if n == 0 {
		return
	}
	w.space = false
	for w.b.Len() > 0 && w.lines < n {
		w.b.WriteByte('\n')
		w.lines++
	}
}

func (w *textWriter) text(s []byte) {
	if len(s) == 0 {
		return
	}
	space := w.space || startsWithSpace(s)
	for word := range bytes.FieldsSeq(s) {
		if space && w.b.Len() > 0 && w.lines == 0 {
			w.b.WriteByte(' ')
		}
		w.b.Write(word)
		w.lines, w.space, space = 0, false, true
	}
	w.space = w.space || len(bytes.TrimRight(s, " \t\r\n")) != len(s)
}

func startsWithSpace(s []byte) bool { return len(bytes.TrimLeft(s, " \t\r\n")) != len(s) }
