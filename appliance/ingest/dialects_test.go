package ingest

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
)

// speaker sends one event in the words of a dialect. who is a user or, where
// the dialect knows none before a profile, a device.
type speaker struct {
	name string
	send func(a *atDoor, who, name string, at time.Time, props string) string
}

// speakers are all dialects: what has to hold for each of them is tested over
// this list.
var speakers = []speaker{
	{name: "clevertap", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		return a.upload(fmt.Sprintf(`{"d":[{"identity":%q,"type":"event","evtName":%q,"ts":%d,"evtData":%s}]}`, who, name, at.Unix(), props)).Body.String()
	}},
	{name: "clevertap-web", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		q := url.Values{
			"type": {"push"}, "i": {fmt.Sprint(at.Unix())}, "r": {fmt.Sprint(a.now.UnixMilli())}, "rn": {"1"},
			"d": {lzPack(fmt.Sprintf(`{"type":"event","evtName":%q,"evtData":%s,"id":"WRITEKEY","g":%q}`, name, props, who))},
		}
		return a.send("GET", "/a?"+q.Encode(), "").Body.String()
	}},
	{name: "clevertap-mobile", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		return a.send("POST", "/a1?z=WRITEKEY", fmt.Sprintf(`[{"type":"meta","g":%q},{"type":"event","evtName":%q,"evtData":%s,"ep":%d}]`, who, name, props, at.Unix())).Body.String()
	}},
	{name: "segment", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		return a.segment("/v1/track", fmt.Sprintf(`{"userId":%q,"event":%q,"timestamp":%q,"properties":%s}`, who, name, at.Format(time.RFC3339Nano), props)).Body.String()
	}},
	{name: "posthog", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		return a.send("POST", "/capture/", fmt.Sprintf(`{"api_key":"WRITEKEY","distinct_id":%q,"event":%q,"timestamp":%q,"properties":%s}`, who, name, at.Format(time.RFC3339Nano), props)).Body.String()
	}},
	{name: "mixpanel", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		return a.send("POST", "/track?verbose=1", fmt.Sprintf(`[{"event":%q,"properties":{"token":"WRITEKEY","distinct_id":%q,"time":%d%s}}]`, name, who, at.UnixMilli(), members(props))).Body.String()
	}},
	{name: "amplitude", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		return a.send("POST", "/2/httpapi", fmt.Sprintf(`{"api_key":"WRITEKEY","events":[{"user_id":%q,"event_type":%q,"time":%d,"event_properties":%s}]}`, who, name, at.UnixMilli(), props)).Body.String()
	}},
	{name: "cloister", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		_, answer := a.cloister(fmt.Sprintf(`{"user":%q,"event":%q,"ts":%q,"props":%s}`, who, name, at.Format(time.RFC3339Nano), props))
		return answer
	}},
	{name: "import", send: func(a *atDoor, who, name string, at time.Time, props string) string {
		_, refused := a.importEvents(fmt.Sprintf(`{"user":%q,"event":%q,"ts":%q,"props":%s,"id":"%s %d"}`, who, name, at.Format(time.RFC3339Nano), props, who, at.Unix()))
		return fmt.Sprint(refused)
	}},
}

// members are those of an object, to stand behind others.
func members(object string) string {
	if inner := object[1 : len(object)-1]; inner != "" {
		return "," + inner
	}
	return ""
}

// TestTimes: what a record says of its time is kept within what can be true,
// in every dialect: more than a day ahead becomes the server's, with a mark;
// what is older than the retention, or than any app, is refused, one by one.
func TestTimes(t *testing.T) {
	retention := 400 * day
	for _, s := range speakers {
		t.Run(s.name, func(t *testing.T) {
			a := newDoor(t)
			a.pub.Hash = testHash
			rules := *a.pub.Rules
			rules.Retention, rules.Kept = retention, map[string]time.Duration{"Short": 30 * day}
			a.pub.Rules = &rules
			var codes []string
			a.pub.Refused = func(all []Refused) {
				for _, r := range all {
					code, _, _ := reasonOf(r.Err)
					codes = append(codes, code)
				}
			}
			for _, c := range []struct {
				name string
				at   time.Time
				want string // "as said", "restamped", "refused"
			}{
				{"Now", a.now, "as said"},
				{"Soon", a.now.Add(day - time.Second), "as said"},
				{"Tomorrow", a.now.Add(day + time.Second), "restamped"},
				{"In 20 years", a.now.AddDate(20, 0, 0), "restamped"},
				{"In 2999", time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), "restamped"},
				{"Kept", a.now.Add(time.Minute - retention), "as said"},
				{"Too old", a.now.Add(-time.Minute - retention), "refused"},
				{"Short", a.now.Add(-31 * day), "refused"},
				{"Short", a.now.Add(-29 * day), "as said"},
				{"In 1979", time.Date(1979, 12, 31, 0, 0, 0, 0, time.UTC), "refused"},
				{"In 1970", time.Unix(1, 0), "refused"},
			} {
				codes = nil
				answer := s.send(a, "u-123", c.name, c.at.Truncate(time.Second), "{}")
				facts := a.facts()
				if c.want == "refused" {
					if len(facts) != 0 || len(codes) != 1 || codes[0] != event.RefusedTooOld {
						t.Errorf("%s: %d facts, refused %v: %s", c.name, len(facts), codes, answer)
					}
					continue
				}
				if len(facts) != 1 || len(codes) != 0 {
					t.Errorf("%s: %d facts, refused %v: %s", c.name, len(facts), codes, answer)
					continue
				}
				f := facts[0]
				at, restamped := time.UnixMicro(f.Time).UTC(), f.Flags&event.Restamped != 0
				if c.want == "restamped" && (!at.Equal(a.now) || !restamped) || c.want == "as said" && (!at.Equal(c.at.Truncate(time.Second)) || restamped) {
					t.Errorf("%s: at %v, restamped %v", c.name, at, restamped)
				}
			}
			// One that is too old takes no other with it.
			if s.name == "segment" {
				w := a.segment("/v1/batch", `{"batch":[{"type":"track","userId":"u","event":"Old","timestamp":"1999-01-01T00:00:00Z"},{"type":"track","userId":"u","event":"New"}]}`)
				if facts := a.facts(); len(facts) != 1 || facts[0].Name != "New" {
					t.Errorf("%d facts: %s", len(facts), w.Body)
				}
			}
		})
	}
}

