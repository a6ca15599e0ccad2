package campaign

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

func TestOnEvent(t *testing.T) {
	h := newHouse(t)
	h.programme("welcome", onEvent("welcome", "running", `,"delay":"30m"`), 0)
	f := track(7, "Viewed", time.Minute, prop("sku", "a1"), event.Prop{Key: "email", Value: event.OfText("ann@example.com"), Personal: true})
	got := h.apply(f)
	if len(got) != 1 {
		t.Fatalf("%d intentions", len(got))
	}
	in := got[0]
	if in.Person != 7 || in.Campaign != "welcome" || in.Revision != 1 || in.At != after(31*time.Minute) || in.Expires != after(31*time.Minute+24*time.Hour) ||
		in.Class != Marketing || in.Channel != "email" || in.Purpose != "offers" || len(in.Message) != 32 || !strings.HasPrefix(in.Cause, "event:") || len(in.Props) != 2 || !in.Props[1].Personal {
		t.Errorf("%+v", in)
	}
	// Decided again, in another life, it is the same message.
	if again := h.apply(f); len(again) != 1 || again[0].Message != in.Message || len(h.sent()) != 1 {
		t.Errorf("%+v", again)
	}
	h.restart()
	if again := h.apply(f); len(again) != 1 || again[0].Message != in.Message || len(h.sent()) != 1 {
		t.Errorf("%+v", again)
	}
	imported, late, own := track(7, "Viewed", 0), track(7, "Viewed", 0), track(7, event.NotificationSent, 0)
	imported.Flags = event.Imported
	late.Received = after(MaxAge + time.Second)
	restamped := track(7, "Viewed", 0)
	restamped.Flags = event.Restamped
	for what, f := range map[string]event.Fact{
		"imported": imported, "late": late, "restamped": restamped, "own": own, "another": track(7, "Other", 0), "nobody's": track(0, "Viewed", 0),
	} {
		if got := h.apply(f); len(got) != 0 {
			t.Errorf("an event that is %s starts %v", what, got)
		}
	}
	for _, state := range []string{"paused", "ended", "draft"} {
		h.programme("welcome", onEvent("welcome", state, `,"delay":"30m"`), 0)
		if got := h.apply(track(8, "Viewed", 0)); len(got) != 0 {
			t.Errorf("a %s campaign starts %v", state, got)
		}
	}
	s, err := h.c.Get("welcome")
	if err != nil || s.Revision != 1 {
		t.Errorf("a change of state makes revision %d, %v", s.Revision, err)
	}
}

// TestNotByItself: what a campaign's own messages do starts it not again.
func TestNotByItself(t *testing.T) {
	h := newHouse(t)
	body := strings.Replace(onEvent("loop", "running", ""), `"Viewed"`, `"Notification Clicked"`, 1)
	h.programme("loop", body, 0)
	h.programme("other", strings.Replace(body, "loop", "other", 1), 0)
	got := h.apply(track(7, event.NotificationClicked, 0, prop(event.PropCampaign, "loop")))
	if len(got) != 1 || got[0].Campaign != "other" {
		t.Errorf("%+v", got)
	}
}

func TestRevisions(t *testing.T) {
	h := newHouse(t)
	h.programme("a", onEvent("a", "running", ""), 0)
	h.programme("a", strings.Replace(onEvent("a", "running", ""), "Hi ", "Dear ", 1), 0)
	h.restart()
	for rev, want := range map[int]string{1: "Hi {{ Profile.name }}", 2: "Dear {{ Profile.name }}"} {
		c, err := h.c.Revision("a", rev)
		if err != nil || c.Content.Subject != want || c.State != Running {
			t.Errorf("revision %d: %+v, %v", rev, c, err)
		}
	}
	h.programme("a", onEvent("a", "paused", ""), 0)
	if c, err := h.c.Revision("a", 1); err != nil || c.State != Paused {
		t.Errorf("%+v, %v", c, err)
	}
	h.programme("a", "", 0)
	if _, err := h.c.Revision("a", 3); err == nil {
		t.Error("a revision of a deleted campaign")
	}
	if ok, _, err := h.c.Wanted("a", strings.Repeat("0", 32)); ok || err != nil {
		t.Errorf("a deleted campaign's message is wanted: %v", err)
	}
	h.programme("a", onEvent("a", "running", ""), 0)
	if s, err := h.c.Get("a"); err != nil || s.Revision != 4 {
		t.Errorf("made anew it has revision %d, %v: no revision may mean two things", s.Revision, err)
	}
	if l, err := h.c.List(); err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
}

