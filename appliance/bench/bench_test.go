package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShort runs all that is measured of Cloister alone, small: every part has
// figures, every question an answer, and nothing is left behind.
func TestShort(t *testing.T) {
	dir := t.TempDir()
	o, err := flags([]string{"-events", "40000", "-sizes", "20000", "-runs", "1", "-skip-peers", "-dir", dir, "-json", filepath.Join(dir, "report.json")})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append([]string{"disk", "import", "durable ingest, core", "idle daemon", "during ingest", "visible", "growth"}, mixQuestions...) {
		if !strings.Contains(string(text), `"`+want) {
			t.Errorf("the report has nothing of %q", want)
		}
	}
	if strings.Contains(string(text), "not_yet") {
		t.Error("a question of the mix has no answer")
	}
}

// TestAdd holds when a target counts as missed.
func TestAdd(t *testing.T) {
	for _, c := range []struct {
		line   line
		ratio  float64
		missed bool
	}{
		{line{Ours: 10, Peer: 4, Against: "x", Target: target{AtLeast: 2.5}}, 2.5, false},
		{line{Ours: 10, Peer: 4, Against: "x", Target: target{AtLeast: 2.6}}, 2.5, true},
		{line{Ours: 7, Peer: 10, Against: "x", Target: target{AtMost: .7}}, .7, false},
		{line{Ours: 8, Peer: 10, Against: "x", Target: target{AtMost: .7}}, .8, true},
		{line{Ratio: 39, Against: "x", Target: target{AtLeast: 40}}, 39, true},
		{line{Ours: 151, Target: target{AtMost: 150}}, 0, true},
		{line{Ours: 149, Target: target{AtMost: 150}}, 0, false},
		{line{Ours: 149}, 0, false},
	} {
		var r report
		r.add(c.line)
		if l := r.Lines[0]; l.Ratio != c.ratio || l.Missed != c.missed {
			t.Errorf("%+v", l)
		}
	}
}

// TestRatios holds that a peer counts in its better layout, and that what an
// engine does not answer is in no mean.
func TestRatios(t *testing.T) {
	a := asked{Times: map[string]map[string]*times{
		"Q1": {cloister: {Warm: 2}, duckTime: {Warm: 80}, duckPerson: {Warm: 20}},
		"Q2": {cloister: {Warm: 1}, duckTime: {Warm: 40}},
		"Q3": {cloister: {NotYet: true}, duckTime: {Warm: 40}},
	}}
	r := a.ratios(mixQuestions, warm, duckTime, duckPerson)
	if len(r) != 2 || r["Q1"] != 10 || r["Q2"] != 40 {
		t.Fatal(r)
	}
	if m := mean(r); math.Abs(m-20) > 1e-9 {
		t.Error("the mean is", m)
	}
	if q, x := least(r); q != "Q1" || x != 10 {
		t.Error("the least is", q, x)
	}
	if len(a.ratios(mixQuestions, warm, clickhouse)) != 0 {
		t.Error("an engine that was not asked has a ratio")
	}
}

// TestDifference holds that answers are compared in whole.
func TestDifference(t *testing.T) {
	same := []string{"a 1.00", "b 2.00"}
	if d := difference(same, []string{"a 1.00", "b 2.00"}); d != "" {
		t.Error(d)
	}
	for _, other := range [][]string{nil, {"a 1.00"}, {"a 1.00", "b 2.01"}, {"a 1.00", "b 2.00", "c 3.00"}} {
		if difference(same, other) == "" || difference(other, same) == "" {
			t.Errorf("%q passes for %q", other, same)
		}
	}
}
