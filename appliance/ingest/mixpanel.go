package ingest

import (
	"net/http"
	"net/url"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of Mixpanel's ingestion API. Facts about it come from its public
// documentation, from its libraries' source, and from recordings of them.

const (
	mixpanelMaxBody   = 2 << 20
	mixpanelMaxImport = 10 << 20
	mixpanelMaxItems  = 2000
)

func (d *Door) mixpanelRoutes() {
	for path, h := range map[string]http.HandlerFunc{"/engage": d.mixpanelEngage, "/groups": d.mixpanelGroups, "/import": d.mixpanelImport} {
		h := credentialed(never429(d.take(h)))
		d.slashed("POST "+path, h)
		d.slashed("GET "+path, h)
		d.slashed("OPTIONS "+path, credentialed(preflight))
	}
	for pattern, answer := range map[string]string{
		"GET /decide":   `{"notifications":[],"surveys":[],"variants":[],"automatic_events":false,"config":{"enable_collect_everything":false}}`,
		"GET /flags":    `{"flags":{}}`,
		"GET /settings": `{}`,
		"POST /record":  `{"code":200,"status":"OK"}`, // recordings of the screen: never read
	} {
		d.slashed(pattern, credentialed(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "application/json", answer) }))
	}
	d.slashed("OPTIONS /settings", credentialed(preflight))
	d.slashed("OPTIONS /record", credentialed(preflight))
}

// readMixpanel reads records: one, a list, or one a line.
func readMixpanel(p *parser) ([]event.Value, error) {
	var out []event.Value
	for {
		v, err := p.value(0)
		if err != nil {
			return nil, badBody("%v", err)
		}
		if v.Kind() == event.List && len(out) == 0 {
			out = v.List()
			if err := p.end(); err != nil {
				return nil, badBody("%v", err)
			}
		} else {
			out = append(out, v)
		}
		if len(out) > mixpanelMaxItems {
			return nil, &bodyError{status: http.StatusRequestEntityTooLarge, message: "a request holds at most 2000 records"}
		}
		if p.peek() == 0 {
			return out, nil
		}
	}
}

// readMixpanelBody reads a body of records; ok is false where it has answered.
func (d *Door) readMixpanelBody(w http.ResponseWriter, r *http.Request, limit int64) (items []event.Value, fields url.Values, release func(), ok bool) {
	p, fields, release, err := d.readForm(w, r, limit)
	if err != nil {
		d.mixpanelFail(w, r, fields, err)
		return nil, nil, nil, false
	}
	if items, err = readMixpanel(p); err != nil {
		release()
		d.mixpanelFail(w, r, fields, err)
		return nil, nil, nil, false
	}
	return items, fields, release, true
}

// mixpanelTake takes records of a kind that came to /track or /engage.
func (d *Door) mixpanelTake(w http.ResponseWriter, r *http.Request, items []event.Value, fields url.Values, kind mixpanelKind) {
	token := ""
	if len(items) > 0 {
		token = mixpanelToken(items[0].Object())
	}
	key, ok := d.o.Key(token)
	if !ok {
		d.mixpanelFail(w, r, fields, errToken)
		return
	}
	b := d.begin("mixpanel", key)
	translateMixpanel(b, items, sentMillis(fields), mixpanelPeer(r, fields), kind)
	if d.write(w, r, b) {
		mixpanelAnswer(w, fields, len(items), b)
	}
}

// mixpanelEngage takes what is said of people.
func (d *Door) mixpanelEngage(w http.ResponseWriter, r *http.Request) {
	if items, fields, release, ok := d.readMixpanelBody(w, r, mixpanelMaxBody); ok {
		defer release()
		d.mixpanelTake(w, r, items, fields, mixpanelProfile)
	}
}

// mixpanelGroups takes what is said of groups, of which nothing is kept.
func (d *Door) mixpanelGroups(w http.ResponseWriter, r *http.Request) {
	items, fields, release, ok := d.readMixpanelBody(w, r, mixpanelMaxBody)
	if !ok {
		return
	}
	defer release()
	mixpanelAnswer(w, fields, len(items), &batch{})
}

