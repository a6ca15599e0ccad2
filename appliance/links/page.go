package links

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
)

// style is the pages' own; the policy names it by its hash, and allows no
// script, no other style and no request elsewhere.
const style = `:root{color-scheme:light dark;--ink:#1c2430;--paper:#fff;--soft:#5b6675;--line:#d5dae1;--act:#1f4fd8;--on:#fff;--said:#e8f5ec}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf2;--paper:#12161d;--soft:#a3adba;--line:#333c49;--act:#8fb0ff;--on:#0b1020;--said:#16301f}}
*{box-sizing:border-box}
body{margin:0;font:1.0625rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main{max-width:36rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1.125rem;margin:2.5rem 0 .5rem}
p{margin:.5rem 0}
.soft{color:var(--soft)}
.said{background:var(--said);border-radius:.5rem;padding:.75rem 1rem}
fieldset{border:1px solid var(--line);border-radius:.5rem;margin:1rem 0;padding:.75rem 1rem}
legend{font-weight:600;padding:0 .25rem}
label{display:flex;gap:.625rem;align-items:center;padding:.375rem 0;min-height:2.75rem;cursor:pointer}
input{width:1.25rem;height:1.25rem;accent-color:var(--act)}
button{font:inherit;font-weight:600;min-height:2.75rem;padding:.5rem 1.25rem;border-radius:.5rem;border:1px solid var(--act);background:var(--act);color:var(--on);cursor:pointer}
button.quiet{background:none;color:var(--act)}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
form{margin:1rem 0}`

var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

var pages = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{- if .Said}}
<p class="said" role="status">{{.Said}}</p>
{{- end}}
{{- if .Stop}}
<p>Messages about <strong>{{.Stop}}</strong> by {{.By}}.</p>
<form method="post">
<input type="hidden" name="action" value="unsubscribe">
<button type="submit">Unsubscribe</button>
</form>
{{- end}}
{{- if .Purposes}}
<h2 id="choice">What you get</h2>
<form method="post" aria-labelledby="choice">
<input type="hidden" name="action" value="save">
{{- range .Purposes}}
<fieldset>
<legend>{{.Title}}</legend>
{{- if .Contract}}
<p class="soft">Belongs to your contract and is always sent.</p>
{{- else}}
{{- range .Channels}}
<label><input type="checkbox" name="allow" value="{{.Value}}"{{if .On}} checked{{end}}>{{.Title}}</label>
{{- end}}
{{- end}}
</fieldset>
{{- end}}
<button type="submit">Save</button>
</form>
<form method="post">
<input type="hidden" name="action" value="stop">
<button type="submit" class="quiet">Stop everything that I can decline</button>
</form>
{{- end}}
</main>
</body>
</html>
`))

// content is what a page shows, or a script is told.
type content struct {
	Title    string         `json:"title"`
	Said     string         `json:"said"`
	Stop     string         `json:"-"`   // the purpose of the message, where it can be declined
	By       string         `json:"-"`   // and its channel
	Own      string         `json:"own"` // the box of the message
	Purposes []shownPurpose `json:"purposes"`
	Style    template.CSS   `json:"-"`
}

type shownPurpose struct {
	Title    string         `json:"title"`
	Contract bool           `json:"contract"`
	Channels []shownChannel `json:"channels"`
}

// shownChannel is a box to tick; a contract's are not shown.
type shownChannel struct {
	Title string `json:"title"`
	Value string `json:"value"`
	On    bool   `json:"on"`
}

// data answers a script with data instead of a page.
type data struct{ http.ResponseWriter }

func plain(title string) content { return content{Title: title} }

var channelTitles = map[string]string{"email": "E-mail", "sms": "Text message", "push": "Push notification", "webhook": "Other services"}

var channelWords = map[string]string{"email": "e-mail", "sms": "text message", "push": "push notification", "webhook": "other services"}

// preferences is the page about what a recipient gets. decided are decisions
// that were taken just now, and that Allowed may not know yet.
func (d *Door) preferences(p Publisher, m delivery.Message, decided []event.Consent, said string) content {
	c := content{Title: "Messages from " + p.Title(), Said: said, Own: field(m.Purpose, m.Channel), Purposes: []shownPurpose{}}
	on := func(purpose, channel string) bool {
		for i := len(decided) - 1; i >= 0; i-- {
			if x := decided[i]; x.Purpose == purpose && (x.Channel == channel || x.Channel == "") {
				return x.Granted
			}
		}
		return p.Allowed(m.Person, purpose, channel)
	}
	for _, u := range p.Purposes() {
		title := u.Title
		if title == "" {
			title = u.Name
		}
		s := shownPurpose{Title: title, Contract: u.Contract, Channels: []shownChannel{}}
		for _, channel := range u.Channels {
			s.Channels = append(s.Channels, shownChannel{channelTitles[channel], field(u.Name, channel), on(u.Name, channel)})
		}
		c.Purposes = append(c.Purposes, s)
		if u.Name == m.Purpose && !u.Contract && on(u.Name, m.Channel) {
			c.Stop, c.By = title, channelWords[m.Channel]
		}
	}
	return c
}

// show writes a page, or its data.
func (d *Door) show(w http.ResponseWriter, status int, c content) {
	if _, ok := w.(data); ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(c) // it is texts; who hangs up has their reason
		return
	}
	c.Style = template.CSS(style)
	var b bytes.Buffer
	if err := pages.Execute(&b, c); err != nil {
		d.o.Logger.Error("a page for recipients cannot be made", "error", err)
		http.Error(w, "This cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // who hangs up has their reason
}
