package ingest

import (
	"net/http"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The paths that several dialects use are told apart by the body alone, or by
// the names in the query of a GET, never by a slash at the end or a header.

// slashed serves a path with and without a slash at its end.
func (d *Door) slashed(pattern string, h http.HandlerFunc) {
	d.mux.HandleFunc(pattern, h)
	d.mux.HandleFunc(pattern+"/{$}", h)
}

func (d *Door) sharedRoutes() {
	capture := credentialed(never429(d.take(d.posthog)))
	d.slashed("GET /e", func(w http.ResponseWriter, r *http.Request) {
		// PostHog's data is CleverTap's d, beside which a recipient's e stands.
		if q := r.URL.Query(); q.Has("e") && !q.Has("data") {
			d.take(d.clevertapEmail)(w, r)
			return
		}
		capture(w, r)
	})
	for path, h := range map[string]http.HandlerFunc{"/track": d.sharedTrack, "/batch": d.sharedBatch} {
		h := credentialed(never429(d.take(h)))
		d.slashed("POST "+path, h)
		d.slashed("GET "+path, h)
		d.slashed("OPTIONS "+path, credentialed(preflight))
	}
}

// sharedBatch is Amplitude's where the body has a list events, and PostHog's
// everywhere else.
func (d *Door) sharedBatch(w http.ResponseWriter, r *http.Request) {
	// Whose a body is that cannot be read nobody knows; PostHog's libraries look
	// at the status only, so it is answered as Amplitude's want it.
	p, fields, release, err := d.readForm(w, r, amplitudeMaxBatch)
	if err != nil {
		d.amplitudeFail(w, r, err)
		return
	}
	defer release()
	size := len(p.s)
	body, err := p.whole()
	switch {
	case err != nil:
		d.amplitudeFail(w, r, badBody("%v", err))
	case !event.Lookup(body.Object(), "events").IsNull():
		d.amplitudeBody(w, r, body, size)
	case size > posthogMaxBody:
		d.posthogFail(w, r, tooLarge(posthogMaxBody))
	default:
		d.posthogBody(w, r, body, sentMillis(fields))
	}
}

// sharedTrack is PostHog's where a body has a batch, or where the key or the
// id stands beside an event's name, and Mixpanel's everywhere else: its events
// have all of that among their properties.
func (d *Door) sharedTrack(w http.ResponseWriter, r *http.Request) {
	p, fields, release, err := d.readForm(w, r, posthogMaxBody)
	if err != nil {
		d.mixpanelFail(w, r, fields, err)
		return
	}
	defer release()
	items, err := readMixpanel(p)
	if err != nil {
		d.mixpanelFail(w, r, fields, err)
		return
	}
	for _, item := range items[:min(1, len(items))] {
		for _, name := range []string{"batch", "api_key", "token", "distinct_id"} {
			if !event.Lookup(item.Object(), name).IsNull() {
				body := event.OfList(items)
				if len(items) == 1 {
					body = items[0]
				}
				d.posthogBody(w, r, body, sentMillis(fields))
				return
			}
		}
	}
	d.mixpanelTake(w, r, items, fields, mixpanelEvent)
}
