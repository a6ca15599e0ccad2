package health_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/health"
)

func TestRaiseAgainKeepsSince(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	b := health.NewBoard(func() time.Time { return now })
	b.Raise(health.Problem{Code: "journal.full", Subject: "shop", Summary: "first"})
	first := now
	now = now.Add(time.Hour)
	b.Raise(health.Problem{Code: "journal.full", Subject: "shop", Severity: health.Down, Summary: "second"})

	ps := b.Problems()
	if len(ps) != 1 {
		t.Fatalf("%d problems, want the one raised twice", len(ps))
	}
	if p := ps[0]; !p.Since.Equal(first) || p.Summary != "second" || p.Severity != health.Down {
		t.Errorf("got %+v, want the second text with the first Since", p)
	}

	b.Clear("journal.full", "bank") // another subject: stays
	if len(b.Problems()) != 1 {
		t.Fatal("clearing another subject took the problem away")
	}
	b.Clear("journal.full", "shop")
	if len(b.Problems()) != 0 {
		t.Fatal("still there after Clear")
	}
	b.Raise(health.Problem{Code: "journal.full", Subject: "shop"})
	if p := b.Problems()[0]; !p.Since.Equal(now) || p.Severity != health.Warning {
		t.Errorf("raised anew: got %+v, want a fresh Since and a warning", p)
	}
}

func TestProblemsWorstThenOldestFirst(t *testing.T) {
	at := func(min int) time.Time { return time.Date(2026, 1, 1, 0, min, 0, 0, time.UTC) }
	b := health.NewBoard(nil)
	b.Raise(health.Problem{Code: "c", Severity: health.Warning, Since: at(0)})
	b.Raise(health.Problem{Code: "b", Severity: health.Down, Since: at(9)})
	b.Raise(health.Problem{Code: "a", Severity: health.Down, Since: at(5)})
	b.Raise(health.Problem{Code: "d", Subject: "y", Severity: health.Degraded, Since: at(1)})
	b.Raise(health.Problem{Code: "d", Subject: "x", Severity: health.Degraded, Since: at(1)})
	var got string
	for _, p := range b.Problems() {
		got += p.Code + p.Subject + " "
	}
	if want := "a b dx dy c "; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestBoardIsBoundedAndConcurrent(t *testing.T) {
	b := health.NewBoard(nil)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range health.MaxProblems {
				b.Raise(health.Problem{Code: fmt.Sprint(g, i)})
			}
		})
	}
	wg.Wait()
	if n := len(b.Problems()); n != health.MaxProblems {
		t.Errorf("%d kept, want %d", n, health.MaxProblems)
	}
	if n := b.Unkept(); n != 3*health.MaxProblems {
		t.Errorf("%d not kept, want %d", n, 3*health.MaxProblems)
	}
}

func TestSeverityInJSON(t *testing.T) {
	out, err := json.Marshal(health.Degraded)
	if err != nil || string(out) != `"degraded"` {
		t.Errorf("got %s, %v", out, err)
	}
}
