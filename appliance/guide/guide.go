// Package guide shows the documents for developers of apps: Markdown from the
// repository, with the appliance's own address and a key filled in, as a page of
// its own or as a tree that the console draws.
//
// It is pure, and safe for concurrent use once it is made.
package guide

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	_ "embed"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	xast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// Document is one of them: Name in addresses, Title in menus, File among Files,
// which are those of the room that it is about.
type Document struct {
	Name, Title string
	Files       fs.FS
	File        string
}

// Fill is what stands where a document says https://HOST, HOST and KEY.
type Fill struct {
	URL string // "https://engage.acme.example"
	Key string // "" = KEY
}

// Node is an element with what it holds, or a text. It is encoded as a text, or
// as [TAG, CHILDREN..]; a link has its address behind the tag: ["a", HREF, ..].
type Node struct {
	Tag      string // "" = Text
	Text     string
	Href     string
	Children []Node
}

// MarshalJSON encodes it.
func (n Node) MarshalJSON() ([]byte, error) {
	if n.Tag == "" {
		return json.Marshal(n.Text)
	}
	all := []any{n.Tag}
	if n.Tag == "a" {
		all = append(all, n.Href)
	}
	for _, c := range n.Children {
		all = append(all, c)
	}
	return json.Marshal(all)
}

// Guide holds the documents, read.
type Guide struct {
	documents []Document
	trees     map[string][]Node
	page      *template.Template
}

//go:embed style.css
var style string

// policy is all that a page may do: to look as it does.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// New reads documents.
func New(documents []Document) (*Guide, error) {
	g := &Guide{documents: documents, trees: make(map[string][]Node)}
	md := goldmark.New(goldmark.WithExtensions(extension.Table))
	for _, d := range documents {
		source, err := fs.ReadFile(d.Files, d.File)
		if err != nil {
			return nil, fmt.Errorf("the developers' document %s: %w", d.Name, err)
		}
		nodes, err := children(md.Parser().Parse(text.NewReader(source)), source)
		if err != nil {
			return nil, fmt.Errorf("the developers' document %s: %w", d.Name, err)
		}
		g.trees[d.Name] = nodes
	}
	var err error
	g.page, err = template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("the developers' page: %w", err)
	}
	return g, nil
}

// Documents lists them in their order.
func (g *Guide) Documents() []Document { return g.documents }

// Tree gives a document, filled in; false if there is none of that name.
func (g *Guide) Tree(name string, f Fill) ([]Node, bool) {
	nodes, ok := g.trees[name]
	if !ok {
		return nil, false
	}
	return f.fill(nodes), true
}

// ServePage answers with a document as a page of its own, whose links to the
// others begin with base.
func (g *Guide) ServePage(w http.ResponseWriter, name, base string, f Fill) {
	nodes, ok := g.Tree(name, f)
	if !ok {
		http.Error(w, "there is no such document", http.StatusNotFound)
		return
	}
	type entry struct {
		Title, Href string
		Here        bool
	}
	data := struct {
		Title string
		Style template.CSS
		Menu  []entry
		Body  template.HTML
	}{Style: template.CSS(style), Body: template.HTML(html(nodes))} // made of texts that were escaped, and known tags
	for i, d := range g.documents {
		href := base
		if i > 0 {
			href += "/" + d.Name
		}
		if f.Key != "" {
			href += "?key=" + template.URLQueryEscaper(f.Key)
		}
		data.Menu = append(data.Menu, entry{d.Title, href, d.Name == name})
		if d.Name == name {
			data.Title = d.Title
		}
	}
	var b bytes.Buffer
	if err := g.page.Execute(&b, data); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(b.Bytes()) // a failed write means that nobody reads it
}

const pageTemplate = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Title}} – Cloister</title>
<style>{{.Style}}</style>
<nav aria-label="Documents">{{range .Menu}}<a href="{{.Href}}"{{if .Here}} aria-current="page"{{end}}>{{.Title}}</a>{{end}}</nav>
<main>{{.Body}}</main>
</html>
`

var holes = regexp.MustCompile(`https://HOST\b|\bHOST\b|\bKEY\b`)

func (f Fill) fill(nodes []Node) []Node {
	out := make([]Node, len(nodes))
	for i, n := range nodes {
		n.Children = f.fill(n.Children)
		n.Text = f.text(n.Text)
		out[i] = n
	}
	return out
}

