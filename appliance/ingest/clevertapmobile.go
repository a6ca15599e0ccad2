package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// The dialect of CleverTap's libraries for Android and iOS: a request is a list
// of which the first element says who sends, and all others are records. Facts
// about it come from the libraries' source. A library sends again what was not
// answered 200, in the same order and for ever, and nothing behind it: so all
// that can never be taken is answered 200, and told to whoever looks after the
// apps.

const (
	clevertapMaxQueue = 5 << 20
	clevertapMaxSent  = 1000 // records; the libraries send 50
)

func (d *Door) clevertapMobileRoutes() {
	d.mux.HandleFunc("POST /a1", d.take(d.clevertapMobile))
	d.mux.HandleFunc("GET /hello", d.clevertapHello)
	// What they ask for beside: there is nothing to say.
	nothing := cors(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, event.OfObject(nil)) })
	for _, path := range []string{"/defineVars", "/defineTemplates", "/content", "/inbox/v2/getMessages", "/inbox/v2/deleteMessages"} {
		d.mux.HandleFunc("POST "+path, nothing)
		d.mux.HandleFunc("OPTIONS "+path, cors(preflight))
	}
}

// clevertapHello tells a library which host to send to: the one that it asks.
// That is said here alone: said elsewhere and anew, it has the library drop the
// answer and send again.
func (d *Door) clevertapHello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-WZRK-RD", r.Host)
	w.Header().Set("X-WZRK-SPIKY-RD", r.Host)
	writeJSON(w, http.StatusOK, event.OfObject(nil))
}

func (d *Door) clevertapMobile(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-CleverTap-Account-ID")
	if id == "" {
		id = r.URL.Query().Get("z")
	}
	key, ok := d.o.Key(id)
	if !ok {
		clevertapFail(w, http.StatusUnauthorized, clevertapNoAccount)
		return
	}
	if r.Header.Get("X-CleverTap-Encryption-Enabled") == "true" {
		// TLS seals it already. Told so, the library sends it again in clear.
		clevertapFail(w, 419, "encryption in transit is off")
		return
	}
	p, release, err := d.readBody(w, r, clevertapMaxQueue)
	if busy(err) {
		d.refuse(w, r, err)
		return
	}
	if err != nil {
		d.unreadable("clevertap-mobile", key, err)
		clevertapFail(w, statusOf(err), err.Error())
		return
	}
	defer release()
	b := d.begin("clevertap-mobile", key)
	if body, err := p.whole(); err != nil {
		b.refuse(-1, event.Value{}, badBody("%v", err))
	} else {
		translateClevertapQueue(b, body, r)
	}
	if d.write(w, r, b) {
		writeJSON(w, http.StatusOK, event.OfObject(nil))
	}
}

// clevertapQueue makes facts of what one device kept and sends.
type clevertapQueue struct {
	clevertapTranslator
	device string
	skew   time.Duration
	seen   map[[32]byte]int // how often each record came in this request
}

func translateClevertapQueue(b *batch, body event.Value, r *http.Request) {
	clevertapLimits(b)
	records := body.List()
	if len(records) == 0 || event.Lookup(records[0].Object(), "type").Text() != "meta" {
		b.refuse(-1, event.Value{}, badBody("the body must be a list that begins with an object of type meta"))
		return
	}
	if len(records) > clevertapMaxSent {
		b.refuse(-1, event.Value{}, badBody("%d records, and at most %d are taken", len(records), clevertapMaxSent))
		return
	}
	meta := records[0].Object()
	q := clevertapQueue{clevertapTranslator: clevertapTranslator{rules: b.pub.Rules, now: b.now, sdk: true},
		device: event.Lookup(meta, "g").Text(), seen: map[[32]byte]int{}}
	if sent, err := strconv.ParseFloat(r.URL.Query().Get("ts"), 64); err == nil && sent > 0 && sent < 1<<40 {
		q.skew = skew(b.now, time.Unix(int64(sent), 0)).Truncate(time.Second)
	}
	ip := ""
	if event.Lookup(event.Lookup(meta, "af").Object(), "useIP").Bool() {
		ip = peerIP(r.RemoteAddr)
	}
	for i, record := range records[1:] {
		f, kept, err := q.record(b.pub, record)
		if e := event.Lookup(record.Object(), "wzrk_error"); e.Kind() == event.Object {
			b.refuse(i, event.OfObject([]event.Prop{{Key: "wzrk_error", Value: e}}), clevertapReported(e))
		}
		switch {
		case err != nil:
			b.refuse(i, record, err)
		case kept:
			if f.Person == 0 {
				b.pub.Rules.keepIP(&f, ip)
				b.pub.Rules.keepAgent(&f, r.UserAgent())
			}
			b.keep(i, record, f)
		}
	}
}

