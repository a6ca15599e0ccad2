package ingest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// translateClevertapCall makes the facts of a call, and what to answer once they
// are on disk.
func translateClevertapCall(b *batch, c *clevertapCall, r *http.Request) *clevertapAnswer {
	clevertapLimits(b)
	user := clevertapUser(event.Lookup(c.o, "profile").Object())
	answer := &clevertapAnswer{guid: c.guid, session: c.session(b), number: c.number("rn")}
	if event.Lookup(c.o, "isOUL").Bool() {
		answer.resume = true
		// The library forgets what it was told for the user before, and asks for it anew.
		answer.more = append(answer.more, event.Prop{Key: "arp", Value: event.OfObject([]event.Prop{{Key: "isOUL", Value: event.OfBool(true)}})})
		if answer.guid == "" {
			answer.guid = clevertapDevice(b.pub, event.Lookup(c.o, "profile").Object())
		}
	}
	if answer.guid == "" {
		answer.guid = hex.EncodeToString(randomBytes(16))
	}
	f := event.Fact{Device: answer.guid, Time: c.at(b.now).UnixMicro(), ID: c.id(answer.guid)}
	t := clevertapTranslator{rules: b.pub.Rules, now: b.now, sdk: true}
	var err error
	kept := true // the call makes a fact
	switch kind := event.Lookup(c.o, "type").Text(); {
	case c.kind == "page":
		c.page(&f)
	case c.kind == "data":
		kept, err = c.token(&f, r.UserAgent())
	case c.kind == "push" && kind == "event":
		switch name := event.Lookup(c.o, "evtName").Text(); {
		case clevertapInternal(name):
			kept = false
		case name == event.NotificationViewed, name == event.NotificationClicked:
			f, kept, err = clevertapNotified(b.pub, f, name, event.Lookup(c.o, "evtData").Object())
		default:
			err = t.event(&f, c.o)
		}
		if event.Lookup(event.Lookup(c.o, "evtData").Object(), "t").String() == "4" && !kept {
			// It asks for variables; there are none but the page's own.
			answer.more = append(answer.more, event.Prop{Key: "vars", Value: event.OfObject(nil)})
		}
	case c.kind == "push" && kind == "profile":
		f.User = user
		err = t.profile(&f, clevertapProfile(event.Lookup(c.o, "profile")))
		for _, p := range f.Consents {
			if p.Purpose == event.PurposeCollection {
				out := !p.Granted
				answer.out = &out
			}
		}
		kept = f.User != "" || len(f.Changes)+len(f.Consents)+len(f.Addresses) > 0
	case c.kind == "ping":
		kept = false
	default:
		err = malformed("type", "it must be page, push with an event or a profile, ping or data")
	}
	if e := event.Lookup(c.o, "wzrk_error"); e.Kind() == event.Object {
		b.refuse(0, event.OfObject([]event.Prop{{Key: "wzrk_error", Value: e}}), clevertapReported(e))
	}
	switch {
	case err != nil:
		b.refuse(0, c.data, err)
	case !kept, c.out && answer.out == nil:
		// Nothing is said, or it was raised while its user had opted out.
	default:
		if f.Person == 0 {
			if c.query.Get("useIP") == "true" {
				b.pub.Rules.keepIP(&f, peerIP(r.RemoteAddr))
			}
			b.pub.Rules.keepAgent(&f, r.UserAgent())
		}
		b.keep(0, c.data, f)
	}
	if answer.out != nil && *answer.out {
		answer.guid += clevertapOut
	}
	if push := b.pub.webPush(); c.kind == "page" && push != "" {
		answer.push = push
		answer.more = append(answer.more, event.Prop{Key: "webPushConfig", Value: event.OfObject([]event.Prop{
			{Key: "showBox", Value: event.OfBool(true)}, {Key: "boxType", Value: event.OfText("new")},
			{Key: "showBellIcon", Value: event.OfBool(false)}, {Key: "isPreview", Value: event.OfBool(false)},
		})})
	}
	return answer
}

// session is when the library's session began: what it says, or now. It keeps
// count of sessions itself, and must not be told an earlier one.
func (c *clevertapCall) session(b *batch) int64 {
	now := b.now.Unix()
	s, ok := event.Lookup(c.o, "s").Number()
	if !ok || s < 1 || int64(s) > now+24*3600 {
		return now
	}
	return int64(s)
}

// id makes a repeat of a call the same fact: the library sends what was not
// answered once more, with the same numbers and the same text.
func (c *clevertapCall) id(guid string) string {
	if c.query.Get("rn") == "" {
		return ""
	}
	sum := sha256.New()
	for _, part := range []string{guid, c.query.Get("i"), c.query.Get("sn"), c.query.Get("rn"), c.text} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return "ctw:" + hex.EncodeToString(sum.Sum(nil)[:16])
}

