package event

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func genValue(depth int) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		top := 7
		if depth == 0 {
			top = 5
		}
		switch rapid.IntRange(0, top).Draw(t, "kind") {
		case 0:
			return Value{}
		case 1:
			return OfBool(rapid.Bool().Draw(t, "bool"))
		case 2:
			return OfInt(rapid.Int64().Draw(t, "int"))
		case 3:
			return OfFloat(rapid.Float64Range(-1e300, 1e300).Draw(t, "float"))
		case 4:
			return OfText(rapid.String().Draw(t, "text"))
		case 5:
			return OfMicros(rapid.Int64Range(-1<<50, 1<<52).Draw(t, "time"))
		case 6:
			return OfList(rapid.SliceOfN(genValue(depth-1), 0, 4).Draw(t, "list"))
		}
		return OfObject(rapid.SliceOfN(genProp(depth-1), 0, 4).Draw(t, "object"))
	})
}

func genProp(depth int) *rapid.Generator[Prop] {
	return rapid.Custom(func(t *rapid.T) Prop {
		return Prop{Key: rapid.String().Draw(t, "key"), Value: genValue(depth).Draw(t, "value"), Personal: rapid.Bool().Draw(t, "personal")}
	})
}

func genFact() *rapid.Generator[Fact] {
	word := rapid.StringN(0, 12, -1)
	return rapid.Custom(func(t *rapid.T) Fact {
		f := Fact{
			Kind: Kind(rapid.IntRange(1, 8).Draw(t, "kind")), Flags: Flags(rapid.IntRange(0, 3).Draw(t, "flags")),
			ID: word.Draw(t, "id"), Time: rapid.Int64Range(-1<<50, 1<<52).Draw(t, "time"),
			Received: rapid.Int64Range(0, 1<<52).Draw(t, "received"), User: word.Draw(t, "user"),
			Device: word.Draw(t, "device"), Previous: word.Draw(t, "previous"), Person: rapid.Uint32().Draw(t, "person"),
			Name: word.Draw(t, "name"), Ref: word.Draw(t, "ref"),
		}
		if n := rapid.IntRange(0, 3).Draw(t, "props"); n > 0 {
			f.Props = rapid.SliceOfN(genProp(3), n, n).Draw(t, "props")
			f.Changes = []Change{{Key: word.Draw(t, "ck"), Op: Increase, Value: genValue(1).Draw(t, "cv"), Personal: true}}
			f.Consents = []Consent{{Purpose: word.Draw(t, "p"), Channel: "email", Granted: true, Source: "sdk", Version: "2"}}
			f.Addresses = []Address{{Channel: "push", Platform: "fcm", Value: word.Draw(t, "av"), Extra: "{}", Removed: true}}
			f.Body = []byte(word.Draw(t, "body") + "x")
		}
		return f
	})
}

func TestFactsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(genFact(), 1, 5).Draw(t, "facts")
		var b []byte
		for i := range in {
			b = AppendFact(b, &in[i])
		}
		out, err := DecodeFacts(b)
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		for i := range out {
			again = AppendFact(again, &out[i])
		}
		if len(out) != len(in) || !bytes.Equal(b, again) {
			t.Fatalf("%d facts became %d, or their encoding changed", len(in), len(out))
		}
		for i := range in {
			if !reflect.DeepEqual(normal(in[i]), normal(out[i])) {
				t.Fatalf("fact %d changed:\n%#v\n%#v", i, in[i], out[i])
			}
		}
	})
}

// normal makes nil and empty lists inside values alike for DeepEqual.
func normal(f Fact) string { return string(AppendFact(nil, &f)) }

// The bytes of the released encoding: a change here is a new format version.
func TestGoldenEncoding(t *testing.T) {
	f := Fact{
		Kind: Track, Flags: Imported, ID: "m-1", Time: 1700000000000000, Received: 1700000000500000,
		User: "ann", Device: "d1", Name: "Charged",
		Props: []Prop{{Key: "amount", Value: OfFloat(12.5)}, {Key: "items", Value: OfList([]Value{OfObject([]Prop{{Key: "sku", Value: OfText("A")}})})}},
	}
	const file = "testdata/fact-v1.hex"
	got := hex.EncodeToString(AppendFact(nil, &f))
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.TrimSpace(string(want)) {
		t.Errorf("encoding is\n%s\n%s has\n%s", got, file, want)
	}
}

func TestDamagedBytesAreAnError(t *testing.T) {
	f := Fact{Kind: Track, User: "ann", Name: "A", Props: []Prop{{Key: "k", Value: OfText("some text")}}}
	b := AppendFact(nil, &f)
	for n := 1; n < len(b); n++ {
		if _, err := DecodeFacts(b[:n]); !errors.Is(err, ErrEncoding) {
			t.Errorf("cut at %d of %d: %v", n, len(b), err)
		}
	}
}

func FuzzDecodeFacts(f *testing.F) {
	fact := Fact{Kind: Identify, User: "ann", Changes: []Change{{Key: "a", Value: OfList([]Value{OfInt(1)})}}, Body: []byte("x")}
	f.Add(AppendFact(nil, &fact))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := DecodeFacts(b)
		if err != nil {
			return
		}
		var again []byte
		for i := range facts {
			again = AppendFact(again, &facts[i])
		}
		if _, err := DecodeFacts(again); err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
	})
}

