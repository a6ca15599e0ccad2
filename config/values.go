package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

func (r *reader) wrongType(name, want, example string, at hcl.Range) {
	r.l.bad(codeType, r.n, at, fmt.Sprintf("%q must be %s", name, want), "Write it like this: "+name+" = "+example)
}

// textRule says what a text may be.
type textRule struct {
	need     bool
	missing  string   // the default
	choice   []string // what it may be; nil = anything
	min, max int      // length in bytes, max 0 = 1,024
	pattern  *regexp.Regexp
	code     string // of a complaint about the pattern; "" = codeMalformed
	form     string // what the pattern means
	secret   bool
	example  string // as it is typed
	what     string // of labels: what it names; "" = the block
}

func (t textRule) sample(name string) string {
	switch {
	case t.example != "":
		return t.example
	case len(t.choice) > 0:
		return strconv.Quote(t.choice[0])
	}
	return `".."`
}

// text reads a text.
func (r *reader) text(name string, t textRule) string {
	v, marked, ok := r.value(name, t.need, t.sample(name))
	if t.secret {
		r.cover(name)
	}
	if !ok {
		return t.missing
	}
	if v.Type() != cty.String {
		r.wrongType(name, "a text in quotes", t.sample(name), r.at(name))
		return t.missing
	}
	s := v.AsString()
	if !r.fits(name, s, t, marked || t.secret, r.at(name)) {
		return t.missing
	}
	return s
}

// cover keeps an argument's value, unless it is a plain call of a function, out
// of the lines that are shown.
func (r *reader) cover(name string) {
	a := r.n.args[name]
	if a == nil {
		return
	}
	if _, call := a.Expr.(*hclsyntax.FunctionCallExpr); !call {
		r.l.secret = append(r.l.secret, a.Expr.Range())
	}
}

// fits checks one text; hide keeps it out of the complaint.
func (r *reader) fits(name, s string, t textRule, hide bool, at hcl.Range) bool {
	if t.max == 0 {
		t.max = 1024
	}
	shown := fmt.Sprintf("%q", s)
	if hide {
		shown = "the value"
	}
	switch n := len(s); {
	case len(t.choice) > 0 && !slices.Contains(t.choice, s):
		hint := ""
		if !hide {
			hint = suggest(s, t.choice)
		}
		r.l.bad(codeChoice, r.n, at, fmt.Sprintf("%s cannot be %s", name, shown), hint+"Allowed: "+quoted(t.choice, "or")+".")
	case n < t.min:
		r.l.bad(codeBounds, r.n, at, name+" is too short", fmt.Sprintf("It has at least %d bytes.", t.min))
	case n > t.max:
		r.l.bad(codeBounds, r.n, at, name+" is too long", fmt.Sprintf("It has at most %d bytes; this has %d.", t.max, n))
	case t.pattern != nil && !t.pattern.MatchString(s):
		code := t.code
		if code == "" {
			code = codeMalformed
		}
		r.l.bad(code, r.n, at, fmt.Sprintf("%s cannot be %s", name, shown), t.form)
	default:
		return true
	}
	return false
}

// texts reads a list of texts, each of which t describes; nil if it is absent.
func (r *reader) texts(name string, t textRule) []string {
	t.example = "[" + t.sample(name) + "]"
	v, marked, ok := r.value(name, t.need, t.example)
	if !ok {
		return nil
	}
	if !v.Type().IsTupleType() {
		r.wrongType(name, "a list of texts", t.example, r.at(name))
		return nil
	}
	out := []string{}
	for i, e := range v.AsValueSlice() {
		at := elementAt(r.n.args[name], i)
		switch {
		case e.IsNull() || e.Type() != cty.String:
			r.wrongType(name, "a list of texts in quotes", t.example, at)
		case slices.Contains(out, e.AsString()):
			r.l.bad(codeTwice, r.n, at, "the list "+name+" has this twice", "Remove one of the two.")
		case r.fits(name, e.AsString(), t, marked, at):
			out = append(out, e.AsString())
		}
	}
	return out
}