// clevertapUser is who a profile says that it is of, "" = nobody. An address is
// nobody: profiles of one person come with and without it.
func clevertapUser(profile []event.Prop) string {
	if id := idText(event.Lookup(profile, "Identity")); id != "" {
		return id
	}
	for _, k := range []string{"FBID", "GPID"} {
		if id := idText(event.Lookup(profile, k)); id != "" {
			return k + ":" + id
		}
	}
	return ""
}

// clevertapDevice is the device id for somebody who takes a browser over: a
// keyed hash of who they are, so that they get the same next time and the door
// remembers nothing. Whoever says nothing gets "".
func clevertapDevice(pub *Publisher, profile []event.Prop) string {
	who := clevertapUser(profile)
	if email, ok := emailAddress(event.Lookup(profile, "Email").Text()); ok && who == "" {
		who = "Email:" + strings.ToLower(email)
	}
	if phone, ok := phoneNumber(event.Lookup(profile, "Phone").String()); ok && who == "" {
		who = "Phone:" + phone
	}
	if who == "" || pub.Hash == nil {
		return ""
	}
	sum := pub.Hash("clevertap device", []byte(who))
	return hex.EncodeToString(sum[:16])
}

// randomBytes are for the ids of new devices, which nobody may guess.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// clevertapProfile is a profile without what is no attribute: who it is, and a
// time zone that names none.
func clevertapProfile(v event.Value) event.Value {
	if v.Kind() != event.Object {
		return v
	}
	out := make([]event.Prop, 0, len(v.Object()))
	for _, p := range v.Object() {
		if p.Key == "Identity" {
			continue
		}
		if p.Key == "tz" || p.Key == "Tz" {
			if _, ok := zone(p.Value); !ok {
				continue
			}
		}
		out = append(out, p)
	}
	return event.OfObject(out)
}

// clevertapInternal are events with which the library asks, and tells nothing.
func clevertapInternal(name string) bool { return strings.HasPrefix(name, "wzrk_") }

// clevertapReported is what the library says that it did not send, or not whole.
// Its words are the device's, and may quote values: they stand in the record
// alone, which an erasure takes. A code that is none of the vendor's counts as
// 512, so that nobody makes counters.
func clevertapReported(e event.Value) error {
	code := int64(512)
	if n, ok := event.Lookup(e.Object(), "c").Number(); ok && n >= 500 && n < 600 {
		code = int64(n)
	}
	return &clevertapError{code, "the library did not send it, or not whole; the record has its reason"}
}

// page makes an event of a page that was opened.
func (c *clevertapCall) page(f *event.Fact) {
	f.Kind, f.Name = event.Track, "Page Viewed"
	for _, p := range []struct{ from, to string }{
		{"cpg", "url"}, {"referrer", "referrer"}, {"us", "utm_source"}, {"um", "utm_medium"}, {"uc", "utm_campaign"},
	} {
		if v := event.Lookup(c.o, p.from); v.Kind() == event.Text && v.Text() != "" {
			f.Props = append(f.Props, event.Prop{Key: p.to, Value: v})
		}
	}
}

// clevertapEndpoints are where the tokens of browsers lead: the library sends
// the last part of the address only.
var clevertapEndpoints = map[string]string{
	"Chrome":  "https://fcm.googleapis.com/fcm/send/",
	"Firefox": "https://updates.push.services.mozilla.com/wpush/v2/",
	"":        "https://web.push.apple.com/",
}

// token makes an address of a subscription to web push; false = nothing. What
// is unregistered is registered anew for another user at once, who then has it.
func (c *clevertapCall) token(f *event.Fact, agent string) (bool, error) {
	f.Kind = event.Identify
	if event.Lookup(c.o, "action").Text() == "unregister" {
		return false, nil
	}
	token, keys := event.Lookup(c.o, "endpoint").Text(), event.Lookup(c.o, "keys").Object()
	if token == "" || strings.ContainsAny(token, "/?#") || len(token) > 2048 {
		return false, &clevertapError{532, "endpoint must be the last part of a subscription's address"}
	}
	if strings.Contains(agent, "Edg/") || strings.Contains(agent, "EdgA/") {
		// Its address has a host of its own, which is lost.
		return false, &clevertapError{534, "the library sends Edge's subscriptions without their host; they cannot be reached"}
	}
	prefix, ok := clevertapEndpoints[event.Lookup(c.o, "browser").Text()]
	if !ok {
		return false, &clevertapError{534, "browser must be Chrome or Firefox, or missing for Safari: old Safari's device tokens are no web push"}
	}
	if event.Lookup(keys, "p256dh").Text() == "" || event.Lookup(keys, "auth").Text() == "" {
		return false, &clevertapError{535, "the subscription's keys p256dh and auth are missing"}
	}
	f.Addresses = []event.Address{{Channel: "push", Platform: "webpush", Value: prefix + token, Extra: string(event.AppendJSONProps(nil, keys))}}
	return true, nil
}
