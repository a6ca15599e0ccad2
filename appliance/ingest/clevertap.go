package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of CleverTap's server API. Facts about it come from the vendor's
// public documentation, its client libraries and recorded traffic; the codes
// are those its clients look at.

const (
	clevertapMaxBody    = 5 << 20
	clevertapMaxRecords = 1000
	clevertapMaxTokens  = 100
	clevertapMaxName    = 1024 // of names and keys: what its newer libraries cut at
)

func (d *Door) clevertapRoutes() {
	d.mux.HandleFunc("POST /1/upload", d.take(d.clevertapUpload))
}

// clevertapError is a refusal with the vendor's code.
type clevertapError struct {
	code    int64
	message string
}

func (e *clevertapError) Error() string { return e.message }

// Reason is the vendor's code.
func (e *clevertapError) Reason() string { return strconv.FormatInt(e.code, 10) }

func (d *Door) clevertapUpload(w http.ResponseWriter, r *http.Request) {
	key, ok := d.o.Key(r.Header.Get("X-CleverTap-Account-Id"))
	if !ok || key.Secret == "" || !sameSecret(key.Secret, r.Header.Get("X-CleverTap-Passcode")) {
		clevertapFail(w, http.StatusUnauthorized, "Invalid Credentials")
		return
	}
	p, release, err := d.readBody(w, r, clevertapMaxBody)
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	if err != nil {
		clevertapFail(w, statusOf(err), err.Error())
		return
	}
	defer release()
	records, err := clevertapRecords(p)
	if err != nil {
		d.unreadable("clevertap", key, err)
		clevertapFail(w, statusOf(err), err.Error())
		return
	}
	b := d.begin("clevertap", key)
	translateClevertap(b, records)
	dry := r.URL.Query().Get("dryRun")
	if dry != "1" && dry != "true" && !d.write(w, r, b) {
		return
	}
	processed := len(records) - len(b.refused)
	status := "success"
	switch {
	case processed == 0 && len(b.refused) > 0:
		status = "fail"
	case len(b.refused) > 0:
		status = "partial"
	}
	refused := make([]event.Value, 0, len(b.refused))
	for _, one := range b.refused {
		refused = append(refused, unprocessed(one))
	}
	writeJSON(w, http.StatusOK, event.OfObject([]event.Prop{
		{Key: "status", Value: event.OfText(status)},
		{Key: "processed", Value: event.OfInt(int64(processed))},
		{Key: "unprocessed", Value: event.OfList(refused)},
	}))
}

// clevertapRecords reads the body {"d": [record, ..]}.
func clevertapRecords(p *parser) ([]event.Value, error) {
	v, err := p.whole()
	if err != nil {
		return nil, badBody("%v", err)
	}
	list := event.Lookup(v.Object(), "d")
	if list.Kind() != event.List {
		return nil, badBody("the body must be an object with a list d")
	}
	records := list.List()
	if len(records) > clevertapMaxRecords {
		return nil, badBody("d holds %d records, and at most %d are allowed", len(records), clevertapMaxRecords)
	}
	return records, nil
}

// clevertapLimits raises what names may have to what its libraries send.
func clevertapLimits(b *batch) {
	b.limits.Name, b.limits.Key = max(b.limits.Name, clevertapMaxName), max(b.limits.Key, clevertapMaxName)
}

// translateClevertap makes facts of records.
func translateClevertap(b *batch, records []event.Value) {
	clevertapLimits(b)
	t := clevertapTranslator{rules: b.pub.Rules, now: b.now}
	for i, rec := range records {
		f, err := t.translate(rec)
		switch {
		case err != nil:
			b.refuse(i, rec, err)
		case strings.HasSuffix(f.Device, clevertapOut):
			// raised while its user had opted out
		default:
			b.keep(i, rec, f)
		}
	}
}

const clevertapNoAccount = "the account is not known; it is the id of a key block of the publisher"

func clevertapFail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, event.OfObject([]event.Prop{
		{Key: "status", Value: event.OfText("fail")},
		{Key: "error", Value: event.OfText(message)},
		{Key: "code", Value: event.OfInt(int64(status))},
	}))
}

// unprocessed is how a record that was not taken stands in the answer.
func unprocessed(r Refused) event.Value {
	return event.OfObject([]event.Prop{
		{Key: "status", Value: event.OfText("fail")},
		{Key: "code", Value: event.OfInt(clevertapCode(r.Err))},
		{Key: "error", Value: event.OfText(fmt.Sprintf("%v. Skipped record number : %d", r.Err, r.Index+1))},
		{Key: "record", Value: r.Record},
	})
}

func clevertapCode(err error) int64 {
	var ct *clevertapError
	if errors.As(err, &ct) {
		return ct.code
	}
	var r *event.Refusal
	if errors.As(err, &r) {
		switch {
		case r.Code == event.RefusedReserved:
			return 513
		case r.Code == event.RefusedTooMany:
			return 522
		case r.Code == event.RefusedNobody:
			return 523
		case r.Code == event.RefusedTooOld:
			return 525
		case r.Code == RefusedDiscarded:
			return 528
		case r.Field == "device":
			return 526
		}
	}
	return 512
}
