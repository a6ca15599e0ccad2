package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxSecret bounds what file and credential read, in bytes.
const maxSecret = 64 << 10

// sensitive marks what the functions return, and everything made of it.
const sensitive = mark("sensitive")

type mark string

// functionNames are what may be called, with one text each.
var functionNames = []string{"env", "file", "credential"}

// evaluate gives an argument's value, marked if it is sensitive. The language
// is kept to values, lists, maps, texts and the functions: what a file can cost
// is then bounded by its length, and an operator sees what is configured.
func (l *loader) evaluate(n *node, a *hclsyntax.Attribute) (cty.Value, bool) {
	if !l.permitted(n, a.Expr) {
		return cty.NilVal, false
	}
	v, diags := a.Expr.Value(l.context(a.Expr.Range().Filename))
	if !diags.HasErrors() {
		return v, true
	}
	for _, d := range diags {
		at := a.Expr.Range()
		if d.Subject != nil {
			at = *d.Subject
		}
		if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok && call.FunctionCallError() != nil {
			l.unavailable(n, at, call.CalledFunctionName(), call.FunctionCallError())
			continue
		}
		// Not d.Detail: it may quote a value.
		l.bad(codeExpression, n, at, lowerFirst(d.Summary), "Write the value itself, or a text in quotes.")
	}
	return cty.NilVal, false
}

// unavailable tells that a function found nothing.
func (l *loader) unavailable(n *node, at hcl.Range, name string, err error) {
	summary := name + " found nothing"
	var f *functionError
	if errors.As(err, &f) {
		summary = f.summary
	}
	detail := map[string]string{
		"env":        "Set the variable in the service's environment; or use file() or credential().",
		"file":       "Name a regular file of at most 64 KiB of text that the service's user can read. A relative path begins at the directory of this file.",
		"credential": "Add LoadCredential=NAME:/path to the service's unit, or put a file of that name into /etc/cloister/credentials.",
	}[name]
	l.bad(codeFunction, n, at, summary, detail)
}

// permitted says whether an expression is of the kinds that have a place in a
// configuration. The parser has bounded its depth already.
func (l *loader) permitted(n *node, e hclsyntax.Expression) bool {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.TemplateWrapExpr:
		return l.permitted(n, e.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		return l.permitted(n, e.Expression)
	case *hclsyntax.TemplateExpr:
		return l.allPermitted(n, e.Parts)
	case *hclsyntax.TupleConsExpr:
		return l.allPermitted(n, e.Exprs)
	case *hclsyntax.ObjectConsExpr:
		return l.objectPermitted(n, e)
	case *hclsyntax.ObjectConsKeyExpr:
		if hcl.ExprAsKeyword(e.Wrapped) != "" {
			return true // a bare word is a key
		}
		return l.permitted(n, e.Wrapped)
	case *hclsyntax.UnaryOpExpr:
		if _, number := e.Val.(*hclsyntax.LiteralValueExpr); number && e.Op == hclsyntax.OpNegate {
			return true
		}
	case *hclsyntax.FunctionCallExpr:
		return l.callPermitted(n, e)
	case *hclsyntax.ScopeTraversalExpr:
		word := e.Traversal.RootName()
		l.bad(codeExpression, n, e.Range(), fmt.Sprintf("%q is neither a value nor a function", word),
			fmt.Sprintf("There are no variables. If it is a text, write it in quotes: %q.", word))
		return false
	}
	l.bad(codeExpression, n, e.Range(), "this kind of expression has no place here",
		"Write a text in quotes, a number, true or false, a list, a map, or one of the functions "+calls()+".")
	return false
}

func (l *loader) allPermitted(n *node, es []hclsyntax.Expression) bool {
	ok := true
	for _, e := range es {
		ok = l.permitted(n, e) && ok
	}
	return ok
}

func (l *loader) objectPermitted(n *node, e *hclsyntax.ObjectConsExpr) bool {
	ok := true
	seen := map[string]hcl.Range{}
	for _, item := range e.Items {
		ok = l.permitted(n, item.KeyExpr) && l.permitted(n, item.ValueExpr) && ok
		key, plain := plainKey(item.KeyExpr)
		if !plain {
			continue
		}
		if first, there := seen[key]; there {
			l.bad(codeTwice, n, item.KeyExpr.Range(), fmt.Sprintf("%q is set twice", key), "Remove one of the two.",
				Place{Range: first, Note: "set here first"})
			ok = false
			continue
		}
		seen[key] = item.KeyExpr.Range()
	}
	return ok
}

