package appliance

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/ingest/detect"
	"github.com/cloisterhq/cloister/config"
)

// publisherOf reads a publisher's block.
func publisherOf(t *testing.T, block string) *config.Publisher {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cloister.hcl")
	if err := os.WriteFile(path, []byte(`publisher "acme" { `+"\n"+`key "app" { id = "A" }`+"\n"+block+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, ds := config.Load([]string{path}, config.LoadOptions{})
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	return &c.Publishers[0]
}

// TestRulesOf: what each block means at the door, and that a change of any of
// them is one that a reload carries out.
func TestRulesOf(t *testing.T) {
	plain := publisherOf(t, "")
	r := rulesOf(plain)
	cards := ingest.NewDetector([detect.Kinds]ingest.Action{detect.Card: ingest.MaskIt}, nil)
	if r.IP != ingest.DropIP || r.UserAgent != ingest.DropAgent || len(r.Events) != 0 || !reflect.DeepEqual(r.Detect, cards) || r.Limits != event.DefaultLimits() {
		t.Errorf("without a word: %+v", r)
	}
	for _, c := range []struct {
		block string
		look  func(*ingest.Rules) bool
	}{
		{`detect { card = "keep" }`, func(r *ingest.Rules) bool { return r.Detect == nil }},
		{"detect {\n email = \"hold\"\n except = [\"x\"]\n}", func(r *ingest.Rules) bool {
			return reflect.DeepEqual(r.Detect, ingest.NewDetector([detect.Kinds]ingest.Action{detect.Card: ingest.MaskIt, detect.Email: ingest.HoldIt}, []string{"x"}))
		}},
		{"detect {\n card = \"drop\"\n national_id = \"hash\"\n iban = \"mask\"\n email = \"hold\"\n phone = \"drop\"\n}", func(r *ingest.Rules) bool {
			return r.Detect.Actions == [detect.Kinds]ingest.Action{ingest.DropIt, ingest.HashIt, ingest.MaskIt, ingest.HoldIt, ingest.DropIt}
		}},
		{`collect { ip = "cut" }`, func(r *ingest.Rules) bool { return r.IP == ingest.CutIP && r.UserAgent == ingest.DropAgent }},
		{`collect { user_agent = "reduce" }`, func(r *ingest.Rules) bool { return r.IP == ingest.DropIP && r.UserAgent == ingest.ReduceAgent }},
		{`collect { user_agent = "keep" }`, func(r *ingest.Rules) bool { return r.UserAgent == ingest.KeepAgent }},
		{`properties "Charged" { deny = ["card_number"] }`, func(r *ingest.Rules) bool {
			return reflect.DeepEqual(r.Events["Charged"], &ingest.PropertyRules{Deny: []string{"card_number"}, Violation: ingest.Refuse})
		}},
		{`properties "Charged" { allow = ["amount"] }`, func(r *ingest.Rules) bool {
			return reflect.DeepEqual(r.Events["Charged"], &ingest.PropertyRules{Allow: []string{"amount"}, Unknown: ingest.Drop, Violation: ingest.Refuse})
		}},
		{"properties \"Charged\" {\n types = { a = \"string\", b = \"integer\", c = \"float\", d = \"boolean\", e = \"time\", f = \"list\", g = \"object\", h = \"any\" }\n required = [\"a\"]\n unknown = \"refuse\"\n violation = \"mark\"\n}", func(r *ingest.Rules) bool {
			return reflect.DeepEqual(r.Events["Charged"], &ingest.PropertyRules{Required: []string{"a"}, Unknown: ingest.Refuse, Violation: ingest.Take, Types: map[string]ingest.Type{
				"a": ingest.String, "b": ingest.Integer, "c": ingest.Float, "d": ingest.Boolean, "e": ingest.Time, "f": ingest.List, "g": ingest.Object, "h": ingest.Any,
			}})
		}},
		{"properties \"Charged\" {\n required = [\"a\"]\n violation = \"drop\"\n}", func(r *ingest.Rules) bool { return r.Events["Charged"].Violation == ingest.Drop }},
		{`properties "Old" { state = "discarded" }`, func(r *ingest.Rules) bool { return r.Events["Old"].State == ingest.Discarded }},
		{`properties "Old" { state = "inactive" }`, func(r *ingest.Rules) bool { return r.Events["Old"].State == ingest.Inactive }},
	} {
		p := publisherOf(t, c.block)
		if !c.look(rulesOf(p)) {
			t.Errorf("%s: %+v", c.block, rulesOf(p))
		}
		if sameDoor(plain, p) || !sameDoor(p, publisherOf(t, c.block)) {
			t.Errorf("a reload does not see the change: %s", c.block)
		}
	}
}
