package query

import (
	"math"
	"strconv"
	"strings"
)

// formula is an expression over the names of series: + - * / and brackets.
type formula struct {
	op    byte // '+', '-', '*', '/', 'n' a number, 'v' a series, 'm' minus
	value float64
	index int
	a, b  *formula
}

// eval computes the formula; a division by zero makes all of it 0.
func (f *formula) eval(series []float64) float64 {
	v, ok := f.try(series)
	if !ok || math.IsNaN(v) {
		return 0
	}
	return finite(v)
}

func (f *formula) try(series []float64) (float64, bool) {
	switch f.op {
	case 'n':
		return f.value, true
	case 'v':
		return series[f.index], true
	case 'm':
		v, ok := f.a.try(series)
		return -v, ok
	}
	a, ok := f.a.try(series)
	b, ok2 := f.b.try(series)
	if !ok || !ok2 {
		return 0, false
	}
	switch f.op {
	case '+':
		return a + b, true
	case '-':
		return a - b, true
	case '*':
		return a * b, true
	}
	return a / b, b != 0
}

// formulaReader reads a formula by recursive descent.
type formulaReader struct {
	n     node
	text  string
	at    int
	depth int
	names []string
}

const maxFormula = 500 // bytes

// formula reads the text of a formula over series names.
func (n node) formula(names []string) (*formula, error) {
	text, err := n.text()
	if err != nil {
		return nil, err
	}
	if len(text) > maxFormula {
		return nil, n.bad("the formula is longer than %d bytes", maxFormula)
	}
	r := &formulaReader{n: n, text: text, names: names}
	f, err := r.sum()
	if err != nil {
		return nil, err
	}
	if r.peek() != 0 {
		return nil, n.bad("unexpected %q at character %d", string(r.peek()), r.at+1)
	}
	return f, nil
}

func (r *formulaReader) peek() byte {
	for r.at < len(r.text) && strings.IndexByte(" \t\n\r", r.text[r.at]) >= 0 {
		r.at++
	}
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

func (r *formulaReader) sum() (*formula, error) { return r.chain("+-", r.product) }

func (r *formulaReader) product() (*formula, error) { return r.chain("*/", r.factor) }

// chain reads operands joined by operators of one strength, from the left.
func (r *formulaReader) chain(ops string, operand func() (*formula, error)) (*formula, error) {
	f, err := operand()
	for err == nil {
		c := r.peek()
		if c == 0 || strings.IndexByte(ops, c) < 0 {
			return f, nil
		}
		r.at++
		var g *formula
		if g, err = operand(); err == nil {
			f = &formula{op: c, a: f, b: g}
		}
	}
	return nil, err
}

func (r *formulaReader) factor() (*formula, error) {
	if r.depth++; r.depth > 100 {
		return nil, r.n.bad("the formula is nested too deep")
	}
	defer func() { r.depth-- }()
	switch c := r.peek(); {
	case c == '-':
		r.at++
		f, err := r.factor()
		return &formula{op: 'm', a: f}, err
	case c == '(':
		r.at++
		f, err := r.sum()
		if err == nil && r.peek() != ')' {
			return nil, r.n.bad("a closing bracket is missing")
		}
		r.at++
		return f, err
	case c >= '0' && c <= '9' || c == '.':
		return r.number()
	case c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
		return r.name()
	case c == 0:
		return nil, r.n.bad("the formula ends too early")
	default:
		return nil, r.n.bad("unexpected %q at character %d", string(c), r.at+1)
	}
}

func (r *formulaReader) number() (*formula, error) {
	start := r.at
	for r.at < len(r.text) && (r.text[r.at] >= '0' && r.text[r.at] <= '9' || r.text[r.at] == '.') {
		r.at++
	}
	v, err := strconv.ParseFloat(r.text[start:r.at], 64)
	if err != nil {
		return nil, r.n.bad("%q is no number", clip(r.text[start:r.at]))
	}
	return &formula{op: 'n', value: v}, nil
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

func (r *formulaReader) name() (*formula, error) {
	start := r.at
	for r.at < len(r.text) && isNameByte(r.text[r.at]) {
		r.at++
	}
	name := r.text[start:r.at]
	for i, s := range r.names {
		if s == name {
			return &formula{op: 'v', index: i}, nil
		}
	}
	return nil, r.n.bad("there is no series %q", clip(name))
}
