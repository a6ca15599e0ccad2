package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// settings decodes one connector's own body, straight from the operator's
// file, so that every mistake keeps its line.
type settings struct {
	l         *loader
	connector *node
	body      *node    // nil = no settings block was written
	secrets   []string // values that must not be told
}

// read decodes the body as the schema says, with its defaults.
func (s *settings) read(schema connector.Schema) connector.Settings {
	n := s.body
	if n == nil {
		n = s.absent(schema)
	}
	r := s.l.reader(n)
	out := s.values(r, schema.Settings)
	for _, b := range schema.Blocks {
		child := r.one(b.Name)
		switch {
		case child != nil:
			out[b.Name] = s.values(child, b.Settings)
			child.end()
		case b.Required && s.body != nil:
			s.l.bad(codeMissing, n, n.at(), fmt.Sprintf("the block %q is missing", b.Name), strings.TrimSpace("Add it: "+b.Name+" { .. } "+b.Doc))
		}
	}
	r.end()
	return out
}

// absent stands for a settings block that was not written. It is no mistake if
// nothing is needed in it.
func (s *settings) absent(schema connector.Schema) *node {
	var need []string
	for _, spec := range schema.Settings {
		if spec.Required {
			need = append(need, spec.Name+" = "+sample(spec))
		}
	}
	for _, b := range schema.Blocks {
		if b.Required {
			need = append(need, b.Name+" { .. }")
		}
	}
	if len(need) > 0 {
		s.l.bad(codeMissing, s.connector, s.connector.at(), `the block "settings" is missing`, "Add it, with at least: "+strings.Join(need, ", "))
	}
	return newNode(s.connector, "settings", nil)
}

func (s *settings) values(r *reader, specs []connector.Setting) connector.Settings {
	out := connector.Settings{}
	r.guarded = slices.ContainsFunc(specs, func(spec connector.Setting) bool { return spec.Sensitive })
	for _, spec := range specs {
		v, ok := s.one(r, spec)
		switch {
		case ok:
			out[spec.Name] = v
		case spec.Default != nil:
			out[spec.Name] = copied(spec.Default)
		}
		if r.is(spec.Name) && spec.Deprecated != "" {
			s.l.warn(codeDeprecated, r.n, r.n.args[spec.Name].NameRange, spec.Name+" is deprecated", "Use instead: "+spec.Deprecated)
		}
	}
	return out
}

// copied keeps a plugin's default from being shared.
func copied(v any) any {
	switch v := v.(type) {
	case []string:
		return slices.Clone(v)
	case map[string]string:
		return maps.Clone(v)
	case int:
		return float64(v)
	}
	return v
}

// one reads one setting. What it complains of is the operator's mistake, or
// nothing.
func (s *settings) one(r *reader, spec connector.Setting) (any, bool) {
	v, marked, ok := r.value(spec.Name, spec.Required && s.body != nil, sample(spec))
	if !r.is(spec.Name) {
		return nil, false
	}
	if spec.Sensitive {
		r.cover(spec.Name)
		if r.inClear(spec.Name) {
			r.l.clear(r, spec.Name)
		}
	}
	if !ok {
		return nil, false
	}
	hide := marked || spec.Sensitive
	if hide {
		s.remember(v)
	}
	if spec.Type == connector.TypeDuration {
		return s.duration(r, spec, v, hide)
	}
	want, text := wanted(spec)
	v, err := convert.Convert(v, want)
	if err != nil || hasNull(v) {
		r.wrongType(spec.Name, text, sample(spec), r.at(spec.Name))
		return nil, false
	}
	switch spec.Type {
	case connector.TypeNumber:
		f, _ := v.AsBigFloat().Float64()
		return f, s.within(r, spec, f)
	case connector.TypeBool:
		return v.True(), true
	case connector.TypeStrings:
		out := []string{}
		good := true
		for i, e := range v.AsValueSlice() {
			good = s.fits(r, spec, e.AsString(), hide, elementAt(r.n.args[spec.Name], i)) && good
			out = append(out, e.AsString())
		}
		return out, good
	case connector.TypeMap:
		out := map[string]string{}
		for k, e := range v.AsValueMap() {
			out[k] = e.AsString()
		}
		return out, true
	}
	return v.AsString(), s.fits(r, spec, v.AsString(), hide, r.at(spec.Name))
}

func (s *settings) duration(r *reader, spec connector.Setting, v cty.Value, hide bool) (any, bool) {
	if v.Type() == cty.String {
		d, err := ParseDuration(v.AsString())
		if err == nil {
			return d.String(), true
		}
		summary := spec.Name + ": " + err.Error()
		if hide {
			summary = spec.Name + " is not a duration"
		}
		r.bad(codeMalformed, spec.Name, summary, durationForm)
		return nil, false
	}
	r.bad(codeType, spec.Name, fmt.Sprintf("%q must be a duration in quotes", spec.Name), durationForm)
	return nil, false
}

