package ingest

import (
	"net/http"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of PostHog's capture API. Facts about it come from PostHog's
// public documentation, from its libraries' source, and from recordings of
// them.

// posthogMaxBody is what the largest batch of its libraries comes to: Python's
// stop at 5 MB. Beyond it posthog-node halves its batches.
const posthogMaxBody = 5 << 20

func (d *Door) posthogRoutes() {
	capture := credentialed(never429(d.take(d.posthog)))
	both := d.slashed
	for _, path := range []string{"/i/v0/e", "/e", "/capture"} {
		both("POST "+path, capture)
		if path != "/e" { // see sharedRoutes
			both("GET "+path, capture)
		}
		both("OPTIONS "+path, credentialed(preflight))
	}
	// What libraries ask for beside: no flags, no recordings, no surveys.
	fixed := func(answer string) http.HandlerFunc {
		return credentialed(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "application/json", answer) })
	}
	for _, path := range []string{"/flags", "/decide"} {
		both("POST "+path, fixed(posthogFlags))
		both("OPTIONS "+path, credentialed(preflight))
	}
	both("POST /s", fixed(`{"status":1}`)) // recordings of the screen: never read
	both("OPTIONS /s", credentialed(preflight))
	for path, answer := range map[string]string{
		"/api/surveys":                       `{"surveys":[]}`,
		"/api/early_access_features":         `{"earlyAccessFeatures":[]}`,
		"/api/web_experiments":               `{"experiments":[]}`,
		"/api/feature_flag/local_evaluation": `{"flags":[],"group_type_mapping":{},"cohorts":{}}`,
		"/flags/definitions":                 `{"flags":[],"group_type_mapping":{},"cohorts":{}}`,
	} {
		both("GET "+path, fixed(answer))
		both("OPTIONS "+path, credentialed(preflight))
	}
	d.mux.HandleFunc("GET /array/{key}/{config}", credentialed(d.posthogConfig))
	d.mux.HandleFunc("OPTIONS /array/{key}/{config}", credentialed(preflight))
}

// No flag is set, and all that a library could load on top is off.
const (
	posthogFlags = `{"flags":{},"featureFlags":{},"featureFlagPayloads":{},"errorsWhileComputingFlags":false,` + posthogOff
	posthogOff   = `"supportedCompression":["gzip","gzip-js"],"sessionRecording":false,"surveys":false,"heatmaps":false,"capturePerformance":false,` +
		`"captureDeadClicks":false,"autocaptureExceptions":false,"toolbarParams":{},"isAuthenticated":false,"siteApps":[],"defaultIdentifiedOnly":true}`
)

// posthogConfig answers what the browser's library asks for before all else.
func (d *Door) posthogConfig(w http.ResponseWriter, r *http.Request) {
	key, ok := d.o.Key(r.PathValue("key"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	token := string(event.OfText(key.ID).AppendJSON(nil))
	config := `{"token":` + token + `,"hasFeatureFlags":false,` + posthogOff
	switch r.PathValue("config") {
	case "config":
		writeText(w, "application/json", config)
	case "config.js":
		writeText(w, "application/javascript", `(function(){var a=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};a[`+token+`]={config:`+config+`,siteApps:[]}})();`)
	default:
		http.NotFound(w, r)
	}
}

func writeText(w http.ResponseWriter, kind, text string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// A failed write means that the app hung up.
	_, _ = w.Write([]byte(text))
}

// never429 answers 503 for 429 and 408, for libraries that keep what they could not
// send where the status is 500 or more, and throw it away at 4xx (posthog-js)
// or send it again at once until they give up (Amplitude's).
func never429(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { next(no429{w}, r) }
}

// no429 marks the answers of never429.
type no429 struct{ http.ResponseWriter }

func (w no429) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (d *Door) posthog(w http.ResponseWriter, r *http.Request) {
	p, fields, release, err := d.readForm(w, r, posthogMaxBody)
	if err != nil {
		d.posthogFail(w, r, err)
		return
	}
	defer release()
	body, err := p.whole()
	if err != nil {
		d.posthogFail(w, r, badBody("%v", err))
		return
	}
	d.posthogBody(w, r, body, sentMillis(fields))
}

// posthogBody takes a body that is read already. sent is when the request says
// that it was sent; zero = it does not.
func (d *Door) posthogBody(w http.ResponseWriter, r *http.Request, body event.Value, sent time.Time) {
	req, err := readPosthog(body)
	if err != nil {
		d.posthogFail(w, r, err)
		return
	}
	key, ok := d.o.Key(req.key)
	if !ok {
		d.posthogFail(w, r, errAPIKey)
		return
	}
	if req.sent.IsZero() {
		req.sent = sent
	}
	b := d.begin("posthog", key)
	translatePosthog(b, req, r.RemoteAddr)
	if !d.write(w, r, b) {
		return
	}
	answer := []event.Prop{{Key: "status", Value: event.OfInt(1)}}
	if len(b.refused) > 0 {
		answer = append(answer, event.Prop{Key: "rejected", Value: refusedList(b.refused, "messageId")})
	}
	writeJSON(w, http.StatusOK, event.OfObject(answer))
}

var errAPIKey = &bodyError{status: http.StatusUnauthorized, message: "the API key is not known; it is the id of a key block of the publisher"}

// posthogFail answers as PostHog does. Its libraries drop what is answered
// 400 to 499.
func (d *Door) posthogFail(w http.ResponseWriter, r *http.Request, err error) {
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	kind, code := "validation_error", "invalid_input"
	if err == errAPIKey {
		kind, code = "authentication_error", "invalid_api_key"
	}
	writeJSON(w, statusOf(err), event.OfObject([]event.Prop{
		{Key: "type", Value: event.OfText(kind)},
		{Key: "code", Value: event.OfText(code)},
		{Key: "detail", Value: event.OfText(err.Error())},
	}))
}

// posthogRequest is a body, read.
type posthogRequest struct {
	key     string
	history bool      // events of the past, brought in afterwards
	sent    time.Time // by the sender's clock; zero = not said
	items   []event.Value
}

// readPosthog finds the events in a body: one, a list, or an object with a
// list batch. The error is a *bodyError.
func readPosthog(body event.Value) (*posthogRequest, error) {
	req := &posthogRequest{}
	o := body.Object()
	switch batch := event.Lookup(o, "batch"); {
	case body.Kind() == event.List:
		req.items = body.List()
	case body.Kind() != event.Object:
		return nil, badBody("the body must be an event, a list of them, or an object with a list batch")
	case batch.Kind() == event.List:
		req.items = batch.List()
	case !batch.IsNull():
		return nil, badBody("batch must be a list")
	default:
		req.items = []event.Value{body}
	}
	req.history = event.Lookup(o, "historical_migration").Bool()
	req.sent, _ = posthogTime(event.Lookup(o, "sent_at"))
	if req.key = posthogKey(o); req.key == "" && len(req.items) > 0 {
		req.key = posthogKey(req.items[0].Object())
	}
	return req, nil
}

// posthogKey finds the API key in a request or in an event: old libraries
// write it among the properties.
func posthogKey(o []event.Prop) string {
	for _, name := range []string{"api_key", "token"} {
		if s := event.Lookup(o, name).Text(); s != "" {
			return s
		}
	}
	return event.Lookup(event.Lookup(o, "properties").Object(), "token").Text()
}

// posthogTime reads a time as the libraries write it; ones without a zone are
// UTC.
func posthogTime(v event.Value) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(layout, v.Text()); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
