// Package liquid renders the templates that marketers write: the standard
// Liquid language without files, parsed once, rendered within budgets, and with
// what comes from data escaped for the place where it stands.
//
// A template that errs costs one message and nothing else: it cannot read
// files, the environment or the clock beyond Options, cannot panic, and stops
// at its budget of steps, bytes and time. The package is pure.
package liquid

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrBudget is wrapped by the error of a rendering that went past its Limits.
var ErrBudget = errors.New("past its budget")

// Error is a mistake in a template, or one met while rendering it. It quotes
// the template, never data.
type Error struct {
	Line    int // from 1; 0 = unknown
	Message string
	Err     error // cause, may be nil
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Abort is the error of a template that decided, with abort or abort_message,
// that this message is not to be sent. Reason is the template's own text.
type Abort struct{ Reason string }

func (a *Abort) Error() string { return "aborted by the template: " + a.Reason }

// Lookup is an object that templates read by name. Get must be cheap.
type Lookup interface {
	Get(key string) (any, bool)
}

// Keyed is a Lookup whose members can be gone through, in an order of its own.
type Keyed interface {
	Lookup
	Keys() []string
}

// Escape says what is done to what comes from data.
type Escape int

const (
	// None: text, and JSON encoders behind it.
	None Escape = iota
	// HTML: escaped for its place, be it text, an attribute or a URL. Where
	// no escaping is safe (scripts, styles, names of tags and attributes)
	// rendering fails.
	HTML
	// Line: one line of text, a header: line breaks and other control
	// characters in values become spaces.
	Line
	// URL: a link. Values before its question mark are pieces of it, values
	// behind are percent-encoded whole; a value cannot make it one that runs code.
	URL
)

// Limits bound one rendering. A zero field means the default.
type Limits struct {
	Steps  int           // nodes and items passed; 10,000
	Output int           // bytes written; 256 KiB
	Memory int           // bytes made on the way, in all; 2 MiB
	Time   time.Duration // by Options.Now, so that a busy machine counts too; 500 ms
}

// Options of one rendering.
type Options struct {
	Escape   Escape
	Limits   Limits
	Now      func() time.Time // nil = time.Now
	Location *time.Location   // of dates that are printed; nil = UTC
}

func (o Options) withDefaults() Options {
	if o.Limits.Steps == 0 {
		o.Limits.Steps = 10_000
	}
	if o.Limits.Output == 0 {
		o.Limits.Output = 256 << 10
	}
	if o.Limits.Memory == 0 {
		o.Limits.Memory = 2 << 20
	}
	if o.Limits.Time == 0 {
		o.Limits.Time = 500 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	return o
}

// Bounds of a template.
const (
	MaxSource = 512 << 10 // bytes
	maxDepth  = 64        // of blocks and expressions
)

// Template is a parsed template. It is immutable and safe for concurrent use.
type Template struct {
	body   block
	fields []string
}

// Parse parses a template. The error is an *Error with its line.
func Parse(source string) (*Template, error) {
	if len(source) > MaxSource {
		return nil, &Error{Message: fmt.Sprintf("the template has %d bytes, %d are allowed", len(source), MaxSource)}
	}
	tokens, err := scan(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, fields: map[string]bool{}}
	body, err := p.whole()
	if err != nil {
		return nil, err
	}
	t := &Template{body: body}
	for f := range p.fields {
		t.fields = append(t.fields, f)
	}
	slices.Sort(t.fields)
	return t, nil
}

// Fields lists what the template refers to by name, as "Profile.city", sorted.
// Names that it computes are not in it, nor are variables of its own told apart.
func (t *Template) Fields() []string { return slices.Clone(t.fields) }

// Render renders the template over vars. Values are nil, bool, int, int64,
// float64, string, time.Time, []any, map[string]any and Lookup. The error is an
// *Abort or an *Error, which wraps ErrBudget where that is the reason; then
// there is no output.
func (t *Template) Render(vars map[string]any, o Options) (string, error) {
	o = o.withDefaults()
	r := &render{o: o, vars: vars, assigns: map[string]any{}, deadline: o.Now().Add(o.Limits.Time)}
	r.out = newWriter(r)
	err := t.body.run(r)
	if err == errBreak || err == errContinue {
		err = nil // outside a loop they end the template
	}
	if err != nil {
		return "", err
	}
	return r.out.String(), nil
}

// render is the state of one rendering.
type render struct {
	o        Options
	vars     map[string]any
	assigns  map[string]any
	counters map[string]int64
	scopes   []scope // of loops, innermost last
	cycles   map[string]int
	offsets  map[string]int // of loops that may be continued
	changed  *string
	out      *writer
	line     int
	steps    int
	memory   int
	deadline time.Time
	depth    int
}

type scope struct {
	name  string
	value any
}

func (r *render) fail(format string, args ...any) error {
	return &Error{Line: r.line, Message: fmt.Sprintf(format, args...)}
}

func (r *render) past(what string) error {
	return &Error{Line: r.line, Message: what + ": past its budget", Err: ErrBudget}
}

// step counts work; every so often it looks at the clock.
func (r *render) step(n int) error {
	before := r.steps
	r.steps += n
	if r.steps > r.o.Limits.Steps {
		return r.past("too many steps")
	}
	if before/64 != r.steps/64 && r.o.Now().After(r.deadline) {
		return r.past("too slow")
	}
	return nil
}

// made counts bytes that were made, kept or not: what doubles runs out of it.
func (r *render) made(bytes int) error {
	r.memory += bytes
	if r.memory > r.o.Limits.Memory || bytes < 0 {
		return r.past("too much memory")
	}
	return nil
}

// get finds a variable.
func (r *render) get(name string) any {
	for i := len(r.scopes) - 1; i >= 0; i-- {
		if r.scopes[i].name == name {
			return r.scopes[i].value
		}
	}
	if v, ok := r.assigns[name]; ok {
		return v
	}
	if v, ok := r.vars[name]; ok {
		return v
	}
	if v, ok := r.counters[name]; ok {
		return v
	}
	return nil
}

// node is one piece of a template, compiled.
type node func(r *render) error

// block is a run of nodes.
type block []node

func (b block) run(r *render) error {
	for _, n := range b {
		if err := r.step(1); err != nil {
			return err
		}
		if err := n(r); err != nil {
			return err
		}
	}
	return nil
}

// blank says whether a block only holds white space.
func isBlankText(s string) bool { return strings.TrimSpace(s) == "" }