// plainKey is a key that needs no evaluation.
func plainKey(e hclsyntax.Expression) (string, bool) {
	if word := hcl.ExprAsKeyword(e); word != "" {
		return word, true
	}
	key, ok := e.(*hclsyntax.ObjectConsKeyExpr)
	if !ok {
		return "", false
	}
	t, ok := key.Wrapped.(*hclsyntax.TemplateExpr)
	if !ok || !t.IsStringLiteral() {
		return "", false
	}
	v, _ := t.Value(nil)
	return v.AsString(), true
}

func (l *loader) callPermitted(n *node, e *hclsyntax.FunctionCallExpr) bool {
	known := false
	for _, name := range functionNames {
		known = known || name == e.Name
	}
	switch {
	case !known:
		l.bad(codeExpression, n, e.NameRange, fmt.Sprintf("there is no function %q", e.Name),
			suggest(e.Name, functionNames)+"The functions are "+calls()+".")
		return false
	case len(e.Args) != 1 || e.ExpandFinal:
		l.bad(codeExpression, n, e.Range(), e.Name+" takes one text", "Write "+e.Name+"(\"..\").")
		return false
	}
	return l.permitted(n, e.Args[0])
}

func calls() string {
	out := make([]string, len(functionNames))
	for i, name := range functionNames {
		out[i] = name + `("..")`
	}
	return enumerate(out, "or")
}

// context gives the functions as they work in one file.
func (l *loader) context(file string) *hcl.EvalContext {
	if c := l.eval[file]; c != nil {
		return c
	}
	dir := filepath.Dir(file)
	c := &hcl.EvalContext{Functions: map[string]function.Function{
		"env":        l.textFunction(l.env),
		"file":       l.textFunction(func(path string) (string, string) { return l.secretFile(absolute(dir, path), "the file") }),
		"credential": l.textFunction(l.credential),
	}}
	l.eval[file] = c
	return c
}

// absolute makes of a path in a file of dir one that does not depend on where
// the daemon was started.
func absolute(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

// functionError is what one of our functions had to say.
type functionError struct{ summary string }

func (e *functionError) Error() string { return e.summary }

// textFunction makes a function of one text whose value is sensitive. f gives
// the value, or what is wrong.
func (l *loader) textFunction(f func(string) (value, wrong string)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "name", Type: cty.String, AllowMarked: true}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			arg, marks := args[0].Unmark()
			value, wrong := f(arg.AsString())
			if wrong != "" {
				if len(marks) > 0 { // the argument is a secret itself
					wrong = "what the sensitive name stands for cannot be read"
				}
				return cty.NilVal, &functionError{wrong}
			}
			l.values = append(l.values, value)
			return cty.StringVal(value).Mark(sensitive), nil
		},
	})
}

func (l *loader) env(name string) (value, wrong string) {
	v, ok := l.o.Getenv(name)
	if !ok {
		return "", fmt.Sprintf("the environment has no variable %q", name)
	}
	if !utf8.ValidString(v) {
		return "", fmt.Sprintf("the variable %q is not text", name)
	}
	return v, ""
}

func (l *loader) credential(name string) (value, wrong string) {
	if !validCredential(name) {
		return "", fmt.Sprintf("%q is no name of a credential", name)
	}
	return l.secretFile(filepath.Join(l.o.Credentials, name), "the credential")
}

// validCredential keeps a name from leaving the directory.
func validCredential(name string) bool {
	return name != "" && len(name) <= 255 && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, "/\x00")
}

func (l *loader) secretFile(path, what string) (value, wrong string) {
	b, err := l.readSecret(path, maxSecret)
	if err != nil {
		return "", fmt.Sprintf("%s %s cannot be read: %s", what, path, reason(err))
	}
	if !utf8.Valid(b) {
		return "", fmt.Sprintf("%s %s is not text", what, path)
	}
	return strings.TrimRight(string(b), "\r\n"), ""
}
