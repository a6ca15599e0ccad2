package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of what is read.
const (
	maxFile     = 1 << 20 // bytes
	maxFiles    = 1000
	maxProblems = 200 // of one file's syntax; more would tell nobody more
)

// loader is one Load: what was read, and what was found wrong.
type loader struct {
	o       LoadOptions
	files   []string
	sources map[string][]byte
	found   Diagnostics
	secret  []hcl.Range // literal secrets, not to be shown
	values  []string    // what the functions returned, not to be shown either
	eval    map[string]*hcl.EvalContext
	sandbox Sandbox
	broken  bool // a file could not be read or parsed as a whole

	readSecret func(path string, limit int64) ([]byte, error) // of file and credential
}

func newLoader(o LoadOptions) *loader {
	return &loader{o: o, sources: map[string][]byte{}, eval: map[string]*hcl.EvalContext{}, readSecret: readBounded}
}

// finish gives what was found, in order, with the lines of the files.
func (l *loader) finish() Diagnostics {
	for i := range l.found {
		d := &l.found[i]
		d.Summary, d.Detail = conceal(d.Summary, l.values), conceal(d.Detail, l.values)
		l.illustrate(&d.Place)
		for j := range d.Also {
			l.illustrate(&d.Also[j])
		}
	}
	return l.found.sorted(l.files)
}

// conceal takes values out of a text. What has one or two letters is no secret,
// and would make the text unreadable.
func conceal(text string, values []string) string {
	for _, v := range values {
		if len(v) > 2 {
			text = strings.ReplaceAll(text, v, hidden)
		}
	}
	return text
}

func (l *loader) bad(code string, n *node, rng hcl.Range, summary, detail string, also ...Place) {
	l.say(Error, code, n, rng, summary, detail, also...)
}

func (l *loader) warn(code string, n *node, rng hcl.Range, summary, detail string) {
	l.say(Warning, code, n, rng, summary, detail)
}

func (l *loader) say(s Severity, code string, n *node, rng hcl.Range, summary, detail string, also ...Place) {
	switch code {
	case codeUnreadable, codeTooBig, codeSyntax:
		l.broken = true
	case codeMissing, codeEmpty, codeNoSuch, codeNoKey, codeTLS:
		// It may stand in what could not be read.
		if l.broken {
			return
		}
	}
	l.found = append(l.found, Diagnostic{
		Severity: s, Code: code, Summary: summary, Detail: detail,
		In: n.path(), Place: Place{Range: rng}, Also: also,
	})
}

// node is a block as it stands in all files together: a block that is written
// again, with the same type and labels, is the same block.
type node struct {
	kind   string
	labels []string
	parent *node
	where  []hcl.Range // of its headers, in the order of reading
	names  []hcl.Range // of its labels, where it was first written
	args   map[string]*hclsyntax.Attribute
	blocks []*node
	index  map[string]*node // of blocks, by header
}

// at is where the block was first written.
func (n *node) at() hcl.Range {
	if len(n.where) == 0 {
		return hcl.Range{}
	}
	return n.where[0]
}

// labelAt is where the label stands, else the block.
func (n *node) labelAt(i int) hcl.Range {
	if i < len(n.names) {
		return n.names[i]
	}
	return n.at()
}

func (n *node) header() string {
	var b strings.Builder
	b.WriteString(n.kind)
	for _, l := range n.labels {
		fmt.Fprintf(&b, " %q", l)
	}
	return b.String()
}

func (n *node) path() string {
	if n == nil || n.parent == nil {
		return ""
	}
	if up := n.parent.path(); up != "" {
		return up + ", " + n.header()
	}
	return n.header()
}

// parse reads everything below paths into one tree.
func (l *loader) parse(paths []string) *node {
	root := newNode(nil, "", nil)
	for _, path := range l.find(paths) {
		if src, ok := l.read(path); ok {
			l.merge(root, l.syntax(path, src))
		}
	}
	return root
}

// find gives the files of paths, each once.
func (l *loader) find(paths []string) []string {
	var out []string
	seen := map[string]bool{}
	add := func(path string) {
		key, err := filepath.Abs(path)
		if err != nil {
			key = path
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, path)
		}
	}
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			l.bad(codeUnreadable, nil, hcl.Range{Filename: path}, "cannot read "+path+": "+reason(err),
				"Name files that end in .hcl, or directories that hold such files.")
			continue
		}
		if !st.IsDir() {
			add(path)
			continue
		}
		inside, err := filesOf(path)
		if err != nil {
			l.bad(codeUnreadable, nil, hcl.Range{Filename: path}, "cannot read "+path+": "+reason(err), "")
			continue
		}
		for _, f := range inside {
			add(f)
		}
	}
	if len(out) == 0 && !l.found.HasErrors() {
		l.bad(codeUnreadable, nil, hcl.Range{Filename: paths[0]}, "there is no configuration in "+strings.Join(paths, ", "),
			"Files of a configuration end in .hcl.")
	}
	if len(out) > maxFiles {
		l.bad(codeTooBig, nil, hcl.Range{Filename: out[maxFiles]}, fmt.Sprintf("%d files are too many", len(out)),
			fmt.Sprintf("At most %d files make one configuration.", maxFiles))
		out = out[:maxFiles]
	}
	return out
}

