package liquid

import (
	"fmt"
	"strconv"
	"strings"
)

// expr computes a value.
type expr func(r *render) (any, error)

// exprs parses the expressions of one markup.
type exprs struct {
	words  []lexeme
	fields map[string]bool
	depth  int
}

func newExprs(markup string, fields map[string]bool) (*exprs, error) {
	words, err := lex(markup)
	return &exprs{words: words, fields: fields}, err
}

func (e *exprs) peek() lexeme {
	if len(e.words) == 0 {
		return lexeme{}
	}
	return e.words[0]
}

func (e *exprs) next() lexeme {
	w := e.peek()
	if len(e.words) > 0 {
		e.words = e.words[1:]
	}
	return w
}

func (e *exprs) sign(s string) bool {
	if w := e.peek(); w.kind == 'o' && w.text == s {
		e.next()
		return true
	}
	return false
}

func (e *exprs) word(s string) bool {
	if w := e.peek(); w.kind == 'i' && w.text == s {
		e.next()
		return true
	}
	return false
}

func (e *exprs) name() (string, error) {
	w := e.next()
	if w.kind != 'i' {
		return "", fmt.Errorf("a name is needed, not %s", w)
	}
	return w.text, nil
}

func (w lexeme) String() string {
	if w.kind == 0 {
		return "the end"
	}
	return fmt.Sprintf("%q", w.text)
}

func (e *exprs) end() error {
	if w := e.peek(); w.kind != 0 {
		return fmt.Errorf("%s cannot stand here", w)
	}
	return nil
}

func literal(v any) expr { return func(*render) (any, error) { return v, nil } }

// value parses a literal, a range or a path.
func (e *exprs) value() (expr, error) {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch w := e.peek(); {
	case w.kind == 's':
		e.next()
		return literal(w.text), nil
	case w.kind == 'n':
		e.next()
		return numberLiteral(w.text)
	case w.kind == 'o' && w.text == "(":
		return e.rng()
	case w.kind == 'i':
		if !e.pathFollows(1) {
			switch w.text {
			case "true", "false":
				e.next()
				return literal(w.text == "true"), nil
			case "nil", "null":
				e.next()
				return literal(nil), nil
			case "empty":
				e.next()
				return literal(emptyValue{}), nil
			case "blank":
				e.next()
				return literal(blankValue{}), nil
			}
		}
		return e.path()
	case w.kind == 'o' && w.text == "[":
		return e.path()
	default:
		return nil, fmt.Errorf("a value is needed, not %s", w)
	}
}

func (e *exprs) pathFollows(at int) bool {
	return len(e.words) > at && e.words[at].kind == 'o' && (e.words[at].text == "." || e.words[at].text == "[")
}

func numberLiteral(s string) (expr, error) {
	if !strings.Contains(s, ".") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return literal(n), nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no number", s)
	}
	return literal(f), nil
}

func (e *exprs) rng() (expr, error) {
	e.next()
	from, err := e.value()
	if err != nil {
		return nil, err
	}
	if !e.sign("..") {
		return nil, fmt.Errorf("a range is written (1..5), not with %s", e.peek())
	}
	to, err := e.value()
	if err != nil {
		return nil, err
	}
	if !e.sign(")") {
		return nil, fmt.Errorf("a range ends with \")\", not with %s", e.peek())
	}
	return func(r *render) (any, error) {
		a, err := from(r)
		if err != nil {
			return nil, err
		}
		b, err := to(r)
		if err != nil {
			return nil, err
		}
		return span{toInt(a), toInt(b)}, nil
	}, nil
}

