package liquid

import (
	"fmt"
	"strings"
)

// where in HTML the writing has come to.
type where uint8

const (
	inText where = iota
	inTagStart
	inTagName
	inTag         // between attributes
	inName        // of an attribute
	inAfterName   // behind the name, perhaps before "="
	inBeforeValue // behind "="
	inValue       // quoted
	inBareValue   // not quoted
	inComment
	inDeclaration // <!doctype, <![endif]
	inRaw         // script and style
	inTitle       // title and textarea: text, but without tags
)

// place follows HTML as it is written, byte by byte, as far as escaping has to
// know. It is a value: copying it remembers a place.
type place struct {
	state   where
	closing bool // the tag is an end tag
	outlook bool // the comment is <!--[if ..]>
	quote   byte
	tag     short
	attr    short
	last    short // the latest bytes, for what ends comments and raw text
	url     urlPlace
}

// short keeps the first or latest few bytes of a name without allocating.
type short struct {
	b [16]byte
	n uint8
}

func (s *short) add(c byte) {
	if int(s.n) < len(s.b) {
		s.b[s.n] = lower(c)
		s.n++
	}
}

func (s *short) slide(c byte) {
	if int(s.n) == len(s.b) {
		copy(s.b[:], s.b[1:])
		s.n--
	}
	s.add(c)
}

func (s *short) is(name string) bool     { return string(s.b[:s.n]) == name }
func (s *short) ends(with string) bool   { return strings.HasSuffix(string(s.b[:s.n]), with) }
func (s *short) begins(with string) bool { return strings.HasPrefix(string(s.b[:s.n]), with) }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

// pass follows s. data says that it is a value, which was escaped: it never
// leaves its place, but a URL has to know whose bytes are whose.
func (p *place) pass(s string, data bool) error {
	if data && p.state != inValue {
		if p.state != inText && s != "" {
			p.last = short{}
			p.last.add('.') // nothing goes on behind a value
		}
		return nil
	}
	for i := 0; i < len(s); i++ {
		if p.state == inText {
			n := strings.IndexByte(s[i:], '<')
			if n < 0 {
				return nil
			}
			i += n
		}
		if err := p.byte(s[i], data); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) byte(c byte, data bool) error {
	switch p.state {
	case inText:
		if c == '<' {
			p.state = inTagStart
		}
	case inTagStart:
		p.closing = false
		p.tag = short{}
		switch {
		case c == '/':
			p.state, p.closing = inTagName, true
		case c == '!':
			p.state, p.last = inDeclaration, short{}
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			p.state = inTagName
			p.tag.add(c)
		case c == '?':
			p.state, p.last = inDeclaration, short{}
		case c == '<':
		default:
			p.state = inText
		}
	case inTagName:
		switch {
		case c == '>':
			p.leaveTag()
		case isSpace(c) || c == '/':
			p.state = inTag
		default:
			p.tag.add(c)
		}
	case inTag:
		switch {
		case c == '>':
			p.leaveTag()
		case isSpace(c) || c == '/':
		default:
			p.state, p.attr = inName, short{}
			p.attr.add(c)
		}
	case inName, inAfterName:
		switch {
		case c == '>':
			p.leaveTag()
		case c == '=':
			p.state = inBeforeValue
		case c == '/':
			p.state = inTag
		case isSpace(c):
			p.state = inAfterName
		case p.state == inAfterName:
			p.state, p.attr = inName, short{}
			p.attr.add(c)
		default:
			p.attr.add(c)
		}
	case inBeforeValue:
		switch {
		case isSpace(c):
		case c == '>':
			p.leaveTag()
		case c == '"' || c == '\'':
			p.state, p.quote, p.url = inValue, c, urlPlace{}
		default:
			p.state = inBareValue
		}
	case inValue:
		if c == p.quote {
			p.state = inTag
		} else if p.isURL() {
			return p.url.byte(c, data)
		}
	case inBareValue:
		if c == '>' {
			p.leaveTag()
		} else if isSpace(c) {
			p.state = inTag
		}
	case inDeclaration:
		p.last.add(c)
		switch {
		case p.last.is("--"):
			p.state, p.last, p.outlook = inComment, short{}, false
		case c == '>':
			p.state = inText
		}
	case inComment:
		p.last.slide(c)
		// What Outlook reads of its conditional comments is HTML, so it is
		// followed as HTML; for others nothing that is escaped ends a comment.
		p.outlook = p.outlook || p.last.is("[if")
		if c == '>' && (p.last.ends("-->") || p.outlook && p.last.ends("]>")) || p.last.is(">") || p.last.is("->") {
			p.state = inText
		}
	case inRaw, inTitle:
		p.last.slide(c)
		if (c == '>' || isSpace(c) || c == '/') && p.last.ends("</"+string(p.tag.b[:p.tag.n])+string(lower(c))) {
			p.closing = true
			p.state = inTag
			if c == '>' {
				p.state = inText
			}
		}
	}
	return nil
}

func (p *place) leaveTag() {
	p.state = inText
	if p.closing {
		return
	}
	p.last = short{}
	switch {
	case p.tag.is("script"), p.tag.is("style"), p.tag.is("xmp"), p.tag.is("iframe"), p.tag.is("noembed"), p.tag.is("noframes"):
		p.state = inRaw
	case p.tag.is("title"), p.tag.is("textarea"):
		p.state = inTitle
	}
}

func (p *place) isURL() bool {
	for _, name := range []string{"href", "src", "action", "formaction", "background", "poster", "cite", "data", "longdesc", "xlink:href", "srcset"} {
		if p.attr.is(name) {
			return true
		}
	}
	return false
}

// escape makes the text of a value fit for the place.
func (p *place) escape(s string, v any) (string, error) {
	html, isSafe := v.(safe)
	switch p.state {
	case inText:
		if isSafe {
			return s, nil
		}
		return escapeText(s), nil
	case inTitle, inComment:
		if isSafe {
			s = unescapeText(html)
		}
		return escapeText(s), nil
	case inValue:
		if isSafe {
			s = unescapeText(html)
		}
		switch {
		case p.attr.begins("on"), p.attr.is("srcdoc"):
			return "", fmt.Errorf("%w: the attribute is code", ErrPlace)
		case p.attr.is("style"):
			if strings.ContainsFunc(s, notInStyle) {
				return "", fmt.Errorf("%w: in a style only letters, digits, spaces and #.%%- can", ErrPlace)
			}
			return s, nil
		case p.isURL():
			return escapeText(p.url.escape(s, v)), nil
		}
		return escapeText(s), nil
	case inRaw:
		return "", fmt.Errorf("%w: %s is not text", ErrPlace, p.tag.b[:p.tag.n])
	case inBareValue, inBeforeValue:
		return "", fmt.Errorf("%w: the attribute's value needs quotes", ErrPlace)
	}
	return "", fmt.Errorf("%w: inside a tag, outside of an attribute's value", ErrPlace)
}

func notInStyle(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(" #.%-", r)
}
