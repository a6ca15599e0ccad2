package main

import (
	"bytes"
	"io"
	"mime"
	"regexp"
	"strconv"
	"strings"

	"github.com/emersion/go-message"
)

// report is what a mail that came back says: a delivery status notification
// (RFC 3464, 6533), a complaint (RFC 5965), or neither. Whatever comes is read
// within bounds, and what cannot be read says nothing.
type report struct {
	auto       bool      // written by a program: an answer by hand it is not
	recipients []failure // of a delivery status
	feedback   string    // type of a complaint, lower case; "" = it is none
	hints      []string  // where a mark of ours may stand
	text       string    // first plain part
	failedTo   bool      // Exim's and others' own header of a bounce
}

// failure is a group of fields about one recipient.
type failure struct{ action, status, diagnostic string }

// Bounds of what is read. A report has three parts; a gateway may wrap it.
const (
	maxReportHeader = 256 << 10
	maxReportPart   = 64 << 10
	maxReportDepth  = 4
	maxReportParts  = 16
	maxRecipients   = 64
)

func readReport(raw []byte) *report {
	r := &report{}
	e, err := message.ReadWithOptions(bytes.NewReader(raw), &message.ReadOptions{MaxHeaderBytes: maxReportHeader})
	if e == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return r
	}
	auto := strings.ToLower(strings.TrimSpace(e.Header.Get("Auto-Submitted")))
	r.auto = auto != "" && auto != "no" || e.Header.Get("X-Autoreply") != "" || e.Header.Get("X-Autorespond") != "" ||
		strings.EqualFold(e.Header.Get("Precedence"), "auto_reply")
	r.failedTo = e.Header.Get("X-Failed-Recipients") != ""
	r.walk(e, 0)
	return r
}

func (r *report) walk(e *message.Entity, depth int) {
	kind, _, err := e.Header.ContentType()
	if err != nil {
		kind, _, _ = mime.ParseMediaType(e.Header.Get("Content-Type"))
	}
	if parts := e.MultipartReader(); parts != nil {
		for range maxReportParts {
			p, err := parts.NextPart()
			if p == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return
			}
			if depth < maxReportDepth {
				r.walk(p, depth+1)
			}
		}
		return
	}
	switch kind {
	case "message/delivery-status", "message/global-delivery-status":
		if r.recipients == nil {
			r.status(part(e))
		}
	case "message/feedback-report":
		text := part(e)
		for _, f := range groups(text)[0] {
			if f.name == "feedback-type" && r.feedback == "" {
				r.feedback = strings.ToLower(f.value)
			}
		}
		r.hints = append(r.hints, text)
	case "message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
		text := part(e)
		for _, end := range []string{"\r\n\r\n", "\n\n"} {
			text, _, _ = strings.Cut(text, end) // what the message said is nobody's business here
		}
		r.hints = append(r.hints, text)
	case "text/plain", "":
		if r.text == "" {
			r.text = part(e)
		}
	}
}

func part(e *message.Entity) string {
	text, _ := io.ReadAll(io.LimitReader(e.Body, maxReportPart)) // what could be read counts
	return string(text)
}

// status reads the groups of fields of a delivery status: the first is of the
// message, each other of a recipient. Some put all into one.
func (r *report) status(text string) {
	r.recipients = []failure{}
	for _, g := range groups(text) {
		var one failure
		for _, f := range g {
			switch f.name {
			case "original-envelope-id":
				r.hints = append(r.hints, f.value)
			case "action":
				one.action = strings.ToLower(strings.Fields(f.value + " -")[0])
			case "status":
				one.status = f.value
			case "diagnostic-code":
				one.diagnostic = f.value
			}
		}
		if one.action != "" && len(r.recipients) < maxRecipients {
			r.recipients = append(r.recipients, one)
		}
	}
}

type field struct{ name, value string } // the name in lower case

// groups reads fields, folded or not, in groups with empty lines between; there
// is at least one group. What is no field is passed over.
func groups(text string) [][]field {
	out := [][]field{nil}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		g := &out[len(out)-1]
		switch name, value, ok := strings.Cut(line, ":"); {
		case strings.TrimSpace(line) == "":
			if len(*g) > 0 && len(out) <= maxRecipients {
				out = append(out, nil)
			}
		case line[0] == ' ' || line[0] == '\t':
			if n := len(*g); n > 0 && len((*g)[n-1].value) < 4096 {
				(*g)[n-1].value += " " + strings.TrimSpace(line)
			}
		case ok:
			*g = append(*g, field{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
		}
	}
	return out
}

var (
	statusForm = regexp.MustCompile(`(?:^|[^0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:$|[^0-9.])`)
	codeForm   = regexp.MustCompile(`(?:^|[^0-9.])([45][0-9]{2})(?:$|[^0-9.])`)
)

// codes are the first code by RFC 3463 and the first by RFC 5321 in a text; zero
// if there is none.
func codes(text string) (enhanced [3]int, code int) {
	if m := statusForm.FindStringSubmatch(text); m != nil {
		for i := range enhanced {
			enhanced[i], _ = strconv.Atoi(m[i+1])
		}
	}
	if m := codeForm.FindStringSubmatch(text); m != nil {
		code, _ = strconv.Atoi(m[1])
	}
	return enhanced, code
}
