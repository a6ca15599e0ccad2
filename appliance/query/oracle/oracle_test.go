package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/query"
)

var (
	worlds = flag.Int("worlds", 400, "how many random worlds TestOracle asks about")
	seed   = flag.Uint64("seed", 1, "of the first world")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// questions asked of each world.
const questions = 25

// TestOracle compares the engine with the naive evaluator, on random questions
// over random events. A failure prints the seed of its world.
func TestOracle(t *testing.T) {
	n := *worlds
	if testing.Short() {
		n = min(n, 60)
	}
	asked := 0
	for s := *seed; s < *seed+uint64(n); s++ {
		r := rand.New(rand.NewPCG(s, 7))
		w := newWorld(r)
		a := &asking{Rand: r, w: w}
		for range questions {
			body, err := json.Marshal(a.question())
			if err != nil {
				t.Fatal(err)
			}
			asked++
			if diff := w.compare(body); diff != "" {
				t.Fatalf("-seed %d, question %d:\n%s\n%s", s, asked, body, diff)
			}
		}
	}
	t.Logf("%d questions", asked)
}

// compare asks both and says where they differ.
func (w *world) compare(body []byte) string {
	answer, err := query.Ask(context.Background(), body, w.env())
	var refused *query.Error
	if errors.As(err, &refused) && refused.Code == query.CodeValue && refused.Path == "list.after" {
		return "" // somebody whose identity is not listed any more
	}
	if err != nil {
		return "the engine refuses: " + err.Error()
	}
	got, want := plain(answer.Result), plain(w.answer(body))
	if d := difference("", want, got); d != "" {
		wantText, _ := json.Marshal(want)
		gotText, _ := json.Marshal(got)
		return fmt.Sprintf("%s\nwant %s\ngot  %s\n%s", d, wantText, gotText, w)
	}
	return ""
}

// String tells all there is of a world, for a failure.
func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "zone %s, now %s, segments %q\n", w.loc, w.now.Format(time.RFC3339Nano), w.saved)
	for _, p := range w.people {
		fmt.Fprintf(&b, "%s %q profile %v reach %v consent %v\n", p.identity, p.others, p.profile, p.reach, p.consent)
		for _, o := range p.events {
			fmt.Fprintf(&b, "  %s %s of %d, #%d: %v\n", time.UnixMicro(o.time).UTC().Format(time.RFC3339Nano), o.name, o.number, o.seq, o.props)
		}
	}
	return b.String()
}

// answer is the naive answer.
func (w *world) answer(body []byte) any {
	var q object
	if err := json.Unmarshal(body, &q); err != nil {
		panic(err)
	}
	n := &naive{w: w, loc: w.loc, now: w.now.UnixMicro(), sunday: q["week_starts"] == "sunday"}
	if z, ok := q["timezone"].(string); ok {
		n.loc = location(z)
	}
	if s, ok := q["now"].(string); ok {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		n.now = t.UnixMicro()
	}
	if f, ok := q["filter"].(object); ok {
		n.top = f
	}
	switch q["kind"] {
	case "trend":
		return n.trend(q)
	case "funnel":
		return n.funnel(q)
	}
	return n.segment(q)
}

// plain is a value as JSON has it.
func plain(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

// difference says where two values differ; numbers may by the last digits of
// a sum that was added up in another order.
func difference(path string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for k := range want {
			if d := difference(path+"."+k, want[k], g[k]); d != "" {
				return d
			}
		}
		for k := range g {
			if _, ok := want[k]; !ok {
				return fmt.Sprintf("%s.%s: not wanted, got %v", path, k, g[k])
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			break
		}
		for i := range want {
			if d := difference(fmt.Sprintf("%s[%d]", path, i), want[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	case float64:
		if g, ok := got.(float64); ok && math.Abs(want-g) <= 1e-9*max(1, math.Abs(want)) {
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: want %v, got %v", path, want, got)
}
