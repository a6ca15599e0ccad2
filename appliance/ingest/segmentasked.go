package ingest

import (
	"bytes"
	"io"
	"net/http"

	"github.com/cloisterhq/cloister/appliance/event"
)

// What libraries of Segment and RudderStack ask for before they send, and the
// image that stands for a message where no script runs.

func (d *Door) segmentAsked() {
	for path, h := range map[string]http.HandlerFunc{
		"/v1/projects/{key}/settings": d.segmentSettings,
		"/sourceConfig":               d.rudderSource,
		"/sourceConfig/{$}":           d.rudderSource,
		// RudderStack's Go library shares its batches out among the nodes of a
		// cluster, and asks how many there are when it has been answered 451.
		"/cluster-info": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, object("nodeCount", event.OfInt(1)))
		},
	} {
		d.mux.HandleFunc("GET "+path, cors(h)) // and HEAD, by which a library finds what blocks it
		d.mux.HandleFunc("OPTIONS "+path, cors(preflight))
	}
}

// segmentSettings says what to load: nothing but us.
func (d *Door) segmentSettings(w http.ResponseWriter, r *http.Request) {
	key, ok := d.o.Key(r.PathValue("key"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, http.StatusOK, object("integrations", object("Segment.io", object("apiKey", event.OfText(key.ID)))))
}

// rudderSource describes a source that has no destination but us, and reports
// neither errors nor metrics of the library.
func (d *Door) rudderSource(w http.ResponseWriter, r *http.Request) {
	id, said := segmentKey(r)
	if r.Method == http.MethodHead && !said {
		return // it asks whether somebody is there
	}
	key, ok := d.o.Key(id)
	if !ok {
		segmentFail(w, errWriteKey)
		return
	}
	off := object("enabled", event.OfBool(false))
	source := event.OfObject([]event.Prop{
		{Key: "id", Value: event.OfText(key.ID)},
		{Key: "name", Value: event.OfText(key.ID)},
		{Key: "writeKey", Value: event.OfText(key.ID)},
		{Key: "enabled", Value: event.OfBool(true)},
		{Key: "workspaceId", Value: event.OfText("cloister")},
		{Key: "config", Value: object("statsCollection", event.OfObject([]event.Prop{{Key: "errors", Value: off}, {Key: "metrics", Value: off}}))},
		{Key: "connections", Value: event.OfList(nil)},
		{Key: "destinations", Value: event.OfList(nil)},
		{Key: "dataplanes", Value: event.OfObject(nil)},
	})
	writeJSON(w, http.StatusOK, object("source", source))
}

func object(key string, v event.Value) event.Value {
	return event.OfObject([]event.Prop{{Key: key, Value: v}})
}

// pixel is a transparent GIF of one dot.
const pixel = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;"

// segmentPixel takes a message from an image's address. It always answers 200
// and the image, which is what a mail shows: here alone 200 does not mean that
// something was kept.
func (d *Door) segmentPixel(w http.ResponseWriter, r *http.Request) {
	plain, err := base64Text(r.URL.Query().Get("data"))
	if err != nil {
		plain = nil // which is no message either, and is noted as such
	}
	message := r.Clone(r.Context())
	message.Body, message.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	message.Header.Del("Content-Encoding")
	d.take(d.segment)(unheard{}, message)
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// A failed write means that nobody looks.
	_, _ = w.Write([]byte(pixel))
}

// unheard is where an answer goes that nobody waits for.
type unheard struct{}

func (unheard) Header() http.Header         { return http.Header{} }
func (unheard) Write(b []byte) (int, error) { return len(b), nil }
func (unheard) WriteHeader(int)             {}
