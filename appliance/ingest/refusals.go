package ingest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/erasure"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Bounds of what is remembered of refusals, of one publisher.
const (
	refusalsKept  = 1000
	refusalsBytes = 4 << 20
	refusalsLast  = 24 * time.Hour
	refusedRecord = 32 << 10 // a record whose JSON is longer is not kept
	refusalKinds  = 256      // pairs of dialect and code that are counted apart
)

// RefusedRecord is a refusal as it is remembered.
type RefusedRecord struct {
	Number  uint64    // grows, also over a restart
	At      time.Time // when the door refused it
	Dialect string
	Key     string // id of the key that it came with, "" of a file
	Index   int    // of the record in its request, from 0; -1 = the request itself
	Code    string // see reasonOf
	Field   string // "" if none is at fault
	Message string // quotes names, never values
	Record  []byte // JSON, as it came; nil if there is none, it was too long, or is gone
	Bytes   int    // of its JSON
	// Accepted: the record was taken although it breaks the schema.
	Accepted bool
}

// RefusalCount is how many records were refused for a reason.
type RefusalCount struct {
	Dialect, Code string
	Accepted      bool // they were taken, or left out as the schema says
	Count         int64
}

// RefusalFilter says which refusals are looked for; "" and 0 stand for all.
type RefusalFilter struct {
	After              uint64 // numbers above it
	Code, Dialect, Key string
}

// Refusals remembers what was refused at a publisher's doors last: at most a
// thousand of a day. Records are personal data, and nobody can tell for sure
// whose, since many of them could not be read: so they rest in memory only,
// and an erasure of anybody takes them all, while reasons and counts stay.
// It is safe for concurrent use, and outlives a reload of the rules.
type Refusals struct {
	now func() time.Time

	mu     sync.Mutex
	kept   []RefusedRecord // the oldest first
	bytes  int
	next   uint64
	counts map[RefusalCount]int64 // Count is 0 in the key
}

// NewRefusals makes an empty one; now nil means time.Now.
func NewRefusals(now func() time.Time) *Refusals {
	if now == nil {
		now = time.Now
	}
	// A million numbers a second: those of the last run lie below.
	return &Refusals{now: now, next: uint64(now().UnixMicro()), counts: make(map[RefusalCount]int64)}
}

// Add takes note of what was refused. It keeps nothing of all itself, so that
// it can be a Publisher's Refused.
func (r *Refusals) Add(all []Refused) {
	at := r.now()
	fresh := make([]RefusedRecord, 0, min(len(all), refusalsKept))
	kinds := make([]RefusalCount, 0, len(all))
	for i := range all {
		one := &all[i]
		code, field, message := reasonOf(one.Err)
		kinds = append(kinds, RefusalCount{Dialect: one.Dialect, Code: code, Accepted: one.Accepted})
		if len(all)-i > refusalsKept {
			continue // newer ones would push it out
		}
		if code == LeftInactive {
			continue // that is how the operator wants it, and there may be many
		}
		// Texts may be parts of a body.
		k := RefusedRecord{At: at, Dialect: one.Dialect, Key: strings.Clone(one.Key), Index: one.Index,
			Code: code, Field: strings.Clone(field), Message: cut(message, 500), Accepted: one.Accepted}
		if !one.Record.IsNull() {
			b := one.Record.AppendJSON(nil)
			if k.Bytes = len(b); len(b) <= refusedRecord {
				k.Record = slices.Clone(b)
			}
		}
		fresh = append(fresh, k)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range kinds {
		if _, there := r.counts[k]; !there && len(r.counts) >= refusalKinds {
			k = RefusalCount{Dialect: "other", Code: "other", Accepted: k.Accepted}
		}
		r.counts[k]++
	}
	r.next += uint64(len(all) - len(fresh))
	for i := range fresh {
		r.next++
		fresh[i].Number = r.next
		r.bytes += fresh[i].size()
	}
	r.kept = append(r.kept, fresh...)
	r.trim(at)
}

func (k *RefusedRecord) size() int { return len(k.Record) + len(k.Message) + len(k.Field) + 256 }

// trim lets go of what is beyond the bounds.
func (r *Refusals) trim(now time.Time) {
	n := 0
	for n < len(r.kept) && (len(r.kept)-n > refusalsKept || r.bytes > refusalsBytes || now.Sub(r.kept[n].At) > refusalsLast) {
		r.bytes -= r.kept[n].size()
		n++
	}
	r.kept = slices.Delete(r.kept, 0, n)
}

// Expire lets go of what is too old; whoever keeps them calls it now and then.
func (r *Refusals) Expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(r.now())
}

