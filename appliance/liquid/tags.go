package liquid

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

func (p *parser) assign(t token) (piece, error) {
	e, err := p.exprs(t)
	if err != nil {
		return piece{}, err
	}
	name, err := target(e)
	if err != nil {
		return piece{}, err
	}
	if !e.sign("=") {
		return piece{}, fmt.Errorf("\"=\" is needed, not %s", e.peek())
	}
	v, err := e.filtered()
	if err != nil {
		return piece{}, err
	}
	if err := e.end(); err != nil {
		return piece{}, err
	}
	return piece{blank: true, run: at(t.line, func(r *render) error {
		x, err := v(r)
		if err != nil {
			return err
		}
		r.assigns[name] = x
		return r.made(len(name) + 16)
	})}, nil
}

// target parses the name of a variable that is set. A number is taken too, as
// Liquid does, though it can never be read again.
func target(e *exprs) (string, error) {
	w := e.next()
	switch {
	case w.kind == 'i' && !strings.HasSuffix(w.text, "?"):
		return w.text, nil
	case w.kind == 'n' && !strings.ContainsAny(w.text, "-."):
		return w.text, nil
	}
	return "", fmt.Errorf("a name is needed, not %s", w)
}

func (p *parser) capture(t token) (piece, error) {
	e, err := p.exprs(t)
	if err != nil {
		return piece{}, err
	}
	var name string
	if w := e.peek(); w.kind == 's' {
		e.next()
		name = w.text
	} else if name, err = target(e); err != nil {
		return piece{}, err
	}
	if err := e.end(); err != nil {
		return piece{}, err
	}
	inside, _, err := p.block("endcapture")
	if err != nil {
		return piece{}, err
	}
	body := inside.block(false)
	return piece{blank: true, run: at(t.line, func(r *render) error {
		outer := r.out
		r.out = newWriter(r)
		err := body.run(r)
		inner := r.out
		r.out = outer
		if err != nil && err != errBreak && err != errContinue {
			return err
		}
		r.line = t.line
		v, cerr := inner.captured()
		if cerr != nil {
			return cerr
		}
		r.assigns[name] = v
		return err
	})}, nil
}

func (p *parser) counter(t token) (piece, error) {
	e, err := p.exprs(t)
	if err != nil {
		return piece{}, err
	}
	name, err := target(e)
	if err != nil {
		return piece{}, err
	}
	if err := e.end(); err != nil {
		return piece{}, err
	}
	return piece{run: at(t.line, func(r *render) error {
		if r.counters == nil {
			r.counters = map[string]int64{}
		}
		v := r.counters[name]
		if t.name == "increment" {
			r.counters[name] = v + 1
		} else {
			v--
			r.counters[name] = v
		}
		return r.out.value(v)
	})}, nil
}

func (p *parser) cycle(t token) (piece, error) {
	e, err := p.exprs(t)
	if err != nil {
		return piece{}, err
	}
	first, err := e.value()
	if err != nil {
		return piece{}, err
	}
	values := []expr{first}
	var name expr
	if e.sign(":") {
		name, values = first, nil
	} else if !e.sign(",") && e.peek().kind != 0 {
		return piece{}, fmt.Errorf("%s cannot stand here", e.peek())
	}
	for e.peek().kind != 0 {
		v, err := e.value()
		if err != nil {
			return piece{}, err
		}
		values = append(values, v)
		if !e.sign(",") {
			break
		}
	}
	if err := e.end(); err != nil {
		return piece{}, err
	}
	return piece{run: at(t.line, func(r *render) error {
		if err := r.step(len(values)); err != nil {
			return err
		}
		items := make([]any, len(values))
		key := "named"
		for i, v := range values {
			x, err := v(r)
			if err != nil {
				return err
			}
			items[i] = x
		}
		if name != nil {
			x, err := name(r)
			if err != nil {
				return err
			}
			key += toText(x)
		} else {
			key = toText(items)
		}
		if r.cycles == nil {
			r.cycles = map[string]int{}
		}
		i := r.cycles[key]
		r.cycles[key] = i + 1
		if i+1 >= len(items) {
			r.cycles[key] = 0
		}
		if i >= len(items) {
			return nil
		}
		return r.out.value(items[i])
	})}, nil
}

// branch is a block behind a condition; nil is always met.
type branch struct {
	when expr
	body block
}

