package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
)

// request is a request on its way through the door.
type request struct {
	*http.Request
	w         http.ResponseWriter
	caller    caller
	publisher Publisher // of routes about one
	role      access.Role
	body      []byte
}

const (
	defaultTime = 30 * time.Second
	bodyTime    = 30 * time.Second // for reading a body
	answerTime  = 30 * time.Second // for writing an answer, beyond the route's time
)

// serve does for a route what comes before its own work, in this order: who
// is it, may they, and only then what do they send.
func (c *Console) serve(rt route, who func(*http.Request) (caller, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &request{Request: hr, w: w}
		limit := rt.time
		if limit == 0 {
			limit = defaultTime
		}
		if limit > 0 {
			setWriteDeadline(w, limit+answerTime)
			ctx, cancel := context.WithTimeout(hr.Context(), limit)
			defer cancel()
			r.Request = hr.WithContext(ctx)
		}
		err := c.admit(rt, r, who)
		if err == nil {
			r.body, err = readBody(r, rt.body)
		}
		if err == nil {
			err = rt.serve(c, r)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// setWriteDeadline bounds how slowly a caller may take an answer. The clock is
// the network's, not ours. Not every connection has deadlines; one that has
// none is a test's.
func setWriteDeadline(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// admit says who calls, and whether they may.
func (c *Console) admit(rt route, r *request, who func(*http.Request) (caller, error)) error {
	var err error
	r.caller, err = who(r.Request)
	if rt.may == anybody {
		return nil // who it is does not matter, nor that it is nobody
	}
	if err != nil {
		return err
	}
	switch rt.may {
	case signedIn:
		return nil
	case appliance:
		if !r.caller.grants.Admin() {
			return c.denied(r, &problem{status: http.StatusForbidden, Code: "not_allowed", Message: "only an admin of the whole appliance may do this"})
		}
		return nil
	}
	name := r.PathValue("p")
	r.role = r.caller.grants.On(name)
	if r.role == "" {
		return c.denied(r, notFound())
	}
	p, ok := c.appliance.Publisher(name)
	if !ok {
		return notFound()
	}
	if !slices.Contains(allowed[rt.may], r.role) {
		return c.denied(r, &problem{status: http.StatusForbidden, Code: "not_allowed", Message: fmt.Sprintf("the role %s may not do this", r.role)})
	}
	r.publisher = p
	return nil
}

// denied writes down that somebody tried what they may not do.
func (c *Console) denied(r *request, answer *problem) error {
	// The pattern, not the path: the path may name a person.
	e := c.entry(r, "denied", r.Pattern)
	e.Publisher, e.Outcome = r.PathValue("p"), audit.Denied
	if err := c.audit.Append(r.Context(), e); err != nil {
		return fmt.Errorf("writing down a refusal: %w", err)
	}
	return answer
}

func readBody(r *request, most int64) ([]byte, error) {
	if most == 0 {
		return nil, nil
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, &problem{status: http.StatusUnsupportedMediaType, Code: "encoding", Message: "a body is sent as it is, without a content encoding"}
	}
	// A deadline that stayed would end the request when it passes: the server
	// goes on reading, to see whether the caller is still there.
	rc := http.NewResponseController(r.w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
	b, err := io.ReadAll(http.MaxBytesReader(r.w, r.Body, most))
	_ = rc.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &problem{status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: fmt.Sprintf("the body is larger than %d bytes", most)}
	}
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, Code: "syntax", Message: "the body did not arrive whole"}
	}
	return b, nil
}

// entry begins an audit entry about a request.
func (c *Console) entry(r *request, action, subject string) audit.Entry {
	e := audit.Entry{Actor: r.caller.actor(), Action: action, Subject: subject, From: address(r.Request)}
	if r.publisher != nil {
		e.Publisher = r.publisher.Name()
	}
	return e
}

// record writes a read of personal data down, before it is answered.
func (c *Console) record(r *request, action, subject, detail string) error {
	e := c.entry(r, action, subject)
	e.Detail = detail
	if err := c.audit.Append(r.Context(), e); err != nil {
		return fmt.Errorf("writing down a read: %w", err)
	}
	return nil
}

// change writes a change down and then makes it: one that is made without
// being written down would be worse than the other way round. If it fails, a
// second entry says so.
func (c *Console) change(r *request, action, subject string, do func() error) error {
	e := c.entry(r, action, subject)
	if err := c.audit.Append(r.Context(), e); err != nil {
		return fmt.Errorf("writing down a change: %w", err)
	}
	err := do()
	if err != nil {
		e.Outcome, e.Detail = audit.Failed, problemOf(err).Code
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), defaultTime)
		defer cancel()
		if aerr := c.audit.Append(ctx, e); aerr != nil {
			return errors.Join(err, fmt.Errorf("writing down a failure: %w", aerr))
		}
	}
	return err
}

// number reads a whole number from the query part of the address.
func number(r *request, name string, otherwise, least, most int64) (int64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, &problem{status: http.StatusBadRequest, Code: "bad_value", Path: name,
			Message: fmt.Sprintf("%s is a whole number from %d to %d", name, least, most)}
	}
	return n, nil
}

// known refuses parameters that the route does not have.
func known(r *request, names ...string) error {
	for name, values := range r.URL.Query() {
		if !slices.Contains(names, name) {
			return &problem{status: http.StatusBadRequest, Code: "unknown_field", Path: clip(name, 64), Message: "there is no such parameter"}
		}
		if len(values) > 1 {
			return &problem{status: http.StatusBadRequest, Code: "bad_value", Path: name, Message: "the parameter stands twice"}
		}
	}
	return nil
}
