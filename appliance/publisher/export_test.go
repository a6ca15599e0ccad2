package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/export"
)

// taken is what an export gave.
type taken struct {
	lines     []string
	positions [][]byte // behind
	counts    []int    // so many lines
}

func (h *house) export(kind string, o ExportOptions) taken {
	h.t.Helper()
	e, err := h.begun(kind, o)
	if err != nil {
		h.t.Fatal(err)
	}
	defer e.Close()
	out, err := takeAll(h.t.Context(), e)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *house) begun(kind string, o ExportOptions) (*Export, error) {
	switch kind {
	case "profiles":
		return h.ExportProfiles(h.t.Context(), o)
	case "messages":
		return h.ExportMessages(h.t.Context(), o)
	}
	return h.ExportEvents(h.t.Context(), o)
}

func takeAll(ctx context.Context, e *Export) (out taken, err error) {
	err = e.Each(ctx, func(r *export.Record) error {
		out.lines = append(out.lines, strings.TrimSuffix(string(e.Table().AppendNDJSON(nil, r)), "\n"))
		return nil
	}, func(position []byte) error {
		out.positions = append(out.positions, slices.Clone(position))
		out.counts = append(out.counts, len(out.lines))
		return nil
	})
	return out, err
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func on(day, hour int) int64 {
	return time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC).UnixMicro()
}

func when(f event.Fact, at int64) event.Fact { f.Time = at; return f }

func TestExportOfEvents(t *testing.T) {
	h := open(t)
	anonymous := func(device, name string, at int64) event.Fact {
		return event.Fact{Kind: event.Track, Device: device, Name: name, Time: at}
	}
	h.tell(
		when(track("bob", "Viewed", event.Prop{Key: "page", Value: event.OfText("<a>")}), on(2, 9)),
		when(track("asha", "Charged", event.Prop{Key: "Amount", Value: event.OfFloat(12.5)}, event.Prop{Key: "card", Value: event.OfText("4111"), Personal: true}), on(2, 8)),
		when(track("asha", "Viewed", event.Prop{Key: "until", Value: event.OfMicros(on(9, 0))}), on(1, 7)),
		when(track("asha", "Viewed"), on(2, 8)), // the same instant, later
		anonymous("tablet", "Viewed", on(1, 23)),
	)
	same(t, "everything", h.export("events", ExportOptions{}).lines,
		`{"user":"asha","event":"Viewed","ts":"2026-01-01T07:00:00Z","props":{"until":"2026-01-09T00:00:00Z"},"times":["until"]}`,
		`{"anonymous":"tablet","event":"Viewed","ts":"2026-01-01T23:00:00Z"}`,
		`{"user":"bob","event":"Viewed","ts":"2026-01-02T09:00:00Z","props":{"page":"\u003ca\u003e"}}`,
		`{"user":"asha","event":"Charged","ts":"2026-01-02T08:00:00Z","props":{"Amount":12.5}}`,
		`{"user":"asha","event":"Viewed","ts":"2026-01-02T08:00:00Z"}`)
	same(t, "what is personal too", h.export("events", ExportOptions{Events: []string{"Charged"}, Personal: true}).lines,
		`{"user":"asha","event":"Charged","ts":"2026-01-02T08:00:00Z","props":{"Amount":12.5,"card":"4111"}}`)
	same(t, "some hours", h.export("events", ExportOptions{From: on(1, 23), To: on(2, 9)}).lines,
		`{"anonymous":"tablet","event":"Viewed","ts":"2026-01-01T23:00:00Z"}`,
		`{"user":"asha","event":"Charged","ts":"2026-01-02T08:00:00Z","props":{"Amount":12.5}}`,
		`{"user":"asha","event":"Viewed","ts":"2026-01-02T08:00:00Z"}`)
	if err := h.SaveSegment(t.Context(), Segment{Name: "buyers", People: []byte(`{"did":{"event":"Charged"}}`)}); err != nil {
		t.Fatal(err)
	}
	if got := h.export("events", ExportOptions{Segment: "buyers"}).lines; len(got) != 3 {
		t.Errorf("the buyers have %q", got)
	}
	if _, err := h.begun("events", ExportOptions{Segment: "nobody"}); err == nil {
		t.Error("a segment that is not there is everybody")
	}
	if _, err := h.begun("events", ExportOptions{After: []byte("x")}); !errors.Is(err, ErrPosition) {
		t.Errorf("a wrong position: %v", err)
	}
}

