package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/export"
)

// Bounds of an export.
const (
	maxExports   = 2         // at the same time, in all: each keeps a core busy
	exportPiece  = 1 << 20   // bytes that are sent at once, before they are compressed
	exportLasts  = time.Hour // of one request, since it holds on to what is to be removed
	exportWrite  = 30 * time.Second
	exportEvents = 100    // names in one request
	exportLook   = 10_000 // records, after which a caller's rights are looked at again
)

// ErrPosition is a Publisher's answer to an ExportOptions.After that is none.
var ErrPosition = errors.New("console: no such position of an export")

// ExportOptions say what is taken out.
type ExportOptions struct {
	From, To int64    // microseconds, To exclusive; 0 = no bound
	Events   []string // names; nil = all
	Segment  string   // only people in it; "" = everybody
	Personal bool     // also what identifies people
	After    []byte   // a position that Each marked: what comes up to there is left out
}

// Export is what a publisher takes out, as of one moment.
type Export interface {
	Table() *export.Table
	// Each gives the records, and between them positions; it may be called
	// again and then gives the same, but for whoever was erased meanwhile.
	Each(ctx context.Context, fn func(*export.Record) error, mark func(position []byte) error) error
	Close()
}

// exporting counts the exports that run.
type exporting struct {
	mu     sync.Mutex
	n      int
	closed bool
	gone   sync.WaitGroup
}

func (e *exporting) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrUnavailable
	}
	if e.n >= maxExports {
		return &problem{status: http.StatusTooManyRequests, Code: "busy", Message: "too many exports at the same time", after: 10 * time.Second}
	}
	e.n++
	e.gone.Add(1)
	return nil
}

func (e *exporting) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n--
	e.gone.Done()
}

func (e *exporting) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.gone.Wait()
}

func (c *Console) exportEvents(r *request) error   { return c.export(r, "events") }
func (c *Console) exportProfiles(r *request) error { return c.export(r, "profiles") }
func (c *Console) exportMessages(r *request) error { return c.export(r, "messages") }

// exportForm is how an export is written.
type exportForm struct {
	kind     string
	format   string // of export.Formats
	compress string // "", "gzip" or "zstd"
	marks    bool   // pieces have a line before them: exportPieceHead
	cursor   string
}

// exportPieceHead stands before each piece where the caller asked for marks.
type exportPieceHead struct {
	Bytes   int    `json:"bytes"`            // of the piece that follows
	Records int64  `json:"records"`          // in it
	Cursor  string `json:"cursor,omitempty"` // where to go on behind it; "" = within a record's neighbours, not there
	Done    bool   `json:"done,omitempty"`   // nothing follows
}

// exportCursor is a position with what it is a position of.
type exportCursor struct {
	To       int64  `json:"t"`
	Of       string `json:"o"` // fingerprint
	Position []byte `json:"p"`
}

func (c *Console) export(r *request, kind string) error {
	o, f, err := c.exportRequest(r, kind)
	if err != nil {
		return err
	}
	if o.Personal && !mayReadValues(r.role) {
		return c.denied(r, &problem{status: http.StatusForbidden, Code: "not_allowed", Path: "personal", Message: fmt.Sprintf("the role %s may not see what is personal", r.role)})
	}
	if err := c.exports.enter(); err != nil {
		return err
	}
	defer c.exports.leave()
	ctx, cancel := context.WithTimeout(r.Context(), exportLasts)
	defer cancel()
	defer context.AfterFunc(c.stopping, cancel)()

	var was exportCursor
	if f.cursor != "" {
		if was, err = parseExportCursor(f.cursor); err != nil {
			return err
		}
		o.To, o.After = was.To, was.Position
	}
	e, err := r.publisher.Export(ctx, kind, o)
	if errors.Is(err, ErrPosition) {
		return badValue("cursor", "this is no cursor of such an export")
	}
	if err != nil {
		return err
	}
	defer e.Close()
	of := f.fingerprint(o, e.Table())
	if f.cursor != "" && was.Of != of {
		return &problem{status: http.StatusConflict, Code: "state", Path: "cursor",
			Message: "the export that this cursor belongs to was another one, or there are properties now that have no column in it; begin again"}
	}
	if err := c.record(r, "export."+kind, "", f.detail(o)); err != nil {
		return err
	}
	x := &exportStream{c: c, r: r, e: e, form: f, of: of, to: o.To}
	err = x.run(ctx)
	return c.exported(r, x, err)
}