// textMap reads a map of texts, whose keys and values the two rules describe;
// nil if it is absent.
func (r *reader) textMap(name string, key, t textRule) map[string]string {
	example := "{ " + key.sample("") + " = " + t.sample("") + " }"
	v, marked, ok := r.value(name, t.need, example)
	if !ok {
		return nil
	}
	if !v.Type().IsObjectType() {
		r.wrongType(name, "a map of texts", example, r.at(name))
		return nil
	}
	out := map[string]string{}
	for k, e := range v.AsValueMap() {
		keyAt, at := memberAt(r.n.args[name], k)
		switch {
		case !r.fits("a name in "+name, k, key, marked, keyAt):
		case e.IsNull() || e.Type() != cty.String:
			r.wrongType(name, "a map of texts in quotes", example, at)
		case r.fits(strconv.Quote(k), e.AsString(), t, marked, at):
			out[k] = e.AsString()
		}
	}
	return out
}

// memberAt is where a member of a map stands: its key and its value.
func memberAt(a *hclsyntax.Attribute, key string) (k, v hcl.Range) {
	if o, ok := a.Expr.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range o.Items {
			if plain, ok := plainKey(item.KeyExpr); ok && plain == key {
				return item.KeyExpr.Range(), item.ValueExpr.Range()
			}
		}
	}
	return a.Expr.Range(), a.Expr.Range()
}

// elementAt is where an element of a list stands.
func elementAt(a *hclsyntax.Attribute, i int) hcl.Range {
	if t, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok && i < len(t.Exprs) {
		return t.Exprs[i].Range()
	}
	return a.Expr.Range()
}

// flag reads true or false.
func (r *reader) flag(name string, missing bool) bool {
	v, _, ok := r.value(name, false, "true")
	if !ok {
		return missing
	}
	v, err := convert.Convert(v, cty.Bool)
	if err != nil || v.IsNull() {
		r.wrongType(name, "true or false", "true", r.at(name))
		return missing
	}
	return v.True()
}

// whole reads a whole number between two bounds, both included.
func (r *reader) whole(name string, need bool, missing, low, high int) int {
	v, _, ok := r.value(name, need, strconv.Itoa(low))
	if !ok {
		return missing
	}
	v, err := convert.Convert(v, cty.Number)
	if err != nil || v.IsNull() {
		r.wrongType(name, "a number", strconv.Itoa(low), r.at(name))
		return missing
	}
	n, exact := v.AsBigFloat().Int64()
	if exact != 0 || n < int64(low) || n > int64(high) {
		r.bad(codeBounds, name, name+" is out of bounds", fmt.Sprintf("It is a whole number from %d to %d.", low, high))
		return missing
	}
	return int(n)
}

// measure reads a text that parse understands.
func measure[T any](r *reader, name string, need bool, missing T, example, form string, parse func(string) (T, error)) (T, bool) {
	v, marked, ok := r.value(name, need, example)
	if !ok {
		return missing, false
	}
	if v.Type() != cty.String {
		r.bad(codeType, name, fmt.Sprintf("%q must be a text in quotes", name), form)
		return missing, false
	}
	out, err := parse(v.AsString())
	if err != nil {
		summary := name + ": " + err.Error()
		if marked {
			summary = name + " cannot be what the function returned"
		}
		r.bad(codeMalformed, name, summary, form)
		return missing, false
	}
	return out, true
}

// duration reads a duration between two bounds, both included.
func (r *reader) duration(name string, need bool, missing, low, high time.Duration) time.Duration {
	example := strconv.Quote(FormatDuration(max(low, day)))
	d, ok := measure(r, name, need, missing, example, durationForm, ParseDuration)
	if ok && (d < low || d > high) {
		r.bad(codeBounds, name, name+" is out of bounds", fmt.Sprintf("It lies between %s and %s.", FormatDuration(low), FormatDuration(high)))
		return missing
	}
	return d
}

// size reads a size in bytes between two bounds, both included.
func (r *reader) size(name string, missing, low, high int64) int64 {
	n, ok := measure(r, name, false, missing, `"16GiB"`, sizeForm, ParseSize)
	if ok && (n < low || n > high) {
		r.bad(codeBounds, name, name+" is out of bounds", fmt.Sprintf("It lies between %s and %s.", formatSize(low), formatSize(high)))
		return missing
	}
	return n
}

func formatSize(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; i < len(units)-1 && n >= 1024 && n%1024 == 0; i++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// path reads a path; a relative one begins where the file is that names it.
func (r *reader) path(name string, need bool, missing string) string {
	s := r.text(name, textRule{need: need, min: 1, max: 4096, example: `"/etc/cloister/.."`})
	if s == "" {
		return missing
	}
	return absolute(dirOf(r.at(name)), s)
}
