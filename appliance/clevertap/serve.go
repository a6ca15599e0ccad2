package clevertap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/publisher"
	"github.com/cloisterhq/cloister/appliance/query"
)

// right is what a key must be allowed.
type right int

const (
	toWrite right = iota // every key with a passcode
	toRead
	toErase
	toCampaign
)

// route is one call. The vendor's clients send most as POST, old ones some as
// GET: both are taken.
type route struct {
	path  string
	right right
	serve func(d *Door, c *call) (answer, error)
}

var routes = []route{
	{"profile.json", toRead, (*Door).profile},
	{"counts/events.json", toRead, (*Door).countEvents},
	{"counts/event.json", toRead, (*Door).countEvents},
	{"counts/profiles.json", toRead, (*Door).countProfiles},
	{"counts/profile.json", toRead, (*Door).countProfiles},
	{"counts/top.json", toRead, (*Door).top},
	{"counts/trends.json", toRead, (*Door).trends},
	{"now.json", toRead, (*Door).active},
	{"profiles.json", toRead, (*Door).profiles},
	{"events.json", toRead, (*Door).events},
	{"message/report.json", toRead, (*Door).messageReport},
	{"targets/create.json", toCampaign, (*Door).createTarget},
	{"targets/estimate.json", toCampaign, (*Door).estimateTarget},
	{"targets/list.json", toCampaign, (*Door).listTargets},
	{"targets/result.json", toCampaign, (*Door).targetResult},
	{"targets/stop.json", toCampaign, (*Door).stopTarget},
	{"send/push.json", toCampaign, (*Door).send},
	{"send/webpush.json", toCampaign, (*Door).send},
	{"send/email.json", toCampaign, (*Door).send},
	{"send/sms.json", toCampaign, (*Door).send},
	{"subscribe", toWrite, (*Door).subscribe},
	{"disassociate", toWrite, (*Door).disassociate},
	{"demerge/profiles.json", toWrite, (*Door).demerge},
	{"delete/profiles.json", toErase, (*Door).deleteProfiles},
}

const (
	maxBody     = 1 << 20
	callTime    = 65 * time.Second // a question has a minute
	bodyTime    = 30 * time.Second
	answerTime  = 60 * time.Second // for writing an answer
	maxInFlight = 3                // calls of one account to one API
	maxUploads  = 15
)

// call is one request on its way.
type call struct {
	*http.Request
	key  Key
	pub  Publisher
	body event.Value // an object, or Null where there is none
	now  time.Time
}

// answer is what is sent back; without a status it is a success.
type answer map[string]any

// fault is why a call is not done, as the caller is told.
type fault struct {
	http    int
	code    int
	message string
	after   int // seconds until it may go well, 0 = nobody knows
}

func (f *fault) Error() string { return f.message }

// wrong is a call that says something that cannot be done: the vendor's
// clients find that in the body.
func wrong(format string, args ...any) error {
	return &fault{http: http.StatusOK, code: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) error {
	return &fault{http: http.StatusOK, code: http.StatusNotFound, message: fmt.Sprintf(format, args...)}
}

func fail(code int, message string) answer {
	return answer{"status": "fail", "error": message, "code": code}
}

// serve does what comes before a call's own work, in this order: who is it, may
// they, is there a place, and only then what do they send.
func (d *Door) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && err == http.ErrAbortHandler {
			panic(v)
		}
		d.o.Logger.Error("a call failed with a panic", "call", rt.path, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
		d.answer(w, http.StatusInternalServerError, fail(http.StatusInternalServerError, "something failed; the appliance's log says what"))
	}()
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	c := &call{Request: r.WithContext(ctx), now: d.o.Now()}
	out, err := d.admit(rt, c, w)
	if err != nil {
		d.fail(w, rt, c, err)
		return
	}
	if out["status"] == nil {
		out["status"] = "success"
	}
	d.answer(w, http.StatusOK, out)
}

func (d *Door) admit(rt *route, c *call, w http.ResponseWriter) (answer, error) {
	key, ok := d.o.Key(c.Header.Get("X-CleverTap-Account-Id"), c.Header.Get("X-CleverTap-Passcode"))
	if !ok {
		return nil, &fault{http: http.StatusUnauthorized, code: http.StatusUnauthorized, message: "Invalid Credentials"}
	}
	c.key, c.pub = key, key.Publisher
	if may := [...]bool{true, key.Read, key.Erase, key.Campaigns}[rt.right]; !may {
		name := [...]string{"", "read", "erase", "campaigns"}[rt.right]
		if err := d.record(c, audit.Entry{Action: "denied", Subject: rt.path, Outcome: audit.Denied}); err != nil {
			return nil, err
		}
		return nil, &fault{http: http.StatusForbidden, code: http.StatusForbidden, message: fmt.Sprintf("this key may not do that: its block in the configuration needs allow = [%q]", name)}
	}
	if c.Method != http.MethodGet && c.Method != http.MethodPost {
		return nil, &fault{http: http.StatusMethodNotAllowed, code: http.StatusMethodNotAllowed, message: "GET or POST"}
	}
	if c.pub == nil {
		return nil, away
	}
	leave, ok := d.flights.enter(key.ID+" "+rt.path, maxInFlight)
	if !ok {
		return nil, crowded
	}
	defer leave()
	if d.o.Ready != nil && rt.right != toRead {
		if err := d.o.Ready(); err != nil {
			return nil, away
		}
	}
	if err := c.read(w); err != nil {
		return nil, err
	}
	return rt.serve(d, c)
}

