package liquid

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// parser turns tokens into nodes.
type parser struct {
	tokens []token
	fields map[string]bool
	depth  int
}

// piece is a parsed node. A blank one shows nothing, so that a block of only
// blank ones loses its white space too.
type piece struct {
	run   node
	blank bool
	space bool // text that is only white space
}

func (p *parser) fail(t token, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	what := t.name
	if t.kind == outputToken {
		what = "{{" + strings.TrimRight(shorten(t.text), spaces) + " }}"
	}
	return &Error{Line: t.line, Message: what + ": " + err.Error()}
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + ".."
	}
	return s
}

// pieces are what stands in a block.
type pieces []piece

func (ps pieces) blank() bool {
	return !slices.ContainsFunc(ps, func(x piece) bool { return !x.blank })
}

// block gives the nodes, without white space where the tag that they belong to
// is blank as a whole.
func (ps pieces) block(blank bool) (b block) {
	for _, x := range ps {
		if !blank || !x.space {
			b = append(b, x.run)
		}
	}
	return b
}

// whole parses to the end of the source.
func (p *parser) whole() (block, error) {
	b, _, err := p.block()
	return b.block(false), err
}

// block parses up to one of the tags that end it, which it gives too. Without
// ends it goes on to the end of the source.
func (p *parser) block(ends ...string) (b pieces, end token, err error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, end, &Error{Line: p.line(), Message: fmt.Sprintf("blocks nested deeper than %d", maxDepth)}
	}
	for len(p.tokens) > 0 {
		t := p.tokens[0]
		p.tokens = p.tokens[1:]
		if t.kind == tagToken && slices.Contains(ends, t.name) {
			return b, t, nil
		}
		x, err := p.piece(t)
		if err != nil {
			return nil, end, p.fail(t, err)
		}
		if x.run != nil {
			b = append(b, x)
		}
	}
	if len(ends) > 0 {
		return nil, end, fmt.Errorf("never closed with %s", ends[len(ends)-1])
	}
	return b, end, nil
}

func (p *parser) line() int {
	if len(p.tokens) > 0 {
		return p.tokens[0].line
	}
	return 0
}

func (p *parser) piece(t token) (piece, error) {
	switch t.kind {
	case textToken:
		space := isBlankText(t.text)
		text := t.text
		return piece{blank: space, space: space, run: func(r *render) error { return r.out.text(text) }}, nil
	case outputToken:
		return p.output(t)
	}
	return p.tag(t)
}

// exprs begins to parse the expressions of a tag or output.
func (p *parser) exprs(t token) (*exprs, error) { return newExprs(t.text, p.fields) }

func (p *parser) output(t token) (piece, error) {
	if strings.Trim(t.text, spaces) == "" {
		return piece{}, nil
	}
	e, err := p.exprs(t)
	if err != nil {
		return piece{}, err
	}
	v, err := e.filtered()
	if err != nil {
		return piece{}, err
	}
	if err := e.end(); err != nil {
		return piece{}, err
	}
	return piece{run: at(t.line, func(r *render) error {
		x, err := v(r)
		if err != nil {
			return err
		}
		return r.out.value(x)
	})}, nil
}

// at notes the line that errors of n are on.
func at(line int, n node) node {
	return func(r *render) error {
		r.line = line
		return n(r)
	}
}

func (p *parser) tag(t token) (piece, error) {
	switch t.name {
	case "#":
		for _, l := range strings.Split(t.text, "\n")[1:] {
			if l = strings.Trim(l, spaces); l != "" && l[0] != '#' {
				return piece{}, errors.New("every line of a comment begins with #")
			}
		}
		return piece{}, nil
	case "echo":
		return p.output(t)
	case "assign":
		return p.assign(t)
	case "capture":
		return p.capture(t)
	case "increment", "decrement":
		return p.counter(t)
	case "cycle":
		return p.cycle(t)
	case "if", "unless":
		return p.conditional(t)
	case "case":
		return p.switches(t)
	case "ifchanged":
		return p.ifchanged(t)
	case "for":
		return p.loop(t)
	case "tablerow":
		return p.tablerow(t)
	case "break", "continue":
		if t.text != "" {
			return piece{}, fmt.Errorf("%q cannot stand here", shorten(t.text))
		}
		stop := errBreak
		if t.name == "continue" {
			stop = errContinue
		}
		return piece{run: func(*render) error { return stop }}, nil
	case "liquid":
		return p.lines(t)
	case "abort", "abort_message":
		return p.abort(t)
	case "include", "render", "layout", "section":
		return piece{}, errors.New("a template cannot take in other files")
	case "":
		return piece{}, errors.New("a tag without a name")
	}
	if strings.HasPrefix(t.name, "end") || slices.Contains([]string{"else", "elsif", "when"}, t.name) {
		return piece{}, errors.New("there is nothing open that it could belong to")
	}
	return piece{}, errors.New("there is no such tag")
}

// lines parses the tag that holds a tag a line. A block that is begun in it
// must end in it.
func (p *parser) lines(t token) (piece, error) {
	tokens, err := scanLines(t)
	if err != nil {
		return piece{}, err
	}
	inner := &parser{tokens: tokens, fields: p.fields, depth: p.depth}
	b, _, err := inner.block()
	if err != nil {
		return piece{}, err
	}
	return piece{blank: b.blank(), run: b.block(false).run}, nil
}

func scanLines(t token) ([]token, error) {
	var out []token
	comment := 0
	for i, l := range strings.Split(t.text, "\n") {
		l = strings.Trim(l, spaces)
		name, rest := tagName(l)
		switch {
		case l == "":
		case name == "comment":
			comment++
		case comment > 0:
			if name == "endcomment" {
				comment--
			}
		case name == "#":
		case name == "raw", name == "doc":
			return nil, fmt.Errorf("%s cannot stand among lines", name)
		default:
			out = append(out, token{kind: tagToken, name: name, text: rest, line: t.line + i})
		}
	}
	if comment > 0 {
		return nil, errors.New("comment is never closed with endcomment")
	}
	return out, nil
}

// abort parses the tag that calls off this message. Its reason is a text and
// not computed, since it is kept where nothing personal may be.
func (p *parser) abort(t token) (piece, error) {
	markup := strings.Trim(t.text, spaces)
	if strings.HasPrefix(markup, "(") && strings.HasSuffix(markup, ")") {
		markup = markup[1 : len(markup)-1]
	}
	words, err := lex(markup)
	if err != nil {
		return piece{}, err
	}
	reason := ""
	switch {
	case len(words) == 1 && words[0].kind == 's':
		reason = shorten(words[0].text)
	case len(words) > 0:
		return piece{}, errors.New("the reason is a text in quotes")
	}
	return piece{run: func(*render) error { return &Abort{Reason: reason} }}, nil
}