// exported writes down how much went out. What has begun cannot be answered
// with an error any more: the connection is cut, so that nobody takes it for
// whole.
func (c *Console) exported(r *request, x *exportStream, err error) error {
	entry := c.entry(r, "export."+x.form.kind+".end", "")
	entry.Detail = fmt.Sprintf("%d records, %d bytes", x.records, x.bytes)
	if err != nil {
		entry.Outcome = audit.Failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), defaultTime)
	defer cancel()
	if aerr := c.audit.Append(ctx, entry); aerr != nil {
		err = errors.Join(err, fmt.Errorf("writing down an export's end: %w", aerr))
	}
	if err == nil || !x.begun {
		return err
	}
	if r.Context().Err() == nil && c.stopping.Err() == nil {
		c.log.Error("an export was cut", "route", r.Pattern, "error", err)
	}
	panic(http.ErrAbortHandler)
}

// exportRequest reads what is asked for.
func (c *Console) exportRequest(r *request, kind string) (o ExportOptions, f exportForm, err error) {
	q := r.URL.Query()
	o.Events = q["event"]
	if len(o.Events) > exportEvents {
		return o, f, badValue("event", fmt.Sprintf("at most %d names", exportEvents))
	}
	names := []string{"format", "compress", "segment", "personal", "marks", "cursor"}
	if kind != "profiles" {
		names = append(names, "from", "to")
	}
	for name, values := range q {
		if name == "event" && kind == "events" {
			continue
		}
		if !slices.Contains(names, name) {
			return o, f, &problem{status: http.StatusBadRequest, Code: "unknown_field", Path: clip(name, 64), Message: "there is no such parameter"}
		}
		if len(values) > 1 {
			return o, f, badValue(name, "the parameter stands twice")
		}
	}
	f = exportForm{kind: kind, format: q.Get("format"), compress: q.Get("compress"), cursor: q.Get("cursor")}
	if f.format == "" {
		f.format = export.NDJSON
	}
	if !slices.Contains(export.Formats, f.format) {
		return o, f, badValue("format", "format is "+strings.Join(export.Formats, ", "))
	}
	if f.compress != "" && f.compress != "gzip" && f.compress != "zstd" {
		return o, f, badValue("compress", "compress is gzip or zstd")
	}
	if f.marks, err = flag(q.Get("marks"), "marks"); err != nil {
		return o, f, err
	}
	if o.Personal, err = flag(q.Get("personal"), "personal"); err != nil {
		return o, f, err
	}
	if f.format == export.Parquet && (f.compress != "" || f.cursor != "" || f.marks) {
		return o, f, badValue("format", "parquet is compressed by itself, and only whole: without compress, cursor and marks")
	}
	o.Segment = q.Get("segment")
	if o.From, err = instantParam(q.Get("from"), "from"); err != nil {
		return o, f, err
	}
	if o.To, err = instantParam(q.Get("to"), "to"); err != nil {
		return o, f, err
	}
	if o.To == 0 && kind != "profiles" {
		// What arrives while it runs is not part of it.
		o.To = c.now().UnixMicro()
	}
	if o.To != 0 && o.From >= o.To {
		return o, f, badValue("from", "from must be before to")
	}
	return o, f, nil
}

func flag(s, name string) (bool, error) {
	switch s {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, badValue(name, name+" is true or false")
}

func instantParam(s, name string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, badValue(name, "RFC 3339 is needed, as 2026-01-02T15:04:05Z")
	}
	return t.UnixMicro(), nil
}

// fingerprint is of all that must be the same for an export to go on.
func (f *exportForm) fingerprint(o ExportOptions, t *export.Table) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %d %d %q %q %t ", f.kind, f.format, f.compress, o.From, o.To, slices.Sorted(slices.Values(o.Events)), o.Segment, o.Personal)
	if f.format == export.CSV {
		h.Write(t.AppendCSVHeader(nil))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// detail is for the audit.
func (f *exportForm) detail(o ExportOptions) string {
	var b strings.Builder
	b.WriteString(f.format)
	if o.Personal {
		b.WriteString(", personal")
	}
	for _, bound := range []struct {
		name string
		at   int64
	}{{"from", o.From}, {"to", o.To}} {
		if bound.at != 0 {
			fmt.Fprintf(&b, ", %s %s", bound.name, time.UnixMicro(bound.at).UTC().Format(time.RFC3339))
		}
	}
	if o.Segment != "" {
		b.WriteString(", segment " + strconv.Quote(clip(o.Segment, 64)))
	}
	if f.cursor != "" {
		b.WriteString(", going on")
	}
	for _, e := range o.Events {
		b.WriteString(", event " + strconv.Quote(clip(e, 64)))
	}
	return b.String()
}

func parseExportCursor(s string) (out exportCursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&out)
	}
	if err != nil || len(out.Position) == 0 {
		return out, badValue("cursor", "this is no cursor")
	}
	return out, nil
}
