package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxSource bounds a line as it is shown, in bytes.
const maxSource = 400

// illustrate puts the line of a place beside it.
func (l *loader) illustrate(p *Place) {
	src := l.sources[p.Range.Filename]
	start := p.Range.Start.Byte
	if src == nil || p.Range.Start.Line == 0 || start > len(src) {
		return
	}
	from := bytes.LastIndexByte(src[:start], '\n') + 1
	to := len(src)
	if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
		to = start + i
	}
	end := min(to, max(p.Range.End.Byte, start))
	if p.Range.End.Line != p.Range.Start.Line {
		end = from + len(bytes.TrimRight(src[from:to], " \t\r{"))
	}
	p.Source, p.from, p.to = l.masked(p.Range.Filename, from, to, start, max(start, end))
}

// secretName finds, also in what the parser could not read, what likely holds a
// secret.
var secretName = regexp.MustCompile(`(?i)(?:secret|passw|passcode|passphrase|token|private|api_?key)[a-z0-9_-]*"?\s*[=:]\s*(.*)$`)

// masked gives the line from..to of a file with its secrets covered, and where
// in it the part start..end stands.
func (l *loader) masked(file string, from, to, start, end int) (line string, first, last int) {
	covered := l.covered(file, from, to)
	var b strings.Builder
	first, last = -1, -1
	for i := from; ; {
		if first < 0 && i >= start {
			first = b.Len()
		}
		if last < 0 && i >= end {
			last = b.Len()
		}
		if i >= to {
			break
		}
		j := i
		for j < to && covered[j-from] {
			j++
		}
		if j > i {
			// All of it is replaced, so that not even its length shows. What
			// ends within ends behind.
			b.WriteString(hidden)
			if first < 0 && start < j {
				first = b.Len() - len(hidden)
			}
			i = j
			continue
		}
		b.WriteByte(l.sources[file][i])
		i++
	}
	line = strings.TrimRight(b.String(), "\r")
	if len(line) > maxSource {
		line = strings.ToValidUTF8(line[:maxSource], "") + " .."
	}
	return line, min(first, len(line)), min(last, len(line))
}

// covered says which bytes of a line must not be shown.
func (l *loader) covered(file string, from, to int) []bool {
	out := make([]bool, to-from)
	cover := func(a, b int) {
		for i := max(a, from); i < min(b, to); i++ {
			out[i-from] = true
		}
	}
	for _, s := range l.secret {
		if s.Filename == file {
			cover(s.Start.Byte, s.End.Byte)
		}
	}
	line := l.sources[file][from:to]
	if m := secretName.FindSubmatchIndex(line); m != nil && !called(line[m[2]:m[3]]) {
		cover(from+m[2], from+m[3])
	}
	return out
}

// called says whether a value is a call of one of our functions.
func called(value []byte) bool {
	for _, name := range functionNames {
		if bytes.HasPrefix(value, []byte(name+"(")) {
			return true
		}
	}
	return false
}

// WriteText writes diagnostics for people; with colour for a terminal.
func (ds Diagnostics) WriteText(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	for i, d := range ds {
		if i > 0 {
			b.WriteByte('\n')
		}
		p.diagnostic(&b, d)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing diagnostics: %w", err)
	}
	return nil
}

// painter writes colours, or does not.
type painter bool

func (p painter) in(colour, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p painter) diagnostic(b *strings.Builder, d Diagnostic) {
	colour, word := "1;31", "Error"
	if d.Severity == Warning {
		colour, word = "1;33", "Warning"
	}
	fmt.Fprintf(b, "%s %s\n", p.in(colour, word+" "+d.Code+":"), p.in("1", printable(d.Summary)))
	if d.Place.Range.Filename != "" {
		in := ""
		if d.In != "" {
			in = "in " + d.In
		}
		p.place(b, d.Place, in, colour)
	}
	for _, also := range d.Also {
		p.place(b, also, also.Note, "1;36")
	}
	if d.Detail != "" {
		fmt.Fprintf(b, "  %s\n", strings.ReplaceAll(printable(d.Detail), "\n", "\n  "))
	}
}

func (p painter) place(b *strings.Builder, at Place, note, colour string) {
	r := at.Range
	if r.Start.Line == 0 {
		return // a whole file, which the summary names
	}
	fmt.Fprintf(b, "  on %s line %d", r.Filename, r.Start.Line)
	if note != "" {
		fmt.Fprintf(b, ", %s", note)
	}
	b.WriteString(":\n")
	if at.Source == "" {
		return
	}
	gutter := fmt.Sprintf("%5d: ", r.Start.Line)
	source := printable(at.Source)
	fmt.Fprintf(b, "%s%s\n", gutter, source)
	before, marked := marks(at)
	if marked > 0 {
		fmt.Fprintf(b, "%s%s%s\n", strings.Repeat(" ", len(gutter)), before, p.in(colour, strings.Repeat("^", marked)))
	}
}

// marks gives what stands below a line before the marks, and how many marks
// there are. Tabs stay tabs, so that the marks stand where they belong.
func marks(at Place) (before string, n int) {
	before = strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, at.Source[:at.from])
	return before, max(1, utf8.RuneCountInString(at.Source[at.from:max(at.from, at.to)]))
}

// printable keeps what a file says from steering a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || c >= ' ' && c != 0x7f && (c < 0x80 || c > 0x9f) && c != utf8.RuneError {
			return c
		}
		return '?'
	}, s)
}

// jsonPlace is a Place as programs read it.
type jsonPlace struct {
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	Source    string `json:"source,omitempty"`
	Note      string `json:"note,omitempty"`
}

func (p Place) json() jsonPlace {
	return jsonPlace{
		File: p.Range.Filename, Line: p.Range.Start.Line, Column: p.Range.Start.Column,
		EndLine: p.Range.End.Line, EndColumn: p.Range.End.Column, Source: p.Source, Note: p.Note,
	}
}

// MarshalJSON gives a flat object: severity, code, summary, detail, in, file,
// line, column, end_line, end_column, source, also.
func (d Diagnostic) MarshalJSON() ([]byte, error) {
	also := make([]jsonPlace, len(d.Also))
	for i, p := range d.Also {
		also[i] = p.json()
	}
	return json.Marshal(struct {
		Severity Severity `json:"severity"`
		Code     string   `json:"code"`
		Summary  string   `json:"summary"`
		Detail   string   `json:"detail,omitempty"`
		In       string   `json:"in,omitempty"`
		jsonPlace
		Also []jsonPlace `json:"also,omitempty"`
	}{d.Severity, d.Code, d.Summary, d.Detail, d.In, d.Place.json(), also})
}

// WriteJSON writes one object: valid, errors, warnings, diagnostics.
func (ds Diagnostics) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if ds == nil {
		ds = Diagnostics{}
	}
	err := e.Encode(struct {
		Valid       bool        `json:"valid"`
		Errors      int         `json:"errors"`
		Warnings    int         `json:"warnings"`
		Diagnostics Diagnostics `json:"diagnostics"`
	}{!ds.HasErrors(), ds.Count(Error), ds.Count(Warning), ds})
	if err != nil {
		return fmt.Errorf("writing diagnostics: %w", err)
	}
	return nil
}
