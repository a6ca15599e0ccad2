package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/export"
	"github.com/cloisterhq/cloister/appliance/guide"
	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a console over real access and audit, and two publishers that are
// invented but for their campaigns.
type house struct {
	*Console
	t      *testing.T
	db     *kv.DB
	audit  *audit.Log
	server *httptest.Server
	acme   *shop
	beta   *shop
	log    *syncBuffer
	ticks  chan time.Time

	mu       sync.Mutex
	now      time.Time
	problems []health.Problem
	reload   func() (Reloaded, error)
}

// syncBuffer is what the console wrote to its log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) Publishers() []Publisher { return []Publisher{h.acme, h.beta} }

func (h *house) Publisher(name string) (Publisher, bool) {
	switch name {
	case "acme":
		return h.acme, true
	case "beta":
		return h.beta, true
	}
	return nil, false
}

func (h *house) Problems() []health.Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problems
}

func (h *house) Status() Status { return Status{Name: "dc1", Version: "0.1.0"} }

func (h *house) Reload(context.Context) (Reloaded, error) { return h.reload() }

const password = "correct horse battery"

func open(t *testing.T) *house {
	t.Helper()
	h := &house{
		t: t, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), log: new(syncBuffer), ticks: make(chan time.Time),
		reload: func() (Reloaded, error) { return Reloaded{Applied: []string{"publisher acme"}}, nil },
	}
	var err error
	h.db, err = kv.Open(t.TempDir(), kv.Options{MemTable: 8 << 20})
	check(t, err)
	t.Cleanup(func() { check(t, h.db.Close()) })
	h.audit, err = audit.Open(audit.Options{Dir: t.TempDir(), Now: h.clock})
	check(t, err)
	t.Cleanup(func() { check(t, h.audit.Close()) })
	a, err := access.Open(h.db, access.Options{Cost: access.Cost{Memory: 64, Passes: 1, Lanes: 1}, Now: h.clock})
	check(t, err)
	h.acme, h.beta = newShop(t, "acme"), newShop(t, "beta")
	documents, err := guide.New([]guide.Document{{Name: "connect", Title: "Connecting", Files: fstest.MapFS{"A.md": {Data: []byte("Say `KEY` to https://HOST")}}, File: "A.md"}})
	check(t, err)
	h.Console, err = New(Options{
		Appliance: h, Access: a, Audit: h.audit, Guide: documents, Now: h.clock,
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
		Ticker: func(time.Duration) (<-chan time.Time, func()) { return h.ticks, func() {} },
	})
	check(t, err)
	h.server = httptest.NewServer(h.Handler())
	t.Cleanup(func() { check(t, h.Close()); h.server.Close() })
	return h
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token makes a token with a role on a publisher.
func (h *house) token(publisher string, role access.Role) string {
	h.t.Helper()
	secret, _, err := h.access.CreateToken(string(role), access.Grants{publisher: role}, time.Hour, "test")
	check(h.t, err)
	return secret
}

// reply is what came back.
type reply struct {
	*http.Response
	body string
}

// code is the error's.
func (r reply) code() string {
	var v struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(r.body), &v) != nil {
		return ""
	}
	return v.Error.Code
}

func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
}

// call sends a request; who is a token, or "cookie:SECRET".
func (h *house) call(who, method, path, body string, headers ...string) reply {
	h.t.Helper()
	req, err := http.NewRequest(method, h.server.URL+path, strings.NewReader(body))
	check(h.t, err)
	if secret, is := strings.CutPrefix(who, "cookie:"); is {
		req.AddCookie(&http.Cookie{Name: "cloister", Value: secret})
	} else if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return h.send(req)
}

