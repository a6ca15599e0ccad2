package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// values are what placeholders stand for, by name.
type values map[string]string

// placeholders are all that there are.
var placeholders = []string{"id", "to", "digits", "text", "sender", "template", "ttl", "user", "password"}

var placeholder = regexp.MustCompile(`\{[A-Za-z_]+\}`)

// text is what an operator wrote, cut at its placeholders: what stands at odd
// places is the name of one.
type text []string

func parseText(s string) (text, error) {
	var t text
	last := 0
	for _, at := range placeholder.FindAllStringIndex(s, -1) {
		name := s[at[0]+1 : at[1]-1]
		if !slices.Contains(placeholders, name) {
			return nil, fmt.Errorf("there is no {%s}; there are {%s}", name, strings.Join(placeholders, "}, {"))
		}
		t = append(t, s[last:at[0]], name)
		last = at[1]
	}
	return append(t, s[last:]), nil
}

// fill puts the values in, each escaped; what the operator wrote stays as it is.
func (t text) fill(v values, escape func(string) string) string {
	var out strings.Builder
	for i, part := range t {
		if i%2 == 1 {
			part = v[part]
			if escape != nil {
				part = escape(part)
			}
		}
		out.WriteString(part)
	}
	return out.String()
}

// idle says whether nothing is left of t but placeholders without a value: such
// a field is left out.
func (t text) idle(v values) bool {
	for i, part := range t {
		if i%2 == 0 && part != "" || i%2 == 1 && v[part] != "" {
			return false
		}
	}
	return len(t) > 1
}

// target is the URL that messages go to. Its host is the operator's alone.
type target struct {
	path  text // with scheme and host
	query []text
}

func parseTarget(s string) (target, error) {
	var t target
	path, query, hasQuery := strings.Cut(s, "?")
	_, rest, ok := strings.Cut(path, "://")
	u, err := url.Parse(placeholder.ReplaceAllString(s, "x"))
	if !ok || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return t, errors.New("write it as https://api.provider.example/messages")
	}
	if host, _, _ := strings.Cut(rest, "/"); strings.ContainsAny(host, "{}@") || u.Fragment != "" {
		return t, errors.New("neither placeholders nor a name and password belong into the host, and no # behind it; there are user and password")
	}
	if t.path, err = parseText(path); err != nil {
		return t, err
	}
	if !hasQuery {
		return t, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		one, err := parseText(pair)
		if err != nil {
			return t, err
		}
		t.query = append(t.query, one)
	}
	return t, nil
}

// host is the scheme and host.
func (t target) host() string {
	s := t.path[0]
	from := strings.Index(s, "://") + 3
	if end := strings.IndexByte(s[from:], '/'); end >= 0 {
		return s[:from+end]
	}
	return s
}

var errPath = errors.New("a value that leads to another path")

func (t target) fill(v values) (string, error) {
	out := t.path.fill(v, url.PathEscape)
	for segment := range strings.SplitSeq(out[strings.Index(out, "://")+3:], "/") {
		if segment == "." || segment == ".." {
			return "", errPath
		}
	}
	sep := "?"
	for _, pair := range t.query {
		if name, value, ok := strings.Cut(pair[0], "="); ok && value == "" && !strings.Contains(name, "{") {
			if (text)(append(text{""}, pair[1:]...)).idle(v) {
				continue
			}
		}
		out += sep + pair.fill(v, url.QueryEscape)
		sep = "&"
	}
	return out, nil
}

// field is a named text: of a form, or a header.
type field struct {
	name string
	text text
}

// parseFields gives them in the order of their names.
func parseFields(m map[string]string) ([]field, error) {
	var out []field
	for _, name := range slices.Sorted(maps.Keys(m)) {
		t, err := parseText(m[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, field{name, t})
	}
	return out, nil
}

// parseJSON reads a document whose texts may hold placeholders: the values are
// put into the document and not into what it looks like, so that none can end
// the text that it stands in.
func parseJSON(s string) (any, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the JSON")
	}
	return compile(doc)
}

// compile makes texts of a document's strings.
func compile(doc any) (any, error) {
	var err error
	switch d := doc.(type) {
	case string:
		return parseText(d)
	case []any:
		for i := range d {
			if d[i], err = compile(d[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range d {
			if d[name], err = compile(d[name]); err != nil {
				return nil, err
			}
		}
	}
	return doc, nil
}

// filled is a compiled document with the values in it.
func filled(doc any, v values) any {
	switch d := doc.(type) {
	case text:
		return d.fill(v, nil)
	case []any:
		out := make([]any, len(d))
		for i := range d {
			out[i] = filled(d[i], v)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(d))
		for name, one := range d {
			if t, ok := one.(text); !ok || !t.idle(v) {
				out[name] = filled(one, v)
			}
		}
		return out
	}
	return doc
}

// request is how messages are handed over.
type request struct {
	method   string
	url      target
	headers  []field
	user     string
	password string
	basic    bool // they go by Basic authentication, and not where placeholders put them
	form     []field
	json     any    // compiled; nil = form, or no body
	check    string // URL; "" = connect only
	maxTTL   int64  // seconds; 0 = no bound
}

// outgoing is one request. A nil body is none.
type outgoing struct {
	method, url string
	header      http.Header
	body        []byte
}

func (r *request) fill(v values) (outgoing, error) {
	o := outgoing{method: r.method}
	var err error
	v = r.signedIn(v)
	if o.url, err = r.url.fill(v); err != nil {
		return o, err
	}
	if o.header, err = r.header(v); err != nil {
		return o, err
	}
	switch {
	case r.json != nil:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(filled(r.json, v)); err != nil {
			return o, fmt.Errorf("as JSON: %w", err)
		}
		o.body = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	case len(r.form) > 0:
		var pairs []string
		for _, f := range r.form {
			if !f.text.idle(v) {
				pairs = append(pairs, url.QueryEscape(f.name)+"="+url.QueryEscape(f.text.fill(v, nil)))
			}
		}
		o.body = []byte(strings.Join(pairs, "&"))
	}
	return o, nil
}

// signedIn adds the placeholders that are not a message's.
func (r *request) signedIn(v values) values {
	v = maps.Clone(v)
	v["user"], v["password"] = r.user, r.password
	return v
}

// header are a request's headers.
func (r *request) header(v values) (http.Header, error) {
	h := http.Header{"User-Agent": {"Cloister"}}
	switch {
	case r.json != nil:
		h.Set("Content-Type", "application/json")
	case len(r.form) > 0:
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if r.basic {
		(&http.Request{Header: h}).SetBasicAuth(r.user, r.password)
	}
	for _, f := range r.headers {
		if f.text.idle(v) {
			continue
		}
		value := f.text.fill(v, nil)
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, fmt.Errorf("a line break in what goes into the header %s", f.name)
		}
		name := http.CanonicalHeaderKey(f.name)
		if strings.HasSuffix(name, "Idempotency-Key") {
			// By its usual capitals net/http takes it as leave to send a request again,
			// whether or not the provider knows it.
			name = strings.ToLower(name)
		}
		h[name] = []string{value}
	}
	return h, nil
}
