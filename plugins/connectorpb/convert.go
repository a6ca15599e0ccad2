package connectorpb

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Clean makes a text that a connector gave fit for logs, reports and the
// console: at most max bytes, valid UTF-8, one line, no control characters.
func Clean(s string, max int) string {
	if len(s) > 4*max {
		s = s[:4*max] // whatever its length, only so much of it is looked at
	}
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= max {
		return s
	}
	cut := max
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// FromMessage gives m's form on the wire.
func FromMessage(m connector.Message) *Message {
	p := &Message{
		Id: m.ID, Channel: m.Channel, To: m.To, ToName: m.ToName, Platform: m.Platform, Extra: m.Extra,
		Subject: m.Subject, Text: m.Text, Html: m.HTML, Headers: fromHeaders(m.Headers), Data: fromHeaders(m.Data),
		Unsubscribe: m.Unsubscribe, Link: m.Link, Marketing: m.Marketing,
	}
	p.Expires = fromTime(m.Expires)
	return p
}

// ToMessage reads a message off the wire.
func ToMessage(p *Message) connector.Message {
	return connector.Message{
		ID: p.GetId(), Channel: p.GetChannel(), To: p.GetTo(), ToName: p.GetToName(), Platform: p.GetPlatform(), Extra: p.GetExtra(),
		Subject: p.GetSubject(), Text: p.GetText(), HTML: p.GetHtml(), Headers: ToHeaders(p.GetHeaders()), Data: ToHeaders(p.GetData()),
		Unsubscribe: p.GetUnsubscribe(), Link: p.GetLink(), Expires: toTime(p.GetExpires()), Marketing: p.GetMarketing(),
	}
}

func fromHeaders(hs []connector.Header) []*Header {
	var out []*Header
	for _, h := range hs {
		out = append(out, &Header{Name: h.Name, Value: h.Value})
	}
	return out
}

// ToHeaders reads headers off the wire.
func ToHeaders(hs []*Header) []connector.Header {
	var out []connector.Header
	for _, h := range hs {
		out = append(out, connector.Header{Name: h.GetName(), Value: h.GetValue()})
	}
	return out
}

func fromTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func toTime(t *timestamppb.Timestamp) time.Time {
	if !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}

// FromOutcome gives o's form on the wire.
func FromOutcome(o connector.Outcome) *Outcome {
	p := &Outcome{
		Id: o.ID, ProviderId: o.ProviderID, Class: string(o.Class), Reason: Clean(o.Reason, MaxReason),
	}
	switch o.Result {
	case connector.Accepted:
		p.Result = Outcome_ACCEPTED
	case connector.Refused:
		p.Result = Outcome_REFUSED
	case connector.Again:
		p.Result = Outcome_AGAIN
	default:
		p.Result = Outcome_UNKNOWN
	}
	if o.RetryAfter > 0 {
		p.RetryAfter = durationpb.New(o.RetryAfter)
	}
	return p
}

// MaxRetryAfter bounds how long a connector can put a message off.
const MaxRetryAfter = 24 * time.Hour

// ToOutcome reads an outcome off the wire and brings it within bounds: a
// result that is not known is Unknown, a class that is not known ClassOther.
func ToOutcome(p *Outcome) connector.Outcome {
	o := connector.Outcome{ID: p.GetId(), Reason: Clean(p.GetReason(), MaxReason)}
	switch p.GetResult() {
	case Outcome_ACCEPTED:
		o.Result, o.ProviderID = connector.Accepted, Clean(p.GetProviderId(), MaxProviderID)
	case Outcome_REFUSED:
		o.Result, o.Class = connector.Refused, toClass(p.GetClass())
	case Outcome_AGAIN:
		o.Result = connector.Again
		if p.GetRetryAfter().IsValid() {
			o.RetryAfter = min(max(p.GetRetryAfter().AsDuration(), 0), MaxRetryAfter)
		}
	}
	return o
}

func toClass(s string) connector.Class {
	switch c := connector.Class(s); c {
	case connector.ClassAddress, connector.ClassFull, connector.ClassPolicy, connector.ClassContent, connector.ClassConfig:
		return c
	}
	return connector.ClassOther
}

// FromReceipt gives r's form on the wire.
func FromReceipt(r connector.Receipt) *Receipt {
	return &Receipt{
		MessageId: r.MessageID, ProviderId: r.ProviderID, Kind: string(r.Kind), Class: string(r.Class),
		Reason: Clean(r.Reason, MaxReason), At: fromTime(r.At),
	}
}

// ToReceipt reads a receipt off the wire; ok is false if its kind is not known
// or it names no message.
func ToReceipt(p *Receipt) (r connector.Receipt, ok bool) {
	r = connector.Receipt{
		MessageID: Clean(p.GetMessageId(), MaxProviderID), ProviderID: Clean(p.GetProviderId(), MaxProviderID),
		Kind: connector.ReceiptKind(p.GetKind()), Reason: Clean(p.GetReason(), MaxReason), At: toTime(p.GetAt()),
	}
	switch r.Kind {
	case connector.Delivered, connector.Complained, connector.Opened, connector.Clicked, connector.Replied, connector.Uninstall:
	case connector.Bounced:
		r.Class = toClass(p.GetClass())
	default:
		return r, false
	}
	return r, r.MessageID != "" || r.ProviderID != ""
}

// FromWebhook gives w's form on the wire.
func FromWebhook(w connector.Webhook) *ReceiptsRequest {
	return &ReceiptsRequest{Method: w.Method, Url: w.URL, Headers: fromHeaders(w.Headers), Body: w.Body}
}

// ToWebhook reads a webhook off the wire.
func ToWebhook(p *ReceiptsRequest) connector.Webhook {
	return connector.Webhook{Method: p.GetMethod(), URL: p.GetUrl(), Headers: ToHeaders(p.GetHeaders()), Body: p.GetBody()}
}

// FromProblem gives p's form on the wire.
func FromProblem(p connector.Problem) *Problem {
	q := &Problem{Path: p.Path, Summary: p.Summary, Detail: p.Detail}
	if p.Severity == connector.SeverityWarning {
		q.Severity = Problem_WARNING
	}
	return q
}

// ToProblem reads a problem off the wire.
func ToProblem(q *Problem) connector.Problem {
	p := connector.Problem{Summary: Clean(q.GetSummary(), MaxError), Detail: Clean(q.GetDetail(), MaxError)}
	if q.GetSeverity() == Problem_WARNING {
		p.Severity = connector.SeverityWarning
	}
	for _, s := range q.GetPath()[:min(len(q.GetPath()), 2)] {
		p.Path = append(p.Path, Clean(s, 128))
	}
	return p
}
