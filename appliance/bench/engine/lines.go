package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Lines collects an answer in the form in which engines are compared: keys and
// numbers, in any order, those left out whose numbers are all zero, since SQL
// has no rows for what did not happen.
type Lines struct{ list []string }

// Add adds numbers under a key. Sums of money are compared to the hundredth.
func (l *Lines) Add(key string, numbers ...float64) {
	zero := true
	var b strings.Builder
	b.WriteString(key)
	for _, n := range numbers {
		zero = zero && n == 0
		fmt.Fprintf(&b, " %.2f", n)
	}
	if !zero {
		l.list = append(l.list, b.String())
	}
}

// Sorted gives the lines.
func (l *Lines) Sorted() []string {
	slices.Sort(l.list)
	return l.list
}
