package liquid

import (
	"errors"
	"fmt"
	"strings"
)

// looping is what for and tablerow have in common.
type looping struct {
	name     string // variable and collection, as written
	variable string
	over     expr
	reversed bool
	limit    expr
	offset   expr // nil without one
	goOn     bool // offset: continue
	cols     expr
}

func (p *parser) looping(t token, table bool) (*looping, error) {
	e, err := p.exprs(t)
	if err != nil {
		return nil, err
	}
	l := &looping{}
	if l.variable, err = e.name(); err != nil {
		return nil, err
	}
	if !e.word("in") {
		return nil, fmt.Errorf("\"in\" is needed, not %s", e.peek())
	}
	before := e.words
	if l.over, err = e.value(); err != nil {
		return nil, err
	}
	l.name = l.variable + "-" + spelled(before[:len(before)-len(e.words)])
	for {
		if e.sign(",") {
			continue
		}
		w := e.peek()
		if w.kind == 0 {
			return l, nil
		}
		if !table && e.word("reversed") {
			l.reversed = true
			continue
		}
		name, err := e.name()
		if err != nil {
			return nil, err
		}
		if !e.sign(":") {
			return nil, fmt.Errorf("%s cannot stand here", w)
		}
		if name == "offset" && !table && e.word("continue") {
			l.goOn = true
			continue
		}
		v, err := e.value()
		if err != nil {
			return nil, err
		}
		switch {
		case name == "limit":
			l.limit = v
		case name == "offset":
			l.offset = v
		case name == "cols" && table:
			l.cols = v
		default:
			return nil, fmt.Errorf("there is no %q here", name)
		}
	}
}

// spelled is how an expression was written, without its white space.
func spelled(words []lexeme) string {
	var b strings.Builder
	for _, w := range words {
		if w.kind == 's' {
			b.WriteString("\"" + w.text + "\"")
			continue
		}
		b.WriteString(w.text)
	}
	return b.String()
}

// slice is the part of a collection that a loop goes through.
type slice struct {
	from, n  int64
	at       func(int64) any
	reversed bool
}

func (s slice) item(i int64) any {
	if s.reversed {
		i = s.n - 1 - i
	}
	return s.at(s.from + i)
}

func (l *looping) slice(r *render) (slice, error) {
	v, err := l.over(r)
	if err != nil {
		return slice{}, err
	}
	n, item := items(v)
	var from int64
	if l.goOn {
		from = int64(r.offsets[l.name])
	} else if from, err = bound(r, l.offset, 0, "offset"); err != nil {
		return slice{}, err
	}
	limit, err := bound(r, l.limit, n, "limit")
	if err != nil {
		return slice{}, err
	}
	from = min(max(from, 0), n)
	s := slice{from: from, n: min(max(limit, 0), n-from), at: item, reversed: l.reversed}
	if r.offsets == nil {
		r.offsets = map[string]int{}
	}
	r.offsets[l.name] = int(s.from + s.n)
	return s, nil
}

func bound(r *render, e expr, without int64, name string) (int64, error) {
	if e == nil {
		return without, nil
	}
	v, err := e(r)
	if err != nil || v == nil {
		return without, err
	}
	if number(v) == nil {
		return 0, r.fail("%s: not a number", name)
	}
	return toInt(v), nil
}

// enter makes the loop's variables; leave takes them away.
func (r *render) enter(helper string, h any, variable string) (item *any) {
	r.scopes = append(r.scopes, scope{helper, h}, scope{variable, nil})
	return &r.scopes[len(r.scopes)-1].value
}

func (r *render) leave() { r.scopes = r.scopes[:len(r.scopes)-2] }