// TestNothingIsTooMuch: the largest event there can be, hundreds of campaigns
// that wait for it, and a person with thousands of timers stay within what a
// small publisher's transaction may hold.
func TestNothingIsTooMuch(t *testing.T) {
	h := newHouse(t)
	var huge []event.Prop
	for i := range 250 {
		huge = append(huge, prop(fmt.Sprint("p", i), strings.Repeat("x", 4000)))
	}
	var skus, more []string
	for i := range 250 {
		skus, more = append(skus, fmt.Sprint("sku", i)), append(more, strings.Repeat("y", 4000))
	}
	huge = append(huge, prop("sku", skus), prop("list", more))
	for i := range 300 {
		h.programme(fmt.Sprint("e", i), onEvent(fmt.Sprint("e", i), "running", ""), 0)
	}
	h.programme("cart", strings.ReplaceAll(cart("cart", "running", `,"hold":["sku"]`), "Event.sku", "Event.list"), 0)
	got := h.apply(track(7, "Viewed", 0, huge...))
	if len(got) != maxFired {
		t.Errorf("%d messages of one event", len(got))
	}
	if p := got[0].Props; len(p) == 0 || p[0].Key != "sku" || p[0].Value.Kind() != event.List {
		t.Errorf("what the template wants is not kept first: %v", p)
	}
	for i := range 20 {
		skus[0] = fmt.Sprint("another", i)
		h.apply(track(7, "Added", time.Duration(i)*time.Second, prop("sku", skus[:1]), huge[len(huge)-1], huge[0]))
	}
	h.apply(track(7, "Added", time.Minute, huge...))
	h.apply(track(8, "Added", time.Minute, huge...))
	merge := func(winner, loser uint32) {
		t.Helper()
		if err := h.db.Update(func(tx *txn) error { return h.c.Merge(tx, winner, loser) }); err != nil {
			t.Error(err)
		}
	}
	merge(7, 8)
	merge(9, 7)
	if err := h.db.Update(func(tx *txn) error { return h.c.Forget(tx, 9) }); err != nil {
		t.Error(err)
	}
}

func TestKeep(t *testing.T) {
	a := newAllowance()
	long := strings.Repeat("x", 5000)
	got := a.keep([]event.Prop{prop("a", long), prop("b", long), prop("c", "z"), prop("d", []string{long, long, long})}, []string{"d", "c"})
	var names []string
	for _, p := range got {
		names = append(names, p.Key)
	}
	if !slices.Equal(names, []string{"c", "d"}) || len(got[1].Value.List()) != 1 {
		t.Errorf("%v", names)
	}
	if n := len(event.AppendProps(nil, got)); n > maxKept {
		t.Errorf("%d bytes", n)
	}
	for range 100 {
		a.keep([]event.Prop{prop("a", long)}, nil)
	}
	if a.bytes < 0 {
		t.Errorf("%d bytes too many", -a.bytes)
	}
}

// onEventWith is a campaign with more of its own fields.
func onEventWith(more string) string {
	return strings.Replace(onEvent("a", "running", ""), `"name":"n"`, `"name":"n",`+more, 1)
}

// TestGoal: what a campaign is for changes nothing of what is sent, but who
// gets it does.
func TestGoal(t *testing.T) {
	h := newHouse(t)
	revision := func(more string) int {
		h.programme("a", onEventWith(more), 0)
		s, err := h.c.Get("a")
		if err != nil {
			t.Fatal(err)
		}
		return s.Revision
	}
	first := revision(`"control":0`)
	if n := revision(`"goal":{"event":{"event":"Charged"},"within":"3d"}`); n != first {
		t.Errorf("a goal makes revision %d of %d", n, first)
	}
	if g := h.c.Goal("a"); g == nil || g.Within != Duration(72*time.Hour) || string(g.Event) != `{"event":"Charged"}` {
		t.Errorf("%+v", g)
	}
	if g := h.c.Goal("none"); g != nil {
		t.Errorf("%+v", g)
	}
	if n := revision(`"control":10`); n != first+1 {
		t.Errorf("a control group makes revision %d of %d", n, first)
	}
}