// within checks a number.
func (s *settings) within(r *reader, spec connector.Setting, f float64) bool {
	low, high := spec.Min != nil, spec.Max != nil
	if !(low && f < *spec.Min || high && f > *spec.Max) {
		return true
	}
	var allowed string
	switch {
	case low && high:
		allowed = fmt.Sprintf("It is a number from %s to %s.", number(*spec.Min), number(*spec.Max))
	case low:
		allowed = fmt.Sprintf("It is at least %s.", number(*spec.Min))
	default:
		allowed = fmt.Sprintf("It is at most %s.", number(*spec.Max))
	}
	r.bad(codeBounds, spec.Name, spec.Name+" is out of bounds", allowed)
	return false
}

// fits checks a text.
func (s *settings) fits(r *reader, spec connector.Setting, text string, hide bool, at hcl.Range) bool {
	t := textRule{choice: spec.Enum, max: 64 << 10}
	if spec.Min != nil {
		t.min = int(*spec.Min)
	}
	if spec.Max != nil {
		t.max = int(*spec.Max)
	}
	if spec.Pattern != "" {
		// A pattern that does not compile is the author's mistake; the
		// conformance suite finds it.
		if p, err := regexp.Compile(spec.Pattern); err == nil {
			t.pattern, t.form = p, strings.TrimSpace(spec.Doc+" It matches "+spec.Pattern)
		}
	}
	return r.fits(spec.Name, text, t, hide, at)
}

// remember keeps a secret value, to keep it out of what the connector says.
func (s *settings) remember(v cty.Value) {
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if !e.IsNull() && e.IsKnown() && e.Type() == cty.String {
			s.secrets = append(s.secrets, e.AsString())
		}
		return true, nil
	})
}

func (s *settings) conceal(text string) string { return conceal(text, s.secrets) }

// find gives the place that a connector's path means: the value, else the
// block that lacks it.
func (s *settings) find(path []string) (*node, hcl.Range) {
	n := s.body
	if n == nil {
		return s.connector, s.connector.at()
	}
	for _, step := range path {
		if a := n.args[step]; a != nil {
			return n, a.Expr.Range()
		}
		i := slices.IndexFunc(n.blocks, func(b *node) bool { return b.kind == step })
		if i < 0 {
			break
		}
		n = n.blocks[i]
	}
	return n, n.at()
}

// unchecked decodes a body without a schema: as it was written.
func (s *settings) unchecked(n *node) connector.Settings {
	out := connector.Settings{}
	if n == nil {
		return out
	}
	for name, a := range n.args {
		v, ok := s.l.evaluate(n, a)
		if !ok {
			continue
		}
		v, _ = v.UnmarkDeep()
		if plain, ok := plainValue(v); ok {
			out[name] = plain
		}
	}
	for _, b := range n.blocks {
		out[b.kind] = s.unchecked(b)
	}
	return out
}

func plainValue(v cty.Value) (any, bool) {
	if v.IsNull() || !v.IsWhollyKnown() {
		return nil, false
	}
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString(), true
	case t == cty.Bool:
		return v.True(), true
	case t == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f, true
	case t.IsTupleType():
		if l, err := convert.Convert(v, cty.List(cty.String)); err == nil && !hasNull(l) {
			out := []string{}
			for _, e := range l.AsValueSlice() {
				out = append(out, e.AsString())
			}
			return out, true
		}
	case t.IsObjectType():
		if m, err := convert.Convert(v, cty.Map(cty.String)); err == nil && !hasNull(m) {
			out := map[string]string{}
			for k, e := range m.AsValueMap() {
				out[k] = e.AsString()
			}
			return out, true
		}
	}
	return nil, false
}

// hasNull says whether a value, or one in it, is null.
func hasNull(v cty.Value) bool {
	found := false
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		found = found || e.IsNull()
		return !e.IsNull(), nil
	})
	return found
}

func wanted(spec connector.Setting) (cty.Type, string) {
	switch spec.Type {
	case connector.TypeNumber:
		return cty.Number, "a number"
	case connector.TypeBool:
		return cty.Bool, "true or false"
	case connector.TypeStrings:
		return cty.List(cty.String), "a list of texts"
	case connector.TypeMap:
		return cty.Map(cty.String), "a map of texts"
	}
	return cty.String, "a text in quotes"
}

// sample is how a setting is typed.
func sample(spec connector.Setting) string {
	switch spec.Type {
	case connector.TypeNumber:
		if spec.Min != nil {
			return number(*spec.Min)
		}
		return "1"
	case connector.TypeBool:
		return "true"
	case connector.TypeDuration:
		return `"30s"`
	case connector.TypeStrings:
		return `[".."]`
	case connector.TypeMap:
		return `{ name = ".." }`
	}
	if len(spec.Enum) > 0 {
		return strconv.Quote(spec.Enum[0])
	}
	return `".."`
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