func (p *parser) conditional(t token) (piece, error) {
	cond, err := p.condition(t)
	if err != nil {
		return piece{}, err
	}
	if t.name == "unless" {
		meant := cond
		cond = func(r *render) (any, error) {
			v, err := meant(r)
			return !truthy(v), err
		}
	}
	var branches []branch
	var bodies []pieces
	blank := true
	for {
		body, end, err := p.block("elsif", "else", "end"+t.name)
		if err != nil {
			return piece{}, err
		}
		blank = blank && body.blank()
		branches = append(branches, branch{when: cond}) // what follows an else is never met
		bodies = append(bodies, body)
		switch end.name {
		case "elsif":
			if cond, err = p.condition(end); err != nil {
				return piece{}, p.fail(end, err)
			}
		case "else":
			cond = nil
		default:
			for i, b := range bodies {
				branches[i].body = b.block(blank)
			}
			return piece{blank: blank, run: at(t.line, choose(branches))}, nil
		}
	}
}

func (p *parser) condition(t token) (expr, error) {
	e, err := p.exprs(t)
	if err != nil {
		return nil, err
	}
	cond, err := e.condition()
	if err != nil {
		return nil, err
	}
	return cond, e.end()
}

func choose(branches []branch) node {
	return func(r *render) error {
		for _, b := range branches {
			if b.when != nil {
				if err := r.step(1); err != nil {
					return err
				}
				v, err := b.when(r)
				if err != nil {
					return err
				}
				if !truthy(v) {
					continue
				}
			}
			return b.body.run(r)
		}
		return nil
	}
}

// whens is one when of a case, or its else where there are no values.
type whens struct {
	values []expr
	body   block
}

func (p *parser) switches(t token) (piece, error) {
	e, err := p.exprs(t)
	if err != nil {
		return piece{}, err
	}
	subject, err := e.value()
	if err != nil {
		return piece{}, err
	}
	if err := e.end(); err != nil {
		return piece{}, err
	}
	_, end, err := p.block("when", "else", "endcase") // before the first when nothing is shown
	if err != nil {
		return piece{}, err
	}
	var all []whens
	var bodies []pieces
	blank := true
	for end.name != "endcase" {
		var w whens
		if end.name == "when" {
			if w.values, err = p.whenValues(end); err != nil {
				return piece{}, p.fail(end, err)
			}
		}
		var body pieces
		if body, end, err = p.block("when", "else", "endcase"); err != nil {
			return piece{}, err
		}
		blank = blank && body.blank()
		all, bodies = append(all, w), append(bodies, body)
	}
	for i, b := range bodies {
		all[i].body = b.block(blank)
	}
	return piece{blank: blank, run: at(t.line, func(r *render) error {
		v, err := subject(r)
		if err != nil {
			return err
		}
		met := false
		for _, w := range all {
			if w.values == nil && !met {
				if err := w.body.run(r); err != nil {
					return err
				}
			}
			// Every value that is equal shows its block again: so does Liquid.
			for _, x := range w.values {
				if err := r.step(1); err != nil {
					return err
				}
				y, err := x(r)
				if err != nil {
					return err
				}
				if !equal(v, y) {
					continue
				}
				met = true
				if err := w.body.run(r); err != nil {
					return err
				}
			}
		}
		return nil
	})}, nil
}

func (p *parser) whenValues(t token) ([]expr, error) {
	e, err := p.exprs(t)
	if err != nil {
		return nil, err
	}
	var values []expr
	for {
		v, err := e.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if !e.sign(",") && !e.word("or") {
			return values, e.end()
		}
	}
}

func (p *parser) ifchanged(t token) (piece, error) {
	if t.text != "" {
		return piece{}, fmt.Errorf("%q cannot stand here", shorten(t.text))
	}
	inside, _, err := p.block("endifchanged")
	if err != nil {
		return piece{}, err
	}
	body := inside.block(false)
	return piece{run: func(r *render) error {
		mark := r.out.mark()
		if err := body.run(r); err != nil {
			return err
		}
		now := r.out.since(mark)
		if r.changed != nil && bytes.Equal([]byte(*r.changed), now) {
			r.out.back(mark)
			return nil
		}
		s := string(now)
		r.changed = &s
		return r.made(len(s))
	}}, nil
}

var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
)
