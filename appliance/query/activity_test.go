package query_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// activity is a question of each kind about activity, in a way that reads rows
// and, where there is one, in a way that does not.
var activity = []struct {
	text    string
	bitmaps bool
}{
	{`{"kind":"retention","start":{"event":"A"},"return":{"filter":{"property":"k","op":">","value":0}},"interval":"hour","first":"2011-11-01T00:00:00Z","buckets":40}`, false},
	{`{"kind":"retention","start":{"event":"A"},"return":{},"mode":"recurring","unbounded":true,"list":{"row":1}}`, true},
	{`{"kind":"lifecycle","event":"A","interval":"minute","from":"2011-11-01","to":"2011-11-01"}`, false},
	{`{"kind":"lifecycle","event":"A"}`, true},
	{`{"kind":"stickiness","interval":"hour","list":{"count":2}}`, false},
	{`{"kind":"stickiness","event":"B","list":{"count":1}}`, true},
	{`{"kind":"distribution","of":"events"}`, false},
	{`{"kind":"distribution","of":"property","property":"n"}`, false},
	{`{"kind":"distribution","of":"time","event":"A","then":{"event":"B"}}`, false},
	{`{"kind":"sessions","interval":"hour"}`, false},
	{`{"kind":"sessions","session":"k"}`, false},
	{`{"kind":"paths","by":"n","within":{"n":1,"unit":"hour"}}`, false},
	{`{"kind":"paths","start":{"event":"A"}}`, false},
}

func TestActivityBudgets(t *testing.T) {
	env := crowd(2000)
	for _, q := range activity {
		ask := func(env query.Env) error { _, err := query.Ask(t.Context(), []byte(q.text), env); return err }
		a, err := query.Ask(t.Context(), []byte(q.text), env)
		if err != nil {
			t.Fatalf("%s: %v", q.text, err)
		}
		if q.bitmaps != (a.Rows == 0) {
			t.Errorf("%s read %d rows", q.text, a.Rows)
		}
		little := env
		if little.Memory = 20_000; q.bitmaps {
			little.Memory = 50
		}
		// A lifecycle holds two bitmaps, whatever it is asked.
		if err := ask(little); code(err) != query.CodeBudget && q.text != `{"kind":"lifecycle","event":"A"}` {
			t.Errorf("%s within %d bytes: %v", q.text, little.Memory, err)
		}
		if q.bitmaps {
			continue
		}
		few := env
		if few.MaxRows = a.Rows - 1; code(ask(few)) != query.CodeBudget {
			t.Errorf("%s within %d rows: %v", q.text, few.MaxRows, ask(few))
		}
		if few.MaxRows = a.Rows; ask(few) != nil {
			t.Errorf("%s within its %d rows: %v", q.text, few.MaxRows, ask(few))
		}
		late := env
		late.Data.History = stuck{env.Data.History.(*memory.History)}
		if late.Deadline = time.Millisecond; code(ask(late)) != query.CodeBudget {
			t.Errorf("%s past its deadline: %v", q.text, ask(late))
		}
		broken := env
		broken.Data.History = damaged{env.Data.History.(*memory.History)}
		if err := ask(broken); !errors.Is(err, history.ErrDamaged) || code(err) != "" {
			t.Errorf("%s of damaged rows: %v", q.text, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, q := range activity {
		if _, err := query.Ask(ctx, []byte(q.text), env); !errors.Is(err, context.Canceled) || code(err) != "" {
			t.Errorf("%s when cancelled: %v", q.text, err)
		}
	}
}

// TestRetentionErasedMeanwhile: who was erased since the snapshot is in no list.
func TestRetentionErasedMeanwhile(t *testing.T) {
	env := crowd(30)
	env.Data.People = leaving{env.Data.People.(memory.People)}
	a, err := query.Ask(t.Context(), []byte(`{"kind":"retention","start":{},"return":{},"list":{"row":1,"limit":3}}`), env)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range *a.Result.(*query.RetentionResult).People {
		got = append(got, p.Identity)
	}
	if !slices.Equal(got, []string{"p1", "p2", "p5"}) {
		t.Error(got)
	}
}

// TestManySessions: a person with very many sessions, the events of which take
// turns, and one with a million events in one.
func TestManySessions(t *testing.T) {
	const events = 1_000_000
	var g memory.Generation
	start := time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	session := make([]event.Value, 1000)
	for i := range session {
		session[i] = event.OfInt(int64(i))
	}
	for i := range events {
		g.Rows = append(g.Rows, history.Row{Person: 1, Name: "A", Time: start + int64(i)*1e6,
			Props: []event.Prop{{Key: "s", Value: session[i%len(session)]}}})
	}
	numbers := memory.People{{Identity: "ann"}}
	env := query.Env{Data: query.Data{History: memory.New(time.UTC, g), People: numbers}, Find: numbers.Find}
	ask := func(text string) *query.SessionsResult {
		a, err := query.Ask(t.Context(), []byte(text), env)
		if err != nil {
			t.Fatal(err)
		}
		return a.Result.(*query.SessionsResult)
	}
	if r := ask(`{"kind":"sessions","session":"s"}`); r.Sessions != 1000 || r.MaxEvents != 1000 || r.MeanSeconds != 999_000 {
		t.Errorf("%+v", r)
	}
	if r := ask(`{"kind":"sessions","gap":{"n":1,"unit":"second"}}`); r.Sessions != 1 || r.MaxEvents != events || r.MedianSeconds != events-1 {
		t.Errorf("%+v", r)
	}
	if r := ask(`{"kind":"sessions","gap":{"n":0,"unit":"second"}}`); r.Sessions != events || r.Bounces != events {
		t.Errorf("%+v", r)
	}
}
