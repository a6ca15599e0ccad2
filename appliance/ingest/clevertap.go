package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

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

func (d *Door) clevertapUpload(w http.ResponseWriter, r *http.Request) {
	key, ok := d.o.Key(r.Header.Get("X-CleverTap-Account-Id"))
	if !ok || key.Secret == "" || !sameSecret(key.Secret, r.Header.Get("X-CleverTap-Passcode")) {
		clevertapFail(w, http.StatusUnauthorized, "Invalid Credentials")
		return
	}
	p, release, err := d.readBody(w, r, clevertapMaxBody)
	if errors.Is(err, errBodies) {
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
		clevertapFail(w, statusOf(err), err.Error())
		return
	}
	facts, refused := translateClevertap(records, key.Publisher.Rules, d.o.Now())
	if key.Publisher.Refused != nil && len(refused) > 0 {
		key.Publisher.Refused(len(refused))
	}
	dry := r.URL.Query().Get("dryRun")
	if dry != "1" && dry != "true" && !d.append(w, r, key.Publisher, facts) {
		return
	}
	processed := len(records) - len(refused)
	status := "success"
	switch {
	case processed == 0 && len(refused) > 0:
		status = "fail"
	case len(refused) > 0:
		status = "partial"
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

// translateClevertap makes facts of records, and answers for those that make none.
func translateClevertap(records []event.Value, rules *Rules, now time.Time) (facts []event.Fact, refused []event.Value) {
	limits := rules.limits()
	limits.Name, limits.Key = max(limits.Name, clevertapMaxName), max(limits.Key, clevertapMaxName)
	t := clevertapTranslator{rules: rules, now: now}
	facts = make([]event.Fact, 0, len(records))
	for i, rec := range records {
		f, err := t.translate(rec)
		if err == nil && strings.HasSuffix(f.Device, ":OO") {
			continue // raised while its user had opted out
		}
		if err == nil {
			err = rules.apply(&f, now, limits)
		}
		if err != nil {
			refused = append(refused, unprocessed(i, rec, err))
			continue
		}
		facts = append(facts, f)
	}
	return facts, refused
}

func clevertapFail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, event.OfObject([]event.Prop{
		{Key: "status", Value: event.OfText("fail")},
		{Key: "error", Value: event.OfText(message)},
		{Key: "code", Value: event.OfInt(int64(status))},
	}))
}

// unprocessed is how a record that was not taken stands in the answer.
func unprocessed(index int, record event.Value, err error) event.Value {
	return event.OfObject([]event.Prop{
		{Key: "status", Value: event.OfText("fail")},
		{Key: "code", Value: event.OfInt(clevertapCode(err))},
		{Key: "error", Value: event.OfText(fmt.Sprintf("%v. Skipped record number : %d", err, index+1))},
		{Key: "record", Value: record},
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
		case r.Field == "device":
			return 526
		}
	}
	return 512
}
