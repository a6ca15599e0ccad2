package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

var mixQuestions = []string{"Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9"}

// bitmaps are the questions that are answered from what was made when events
// were frozen.
var bitmaps = []string{"Q1", "Q6", "Q7"}

// times are what one engine needed for one question.
type times struct {
	Warm   float64 `json:"warm_ms"`
	Cold   float64 `json:"cold_ms,omitempty"`
	Peak   float64 `json:"peak_bytes"` // of its process, while it was asked warm
	Rows   int64   `json:"rows,omitempty"`
	NotYet bool    `json:"not_yet,omitempty"`
	Form   int     `json:"form,omitempty"` // of the question, which was the fastest of several
}

// asked is the mix as it was asked at one size.
type asked struct {
	Events  int                          `json:"events"`
	Times   map[string]map[string]*times `json:"times"` // by question and engine
	Engines []column                     `json:"engines"`
}

// column is one engine.
type column struct {
	Key     string `json:"key"`
	Title   string `json:"title"`
	Version string `json:"version,omitempty"`
	Why     string `json:"left_out,omitempty"`
}

// of gives an engine's times of a question, to be filled in.
func (a *asked) of(question, engine string) *times {
	if a.Times[question] == nil {
		a.Times[question] = make(map[string]*times)
	}
	if a.Times[question][engine] == nil {
		a.Times[question][engine] = new(times)
	}
	return a.Times[question][engine]
}

// has says whether an engine answered a question.
func (a *asked) has(question, engine string) bool {
	t := a.Times[question][engine]
	return t != nil && !t.NotYet && t.Warm > 0
}

// ratios gives, for each of some questions, how many times as long as Cloister
// the fastest of some engines needed.
func (a *asked) ratios(questions []string, took func(*times) float64, engines ...string) map[string]float64 {
	out := make(map[string]float64)
	for _, q := range questions {
		if !a.has(q, cloister) {
			continue
		}
		best := math.Inf(1)
		for _, e := range engines {
			if a.has(q, e) && took(a.Times[q][e]) > 0 {
				best = min(best, took(a.Times[q][e]))
			}
		}
		if ours := took(a.Times[q][cloister]); !math.IsInf(best, 1) && ours > 0 {
			out[q] = best / ours
		}
	}
	return out
}

func warm(t *times) float64 { return t.Warm }
func cold(t *times) float64 { return t.Cold }

func mean(ratios map[string]float64) float64 {
	sum := 0.0
	for _, r := range ratios {
		sum += math.Log(r)
	}
	return math.Exp(sum / float64(len(ratios)))
}

func least(ratios map[string]float64) (question string, ratio float64) {
	for q, r := range ratios {
		if question == "" || r < ratio {
			question, ratio = q, r
		}
	}
	return question, ratio
}

// judge adds the lines of the targets about questions.
func (a *asked) judge(r *report) {
	for _, c := range a.Engines {
		if c.Why != "" {
			r.leave("%s: %s", c.Title, c.Why)
		}
	}
	rows := slices.DeleteFunc(slices.Clone(mixQuestions), func(q string) bool { return slices.Contains(bitmaps, q) })
	for _, q := range mixQuestions {
		if t := a.Times[q][cloister]; t != nil && t.NotYet {
			r.leave("%s: Cloister answers not_yet, so it is in no mean", q)
		}
	}
	line := func(area, what string, ratios map[string]float64, against string, mean_, least_, rows_ float64, of []string) {
		if len(ratios) == 0 {
			return
		}
		if mean_ > 0 {
			r.add(lineOf(area, "geometric mean"+what, mean(ratios), against, mean_))
		}
		if least_ > 0 {
			q, x := least(ratios)
			r.add(lineOf(area, "the least ("+q+")", x, against, least_))
		}
		if rows_ > 0 {
			for _, q := range of {
				if x, ok := ratios[q]; ok {
					r.add(lineOf(area, q+", which no bitmap answers", x, against, rows_))
				}
			}
		}
	}
	const duck = "DuckDB, its better layout"
	line("questions, warm", "", a.ratios(mixQuestions, warm, duckTime, duckPerson), duck, 40, 10, 20, rows)
	line("questions, warm", "", a.ratios(mixQuestions, warm, clickhouse), "ClickHouse, its better layout", 25, 3, 0, nil)
	line("questions, cold", "", a.ratios(mixQuestions, cold, duckTime), "DuckDB, time order", 8, 1, 0, nil)
	a.memory(r)
}