// List gives the refusals that f asks for, at most limit, in their order:
// those right behind f.After or, if that is 0, the newest. last is the number
// of the newest that there is, whatever f asks for.
func (r *Refusals) List(f RefusalFilter, limit int) (out []RefusedRecord, last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(r.now())
	for i := range r.kept {
		k := &r.kept[i]
		if k.Number > f.After && (f.Code == "" || f.Code == k.Code) && (f.Dialect == "" || f.Dialect == k.Dialect) && (f.Key == "" || f.Key == k.Key) {
			if out = append(out, *k); len(out) == limit && f.After > 0 {
				break
			}
		}
	}
	return out[max(0, len(out)-limit):], r.next
}

// Counts gives how many records were refused since the start, by reason.
func (r *Refusals) Counts() []RefusalCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]RefusalCount, 0, len(r.counts))
	for k, n := range r.counts {
		k.Count = n
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b RefusalCount) int {
		return strings.Compare(a.Dialect+" "+a.Code, b.Dialect+" "+b.Code)
	})
	return out
}

// Name and Forget make it a holder of people's data, for erasures.
func (r *Refusals) Name() string { return "doors: records that were refused" }

// Forget lets go of every record.
func (r *Refusals) Forget(context.Context, []erasure.Forgotten) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.kept {
		k := &r.kept[i]
		r.bytes -= len(k.Record)
		k.Record = nil
	}
	return nil
}

// reasonOf says why a record was refused: a code that counts can be kept by,
// the field at fault, and a sentence.
func reasonOf(err error) (code, field, message string) {
	var refusal *event.Refusal
	var vendor interface{ Reason() string } // a dialect's own code
	var body *bodyError
	switch {
	case errors.As(err, &refusal):
		return refusal.Code, refusal.Field, refusal.Message
	case errors.As(err, &vendor):
		return vendor.Reason(), "", err.Error()
	case errors.As(err, &body):
		return "unreadable", "", err.Error()
	}
	return "invalid", "", err.Error()
}

// malformed is what a dialect refuses by itself: a record that it cannot read.
func malformed(field, message string) error {
	return &event.Refusal{Code: "invalid", Field: field, Message: message}
}

// missing is the same of one that lacks what it needs.
func missing(field, message string) error {
	return &event.Refusal{Code: event.RefusedEmpty, Field: field, Message: message}
}

// refusedList names what was not taken, as it stands in an answer, with the id
// that each record has under idKey.
func refusedList(all []Refused, idKey string) event.Value {
	out := make([]event.Value, 0, len(all))
	for _, one := range all {
		code, field, message := reasonOf(one.Err)
		ps := []event.Prop{{Key: "index", Value: event.OfInt(int64(one.Index))}}
		if id := idText(event.Lookup(one.Record.Object(), idKey)); id != "" && len(id) <= 256 {
			ps = append(ps, event.Prop{Key: idKey, Value: event.OfText(id)})
		}
		out = append(out, event.OfObject(append(ps,
			event.Prop{Key: "code", Value: event.OfText(code)},
			event.Prop{Key: "field", Value: event.OfText(field)},
			event.Prop{Key: "message", Value: event.OfText(message)})))
	}
	return event.OfList(out)
}

// cut copies at most n bytes of s.
func cut(s string, n int) string {
	if len(s) <= n {
		return strings.Clone(s)
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
