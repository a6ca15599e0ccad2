package main

import (
	"math"
	"testing"
	"testing/fstest"
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

func TestMemoryOfTheControlGroup(t *testing.T) {
	groups := fstest.MapFS{
		"memory.max":                               {Data: []byte("max\n")},
		"system.slice/memory.max":                  {Data: []byte("4294967296\n")},
		"system.slice/cloister.service/memory.max": {Data: []byte("max\n")},
		"small/memory.max":                         {Data: []byte("1000\n")},
		"small/within/memory.max":                  {Data: []byte("2000\n")},
	}
	for self, want := range map[string]int64{
		"0::/\n":                              math.MaxInt64,
		"0::/system.slice/cloister.service\n": 4 << 30,
		"0::/small/within\n":                  1000,
		"0::/../elsewhere\n":                  math.MaxInt64,
		"4:memory:/small\n":                   math.MaxInt64,
		"":                                    math.MaxInt64,
	} {
		if got := groupMost(groups, []byte(self)); got != want {
			t.Errorf("%q: %d", self, got)
		}
	}
	groups["memory.max"] = &fstest.MapFile{Data: []byte("500\n")} // as a container sees its own
	for _, self := range []string{"0::/\n", "0::/../elsewhere\n", "0::/small\n"} {
		if got := groupMost(groups, []byte(self)); got != 500 {
			t.Errorf("in a container, %q: %d", self, got)
		}
	}
}
