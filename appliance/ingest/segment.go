package ingest

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of Segment's HTTP tracking API, which RudderStack's libraries
// speak too. Facts about it come from Segment's public documentation and from
// recordings of its libraries.

// What the documentation allows.
const (
	segmentMaxBody   = 500 << 10
	segmentMaxOne    = 32 << 10 // one event, in a batch or alone
	segmentMaxEvents = 2500
)

var segmentTypes = map[string]string{
	"identify": "identify", "i": "identify", "track": "track", "t": "track", "page": "page", "p": "page",
	"screen": "screen", "s": "screen", "group": "group", "g": "group", "alias": "alias", "a": "alias",
	"batch": "batch", "b": "batch", "import": "batch",
}

func (d *Door) segmentRoutes() {
	d.mux.HandleFunc("POST /v1/{type}", cors(d.take(d.segment)))
	d.mux.HandleFunc("OPTIONS /v1/{type}", cors(preflight))
	d.mux.HandleFunc("GET /v1/pixel/{type}", d.segmentPixel)
	// What a page sends as it goes: nobody waits for an answer.
	d.mux.HandleFunc("POST /beacon/v1/{type}", cors(d.take(d.segment)))
	d.mux.HandleFunc("OPTIONS /beacon/v1/{type}", cors(preflight))
	d.segmentAsked()
}

func preflight(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// cors lets browsers send from any page: a write key is public, and nothing is
// ever answered here but counts. Libraries ask for headers of their own.
func cors(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Expose-Headers", "Retry-After, X-RateLimit-Reset")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" && len(asked) < 1024 {
			h.Set("Access-Control-Allow-Headers", asked)
			h.Set("Access-Control-Max-Age", "86400")
			h.Set("Vary", "Access-Control-Request-Headers")
		}
		next(w, r)
	}
}

var errWriteKey = &bodyError{status: http.StatusUnauthorized, message: "the write key is not known; it is the id of a key block of the publisher"}