func (h *house) send(req *http.Request) reply {
	h.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	check(h.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(h.t, err)
	return reply{res, string(b)}
}

// want sends a request and checks the status.
func (h *house) want(status int, who, method, path, body string, headers ...string) reply {
	h.t.Helper()
	r := h.call(who, method, path, body, headers...)
	if r.StatusCode != status {
		h.t.Errorf("%s %s: %d %s, want %d", method, path, r.StatusCode, r.body, status)
	}
	return r
}

func (h *house) entries() []audit.Entry {
	h.t.Helper()
	out, err := h.audit.List(h.t.Context(), "", 10_000)
	check(h.t, err)
	return out
}

// shop is an invented publisher with real campaigns.
type shop struct {
	name      string
	campaigns *campaign.Campaigns
	db        *kv.DB

	mu         sync.Mutex
	persons    map[string]*people.Person
	rows       map[string][]history.Row
	segments   []Segment
	rfms       []RFM
	lists      []people.ListInfo
	suppressed map[event.Address]string // -> reason
	refused    []Refusal
	waiting    []HeldRecord
	decided    []string
	uploads    []ListUpload
	decisions  map[string]delivery.Decision
	mails      []Mail
	live       []chan LiveEvent
	imported   string
	exported   *ExportOptions
	exports    []export.Record
	exportErr  error // ends an export behind its records
	asked      []string
	listing    delivery.Listing
	ask        func(body []byte) (*query.Answer, error)
	connectors []Connector
	checked    error
}

func newShop(t *testing.T, name string) *shop {
	t.Helper()
	s := &shop{name: name, persons: map[string]*people.Person{}, rows: map[string][]history.Row{}, decisions: map[string]delivery.Decision{}}
	var err error
	s.db, err = kv.Open(t.TempDir(), kv.Options{MemTable: 8 << 20})
	check(t, err)
	s.campaigns, err = campaign.Open(s.db, campaign.Options{
		Keys: noKeys{}, Compile: func([]byte) (campaign.Matcher, error) { return never{}, nil },
		Journal: nowhere{}, Audience: nowhere{}, Outbox: nowhere{}, Purposes: []string{"offers"},
	})
	check(t, err)
	t.Cleanup(func() { check(t, s.campaigns.Close()); check(t, s.db.Close()) })
	s.suppressed = map[event.Address]string{{Channel: "email", Value: name + "-canary@example.com"}: people.SuppressedBounce}
	s.persons["ann"] = &people.Person{
		Number: 7, Identities: []people.Identity{{Value: "ann", Since: 1}}, Devices: []people.Device{{ID: "d1", Since: 1, Seen: 2}},
		Profile:   []event.Prop{{Key: "Name", Value: event.OfText(name + "-canary"), Personal: true}, {Key: "plan", Value: event.OfText("gold")}},
		Consents:  []people.ConsentState{{Purpose: "offers", Channel: "email", Granted: true, Since: 5}},
		Addresses: []event.Address{{Channel: "email", Value: name + "-canary@example.com"}}, Created: 1, Seen: 2,
	}
	s.rows["ann"] = []history.Row{
		{Person: 7, Time: 3_000_000, Name: event.NotificationSent, Props: []event.Prop{{Key: event.PropMessage, Value: event.OfText("m1")}}},
		{Person: 7, Time: 2_000_000, Name: "Charged", Props: []event.Prop{{Key: "amount", Value: event.OfInt(12)}, {Key: "to", Value: event.OfText(name + "-canary"), Personal: true}}},
		{Person: 7, Time: 1_000_000, Name: "Viewed"},
	}
	s.decisions["m1"] = delivery.Decision{Message: "m1", Campaign: "cart", Person: 7, State: delivery.Sent}
	s.mails = []Mail{{ID: "1", Channel: "email", To: name + "-canary@example.com", Subject: "Hi", HTML: "<p>" + name + "-canary<script>alert(1)</script>"}}
	return s
}

type noKeys struct{}

func (noKeys) SealPerson(_ uint32, _, plain []byte) ([]byte, error)  { return plain, nil }
func (noKeys) OpenPerson(_ uint32, _, sealed []byte) ([]byte, error) { return sealed, nil }
func (noKeys) Destroyed(uint32) bool                                 { return false }
func (noKeys) Hash(string, ...[]byte) [32]byte                       { return [32]byte{} }

type never struct{}

func (never) Match(string, []event.Prop, func(string) event.Value) bool { return false }

type nowhere struct{}

func (nowhere) Append(context.Context, []event.Fact) error              { return nil }
func (nowhere) People(context.Context, []byte) (*roaring.Bitmap, error) { return roaring.New(), nil }
func (nowhere) Enqueue(*kv.Txn, campaign.Intention) error               { return nil }
func (nowhere) Committed()                                              {}
func (s *shop) Name() string                                            { return s.name }
func (s *shop) Title() string                                           { return strings.ToUpper(s.name) }
func (s *shop) Location() *time.Location                                { return time.UTC }
func (s *shop) Size() (int64, int64)                                    { return 3, 12 }
func (s *shop) Refusals(f RefusalFilter) Refusals                       { return s.refusals(f) }
func (s *shop) Arrivals(f ArrivalFilter) ([]Arrival, uint64)            { return s.arrivals(f) }
func (s *shop) Apps() Apps {
	return Apps{URL: "https://engage.example", Keys: []AppKey{{"app", s.name + "-APP", false}, {"server", s.name + "-SRV", true}}}
}
func (s *shop) Suppressed(string, string) bool { return false }
func (s *shop) Rate() float64                  { return 3.5 }
func (s *shop) Campaigns() Campaigns           { return s.campaigns }
func (s *shop) Messages() Messages             { return s }
func (s *shop) Stats() delivery.Stats {
	return delivery.Stats{Sent: 4, Waiting: map[string]int{"email": 2}}
}
func (s *shop) Connectors() []Connector                             { return s.connectors }
func (s *shop) CheckConnector(_ context.Context, name string) error { return s.checked }
func (s *shop) List(_ context.Context, l delivery.Listing) (delivery.Page, error) {
	if l.After != "" && l.After != "more" {
		return delivery.Page{}, delivery.ErrList
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listing = l
	return delivery.Page{Messages: []delivery.Decision{{Message: "m1", State: l.State}}, Next: "more"}, nil
}

func (s *shop) Replay(messages []string, perhapsTwice bool) (out []delivery.Replayed, err error) {
	for n, m := range messages {
		one := delivery.Replayed{Message: m, As: "new"}
		if !perhapsTwice {
			one = delivery.Replayed{Message: m, Err: []error{delivery.ErrPerhapsSent, delivery.ErrUnknown, delivery.ErrGone, delivery.ErrNotOver}[n]}
		}
		out = append(out, one)
	}
	return out, nil
}

func (s *shop) PauseConnector(name string) error {
	now := time.Unix(1000, 0).UTC()
	return s.changeConnector(name, func(c *Connector) { c.Paused = &now })
}

func (s *shop) ResumeConnector(name string) error {
	return s.changeConnector(name, func(c *Connector) { c.Paused = nil })
}

func (s *shop) changeConnector(name string, do func(*Connector)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.connectors {
		if s.connectors[i].Name == name {
			do(&s.connectors[i])
			return nil
		}
	}
	return ErrNotFound
}

func (s *shop) Certificate(r string) (json.RawMessage, error) { return s.certificate(r) }
func (s *shop) Segments() []Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.segments)
}

