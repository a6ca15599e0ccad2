package ingest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of Amplitude's HTTP API V2 and of its batch, identify and group
// identify APIs. Facts about it come from its public documentation, from its
// libraries' source, and from recordings of them.

const (
	amplitudeMaxBody   = 1 << 20
	amplitudeMaxBatch  = 20 << 20
	amplitudeMaxEvents = 2000
)

func (d *Door) amplitudeRoutes() {
	for path, h := range map[string]http.HandlerFunc{
		"/2/httpapi": d.amplitude, "/httpapi": d.amplitudeForm, "/identify": d.amplitudeForm, "/groupidentify": d.amplitudeForm,
	} {
		h := credentialed(never429(d.take(h)))
		d.slashed("POST "+path, h)
		d.slashed("OPTIONS "+path, credentialed(preflight))
	}
	// What libraries ask for beside: no settings; a recording is not read.
	d.mux.HandleFunc("GET /config/{key}", credentialed(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "application/json", `{"configs":{}}`) }))
	d.mux.HandleFunc("OPTIONS /config/{key}", credentialed(preflight))
	d.slashed("POST /sessions/v2/track", credentialed(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "application/json", `{"code":200}`) }))
	d.slashed("OPTIONS /sessions/v2/track", credentialed(preflight))
}

func (d *Door) amplitude(w http.ResponseWriter, r *http.Request) {
	p, release, err := d.readBody(w, r, amplitudeMaxBody)
	if err != nil {
		d.amplitudeFail(w, r, err)
		return
	}
	defer release()
	size := len(p.s)
	body, err := p.whole()
	if err != nil {
		d.amplitudeFail(w, r, badBody("%v", err))
		return
	}
	d.amplitudeBody(w, r, body, size)
}

// amplitudeBody takes a body of size bytes that is read already.
func (d *Door) amplitudeBody(w http.ResponseWriter, r *http.Request, body event.Value, size int) {
	o := body.Object()
	key, ok := d.o.Key(event.Lookup(o, "api_key").Text())
	if !ok {
		d.amplitudeFail(w, r, errInvalidKey)
		return
	}
	list := event.Lookup(o, "events")
	items := list.List()
	if list.Kind() == event.Object {
		items = []event.Value{list}
	}
	if len(items) == 0 || len(items) > amplitudeMaxEvents {
		err := badBody("events must be a list, and not empty")
		if len(items) > 0 {
			err = &bodyError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("a request holds at most %d events", amplitudeMaxEvents)}
		}
		d.unreadable("amplitude", key, err)
		d.amplitudeFail(w, r, err)
		return
	}
	sent, _ := time.Parse(time.RFC3339Nano, event.Lookup(o, "client_upload_time").Text())
	b := d.begin("amplitude", key)
	translateAmplitude(b, items, sent, r.RemoteAddr, amplitudeEvent)
	if len(b.refused) > 0 {
		// As at Amplitude nothing of the request is kept: libraries drop the
		// events that are listed and send the others again.
		b.report()
		amplitudeRefuse(w, b.refused)
		return
	}
	if !d.write(w, r, b) {
		return
	}
	writeJSON(w, http.StatusOK, event.OfObject([]event.Prop{
		{Key: "code", Value: event.OfInt(200)}, {Key: "events_ingested", Value: event.OfInt(int64(len(items)))},
		{Key: "payload_size_bytes", Value: event.OfInt(int64(size))}, {Key: "server_upload_time", Value: event.OfInt(b.now.UnixMilli())},
	}))
}

