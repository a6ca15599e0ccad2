package query_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// seeds are the questions of the case files.
func seeds(f *testing.F) []string {
	files, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no cases", err)
	}
	var out []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, b := range blocksOf(string(text)) {
			if q, ok := strings.CutPrefix(b.text, "ask "); ok {
				out = append(out, q)
			}
		}
	}
	return out
}

// FuzzAsk: whatever is asked, there is an answer that is JSON, or an *Error.
func FuzzAsk(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	env := crowd(12)
	env.Memory = 64 << 20
	written := mailing(12)
	env.Data.People.(memory.People)[2].Lists = []string{"vips"}
	env.RFMs = func() map[string][]byte { return map[string][]byte{"value": []byte(`{"event":"A","amount":"n"}`)} }
	env.Segment = func(name string) ([]byte, bool) { return []byte(name), name != "" }
	f.Fuzz(func(t *testing.T, question string) {
		env := env
		if strings.Contains(question, "campaign") {
			env.Data, env.Goal = written.Data, written.Goal
		}
		a, err := query.Ask(t.Context(), []byte(question), env)
		var e *query.Error
		if err != nil {
			if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
				t.Fatalf("%q: %v", question, err)
			}
			return
		}
		if b, err := json.Marshal(a); err != nil || !json.Valid(b) {
			t.Fatalf("%q: %v", question, err)
		}
	})
}

// FuzzCompileEvent: the same of event references and people expressions.
func FuzzCompileEvent(f *testing.F) {
	for _, s := range seeds(f) {
		var q struct {
			People json.RawMessage
			Series []json.RawMessage
			Steps  []json.RawMessage

			Conversion json.RawMessage
		}
		if json.Unmarshal([]byte(s), &q) != nil {
			continue
		}
		if strings.HasPrefix(s, `{"kind": "rfm"`) {
			f.Add(s)
		}
		for _, part := range append(append(q.Series, q.Steps...), q.People, q.Conversion) {
			f.Add(string(part))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := query.CheckRFM([]byte(text), query.Env{}); err != nil && code(err) == "" {
			t.Fatal(err)
		}
		if m, err := query.CompileEvent([]byte(text), time.UTC); err == nil {
			m.Match("A", nil, nil)
		} else if code(err) == "" {
			t.Fatal(err)
		}
		if err := query.CheckPeople([]byte(text), query.Env{}); err != nil && code(err) == "" {
			t.Fatal(err)
		}
	})
}
