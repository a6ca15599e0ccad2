package query_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

var steps = []byte(`{"kind":"funnel","steps":[{"event":"A"},{"event":"B"}]}`)

// endless is a history that gives the same rows again until it is over.
type endless struct {
	*memory.History
	begun chan<- struct{} // told once for each partition begun; room for all
	over  <-chan struct{}
}

func (e endless) Scan(ctx context.Context, partition int, w history.Want, fn func(*history.Rows) error) error {
	e.begun <- struct{}{}
	for {
		if err := e.History.Scan(ctx, partition, w, func(r *history.Rows) error { return fn(r) }); err != nil {
			return err
		}
		select {
		case <-e.over:
			return nil
		default:
		}
	}
}

// heavy is a question that does not end before over, and holds next to nothing.
func heavy(over <-chan struct{}) (env query.Env, begun <-chan struct{}) {
	env = crowd(500)
	told := make(chan struct{}, 10_000)
	env.Data.History = endless{env.Data.History.(*memory.History), told, over}
	return env, told
}

var count = []byte(`{"kind":"trend","series":[{"event":"A"}],"interval":"all"}`)

// askOf asks as a publisher does.
func askOf(ctx context.Context, b *query.Budget, publisher string, body []byte, env query.Env) (*query.Answer, error) {
	share, err := b.Begin(ctx, publisher, 0)
	if err != nil {
		return nil, err
	}
	defer share.End()
	env.Share = share
	return query.Ask(ctx, body, env)
}

// idle fails unless a budget has got all back.
func idle(t *testing.T, b *query.Budget) {
	t.Helper()
	if s := b.Stats(); s.Held != 0 || s.Taken != 0 || s.Running != 0 || s.Waiting != 0 {
		t.Errorf("still in use: %+v", s)
	}
}

// TestLightBesideHeavy: the heavy questions would never end if the light ones
// did not pass them.
func TestLightBesideHeavy(t *testing.T) {
	for _, slots := range []int{1, 2, 4} {
		for _, publisher := range []string{"small", "big"} {
			t.Run(fmt.Sprint(slots, publisher), func(t *testing.T) {
				b := query.NewBudget(1<<30, slots)
				over := make(chan struct{})
				var wait sync.WaitGroup
				for range 4 {
					env, begun := heavy(over)
					wait.Go(func() {
						if _, err := askOf(t.Context(), b, "big", count, env); err != nil {
							t.Error(err)
						}
					})
					<-begun
				}
				for _, body := range [][]byte{steps, count, []byte(`{"kind":"trend","series":[{"measure":"unique"}],"interval":"day"}`)} {
					if _, err := askOf(t.Context(), b, publisher, body, crowd(100)); err != nil {
						t.Error(err)
					}
				}
				close(over)
				wait.Wait()
				idle(t, b)
			})
		}
	}
}

// full is a history whose questions wait, with all that they hold, before the
// last partition.
type full struct {
	*memory.History
	there chan<- struct{}
	goOn  <-chan struct{}
}

func (f full) Scan(ctx context.Context, partition int, w history.Want, fn func(*history.Rows) error) error {
	if partition == 63 {
		f.there <- struct{}{}
		<-f.goOn
	}
	return f.History.Scan(ctx, partition, w, fn)
}

func TestMemoryOfAll(t *testing.T) {
	env := crowd(2000)
	env.Workers = 1
	there, goOn := make(chan struct{}), make(chan struct{})
	waits := env
	waits.Data.History = full{env.Data.History.(*memory.History), there, goOn}

	// What one holds.
	alone := query.NewBudget(1<<30, 4)
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := askOf(t.Context(), alone, "a", steps, waits); err != nil {
			t.Error(err)
		}
	})
	<-there
	one := alone.Stats().Held
	goOn <- struct{}{}
	wait.Wait()
	idle(t, alone)
	if one < 1000 {
		t.Fatalf("a question holds %d bytes", one)
	}

	b := query.NewBudget(one*5/2, 4)
	for _, publisher := range []string{"a", "b"} {
		wait.Go(func() {
			if _, err := askOf(t.Context(), b, publisher, steps, waits); err != nil {
				t.Error(err)
			}
		})
		<-there
	}
	if _, err := askOf(t.Context(), b, "c", steps, env); code(err) != query.CodeBudget || !strings.Contains(err.Error(), "together") {
		t.Error("the question that comes too many:", err)
	}
	if s := b.Stats(); s.Refused != 1 || s.Running != 2 || s.Held < 2*one {
		t.Errorf("%+v, of questions that hold %d each", s, one)
	}
	goOn <- struct{}{}
	goOn <- struct{}{}
	wait.Wait()
	if _, err := askOf(t.Context(), b, "c", steps, env); err != nil {
		t.Error("when the others are done:", err)
	}
	idle(t, b)
	// One alone may have half of it.
	small := query.NewBudget(one*3/2, 4)
	if _, err := askOf(t.Context(), small, "a", steps, env); code(err) != query.CodeBudget {
		t.Error("more than half of all:", err)
	}
	idle(t, small)
}

