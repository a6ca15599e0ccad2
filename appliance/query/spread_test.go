package query

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values    []float64
		bins      int
		fractions bool
		want      [][2]float64
	}{
		{[]float64{5}, 10, true, [][2]float64{{5, 1}}},
		{[]float64{0, 9, 10, 19, 20, 25}, 3, true, [][2]float64{{0, 1}, {9, 2}, {18, 3}}},
		{[]float64{1, 2, 5}, 10, true, [][2]float64{{1, 1}, {2, 1}, {3, 0}, {4, 0}, {5, 1}}},
		// Fractions close together have bins of a fraction, times never have.
		{[]float64{0, 0.25, 1}, 4, true, [][2]float64{{0, 1}, {0.25, 1}, {0.5, 0}, {0.75, 1}}},
		{[]float64{0, 0.25, 1}, 4, false, [][2]float64{{0, 2}, {1, 1}}},
		{[]float64{0, 0.5, 40}, 4, true, [][2]float64{{0, 2}, {10, 0}, {20, 0}, {30, 1}}},
		// Further apart than a float can say.
		{[]float64{-math.MaxFloat64, 0, math.MaxFloat64}, 1, true, [][2]float64{{-math.MaxFloat64, 3}}},
	} {
		if got := spread(c.values, c.bins, c.fractions); !slices.Equal(got, c.want) {
			t.Errorf("%v in %d: %v, want %v", c.values, c.bins, got, c.want)
		}
	}
}

// TestSpreadHolds: whatever the numbers, each is in one bin, and the bins rise
// from the lowest.
func TestSpreadHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), rapid.Float64Range(-10, 10),
			rapid.Map(rapid.IntRange(0, 50), func(n int) float64 { return float64(n) })), 1, 20).Draw(t, "values")
		bins := rapid.IntRange(1, 30).Draw(t, "bins")
		slices.Sort(values)
		got := spread(values, bins, rapid.Bool().Draw(t, "fractions"))
		n := 0.0
		for i, b := range got {
			n += b[1]
			if math.IsNaN(b[0]) || math.IsInf(b[0], 0) || i > 0 && b[0] < got[i-1][0] {
				t.Fatalf("bins %v", got)
			}
		}
		if n != float64(len(values)) || len(got) > bins || got[0][0] != values[0] {
			t.Fatalf("%v in %d bins: %v", values, bins, got)
		}
	})
}
