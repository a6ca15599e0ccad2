package ingest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The appliance's own dialect, for cloister.js and for whoever speaks plain
// HTTP (API.md). A record has the members of a line of an import.

// Bounds of one request.
const (
	cloisterMaxBody    = 5 << 20
	cloisterMaxRecords = 1000
)

func (d *Door) cloisterRoutes() {
	d.mux.HandleFunc("POST /cloister/v1/collect", cors(d.take(d.cloister)))
	d.mux.HandleFunc("GET /cloister/v1/settings", cors(d.cloisterSettings))
	d.mux.HandleFunc("OPTIONS /cloister/v1/collect", cors(preflight))
	d.mux.HandleFunc("OPTIONS /cloister/v1/settings", cors(preflight))
}

var errKey = &bodyError{status: http.StatusUnauthorized, message: "the key is not known; it is the id of a key block of the publisher, as user name of a Basic header, as key in the query or as key in the body"}

// cloisterKey finds the key in a Basic header or the query; "" where only the
// body may have it.
func cloisterKey(r *http.Request) string {
	if id, said := segmentKey(r); said {
		return id
	}
	return r.URL.Query().Get("key")
}

func (d *Door) cloister(w http.ResponseWriter, r *http.Request) {
	fail := func(err error) { writeJSON(w, statusOf(err), failure(statusOf(err), err.Error())) }
	id := cloisterKey(r)
	key, ok := d.o.Key(id)
	if id != "" && !ok {
		fail(errKey)
		return
	}
	p, release, err := d.readBody(w, r, cloisterMaxBody)
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	if err != nil {
		d.unreadable("cloister", key, err)
		fail(err)
		return
	}
	defer release()
	// The body is JSON whatever the Content-Type says: a browser that sends
	// text/plain spares a preflight.
	req, err := readCloister(p)
	if err != nil {
		d.unreadable("cloister", key, err)
		fail(err)
		return
	}
	if id == "" {
		if key, ok = d.o.Key(req.key); !ok {
			fail(errKey)
			return
		}
	}
	b := d.begin("cloister", key)
	translateCloister(b, req, r.RemoteAddr, r.UserAgent())
	if !d.write(w, r, b) {
		return
	}
	accepted, status := len(req.records)-len(b.refused), http.StatusOK
	if accepted == 0 && len(b.refused) > 0 {
		status = http.StatusBadRequest
	}
	writeJSON(w, status, event.OfObject([]event.Prop{
		{Key: "accepted", Value: event.OfInt(int64(accepted))},
		{Key: "refused", Value: refusedList(b.refused, "id")},
	}))
}

// cloisterRequest is a body, read.
type cloisterRequest struct {
	key     string
	sentAt  time.Time // zero = not said
	direct  bool      // the sender is the device itself
	records []event.Value
}

// readCloister reads a body: {"key", "sentAt", "direct", "batch": [..]}, or one
// record with key, sentAt and direct among its members. The error is a *bodyError.
func readCloister(p *parser) (*cloisterRequest, error) {
	if p.peek() != '{' {
		return nil, badBody("the body must be a JSON object")
	}
	v, err := p.whole()
	if err != nil {
		return nil, badBody("%v", err)
	}
	req := &cloisterRequest{}
	var rest []event.Prop
	batch := false
	for _, m := range v.Object() {
		switch m.Key {
		case "key":
			if m.Value.Kind() != event.Text {
				return nil, badBody("key must be a text")
			}
			req.key = m.Value.Text()
		case "sentAt":
			if req.sentAt, err = time.Parse(time.RFC3339Nano, m.Value.Text()); err != nil {
				return nil, badBody("sentAt must be RFC 3339, as 2026-01-02T15:04:05.000Z")
			}
		case "direct":
			if m.Value.Kind() != event.Bool {
				return nil, badBody("direct must be true or false")
			}
			req.direct = m.Value.Bool()
		case "batch":
			batch = true
			if m.Value.Kind() != event.List {
				return nil, badBody("batch must be a list")
			}
			req.records = m.Value.List()
		default:
			rest = append(rest, m)
		}
	}
	switch {
	case !batch:
		req.records = []event.Value{event.OfObject(rest)}
	case len(rest) > 0:
		return nil, badBody("the key %q is unknown beside batch; key, sentAt and direct are allowed", clip(rest[0].Key))
	case len(req.records) > cloisterMaxRecords:
		return nil, badBody("a batch holds at most %d records", cloisterMaxRecords)
	}
	return req, nil
}

