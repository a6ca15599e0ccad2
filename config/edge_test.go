package config

import (
	"reflect"
	"testing"
)

func TestDetectDefaults(t *testing.T) {
	c, ds := load([]string{"testdata/good/minimal.hcl"}, LoadOptions{})
	if len(ds) > 0 {
		t.Fatal(text(t, ds))
	}
	if got := c.Publishers[0].Detect; !reflect.DeepEqual(got, Detect{Card: "mask", NationalID: "keep", IBAN: "keep", Email: "keep", Phone: "keep"}) {
		t.Errorf("%+v", got)
	}
	c, _ = load([]string{"testdata/good/functions.hcl"}, LoadOptions{})
	got := c.Publishers[0].Detect
	got.Range = Range{}
	if !reflect.DeepEqual(got, Detect{Card: "hold", NationalID: "hash", IBAN: "drop", Email: "mask", Phone: "keep", Except: []string{"order_id"}}) {
		t.Errorf("%+v", got)
	}
}

func TestProperties(t *testing.T) {
	c, ds := load([]string{"testdata/good/functions.hcl"}, LoadOptions{})
	if len(ds) > 0 {
		t.Fatal(text(t, ds))
	}
	p := c.Publishers[0]
	for i := range p.Properties {
		p.Properties[i].Range = Range{}
	}
	p.Collect.Range = Range{}
	want := []Properties{
		{Event: "*", State: "active", Allow: []string{"a"}, Deny: []string{}, Unknown: "drop", Violation: "refuse"},
		{Event: "Charged", State: "active", Deny: []string{"card_number"}, Personal: []string{"delivery_address"},
			Types:    map[string]string{"amount": "float", "Item Count": "integer", "at": "time", "items": "list", "extra": "any"},
			Required: []string{"amount"}, Unknown: "refuse", Violation: "mark"},
		{Event: "Old", State: "discarded", Unknown: "allow", Violation: "refuse"},
	}
	if !reflect.DeepEqual(p.Properties, want) {
		t.Errorf("%+v", p.Properties)
	}
	if p.Collect != (CollectRules{IP: "cut", UserAgent: "reduce"}) {
		t.Errorf("%+v", p.Collect)
	}
}