func TestCancelledStops(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b := query.NewBudget(1<<30, 1)
	env, begun := heavy(nil) // which ends by being cancelled, or never
	env.Workers = 3          // two of them wait
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := askOf(ctx, b, "a", steps, env); !errors.Is(err, context.Canceled) || code(err) != "" {
			t.Error("cancelled:", err)
		}
	})
	<-begun
	// Others end in the line: by their caller, and by their time.
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := askOf(gone, b, "b", steps, crowd(10)); !errors.Is(err, context.Canceled) {
		t.Error("cancelled in the line:", err)
	}
	endlessly, _ := heavy(nil)
	share, err := b.Begin(t.Context(), "b", 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	endlessly.Share = share
	if _, err := query.Ask(t.Context(), count, endlessly); code(err) != query.CodeBudget {
		t.Error("past its time:", err)
	}
	share.End()
	cancel()
	wait.Wait()
	idle(t, b)
}

// TestRoom: so many of one publisher at the same time; others do not wait.
func TestRoom(t *testing.T) {
	b := query.NewBudget(1<<30, 2)
	var shares []*query.Share
	begin := func(publisher string) {
		t.Helper()
		s, err := b.Begin(t.Context(), publisher, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, s)
	}
	for range 8 {
		begin("big")
	}
	if _, err := b.Begin(t.Context(), "big", time.Millisecond); code(err) != query.CodeBudget {
		t.Error("past its time:", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Begin(ctx, "big", time.Hour); !errors.Is(err, context.Canceled) {
		t.Error("cancelled:", err)
	}
	begin("small")
	shares[0].End()
	shares[0].End()
	begin("big")
	if s := b.Stats(); s.Running != 9 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	for _, s := range shares {
		s.End()
	}
	idle(t, b)
}

// TestBehind: while an applier is behind, questions keep to fewer cores.
func TestBehind(t *testing.T) {
	b := query.NewBudget(1<<30, 2)
	over := make(chan struct{})
	env, begun := heavy(over)
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := askOf(t.Context(), b, "a", count, env); err != nil {
			t.Error(err)
		}
	})
	<-begun
	until := func(taken int) {
		for b.Stats().Taken != taken {
			runtime.Gosched()
		}
	}
	until(2)
	b.Behind(true)
	until(1)
	b.Behind(true)
	b.Behind(false)
	until(1)
	b.Behind(false)
	until(2)
	close(over)
	wait.Wait()
	idle(t, b)
	one := query.NewBudget(1<<30, 1) // which must not be left out
	one.Behind(true)
	if _, err := askOf(t.Context(), one, "a", count, crowd(10)); err != nil {
		t.Error(err)
	}
}

// TestManyTogether asks what differs from publishers that differ, and gives up
// some of it.
func TestManyTogether(t *testing.T) {
	b := query.NewBudget(1<<30, 3)
	var wait sync.WaitGroup
	for i := range 48 {
		wait.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			env := crowd(50 + i*20)
			env.Workers = 1 + i%4
			if i%5 == 0 {
				env.Data.History = cancelling{env.Data.History.(*memory.History), cancel}
			}
			body := [][]byte{steps, count}[i%2]
			if _, err := askOf(ctx, b, fmt.Sprint(i%3), body, env); err != nil != (i%5 == 0) {
				t.Errorf("question %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	idle(t, b)
}

// cancelling is a history during which the caller gives up.
type cancelling struct {
	*memory.History
	cancel func()
}

func (c cancelling) Scan(ctx context.Context, partition int, w history.Want, fn func(*history.Rows) error) error {
	if partition == 20 {
		c.cancel()
	}
	return c.History.Scan(ctx, partition, w, fn)
}
