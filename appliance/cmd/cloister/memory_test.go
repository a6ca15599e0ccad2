package main

import (
	"math"
	"testing"
)

func TestMemoryOfTheMachine(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:       24576 kB\nMemFree:  7 kB\n": 24 << 20,
		"MemFree: 7 kB\nMemTotal: 8 kB":              8 << 10,
		"":                                           math.MaxInt64,
		"MemTotal: many kB":                          math.MaxInt64,
	} {
		if got := memTotal([]byte(text)); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
}
