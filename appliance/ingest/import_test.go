package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/journal"
)

func (a *atDoor) importEvents(body string) (int, []LineError) {
	a.t.Helper()
	taken, refused, err := a.door.ImportEvents(context.Background(), a.pub, "cafe", 10, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	return taken, refused
}

func TestImportEvents(t *testing.T) {
	a := newDoor(t)
	taken, refused := a.importEvents(`{"seq":1,"user":"u","event":"A","ts":"2010-12-01T08:26:00Z","props":{"n":1,"x":null}}

{"user":"u","anonymous":"d","event":"B","ts":"2010-12-01T08:26:00.5+01:00","id":"own"}` + "\r\n" + `{"user":7,"event":"C","ts":"2010-12-01T08:26:00Z"}
{"user":"u","event":"D","ts":"2010-12-01T08:26:00Z","extra":1}
{"user":"u","event":"Charged","ts":"2099-12-01T08:26:00Z","props":{"card_number":"4"}}`)
	if taken != 4 || fmt.Sprint(refused) != `[line 14: the key "extra" is unknown; user, anonymous, event, ts, props, times, id and seq are allowed]` {
		t.Errorf("%d taken, refused %v", taken, refused)
	}
	a.wantFacts(
		`track id=import:cafe:10 user=u name=A at=2010-12-01T08:26:00Z flags=2 props={"n":1}`,
		`track id=own user=u device=d name=B at=2010-12-01T07:26:00.5Z flags=2`,
		`track id=import:cafe:13 user=7 name=C at=2010-12-01T08:26:00Z flags=2`,
		`track id=import:cafe:15 user=u name=Charged at=2026-11-23T16:26:00Z flags=3`,
	)
}

func TestImportRefuses(t *testing.T) {
	for line, part := range map[string]string{
		`{"user":"u","event":"A"}`:                                                   "ts is missing",
		`{"user":"u","event":"A","ts":"x"}`:                                          "RFC 3339",
		`{"user":"u","event":"A","ts":1764000000}`:                                   "ts must be a text",
		`{"user":"u","ts":"2010-12-01T08:26:00Z"}`:                                   "no name",
		`{"event":"A","ts":"2010-12-01T08:26:00Z"}`:                                  "neither a user nor a device",
		`{"user":"u","event":"Notification Sent","ts":"2010-12-01T08:26:00Z"}`:       "appliance's own",
		`{"user":"u","user":"v","event":"A","ts":"2010-12-01T08:26:00Z"}`:            "stands twice",
		`{"user":{},"event":"A","ts":"2010-12-01T08:26:00Z"}`:                        "user must be a text",
		`{"user":"u","event":"A","ts":"2010-12-01T08:26:00Z","props":[]}`:            "props must be an object",
		`{"user":"u","event":"A","ts":"2010-12-01T08:26:00Z","props":{"a":1,"a":2}}`: "stands twice",
		`{"user":"u","event":"A","ts":"2010-12-01T08:26:00Z"} x`:                     "something follows",
		`{"user":"u","event":"A","ts":"2010-12-01T08:26:00Z"`:                        "ends early",
		`[]`: "must be a JSON object",
		`{"user":"u","event":"A","ts":"1970-01-01T00:00:00Z"}`: "before 1980",
		"{\"user\":\"\xff\"}": "UTF-8",
		`{"user":"u","event":"` + strings.Repeat("x", importChunk) + `"}`:                     "longer than",
		`{"user":"` + strings.Repeat("x", 600) + `","event":"A","ts":"2010-12-01T00:00:00Z"}`: "512 are allowed",
	} {
		a := newDoor(t)
		good := `{"user":"u","event":"G","ts":"2010-12-01T08:26:00Z"}`
		taken, refused := a.importEvents(good + "\n" + line + "\n" + good)
		if taken != 2 || len(refused) != 1 || refused[0].Line != 11 || !strings.Contains(refused[0].Message, part) {
			t.Errorf("%.100s: %d taken, %v", line, taken, refused)
		}
		if got := a.facts(); len(got) != 2 || got[1].ID != "import:cafe:12" {
			t.Errorf("%.100s: %d facts", line, len(got))
		}
	}
}

func TestImportProfiles(t *testing.T) {
	a := newDoor(t)
	taken, refused, err := a.door.ImportProfiles(context.Background(), a.pub, "cafe", 1, strings.NewReader(`{"user":"u","profile":{"plan":"gold","email":"u@shop.example","x":null},"consent":[{"purpose":"news","granted":true},{"purpose":"Advertising","channel":"email","granted":false,"source":"paper","version":"2"}],"channels":{"email":["u@shop.example","w@shop.example"],"sms":"+49 170 1234567","push":{"platform":"fcm","token":"t"}},"ts":"2020-01-01T00:00:00Z"}
{"user":"v","plan":"tin","Phone":"+491701234567"}
{"anonymous":"d","id":"own"}
{"user":"u","profile":{},"plan":"x"}
{"user":"u","consent":[{"purpose":"other","granted":true}]}
{"user":"u","consent":[{"purpose":"news"}]}
{"user":"u","consent":[{"purpose":"news","granted":true,"channel":"fax"}]}
{"user":"u","channels":{"email":"nobody"}}
{"user":"u","channels":{"fax":"1"}}
{"user":"u","channels":{"push":{"platform":"webpush","token":"t"}}}
{"plan":"x"}
`))
	if err != nil || taken != 3 || len(refused) != 8 {
		t.Errorf("%d taken, %v, %v", taken, refused, err)
	}
	a.wantFacts(
		`identify id=import:cafe:1 user=u at=2020-01-01T00:00:00Z flags=2 plan:0="gold" email:0="u@shop.example" consent:news/=true consent:Advertising/email=false to:email/=u@shop.example to:email/=w@shop.example to:sms/=+491701234567 to:push/fcm=t`,
		`identify id=import:cafe:2 user=v at=2026-11-23T16:26:00Z flags=2 plan:0="tin" Phone:0="+491701234567" to:sms/=+491701234567`,
		`identify id=own device=d at=2026-11-23T16:26:00Z flags=2`,
	)
}

// What times names is an instant, and not the text of one.
func TestImportedInstants(t *testing.T) {
	a := newDoor(t)
	taken, refused := a.importEvents(`{"user":"u","event":"A","ts":"2020-01-01T00:00:00Z","props":{"when":"2022-01-01T00:00:00+02:00","text":"2022-01-01T00:00:00Z"},"times":["when"]}
{"user":"u","event":"A","ts":"2020-01-01T00:00:00Z","times":["when"],"props":{"when":"today"}}
{"user":"u","event":"A","ts":"2020-01-01T00:00:00Z","times":["when"]}
{"user":"u","event":"A","ts":"2020-01-01T00:00:00Z","times":"when"}`)
	if taken != 1 || len(refused) != 3 {
		t.Fatalf("%d taken, refused %v", taken, refused)
	}
	props := a.facts()[0].Props
	if v := event.Lookup(props, "when"); v.Kind() != event.Time || v.String() != "2021-12-31T22:00:00Z" {
		t.Errorf("when is %v %s", v.Kind(), v)
	}
	if v := event.Lookup(props, "text"); v.Kind() != event.Text {
		t.Errorf("the text is %v", v.Kind())
	}
}

// What an export of profiles says of somebody comes in again, a fact for each
// thing that a fact can say.
func TestImportExportedProfiles(t *testing.T) {
	a := newDoor(t)
	taken, refused, err := a.door.ImportProfiles(context.Background(), a.pub, "cafe", 1, strings.NewReader(`{"user":"u","created":"2020-01-01T00:00:00Z","identities":["u","u2"],"devices":["d1","d2"],"consent":[{"purpose":"news","granted":true,"since":"2021-01-01T00:00:00Z"}],"profile":{"when":"2022-01-01T00:00:00Z"},"times":["when"]}
{"user":"v","created":"long ago","devices":3}
{"user":"u","profile":{},"identities":["w"]}
{"user":"u","profile":{},"devices":"d"}
{"anonymous":"a","profile":{},"devices":["a","b"]}
{"user":"u","profile":{},"times":["x"]}
{"user":"u","profile":{"x":"y"},"times":["x"]}
{"user":"u","profile":{},"created":"y"}
{"user":"u","profile":{},"consent":[{"purpose":"news","granted":true,"since":1}]}
`))
	if err != nil || taken != 2 || len(refused) != 7 {
		t.Errorf("%d taken, %v, %v", taken, refused, err)
	}
	a.wantFacts(
		`identify id=import:cafe:1 user=u device=d1 at=2020-01-01T00:00:00Z flags=2 when:0="2022-01-01T00:00:00Z"`,
		`alias id=import:cafe:1:1 user=u2 previous=u at=2020-01-01T00:00:00Z flags=2`,
		`identify id=import:cafe:1:2 user=u device=d2 at=2020-01-01T00:00:00Z flags=2`,
		`identify id=import:cafe:1:3 user=u device=d1 at=2021-01-01T00:00:00Z flags=2 consent:news/=true`,
		`identify id=import:cafe:2 user=v at=2026-11-23T16:26:00Z flags=2 devices:0=3 created:0="long ago"`,
	)
}

// Lines of every length around the size of a chunk keep their order and their
// numbers, however the reader cuts them.
func TestImportChunks(t *testing.T) {
	var b strings.Builder
	n := 0
	for size := 1000; b.Len() < 5*importChunk; size = (size*7 + 13) % 3000 {
		fmt.Fprintf(&b, `{"user":"u","event":"A","ts":"2010-12-01T08:26:00Z","props":{"s":"%s","n":%d}}`+"\n", strings.Repeat("x", size), n)
		n++
		if n == 100 {
			b.WriteString(strings.Repeat("y", 3*importChunk) + "\n")
		}
	}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(b.String()), "in halves": iotest.HalfReader(strings.NewReader(b.String())), "with the end": iotest.DataErrReader(strings.NewReader(strings.TrimSuffix(b.String(), "\n")))} {
		a := newDoor(t)
		taken, refused, err := a.door.ImportEvents(context.Background(), a.pub, "s", 1, r)
		if err != nil || taken != n || len(refused) != 1 || refused[0].Line != 101 {
			t.Fatalf("%s: %d of %d taken, %v, %v", name, taken, n, refused, err)
		}
		for i, f := range a.facts() {
			line := i + 1
			if i >= 100 {
				line++
			}
			if event.Lookup(f.Props, "n").Int() != int64(i) || f.ID != fmt.Sprint("import:s:", line) {
				t.Fatalf("%s: fact %d is %s", name, i, f.ID)
			}
		}
	}
}