func TestParseJSON(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2)
	for _, c := range []struct{ in, out, err string }{
		{in: `{"a":1,"b":[true,null,"x"],"c":{"d":1.5}}`, out: `{"a":1,"b":[true,null,"x"],"c":{"d":1.5}}`},
		{in: `9007199254740993`, out: `9007199254740993`},
		{in: `3.0`, out: `3`},
		{in: `1e3`, out: `1000`},
		{in: `"é\u2028<"`, out: `"é\u2028\u003c"`},
		{in: `{"a":1,"a":2}`, err: "duplicate"},
		{in: `{} {}`, err: "follows"},
		{in: "\ufeff{}", err: "invalid"},
		{in: `"` + "\xff" + `"`, err: "UTF-8"},
		{in: `"\ud800"`, err: "surrogate"},
		{in: `NaN`, err: "invalid"},
		{in: `1e400`, err: "finite"},
		{in: `99999999999999999999`, err: "64 bits"},
		{in: `[1,`, err: "unexpected EOF"},
		{in: ``, err: "EOF"},
		{in: deep, err: "nested deeper"},
	} {
		v, err := ParseJSON([]byte(c.in))
		if c.err != "" {
			var se *SyntaxError
			if err == nil || !errors.As(err, &se) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.40q: error %v, want one with %q", c.in, err, c.err)
			}
			continue
		}
		if err != nil || string(v.AppendJSON(nil)) != c.out {
			t.Errorf("%q: %s, %v; want %s", c.in, v.AppendJSON(nil), err, c.out)
		}
	}
}

// A number is the same again once it was JSON, however large.
func TestJSONKeepsNumbers(t *testing.T) {
	for _, v := range []Value{OfFloat(1e300), OfFloat(-1 << 60), OfFloat(1 << 53), OfFloat(0.1), OfFloat(5e-324), OfInt(math.MaxInt64), OfInt(math.MinInt64)} {
		b := v.AppendJSON(nil)
		if got, err := ParseJSON(b); err != nil || !got.Equal(v) {
			t.Errorf("%s comes back as %v, %v", b, got, err)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,"x",{"b":null}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseJSON(b)
		if err != nil {
			return
		}
		w, err := ParseJSON(v.AppendJSON(nil))
		if err != nil || !v.Equal(w) {
			t.Fatalf("%q became %q: %v", b, v.AppendJSON(nil), err)
		}
	})
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v  Value
		f  float64
		ok bool
	}{
		{OfInt(3), 3, true}, {OfFloat(2.5), 2.5, true}, {OfText("12.50"), 12.5, true}, {OfText("-1e3"), -1000, true},
		{OfText(""), 0, false}, {OfText("0x10"), 0, false}, {OfText("inf"), 0, false}, {OfText("1_000"), 0, false},
		{OfText("abc"), 0, false}, {OfBool(true), 0, false}, {Value{}, 0, false},
	} {
		if f, ok := c.v.Number(); f != c.f || ok != c.ok {
			t.Errorf("%v: %v, %v", c.v, f, ok)
		}
	}
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("x", 200)
	many := make([]Prop, 300)
	for i := range many {
		many[i] = Prop{Key: strings.Repeat("k", i/100+1) + string(rune('a'+i%26)) + string(rune('A'+i/26)), Value: OfInt(1)}
	}
	for _, c := range []struct {
		name string
		f    Fact
		code string
	}{
		{"fine", Fact{Kind: Track, User: "ann", Name: "A", Props: []Prop{{Key: "x", Value: OfText("y")}}}, ""},
		{"nobody", Fact{Kind: Track, Name: "A"}, RefusedNobody},
		{"no name", Fact{Kind: Track, User: "ann"}, RefusedEmpty},
		{"long name", Fact{Kind: Track, User: "ann", Name: long}, RefusedTooLong},
		{"own name", Fact{Kind: Track, User: "ann", Name: NotificationSent}, RefusedReserved},
		{"own name by the appliance", Fact{Kind: Track, Person: 7, Name: NotificationSent}, ""},
		{"nul in user", Fact{Kind: Track, User: "a\x00b", Name: "A"}, RefusedCharacter},
		{"direction mark", Fact{Kind: Track, User: "ann", Name: "A\u202eB"}, RefusedCharacter},
		{"bad utf-8", Fact{Kind: Track, User: "ann", Name: "A", Props: []Prop{{Key: "x", Value: OfText("\xff")}}}, RefusedCharacter},
		{"repeated", Fact{Kind: Track, User: "ann", Name: "A", Props: []Prop{{Key: "x"}, {Key: "x"}}}, RefusedRepeated},
		{"too many", Fact{Kind: Track, User: "ann", Name: "A", Props: many}, RefusedTooMany},
		{"empty key", Fact{Kind: Track, User: "ann", Name: "A", Props: []Prop{{}}}, RefusedEmpty},
		{"alias of nothing", Fact{Kind: Alias, User: "ann"}, RefusedEmpty},
	} {
		err := Check(&c.f, DefaultLimits())
		var r *Refusal
		errors.As(err, &r)
		if c.code == "" && err != nil || c.code != "" && (r == nil || r.Code != c.code) {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
		if err != nil && strings.Contains(err.Error(), "ann") {
			t.Errorf("%s: the refusal quotes a person: %v", c.name, err)
		}
	}
}
