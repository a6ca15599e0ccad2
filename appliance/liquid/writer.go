package liquid

import (
	"errors"
	"fmt"
	"html"
	"strings"
	"unicode"
)

// ErrPlace is wrapped by the error of a value that stands in HTML where no
// escaping makes it safe.
var ErrPlace = errors.New("no value can stand here")

// writer takes what a template shows: its own text as it is, and values
// escaped for the place where they come to stand.
type writer struct {
	r     *render
	b     []byte
	place place
}

func newWriter(r *render) *writer { return &writer{r: r} }

// String is what was written.
func (w *writer) String() string { return string(w.b) }

// text writes the template's own text.
func (w *writer) text(s string) error { return w.put(s, false) }

func (w *writer) put(s string, data bool) error {
	if len(w.b)+len(s) > w.r.o.Limits.Output {
		return w.r.past("too much output")
	}
	if err := w.r.made(len(s)); err != nil {
		return err
	}
	switch w.r.o.Escape {
	case HTML:
		if err := w.place.pass(s, data); err != nil {
			return w.wrong(err)
		}
	case URL:
		if err := w.place.url.pass(s, data); err != nil {
			return w.wrong(err)
		}
	}
	w.b = append(w.b, s...)
	return nil
}

func (w *writer) wrong(err error) error {
	return &Error{Line: w.r.line, Message: err.Error(), Err: err}
}

// value writes what came from data.
func (w *writer) value(v any) error {
	v = normal(v)
	if l, ok := v.([]any); ok { // its text is the texts of its elements
		for _, e := range l {
			if err := w.r.step(1); err != nil {
				return err
			}
			if err := w.value(e); err != nil {
				return err
			}
		}
		return nil
	}
	s := toText(v)
	if len(s) > w.r.o.Limits.Output {
		return w.r.past("too much output")
	}
	switch w.r.o.Escape {
	case Line:
		s = oneLine(s)
	case URL:
		s = w.place.url.escape(oneLine(s), v)
	case HTML:
		var err error
		if s, err = w.place.escape(s, v); err != nil {
			return w.wrong(err)
		}
	}
	return w.put(s, true)
}

// oneLine turns line breaks and other control characters into spaces.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, breaks) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if breaks(r) {
			return ' '
		}
		return r
	}, s)
}

func breaks(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// captured is what was written as a value. In HTML it is safe where whole
// elements can stand, so it must be whole itself.
func (w *writer) captured() (any, error) {
	if w.r.o.Escape != HTML {
		return string(w.b), nil
	}
	if w.place.state != inText {
		return nil, w.wrong(fmt.Errorf("%w: what capture takes must end outside of tags and comments", ErrPlace))
	}
	return safe(w.b), nil
}

// mark is a point that the writer can go back to.
type mark struct {
	n     int
	place place
}

func (w *writer) mark() mark          { return mark{len(w.b), w.place} }
func (w *writer) since(m mark) []byte { return w.b[m.n:] }
func (w *writer) back(m mark)         { w.b, w.place = w.b[:m.n], m.place }
func escapeText(s string) string      { return html.EscapeString(s) }
func unescapeText(s safe) string      { return html.UnescapeString(string(s)) }