// amplitudeForm takes what comes in a form: events to the old /httpapi, people
// to /identify, and groups, of which nothing is kept. These answer with text.
func (d *Door) amplitudeForm(w http.ResponseWriter, r *http.Request) {
	field, kind := "identification", amplitudeIdentify
	switch {
	case r.URL.Path == "/httpapi" || r.URL.Path == "/httpapi/":
		field, kind = "event", amplitudeEvent
	case r.URL.Path == "/groupidentify" || r.URL.Path == "/groupidentify/":
		kind = func(*amplitudeTranslator, []event.Prop) ([]event.Fact, error) { return nil, nil }
	}
	p, release, err := d.readBody(w, r, amplitudeMaxBody)
	if err == nil {
		defer release()
	}
	text := func(status int, s string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(s))
	}
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	var items []event.Value
	var id string
	if err == nil {
		id, items, err = readAmplitudeForm(p, field)
	}
	if err != nil {
		text(statusOf(err), err.Error())
		return
	}
	key, ok := d.o.Key(id)
	if !ok {
		text(http.StatusBadRequest, errInvalidKey.Error())
		return
	}
	b := d.begin("amplitude", key)
	translateAmplitude(b, items, time.Time{}, "", kind)
	if len(b.refused) > 0 {
		b.report()
		text(http.StatusBadRequest, b.refused[0].Err.Error())
		return
	}
	if d.write(w, r, b) {
		text(http.StatusOK, "success")
	}
}

// readAmplitudeForm finds the key and the records, in a form or in JSON. The
// error is a *bodyError.
func readAmplitudeForm(p *parser, field string) (key string, items []event.Value, err error) {
	if !looksLikeJSON(p.s) {
		form, err := parseForm(p.s)
		if err != nil {
			return "", nil, err
		}
		key = form.Get("api_key")
		p.begin(form.Get(field))
	}
	body, err := p.whole()
	if err != nil {
		return "", nil, badBody("%v", err)
	}
	if o := body.Object(); key == "" {
		key = event.Lookup(o, "api_key").Text()
		body = event.Lookup(o, field)
	}
	switch body.Kind() {
	case event.List:
		items = body.List()
	case event.Object:
		items = []event.Value{body}
	default:
		return "", nil, badBody("%s must be an object or a list", field)
	}
	if len(items) > amplitudeMaxEvents {
		return "", nil, &bodyError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("a request holds at most %d records", amplitudeMaxEvents)}
	}
	return key, items, nil
}

// errInvalidKey begins as Amplitude's does: that makes its libraries drop the
// events instead of sending them again at once.
var errInvalidKey = &bodyError{status: http.StatusBadRequest, message: "Invalid API key: it is the id of a key block of the publisher"}

// amplitudeFail answers a request of which nothing can be read. The missing
// field makes libraries drop it: it would not be read the second time either.
func (d *Door) amplitudeFail(w http.ResponseWriter, r *http.Request, err error) {
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	status := statusOf(err)
	answer := []event.Prop{{Key: "code", Value: event.OfInt(int64(status))}, {Key: "error", Value: event.OfText(err.Error())}}
	if err != errInvalidKey && status != http.StatusRequestEntityTooLarge {
		answer = append(answer, event.Prop{Key: "missing_field", Value: event.OfText("events")})
	}
	writeJSON(w, status, event.OfObject(answer))
}

// amplitudeRefuse lists the events that cannot be taken, by what is wrong.
func amplitudeRefuse(w http.ResponseWriter, refused []Refused) {
	var missing, wrong []event.Prop
	for _, one := range refused {
		code, field, _ := reasonOf(one.Err)
		if field == "" {
			field = code
		}
		into := &wrong
		if code == event.RefusedEmpty || code == event.RefusedNobody {
			into = &missing
		}
		list := append(event.Lookup(*into, field).List(), event.OfInt(int64(one.Index)))
		*into = setProp(*into, field, event.OfList(list))
	}
	writeJSON(w, http.StatusBadRequest, event.OfObject([]event.Prop{
		{Key: "code", Value: event.OfInt(400)}, {Key: "error", Value: event.OfText("some events cannot be taken: " + refused[0].Err.Error())},
		{Key: "events_with_missing_fields", Value: event.OfObject(missing)}, {Key: "events_with_invalid_fields", Value: event.OfObject(wrong)},
		{Key: "events_with_invalid_id_lengths", Value: event.OfObject(nil)}, {Key: "silenced_events", Value: event.OfList(nil)},
	}))
}
