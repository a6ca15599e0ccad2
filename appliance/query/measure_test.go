package query

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMedian finds the same as a sort, whatever the order and the repeats.
func TestMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{1, 3, 1000, 1 << 40}).Draw(t, "most")
		n := rapid.IntRange(0, 400).Draw(t, "n")
		values := make([]float64, n)
		shape := rapid.IntRange(0, 2).Draw(t, "shape")
		for i := range values {
			switch shape {
			case 0:
				values[i] = float64(rapid.IntRange(0, most).Draw(t, "value"))
			case 1:
				values[i] = float64(i)
			default:
				values[i] = float64(n - i%(most%97+1))
			}
		}
		want := slices.Sorted(slices.Values(values))
		if got := median(values); got != middle(want) {
			t.Fatalf("median %v, want %v", got, middle(want))
		}
	})
}
