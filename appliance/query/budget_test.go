package query_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// crowd is people with a few events each, some of them merged.
func crowd(people int) query.Env {
	numbers := make(memory.People, people)
	var g memory.Generation
	start := time.Date(2011, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range numbers {
		numbers[i].Identity = fmt.Sprintf("p%d", i+1)
		if i%10 == 3 {
			numbers[i].Winner = uint32(i)
		}
		for k := range 4 {
			g.Rows = append(g.Rows, history.Row{Person: uint32(i + 1), Name: string(rune('A' + k)),
				Time:  start.Add(time.Duration(i+17*k) * time.Minute).UnixMicro(),
				Props: []event.Prop{{Key: "n", Value: event.OfInt(int64(i))}, {Key: "k", Value: event.OfInt(int64(k))}}})
		}
	}
	return query.Env{Data: query.Data{History: memory.New(time.UTC, g), People: numbers}, Find: numbers.Find,
		Now: func() time.Time { return start.AddDate(0, 1, 0) }}
}

func code(err error) string {
	var e *query.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestRowBudget(t *testing.T) {
	env := crowd(1000)
	ask := func(limit int64) error {
		env.MaxRows = limit
		_, err := query.Ask(t.Context(), []byte(`{"kind":"funnel","steps":[{"event":"A"},{"event":"B"}]}`), env)
		return err
	}
	if err := ask(4000); err != nil {
		t.Error("a question within its budget:", err)
	}
	if err := ask(3999); code(err) != query.CodeBudget {
		t.Error("a row too many:", err)
	}
}

func TestMemoryBudget(t *testing.T) {
	env := crowd(2000)
	env.RFMs = func() map[string][]byte { return map[string][]byte{"value": []byte(`{"amount":"n"}`)} }
	for _, q := range []string{
		`{"kind":"funnel","steps":[{"event":"A"},{"event":"B"}]}`,
		`{"kind":"trend","series":[{}],"breakdown":{"property":"n"},"interval":"hour"}`,
		`{"kind":"trend","series":[{"event":"A","measure":"median","property":"n"}],"breakdown":{"property":"n","limit":3},"interval":"hour"}`,
		`{"kind":"trend","series":[{"measure":"distinct","property":"n"}],"interval":"all"}`,
		`{"kind":"trend","series":[{"measure":"unique","trailing":{"n":3,"unit":"hour"}}],"interval":"minute"}`,
		`{"kind":"rfm","amount":"n"}`,
		`{"kind":"segment","people":{"rfm":"Champions"}}`,
		`{"kind":"segment","people":{"did":{},"sum":{"property":"n","op":">","value":1}}}`,
	} {
		env.Memory = 20_000
		if _, err := query.Ask(t.Context(), []byte(q), env); code(err) != query.CodeBudget {
			t.Errorf("%s within 20 kB: %v", q, err)
		}
		env.Memory = 0
		if _, err := query.Ask(t.Context(), []byte(q), env); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// TestManyCells asks for more values times buckets than one pass holds: the
// answer is that of fewer, longer buckets added up.
func TestManyCells(t *testing.T) {
	env := crowd(3000)
	ask := func(interval string) *query.TrendResult {
		q := `{"kind":"trend","series":[{"event":"A"},{"event":"B","measure":"sum","property":"n"}],"breakdown":{"property":"n","limit":7},
			"from":"2011-11-01","to":"2011-11-03","interval":"` + interval + `"}`
		a, err := query.Ask(t.Context(), []byte(q), env)
		if err != nil {
			t.Fatal(err)
		}
		return a.Result.(*query.TrendResult)
	}
	few, many := ask("all"), ask("minute")
	if len(many.Buckets) != 3*24*60 || len(many.Series) != 14 || few.Other != many.Other {
		t.Fatalf("%d buckets, %d series, %d and %d others", len(many.Buckets), len(many.Series), few.Other, many.Other)
	}
	for i, s := range many.Series {
		sum := 0.0
		for _, v := range s.Values {
			sum += v
		}
		if sum != few.Series[i].Total || s.Total != sum || !s.Breakdown[0].Equal(few.Series[i].Breakdown[0]) {
			t.Errorf("series %d: minutes add up to %v, the total is %v and %v", i, sum, s.Total, few.Series[i].Total)
		}
	}
}

// stuck is a history that gives nothing until the question is over.
type stuck struct{ *memory.History }

func (stuck) Scan(ctx context.Context, _ int, _ history.Want, _ func(*history.Rows) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestDeadline(t *testing.T) {
	env := crowd(10)
	env.Data.History = stuck{env.Data.History.(*memory.History)}
	env.Deadline = time.Millisecond
	q := []byte(`{"kind":"funnel","steps":[{"event":"A"}]}`)
	if _, err := query.Ask(t.Context(), q, env); code(err) != query.CodeBudget {
		t.Error("past the deadline:", err)
	}
	if _, err := query.Evaluate(t.Context(), []byte(`{"did":{},"days":{"op":">","value":1}}`), env); code(err) != query.CodeBudget {
		t.Error("evaluating past the deadline:", err)
	}
	// The caller's own end is no fault of the question's.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env.Deadline = time.Hour
	if _, err := query.Ask(ctx, q, env); !errors.Is(err, context.Canceled) || code(err) != "" {
		t.Error("cancelled:", err)
	}
}

// damaged is a history with a block that cannot be read.
type damaged struct{ *memory.History }

func (damaged) Scan(_ context.Context, partition int, _ history.Want, _ func(*history.Rows) error) error {
	if partition == 40 {
		return fmt.Errorf("block 7: %w", history.ErrDamaged)
	}
	return nil
}

func TestDamage(t *testing.T) {
	env := crowd(10)
	env.Data.History = damaged{env.Data.History.(*memory.History)}
	_, err := query.Ask(t.Context(), []byte(`{"kind":"funnel","steps":[{"event":"A"}]}`), env)
	if !errors.Is(err, history.ErrDamaged) || code(err) != "" {
		t.Error("a damaged block must be an error of its own, not an answer:", err)
	}
}

// TestTogether asks many questions of the same data at once.
func TestTogether(t *testing.T) {
	env := crowd(500)
	env.Workers = 4
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			q := `{"kind":"funnel","steps":[{"event":"A"},{"event":"B"}]}`
			if i%2 == 0 {
				q = `{"kind":"trend","series":[{"measure":"unique"}],"breakdown":{"property":"k"},"interval":"all"}`
			}
			a, err := query.Ask(t.Context(), []byte(q), env)
			if err != nil {
				t.Error(err)
				return
			}
			switch r := a.Result.(type) {
			case *query.FunnelResult:
				if r.Steps[1].People != 450 {
					t.Errorf("%d people in the funnel", r.Steps[1].People)
				}
			case *query.TrendResult:
				if len(r.Series) != 4 || r.Series[3].Total != 450 {
					t.Errorf("series %v", r.Series)
				}
			}
		})
	}
	wait.Wait()
}

// leaving is people of whom one was erased after the snapshot was taken.
type leaving struct{ memory.People }

func (p leaving) Identity(n uint32) (string, error) {
	if n == 3 {
		return "", fmt.Errorf("reading person 3: %w", people.ErrErased)
	}
	return p.People.Identity(n)
}

func TestErasedMeanwhile(t *testing.T) {
	env := crowd(30)
	env.Data.People = leaving{env.Data.People.(memory.People)}
	a, err := query.Ask(t.Context(), []byte(`{"kind":"segment","list":{"limit":3}}`), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := *a.Result.(*query.SegmentResult).People; !slices.Equal(got, []string{"p1", "p2", "p5"}) {
		t.Error(got)
	}
	a, err = query.Ask(t.Context(), []byte(`{"kind":"trend","series":[{}],"breakdown":{"of":"person","limit":3},"interval":"all"}`), env)
	if err != nil {
		t.Fatal(err)
	}
	// Numbers 3, 13 and 23 have eight events each, with those merged into them.
	if s := a.Result.(*query.TrendResult).Series; len(s) != 3 || s[0].Breakdown[0].Text() != "p13" || s[2].Total != 4 {
		t.Error(s)
	}
}
