package console

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/export"
)

func someRecords(n, size int) []export.Record {
	out := make([]export.Record, n)
	for i := range out {
		out[i] = export.Record{
			Cells: []event.Value{event.OfText(fmt.Sprintf("user-%d", i))},
			Group: []event.Prop{{Key: "amount", Value: event.OfInt(int64(i))}, {Key: "rest", Value: event.OfText(strings.Repeat("x", size))}},
		}
	}
	return out
}

const exportPath = "/v1/publishers/acme/export/events"

func TestExport(t *testing.T) {
	h := open(t)
	h.acme.exports = someRecords(2, 1)
	token := h.token("acme", access.Analyst)
	got := h.want(200, token, "GET", exportPath, "")
	if want := `{"user":"user-0","props":{"amount":0,"rest":"x"}}` + "\n" + `{"user":"user-1","props":{"amount":1,"rest":"x"}}` + "\n"; got.body != want {
		t.Errorf("it is %q", got.body)
	}
	if d := got.Header.Get("Content-Disposition"); d != `attachment; filename="acme-events.ndjson"` {
		t.Errorf("it is a %s", d)
	}
	got = h.want(200, token, "GET", exportPath+"?format=csv&compress=gzip&event=A&event=B,C&from=2026-01-01T00:00:00Z&segment=vips", "")
	r, err := gzip.NewReader(strings.NewReader(got.body))
	check(t, err)
	plain, err := io.ReadAll(r)
	check(t, err)
	if want := "user,props.amount,more\r\nuser-0,0,\"{\"\"rest\"\":\"\"x\"\"}\"\r\nuser-1,1,\"{\"\"rest\"\":\"\"x\"\"}\"\r\n"; string(plain) != want {
		t.Errorf("it is %q", plain)
	}
	o := h.acme.exported
	if len(o.Events) != 2 || o.Events[1] != "B,C" || o.From != 1767225600000000 || o.To != h.clock().UnixMicro() || o.Segment != "vips" || o.Personal {
		t.Errorf("it was asked for %+v", o)
	}

	// Who sees no personal values takes none out.
	h.want(403, token, "GET", exportPath+"?personal=true", "")
	h.want(200, h.token("acme", access.Marketer), "GET", exportPath+"?personal=true", "")
	if !h.acme.exported.Personal {
		t.Error("personal was not passed on")
	}
	h.want(403, h.token("acme", access.Auditor), "GET", exportPath, "")

	for _, bad := range []string{"format=xml", "compress=rar", "from=yesterday", "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "personal=1",
		"format=csv&format=csv", "colour=red", "cursor=x", "format=parquet&compress=gzip", "format=parquet&marks=true"} {
		h.want(400, token, "GET", exportPath+"?"+bad, "")
	}
	h.want(400, token, "GET", "/v1/publishers/acme/export/profiles?from=2026-01-01T00:00:00Z", "")
	h.want(400, token, "GET", "/v1/publishers/acme/export/profiles?event=A", "")
}

// piecesOf takes a marked export apart.
func piecesOf(t *testing.T, body string) (whole string, cursors []string, ends []int, done bool) {
	t.Helper()
	for body != "" {
		line, rest, _ := strings.Cut(body, "\n")
		var head exportPieceHead
		check(t, json.Unmarshal([]byte(line), &head))
		if head.Done {
			return whole, cursors, ends, rest == ""
		}
		whole, body = whole+rest[:head.Bytes], rest[head.Bytes:]
		if head.Cursor != "" {
			cursors, ends = append(cursors, head.Cursor), append(ends, len(whole))
		}
	}
	return whole, cursors, ends, false
}

