package appliance

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cloisterhq/cloister/appliance/health"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
)

// TestMetricsOfBudgets: what is shared by all publishers is there without any.
func TestMetricsOfBudgets(t *testing.T) {
	a := &appliance{board: health.NewBoard(time.Now), disk: &disk{}, columns: history.NewCache(1000), budget: query.NewBudget(2000, 2)}
	share, err := a.budget.Begin(t.Context(), "acme", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer share.End()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(&collector{a})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"cloister_columns_bytes": 0, "cloister_columns_limit_bytes": 1000, "cloister_columns_hits_total": 0, "cloister_columns_misses_total": 0,
		"cloister_questions running": 1, "cloister_questions waiting": 0,
		"cloister_questions_bytes": 0, "cloister_questions_limit_bytes": 2000, "cloister_questions_refused_total": 0,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s is %v, %v", name, v, there)
		}
	}
}

func TestMemoryShare(t *testing.T) {
	for memory, want := range map[int64]int64{0: 512 << 20, 16 << 30: 2 << 30, 256 << 20: 128 << 20} {
		if got := memoryShare(memory); got != want {
			t.Errorf("of %d: %d", memory, got)
		}
	}
}