func (p *parser) loop(t token) (piece, error) {
	l, err := p.looping(t, false)
	if err != nil {
		return piece{}, err
	}
	inside, end, err := p.block("else", "endfor")
	if err != nil {
		return piece{}, err
	}
	var instead pieces
	blank := inside.blank()
	for end.name == "else" {
		if instead, end, err = p.block("else", "endfor"); err != nil {
			return piece{}, err
		}
		blank = blank && instead.blank()
	}
	body, otherwise := inside.block(blank), instead.block(blank)
	return piece{blank: blank, run: at(t.line, func(r *render) error {
		s, err := l.slice(r)
		if err != nil {
			return err
		}
		if s.n == 0 {
			return otherwise.run(r)
		}
		outer, _ := r.get("forloop").(*forloop)
		f := &forloop{name: l.name, n: s.n, parent: outer}
		r.enter("forloop", f, l.variable)
		defer r.leave()
		here := len(r.scopes) - 1
		for f.i = 0; f.i < s.n; f.i++ {
			if err := r.step(1); err != nil {
				return err
			}
			r.scopes[here].value = s.item(f.i)
			err := body.run(r)
			if errors.Is(err, errBreak) {
				return nil
			}
			if err != nil && !errors.Is(err, errContinue) {
				return err
			}
		}
		return nil
	})}, nil
}

// forloop is what a template sees of the loop that runs.
type forloop struct {
	name   string
	i, n   int64
	parent *forloop
}

// Get is a property of the loop.
func (f *forloop) Get(key string) (any, bool) {
	switch key {
	case "index":
		return f.i + 1, true
	case "index0":
		return f.i, true
	case "rindex":
		return f.n - f.i, true
	case "rindex0":
		return f.n - f.i - 1, true
	case "first":
		return f.i == 0, true
	case "last":
		return f.i == f.n-1, true
	case "length":
		return f.n, true
	case "name":
		return f.name, true
	case "parentloop":
		if f.parent != nil {
			return f.parent, true
		}
	}
	return nil, false
}

func (p *parser) tablerow(t token) (piece, error) {
	l, err := p.looping(t, true)
	if err != nil {
		return piece{}, err
	}
	inside, _, err := p.block("endtablerow")
	if err != nil {
		return piece{}, err
	}
	body := inside.block(false)
	return piece{run: at(t.line, func(r *render) error {
		s, err := l.slice(r)
		if err != nil {
			return err
		}
		cols, err := bound(r, l.cols, s.n, "cols")
		if err != nil {
			return err
		}
		if err := r.out.text("<tr class=\"row1\">\n"); err != nil {
			return err
		}
		row := &tableloop{n: s.n, cols: max(cols, 1)}
		r.enter("tablerowloop", row, l.variable)
		defer r.leave()
		here := len(r.scopes) - 1
		for row.i = 0; row.i < s.n; row.i++ {
			r.scopes[here].value = s.item(row.i)
			if err := row.cell(r, body); errors.Is(err, errBreak) {
				break
			} else if err != nil {
				return err
			}
		}
		return r.out.text("</tr>\n")
	})}, nil
}

// tableloop is what a template sees of the table that is made.
type tableloop struct{ i, n, cols int64 }

func (l *tableloop) last() bool { return l.i == l.n-1 }

func (l *tableloop) cell(r *render, body block) error {
	if err := r.step(1); err != nil {
		return err
	}
	if err := r.out.text(fmt.Sprintf("<td class=\"col%d\">", l.i%l.cols+1)); err != nil {
		return err
	}
	stop := body.run(r)
	if stop != nil && stop != errBreak && stop != errContinue {
		return stop
	}
	if err := r.out.text("</td>"); err != nil {
		return err
	}
	if stop == errBreak {
		return stop
	}
	if l.i%l.cols == l.cols-1 && !l.last() {
		return r.out.text(fmt.Sprintf("</tr>\n<tr class=\"row%d\">", l.i/l.cols+2))
	}
	return nil
}

// Get is a property of the table.
func (l *tableloop) Get(key string) (any, bool) {
	col := l.i % l.cols
	switch key {
	case "index":
		return l.i + 1, true
	case "index0":
		return l.i, true
	case "rindex":
		return l.n - l.i, true
	case "rindex0":
		return l.n - l.i - 1, true
	case "first":
		return l.i == 0, true
	case "last":
		return l.last(), true
	case "length":
		return l.n, true
	case "col":
		return col + 1, true
	case "col0":
		return col, true
	case "col_first":
		return col == 0, true
	case "col_last":
		return col == l.cols-1, true
	case "row":
		return l.i/l.cols + 1, true
	}
	return nil, false
}
