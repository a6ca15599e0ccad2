package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
)

// schema gives the door's publisher rules for the events of a name.
func (a *atDoor) schema(name string, p *PropertyRules) {
	rules := *a.pub.Rules
	rules.Events = map[string]*PropertyRules{name: p}
	a.pub.Rules = &rules
}

// TestSchema: each case is what comes, what is kept of it ("" = nothing), the
// code of its refusal or of what was let pass, and whether it has a mark.
func TestSchema(t *testing.T) {
	typed := map[string]Type{
		"s": String, "i": Integer, "f": Float, "b": Boolean, "t": Time, "l": List, "o": Object, "x": Any,
	}
	for _, c := range []struct {
		name             string
		rules            PropertyRules
		in, kept, why    string
		accepted, marked bool
	}{
		{"all types are right", PropertyRules{Types: typed, Violation: Refuse}, `{"s":"a","i":3,"f":2,"b":false,"t":"2026-01-02T03:04:05Z","l":[1],"o":{"a":1},"x":[]}`,
			`{"s":"a","i":3,"f":2,"b":false,"t":"2026-01-02T03:04:05Z","l":[1],"o":{"a":1},"x":[]}`, "", false, false},
		{"a whole number may be written 3.0", PropertyRules{Types: typed, Violation: Refuse}, `{"i":3.0}`, `{"i":3}`, "", false, false},
		{"text for a number", PropertyRules{Types: typed, Violation: Refuse}, `{"f":"2"}`, "", "type properties.f", false, false},
		{"number for a text", PropertyRules{Types: typed, Violation: Refuse}, `{"s":2}`, "", "type properties.s", false, false},
		{"a part", PropertyRules{Types: typed, Violation: Refuse}, `{"i":2.5}`, "", "type properties.i", false, false},
		{"no time", PropertyRules{Types: typed, Violation: Refuse}, `{"t":"yesterday"}`, "", "type properties.t", false, false},
		{"no list", PropertyRules{Types: typed, Violation: Refuse}, `{"l":{}}`, "", "type properties.l", false, false},
		{"no object", PropertyRules{Types: typed, Violation: Refuse}, `{"o":[]}`, "", "type properties.o", false, false},
		{"no truth", PropertyRules{Types: typed, Violation: Refuse}, `{"b":1}`, "", "type properties.b", false, false},
		{"dropped", PropertyRules{Types: typed, Violation: Drop}, `{"a":1,"f":"2","b":1,"i":2}`, `{"a":1,"i":2}`, "type properties.f", true, true},
		{"marked", PropertyRules{Types: typed, Violation: Take}, `{"a":1,"f":"2"}`, `{"a":1,"f":"2"}`, "type properties.f", true, true},

		{"required", PropertyRules{Required: []string{"a", "b"}, Violation: Refuse}, `{"a":1}`, "", "missing properties.b", false, false},
		{"required is null", PropertyRules{Required: []string{"a"}, Violation: Refuse}, `{"a":null}`, "", "missing properties.a", false, false},
		{"required, nothing to drop", PropertyRules{Required: []string{"a"}, Violation: Drop}, `{}`, "", "missing properties.a", false, false},
		{"required, marked", PropertyRules{Required: []string{"a"}, Violation: Take}, `{"b":1}`, `{"b":1}`, "missing properties.a", true, true},
		{"required is there", PropertyRules{Required: []string{"a"}, Violation: Refuse}, `{"a":false}`, `{"a":false}`, "", false, false},

		{"allowed alone", PropertyRules{Allow: []string{"a"}, Unknown: Drop}, `{"a":1,"b":2}`, `{"a":1}`, "", false, false},
		{"allowed, required and typed", PropertyRules{Allow: []string{"a"}, Required: []string{"b"}, Types: map[string]Type{"c": Any}, Unknown: Drop}, `{"a":1,"b":2,"c":3,"d":4}`, `{"a":1,"b":2,"c":3}`, "", false, false},
		{"unknown refused", PropertyRules{Types: map[string]Type{"c": Any}, Unknown: Refuse}, `{"c":3,"d":4}`, "", "unknown properties.d", false, false},
		{"unknown dropped without a list", PropertyRules{Types: map[string]Type{"c": Any}, Unknown: Drop}, `{"c":3,"d":4}`, `{"c":3}`, "", false, false},
		{"nothing is allowed", PropertyRules{Allow: []string{}, Unknown: Drop}, `{"c":3}`, `{}`, "", false, false},
		{"denied beside unknown refused", PropertyRules{Deny: []string{"d"}, Types: map[string]Type{"c": Any}, Unknown: Refuse}, `{"c":3,"d":4}`, `{"c":3}`, "", false, false},
		{"personal is known", PropertyRules{Personal: []string{"p"}, Unknown: Refuse, Types: map[string]Type{"c": Any}}, `{"p":1,"c":2}`, `{"p":1,"c":2}`, "", false, false},

		{"discarded", PropertyRules{State: Discarded}, `{"a":1}`, "", "discarded event", false, false},
		{"inactive", PropertyRules{State: Inactive}, `{"a":1}`, "", "inactive event", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newDoor(t)
			a.schema("Added", &c.rules)
			why := ""
			a.pub.Refused = func(all []Refused) {
				for _, r := range all {
					code, field, _ := reasonOf(r.Err)
					why += code + " " + field
					if record := string(r.Record.AppendJSON(nil)); r.Accepted != c.accepted || !strings.Contains(record, c.in) {
						t.Errorf("%v of %s", r.Accepted, record)
					}
				}
			}
			answer := a.send("POST", "/v1/batch", `{"batch":[{"type":"track","userId":"u","event":"Added","properties":`+c.in+`},{"type":"track","userId":"u","event":"Other"}]}`,
				"Authorization", writeKey).Body.String()
			kept, marked := "", false
			facts := a.facts()
			for _, f := range facts {
				if f.Name == "Added" {
					kept, marked = string(event.AppendJSONProps(nil, f.Props)), f.Flags&event.OffSchema != 0
				}
			}
			if kept != c.kept || marked != c.marked || facts[len(facts)-1].Name != "Other" {
				t.Errorf("kept %s, marked %v", kept, marked)
			}
			if why != c.why {
				t.Errorf("told %q, want %q", why, c.why)
			}
			if refused := strings.Contains(answer, "rejected"); refused != (c.why != "" && !c.accepted) {
				t.Error(answer)
			}
		})
	}
}

