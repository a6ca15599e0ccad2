package author

import "strings"

// channel is what a project's example has of a channel. The examples are of sms;
// in a project of another channel what is sms's there is that channel's.
type channel struct {
	name    string
	writes  string // what goes into the file
	address string // a pattern
	reason  string // of what does not match it
	lacks   string // the same, of README.md
	// fields are what is written of a message, in each language.
	fields map[string]string
}

var channels = []channel{
	{"sms", "short messages", `^\+[0-9]{5,15}$`, "not a number", "is no number", map[string]string{
		"go": `"text": m.Text`, "python": `"text": m.text`, "node": `text: m.text`,
	}},
	{"email", "e-mails", `^[^@\s]+@[^@\s]+$`, "not an e-mail address", "is no e-mail address", map[string]string{
		"go":     `"subject": m.Subject, "text": m.Text, "html": m.HTML, "unsubscribe": m.Unsubscribe`,
		"python": `"subject": m.subject, "text": m.text, "html": m.html, "unsubscribe": m.unsubscribe`,
		"node":   `subject: m.subject, text: m.text, html: m.html, unsubscribe: m.unsubscribe`,
	}},
	{"push", "push messages", `^\S+$`, "not a token", "is no token", map[string]string{
		"go":     `"platform": m.Platform, "title": m.Subject, "text": m.Text, "link": m.Link`,
		"python": `"platform": m.platform, "title": m.subject, "text": m.text, "link": m.link`,
		"node":   `platform: m.platform, title: m.subject, text: m.text, link: m.link`,
	}},
	{"webhook", "messages", `^.+$`, "no user id", "is empty", map[string]string{
		"go":     `"text": m.Text, "data": m.Data`,
		"python": `"text": m.text, "data": {h.name: h.value for h in m.data}`,
		"node":   `text: m.text, data: m.data`,
	}},
}

// Channels are those that a project can be for.
func Channels() (names []string) {
	for _, c := range channels {
		names = append(names, c.name)
	}
	return names
}

// of makes what is sms's in the examples of a language this channel's.
func (c channel) of(language string) *strings.Replacer {
	sms := channels[0]
	return strings.NewReplacer(
		`"`+sms.name+`"`, `"`+c.name+`"`, "only "+sms.name, "only "+c.name,
		"Writes "+sms.writes, "Writes "+c.writes, sms.address, c.address, sms.reason, c.reason, sms.lacks, c.lacks,
		sms.fields[language], c.fields[language],
	)
}
