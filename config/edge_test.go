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
