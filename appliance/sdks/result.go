package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// result is what became of one SDK.
type result struct {
	version                      string
	calls                        int // of the SDK's functions
	requests, lost, died, missed int // that carried calls; whose answer was lost; that met a daemon's end, or none
	others                       int
	statuses                     map[int]int
	repeats, refused             int // what the daemon recognised, and what it would not take
	said, wrong                  []string
}

// recorded takes what the recorder counted so far.
func (r *result) recorded(rec *recorder) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	r.requests, r.lost, r.died, r.missed = rec.requests, rec.met[lost], rec.met[died], rec.missed
	r.others = 0
	for _, n := range rec.others {
		r.others += n
	}
	r.statuses = maps.Clone(rec.answers)
}

// judge adds what is wrong whatever the questions say.
func (r *result) judge(s sdk) {
	for _, status := range slices.Sorted(maps.Keys(r.statuses)) {
		if status/100 != 2 && status != 0 && !(s.front && status == http.StatusBadGateway) {
			r.wrong = append(r.wrong, fmt.Sprintf("%d answered %d times", status, r.statuses[status]))
		}
	}
	if r.refused > 0 {
		r.wrong = append(r.wrong, fmt.Sprintf("%d records refused", r.refused))
	}
	for n, f := range s.faults {
		if f == lost && r.lost == 0 || f == died && r.died == 0 {
			r.wrong = append(r.wrong, fmt.Sprintf("only %d requests, and a fault waits for the %dth", r.requests, n))
		}
	}
	if r.lost > 0 && r.repeats == 0 && !s.once {
		r.wrong = append(r.wrong, "an answer was lost, and nothing was repeated")
	}
}

// line is what is printed.
func (r result) line(s sdk) string {
	word := "ok  "
	if len(r.wrong) > 0 {
		word = "FAIL"
	}
	out := fmt.Sprintf("%s %s %s: %d calls in %d requests (+%d others)", word, s.name, r.version, r.calls, r.requests, r.others)
	if r.lost > 0 {
		out += fmt.Sprintf(", %d lost its answer", r.lost)
	}
	if r.died+r.missed > 0 {
		out += fmt.Sprintf(", %d met a dead daemon", r.died+r.missed)
	}
	out += fmt.Sprintf(", %d repeats recognised; asked: %s", r.repeats, strings.Join(r.said, ", "))
	if len(r.wrong) > 0 {
		out += "; WRONG: " + strings.Join(r.wrong, "; ")
	}
	if s.note != "" {
		out += "; " + s.note
	}
	return out
}