func TestImportStops(t *testing.T) {
	a := newDoor(t)
	line := `{"user":"u","event":"A","ts":"2010-12-01T08:26:00Z"}` + "\n"
	_, _, err := a.door.ImportEvents(context.Background(), a.pub, "s", 1, io.MultiReader(strings.NewReader(line), iotest.ErrReader(io.ErrClosedPipe)))
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	a.err = journal.ErrFull
	if _, _, err := a.door.ImportEvents(context.Background(), a.pub, "s", 1, strings.NewReader(line)); !errors.Is(err, journal.ErrFull) {
		t.Error(err)
	}
	a.err = nil
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := a.door.ImportEvents(ctx, a.pub, "s", 1, strings.NewReader(strings.Repeat(line, 100_000))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, refused, err := a.door.ImportEvents(context.Background(), a.pub, "s", 1, strings.NewReader(strings.Repeat("x\n", 200_000))); !errors.Is(err, ErrRefusedLines) || len(refused) < MaxRefusedLines {
		t.Error(len(refused), err)
	}
}

func retail(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open("../../../shared/data/online_retail/events.ndjson.gz")
	if err != nil {
		t.Fatalf("the data belong beside the checkout: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestImportRetail(t *testing.T) {
	a := newDoor(t)
	b := retail(t)
	start := time.Now()
	taken, refused, err := a.door.ImportEvents(context.Background(), a.pub, "retail", 1, bytes.NewReader(b))
	if err != nil || taken != 406_829 || len(refused) != 0 {
		t.Fatalf("%d taken, %v, %v", taken, refused, err)
	}
	st := a.j.Stats()
	t.Logf("%d lines in %v, %.0f/s, %d records, %.1f bytes each on disk", taken, time.Since(start).Round(time.Millisecond), float64(taken)/time.Since(start).Seconds(), st.Records, float64(st.Sealed)/float64(taken))
	if st.Facts != 406_829 {
		t.Errorf("%d facts", st.Facts)
	}
}

func FuzzImportLine(f *testing.F) {
	f.Add(`{"user":"u","anonymous":"d","event":"A","ts":"2010-12-01T08:26:00Z","props":{"a":[1,{"b":2.5}]},"id":"x","seq":1}`)
	f.Add(`{"user":"u","profile":{"a":1},"consent":[{"purpose":"news","granted":true}],"channels":{"email":"a@b"}}`)
	rules := &Rules{Purposes: map[string][]string{"news": {"email"}}}
	f.Fuzz(func(t *testing.T, line string) {
		for _, decode := range []func(*lineDecoder, *event.Fact, string) error{(*lineDecoder).event, (*lineDecoder).profile} {
			l := &lineDecoder{now: now, rules: rules, limits: rules.limits(), prefix: "import:x:"}
			c := &chunk{lines: []byte(line), first: 1}
			l.decode(c, decode)
			fuzzFacts(t, c.facts, l.limits)
		}
	})
}

// BenchmarkDecodeEvents decodes real lines on one core, without the journal.
func BenchmarkDecodeEvents(b *testing.B) {
	lines := retail(b)[:importChunk]
	lines = lines[:bytes.LastIndexByte(lines, '\n')+1]
	rules := &Rules{Names: NewNames(nil, nil, nil)}
	l := &lineDecoder{now: now, rules: rules, limits: rules.limits(), prefix: "import:retail:"}
	c := &chunk{lines: lines, first: 1}
	n := 0
	b.SetBytes(int64(len(lines)))
	start := time.Now()
	for b.Loop() {
		l.decode(c, (*lineDecoder).event)
		if len(c.refused) > 0 {
			b.Fatal(c.refused[0])
		}
		n += len(c.facts)
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "events/s")
}
