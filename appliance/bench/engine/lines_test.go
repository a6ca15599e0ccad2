package engine

import (
	"slices"
	"testing"
)

func TestLines(t *testing.T) {
	var l Lines
	l.Add("b", 1, 0)
	l.Add("nothing", 0, 0)
	l.Add("a", 1234567.891)
	if got, want := l.Sorted(), []string{"a 1234567.89", "b 1.00 0.00"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
