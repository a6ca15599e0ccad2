package connectorpb

import (
	"math"
	"net/textproto"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/proto"
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
	p.Sender, p.Template, p.Push, p.AddressSince = m.Sender, m.Template, fromPush(m.Push), fromTime(m.AddressSince)
	for _, f := range m.Files {
		p.Files = append(p.Files, &File{Name: f.Name, Type: f.Type, Content: f.Content})
	}
	return p
}

func fromPush(p *connector.Push) *Push {
	if p == nil {
		return nil
	}
	q := &Push{
		Subtitle: p.Subtitle, Image: p.Image, Sound: p.Sound, Channel: p.Channel, Category: p.Category, Thread: p.Thread,
		Collapse: p.Collapse, Urgent: p.Urgent, Silent: p.Silent,
	}
	if p.Badge != nil {
		q.Badge = proto.Int32(int32(min(max(*p.Badge, 0), math.MaxInt32)))
	}
	for _, b := range p.Buttons {
		q.Buttons = append(q.Buttons, &Button{Id: b.ID, Title: b.Title, Link: b.Link})
	}
	return q
}

func toPush(q *Push) *connector.Push {
	if q == nil {
		return nil
	}
	p := &connector.Push{
		Subtitle: q.GetSubtitle(), Image: q.GetImage(), Sound: q.GetSound(), Channel: q.GetChannel(), Category: q.GetCategory(),
		Thread: q.GetThread(), Collapse: q.GetCollapse(), Urgent: q.GetUrgent(), Silent: q.GetSilent(),
	}
	if q.Badge != nil {
		n := int(q.GetBadge())
		p.Badge = &n
	}
	for _, b := range q.GetButtons() {
		p.Buttons = append(p.Buttons, connector.Button{ID: b.GetId(), Title: b.GetTitle(), Link: b.GetLink()})
	}
	return p
}

// ToMessage reads a message off the wire.
func ToMessage(p *Message) connector.Message {
	m := connector.Message{
		ID: p.GetId(), Channel: p.GetChannel(), To: p.GetTo(), ToName: p.GetToName(), Platform: p.GetPlatform(), Extra: p.GetExtra(),
		Subject: p.GetSubject(), Text: p.GetText(), HTML: p.GetHtml(), Headers: ToHeaders(p.GetHeaders()), Data: ToHeaders(p.GetData()),
		Unsubscribe: p.GetUnsubscribe(), Link: p.GetLink(), Expires: toTime(p.GetExpires()), Marketing: p.GetMarketing(),
		Sender: p.GetSender(), Template: p.GetTemplate(), Push: toPush(p.GetPush()), AddressSince: toTime(p.GetAddressSince()),
	}
	for _, f := range p.GetFiles() {
		m.Files = append(m.Files, connector.File{Name: f.GetName(), Type: f.GetType(), Content: f.GetContent()})
	}
	return m
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
		Id: o.ID, ProviderId: o.ProviderID, Class: string(o.Class), Reason: Clean(o.Reason, MaxReason), Gone: string(o.Gone),
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
		if o.Class == connector.ClassAddress {
			o.Gone = toGone(p.GetGone())
		}
	case Outcome_AGAIN:
		o.Result = connector.Again
		// What may be tried again is no fault of the address.
		if c := toClass(p.GetClass()); p.GetClass() != "" && c != connector.ClassAddress {
			o.Class = c
		}
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

func toGone(s string) connector.Gone {
	switch g := connector.Gone(s); g {
	case connector.GoneRemoved, connector.GoneInvalid, connector.GoneStale:
		return g
	}
	return ""
}

// FromReceipt gives r's form on the wire.
func FromReceipt(r connector.Receipt) *Receipt {
	return &Receipt{
		MessageId: r.MessageID, ProviderId: r.ProviderID, Kind: string(r.Kind), Class: string(r.Class),
		Reason: Clean(r.Reason, MaxReason), At: fromTime(r.At), Address: r.Address, Gone: string(r.Gone),
	}
}

// ToReceipt reads a receipt off the wire; ok is false if its kind is not known
// or it names no message, and no person where that is enough.
func ToReceipt(p *Receipt) (r connector.Receipt, ok bool) {
	r = connector.Receipt{
		MessageID: Clean(p.GetMessageId(), MaxProviderID), ProviderID: Clean(p.GetProviderId(), MaxProviderID),
		Kind: connector.ReceiptKind(p.GetKind()), Reason: Clean(p.GetReason(), MaxReason), At: toTime(p.GetAt()),
	}
	switch r.Kind {
	case connector.Delivered, connector.Complained, connector.Opened, connector.Clicked:
	case connector.Replied, connector.Unsubscribed, connector.Subscribed:
		if a := p.GetAddress(); len(a) <= MaxAddress && a == Clean(a, MaxAddress) {
			r.Address = a
		}
	case connector.Uninstall:
		r.Gone = toGone(p.GetGone())
	case connector.Bounced:
		r.Class = toClass(p.GetClass())
		r.Gone = toGone(p.GetGone())
	default:
		return r, false
	}
	return r, r.MessageID != "" || r.ProviderID != "" || r.Address != ""
}

// FromAnswer gives a's form on the wire.
func FromAnswer(a connector.Answer) *ReceiptsReply {
	p := &ReceiptsReply{Status: int32(a.Status), Headers: fromHeaders(a.Headers), Body: a.Body}
	for _, r := range a.Receipts {
		p.Receipts = append(p.Receipts, FromReceipt(r))
	}
	return p
}

// ToAnswer reads an answer off the wire and brings it within bounds: what the
// provider is told is a status from 200 to 599, a Content-Type and X- headers,
// and at most MaxAnswer bytes.
func ToAnswer(p *ReceiptsReply) connector.Answer {
	a := connector.Answer{Receipts: ToReceipts(p.GetReceipts()), Status: int(p.GetStatus())}
	if a.Status < 200 || a.Status > 599 {
		a.Status = 200
	}
	for _, h := range p.GetHeaders()[:min(len(p.GetHeaders()), 16)] {
		name := textproto.CanonicalMIMEHeaderKey(h.GetName())
		if (name == "Content-Type" || strings.HasPrefix(name, "X-")) && httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(h.GetValue()) {
			a.Headers = append(a.Headers, connector.Header{Name: name, Value: h.GetValue()})
		}
	}
	a.Body = p.GetBody()[:min(len(p.GetBody()), MaxAnswer)]
	return a
}

// ToReceipts reads those receipts that say something.
func ToReceipts(all []*Receipt) []connector.Receipt {
	var out []connector.Receipt
	for _, q := range all {
		if r, ok := ToReceipt(q); ok {
			out = append(out, r)
		}
	}
	return out
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
