package connectorpb

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/plugins/connector"
)

func anyMessage() *rapid.Generator[connector.Message] {
	return rapid.Custom(func(t *rapid.T) connector.Message {
		text := func(name string) string { return rapid.StringN(-1, 20, 40).Draw(t, name) }
		headers := func(name string) (out []connector.Header) {
			for range rapid.IntRange(0, 3).Draw(t, name) {
				out = append(out, connector.Header{Name: text("name"), Value: text("value")})
			}
			return out
		}
		m := connector.Message{
			ID: text("id"), Channel: text("channel"), To: text("to"), ToName: text("to name"), Platform: text("platform"), Extra: text("extra"),
			Subject: text("subject"), Text: text("text"), HTML: text("html"), Headers: headers("headers"), Data: headers("data"),
			Unsubscribe: text("unsubscribe"), Link: text("link"), Marketing: rapid.Bool().Draw(t, "marketing"),
			Sender: text("sender"), Template: text("template"),
		}
		if rapid.Bool().Draw(t, "files") {
			m.Files = []connector.File{{Name: text("file"), Type: text("type"), Content: []byte(text("content") + "x")}}
		}
		if rapid.Bool().Draw(t, "push") {
			m.Push = &connector.Push{
				Subtitle: text("subtitle"), Image: text("image"), Sound: text("sound"), Channel: text("channel"), Category: text("category"),
				Thread: text("thread"), Collapse: text("collapse"), Urgent: rapid.Bool().Draw(t, "urgent"), Silent: rapid.Bool().Draw(t, "silent"),
			}
			if rapid.Bool().Draw(t, "badge") {
				n := rapid.IntRange(0, 99).Draw(t, "n")
				m.Push.Badge = &n
				m.Push.Buttons = []connector.Button{{ID: text("button"), Title: text("button title"), Link: text("button link")}}
			}
		}
		if rapid.Bool().Draw(t, "since") {
			m.AddressSince = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "since second"), 0).UTC()
		}
		if rapid.Bool().Draw(t, "expires") {
			m.Expires = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nano")).UTC()
		}
		return m
	})
}

// Whatever a message holds arrives.
func TestMessagesCross(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage().Draw(t, "message")
		raw, err := proto.Marshal(FromMessage(m))
		if err != nil {
			t.Fatal(err)
		}
		var p Message
		if err := proto.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		if got := ToMessage(&p); !reflect.DeepEqual(got, m) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
	})
}

// The bytes on the wire are a promise to connectors that exist.
func TestGoldenBytes(t *testing.T) {
	m := connector.Message{
		ID: "m1", Channel: "push", To: "t", ToName: "n", Platform: "fcm", Extra: "e", Subject: "s", Text: "x", HTML: "h",
		Headers: []connector.Header{{Name: "a", Value: "b"}}, Data: []connector.Header{{Name: "c", Value: "d"}},
		Unsubscribe: "u", Link: "l", Expires: time.Unix(1, 0), Marketing: true,
	}
	o := connector.Outcome{ID: "m1", Result: connector.Again, Class: "", Reason: "r", RetryAfter: time.Second}
	for _, c := range []struct {
		p    proto.Message
		want string
	}{
		{FromMessage(m), "0a026d311204707573681a017422016e2a0366636d3201653a01734201784a016852060a01611201625a060a01631201646201756a016c720208017801"},
		{FromOutcome(o), "0a026d3110032a017232020801"},
	} {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.p)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(raw); got != c.want {
			t.Errorf("%T: got %s", c.p, got)
		}
	}
}

func TestOutcomesAreBounded(t *testing.T) {
	for _, c := range []struct {
		in   *Outcome
		want connector.Outcome
	}{
		{&Outcome{Id: "a", Result: Outcome_ACCEPTED, ProviderId: strings.Repeat("p", 999), Class: "address", RetryAfter: durationpb.New(1)}, connector.Outcome{ID: "a", Result: connector.Accepted, ProviderID: strings.Repeat("p", MaxProviderID)}},
		{&Outcome{Id: "a", Result: Outcome_REFUSED, Class: "address", ProviderId: "p"}, connector.Outcome{ID: "a", Result: connector.Refused, Class: connector.ClassAddress}},
		{&Outcome{Id: "a", Result: Outcome_REFUSED, Class: "made up"}, connector.Outcome{ID: "a", Result: connector.Refused, Class: connector.ClassOther}},
		{&Outcome{Id: "a", Result: Outcome_REFUSED}, connector.Outcome{ID: "a", Result: connector.Refused, Class: connector.ClassOther}},
		{&Outcome{Id: "a", Result: 42}, connector.Outcome{ID: "a", Result: connector.Unknown}},
		{&Outcome{Id: "a", Result: Outcome_AGAIN, RetryAfter: durationpb.New(-5)}, connector.Outcome{ID: "a", Result: connector.Again}},
		{&Outcome{Id: "a", Result: Outcome_AGAIN, Class: "config"}, connector.Outcome{ID: "a", Result: connector.Again, Class: connector.ClassConfig}},
		{&Outcome{Id: "a", Result: Outcome_AGAIN, Class: "address"}, connector.Outcome{ID: "a", Result: connector.Again}},
		{&Outcome{Id: "a", Result: Outcome_AGAIN, RetryAfter: &durationpb.Duration{Seconds: 1 << 60}}, connector.Outcome{ID: "a", Result: connector.Again}},
		{&Outcome{Id: "a", Result: Outcome_AGAIN, RetryAfter: durationpb.New(1000 * time.Hour)}, connector.Outcome{ID: "a", Result: connector.Again, RetryAfter: MaxRetryAfter}},
		{&Outcome{}, connector.Outcome{}},
		{&Outcome{Result: Outcome_REFUSED, Class: "address", Gone: "stale"}, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress, Gone: connector.GoneStale}},
		{&Outcome{Result: Outcome_REFUSED, Class: "address", Gone: "fishing"}, connector.Outcome{Result: connector.Refused, Class: connector.ClassAddress}},
		{&Outcome{Result: Outcome_REFUSED, Class: "full", Gone: "stale"}, connector.Outcome{Result: connector.Refused, Class: connector.ClassFull}},
	} {
		if got := ToOutcome(c.in); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestReceipts(t *testing.T) {
	r := connector.Receipt{MessageID: "m", ProviderID: "p", Kind: connector.Bounced, Class: connector.ClassFull, Reason: "r", At: time.Unix(5, 0).UTC()}
	if got, ok := ToReceipt(FromReceipt(r)); !ok || got != r {
		t.Errorf("got %+v", got)
	}
	stop := connector.Receipt{Address: "+15550100", Kind: connector.Unsubscribed}
	if got, ok := ToReceipt(FromReceipt(stop)); !ok || got != stop {
		t.Errorf("got %+v", got)
	}
	for _, bad := range []*Receipt{{Address: "+1", Kind: "delivered"}, {Address: "a\nb", Kind: "unsubscribed"}, {Kind: "delivered"}, {MessageId: "m", Kind: "eaten"}, {}} {
		if got, ok := ToReceipt(bad); ok {
			t.Errorf("%v: taken as %+v", bad, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a\r\nb", "\x00\x1b[31m", "\u202eabc", "\xff\xfe", "ÿÿÿÿÿÿÿÿÿ", strings.Repeat("☂", 10)} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 0 || max > 1000 {
			return
		}
		got := Clean(s, max)
		if len(got) > max || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b\u202e\u2028") {
			t.Errorf("Clean(%q, %d) = %q", s, max, got)
		}
	})
}