func (d *Door) segment(w http.ResponseWriter, r *http.Request) {
	kind, ok := segmentTypes[r.PathValue("type")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	id, said := segmentKey(r)
	key, ok := d.o.Key(id)
	if said && !ok {
		segmentFail(w, errWriteKey)
		return
	}
	p, release, err := d.readBody(w, r, segmentMaxBody)
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	if err != nil {
		segmentFail(w, err)
		return
	}
	defer release()
	// The body is JSON whatever the Content-Type says: browsers send
	// text/plain to spare a preflight, rudder-sdk-node says it is a form.
	req, err := readSegment(p, kind)
	if err != nil {
		d.unreadable("segment", key, err)
		segmentFail(w, err)
		return
	}
	if !said {
		if key, ok = d.o.Key(event.Lookup(req.outer, "writeKey").Text()); !ok {
			segmentFail(w, errWriteKey)
			return
		}
	}
	b := d.begin("segment", key)
	translateSegment(b, req, senderOf(r))
	if !d.write(w, r, b) {
		return
	}
	// Segment answers success for nearly everything, since its libraries
	// retry or drop whole batches; what was refused stands beside it.
	answer := []event.Prop{{Key: "success", Value: event.OfBool(true)}}
	if len(b.refused) > 0 {
		answer = append(answer,
			event.Prop{Key: "accepted", Value: event.OfInt(int64(len(req.items) - len(b.refused)))},
			event.Prop{Key: "rejected", Value: refusedList(b.refused, "messageId")})
	}
	writeJSON(w, http.StatusOK, event.OfObject(answer))
}

// segmentRequest is a body, read.
type segmentRequest struct {
	kind  string // "batch", or the one item's
	outer []event.Prop
	items []segmentItem
}

// segmentItem is one message, and how long it is.
type segmentItem struct {
	message event.Value
	bytes   int
}

// readSegment reads a body. The error is a *bodyError.
func readSegment(p *parser, kind string) (*segmentRequest, error) {
	if p.peek() != '{' {
		return nil, badBody("the body must be a JSON object")
	}
	req := &segmentRequest{kind: kind}
	var err error
	if kind == "batch" {
		err = p.segmentBatch(req)
	} else {
		var v event.Value
		if v, err = p.segmentMessage(0); err == nil {
			req.outer, req.items = v.Object(), []segmentItem{{v, len(p.s)}}
		}
		if err == nil && len(p.s) > segmentMaxOne {
			err = badBody("%s", segmentTooLong.Message)
		}
	}
	if err == nil {
		err = p.end()
	}
	var bad *bodyError
	if err != nil && !errors.As(err, &bad) {
		err = badBody("%v", err)
	}
	return req, err
}

// segmentBatch reads an object with a list batch.
func (p *parser) segmentBatch(req *segmentRequest) error {
	found := false
	err := p.each(func(key string) (err error) {
		if key == "batch" {
			found = true
			req.items, err = p.segmentItems()
			return err
		}
		v, err := p.value(1)
		p.props[len(p.props)-1].Value = v
		return err
	})
	req.outer = p.cut(0).Object()
	if err == nil && !found {
		err = badBody("the list batch is missing")
	}
	return err
}

// segmentMessage reads one message, without what nobody here looks at, which
// is the larger part of what libraries send.
func (p *parser) segmentMessage(depth int) (event.Value, error) {
	if p.peek() != '{' {
		return p.value(depth)
	}
	start := len(p.props)
	err := p.each(func(key string) (err error) {
		var v event.Value
		switch {
		case key == "integrations" || key == "_metadata":
			err = p.skip(depth + 1)
		case key == "context" && p.peek() == '{':
			v, err = p.segmentContext(depth + 1)
		default:
			v, err = p.value(depth + 1)
		}
		p.props[len(p.props)-1].Value = v
		return err
	})
	return p.cut(start), err
}

func (p *parser) segmentContext(depth int) (event.Value, error) {
	start := len(p.props)
	err := p.each(func(key string) error {
		switch key {
		case "consent", "device", "direct", "ip", "timezone", "traits", "userAgent":
			v, err := p.value(depth + 1) // which may move p.props
			p.props[len(p.props)-1].Value = v
			return err
		}
		return p.skip(depth + 1)
	})
	return p.cut(start), err
}

// segmentItems reads the list of a batch.
func (p *parser) segmentItems() ([]segmentItem, error) {
	if p.peek() != '[' {
		return nil, badBody("batch must be a list")
	}
	p.i++
	var items []segmentItem
	for first := true; ; first = false {
		more, err := p.more(']', first)
		if err != nil || !more {
			return items, err
		}
		if len(items) == segmentMaxEvents {
			return nil, badBody("a batch holds at most %d events", segmentMaxEvents)
		}
		p.space()
		from := p.i
		v, err := p.segmentMessage(2)
		if err != nil {
			return nil, err
		}
		items = append(items, segmentItem{v, p.i - from})
	}
}

// segmentSender is what a request says of its sender outside its body, which
// comes first.
type segmentSender struct {
	remote    string // address and port of the peer
	sentAt    string // header of RudderStack's library for browsers
	anonymous string // as well
}

func senderOf(r *http.Request) segmentSender {
	s := segmentSender{remote: r.RemoteAddr, sentAt: r.Header.Get("SentAt")}
	if text := r.Header.Get("AnonymousId"); text != "" {
		if id, err := base64Text(text); err == nil {
			s.anonymous = string(id)
		}
	}
	return s
}

// translateSegment makes facts of a request.
func translateSegment(b *batch, req *segmentRequest, from segmentSender) {
	t := segmentTranslator{rules: b.pub.Rules, now: b.now, outer: req.outer, from: from}
	for i, item := range req.items {
		made, err := t.translate(req.kind, item)
		if err != nil {
			b.refuse(i, item.message, err)
			continue
		}
		b.keep(i, item.message, made...)
	}
}

func segmentFail(w http.ResponseWriter, err error) {
	writeJSON(w, statusOf(err), event.OfObject([]event.Prop{
		{Key: "success", Value: event.OfBool(false)},
		{Key: "error", Value: event.OfText(err.Error())},
	}))
}

// segmentKey finds the write key in a Basic header (its password empty, its
// colon sometimes missing) or the query; said is false where only the body may
// have it, as with OAuth's tokens, which say nothing here: a write key is public.
func segmentKey(r *http.Request) (id string, said bool) {
	if user, _, ok := r.BasicAuth(); ok {
		return user, user != ""
	}
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); ok {
		if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) > 0 {
			return strings.TrimSuffix(string(b), ":"), true
		}
	}
	id = r.URL.Query().Get("writeKey")
	return id, id != ""
}
