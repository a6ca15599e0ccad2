package connectorpb

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func schema() connector.Schema {
	one, ten := 1.0, 10.0
	return connector.Schema{
		Settings: []connector.Setting{
			{Name: "host", Type: connector.TypeString, Doc: "Host.", Required: true, Pattern: "^a", Min: &one, Max: &ten},
			{Name: "port", Type: connector.TypeNumber, Doc: "Port.", Default: 25.0},
			{Name: "on", Type: connector.TypeBool, Doc: "On.", Default: true, Deprecated: "off"},
			{Name: "wait", Type: connector.TypeDuration, Doc: "Wait.", Default: "5s"},
			{Name: "list", Type: connector.TypeStrings, Doc: "List.", Default: []string{"a"}},
			{Name: "map", Type: connector.TypeMap, Doc: "Map.", Default: map[string]string{"a": "b"}},
			{Name: "dir", Type: connector.TypeString, Doc: "Dir.", Folder: true},
			{Name: "key", Type: connector.TypeString, Doc: "Key.", Sensitive: true, Enum: []string{"a", "b"}},
		},
		Blocks: []connector.Block{{Name: "tls", Doc: "TLS.", Required: true, Settings: []connector.Setting{
			{Name: "mode", Type: connector.TypeString, Doc: "Mode."},
		}}},
	}
}

func TestSchemaCrosses(t *testing.T) {
	p, err := FromSchema(schema())
	if err != nil {
		t.Fatal(err)
	}
	got, err := ToSchema(p)
	if err != nil || !reflect.DeepEqual(got, schema()) {
		t.Errorf("got  %+v\nwant %+v\n%v", got, schema(), err)
	}
	for _, bad := range []connector.Setting{
		{Name: "x", Type: connector.TypeNumber, Default: "five"},
		{Name: "x", Type: connector.TypeBool, Default: 1.0},
		{Name: "x", Type: "complex", Default: "1i"},
	} {
		if _, err := FromSchema(connector.Schema{Settings: []connector.Setting{bad}}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	if _, err := ToSchema(&Schema{Settings: []*Setting{{Name: "x", Type: "number", DefaultJson: []byte(`"five"`)}}}); err == nil {
		t.Error("a default of another type: no error")
	}
	d := ToDescription(&Description{Name: "n\nm", Batch: -3, Channels: make([]string, 100)})
	if d.Name != "n m" || d.Batch != MaxBatch || len(d.Channels) != 8 {
		t.Errorf("description %+v", d)
	}
}

func TestSettingsCross(t *testing.T) {
	s := connector.Settings{
		"host": "a", "port": 25.5, "on": false, "wait": "1m0s", "list": []string{"x", "y"}, "map": map[string]string{"k": "v"},
		"tls": connector.Settings{"mode": "on"},
	}
	raw, err := EncodeSettings(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeSettings(schema(), raw)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %v, %v", got, err)
	}
	if raw, err := EncodeSettings(nil); err != nil || string(raw) != "{}" {
		t.Errorf("%s, %v", raw, err)
	}
	for in, says := range map[string]string{
		`{"host":5}`: "not a string", `{"port":"5"}`: "not a number", `{"nope":1}`: "not in the schema", `{"tls":5}`: "not an object",
		`{"tls":{"nope":1}}`: "not in the schema", `{"list":["a",1]}`: "not a list", `[]`: "settings", ``: "settings", `{"key":{"secret":"hush"}}`: "not a string",
	} {
		_, err := DecodeSettings(schema(), []byte(in))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", in, err, says)
		}
	}
	if got, err := DecodeSettings(schema(), []byte(`{"host":null,"tls":null}`)); err != nil || len(got) != 0 {
		t.Errorf("nulls: %v, %v", got, err)
	}
}

// FuzzSettings: what is decoded has the types that were promised, and is the
// same when it crosses again.
func FuzzSettings(f *testing.F) {
	for _, s := range []string{`{}`, `{"host":"a","tls":{"mode":"b"}}`, `{"port":1e400}`, `{"list":[]}`, `{"map":{"a":null}}`, `{"host":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := DecodeSettings(schema(), in)
		if err != nil {
			return
		}
		raw, err := EncodeSettings(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeSettings(schema(), raw)
		if err != nil || len(again) != len(s) {
			t.Fatalf("%v became %s and then %v (%v)", s, raw, again, err)
		}
	})
}