// translateCloister makes facts of a request.
func translateCloister(b *batch, req *cloisterRequest, remote, agent string) {
	t := cloisterTranslator{rules: b.pub.Rules, now: b.now, skew: skew(b.now, req.sentAt)}
	for i, record := range req.records {
		f, err := t.translate(record)
		if err != nil {
			b.refuse(i, record, err)
			continue
		}
		if req.direct {
			t.rules.keepIP(&f, peerIP(remote))
			t.rules.keepAgent(&f, agent)
		}
		b.keep(i, record, f)
	}
}

// cloisterTranslator makes facts of records.
type cloisterTranslator struct {
	rules *Rules
	now   time.Time
	skew  time.Duration // to add to a time that a record gives
}

// translate makes the fact of one record: an event, an alias, or what became
// known. Its error is an *event.Refusal.
func (t *cloisterTranslator) translate(record event.Value) (event.Fact, error) {
	f := event.Fact{Kind: event.Identify, Time: t.now.UnixMicro()}
	if record.Kind() != event.Object {
		return f, malformed("batch", "a record must be an object")
	}
	o := record.Object()
	source := "api"
	if v := event.Lookup(o, "source"); v.Text() != "" {
		source = v.Text()
	}
	said := map[string]bool{} // what of it was there, null or not
	for _, m := range o {
		said[m.Key] = true
		if err := t.member(&f, m.Key, m.Value, source); err != nil {
			return f, err
		}
	}
	track, known := said["event"] || said["props"], slices.ContainsFunc(cloisterKnown, func(k string) bool { return said[k] })
	switch {
	case track && (known || said["previous"]):
		return f, malformed("event", "a record is an event, an alias or what became known, and not two of them: send two")
	case track:
		f.Kind = event.Track
		f.Props = withoutNulls(f.Props)
	case said["previous"] && known:
		return f, malformed("previous", "a record is an alias or what became known, and not both: send two")
	case said["previous"]:
		f.Kind = event.Alias
		if f.User == "" {
			return f, missing("user", "the person whom the previous id belongs to is missing")
		}
		f.Device = ""
		if f.Previous == f.User {
			return f, malformed("previous", "it is the same as user")
		}
	case !known && (f.User == "" || f.Device == ""):
		return f, missing("event", "the record says nothing: it has neither event nor previous, profile, consent, channels or collect")
	}
	if f.Kind == event.Identify {
		f.Addresses = append(f.Addresses, addresses(f.Changes)...)
	}
	return f, nil
}

// cloisterKnown are the members that say what became known of somebody.
var cloisterKnown = []string{"profile", "once", "add", "remove", "increase", "consent", "channels", "unreachable", "collect"}

func (t *cloisterTranslator) member(f *event.Fact, key string, v event.Value, source string) (err error) {
	switch key {
	case "id":
		f.ID, err = plainText(key, v)
	case "user":
		f.User, err = plainText(key, v)
	case "anonymous":
		f.Device, err = plainText(key, v)
	case "previous":
		f.Previous, err = plainText(key, v)
	case "event":
		if v.Kind() != event.Text {
			return malformed(key, "it must be a text")
		}
		f.Name = v.Text()
	case "source":
		if v.Kind() != event.Text {
			return malformed(key, "it must be a text")
		}
	case "ts":
		at, terr := time.Parse(time.RFC3339Nano, v.Text())
		if terr != nil {
			return malformed(key, "it must be RFC 3339, as 2026-01-02T15:04:05.000Z")
		}
		f.Time = at.Add(t.skew).UnixMicro()
	case "props":
		if v.Kind() != event.Object {
			return malformed(key, "it must be an object")
		}
		f.Props = v.Object()
	case "profile", "once", "add", "remove", "increase":
		return cloisterChanges(f, key, v)
	case "consent":
		return t.consent(f, v, source)
	case "channels", "unreachable":
		return cloisterChannels(f, key, v)
	case "collect":
		if v.Kind() != event.Bool {
			return malformed(key, "it must be true or false")
		}
		f.Consents = append(f.Consents, event.Consent{Purpose: event.PurposeCollection, Granted: v.Bool(), Source: source})
	default:
		return malformed(clip(key), "there is no such member; "+strings.Join(cloisterMembers, ", ")+" are known")
	}
	return err
}