// TestNoTimeIsStrange: what times look like that are none, or are beyond what
// can be counted, is refused or now; never a 5xx, never another time.
func TestNoTimeIsStrange(t *testing.T) {
	a := newDoor(t)
	a.pub.Hash = testHash
	for _, at := range []string{"-1", "0", "1e300", "-1e300", "99999999999999999999", "9007199254740993", "253402300800000", `"9999-12-31T23:59:59Z"`, `"0001-01-01T00:00:00Z"`, `"-0001-01-01T00:00:00Z"`, `""`, `"now"`, "true", "[]", "{}", "null", `"1795451100"`} {
		for what, w := range map[string]*httptest.ResponseRecorder{
			"clevertap": a.upload(`{"d":[{"identity":"u","type":"event","evtName":"A","ts":` + at + `}]}`),
			"segment":   a.segment("/v1/track", `{"userId":"u","event":"A","timestamp":`+at+`}`),
			"posthog":   a.send("POST", "/capture/", `{"api_key":"WRITEKEY","distinct_id":"u","event":"A","timestamp":`+at+`}`),
			"mixpanel":  a.send("POST", "/track?verbose=1", `[{"event":"A","properties":{"token":"WRITEKEY","distinct_id":"u","time":`+at+`}}]`),
			"amplitude": a.send("POST", "/2/httpapi", `{"api_key":"WRITEKEY","events":[{"user_id":"user1","event_type":"A","time":`+at+`}]}`),
			"cloister":  a.send("POST", "/cloister/v1/collect?key=WRITEKEY", `{"user":"u","event":"A","ts":`+at+`}`),
		} {
			if w.Code >= 500 {
				t.Errorf("%s: %s is answered %d %s", what, at, w.Code, w.Body)
			}
		}
		a.importEvents(`{"user":"u","event":"A","ts":` + at + `}`)
		for _, f := range a.facts() {
			if ahead := f.Time - a.now.UnixMicro(); ahead > day.Microseconds() || f.Time < earliest {
				t.Errorf("%s becomes %v", at, time.UnixMicro(f.Time))
			}
		}
	}
}

// TestRulesInEachDialect: what the operator wrote holds whatever an app speaks.
func TestRulesInEachDialect(t *testing.T) {
	for _, s := range speakers {
		t.Run(s.name, func(t *testing.T) {
			a := newDoor(t)
			a.pub.Hash = testHash
			a.looking(map[detect.Kind]Action{detect.Card: MaskIt, detect.Email: HoldIt})
			a.pub.Rules.Events = map[string]*PropertyRules{
				"Off": {State: Discarded}, "Quiet": {State: Inactive}, "Typed": {Types: map[string]Type{"n": Integer}, Violation: Refuse},
				"Denied": {Deny: []string{"secret"}},
			}
			h := a.holding()
			kept := NewRefusals(func() time.Time { return a.now })
			a.pub.Refused = kept.Add
			for _, c := range []struct{ name, props, want, code string }{
				{"Paid", `{"note":"4111 1111 1111 1111"}`, `{"note":"4111 11** **** 1111"}`, ""},
				{"Paid", `{"pan":4111111111111111,"deep":{"list":["4111111111111111"]}}`, `{"pan":"411111******1111","deep":{"list":["411111******1111"]}}`, ""},
				{"Denied", `{"secret":1,"n":2}`, `{"n":2}`, ""},
				{"Typed", `{"n":3}`, `{"n":3}`, ""},
				{"Typed", `{"n":"three"}`, "", RefusedType},
				{"Off", `{}`, "", RefusedDiscarded},
				{"Quiet", `{}`, "", ""},
				{"Asked", `{"note":"write to ann@example.com"}`, "", ""},
			} {
				before, _ := kept.List(RefusalFilter{}, 100)
				answer := s.send(a, "u-123", c.name, a.now.Add(-time.Duration(len(before)+1)*time.Minute), c.props)
				got := ""
				for _, f := range a.facts() {
					got += string(event.AppendJSONProps(nil, f.Props))
				}
				after, _ := kept.List(RefusalFilter{}, 100)
				code := ""
				for _, r := range after[len(before):] {
					code += r.Code
				}
				if got != c.want || code != c.code {
					t.Errorf("%s %s: kept %s, refused %q: %s", c.name, c.props, got, code, answer)
				}
			}
			if h.Count() != 1 {
				t.Errorf("%d are held", h.Count())
			}
		})
	}
}
