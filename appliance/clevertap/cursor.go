package clevertap

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/audit"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/publisher"
)

const (
	maxBatch     = 5000
	defaultBatch = 10
	maxExport    = 256 << 10 // bytes of an export's query, which is kept as long as its cursor
	profilesLife = 4 * 24 * time.Hour
	eventsLife   = 4 * time.Hour
	eventsIdle   = time.Hour
)

// cursor is an export under way: what was asked, and where its pages begin.
// The pages are of the present moment, each; since they go by number and time,
// none repeats what another had.
type cursor struct {
	of      string // "profiles" or "events"
	people  []byte
	listing publisher.Listing // of events
	batch   int
	show    show

	mu     sync.Mutex
	places []publisher.Place // where page i begins; those that were reached
}

// token is a page's name: the cursor's, and its number. It needs no escaping.
func token(id string, page int) string { return id + "." + strconv.Itoa(page) }

// begin keeps an export and gives the cursor of its first page.
func (d *Door) begin(c *call, k *cursor, life, idle time.Duration) answer {
	k.places = []publisher.Place{{}}
	return answer{"cursor": token(d.cursors.put(c.key.Of, k, life, idle, c.now), 0)}
}

// turn finds the page that a call's cursor means.
func (d *Door) turn(c *call, of string) (k *cursor, id string, page int, err error) {
	gone := unknown("the cursor is not known, or too old: begin again")
	id, number, ok := strings.Cut(c.URL.Query().Get("cursor"), ".")
	page, err = strconv.Atoi(number)
	if !ok || err != nil || page < 0 {
		return nil, "", 0, gone
	}
	k, ok = d.cursors.get(c.key.Of, id, c.now)
	if !ok || k.of != of {
		return nil, "", 0, gone
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if page >= len(k.places) {
		return nil, "", 0, gone
	}
	return k, id, page, nil
}

func (k *cursor) place(page int) publisher.Place {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.places[page]
}

// pages adds the cursors of the pages around one to its answer.
func (k *cursor) pages(a answer, id string, page int, more bool, next publisher.Place) answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if more {
		if page+1 == len(k.places) {
			k.places = append(k.places, next)
		} else {
			k.places[page+1] = next
		}
		a["next_cursor"] = token(id, page+1)
	}
	if page > 0 {
		a["previous_cursor"] = token(id, page-1)
	}
	return a
}

// export reads what the calls of both exports have: the query, in the body or
// as old clients send it, the size of pages, and what is shown.
func (c *call) export() (*where, *cursor, error) {
	v := c.URL.Query()
	body := c.body
	if text := v.Get("query"); text != "" && body.IsNull() {
		var err error
		if body, err = event.ParseJSON([]byte(text)); err != nil || body.Kind() != event.Object {
			return nil, nil, wrong("query: an object is needed")
		}
	}
	if body.IsNull() {
		return nil, nil, wrong("a query is needed, or a cursor")
	}
	k := &cursor{batch: defaultBatch, show: show{true, true, true}}
	if s := v.Get("batch_size"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxBatch {
			return nil, nil, wrong("batch_size is a whole number from 1 to %d", maxBatch)
		}
		k.batch = n
	}
	for name, to := range map[string]*bool{"app": &k.show.app, "events": &k.show.events, "profile": &k.show.profile} {
		switch v.Get(name) {
		case "":
		case "true", "1":
			*to = true
		case "false", "0":
			*to = false
		default:
			return nil, nil, wrong("%s is true or false", name)
		}
	}
	q, err := readWhere("", body.Object(), finding{c.pub})
	if err != nil {
		return nil, nil, err
	}
	p, err := q.expression()
	if err != nil {
		return nil, nil, err
	}
	if k.people, err = json.Marshal(p); err != nil {
		return nil, nil, fmt.Errorf("encoding an expression: %w", err)
	}
	if len(k.people) > maxExport {
		return nil, nil, wrong("the query is larger than %d bytes", maxExport)
	}
	return q, k, nil
}

// profiles exports the people that a query means.
func (d *Door) profiles(c *call) (answer, error) {
	if c.URL.Query().Has("cursor") {
		return d.profilesPage(c)
	}
	_, k, err := c.export()
	if err != nil {
		return nil, err
	}
	// What cannot be asked is said now, not with the first page.
	if _, err := c.ask(node{"kind": "segment", "people": json.RawMessage(k.people)}); err != nil {
		return nil, err
	}
	k.of = "profiles"
	return d.begin(c, k, profilesLife, 0), nil
}

func (d *Door) profilesPage(c *call) (answer, error) {
	k, id, page, err := d.turn(c, "profiles")
	if err != nil {
		return nil, err
	}
	who, err := c.pub.Whom(c.Context(), k.people)
	if err != nil {
		return nil, err
	}
	it := who.Iterator()
	it.AdvanceIfNeeded(k.place(page).Person + 1)
	var persons []uint32
	for it.HasNext() && len(persons) < k.batch {
		persons = append(persons, it.Next())
	}
	if err := d.record(c, audit.Entry{Action: "people.list", Detail: fmt.Sprintf("profiles, %d people", len(persons))}); err != nil {
		return nil, err
	}
	var did map[uint32]map[string]publisher.Activity
	if k.show.events {
		if did, err = c.pub.Activities(c.Context(), persons); err != nil {
			return nil, err
		}
	}
	records := bounded{most: d.pageBytes, list: []json.RawMessage{}}
	next, more := k.place(page), it.HasNext()
	for _, n := range persons {
		p, err := c.pub.Known(n)
		if err != nil && !gone(err) {
			return nil, err
		}
		if err == nil { // else erased meanwhile
			fits, err := records.add(showProfile(p, did[n], k.show))
			if err != nil {
				return nil, err
			}
			if !fits {
				more = true
				break
			}
		}
		next.Person = n
	}
	return k.pages(answer{"records": records.list}, id, page, more, next), nil
}