var cloisterMembers = append([]string{"id", "ts", "user", "anonymous", "event", "props", "previous", "source"}, cloisterKnown...)

// plainText is an id: a text, or a whole number.
func plainText(key string, v event.Value) (string, error) {
	if s := idText(v); s != "" {
		return s, nil
	}
	if v.Kind() == event.Text {
		return "", missing(key, "it is empty; leave it out where there is none")
	}
	return "", malformed(key, "it must be a text or a whole number")
}

var cloisterOps = map[string]event.Op{"profile": event.Set, "once": event.SetOnce, "add": event.Add, "remove": event.Remove, "increase": event.Increase}

func cloisterChanges(f *event.Fact, key string, v event.Value) error {
	if v.Kind() != event.Object {
		return malformed(key, "it must be an object")
	}
	for _, p := range v.Object() {
		c := event.Change{Key: p.Key, Op: cloisterOps[key], Value: p.Value}
		switch {
		case key == "profile" && p.Value.IsNull():
			c = event.Change{Key: p.Key, Op: event.Delete}
		case p.Value.IsNull():
			return malformed(key+"."+clip(p.Key), "it has no value; null takes an attribute away in profile only")
		case key == "increase" && p.Value.Kind() != event.Int && p.Value.Kind() != event.Float:
			return malformed(key+"."+clip(p.Key), "it must be a number")
		}
		f.Changes = append(f.Changes, c)
	}
	return nil
}

func (t *cloisterTranslator) consent(f *event.Fact, v event.Value, source string) error {
	if v.Kind() != event.List {
		return malformed("consent", "it must be a list of objects with purpose, channel, granted, source and version")
	}
	for i, e := range v.List() {
		at := fmt.Sprintf("consent[%d]", i)
		if e.Kind() != event.Object {
			return malformed(at, "it must be an object")
		}
		c := event.Consent{Source: source}
		granted := event.Value{}
		for _, p := range e.Object() {
			if p.Key != "granted" && p.Value.Kind() != event.Text {
				return malformed(at+"."+clip(p.Key), "it must be a text")
			}
			switch p.Key {
			case "purpose":
				c.Purpose = p.Value.Text()
			case "channel":
				c.Channel = p.Value.Text()
			case "source":
				c.Source = p.Value.Text()
			case "version":
				c.Version = p.Value.Text()
			case "granted":
				granted = p.Value
			default:
				return malformed(at+"."+clip(p.Key), "there is no such member; purpose, channel, granted, source and version are known")
			}
		}
		if granted.Kind() != event.Bool {
			return malformed(at+".granted", "it must be true or false")
		}
		c.Granted = granted.Bool()
		channels, ok := t.rules.Purposes[c.Purpose]
		if !ok {
			return malformed(at+".purpose", "the publisher has no such purpose; it has "+strings.Join(t.rules.purposes(), ", "))
		}
		if c.Channel != "" && !slices.Contains(event.Channels, c.Channel) {
			return malformed(at+".channel", "there is no such channel; "+strings.Join(event.Channels, ", ")+" are")
		}
		if c.Channel != "" && len(channels) > 0 && !slices.Contains(channels, c.Channel) {
			return malformed(at+".channel", "the purpose does not use this channel; it uses "+strings.Join(channels, ", "))
		}
		f.Consents = append(f.Consents, c)
	}
	return nil
}

// cloisterChannels reads addresses by channel, one or a list: where somebody
// can be reached, or no longer.
func cloisterChannels(f *event.Fact, key string, v event.Value) error {
	if v.Kind() != event.Object {
		return malformed(key, "it must be an object")
	}
	for _, p := range v.Object() {
		list := []event.Value{p.Value}
		if p.Value.Kind() == event.List {
			list = p.Value.List()
		}
		for _, e := range list {
			a, err := channelAddress(p.Key, e)
			if token := event.Lookup(e.Object(), "token").Text(); key == "unreachable" && p.Key == "push" && token != "" {
				a, err = event.Address{Channel: "push", Platform: event.Lookup(e.Object(), "platform").Text(), Value: token}, nil
			}
			if err != nil {
				return malformed(key+"."+clip(p.Key), err.Error())
			}
			a.Removed = key == "unreachable"
			f.Addresses = append(f.Addresses, a)
		}
	}
	return nil
}
