package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// dlt is what messages to India need: an entity, headers and templates that
// are registered on an operator's ledger (TRAI, TCCCPR 2018). Which parameter
// holds what, and how it ends, differs between operators' gateways.
type dlt struct {
	entity, chain                    string
	entityTag, templateTag, chainTag uint16
	end                              string            // "\x00" or nothing
	headers                          map[string]string // header without suffix -> kind of the suffix, "" = none
	suffix                           bool              // the suffix goes onto the wire
	templates                        map[string]template
	headersOf                        map[string][]string // by template; none = any
}

// template is a registered text.
type template struct{ text *regexp.Regexp }

var (
	header     = regexp.MustCompile(`^([A-Za-z]{6}|[0-9]{6})(?:-([PSTG]))?$`)
	templateID = regexp.MustCompile(`^[0-9]{1,30}$`)
)

// cutHeader is a header and the kind that its suffix says.
func cutHeader(text string) (name, kind string, ok bool) {
	m := header.FindStringSubmatch(text)
	if m == nil {
		return "", "", false
	}
	return strings.ToUpper(m[1]), m[2], true
}

// variable is one of a template: {#var#}, or one of those that say what they
// hold. It stands for up to 30 characters.
var variable = regexp.MustCompile(`\{#[A-Za-z]+#\}`)

const variableLength = 30

// variables are what the typed ones may hold.
var variables = map[string]string{
	"{#numeric#}":      `[0-9., ]`,
	"{#alphanumeric#}": `.`,
	"{#var#}":          `.`,
	"{#url#}":          `\S`,
	"{#urlott#}":       `\S`,
	"{#cbn#}":          `[0-9+ -]`,
	"{#email#}":        `\S`,
}

// parseTemplate makes sense of a registered text.
func parseTemplate(text string) (template, error) {
	text = spaces(text)
	if text == "" {
		return template{}, fmt.Errorf("there is no text")
	}
	var e strings.Builder
	e.WriteString(`^(?s:`)
	for text != "" {
		at := variable.FindStringIndex(text)
		if at == nil {
			e.WriteString(regexp.QuoteMeta(text))
			break
		}
		e.WriteString(regexp.QuoteMeta(text[:at[0]]))
		name := strings.ToLower(text[at[0]:at[1]])
		holds, ok := variables[name]
		if !ok {
			return template{}, fmt.Errorf("there is no variable %s", name)
		}
		fmt.Fprintf(&e, "%s{0,%d}", holds, variableLength)
		text = text[at[1]:]
	}
	e.WriteString(`)$`)
	re, err := regexp.Compile(e.String())
	if err != nil {
		return template{}, fmt.Errorf("it is too long")
	}
	return template{re}, nil
}

// spaces makes all line breaks one kind, and cuts space around the text: no
// operator minds either.
func spaces(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}

// check says what is wrong with a message by the rules of the ledger, and gives
// the sender as it goes onto the wire and the parameters. Only messages to
// India have to do with it.
func (d *dlt) check(m connector.Message, sender string) (string, tlvs, *refusal) {
	no := func(format string, args ...any) (string, tlvs, *refusal) {
		return "", nil, &refusal{connector.ClassContent, "DLT: " + fmt.Sprintf(format, args...)}
	}
	name, kind, ok := cutHeader(sender)
	if !ok {
		return no("the sender is no header of six letters or digits")
	}
	registered, ok := d.headers[name]
	if !ok && len(d.headers) > 0 {
		return no("the sender is none of the registered headers")
	}
	if kind != "" && registered != "" && kind != registered {
		return no("the header is registered as -%s", registered)
	}
	if kind == "" {
		kind = registered
	}
	if m.Marketing && kind == "T" {
		return no("a transactional header cannot carry marketing")
	}
	if m.Template == "" {
		return no("the message names no template")
	}
	t, ok := d.templates[m.Template]
	if !ok && len(d.templates) > 0 {
		return no("the template is not registered here")
	}
	if of := d.headersOf[m.Template]; len(of) > 0 && !slices.Contains(of, name) {
		return no("the template is not registered for this header")
	}
	if ok && !t.text.MatchString(spaces(m.Text)) {
		return no("the text does not fit its template")
	}
	if d.suffix && kind != "" {
		name += "-" + kind
	}
	ts := tlvs{{d.entityTag, []byte(d.entity + d.end)}, {d.templateTag, []byte(m.Template + d.end)}}
	if d.chain != "" {
		ts = append(ts, tlv{d.chainTag, []byte(d.chain + d.end)})
	}
	return name, ts, nil
}
