package ingest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// sentBy is a request of a library, unmodified, as a recorder kept it.
type sentBy struct {
	SDK     string            `json:"sdk"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Packed  bool              `json:"packed"` // gzip, which the headers need not say
	Body    string            `json:"body"`   // unpacked
}

// replay sends what is recorded in a file of testdata, and gives every answer
// to look.
func (a *atDoor) replay(name string, look func(e sentBy, status int, answer string)) {
	a.t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		a.t.Fatal(err)
	}
	var all []sentBy
	if err := json.Unmarshal(raw, &all); err != nil {
		a.t.Fatal(err)
	}
	for _, e := range all {
		body := e.Body
		if e.Packed {
			body = zipped(a.t, body)
		}
		var headers []string
		for k, v := range e.Headers {
			headers = append(headers, k, v)
		}
		w := a.send(e.Method, e.Path, body, headers...)
		if origin := e.Headers["origin"]; origin != "" && (w.Header().Get("Access-Control-Allow-Origin") != origin || w.Header().Get("Access-Control-Allow-Credentials") != "true") {
			a.t.Errorf("%s %s %s: a browser cannot read the answer", e.SDK, e.Method, e.Path)
		}
		if asked := e.Headers["access-control-request-headers"]; asked != w.Header().Get("Access-Control-Allow-Headers") {
			a.t.Errorf("%s %s: headers allowed: %q", e.SDK, e.Path, w.Header().Get("Access-Control-Allow-Headers"))
		}
		look(e, w.Code, w.Body.String())
	}
}

func wantCounts(t *testing.T, got, want map[string]int) {
	t.Helper()
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%q: %d, not %d", name, got[name], n)
		}
	}
	for name, n := range got {
		if want[name] == 0 {
			t.Errorf("%q: %d, and none was sent", name, n)
		}
	}
}