var (
	away    = &fault{http: http.StatusServiceUnavailable, code: http.StatusServiceUnavailable, message: "not now; come back shortly", after: 5}
	crowded = &fault{http: http.StatusTooManyRequests, code: http.StatusTooManyRequests, message: "Too many concurrent requests", after: 1}
)

// read reads the body: JSON whatever its type says. An empty one is none.
func (c *call) read(w http.ResponseWriter) error {
	bad := func(status int, format string, args ...any) error {
		return &fault{http: status, code: status, message: fmt.Sprintf(format, args...)}
	}
	if e := c.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return bad(http.StatusUnsupportedMediaType, "a body is sent as it is, without a content encoding")
	}
	// A deadline that stayed would end the request when it passes.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
	b, err := io.ReadAll(http.MaxBytesReader(w, c.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(callTime + answerTime))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return bad(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	}
	if err != nil {
		return bad(http.StatusBadRequest, "the body did not arrive whole")
	}
	if len(b) == 0 {
		return nil
	}
	if c.body, err = event.ParseJSON(b); err != nil {
		return bad(http.StatusBadRequest, "%v", err)
	}
	if c.body.Kind() != event.Object {
		return bad(http.StatusBadRequest, "the body must be an object")
	}
	return nil
}

// known refuses members of an object that a call does not have: one that is
// passed over could be what kept a message from everybody.
func known(path string, o []event.Prop, names ...string) error {
	for _, p := range o {
		if !slices.Contains(names, p.Key) && !p.Value.IsNull() {
			return wrong("%s: there is no such field; there are %s", join(path, clip(p.Key, 64)), list(names))
		}
	}
	return nil
}

func list(names []string) string { return strings.Join(names, ", ") }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

// record writes down what a key does.
func (d *Door) record(c *call, e audit.Entry) error {
	e.Actor, e.From = "key "+c.key.ID, address(c.Request)
	e.Publisher = c.key.Of
	if err := d.o.Audit.Append(c.Context(), e); err != nil {
		return fmt.Errorf("writing down a call: %w", err)
	}
	return nil
}

// change writes a change down and then makes it. If it fails, a second entry
// says so.
func (d *Door) change(c *call, e audit.Entry, do func() error) error {
	if err := d.record(c, e); err != nil {
		return err
	}
	err := do()
	if err != nil {
		e.Outcome, e.Detail = audit.Failed, strconv.Itoa(faultOf(err).code)
		if aerr := d.record(c, e); aerr != nil {
			return errors.Join(err, aerr)
		}
	}
	return err
}

// address is where a call comes from.
func address(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// faultOf turns what the rooms below answer into what callers are told. What
// nobody foresaw is 500, without its text: that goes to the log.
func faultOf(err error) *fault {
	var (
		f        *fault
		question *query.Error
		mistakes campaign.Mistakes
	)
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &question):
		return &fault{http: http.StatusOK, code: http.StatusBadRequest, message: question.Error()}
	case errors.As(err, &mistakes):
		return &fault{http: http.StatusOK, code: http.StatusBadRequest, message: mistakes.Error()}
	case is(people.ErrErased), is(people.ErrUnknown):
		return &fault{http: http.StatusOK, code: http.StatusNotFound, message: "there is no such profile"}
	case is(campaign.ErrUnknown):
		return &fault{http: http.StatusOK, code: http.StatusNotFound, message: "there is no such campaign"}
	case is(journal.ErrTooLarge):
		return &fault{http: http.StatusRequestEntityTooLarge, code: http.StatusRequestEntityTooLarge, message: "this is too much for one call; send it in parts"}
	case is(journal.ErrOverloaded), is(audit.ErrBusy):
		return crowded
	case is(publisher.ErrStopped), is(journal.ErrFull), is(journal.ErrUnavailable), is(journal.ErrClosed), is(kv.ErrFull), is(kv.ErrStopped),
		is(kv.ErrClosed), is(audit.ErrClosed), is(context.Canceled), is(context.DeadlineExceeded):
		return away
	}
	return &fault{http: http.StatusInternalServerError, code: http.StatusInternalServerError, message: "something failed; the appliance's log says what"}
}

func (d *Door) fail(w http.ResponseWriter, rt *route, c *call, err error) {
	f := faultOf(err)
	if f.http >= 500 && c.Context().Err() == nil {
		d.o.Logger.Error("a call failed", "call", rt.path, "status", f.http, "error", err)
	}
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.after))
	}
	d.answer(w, f.http, fail(f.code, f.message))
}

func (d *Door) answer(w http.ResponseWriter, status int, a answer) {
	b, err := json.Marshal(map[string]any(a))
	if err != nil {
		d.o.Logger.Error("an answer could not be made", "error", err)
		status, b = http.StatusInternalServerError, []byte(`{"status":"fail","error":"the answer could not be made","code":500}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A failed write means that the caller hung up.
	_, _ = w.Write(append(b, '\n'))
}

// ask asks an ordinary question.
func (c *call) ask(question map[string]any) (*query.Answer, error) {
	b, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("encoding a question: %w", err)
	}
	return c.pub.Ask(c.Context(), b)
}

// trend asks for one number of each series over the whole range.
func (c *call) trend(question map[string]any) (*query.TrendResult, error) {
	a, err := c.ask(question)
	if err != nil {
		return nil, err
	}
	t, ok := a.Result.(*query.TrendResult)
	if !ok {
		return nil, fmt.Errorf("a trend was answered with %T", a.Result)
	}
	return t, nil
}

// whole is a number that counts.
func whole(f float64) any {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return f
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
