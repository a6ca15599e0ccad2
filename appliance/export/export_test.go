package export

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/event"
)

var table = Table{
	Columns: []Column{{"user", event.Text}, {"ts", event.Time}, {"n", event.Int}, {"list", event.List}},
	Group:   "props", Keys: []string{"a", "b", "c"},
}

func text(s string) event.Value { return event.OfText(s) }

func TestNDJSON(t *testing.T) {
	for _, c := range []struct {
		r    Record
		want string
	}{
		{Record{Cells: make([]event.Value, 4)}, `{}`},
		{Record{Cells: []event.Value{text("a\"b\n"), event.OfMicros(1), {}, event.OfList([]event.Value{event.OfInt(1)})}}, `{"user":"a\"b\n","ts":"1970-01-01T00:00:00.000001Z","list":[1]}`},
		{Record{Cells: make([]event.Value, 4), Group: []event.Prop{{Key: "a", Value: event.OfMicros(0)}, {Key: "z", Value: event.OfInt(1 << 60)}, {Key: "b", Value: event.OfMicros(2e6), Personal: true}}},
			`{"props":{"a":"1970-01-01T00:00:00Z","z":1152921504606846976,"b":"1970-01-01T00:00:02Z"},"times":["a","b"]}`},
	} {
		if got := string(table.AppendNDJSON(nil, &c.r)); got != c.want+"\n" {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestCSV(t *testing.T) {
	if got := string(table.AppendCSVHeader(nil)); got != "user,ts,n,list,props.a,props.b,props.c,more\r\n" {
		t.Errorf("the header is %q", got)
	}
	for _, c := range []struct {
		r    Record
		want string
	}{
		{Record{Cells: make([]event.Value, 4)}, `,,,,,,,`},
		{Record{Cells: []event.Value{text(`a"b`), event.OfMicros(0), event.OfInt(-5), event.OfList([]event.Value{text("x")})}}, `"a""b",1970-01-01T00:00:00Z,-5,"[""x""]",,,,`},
		{Record{Cells: []event.Value{text("=1+1"), {}, {}, {}}, Group: []event.Prop{
			{Key: "b", Value: text("a,b")}, {Key: "d", Value: event.OfBool(true)}, {Key: "a", Value: text("x"), Personal: true}}},
			`"'=1+1",,,,,"a,b",,"{""d"":true,""a"":""x""}"`},
		{Record{Cells: []event.Value{text("-5"), {}, {}, {}}, Group: []event.Prop{{Key: "a", Value: text("@x")}, {Key: "b", Value: text("\tx")}, {Key: "c", Value: text("'+x")}}},
			"\"'-5\",,,,\"'@x\",\"'\tx\",\"''+x\","},
		{Record{Cells: []event.Value{text("it's"), {}, {}, {}}, Group: []event.Prop{{Key: "a", Value: text(" x")}, {Key: "b", Value: text("'x")}, {Key: "c", Value: text("a\r\nb")}}},
			"it's,,,,\" x\",'x,\"a\r\nb\","},
	} {
		if got := string(table.AppendCSV(nil, &c.r)); got != c.want+"\r\n" {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestNDJSONIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Record{Cells: []event.Value{text(rapid.String().Draw(t, "user")), event.OfMicros(rapid.Int64Range(0, 4e15).Draw(t, "ts")), event.OfInt(rapid.Int64().Draw(t, "n")), {}}}
		line := table.AppendNDJSON(nil, &r)
		if bytes.Count(line, []byte("\n")) != 1 || !json.Valid(line) {
			t.Fatalf("%q is no line of JSON", line)
		}
		v, err := event.ParseJSON(line)
		if err != nil || !event.Lookup(v.Object(), "user").Equal(r.Cells[0]) || !event.Lookup(v.Object(), "n").Equal(r.Cells[2]) {
			t.Fatalf("%q is read as %s, %v", line, v, err)
		}
	})
}
