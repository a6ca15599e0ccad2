package main

import (
	"cmp"
	"context"
	"slices"
)

// growth asks Cloister the mix at several sizes, beside that which the others
// were asked at.
func (b *bench) growth(ctx context.Context) error {
	ours := b.find(cloister)
	sizes := b.report.Growth
	if b.report.Questions != nil {
		sizes = append(sizes, b.report.Questions)
	}
	for _, events := range b.sizes {
		if events == b.events && b.report.Questions != nil {
			continue
		}
		b.say("%s events", grouped(float64(events)))
		a, err := b.ask(ctx, events, []*peer{ours}, false)
		if err != nil {
			return err
		}
		sizes = append(sizes, a)
	}
	slices.SortFunc(sizes, func(a, b *asked) int { return cmp.Compare(a.Events, b.Events) })
	b.report.Growth = sizes
	if len(sizes) < 2 {
		return nil
	}
	rates := make([]float64, len(sizes))
	for i, a := range sizes {
		figures, err := b.loaded(ours, a.Events)
		if err != nil {
			return err
		}
		rates[i] = float64(a.Events) / figures["frozen_s"]
	}
	for _, q := range b.wantedQuestions() {
		b.report.steepest(q+", by rows to look at", "ms", sizes, func(small, large *asked) (float64, float64, float64) {
			if !small.has(q, cloister) || !large.has(q, cloister) {
				return 0, 0, 0
			}
			a, z := small.Times[q][cloister], large.Times[q][cloister]
			if a.Rows > 0 && q != "Q9" {
				return a.Warm, z.Warm, float64(z.Rows) / float64(a.Rows)
			}
			return a.Warm, z.Warm, float64(large.Events) / float64(small.Events)
		})
	}
	b.report.steepest("peak on the mix, by events", "MB", sizes, func(small, large *asked) (float64, float64, float64) {
		return small.peak(cloister) / 1e6, large.peak(cloister) / 1e6, float64(large.Events) / float64(small.Events)
	})
	b.report.add(line{Area: "growth", What: "import, people and history", Unit: "events/s", Ours: rates[len(rates)-1], Peer: rates[0],
		Against: "at " + grouped(float64(sizes[0].Events)), Target: target{AtLeast: 1 / noise}})
	return nil
}

// noise is what two runs of the same may differ by.
const noise = 1.1

// steepest adds the line of the two neighbouring sizes between which a figure
// grew the most, over what it may have grown by. of gives both figures and that.
func (r *report) steepest(what, unit string, sizes []*asked, of func(small, large *asked) (a, z, times float64)) {
	l := line{Area: "growth", What: what, Unit: unit, Target: target{AtMost: noise}}
	for i := 1; i < len(sizes); i++ {
		a, z, times := of(sizes[i-1], sizes[i])
		if a > 0 && z/a/times > l.Ratio {
			l.Ours, l.Peer, l.Ratio = z, a, z/a/times
			l.Against = "(" + grouped(float64(sizes[i-1].Events)) + " to " + grouped(float64(sizes[i].Events)) + ")"
		}
	}
	if l.Ratio > 0 {
		r.add(l)
	}
}