// record makes a fact of one record; false = it says nothing.
func (q *clevertapQueue) record(pub *Publisher, record event.Value) (f event.Fact, kept bool, err error) {
	if record.Kind() != event.Object {
		return f, false, &clevertapError{524, "a record must be an object"}
	}
	if q.device == "" {
		return f, false, &clevertapError{526, "the device's id g is missing in meta"}
	}
	o := record.Object()
	f = event.Fact{Device: q.device, Time: q.now.UnixMicro(), ID: q.id(record)}
	if ep, ok := event.Lookup(o, "ep").Number(); ok && ep > 0 && ep < 1<<40 {
		f.Time = time.Unix(int64(ep), 0).Add(q.skew).UnixMicro()
	}
	switch event.Lookup(o, "type").Text() {
	case "event":
		name := event.Lookup(o, "evtName").Text()
		if clevertapInternal(name) {
			return f, false, nil
		}
		if name == event.NotificationViewed || name == event.NotificationClicked {
			return clevertapNotified(pub, f, name, event.Lookup(o, "evtData").Object())
		}
		err = q.event(&f, o)
		f.Props = slices.DeleteFunc(f.Props, func(p event.Prop) bool { return clevertapPrivate[p.Key] })
		return f, true, err
	case "profile":
		profile := event.Lookup(o, "profile")
		f.User = clevertapUser(profile.Object())
		err = q.profile(&f, clevertapProfile(profile))
		return f, f.User != "" || len(f.Changes)+len(f.Consents)+len(f.Addresses) > 0, err
	case "page":
		q.screen(&f, o)
		return f, true, nil
	case "data":
		err = q.token(&f, event.Lookup(o, "data").Object())
		return f, true, err
	case "ping":
		return f, false, nil
	}
	return f, false, &clevertapError{524, "type must be event, profile, page, data or ping"}
}

// clevertapPrivate are properties of the libraries' own events that are not
// kept: where a device is, and what it is called by advertisers.
var clevertapPrivate = map[string]bool{"Latitude": true, "Longitude": true, "GoogleAdID": true, "GoogleAdIDLimit": true, "IDFA": true, "IDFV": true}

// screen makes an event of a screen that was opened, or of how somebody came:
// a link that names a campaign comes as a page, too.
func (q *clevertapQueue) screen(f *event.Fact, o []event.Prop) {
	f.Kind, f.Name = event.Track, "Screen Viewed"
	for _, p := range []struct{ from, to string }{
		{"referrer", "referrer"}, {"us", "utm_source"}, {"um", "utm_medium"}, {"uc", "utm_campaign"},
	} {
		if v := event.Lookup(o, p.from); v.Kind() == event.Text && v.Text() != "" {
			f.Name = "UTM Visited"
			f.Props = append(f.Props, event.Prop{Key: p.to, Value: v})
		}
	}
	if v := event.Lookup(o, "n"); v.Kind() == event.Text && v.Text() != "" {
		f.Props = append(f.Props, event.Prop{Key: "name", Value: v})
	}
}

// token makes an address of a push token, or takes it away.
func (q *clevertapQueue) token(f *event.Fact, data []event.Prop) error {
	f.Kind = event.Identify
	a := event.Address{Channel: "push", Value: event.Lookup(data, "id").Text()}
	if a.Value == "" {
		return &clevertapError{532, "the token's id is missing"}
	}
	switch typ := event.Lookup(data, "type").Text(); typ {
	case "fcm", "gcm":
		a.Platform = "fcm"
	case "apns":
		a.Platform = "apns"
	default:
		return &clevertapError{534, "messages go out by fcm and apns only; the token is of " + clip(typ)}
	}
	switch event.Lookup(data, "action").Text() {
	case "register":
	case "unregister":
		a.Removed = true
	default:
		return &clevertapError{531, "the token's action must be register or unregister"}
	}
	f.Addresses = []event.Address{a}
	return nil
}

// id makes a repeat of a record the same fact. A record has no number: what is
// the same in every member is told apart by its place among its like, which a
// request that is sent again does not change.
func (q *clevertapQueue) id(record event.Value) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d:%s", len(q.device), q.device)
	hashValue(sum, record)
	var is [32]byte
	sum.Sum(is[:0])
	nth := q.seen[is]
	q.seen[is] = nth + 1
	return "ctm:" + hex.EncodeToString(is[:16]) + "/" + strconv.Itoa(nth)
}

// hashValue hashes a value whatever the order of its names: a library that
// keeps a record between two starts may write it anew.
func hashValue(h hash.Hash, v event.Value) {
	switch v.Kind() {
	case event.Object:
		ps := slices.Clone(v.Object())
		slices.SortFunc(ps, func(a, b event.Prop) int { return strings.Compare(a.Key, b.Key) })
		fmt.Fprintf(h, "{%d", len(ps))
		for _, p := range ps {
			fmt.Fprintf(h, "%d:%s", len(p.Key), p.Key)
			hashValue(h, p.Value)
		}
	case event.List:
		fmt.Fprintf(h, "[%d", len(v.List()))
		for _, e := range v.List() {
			hashValue(h, e)
		}
	default:
		b := v.AppendJSON(nil)
		fmt.Fprintf(h, "%d:%s", len(b), b)
	}
}

// clevertapNotified makes a fact of a message that a library says was seen or
// clicked. It is about whom the message went to, whoever holds the device now.
func clevertapNotified(pub *Publisher, f event.Fact, name string, data []event.Prop) (event.Fact, bool, error) {
	id := event.Lookup(data, "wzrk_id").Text()
	if pub.Message == nil || id == "" {
		return f, false, &event.Refusal{Code: event.RefusedReserved, Field: "evtData.wzrk_id", Message: "the message is none that went out from here"}
	}
	person, props, ok := pub.Message(id)
	if !ok {
		return f, false, &event.Refusal{Code: event.RefusedReserved, Field: "evtData.wzrk_id", Message: "the message is none that went out from here"}
	}
	sum := pub.Hash("library's fact", []byte(name), []byte(id))
	return event.Fact{Kind: event.Track, ID: "own:" + hex.EncodeToString(sum[:16]), Time: f.Time, Person: person, Name: name, Ref: id, Props: props}, true, nil
}