func (s *shop) Schema() Schema {
	return Schema{
		Events:   []EventInfo{{Name: "Charged", Rows: 1, First: 2_000_000, Last: 2_000_000, Keys: []string{"amount"}}, {Name: event.NotificationSent, Rows: 1}},
		Purposes: []Purpose{{Name: "offers", Title: "Offers", Basis: "consent"}},
	}
}

func (s *shop) certificate(request string) (json.RawMessage, error) {
	if request != "r1" {
		return nil, ErrNotFound
	}
	return json.RawMessage(`{"request":"r1"}`), nil
}

func (s *shop) Ask(_ context.Context, body []byte) (*query.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, string(body))
	ask := s.ask
	s.mu.Unlock()
	if ask != nil {
		return ask(body)
	}
	var q struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, &query.Error{Code: query.CodeSyntax, Message: "no JSON"}
	}
	switch q.Kind {
	case "trend":
		return &query.Answer{Kind: q.Kind, Result: json.RawMessage(`{"buckets":[],"series":[]}`)}, nil
	case "campaign":
		return &query.Answer{Kind: q.Kind, Result: json.RawMessage(`{}`)}, nil
	case "segment":
		return &query.Answer{Kind: q.Kind, Result: json.RawMessage(`{"count":1,"reachable":{"email":1},"people":["ann"]}`)}, nil
	}
	return nil, &query.Error{Code: query.CodeValue, Message: "no such kind", Path: "kind"}
}

