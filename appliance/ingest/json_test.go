package ingest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/appliance/event"
)

var jsonSeeds = []string{
	`{"a":1,"b":[true,false,null],"c":{"d":"é\u00e9\ud83d\ude00\n"}}`, `[]`, `{}`, `""`, `-0`, `1.50`, `1e400`, `1e3`, `9223372036854775807`,
	`9223372036854775808`, `-9223372036854775809`, `0.1e-5`, `01`, `1.`, `.5`, `1e`, `+1`, `NaN`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`,
	`[1,]`, `{"a":1,}`, `{,}`, `[,]`, `[1 2]`, `{"a" 1}`, `{"a":}`, `{a:1}`, "\"\x01\"", "\"\xff\"", `"\ud800"`, `"\ud800\u0041"`, `"\x"`, `"\u12"`,
	`"a`, `tru`, `nul`, `1 2`, "\xef\xbb\xbf{}", ` {} `, "{}\x00", strings.Repeat("[", 40) + strings.Repeat("]", 40),
	strings.Repeat("[", 32) + "1" + strings.Repeat("]", 32), strings.Repeat("[", 33) + strings.Repeat("]", 33), `{"":0}`, `"\u0000"`,
}

// agree holds parseJSON to the rules of event.ParseJSON.
func agree(t *testing.T, s string) {
	t.Helper()
	want, wantErr := event.ParseJSON([]byte(s))
	got, err := parseJSON(s)
	if (err == nil) != (wantErr == nil) {
		if err != nil && strings.Contains(err.Error(), "names in one object") {
			return // a bound of its own
		}
		t.Fatalf("%.200q: %v, and ParseJSON says %v", s, err, wantErr)
	}
	if err == nil && !got.Equal(want) {
		t.Fatalf("%.200q is %s, and by ParseJSON %s", s, got.AppendJSON(nil), want.AppendJSON(nil))
	}
}

func TestParserAgrees(t *testing.T) {
	for _, s := range jsonSeeds {
		agree(t, s)
	}
	for _, name := range []string{"segment-requests.json", "clevertap-web-requests.json"} {
		agree(t, string(recording(t, name)))
	}
}

func recording(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../shared/wire/" + name)
	if err != nil {
		t.Fatalf("the recordings belong beside the checkout: %v", err)
	}
	return b
}

func FuzzParser(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(s)
	}
	f.Fuzz(agree)
}

func BenchmarkParse(b *testing.B) {
	doc := recording(b, "segment-requests.json")
	s := string(doc)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			if _, err := parseJSON(s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("event.ParseJSON", func(b *testing.B) {
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			if _, err := event.ParseJSON(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			var v any
			if err := json.Unmarshal(doc, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