// path parses a variable with what is looked up in it.
func (e *exprs) path() (expr, error) {
	var root expr
	static := "" // the names known beforehand, for Fields
	known := true
	if e.sign("[") {
		key, err := e.value()
		if err != nil {
			return nil, err
		}
		if !e.sign("]") {
			return nil, fmt.Errorf("\"]\" is needed, not %s", e.peek())
		}
		root = func(r *render) (any, error) {
			k, err := key(r)
			if err != nil {
				return nil, err
			}
			return r.get(toText(k)), nil
		}
		known = false
	} else {
		w := e.next()
		name := w.text
		static = name
		root = func(r *render) (any, error) { return r.get(name), nil }
	}
	var steps []expr
	for {
		var key expr
		switch {
		case e.sign("."):
			w := e.next()
			if w.kind != 'i' {
				return nil, fmt.Errorf("a name is needed behind the dot, not %s", w)
			}
			key = literal(dotted(w.text))
			if known {
				static += "." + w.text
			}
		case e.sign("["):
			if w := e.peek(); w.kind == 's' && known {
				static += "." + w.text
			} else {
				known = false
			}
			var err error
			if key, err = e.value(); err != nil {
				return nil, err
			}
			if !e.sign("]") {
				return nil, fmt.Errorf("\"]\" is needed, not %s", e.peek())
			}
		default:
			if static != "" {
				e.fields[static] = true
			}
			if len(steps) == 0 {
				return root, nil
			}
			return func(r *render) (any, error) {
				v, err := root(r)
				if err != nil {
					return nil, err
				}
				for _, s := range steps {
					k, err := s(r)
					if err != nil {
						return nil, err
					}
					v = index(v, k)
				}
				return v, nil
			}, nil
		}
		steps = append(steps, key)
		if len(steps) > maxDepth {
			return nil, fmt.Errorf("a path longer than %d", maxDepth)
		}
	}
}

// dotted is a key behind a dot: only there do size, first and last have a
// meaning of their own.
type dotted string

// filtered parses a value and the filters behind it.
func (e *exprs) filtered() (expr, error) {
	v, err := e.value()
	if err != nil {
		return nil, err
	}
	for e.sign("|") {
		if v, err = e.filter(v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (e *exprs) filter(in expr) (expr, error) {
	name, err := e.name()
	if err != nil {
		return nil, err
	}
	f, ok := filters[name]
	if !ok {
		return nil, fmt.Errorf("there is no filter %q", name)
	}
	var args []expr
	named := map[string]expr{}
	if e.sign(":") {
		for {
			if w := e.peek(); w.kind == 'i' && len(e.words) > 1 && e.words[1].kind == 'o' && e.words[1].text == ":" {
				e.next()
				e.next()
				v, err := e.value()
				if err != nil {
					return nil, err
				}
				named[w.text] = v
			} else {
				v, err := e.value()
				if err != nil {
					return nil, err
				}
				args = append(args, v)
			}
			if !e.sign(",") {
				break
			}
			if w := e.peek(); w.kind == 0 || w.kind == 'o' && w.text == "|" {
				break
			}
		}
	}
	if len(args) < f.least || len(args) > f.most {
		return nil, fmt.Errorf("filter %q takes %s, not %d", name, f.arity(), len(args))
	}
	return func(r *render) (any, error) {
		if err := r.step(1); err != nil {
			return nil, err
		}
		v, err := in(r)
		if err != nil {
			return nil, err
		}
		c := call{r: r, args: make([]any, len(args))}
		for i, a := range args {
			if c.args[i], err = a(r); err != nil {
				return nil, err
			}
		}
		for k, a := range named {
			x, err := a(r)
			if err != nil {
				return nil, err
			}
			if c.named == nil {
				c.named = map[string]any{}
			}
			c.named[k] = x
		}
		return f.apply(&c, v)
	}, nil
}

// condition parses comparisons joined by and, or: as Liquid has it, without
// precedence, from the right.
func (e *exprs) condition() (expr, error) {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	left, err := e.comparison()
	if err != nil {
		return nil, err
	}
	and := e.word("and")
	if !and && !e.word("or") {
		return left, nil
	}
	right, err := e.condition()
	if err != nil {
		return nil, err
	}
	return func(r *render) (any, error) {
		l, err := left(r)
		if err != nil || truthy(l) != and {
			return truthy(l), err
		}
		v, err := right(r)
		return truthy(v), err
	}, nil
}

func (e *exprs) comparison() (expr, error) {
	left, err := e.value()
	if err != nil {
		return nil, err
	}
	op := ""
	switch w := e.peek(); {
	case w.kind == 'i' && w.text == "contains":
		op = "contains"
	case w.kind == 'o':
		switch w.text {
		case "==", "!=", "<>", "<", ">", "<=", ">=":
			op = w.text
		}
	}
	if op == "" {
		return left, nil
	}
	e.next()
	right, err := e.value()
	if err != nil {
		return nil, err
	}
	return func(r *render) (any, error) {
		a, err := left(r)
		if err != nil {
			return nil, err
		}
		b, err := right(r)
		if err != nil {
			return nil, err
		}
		return r.compare(op, a, b)
	}, nil
}
