package liquid

import (
	"fmt"
	"strings"
)

type tokenKind int

const (
	textToken tokenKind = iota
	outputToken
	tagToken
)

// token is a piece of the source: text, what stands in {{ }}, or in {% %}.
type token struct {
	kind tokenKind
	text string // text, or the markup without the braces
	name string // of a tag
	line int
}

const spaces = " \t\r\n\v\f"

// scan cuts a source into tokens, white space control done, raw blocks as text
// and comments gone.
func scan(src string) ([]token, error) {
	var out []token
	line := 1
	trim := false // white space at the front of the next text goes
	text := func(s string, trimEnd bool) {
		lines := strings.Count(s, "\n")
		t := s
		if trim {
			t = strings.TrimLeft(t, spaces)
		}
		if trimEnd {
			t = strings.TrimRight(t, spaces)
		}
		if t != "" {
			out = append(out, token{kind: textToken, text: t, line: line})
		}
		line += lines
	}
	for src != "" {
		open := findOpen(src)
		if open < 0 {
			text(src, false)
			return out, nil
		}
		kind, close := outputToken, "}}"
		if src[open+1] == '%' {
			kind, close = tagToken, "%}"
		}
		inner := src[open+2:]
		left := strings.HasPrefix(inner, "-")
		text(src[:open], left)
		end := strings.Index(inner, close)
		if kind == outputToken {
			end = outputEnd(inner)
		}
		if end < 0 {
			return nil, &Error{Line: line, Message: fmt.Sprintf("%q is never closed with %q", src[open:open+2], close)}
		}
		markup := inner[:end]
		if left {
			markup = markup[1:]
		}
		trim = strings.HasSuffix(markup, "-")
		if trim {
			markup = markup[:len(markup)-1]
		}
		start := line
		line += strings.Count(inner[:end], "\n")
		src = inner[end+2:]
		if kind == outputToken {
			out = append(out, token{kind: kind, text: markup, line: start})
			continue
		}
		name, rest := tagName(markup)
		switch name {
		case "raw":
			body, after, trims, ok := untilTag(src, "endraw")
			if !ok {
				return nil, &Error{Line: start, Message: "raw is never closed with endraw"}
			}
			text(body, trims[0])
			trim = trims[1]
			src = after
		case "doc":
			body, after, trims, ok := untilTag(src, "enddoc")
			switch {
			case rest != "":
				return nil, &Error{Line: start, Message: "doc takes nothing"}
			case !ok:
				return nil, &Error{Line: start, Message: "doc is never closed with enddoc"}
			}
			line += strings.Count(src[:len(src)-len(after)], "\n")
			if _, _, _, nested := untilTag(body, "doc"); nested {
				return nil, &Error{Line: start, Message: "a doc stands in a doc"}
			}
			src, trim = after, trims[1]
		case "comment":
			after, lines, t, err := skipComment(src, start)
			if err != nil {
				return nil, err
			}
			line += lines
			src, trim = after, t
		case "liquid":
			first := start + strings.Count(markup[:strings.Index(markup, rest)], "\n")
			out = append(out, token{kind: tagToken, text: rest, name: name, line: first})
		default:
			out = append(out, token{kind: tagToken, text: rest, name: name, line: start})
		}
	}
	return out, nil
}

func findOpen(s string) int {
	for i := 0; i+1 < len(s); i++ {
		n := strings.IndexByte(s[i:], '{')
		if n < 0 || i+n+1 >= len(s) {
			return -1
		}
		i += n
		if s[i+1] == '{' || s[i+1] == '%' {
			return i
		}
	}
	return -1
}

// outputEnd finds the end of an output: }} that stands in no text.
func outputEnd(s string) int {
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '}' && i+1 < len(s) && s[i+1] == '}':
			return i
		}
	}
	return strings.Index(s, "}}")
}

// tagName splits a tag's markup.
func tagName(markup string) (name, rest string) {
	markup = strings.Trim(markup, spaces)
	if strings.HasPrefix(markup, "#") {
		return "#", markup[1:]
	}
	n := 0
	for n < len(markup) && (isWord(markup[n]) || markup[n] == '-') {
		n++
	}
	return markup[:n], strings.Trim(markup[n:], spaces)
}

// untilTag finds the tag name in s; trims says whether it trims before and after.
func untilTag(s, name string) (body, after string, trims [2]bool, ok bool) {
	for at := 0; ; at += 2 {
		n := strings.Index(s[at:], "{%")
		if n < 0 {
			return "", "", trims, false
		}
		at += n
		// Only what can be this tag is looked at, so that many openings cost no
		// more than one look each.
		rest, before := strings.CutPrefix(s[at+2:], "-")
		rest, found := strings.CutPrefix(strings.TrimLeft(rest, spaces), name)
		if !found {
			continue
		}
		rest, behind := strings.CutPrefix(strings.TrimLeft(rest, spaces), "-")
		if rest, found = strings.CutPrefix(rest, "%}"); found {
			return s[:at], rest, [2]bool{before, behind}, true
		}
	}
}

// skipComment passes a comment, with the comments and raw blocks in it.
func skipComment(s string, line int) (after string, lines int, trim bool, err error) {
	depth := 1
	all := s
	for {
		n := strings.Index(s, "{%")
		end := -1
		if n >= 0 {
			end = strings.Index(s[n+2:], "%}")
		}
		if end < 0 {
			return "", 0, false, &Error{Line: line, Message: "comment is never closed with endcomment"}
		}
		inner := s[n+2 : n+2+end]
		s = s[n+2+end+2:]
		trim = len(inner) > 1 && strings.HasSuffix(inner, "-")
		tag, _ := tagName(strings.Trim(inner, "-"))
		switch {
		case tag == "raw":
			if _, after, _, ok := untilTag(s, "endraw"); ok {
				s = after
			}
		case tag == "comment":
			depth++
		case tag == "endcomment":
			depth--
		}
		if depth == 0 {
			return s, strings.Count(all[:len(all)-len(s)], "\n"), trim, nil
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