func (s *shop) Person(identity string) (*people.Person, error) {
	if identity == "erased" {
		return nil, fmt.Errorf("opening: %w", people.ErrErased)
	}
	p, ok := s.persons[identity]
	if !ok {
		return nil, fmt.Errorf("finding: %w", people.ErrUnknown)
	}
	return p, nil
}

func (s *shop) Timeline(_ context.Context, identity string, before int64, limit int, asc bool) ([]history.Row, error) {
	rows := slices.Clone(s.rows[identity])
	if before > 0 {
		rows = slices.DeleteFunc(rows, func(r history.Row) bool { return r.Time >= before })
	}
	if asc {
		slices.Reverse(rows)
	}
	return rows[:min(limit, len(rows))], nil
}

func (s *shop) Explain(message string) (delivery.Decision, error) {
	d, ok := s.decisions[message]
	if !ok {
		return d, delivery.ErrUnknown
	}
	return d, nil
}

func (s *shop) Demerge(_ context.Context, identity string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.persons[identity].Joined)
	s.persons[identity].Joined = nil
	return n, nil
}

func (s *shop) Erase(_ context.Context, identity string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.persons, identity)
	return "r1", nil
}

func (s *shop) Recent() []LiveEvent {
	return []LiveEvent{{Time: 1_000_000, Event: "Charged", Person: 7, Identity: s.name + "-canary", Props: []event.Prop{{Key: "amount", Value: event.OfInt(12)}}}}
}

func (s *shop) Live(ctx context.Context) <-chan LiveEvent {
	ch := make(chan LiveEvent, 100)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = append(s.live, ch)
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.live, ch); i >= 0 { // else the publisher closed
			s.live = slices.Delete(s.live, i, i+1)
			close(ch)
		}
	})
	return ch
}

func (s *shop) happen(e LiveEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.live {
		ch <- e
	}
}

func (s *shop) watching() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

func (s *shop) apply(f event.Fact) error {
	err := s.db.Update(func(t *kv.Txn) error {
		_, err := s.campaigns.Apply(t, &f, 0, nil)
		return err
	})
	if err == nil {
		s.campaigns.Committed()
	}
	return err
}

func (s *shop) SaveCampaign(_ context.Context, c *campaign.Campaign) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.apply(event.Fact{Kind: event.Programme, Name: event.TypeCampaign, Ref: c.ID, Body: body, Time: 1})
}

func (s *shop) DeleteCampaign(_ context.Context, id string) error {
	return s.apply(event.Fact{Kind: event.Programme, Name: event.TypeCampaign, Ref: id, Time: 1})
}

func (s *shop) SaveSegment(_ context.Context, g Segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(slices.DeleteFunc(s.segments, func(o Segment) bool { return o.Name == g.Name }), g)
	return nil
}

func (s *shop) DeleteSegment(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = slices.DeleteFunc(s.segments, func(o Segment) bool { return o.Name == name })
	return nil
}

func (s *shop) RFMs() []RFM {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rfms)
}

func (s *shop) SaveRFM(_ context.Context, r RFM) error {
	if strings.Contains(string(r.Question), "wrong") {
		return &query.Error{Code: query.CodeUnknown, Message: "no", Path: "wrong"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rfms = append(slices.DeleteFunc(s.rfms, func(o RFM) bool { return o.Name == r.Name }), r)
	return nil
}

func (s *shop) DeleteRFM(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rfms = slices.DeleteFunc(s.rfms, func(o RFM) bool { return o.Name == name })
	return nil
}

func (s *shop) Lists() []people.ListInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lists)
}

