package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// report is what was measured.
type report struct {
	Machine   map[string]string `json:"machine"`
	Events    int               `json:"events"`
	Seed      uint64            `json:"seed"`
	Runs      int               `json:"runs"`
	Questions map[int]measured  `json:"questions"` // by size
}

func newReport(o options) *report {
	return &report{Events: o.events, Seed: o.seed, Runs: o.runs, Questions: make(map[int]measured)}
}

func (r *report) questions(events int, m measured) { r.Questions[events] = m }

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (r *report) print(w io.Writer) {
	for events, m := range r.Questions {
		fmt.Fprintln(w, grouped(float64(events)), "events, ms")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, q := range mixQuestions {
			for k, v := range m[q] {
				fmt.Fprintf(t, "%s\t%s\t%.3f\t%.3f\t%.0f MB\t%d rows\tform %d\t%v\n", q, k, v.Warm, v.Cold, v.Peak/1e6, v.Rows, v.Form, v.NotYet)
			}
		}
		t.Flush()
	}
}