// events exports the events that a query means.
func (d *Door) events(c *call) (answer, error) {
	if c.URL.Query().Has("cursor") {
		return d.eventsPage(c)
	}
	q, k, err := c.export()
	if err != nil {
		return nil, err
	}
	switch {
	case q.event == "":
		return nil, wrong("event_name: the name of an event is needed")
	case !q.dated:
		return nil, wrong("from and to are needed")
	}
	k.of = "events"
	ref, err := json.Marshal(q.ref())
	if err != nil {
		return nil, fmt.Errorf("encoding an event reference: %w", err)
	}
	k.listing = publisher.Listing{Reference: ref, Limit: k.batch}
	if k.listing.From, k.listing.To, err = q.instants(c.pub.Location()); err != nil {
		return nil, err
	}
	if len(q.people) > 0 {
		if k.listing.People, err = json.Marshal(allOf(q.people)); err != nil {
			return nil, fmt.Errorf("encoding an expression: %w", err)
		}
	}
	if q.first != nil {
		if k.listing.First, err = json.Marshal(node{"first": q.ref(), "in": q.when()}); err != nil {
			return nil, fmt.Errorf("encoding an expression: %w", err)
		}
		k.listing.Again = !*q.first
	}
	if _, err := c.count(q); err != nil {
		return nil, err
	}
	return d.begin(c, k, eventsLife, eventsIdle), nil
}

// instants are the query's range: whole days of the publisher's.
func (q *where) instants(loc *time.Location) (from, to int64, err error) {
	a, err := time.ParseInLocation(time.DateOnly, q.from, loc)
	if err != nil {
		return 0, 0, err
	}
	b, err := time.ParseInLocation(time.DateOnly, q.to, loc)
	if err != nil {
		return 0, 0, err
	}
	return a.UnixMicro(), b.AddDate(0, 0, 1).UnixMicro(), nil
}

type eventJSON struct {
	Profile any   `json:"profile"`
	TS      int64 `json:"ts"` // yyyymmddHHMMSS in the publisher's zone
	Props   props `json:"event_props"`
	Session props `json:"session_props"`
}

func (d *Door) eventsPage(c *call) (answer, error) {
	k, id, page, err := d.turn(c, "events")
	if err != nil {
		return nil, err
	}
	l := k.listing
	l.After = k.place(page)
	rows, more, err := c.pub.List(c.Context(), l)
	if err != nil {
		return nil, err
	}
	if err := d.record(c, audit.Entry{Action: "people.list", Detail: fmt.Sprintf("events, %d of them", len(rows))}); err != nil {
		return nil, err
	}
	shown := make(map[uint32]*profileJSON)
	records := bounded{most: d.pageBytes, list: []json.RawMessage{}}
	next := l.After
	for _, row := range rows {
		p, ok := shown[row.Person]
		if !ok {
			known, err := c.pub.Known(row.Person)
			if err != nil && !gone(err) {
				return nil, err
			}
			if err == nil {
				one := showProfile(known, nil, show{app: k.show.app, profile: k.show.profile})
				p = &one
			}
			shown[row.Person] = p
		}
		if p != nil { // else erased meanwhile
			fits, err := records.add(eventJSON{
				Profile: p, TS: vendorTime(time.UnixMicro(row.Time).In(c.pub.Location())), Props: nonNil(row.Props), Session: sessionOf(row.Props),
			})
			if err != nil {
				return nil, err
			}
			if !fits {
				more = true
				break
			}
		}
		next = row.At
	}
	return k.pages(answer{"records": records.list}, id, page, more, next), nil
}

// pageBytes bounds a page: it ends with the record before the one that would
// make it larger, so it may be smaller than what was asked for.
const pageBytes = 32 << 20

// bounded are the records of a page.
type bounded struct {
	most  int // bytes
	list  []json.RawMessage
	bytes int
}

// add adds a record, unless the page is full.
func (b *bounded) add(v any) (fits bool, err error) {
	one, err := json.Marshal(v)
	if err != nil {
		return false, fmt.Errorf("encoding a record: %w", err)
	}
	if b.bytes += len(one); b.bytes > b.most && len(b.list) > 0 {
		return false, nil
	}
	b.list = append(b.list, one)
	return true, nil
}

func nonNil(p []event.Prop) props {
	if p == nil {
		return props{}
	}
	return p
}

// vendorTime is yyyymmddHHMMSS as a number.
func vendorTime(t time.Time) int64 {
	n, err := strconv.ParseInt(t.Format("20060102150405"), 10, 64)
	if err != nil {
		return 0 // a year of five digits
	}
	return n
}

// sessionOf are the properties that the vendor has with the session.
func sessionOf(ps []event.Prop) props {
	out := props{}
	for _, name := range sorted(sessionProperties) {
		if v := event.Lookup(ps, sessionProperties[name]); !v.IsNull() {
			out = append(out, event.Prop{Key: name, Value: v})
		}
	}
	return out
}