// From each cursor on the bytes are those of an export that was not cut.
func TestAnExportGoesOn(t *testing.T) {
	h := open(t)
	h.acme.exports = someRecords(200, 20_000)
	token := h.token("acme", access.Analyst)
	for _, form := range []string{"format=ndjson", "format=csv", "format=ndjson&compress=gzip", "format=csv&compress=zstd"} {
		path := exportPath + "?marks=true&" + form
		whole, cursors, ends, done := piecesOf(t, h.want(200, token, "GET", path, "").body)
		if !done || len(cursors) < 4 {
			t.Fatalf("%s: %d cursors", form, len(cursors))
		}
		h.pass(1000) // what has happened since is not part of it
		for i, cursor := range cursors {
			rest, _, _, done := piecesOf(t, h.want(200, token, "GET", path+"&cursor="+cursor, "").body)
			if !done || whole[:ends[i]]+rest != whole {
				t.Errorf("%s from cursor %d on it is another: %d bytes instead of %d", form, i, len(rest), len(whole)-ends[i])
			}
		}
		h.want(409, token, "GET", path+"&segment=vips&cursor="+cursors[0], "")
		h.want(409, token, "GET", strings.Replace(path, "events", "messages", 1)+"&cursor="+cursors[0], "")
	}
}

// Each export is in the audit: who and what, and how many.
func TestExportsAreWrittenDown(t *testing.T) {
	h := open(t)
	h.acme.exports = someRecords(3, 1)
	h.want(200, h.token("acme", access.Admin), "GET", exportPath+"?personal=true&event=Charged", "")
	var begin, end bool
	for _, e := range h.entries() {
		begin = begin || e.Action == "export.events" && e.Publisher == "acme" && strings.HasPrefix(e.Actor, "token ") && strings.HasPrefix(e.Detail, `ndjson, personal, to `) && strings.HasSuffix(e.Detail, `event "Charged"`)
		end = end || e.Action == "export.events.end" && strings.HasPrefix(e.Detail, "3 records, ") && e.Outcome == "ok"
	}
	if !begin || !end {
		t.Errorf("the audit has %+v", h.entries())
	}
}

// An export that fails in the middle is not taken for whole.
func TestACutExport(t *testing.T) {
	h := open(t)
	h.acme.exports, h.acme.exportErr = someRecords(100, 20_000), errors.New("a block is damaged")
	req, err := http.NewRequest("GET", h.server.URL+exportPath, nil)
	check(t, err)
	req.Header.Set("Authorization", "Bearer "+h.token("acme", access.Analyst))
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	check(t, err)
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("%d bytes look whole", len(b))
	}
	failed := false
	for _, e := range h.entries() {
		failed = failed || e.Action == "export.events.end" && e.Outcome == "failed"
	}
	if !failed {
		t.Error("the audit does not say that it failed")
	}
	if !bytes.Contains([]byte(h.log.String()), []byte("a block is damaged")) {
		t.Error("the log does not say why")
	}
}

func TestFewExportsAtATime(t *testing.T) {
	h := open(t)
	for range maxExports {
		check(t, h.exports.enter())
	}
	h.want(429, h.token("acme", access.Analyst), "GET", exportPath, "")
	for range maxExports {
		h.exports.leave()
	}
	h.want(200, h.token("acme", access.Analyst), "GET", exportPath, "")
}

func TestExportAsParquet(t *testing.T) {
	h := open(t)
	h.acme.exports = someRecords(3000, 10)
	got := h.want(200, h.token("acme", access.Analyst), "GET", exportPath+"?format=parquet", "")
	f, err := parquet.OpenFile(strings.NewReader(got.body), int64(len(got.body)))
	check(t, err)
	if f.NumRows() != 3000 || got.Header.Get("Content-Type") != "application/vnd.apache.parquet" {
		t.Errorf("%d rows, %s", f.NumRows(), got.Header.Get("Content-Type"))
	}
	for _, e := range h.entries() {
		if e.Action == "export.events.end" && strings.HasPrefix(e.Detail, fmt.Sprintf("3000 records, %d bytes", len(got.body))) {
			return
		}
	}
	t.Errorf("the audit has %+v", h.entries())
}
