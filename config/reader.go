package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// reader takes values out of one block. What it was asked for is what may stand
// there; end complains about everything else, so that the list of allowed names
// cannot differ from what is read.
type reader struct {
	l      *loader
	n      *node
	args   []string
	blocks []string
	// guarded blocks hold secrets: the value of an argument that nobody knows
	// may be one, with its name misspelt.
	guarded bool
	marked  map[string]bool // arguments whose value is known: whether it is sensitive
}

func (l *loader) reader(n *node) *reader {
	return &reader{l: l, n: n, marked: map[string]bool{}}
}

// shown is a value as a complaint may quote it. Use it for everything that is
// only a part of the value: the whole is concealed at the end in any case.
func (r *reader) shown(name, value string) string {
	if r.marked[name] {
		return hidden
	}
	return fmt.Sprintf("%q", value)
}

// inClear says whether a value was written as it is, without a function.
func (r *reader) inClear(name string) bool {
	marked, known := r.marked[name]
	return known && !marked
}

// is says whether an argument was written.
func (r *reader) is(name string) bool { return r.n.args[name] != nil }

// at is where an argument's value stands, else the block.
func (r *reader) at(name string) hcl.Range {
	if a := r.n.args[name]; a != nil {
		return a.Expr.Range()
	}
	return r.n.at()
}

// bad complains about an argument's value.
func (r *reader) bad(code, name, summary, detail string, also ...Place) {
	r.l.bad(code, r.n, r.at(name), summary, detail, also...)
}

// value gives an argument's value without its marks, null if it is not there.
func (r *reader) value(name string, need bool, want string) (v cty.Value, marked, ok bool) {
	r.args = append(r.args, name)
	a := r.n.args[name]
	if a == nil {
		if need {
			r.l.bad(codeMissing, r.n, r.n.at(), fmt.Sprintf("%q is missing", name), "Set it: "+name+" = "+want)
		}
		return cty.NilVal, false, false
	}
	v, ok = r.l.evaluate(r.n, a)
	if !ok {
		return cty.NilVal, false, false
	}
	v, marks := v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		return cty.NilVal, false, false // what the parser could not read, and has told
	}
	if v.IsNull() {
		r.l.bad(codeType, r.n, a.Expr.Range(), fmt.Sprintf("%q is null", name), "Remove the line, or set it: "+name+" = "+want)
		return cty.NilVal, false, false
	}
	r.marked[name] = len(marks) > 0
	return v, len(marks) > 0, true
}

// one gives the reader of a block without labels, nil if it is absent.
func (r *reader) one(kind string) *reader {
	r.blocks = append(r.blocks, kind)
	var out *reader
	for _, n := range r.n.blocks {
		if n.kind == kind && r.labelled(n) {
			out = r.l.reader(n)
		}
	}
	return out
}

// many gives the readers of the blocks with labels, of which names says what
// each is.
func (r *reader) many(kind string, names ...string) []*reader {
	r.blocks = append(r.blocks, kind)
	var out []*reader
	for _, n := range r.n.blocks {
		if n.kind == kind && r.labelled(n, names...) {
			out = append(out, r.l.reader(n))
		}
	}
	return out
}

func (r *reader) labelled(n *node, names ...string) bool {
	if len(n.labels) == len(names) {
		return true
	}
	form := n.kind
	for _, name := range names {
		form += ` "` + strings.ToUpper(name) + `"`
	}
	r.l.bad(codeLabels, n, n.at(), fmt.Sprintf("%s takes %s, not %d", n.kind, count(len(names), "label"), len(n.labels)),
		"Write it like this: "+form+" { .. }")
	return false
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// end complains about what nobody asked for.
func (r *reader) end() {
	allowed := allowedHere(r.args, r.blocks)
	for _, a := range byPosition(r.n.args) {
		if r.guarded && !slices.Contains(r.args, a.Name) {
			r.cover(a.Name)
		}
		switch {
		case slices.Contains(r.args, a.Name):
		case slices.Contains(r.blocks, a.Name):
			r.l.bad(codeUnknownArgument, r.n, a.NameRange, fmt.Sprintf("%q is a block, not an argument", a.Name),
				"Write it without the equals sign: "+a.Name+" { .. }")
		default:
			r.l.bad(codeUnknownArgument, r.n, a.NameRange, fmt.Sprintf("there is no argument %q here", a.Name),
				suggest(a.Name, slices.Concat(r.args, r.blocks))+allowed)
		}
	}
	for _, n := range r.n.blocks {
		switch {
		case slices.Contains(r.blocks, n.kind):
		case slices.Contains(r.args, n.kind):
			r.l.bad(codeUnknownBlock, r.n, n.at(), fmt.Sprintf("%q is an argument, not a block", n.kind),
				"Write it with an equals sign: "+n.kind+" = ..")
		case r.n.parent == nil && slices.Contains(programmeObjects, n.kind):
			r.l.bad(codeProgramme, r.n, n.at(), fmt.Sprintf("a %s does not stand in these files", n.kind),
				"Segments, campaigns, journeys, boards and templates are made in the console or through its API.")
		default:
			r.l.bad(codeUnknownBlock, r.n, n.at(), fmt.Sprintf("there is no block %q here", n.kind),
				suggest(n.kind, slices.Concat(r.blocks, r.args))+allowed)
		}
	}
}

var programmeObjects = []string{"segment", "campaign", "journey", "board", "template"}

// name reads a label that becomes a name.
func (r *reader) name(i int, t textRule) (string, bool) {
	s := r.n.labels[i]
	if t.what == "" {
		t.what = r.n.kind
	}
	if t.max == 0 {
		t.max = 64
	}
	if !utf8.ValidString(s) || s == "" || len(s) > t.max || t.pattern != nil && !t.pattern.MatchString(s) {
		r.l.bad(codeName, r.n, r.n.labelAt(i), fmt.Sprintf("%q cannot be the name of a %s", s, r.n.kind), t.form)
		return s, false
	}
	if len(t.choice) > 0 && !slices.Contains(t.choice, s) {
		r.l.bad(codeName, r.n, r.n.labelAt(i), fmt.Sprintf("there is no %s %q", t.what, s), suggest(s, t.choice)+"Allowed: "+quoted(t.choice, "or")+".")
		return s, false
	}
	return s, true
}
