package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

var mixQuestions = []string{"Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9"}

// times are what one engine needed for one question.
type times struct {
	Warm   float64 `json:"warm_ms"`
	Cold   float64 `json:"cold_ms,omitempty"`
	Peak   float64 `json:"peak_bytes"` // of its process, while it was asked warm
	Rows   int64   `json:"rows,omitempty"`
	NotYet bool    `json:"not_yet,omitempty"`
	Form   int     `json:"form,omitempty"`
}

// measured are times by question and engine.
type measured map[string]map[string]*times

// questions asks the mix of all engines.
func (b *bench) questions(ctx context.Context) error {
	m, err := b.ask(ctx, b.events, b.engines, true)
	b.report.questions(b.events, m)
	return err
}

// ask asks the mix over events of a size: the engines take turns, question by
// question.
func (b *bench) ask(ctx context.Context, events int, engines []*peer, cold bool) (m measured, err error) {
	r := &round{bench: b, events: events, measured: make(measured)}
	for _, p := range engines {
		if p.why != "" {
			continue
		}
		if _, err := b.loaded(p, events); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, r.end()) }()
	for _, p := range engines {
		if p.why == "" {
			if err := r.start(p); err != nil {
				return nil, err
			}
		}
	}
	steps := []func(string) error{r.compare, r.warm}
	if cold {
		steps = append(steps, r.cold)
	}
	for _, step := range steps {
		for _, q := range b.asked() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := step(q); err != nil {
				return r.measured, err
			}
		}
	}
	return r.measured, nil
}

// round is one asking of the mix.
type round struct {
	*bench
	events   int
	running  []*running
	measured measured
}

// running is an engine that is open and waits for questions.
type running struct {
	*peer
	*engine.Process
	open engine.Request
}

func (r *round) start(p *peer) error {
	proc, err := r.bench.start(p)
	if err != nil {
		return err
	}
	one := &running{peer: p, Process: proc}
	r.running = append(r.running, one)
	if one.open, err = r.request("open", p, r.events); err != nil {
		return err
	}
	if _, err := proc.Do(one.open); err != nil {
		return err
	}
	if p.key == cloister && r.profile != "" {
		_, err = proc.Do(engine.Request{Op: "profile", File: r.profile})
	}
	return err
}

func (r *round) end() error {
	var errs []error
	for _, one := range r.running {
		errs = append(errs, one.End())
	}
	return errors.Join(errs...)
}

func (r *round) of(question string, p *peer) *times {
	if r.measured[question] == nil {
		r.measured[question] = make(map[string]*times)
	}
	if r.measured[question][p.key] == nil {
		r.measured[question][p.key] = new(times)
	}
	return r.measured[question][p.key]
}

// compare asks everybody once: their answers must be the same.
func (r *round) compare(question string) error {
	var first *running
	var want []string
	for _, one := range r.running {
		reply, err := one.Do(engine.Request{Op: "ask", Question: question, Lines: true})
		if err != nil {
			return err
		}
		t := r.of(question, one.peer)
		if t.NotYet = reply.NotYet; t.NotYet {
			continue
		}
		t.Rows = reply.Rows
		if len(reply.Lines) == 0 {
			return fmt.Errorf("%s has no answer to %s", one.title, question)
		}
		if first == nil {
			first, want = one, reply.Lines
		} else if d := difference(want, reply.Lines); d != "" {
			return fmt.Errorf("%s: %s and %s do not agree: %s", question, first.title, one.title, d)
		}
	}
	return nil
}

func difference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			at := func(l []string) string {
				if i < len(l) {
					return l[i]
				}
				return "nothing"
			}
			return fmt.Sprintf("%d and %d lines, the first that differ: %q and %q", len(a), len(b), at(a), at(b))
		}
	}
	return ""
}

// warm asks everybody in turn, several times.
func (r *round) warm(question string) error {
	for _, one := range r.running {
		if err := one.Calm(); err != nil {
			return err
		}
	}
	err := r.turns(question, r.runs, func(one *running) (engine.Request, error) {
		return engine.Request{Op: "ask", Question: question}, nil
	}, func(t *times, ms float64, reply engine.Reply) { t.Warm, t.Form = ms, reply.Form })
	if err != nil {
		return err
	}
	for _, one := range r.running {
		peak, err := one.Peak()
		if err != nil {
			return err
		}
		r.of(question, one.peer).Peak = float64(peak)
	}
	return nil
}

// cold opens everybody's data anew before each question.
func (r *round) cold(question string) error {
	return r.turns(question, min(r.runs, 3), func(one *running) (engine.Request, error) {
		_, err := one.Do(one.open)
		return engine.Request{Op: "ask", Question: question}, err
	}, func(t *times, ms float64, _ engine.Reply) { t.Cold = ms })
}

// turns asks n times and gives the median to set.
func (r *round) turns(question string, n int, prepare func(*running) (engine.Request, error), set func(*times, float64, engine.Reply)) error {
	took := make(map[*running][]int64)
	replies := make(map[*running]engine.Reply)
	for range n {
		for _, one := range r.running {
			if r.of(question, one.peer).NotYet {
				continue
			}
			request, err := prepare(one)
			if err != nil {
				return err
			}
			reply, err := one.Do(request)
			if err != nil {
				return err
			}
			took[one] = append(took[one], reply.Nanos)
			replies[one] = reply
		}
	}
	for one, list := range took {
		slices.Sort(list)
		set(r.of(question, one.peer), float64(list[len(list)/2])/1e6, replies[one])
	}
	return nil
}
