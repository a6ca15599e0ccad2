package ingest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

func TestArrivals(t *testing.T) {
	a := newDoor(t)
	r := NewArrivals(func() time.Time { return a.now })
	a.pub.Taken = r.Add
	a.send("POST", "/cloister/v1/collect?key=WRITEKEY", `{"batch":[
		{"id":"m","user":"u","anonymous":"d","event":"Charged","ts":"2026-11-23T16:20:00Z","props":{"n":1,"delivery_address":"Home 1"}},
		{"user":"u","profile":{"plan":"gold","customer_ref":"77","old":null},"increase":{"visits":1},"consent":[{"purpose":"news","granted":true,"channel":"email"}],"collect":true,
			"channels":{"email":"a@b.example","push":{"platform":"fcm","token":"T"}},"unreachable":{"sms":"+491701234567"}},
		{"user":"u","previous":"old"}, {"nobody":1}]}`, "User-Agent", "curl/8.1 x")
	a.segment("/v1/track", `{"userId":"v","event":"B"}`)
	a.err = context.Canceled
	a.segment("/v1/track", `{"userId":"v","event":"Lost"}`)
	a.err = nil
	all, last := r.List(ArrivalFilter{}, 100)
	var got []string
	for _, k := range all {
		got = append(got, fmt.Sprintf("%s %s %s %s %s id=%s %s@%s %s", k.Dialect, k.Key, k.Sender, k.Kind, k.Event, k.ID, k.User, k.Device, k.Detail))
	}
	want := []string{
		`cloister WRITEKEY curl/8.1 track Charged id=m u@d {"props":{"n":1,"delivery_address":"•••"}}`,
		`cloister WRITEKEY curl/8.1 identify  id= u@ {"profile":{"plan":"gold","customer_ref":"•••","old":null},"increase":{"visits":1},"collect":true,` +
			`"consent":[{"purpose":"news","granted":true,"channel":"email"}],"channels":["email","push/fcm"],"unreachable":["sms"]}`,
		`cloister WRITEKEY curl/8.1 alias  id= u@ {"previous":"old"}`,
		`segment WRITEKEY  track B id= v@ {}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all[0].Time != a.now.Add(-6*time.Minute).UnixMicro() || !all[0].At.Equal(a.now) || all[3].Number != last {
		t.Errorf("%+v, the last is %d", all[0], last)
	}
	for f, n := range map[ArrivalFilter]int{{After: all[1].Number}: 2, {After: last}: 0, {Dialect: "segment"}: 1, {Key: "OTHER"}: 0} {
		if some, _ := r.List(f, 100); len(some) != n {
			t.Errorf("%+v gives %d", f, len(some))
		}
	}
	if some, _ := r.List(ArrivalFilter{}, 2); len(some) != 2 || some[1].Number != last {
		t.Errorf("the newest two: %+v", some)
	}
	if err := r.Forget(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if some, _ := r.List(ArrivalFilter{}, 100); len(some) != 0 {
		t.Errorf("after an erasure: %+v", some)
	}
}

func TestArrivalsAreBounded(t *testing.T) {
	at := now
	r := NewArrivals(func() time.Time { return at })
	many := make([]event.Fact, 1000)
	for i := range many {
		many[i] = event.Fact{Kind: event.Track, Name: fmt.Sprint(i), Props: []event.Prop{{Key: "k", Value: event.OfText(strings.Repeat("x", 9000))}}}
	}
	before := r.next
	for range 10 {
		r.Add(Taken{Facts: many})
	}
	all, last := r.List(ArrivalFilter{}, 1000)
	if len(all) != arrivalsASecond || all[0].Event != "980" || all[19].Event != "999" || all[0].Detail != nil {
		t.Errorf("%d, the first %+v", len(all), all[0])
	}
	if last != before+10_000 {
		t.Errorf("%d numbers", last-before)
	}
	for range 100 {
		at = at.Add(time.Second)
		r.Add(Taken{Facts: many[:10]})
	}
	if all, _ := r.List(ArrivalFilter{}, 1000); len(all) != arrivalsKept {
		t.Errorf("%d are kept", len(all))
	}
	at = at.Add(arrivalsLast + time.Second)
	if all, _ := r.List(ArrivalFilter{}, 1000); len(all) != 0 {
		t.Errorf("%d are old", len(all))
	}
}

func TestSender(t *testing.T) {
	for agent, want := range map[string]string{"": "", "analytics-go (version: 3.3.0)": "analytics-go", "analytics-node-next/latest": "analytics-node-next/latest",
		"Mozilla/5.0 (X11; Linux) Chrome/156": "browser", strings.Repeat("x", 65): "", "a\x01b": ""} {
		if got := libraryOf(agent); got != want {
			t.Errorf("%q is %q, not %q", agent, got, want)
		}
	}
}