func (f Fill) text(s string) string {
	return holes.ReplaceAllStringFunc(s, func(hole string) string {
		switch {
		case hole == "KEY" && f.Key != "":
			return f.Key
		case hole == "https://HOST" && f.URL != "":
			return f.URL
		case hole == "HOST" && f.URL != "":
			_, host, _ := strings.Cut(f.URL, "://")
			return host
		}
		return hole
	})
}

// html writes nodes as markup: known tags, and escaped texts.
func html(nodes []Node) string {
	var b strings.Builder
	for _, n := range nodes {
		if n.Tag == "" {
			b.WriteString(template.HTMLEscapeString(n.Text))
			continue
		}
		b.WriteString("<" + n.Tag)
		if n.Tag == "a" {
			b.WriteString(` href="` + template.HTMLEscapeString(n.Href) + `"`)
		}
		if n.Tag == "pre" {
			b.WriteString(` tabindex="0"`) // what scrolls must be reachable by keyboard
		}
		b.WriteString(">" + html(n.Children) + "</" + n.Tag + ">")
	}
	return b.String()
}

// children reads what a part of the Markdown holds.
func children(parent ast.Node, source []byte) ([]Node, error) {
	var out []Node
	for c := parent.FirstChild(); c != nil; c = c.NextSibling() {
		nodes, err := read(c, source)
		if err != nil {
			return nil, err
		}
		// Markdown cuts texts where it pleases.
		if last := len(out) - 1; last >= 0 && len(nodes) > 0 && out[last].Tag == "" && nodes[0].Tag == "" {
			out[last].Text += nodes[0].Text
			nodes = nodes[1:]
		}
		out = append(out, nodes...)
	}
	return out, nil
}

// read reads a part of the Markdown. What our documents do not use is a mistake
// in them.
func read(n ast.Node, source []byte) ([]Node, error) {
	tag, href := "", ""
	switch n := n.(type) {
	case *ast.Text:
		s := string(n.Segment.Value(source))
		if n.SoftLineBreak() || n.HardLineBreak() {
			s += "\n"
		}
		return []Node{{Text: s}}, nil
	case *ast.String:
		return []Node{{Text: string(n.Value)}}, nil
	case *ast.FencedCodeBlock:
		return []Node{code(n.Lines(), source)}, nil
	case *ast.CodeBlock:
		return []Node{code(n.Lines(), source)}, nil
	case *ast.AutoLink:
		tag, href = "a", string(n.URL(source))
	case *ast.Link:
		tag, href = "a", string(n.Destination)
	case *ast.Heading:
		tag = fmt.Sprintf("h%d", n.Level)
	case *ast.Emphasis:
		tag = "em"
		if n.Level == 2 {
			tag = "strong"
		}
	case *ast.List:
		tag = "ul"
		if n.IsOrdered() {
			tag = "ol"
		}
	case *ast.TextBlock:
		return children(n, source)
	case *ast.Paragraph:
		tag = "p"
	case *ast.CodeSpan:
		tag = "code"
	case *ast.ListItem:
		tag = "li"
	case *xast.Table:
		tag = "table"
	case *xast.TableHeader, *xast.TableRow:
		tag = "tr"
		if inner, err := children(n, source); err == nil && empty(inner) {
			return nil, nil // Markdown wants a header where a table needs none
		}
	case *xast.TableCell:
		tag = "td"
		if _, ok := n.Parent().(*xast.TableHeader); ok && n.HasChildren() {
			tag = "th"
		}
	default:
		return nil, fmt.Errorf("a %s is not known here", n.Kind())
	}
	inner, err := children(n, source)
	if err != nil {
		return nil, err
	}
	if tag == "a" && !strings.HasPrefix(href, "https://") {
		// It leads to a file of the repository, which is not served.
		return inner, nil
	}
	return []Node{{Tag: tag, Href: href, Children: inner}}, nil
}

// empty says that cells hold nothing.
func empty(cells []Node) bool {
	for _, c := range cells {
		if len(c.Children) > 0 {
			return false
		}
	}
	return true
}

func code(lines *text.Segments, source []byte) Node {
	return Node{Tag: "pre", Children: []Node{{Text: strings.TrimSuffix(string(lines.Value(source)), "\n")}}}
}
