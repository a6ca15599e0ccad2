package query_test

import (
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

func TestCompileEvent(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	text := event.OfText
	props := []event.Prop{
		{Key: "amount", Value: event.OfInt(100)},
		{Key: "email", Value: text("ann@example.com"), Personal: true},
		{Key: "at", Value: text("2011-10-31T23:00:00Z")},
		{Key: "Items", Value: event.OfList([]event.Value{event.OfObject([]event.Prop{{Key: "sku", Value: text("x")}})})},
	}
	profile := func(key string) event.Value {
		if key == "plan" {
			return text("gold")
		}
		return event.Value{}
	}
	for _, c := range []struct {
		ref, name string
		want      bool
	}{
		{`{"event":"Charged"}`, "Charged", true},
		{`{"event":"Charged"}`, "charged", false},
		{`{}`, "Charged", true},
		{`{}`, event.NotificationSent, false},
		{`{"event":"Notification Sent"}`, event.NotificationSent, true},
		{`{"filter":{"property":"amount","op":">=","value":"100"}}`, "Charged", true},
		{`{"filter":{"property":"amount","op":">","value":100}}`, "Charged", false},
		{`{"filter":{"property":"plan","op":"=","value":"gold","of":"profile"}}`, "Charged", true},
		{`{"filter":{"property":"city","op":"!=","value":"Rome","of":"profile"}}`, "Charged", true},
		{`{"filter":{"property":"sku","op":"=","value":"x","of":"item"}}`, "Charged", true},
		{`{"filter":{"property":"at","op":"=","value":"2011-11-01"}}`, "Charged", true},
		// A personal property is missing to every question.
		{`{"filter":{"property":"email","op":"exists"}}`, "Charged", false},
		{`{"filter":{"not":{"any":[{"property":"amount","op":"=","value":100}]}}}`, "Charged", false},
	} {
		m, err := query.CompileEvent([]byte(c.ref), berlin)
		if err != nil {
			t.Fatal(c.ref, err)
		}
		if m.Match(c.name, props, profile) != c.want {
			t.Errorf("%s on %s: want %v", c.ref, c.name, c.want)
		}
	}
	m, err := query.CompileEvent([]byte(`{"filter":{"property":"plan","op":"exists","of":"profile"}}`), nil)
	if err != nil || m.Match("A", nil, nil) || m.Event() != "" {
		t.Error("without a profile:", err)
	}
	for _, bad := range []string{``, `null`, `[]`, `{"event":""}`, `{"event":1}`, `{"did":{}}`, `{"filter":{"property":"x"}}`} {
		if _, err := query.CompileEvent([]byte(bad), nil); code(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestCheckPeople(t *testing.T) {
	env := query.Env{Segment: func(name string) ([]byte, bool) { return []byte(`{"reachable":"email"}`), name == "known" }}
	for people, want := range map[string]string{
		`{"segment":"known"}`:                      "",
		`{"segment":"unknown"}`:                    query.CodeValue,
		`{"all":[]}`:                               "",
		`{"did":{"event":"A"},"count":{"op":"~"}}`: query.CodeValue,
		`{"list":"vips"}`:                          query.CodeValue,
		`null`:                                     query.CodeType,
		``:                                         query.CodeSyntax,
	} {
		if err := query.CheckPeople([]byte(people), env); code(err) != want {
			t.Errorf("%s: %v", people, err)
		}
	}
}

func TestCheckRFM(t *testing.T) {
	env := crowd(10)
	env.Data.People.(memory.People)[3].Lists = []string{"vips"}
	for question, want := range map[string]string{
		`{"amount":"n"}`: "",
		`{"kind":"rfm","event":"A","amount":"n","frequency":"k","bins":3,"people":{"list":"vips"},"filter":{"property":"n","op":"exists"}}`: "",
		`{"amount":"n","people":{"list":"vip"}}`:            query.CodeValue,
		`{"amount":"n","people":{"rfm":"Champions"}}`:       query.CodeValue,
		`{"kind":"trend","amount":"n"}`:                     query.CodeValue,
		`{"event":"A"}`:                                     query.CodeMissing,
		`{"amount":"n","compare":{"now":"2011-01-01"}}`:     query.CodeUnknown,
		`{"amount":"n","timezone":"UTC"}`:                   query.CodeUnknown,
		`{"amount":"n","filter":{"property":"n","op":"~"}}`: query.CodeValue,
		`[]`: query.CodeType,
		`{`:  query.CodeSyntax,
	} {
		if err := query.CheckRFM([]byte(question), env); code(err) != want {
			t.Errorf("%s: %v", question, err)
		}
	}
}

func TestEvaluate(t *testing.T) {
	env := crowd(100)
	people, err := query.Evaluate(t.Context(), []byte(`{"did":{"event":"A","filter":{"property":"n","op":"<=","value":3}}}`), env)
	if err != nil {
		t.Fatal(err)
	}
	// Number 4, with n = 3, is one person with number 3.
	if got := people.ToArray(); len(got) != 3 || got[0] != 1 || got[2] != 3 {
		t.Error(got)
	}
	people.Add(7) // it is the caller's
	if again, err := query.Evaluate(t.Context(), []byte(`{"all":[]}`), env); err != nil || again.GetCardinality() != 90 {
		t.Error(again, err)
	}
}