func (s *shop) UploadList(_ context.Context, name string, in ListUpload) (people.ListInfo, Imported, error) {
	if in.Line == 7 {
		return people.ListInfo{}, Imported{}, ErrOutOfOrder
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads = append(s.uploads, in)
	l := people.ListInfo{Name: name, People: 2, Unknown: 1, Changed: 5}
	s.lists = append(slices.DeleteFunc(s.lists, func(o people.ListInfo) bool { return o.Name == name }), l)
	return l, Imported{Taken: 3, Refused: []RefusedLine{{Line: in.Line, Error: "no"}}}, nil
}

func (s *shop) DeleteList(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = slices.DeleteFunc(s.lists, func(o people.ListInfo) bool { return o.Name == name })
	return nil
}

func (s *shop) Mailbox(_ context.Context, limit int) ([]Mail, error) {
	return s.mails[:min(limit, len(s.mails))], nil
}

func (s *shop) Mail(_ context.Context, id string) (Mail, error) {
	i := slices.IndexFunc(s.mails, func(m Mail) bool { return m.ID == id })
	if i < 0 {
		return Mail{}, ErrNotFound
	}
	return s.mails[i], nil
}

func (s *shop) Import(_ context.Context, kind string, in Import) (Imported, error) {
	b, err := io.ReadAll(in.Body)
	if err != nil {
		return Imported{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.imported = fmt.Sprintf("%s %s %d %s", kind, in.Source, in.Line, b)
	if strings.Contains(string(b), "full") {
		return Imported{}, fmt.Errorf("importing: %w", ErrUnavailable)
	}
	return Imported{Taken: 1, Refused: []RefusedLine{{Line: in.Line, Error: "no"}}}, nil
}

var errBroken = errors.New("a fault with acme-canary in its text")

// Export gives s.exports, numbered by their positions.
func (s *shop) Export(_ context.Context, kind string, o ExportOptions) (Export, error) {
	if len(o.After) > 1 {
		return nil, ErrPosition
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exported = &o
	out := &shelf{records: s.exports, err: s.exportErr}
	if len(o.After) > 0 {
		out.first = int(o.After[0]) + 1
	}
	return out, nil
}

type shelf struct {
	records []export.Record
	first   int
	err     error
}

func (s *shelf) Table() *export.Table {
	return &export.Table{Columns: []export.Column{{Name: "user", Kind: event.Text}}, Group: "props", Keys: []string{"amount"}}
}

func (s *shelf) Close() {}

func (s *shelf) Each(_ context.Context, fn func(*export.Record) error, mark func([]byte) error) error {
	for i := s.first; i < len(s.records); i++ {
		if err := fn(&s.records[i]); err != nil {
			return err
		}
		if err := mark([]byte{byte(i)}); err != nil {
			return err
		}
	}
	return s.err
}

func (s *shop) SuppressionCounts(context.Context) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int64{}
	for _, reason := range s.suppressed {
		out[reason]++
	}
	return out, nil
}

func (s *shop) Suppression(channel, address string) (people.Suppression, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, on := s.suppressed[event.Address{Channel: channel, Value: address}]
	return people.Suppression{Reason: reason, Since: 5}, on, nil
}

func (s *shop) Suppressions(_ context.Context, reason, after string, limit int) (page []people.Suppression, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after != "" {
		return nil, "", people.ErrPage
	}
	for a, why := range s.suppressed {
		if reason == "" || reason == why {
			page = append(page, people.Suppression{Reason: why, Since: 5, Person: 7, Identity: "ann", Address: a})
		}
	}
	return page, "", nil
}

func (s *shop) Suppress(_ context.Context, remove bool, addresses []event.Address) (kept int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range addresses {
		switch {
		case remove:
			delete(s.suppressed, a)
		case s.suppressed[a] != "":
			kept++
		default:
			s.suppressed[a] = people.SuppressedOperator
		}
	}
	return kept, nil
}
