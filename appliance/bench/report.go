package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// report is what was measured.
type report struct {
	Machine   map[string]string `json:"machine"`
	Events    int               `json:"events"`
	Seed      uint64            `json:"seed"`
	Runs      int               `json:"runs"`
	Questions *asked            `json:"questions,omitempty"`
	Growth    []*asked          `json:"growth,omitempty"`
	Lines     []line            `json:"lines"`
	Left      []string          `json:"left_out,omitempty"` // what was not measured, and why
}

const targetEvents = 20_000_000

// line is one figure, with a peer's beside it where there is one, and a target
// for their ratio.
type line struct {
	Area    string  `json:"area"`
	What    string  `json:"what"`
	Unit    string  `json:"unit,omitempty"` // of Ours and Peer
	Ours    float64 `json:"ours,omitempty"`
	Peer    float64 `json:"peer,omitempty"`
	Against string  `json:"against,omitempty"` // who or what the peer is
	Ratio   float64 `json:"ratio,omitempty"`
	Target  target  `json:"target,omitzero"`
	Missed  bool    `json:"missed,omitempty"`
}

// target bounds a ratio, or, where there is no peer, a figure of ours.
type target struct {
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

func (t target) missed(x float64) bool {
	return t.AtLeast > 0 && x < t.AtLeast || t.AtMost > 0 && x > t.AtMost
}

func (t target) text(unit string) string {
	switch {
	case t.AtLeast > 0:
		return ">= " + short(t.AtLeast) + unit
	case t.AtMost > 0:
		return "<= " + short(t.AtMost) + unit
	}
	return ""
}

func newReport(o options) *report {
	return &report{Machine: machine(), Events: o.events, Seed: o.seed, Runs: o.runs}
}

// add adds a line: if it has a peer but no ratio, that of ours to the peer's.
func (r *report) add(l line) {
	if l.Ratio == 0 && l.Peer > 0 {
		l.Ratio = l.Ours / l.Peer
	}
	x := l.Ratio
	if l.Against == "" {
		x = l.Ours
	}
	l.Missed = l.Target.missed(x)
	r.Lines = append(r.Lines, l)
}

func (r *report) leave(format string, args ...any) {
	r.Left = append(r.Left, fmt.Sprintf(format, args...))
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (r *report) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s, %s cores, %s, Linux %s, %s\n", m["cpu"], m["cores"], m["memory"], m["kernel"], m["go"])
	fmt.Fprintf(w, "%s events from seed %d, median of %d\n", grouped(float64(r.Events)), r.Seed, r.Runs)
	if r.Events != targetEvents {
		fmt.Fprintf(w, "Targets are for %s events on a machine that does nothing else: these figures say little about them.\n", grouped(targetEvents))
	}
	if r.Questions != nil {
		fmt.Fprintln(w, "\nQuestions, ms; each engine with two threads, in turns. * answered from bitmaps made when events are frozen.")
		for _, c := range r.Questions.Engines {
			if c.Version != "" {
				fmt.Fprintf(w, "%s: %s\n", c.Title, c.Version)
			}
		}
		r.Questions.print(w)
	}
	if len(r.Growth) > 0 {
		fmt.Fprintln(w, "\nGrowth, warm")
		printGrowth(w, r.Growth)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	area, missed := "", 0
	for _, l := range r.Lines {
		if l.Area != area {
			area = l.Area
			fmt.Fprintln(t, strings.ToUpper(area)+"\t\t\t\t\t")
		}
		l.print(t)
		if l.Missed {
			missed++
		}
	}
	t.Flush()
	for _, l := range r.Left {
		fmt.Fprintln(w, "left out:", l)
	}
	fmt.Fprintf(w, "%d of the targets MISSED\n", missed)
}

func (l *line) print(w io.Writer) {
	ours, peer, ratio, goal, unit := "", "", "", "", ""
	if l.Ours != 0 {
		ours = short(l.Ours) + " " + l.Unit
	}
	if l.Against != "" {
		peer = l.Against
		if l.Peer != 0 {
			peer = short(l.Peer) + " " + l.Unit + " " + l.Against
		}
		ratio, unit = short(l.Ratio)+"x", "x"
	} else {
		unit = " " + l.Unit
	}
	if goal = l.Target.text(unit); l.Missed {
		goal += "  MISSED"
	}
	fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", l.What, ours, peer, ratio, goal)
}

// short writes a number with as many digits as it deserves.
func short(x float64) string {
	switch {
	case x >= 1000:
		return grouped(x)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}