func lineOf(area, what string, ratio float64, against string, atLeast float64) line {
	return line{Area: area, What: what, Ratio: ratio, Against: against, Target: target{AtLeast: atLeast}}
}

// peak is the most memory that an engine took in the mix, in bytes.
func (a *asked) peak(engine string) (most float64) {
	for _, q := range mixQuestions {
		if t := a.Times[q][engine]; t != nil {
			most = max(most, t.Peak)
		}
	}
	return most
}

// memory adds the line of the peak on the mix.
func (a *asked) memory(r *report) {
	l := line{Area: "memory", What: "peak on the mix", Unit: "MB", Ours: a.peak(cloister) / 1e6}
	if best := min(a.peak(duckTime), a.peak(duckPerson)); best > 0 {
		l.Peer, l.Against, l.Target = best/1e6, "DuckDB, its better layout", target{AtMost: .6}
	}
	r.add(l)
}

func (a *asked) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, c := range a.Engines {
		if c.Why == "" {
			fmt.Fprintf(t, "%s\tcold\t", c.Title)
		}
	}
	fmt.Fprintln(t, "DuckDB/ours\tClickHouse/ours\tcold, DuckDB/ours\trows\tns/row\tpeak MB\t")
	duck, click := a.ratios(mixQuestions, warm, duckTime, duckPerson), a.ratios(mixQuestions, warm, clickhouse)
	coldDuck := a.ratios(mixQuestions, cold, duckTime)
	for _, q := range mixQuestions {
		if a.Times[q] == nil {
			continue
		}
		star := ""
		if slices.Contains(bitmaps, q) {
			star = "*"
		}
		fmt.Fprintf(t, "%s%s\t", q, star)
		for _, c := range a.Engines {
			switch {
			case c.Why != "":
			case a.has(q, c.Key):
				fmt.Fprintf(t, "%s\t%s\t", short(a.Times[q][c.Key].Warm), dash(a.Times[q][c.Key].Cold, ""))
			default:
				fmt.Fprint(t, "not_yet\t-\t")
			}
		}
		ours := a.Times[q][cloister]
		perRow := 0.0
		if ours.Rows > 0 {
			perRow = ours.Warm * 1e6 / float64(ours.Rows)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", dash(duck[q], "x"), dash(click[q], "x"), dash(coldDuck[q], "x"),
			grouped(float64(ours.Rows)), dash(perRow, ""), dash(ours.Peak/1e6, ""))
	}
	t.Flush()
}

func dash(x float64, unit string) string {
	if x == 0 {
		return "-"
	}
	return short(x) + unit
}

// printGrowth prints how Cloister's times and memory move with size.
func printGrowth(w io.Writer, sizes []*asked) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, a := range sizes {
		fmt.Fprintf(t, "%s ms\trows\tns/row\tpeak MB\t", grouped(float64(a.Events)))
	}
	fmt.Fprintln(t)
	for _, q := range mixQuestions {
		fmt.Fprintf(t, "%s\t", q)
		for _, a := range sizes {
			if !a.has(q, cloister) {
				fmt.Fprint(t, "-\t-\t-\t-\t")
				continue
			}
			o, perRow := a.Times[q][cloister], 0.0
			if o.Rows > 0 {
				perRow = o.Warm * 1e6 / float64(o.Rows)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t", short(o.Warm), grouped(float64(o.Rows)), dash(perRow, ""), short(o.Peak/1e6))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}