// filesOf gives the configuration files of a directory in lexical order.
// Hidden files are left out: editors keep their copies there.
func filesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") || filepath.Ext(name) != ".hcl" {
			continue
		}
		out = append(out, filepath.Join(dir, name))
	}
	slices.Sort(out)
	return out, nil
}

// reason is an error of the operating system without the path, which the
// message names already.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func (l *loader) read(path string) ([]byte, bool) {
	at := hcl.Range{Filename: path}
	l.files = append(l.files, path)
	src, err := readBounded(path, maxFile)
	switch {
	case errors.Is(err, errTooLong):
		l.bad(codeTooBig, nil, at, path+" is too large", "A configuration file has at most 1 MiB; split it into several.")
	case errors.Is(err, errNotRegular):
		l.bad(codeUnreadable, nil, at, "cannot read "+path+": it is no regular file", "Name files that end in .hcl, or directories that hold such files.")
	case err != nil:
		l.bad(codeUnreadable, nil, at, "cannot read "+path+": "+reason(err), "Give the service's user the right to read it.")
	case !utf8.Valid(src):
		l.bad(codeSyntax, nil, at, path+" is not UTF-8", "Save it as UTF-8 text.")
	default:
		l.sources[path] = src
		return src, true
	}
	return nil, false
}

var (
	errTooLong    = errors.New("too long")
	errNotRegular = errors.New("not a regular file")
)

// readBounded reads a regular file of at most limit bytes. A pipe or a device
// is refused: it could keep a reload waiting for ever.
func readBounded(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, errTooLong
	}
	return b, nil
}

// syntax parses one file. What cannot be parsed is left out of the body.
func (l *loader) syntax(path string, src []byte) *hclsyntax.Body {
	if d := scan(path, src); d != nil {
		l.found, l.broken = append(l.found, *d), true
		return nil
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	var body *hclsyntax.Body
	if file != nil {
		body, _ = file.Body.(*hclsyntax.Body)
	}
	l.syntaxProblems(path, src, body, diags)
	return body
}

func (l *loader) syntaxProblems(path string, src []byte, body *hclsyntax.Body, diags hcl.Diagnostics) {
	for i, d := range diags {
		at := hcl.Range{Filename: path}
		if d.Subject != nil {
			at = *d.Subject
		}
		if i == maxProblems {
			l.bad(codeSyntax, nil, at, fmt.Sprintf("%d more mistakes of this kind", len(diags)-i), "Mend the ones above first.")
			return
		}
		// Within one file the parser itself finds what is set twice, and says
		// so in words only.
		if first := firstOf(body, src, at); first != nil {
			l.twice(nil, first, at)
			continue
		}
		l.bad(codeSyntax, nil, at, lowerFirst(strings.TrimSuffix(d.Summary, ".")), d.Detail)
	}
}

// firstOf gives the argument that the parser kept, if what stands at is the
// name of another one of the same block.
func firstOf(b *hclsyntax.Body, src []byte, at hcl.Range) *hclsyntax.Attribute {
	if b == nil || !at.CanSliceBytes(src) {
		return nil
	}
	for _, inner := range b.Blocks {
		if r := inner.Range(); r.Start.Byte <= at.Start.Byte && at.End.Byte <= r.End.Byte {
			return firstOf(inner.Body, src, at)
		}
	}
	a := b.Attributes[string(at.SliceBytes(src))]
	if a == nil || a.NameRange == at || a.NameRange.Start.Byte > at.Start.Byte {
		return nil
	}
	return a
}

func (l *loader) twice(n *node, first *hclsyntax.Attribute, at hcl.Range) {
	l.bad(codeTwice, n, at, fmt.Sprintf("%q is set twice", first.Name),
		"An argument may be set once, in all files together. Remove one of the two; or, if these are two blocks, give one another name.",
		Place{Range: first.NameRange, Note: "set here first"})
}

// merge puts a body into n.
func (l *loader) merge(n *node, b *hclsyntax.Body) {
	if b == nil {
		return
	}
	for _, a := range byPosition(b.Attributes) {
		if first := n.args[a.Name]; first != nil {
			l.twice(n, first, a.NameRange)
			continue
		}
		n.args[a.Name] = a
	}
	for _, block := range b.Blocks {
		l.merge(n.child(block), block.Body)
	}
}

// child gives the node of a block, made if this is the first of its name.
func (n *node) child(b *hclsyntax.Block) *node {
	c := newNode(n, b.Type, b.Labels)
	if there := n.index[c.header()]; there != nil {
		there.where = append(there.where, b.DefRange())
		return there
	}
	c.where, c.names = []hcl.Range{b.DefRange()}, b.LabelRanges
	n.index[c.header()] = c
	n.blocks = append(n.blocks, c)
	return c
}

func newNode(parent *node, kind string, labels []string) *node {
	return &node{
		kind: kind, labels: labels, parent: parent,
		args: map[string]*hclsyntax.Attribute{}, index: map[string]*node{},
	}
}

func byPosition(m hclsyntax.Attributes) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(m))
	for _, a := range m {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int {
		return a.NameRange.Start.Byte - b.NameRange.Start.Byte
	})
	return out
}

func lowerFirst(s string) string {
	if s == "" || len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