// The rules for "*" are those of all events without rules of their own: so
// only those that are named come in.
func TestSchemaOfAllOthers(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.Events = map[string]*PropertyRules{"Known": {}, "*": {State: Discarded}}
	a.send("POST", "/v1/batch", `{"batch":[{"type":"track","userId":"u","event":"Known"},{"type":"track","userId":"u","event":"Other"},{"type":"identify","userId":"u","traits":{"a":1}}]}`, "Authorization", writeKey)
	var got []string
	for _, f := range a.facts() {
		got = append(got, f.Kind.String()+" "+f.Name)
	}
	if strings.Join(got, ",") != "track Known,identify " {
		t.Error(got)
	}
}

// Each dialect answers a breach in its own words.
func TestSchemaInEachDialect(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.Events = map[string]*PropertyRules{
		"Off": {State: Discarded}, "Quiet": {State: Inactive}, "Typed": {Types: map[string]Type{"n": Integer}, Required: []string{"n"}, Violation: Refuse},
	}
	for name, codes := range map[string][2]string{"Off": {"528", "discarded"}, "Quiet": {"", ""}, "Typed": {"512", "missing"}} {
		for dialect, answer := range map[string]string{
			"clevertap": a.send("POST", "/1/upload", `{"d":[{"identity":"u","type":"event","evtName":"`+name+`","evtData":{}}]}`, "X-CleverTap-Account-Id", "SERVER", "X-CleverTap-Passcode", "s3cret").Body.String(),
			"segment":   a.send("POST", "/v1/track", `{"userId":"u","event":"`+name+`"}`, "Authorization", writeKey).Body.String(),
		} {
			want := `"code":"` + codes[1] + `"`
			if dialect == "clevertap" {
				want = `"code":` + codes[0]
			}
			if codes[1] == "" && strings.Contains(answer, "code") || !strings.Contains(answer, want) && codes[1] != "" {
				t.Errorf("%s of %s: %s", name, dialect, answer)
			}
		}
		taken, refused := a.importEvents(`{"user":"u","event":"` + name + `","ts":"2026-11-20T00:00:00Z"}`)
		if taken != 0 || len(refused) == 1 != (codes[1] != "") {
			t.Errorf("%s of a file: %d taken, %v", name, taken, refused)
		}
	}
	a.wantFacts()
}

// What is inactive is counted and not listed; what is let pass is listed.
func TestNotedRecords(t *testing.T) {
	a := newDoor(t)
	kept := NewRefusals(func() time.Time { return a.now })
	a.pub.Refused = kept.Add
	a.pub.Rules.Events = map[string]*PropertyRules{"Quiet": {State: Inactive}, "Typed": {Types: map[string]Type{"n": Integer}}}
	a.send("POST", "/v1/batch", `{"batch":[{"type":"track","userId":"u","event":"Quiet"},{"type":"track","userId":"u","event":"Typed","properties":{"n":"x"}}]}`, "Authorization", writeKey)
	if got := fmt.Sprint(kept.Counts()); got != "[{segment inactive true 1} {segment type true 1}]" {
		t.Error(got)
	}
	if all, _ := kept.List(RefusalFilter{}, 9); len(all) != 1 || all[0].Code != RefusedType || !all[0].Accepted || all[0].Field != "properties.n" {
		t.Errorf("%+v", all)
	}
}

// Amplitude's libraries send a request again without what was refused in it:
// nothing of it was accepted, and nothing is told as if it were.
func TestNotedOnlyWhereTaken(t *testing.T) {
	a := newDoor(t)
	a.pub.Rules.Events = map[string]*PropertyRules{"Typed": {Types: map[string]Type{"n": Integer}}, "Off": {State: Discarded}}
	const typed = `{"user_id":"user1","event_type":"Typed","event_properties":{"n":"x"}}`
	for events, want := range map[string]string{
		typed + `,{"user_id":"user1","event_type":"Off"}`: "[{amplitude discarded false 1}]",
		typed: "[{amplitude type true 1}]",
	} {
		kept := NewRefusals(func() time.Time { return a.now })
		a.pub.Refused = kept.Add
		a.send("POST", "/2/httpapi", `{"api_key":"WRITEKEY","events":[`+events+`]}`)
		if got := fmt.Sprint(kept.Counts()); got != want {
			t.Errorf("%s: %s", events, got)
		}
	}
}