func TestValidate(t *testing.T) {
	h := newHouse(t)
	c, err := h.c.Validate([]byte(strings.Replace(cart("a", "draft", ""), `"state":"draft",`, "", 1)))
	if err != nil || c.State != Draft || c.Class != Marketing || c.Missed != MissedSend || c.Expires != Duration(24*time.Hour) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := h.c.Validate([]byte(strings.Replace(cart("a", "draft", ""), `"name":"n"`, `"name":"n","people":null`, 1))); err != nil || c.People != nil {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = h.c.Validate([]byte(onEventWith(`"control":10,"goal":{"event":{"event":"Charged"},"revenue":"Amount"}`)))
	if err != nil || c.Control != 10 || c.Goal.Within != Duration(7*24*time.Hour) || c.Goal.Revenue != "Amount" {
		t.Errorf("%+v, %v", c, err)
	}
	const sms = `{"id":"a","name":"n","channel":"sms","purpose":"offers","content":{"text":"Hi","sender":"ACMEBK-S","template":"1107161"},"trigger":{"type":"once","audience":{}}}`
	if c, err := h.c.Validate([]byte(sms)); err != nil || c.Content.Sender != "ACMEBK-S" || c.Content.Template != "1107161" {
		t.Errorf("%+v, %v", c, err)
	}
	const push = `{"id":"a","name":"n","channel":"push","purpose":"offers","content":{"title":"Hi","push":{"image":"https://cdn.example/{{ Profile.plan }}.png","badge":"3","links":{"apns":"app://i"},"buttons":[{"id":"buy","title":"Buy","link":"app://buy"}],"data":{"k":"v"},"sound":"ding","channel":"news","collapse":"offer","urgent":true}},"trigger":{"type":"once","audience":{}}}`
	if c, err := h.c.Validate([]byte(push)); err != nil || c.Content.Push == nil || c.Content.Push.Buttons[0].ID != "buy" || c.Content.Push.Links["apns"] != "app://i" || !c.Content.Push.Urgent {
		t.Errorf("%+v, %v", c, err)
	}
	silent := strings.Replace(strings.Replace(push, `"title":"Hi",`, "", 1), push[strings.Index(push, `"image"`):strings.Index(push, `"data"`)], `"silent":true,`, 1)
	if c, err := h.c.Validate([]byte(silent)); err != nil || !c.Content.Push.Silent {
		t.Errorf("%s: %+v, %v", silent, c, err)
	}
	for body, paths := range map[string]string{
		strings.Replace(push, `"sound"`, `"volume"`, 1):                      "content.push.volume",
		strings.Replace(push, `"id":"buy"`, `"id":"b b","icon":"x"`, 1):      "content.push.buttons[0].id content.push.buttons[0].icon",
		strings.Replace(push, `"title":"Buy"`, `"title":""`, 1):              "content.push.buttons[0].title",
		strings.Replace(push, `"app://buy"`, `"{{"`, 1):                      "content.push.buttons[0].link",
		strings.Replace(push, `{{ Profile.plan }}`, `{{ Profile.`, 1):        "content.push.image",
		strings.Replace(push, `"badge":"3"`, `"badge":"3\n"`, 1):             "content.push.badge",
		strings.Replace(push, `"apns":"app://i"`, `"fax":"x","fcm":""`, 1):   "content.push.links.fax content.push.links.fcm",
		strings.Replace(push, `"k":"v"`, `"aps":"v"`, 1):                     "content.push.data.aps",
		strings.Replace(push, `"k":"v"`, `"k k":"v"`, 1):                     "content.push.data",
		strings.Replace(push, `"k":"v"`, `"k":"{% if %}"`, 1):                "content.push.data.k",
		strings.Replace(push, `"ding"`, `"`+strings.Repeat("x", 129)+`"`, 1): "content.push.sound",
		strings.Replace(push, `"urgent"`, `"silent"`, 1):                     "content.title content.push.image content.push.badge content.push.buttons",
		strings.Replace(push, `"channel":"push"`, `"channel":"sms"`, 1):      "content.push",
		strings.Replace(silent, `"k":"v"`, ``, 1):                            "content.push.data",
		`[]`:                  "",
		`{`:                   "",
		`{"id":"a","id":"b"}`: "",
		`{}`:                  "channel id name purpose trigger.type",
		strings.Replace(cart("a", "running", ""), `"within":"1h"`, `"within":"0s"`, 1):     "trigger.within",
		strings.Replace(cart("a", "running", ""), `"within":"1h"`, `"within":"-1h"`, 1):    "",
		strings.Replace(cart("a", "running", ""), `"without":{"event":"Charged"},`, ``, 1): "trigger.without",
		strings.Replace(cart("a", "running", ""), `{"event":"Added"}`, `{"event":1}`, 1):   "trigger.event",
		cart("a", "running", `,"hold":["a","b","c","d"],"delay":"1m"`):                     "trigger.delay trigger.hold",
		cart("A b", "running", ""):                                                                                                                   "id",
		strings.Replace(cart("a", "running", ""), `"email"`, `"fax"`, 1):                                                                             "channel",
		strings.Replace(cart("a", "running", ""), `"offers"`, `"spam"`, 1):                                                                           "purpose",
		strings.Replace(cart("a", "running", ""), `"<p>{{ Event.sku }}</p>"`, `"<a href={{ x }}>"`, 1):                                               "content.html",
		strings.Replace(cart("a", "running", ""), `"<p>{{ Event.sku }}</p>"`, `"{% if %}"`, 1):                                                       "content.html",
		strings.Replace(cart("a", "running", ""), `"Hi {{ Profile.name }}"`, `"Hi\nBcc: x"`, 1):                                                      "content.subject",
		strings.Replace(cart("a", "running", ""), `"Hi {{ Profile.name }}"`, `"Hi\u0000"`, 1):                                                        "content.subject",
		strings.Replace(cart("a", "running", ""), `"Hi {{ Profile.name }}"`, `"Hi \u202egpj.exe"`, 1):                                                "content.subject",
		strings.Replace(cart("a", "running", ""), `"subject":`, `"sender":"ACME","template":"1107","subject":`, 1):                                   "content.sender content.template",
		strings.Replace(sms, "ACMEBK-S", "an endless name", 1):                                                                                       "content.sender",
		strings.Replace(sms, "ACMEBK-S", "{{ x }}", 1):                                                                                               "content.sender",
		strings.Replace(sms, "ACMEBK-S", `a\r\nb`, 1):                                                                                                "content.sender",
		strings.Replace(sms, "1107161", "a b", 1):                                                                                                    "content.template",
		strings.Replace(cart("a", "running", ""), `"name":"n"`, `"nmae":"n"`, 1):                                                                     "name nmae",
		strings.Replace(once("a", "running", ""), `"audience":{}`, `"audience":"bad"`, 1):                                                            "trigger.audience",
		strings.Replace(once("a", "running", ""), `"audience":{}`, `"event":{}`, 1):                                                                  "trigger.audience trigger.event",
		strings.Replace(onEvent("a", "running", `,"delay":"366d"`), `"name":"n"`, `"name":"n","limit":{"per_person":0},"missed":"x","class":"y"`, 1): "class limit.per_person missed trigger.delay",
		onEventWith(`"control":100,"goal":{"event":{"event":1},"within":"366d","income":"Amount"}`):                                                  "control goal.event goal.within goal.income",
		onEventWith(`"control":-1,"goal":{"revenue":"` + strings.Repeat("x", 129) + `"}`):                                                            "control goal.event goal.revenue",
		onEventWith(`"control":10,"class":"transactional"`):                                                                                          "control",
		`{"id":"a","name":"` + strings.Repeat("x", MaxBody) + `"}`:                                                                                   "",
	} {
		_, err := h.c.Validate([]byte(body))
		m, ok := err.(Mistakes)
		if !ok {
			t.Errorf("%.200s: %v", body, err)
			continue
		}
		var got []string
		for _, x := range m {
			got = append(got, x.Path)
		}
		for _, p := range strings.Fields(paths) {
			if !slices.Contains(got, p) {
				t.Errorf("%.300s: %v lacks %s", body, m, p)
			}
		}
	}
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "2w": 14 * 24 * time.Hour, "1w2d3h": (9*24 + 3) * time.Hour, "0s": 0,
	} {
		if d, err := ParseDuration(s); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "d", "-1d", "1x", "-5m", "99999999d", "1d-1h", "1", "1 d", "10001d", "10000w00000000h", "10000d1ns", "65535w65535w65535w"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q is %v", s, d)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add("1w2d3h4m5s")
	f.Add("10000w00000000h") // was more days than can be read back
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is %v", s, d)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q is %v, read again %v, %v", s, d, again, err)
		}
	})
}

// FuzzValidate: whatever is saved as a campaign, nothing panics, and what is
// taken is taken again as it came out.
func FuzzValidate(f *testing.F) {
	c := &Campaigns{o: Options{Compile: func([]byte) (Matcher, error) { return nil, nil }}.withDefaults()}
	for _, s := range []string{cart("a", "draft", `,"hold":["x"]`), once("b", "running", `,"at":"2026-01-01T00:00:00Z"`), onEvent("c", "paused", `,"delay":"1d"`), `{"limit":{"per_person":1,"every":"7d"}}`, `{"people":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := c.Validate([]byte(body))
		if err != nil {
			if _, ok := err.(Mistakes); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Validate(b)
		if err != nil || !sameRevision(*got, *again) {
			t.Fatalf("%s is not taken again: %v", b, err)
		}
	})
}
