package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the connector too, when it is started as one.
func TestMain(m *testing.M) { testprogram.Main(m, main) }

func TestConformance(t *testing.T) {
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "mailbox"), Settings: connector.Settings{"dir": t.TempDir(), "keep": 1000.0}, Reachable: true,
		Wrong: []connector.Settings{{"dir": "here"}},
	})
}

func configured(t *testing.T, dir string, keep float64) *mailbox {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := &mailbox{now: func() time.Time { at = at.Add(time.Second); return at }}
	if problems, err := m.Configure(t.Context(), connector.Settings{"dir": dir, "keep": keep}); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	return m
}

func send(t *testing.T, m *mailbox, batch ...connector.Message) []connector.Outcome {
	t.Helper()
	outs, err := m.Send(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return outs
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// The format is read by the console and by people's scripts: it does not change.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	send(t, configured(t, dir, 10), connector.Message{
		ID: "m1", Channel: "email", To: "ana@example.com", ToName: "Ana", Subject: "Hello", Text: "Hi", HTML: "<p>Hi</p>",
		Headers: []connector.Header{{Name: "X-A", Value: "b"}}, Data: []connector.Header{{Name: "k", Value: "v"}},
		Platform: "", Unsubscribe: "https://e.example/u", Link: "https://e.example/l", Marketing: true,
		Expires: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
	})
	got := files(t, dir)
	want := "20260301T120001.000000000Z-8980c64641b73f0a3f3c2e0d5e4f3a47.json"
	if len(got) != 1 || got[0][:27] != want[:27] || len(got[0]) != len(want) {
		t.Fatalf("files %v", got)
	}
	raw, err := os.ReadFile(filepath.Join(dir, got[0]))
	if err != nil {
		t.Fatal(err)
	}
	const golden = `{"id":"m1","channel":"email","to":"ana@example.com","to_name":"Ana","subject":"Hello","text":"Hi","html":"\u003cp\u003eHi\u003c/p\u003e","headers":{"X-A":"b"},"data":{"k":"v"},"unsubscribe":"https://e.example/u","link":"https://e.example/l","expires":"2026-03-02T00:00:00Z","marketing":true,"at":"2026-03-01T12:00:01Z"}`
	if string(raw) != golden {
		t.Errorf("got  %s\nwant %s", raw, golden)
	}
}

func TestSameMessageIsOneFile(t *testing.T) {
	dir := t.TempDir()
	m := configured(t, dir, 10)
	a := send(t, m, connector.Message{ID: "m1", Channel: "sms", To: "+1", Text: "x"})
	b := send(t, m, connector.Message{ID: "m1", Channel: "sms", To: "+1", Text: "x"})
	// And after a restart.
	c := send(t, configured(t, dir, 10), connector.Message{ID: "m1", Channel: "sms", To: "+1", Text: "x"})
	if a[0] != b[0] || a[0] != c[0] || len(files(t, dir)) != 1 {
		t.Errorf("%v, %v, %v, files %v", a, b, c, files(t, dir))
	}
}

func TestOldestGo(t *testing.T) {
	dir := t.TempDir()
	m := configured(t, dir, 3)
	for i := range 7 {
		send(t, m, connector.Message{ID: fmt.Sprint(i), Channel: "email", To: "a@example.com", Text: "x"})
	}
	got := files(t, dir)
	if len(got) != 3 || !strings.HasPrefix(got[0], "20260301T120005") {
		t.Errorf("files %v", got)
	}
	// A name that is not ours is left alone; a half-written one is removed.
	os.WriteFile(filepath.Join(dir, ".x.json.new"), nil, 0o600)
	os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600)
	send(t, configured(t, dir, 3), connector.Message{ID: "new", Channel: "email", To: "a@example.com", Text: "x"})
	if got := files(t, dir); len(got) != 4 || !slices.Contains(got, "notes.txt") {
		t.Errorf("files %v", got)
	}
}

func TestForget(t *testing.T) {
	dir := t.TempDir()
	m := configured(t, dir, 10)
	send(t, m,
		connector.Message{ID: "1", Channel: "email", To: "ana@example.com", Text: "x"},
		connector.Message{ID: "2", Channel: "email", To: "bob@example.com", Text: "x"},
		connector.Message{ID: "3", Channel: "sms", To: "+1", Text: "x"})
	if err := m.Forget(t.Context(), []string{"ana@example.com", "+1"}); err != nil {
		t.Fatal(err)
	}
	got := files(t, dir)
	if len(got) != 1 {
		t.Fatalf("files %v", got)
	}
	raw, _ := os.ReadFile(filepath.Join(dir, got[0]))
	var f file
	if err := json.Unmarshal(raw, &f); err != nil || f.To != "bob@example.com" {
		t.Errorf("%s, %v", raw, err)
	}
	// A file that nobody can read might be about them.
	os.WriteFile(filepath.Join(dir, "damaged.json"), []byte("{"), 0o600)
	if err := m.Forget(t.Context(), []string{"x"}); err != nil || len(files(t, dir)) != 1 {
		t.Errorf("%v, files %v", err, files(t, dir))
	}
}

func TestTroubles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	m := configured(t, dir, 10)
	if _, err := m.Send(t.Context(), []connector.Message{{ID: "1", Channel: "email", To: "a@b", Text: "x"}}); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("no folder: %v", err)
	}
	if err := m.Check(t.Context()); err == nil {
		t.Error("no folder: the check says nothing")
	}
	os.Mkdir(dir, 0o700)
	if err := m.Check(t.Context()); err != nil || len(files(t, dir)) != 0 {
		t.Error(err, files(t, dir))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	outs, err := m.Send(ctx, []connector.Message{{ID: "1", Channel: "email", To: "a@b", Text: "x"}})
	if err != nil || outs[0].Result != connector.Again {
		t.Errorf("out of time: %v, %v", outs, err)
	}
}

// README.md names every setting.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	schema := (&mailbox{}).Schema()
	for _, s := range schema.Settings {
		names = append(names, s.Name)
	}
	for _, b := range schema.Blocks {
		for _, s := range b.Settings {
			names = append(names, b.Name, s.Name)
		}
	}
	for _, n := range names {
		if !strings.Contains(string(raw), "`"+n+"`") {
			t.Errorf("README.md does not name the setting %q: add it", n)
		}
	}
}
