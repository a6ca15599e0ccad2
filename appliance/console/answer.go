package console

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/campaign"
	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// problem is an error as callers see it.
type problem struct {
	status int
	after  time.Duration // Retry-After

	Code     string             `json:"code"`
	Message  string             `json:"message"`
	Path     string             `json:"path,omitempty"`
	Mistakes []campaign.Mistake `json:"mistakes,omitempty"`
	Text     string             `json:"text,omitempty"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Message }

func notFound() *problem {
	return &problem{status: http.StatusNotFound, Code: "not_found", Message: "there is nothing here"}
}

func badValue(path, message string) *problem {
	return &problem{status: http.StatusBadRequest, Code: "bad_value", Path: path, Message: message}
}

// problemOf turns what the rooms below answer into what callers are told.
// What nobody foresaw is 500, without its text: that goes to the log.
func problemOf(err error) *problem {
	var (
		p        *problem
		question *query.Error
		mistakes campaign.Mistakes
		syntax   *event.SyntaxError
		bad      *access.Bad
		slow     *access.SlowDown
		config   *BadConfig
	)
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &question):
		return &problem{status: http.StatusBadRequest, Code: question.Code, Message: question.Message, Path: question.Path}
	case errors.As(err, &mistakes):
		return &problem{status: http.StatusBadRequest, Code: "mistakes", Message: "the campaign has mistakes", Mistakes: mistakes}
	case errors.As(err, &syntax):
		return &problem{status: http.StatusBadRequest, Code: "syntax", Message: syntax.Error()}
	case errors.As(err, &bad):
		return badValue(bad.Field, bad.Message)
	case errors.As(err, &slow):
		return &problem{status: http.StatusTooManyRequests, Code: "slow_down", Message: "too many failures; wait before the next try", after: slow.After}
	case errors.As(err, &config):
		return &problem{status: http.StatusUnprocessableEntity, Code: "config", Message: "the configuration has mistakes; the old one stays", Text: config.Text}
	case is(access.ErrUnknown):
		return &problem{status: http.StatusUnauthorized, Code: "sign_in", Message: "sign in, or send a token that is valid"}
	case is(access.ErrWrong):
		return &problem{status: http.StatusUnauthorized, Code: "wrong", Message: "this does not let anybody in; names, passwords and links are told apart by no answer"}
	case is(access.ErrBusy), is(audit.ErrBusy):
		return &problem{status: http.StatusTooManyRequests, Code: "busy", Message: "too much at the same time", after: 2 * time.Second}
	case is(access.ErrExists):
		return &problem{status: http.StatusConflict, Code: "exists", Message: "there is one of this name"}
	case is(access.ErrLastAdmin):
		return &problem{status: http.StatusConflict, Code: "last_admin", Message: "this is the last admin of the appliance; make another one first"}
	case is(access.ErrSetUp):
		return &problem{status: http.StatusConflict, Code: "set_up", Message: "the appliance is set up already"}
	case is(access.ErrTooMany):
		return &problem{status: http.StatusConflict, Code: "too_many", Message: "there are as many as there can be"}
	case is(ErrOutOfOrder):
		return &problem{status: http.StatusConflict, Code: "state", Message: "this part does not follow the one before; begin again with line 1"}
	case is(people.ErrErased):
		return &problem{status: http.StatusGone, Code: "erased", Message: "this person was erased"}
	case is(people.ErrUnknown), is(campaign.ErrUnknown), is(delivery.ErrUnknown), is(access.ErrNobody), is(ErrNotFound):
		return notFound()
	case is(context.DeadlineExceeded):
		return &problem{status: http.StatusGatewayTimeout, Code: "timeout", Message: "it took longer than it may"}
	case is(journal.ErrOverloaded):
		return &problem{status: http.StatusServiceUnavailable, Code: "busy", Message: "more arrives than can be written", after: time.Second}
	case is(ErrUnavailable), is(audit.ErrClosed), is(journal.ErrFull), is(journal.ErrUnavailable), is(journal.ErrClosed), is(kv.ErrFull), is(kv.ErrStopped), is(kv.ErrClosed), is(context.Canceled):
		return &problem{status: http.StatusServiceUnavailable, Code: "unavailable", Message: "not now; the health page says why", after: 5 * time.Second}
	}
	return &problem{status: http.StatusInternalServerError, Code: "internal", Message: "something failed; the appliance's log says what"}
}

// fail answers an error. Its text goes to the log only where it is ours, and
// then without what the caller sent.
func (c *Console) fail(w http.ResponseWriter, r *request, err error) {
	p := problemOf(err)
	if p.status == http.StatusInternalServerError || p.status == http.StatusServiceUnavailable && r.Context().Err() == nil {
		c.log.Error("a request failed", "route", r.Pattern, "status", p.status, "error", err)
	}
	if p.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.after.Seconds()))))
	}
	if p.status == http.StatusUnauthorized && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="cloister"`)
	}
	if aerr := answer(w, p.status, struct {
		Error *problem `json:"error"`
	}{p}); aerr != nil {
		c.log.Error("an answer could not be made", "route", r.Pattern, "error", aerr)
	}
}

// answer writes v as the whole answer. A failed write is the caller's loss:
// they see that it is not whole by its length.
func answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":{"code":"internal","message":"the answer could not be made"}}`, http.StatusInternalServerError)
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
	return nil
}

func ok(r *request, v any) error { return answer(r.w, http.StatusOK, v) }

func nothing(r *request) error {
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}

func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// stamp is a time as the API writes it; nil where there is none.
func stamp(us int64) *time.Time {
	if us == 0 {
		return nil
	}
	t := time.UnixMicro(us).UTC()
	return &t
}

func stampOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