// Merged people are who they are now, in one place, and the erased are nobody:
// also those who are erased while an export runs.
func TestExportOfMergedAndErasedPeople(t *testing.T) {
	h := open(t)
	device := func(id, name string, at int64) event.Fact {
		return event.Fact{Kind: event.Track, Device: id, Name: name, Time: at}
	}
	h.tell(when(track("asha", "Bought"), on(1, 10)), device("phone", "Viewed", on(1, 9)), device("phone", "Viewed", on(1, 11)),
		when(track("bob", "Viewed"), on(1, 8)), when(track("cleo", "Viewed"), on(1, 7)))
	h.tell(event.Fact{Kind: event.Identify, User: "asha", Device: "phone"})
	var viewed []string
	for _, line := range h.export("events", ExportOptions{To: on(2, 0)}).lines {
		if strings.Contains(line, `"phone"`) {
			t.Errorf("the loser has a line of its own: %s", line)
		}
		if strings.Contains(line, `"asha"`) {
			viewed = append(viewed, line)
		}
	}
	same(t, "of both", viewed, `{"user":"asha","event":"Viewed","ts":"2026-01-01T09:00:00Z"}`,
		`{"user":"asha","event":"Bought","ts":"2026-01-01T10:00:00Z"}`, `{"user":"asha","event":"Viewed","ts":"2026-01-01T11:00:00Z"}`)
	if got := h.export("profiles", ExportOptions{}).lines; len(got) != 3 || !strings.Contains(got[0], `"identities":["asha"],"devices":["phone"]`) {
		t.Errorf("profiles are %q", got)
	}

	e, err := h.begun("events", ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := h.Erase(t.Context(), "asha"); err != nil {
		t.Fatal(err)
	}
	got, err := takeAll(t.Context(), e)
	if err != nil || len(got.lines) != 2 || strings.Contains(strings.Join(got.lines, ""), "asha") {
		t.Errorf("an export that began before the erasure gives %q, %v", got.lines, err)
	}
	if got := h.export("profiles", ExportOptions{}).lines; len(got) != 2 || strings.Contains(strings.Join(got, ""), "asha") {
		t.Errorf("profiles after it are %q", got)
	}
}

// Behind each position comes what came there before, though the rows were
// frozen and merged meanwhile and the publisher was opened again.
func TestAnExportGoesOnAfterEverythingMoved(t *testing.T) {
	h := open(t)
	for round := range 3 {
		var facts []event.Fact
		for i := range 400 {
			user := fmt.Sprintf("u%d", (i*7+round)%90)
			facts = append(facts, when(track(user, []string{"A", "B"}[i%2], event.Prop{Key: "n", Value: event.OfInt(int64(i))}), on(1+i%5, i%3)))
		}
		h.tell(facts...)
		if round == 1 {
			h.tell(event.Fact{Kind: event.Track, Device: "d", Name: "A", Time: on(2, 1)})
			h.tell(event.Fact{Kind: event.Identify, User: "u3", Device: "d"})
		}
	}
	whole := h.export("events", ExportOptions{To: on(20, 0)})
	if len(whole.lines) != 1201 {
		t.Fatalf("%d lines", len(whole.lines))
	}
	if err := h.history.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.tell(when(track("u1", "A"), on(21, 0))) // beyond To
	h.reopen()
	for i := 0; i < len(whole.positions); i += 23 {
		rest := h.export("events", ExportOptions{To: on(20, 0), After: whole.positions[i]})
		if !slices.Equal(rest.lines, whole.lines[whole.counts[i]:]) {
			t.Fatalf("behind line %d come %d lines instead of %d, or others", whole.counts[i], len(rest.lines), len(whole.lines)-whole.counts[i])
		}
	}
	people := h.export("profiles", ExportOptions{})
	rest := h.export("profiles", ExportOptions{After: people.positions[10]})
	if !slices.Equal(rest.lines, people.lines[11:]) {
		t.Errorf("behind the eleventh person come %d of %d", len(rest.lines), len(people.lines))
	}
}

func TestExportOfProfiles(t *testing.T) {
	h := open(t)
	f := asha(true)
	f.Addresses = append(f.Addresses, event.Address{Channel: "push", Platform: "webpush", Value: "https://push.example/1", Extra: `{"auth":"a","p256dh":"b"}`})
	h.tell(when(f, on(1, 0)), event.Fact{Kind: event.Track, Device: "tablet", Name: "Viewed", Time: on(2, 0)})
	const consent = `"consent":[{"purpose":"offers","channel":"email","granted":true,"source":"test","since":"2026-01-01T00:00:00Z"}]`
	same(t, "without what is personal", h.export("profiles", ExportOptions{}).lines,
		`{"user":"asha","created":"2026-01-01T00:00:00Z","identities":["asha"],"devices":["phone"],`+consent+`,"profile":{"plan":"club"}}`,
		`{"anonymous":"tablet","created":"2026-01-02T00:00:00Z","devices":["tablet"],"profile":{}}`)
	same(t, "with it", h.export("profiles", ExportOptions{Personal: true}).lines[:1],
		`{"user":"asha","created":"2026-01-01T00:00:00Z","identities":["asha"],"devices":["phone"],`+consent+
			`,"channels":{"email":["asha@example.com"],"push":[{"platform":"webpush","token":"https://push.example/1","keys":{"auth":"a","p256dh":"b"}}]},"profile":{"plan":"club","Name":"Asha"}}`)
}

func TestExportOfMessages(t *testing.T) {
	h := open(t)
	h.campaign(letter)
	h.tell(asha(true), event.Fact{Kind: event.Identify, User: "bob", Addresses: []event.Address{{Channel: "email", Value: "bob@example.com"}}})
	h.tell(track("asha", "Charged", event.Prop{Key: "Amount", Value: event.OfInt(5)}), track("bob", "Charged"))
	h.eventually("both messages are settled", func() bool {
		all := strings.Join(h.export("messages", ExportOptions{}).lines, "\n")
		return strings.Contains(all, `"state":"sent"`) && strings.Contains(all, `"state":"held"`)
	})
	got := h.export("messages", ExportOptions{})
	if len(got.lines) != 2 {
		t.Fatalf("messages are %q", got.lines)
	}
	for _, line := range got.lines {
		if !strings.Contains(line, `"campaign":"thanks","revision":1,`) || strings.Contains(line, "example.com") {
			t.Errorf("a message is %s", line)
		}
	}
	if rest := h.export("messages", ExportOptions{After: got.positions[0]}); !slices.Equal(rest.lines, got.lines[1:]) {
		t.Errorf("behind the first is %q", rest.lines)
	}
	if none := h.export("messages", ExportOptions{To: 1}); len(none.lines) != 0 {
		t.Errorf("before 1970 there were %q", none.lines)
	}
	if _, err := h.Erase(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if left := h.export("messages", ExportOptions{}).lines; len(left) != 1 || !strings.Contains(left[0], `"user":"asha"`) {
		t.Errorf("once bob is erased there is %q", left)
	}
}
