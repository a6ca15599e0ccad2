package console

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/event"
)

// Refusal is a record that a publisher's doors did not take.
type Refusal struct {
	Number  uint64
	At      time.Time
	Dialect string // "clevertap", "segment", .., "import"
	Key     string // id of the key, "" of a file
	Index   int    // of the record in its request, from 0; -1 = the request itself
	Code    string
	Field   string
	Message string // quotes names, never values
	Record  []byte // JSON; nil = there is none
	Bytes   int    // of the record's JSON
	// Accepted: the record was taken although it breaks the schema.
	Accepted bool
}

// RefusalFilter says which refusals are asked for; "" and 0 stand for all.
type RefusalFilter struct {
	After              uint64 // the oldest with numbers above it; 0 = the newest
	Code, Dialect, Key string
	Limit              int
}

// RefusalCount is how many records were refused for a reason, or facts left out.
type RefusalCount struct {
	Dialect  string `json:"dialect"`
	Code     string `json:"code"`
	Accepted bool   `json:"accepted"` // they were taken, or left out as the schema says
	Count    int64  `json:"count"`
}

// Refusals are those of a publisher, in the order of their numbers.
type Refusals struct {
	List    []Refusal
	Last    uint64           // number of the newest, whatever was asked for
	Counts  []RefusalCount   // since the start, by dialect and code
	Applied map[string]int64 // facts that were taken and then left out, by reason
	Held    int              // records that wait to be looked at
}

type refusalJSON struct {
	Number   uint64          `json:"n"`
	At       *time.Time      `json:"at"`
	Dialect  string          `json:"dialect"`
	Key      string          `json:"key"`
	Index    int             `json:"index"`
	Code     string          `json:"code"`
	Field    string          `json:"field"`
	Message  string          `json:"message"`
	Record   json.RawMessage `json:"record"`
	Bytes    int             `json:"bytes"`
	Accepted bool            `json:"accepted"`
}

// refusalOf shows a refusal to a role: its values to who may read people's,
// what it is made of to who asks questions, no record to others.
func refusalOf(f *Refusal, role access.Role) refusalJSON {
	out := refusalJSON{f.Number, stampOf(f.At), f.Dialect, f.Key, f.Index, f.Code, f.Field, f.Message, nil, f.Bytes, f.Accepted}
	switch {
	case f.Record == nil:
	case mayReadValues(role):
		out.Record = f.Record
	case role == access.Analyst:
		if v, err := event.ParseJSON(f.Record); err == nil {
			out.Record = hollow(v).AppendJSON(nil)
		}
	}
	return out
}

// hollow leaves the names in a record and masks what stands behind them.
func hollow(v event.Value) event.Value {
	switch v.Kind() {
	case event.Object:
		out := make([]event.Prop, len(v.Object()))
		for i, p := range v.Object() {
			out[i] = event.Prop{Key: p.Key, Value: hollow(p.Value)}
		}
		return event.OfObject(out)
	case event.List:
		out := make([]event.Value, len(v.List()))
		for i, e := range v.List() {
			out[i] = hollow(e)
		}
		return event.OfList(out)
	case event.Null:
		return v
	}
	return event.OfText(masked)
}

func refusalFilter(r *request) (f RefusalFilter, err error) {
	q := r.URL.Query()
	f = RefusalFilter{Code: q.Get("code"), Dialect: q.Get("dialect"), Key: q.Get("key")}
	if s := q.Get("after"); s != "" {
		if f.After, err = strconv.ParseUint(s, 10, 64); err != nil {
			return f, badValue("after", "the number of a refusal is needed, as last gives it")
		}
	}
	return f, nil
}

// refusals gives what the doors refused lately.
func (c *Console) refusals(r *request) error {
	if err := known(r, "after", "code", "dialect", "key", "limit"); err != nil {
		return err
	}
	f, err := refusalFilter(r)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	f.Limit = int(limit)
	// A page that shows this asks again and again: that is one read.
	if mayReadValues(r.role) {
		if key := "refusals " + r.caller.actor() + " " + r.publisher.Name(); c.lately.due(c.now(), key) {
			if err := c.record(r, "refusals.read", "", ""); err != nil {
				c.lately.forget(key)
				return err
			}
		}
	}
	all := r.publisher.Refusals(f)
	out := make([]refusalJSON, len(all.List))
	for i := range all.List {
		out[i] = refusalOf(&all.List[i], r.role)
	}
	applied := all.Applied
	if applied == nil {
		applied = map[string]int64{}
	}
	return ok(r, map[string]any{
		"refusals": out, "last": all.Last, "counts": list(all.Counts), "applied": applied, "held": all.Held, "masked": !mayReadValues(r.role),
	})
}

// refusalStream sends refusals as they come, until the caller goes, may no
// longer see them, or the console closes. What is missed between two looks
// because there was more than is kept stays missed.
func (c *Console) refusalStream(r *request) error {
	if err := known(r, "after", "code", "dialect", "key"); err != nil {
		return err
	}
	f, err := refusalFilter(r)
	if err != nil {
		return err
	}
	who := r.caller.actor()
	if err := c.live.enter(who); err != nil {
		return err
	}
	defer c.live.leave(who)
	if mayReadValues(r.role) {
		if err := c.record(r, "refusals.watch", "", ""); err != nil {
			return err
		}
	}
	f.Limit = hitsPerSecond * int(pulseEvery/time.Second)
	if f.After == 0 {
		f.After = r.publisher.Refusals(f).Last
	}
	s := openStream(r)
	ticks, stop := c.ticker(pulseEvery)
	defer stop()
	for quiet, age := time.Duration(0), time.Duration(0); s.err == nil; {
		all := r.publisher.Refusals(f)
		for i := range all.List {
			s.event("refusal", refusalOf(&all.List[i], r.role))
			f.After = all.List[i].Number
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-c.stopping.Done():
			return nil
		case <-ticks:
		}
		if age += pulseEvery; age >= streamLasts || !c.lasts(r.caller, r.publisher.Name(), r.role) {
			return nil
		}
		if quiet += pulseEvery; quiet >= heartbeatEvery {
			quiet = 0
			s.comment()
		}
	}
	c.log.Debug("a stream of refusals ended", "error", s.err)
	return nil
}