// mixpanelImport takes events from servers. What comes in a form is answered as
// /track answers: so old libraries ask for it.
func (d *Door) mixpanelImport(w http.ResponseWriter, r *http.Request) {
	p, fields, release, err := d.readForm(w, r, mixpanelMaxImport)
	if err != nil {
		d.mixpanelImportFail(w, r, err)
		return
	}
	defer release()
	items, err := readMixpanel(p)
	if err != nil {
		d.mixpanelImportFail(w, r, err)
		return
	}
	key, ok := d.mixpanelCaller(r, items)
	if !ok {
		d.mixpanelImportFail(w, r, errToken)
		return
	}
	b := d.begin("mixpanel", key)
	translateMixpanel(b, items, sentMillis(fields), mixpanelPeer(r, fields), mixpanelEvent)
	if !d.write(w, r, b) {
		return
	}
	if fields.Has("data") {
		mixpanelAnswer(w, fields, len(items), b)
		return
	}
	answer := []event.Prop{
		{Key: "code", Value: event.OfInt(200)}, {Key: "status", Value: event.OfText("OK")},
		{Key: "num_records_imported", Value: event.OfInt(int64(len(items) - len(b.refused)))},
	}
	status := http.StatusOK
	if len(b.refused) > 0 && fields.Get("strict") != "0" {
		// Not a failure: what is well was taken.
		status = http.StatusBadRequest
		answer[0].Value, answer[1].Value = event.OfInt(400), event.OfText("Bad Request")
		failed := make([]event.Value, 0, len(b.refused))
		for _, one := range b.refused {
			_, field, message := reasonOf(one.Err)
			id := event.Lookup(event.Lookup(one.Record.Object(), "properties").Object(), "$insert_id")
			failed = append(failed, event.OfObject([]event.Prop{
				{Key: "index", Value: event.OfInt(int64(one.Index))}, {Key: "insert_id", Value: event.OfText(idText(id))},
				{Key: "field", Value: event.OfText(field)}, {Key: "message", Value: event.OfText(message)},
			}))
		}
		answer = append(answer,
			event.Prop{Key: "error", Value: event.OfText("some data points in the request failed validation")},
			event.Prop{Key: "failed_records", Value: event.OfList(failed)})
	}
	writeJSON(w, status, event.OfObject(answer))
}

var errToken = &bodyError{status: http.StatusUnauthorized, message: "the token is not known; it is the id of a key block of the publisher"}

// mixpanelCaller finds the key of an import: the user of a Basic header, or the
// project that a service account names, each with its secret or none; else the
// token among the events' properties, which lets write as well.
func (d *Door) mixpanelCaller(r *http.Request, items []event.Value) (Key, bool) {
	user, password, _ := r.BasicAuth()
	for _, id := range []string{user, r.URL.Query().Get("project_id")} {
		if key, ok := d.o.Key(id); ok && id != "" {
			return key, password == "" || sameSecret(password, key.Secret)
		}
	}
	if len(items) == 0 {
		return Key{}, false
	}
	return d.o.Key(mixpanelToken(items[0].Object()))
}

// mixpanelPeer is the sender's address where the request asks that it be
// looked at, as browsers and phones do.
func mixpanelPeer(r *http.Request, fields url.Values) string {
	if fields.Get("ip") == "1" {
		return peerIP(r.RemoteAddr)
	}
	return ""
}

// mixpanelToken finds the token in a record.
func mixpanelToken(o []event.Prop) string {
	if s := event.Lookup(o, "$token").Text(); s != "" {
		return s
	}
	return event.Lookup(event.Lookup(o, "properties").Object(), "token").Text()
}

// mixpanelAnswer answers 1, or an object where the library asks for one; 0
// where nothing of the request was taken. Either is 200: the mobile libraries
// would send a refused batch for ever.
func mixpanelAnswer(w http.ResponseWriter, fields url.Values, items int, b *batch) {
	var err error
	if len(b.refused) > 0 && len(b.refused) == items {
		err = b.refused[0].Err
	}
	mixpanelSay(w, fields, http.StatusOK, err, b.refused)
}

func mixpanelSay(w http.ResponseWriter, fields url.Values, status int, err error, refused []Refused) {
	switch {
	case fields.Get("verbose") == "1":
		answer := []event.Prop{{Key: "status", Value: event.OfInt(1)}, {Key: "error"}}
		if err != nil {
			answer[0].Value, answer[1].Value = event.OfInt(0), event.OfText(err.Error())
		}
		if len(refused) > 0 {
			answer = append(answer, event.Prop{Key: "rejected", Value: refusedList(refused, "messageId")})
		}
		writeJSON(w, status, event.OfObject(answer))
	case fields.Get("img") == "1" && err == nil:
		w.Header().Set("Content-Type", "image/gif")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(pixel))
	default:
		text := "1"
		if err != nil {
			text = "0"
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}
}

// mixpanelFail answers a request of which nothing can be read. fields may be
// nil: the query says then how to answer.
func (d *Door) mixpanelFail(w http.ResponseWriter, r *http.Request, fields url.Values, err error) {
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	if fields == nil {
		fields = r.URL.Query()
	}
	mixpanelSay(w, fields, statusOf(err), err, nil)
}

func (d *Door) mixpanelImportFail(w http.ResponseWriter, r *http.Request, err error) {
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	status := statusOf(err)
	writeJSON(w, status, event.OfObject([]event.Prop{
		{Key: "code", Value: event.OfInt(int64(status))}, {Key: "status", Value: event.OfText(http.StatusText(status))},
		{Key: "error", Value: event.OfText(err.Error())},
	}))
}
