package console

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Arrival is a fact as it came in through a publisher's doors.
type Arrival struct {
	Number  uint64
	At      time.Time
	Dialect string // "clevertap", "segment", ..
	Key     string // id of the key
	Sender  string // the library, "" = it does not say
	Kind    string // "track", "identify", "alias", ..
	Event   string
	ID      string // the sender's message id
	Time    int64  // microseconds since 1970 UTC
	User    string
	Device  string
	Detail  []byte // JSON; nil = it was too long
}

// ArrivalFilter says which are asked for; "" and 0 stand for all.
type ArrivalFilter struct {
	After        uint64
	Dialect, Key string
	Limit        int
}

type arrivalJSON struct {
	Number  uint64          `json:"n"`
	At      *time.Time      `json:"at"`
	Dialect string          `json:"dialect"`
	Key     string          `json:"key"`
	Sender  string          `json:"sender"`
	Kind    string          `json:"kind"`
	Event   string          `json:"event"`
	ID      string          `json:"id"`
	Time    *time.Time      `json:"ts"`
	User    string          `json:"user"`
	Device  string          `json:"anonymous"`
	Detail  json.RawMessage `json:"detail"`
}

// arrivalOf shows one to a role, as refusalOf does.
func arrivalOf(a *Arrival, role access.Role) arrivalJSON {
	out := arrivalJSON{a.Number, stampOf(a.At), a.Dialect, a.Key, a.Sender, a.Kind, a.Event, a.ID, stamp(a.Time), a.User, a.Device, a.Detail}
	if mayReadValues(role) {
		return out
	}
	out.ID, out.Detail = "", nil // ids are made of whatever an app likes
	for _, s := range []*string{&out.User, &out.Device} {
		if *s != "" {
			*s = masked
		}
	}
	if role == access.Analyst && a.Detail != nil {
		if v, err := event.ParseJSON(a.Detail); err == nil {
			out.Detail = hollow(v).AppendJSON(nil)
		}
	}
	return out
}

// arrivals gives what came in lately.
func (c *Console) arrivals(r *request) error {
	if err := known(r, "after", "dialect", "key", "limit"); err != nil {
		return err
	}
	q := r.URL.Query()
	f := ArrivalFilter{Dialect: q.Get("dialect"), Key: q.Get("key")}
	if s := q.Get("after"); s != "" {
		var err error
		if f.After, err = strconv.ParseUint(s, 10, 64); err != nil {
			return badValue("after", "the number of an arrival is needed, as last gives it")
		}
	}
	limit, err := number(r, "limit", 100, 1, 500)
	if err != nil {
		return err
	}
	f.Limit = int(limit)
	// A page that shows this asks again and again: that is one read.
	if mayReadValues(r.role) {
		if key := "arrivals " + r.caller.actor() + " " + r.publisher.Name(); c.lately.due(c.now(), key) {
			if err := c.record(r, "arrivals.read", "", ""); err != nil {
				c.lately.forget(key)
				return err
			}
		}
	}
	all, last := r.publisher.Arrivals(f)
	out := make([]arrivalJSON, len(all))
	for i := range all {
		out[i] = arrivalOf(&all[i], r.role)
	}
	return ok(r, map[string]any{"arrivals": out, "last": last, "masked": !mayReadValues(r.role)})
}
