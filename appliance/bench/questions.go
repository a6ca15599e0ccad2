package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

// questions asks the mix of all engines.
func (b *bench) questions(ctx context.Context) error {
	a, err := b.ask(ctx, b.events, b.engines, true)
	if err != nil {
		return err
	}
	b.report.Questions = a
	a.judge(b.report)
	return nil
}

// ask asks the mix over events of a size: the engines take turns, question by
// question.
func (b *bench) ask(ctx context.Context, events int, engines []*peer, cold bool) (_ *asked, err error) {
	r := &round{bench: b, asked: asked{Events: events, Times: make(map[string]map[string]*times)}}
	for _, p := range engines {
		r.Engines = append(r.Engines, column{Key: p.key, Title: p.title, Why: p.why})
		if p.why != "" {
			continue
		}
		if _, err := b.loaded(p, events); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, r.end()) }()
	for i, p := range engines {
		if p.why != "" {
			continue
		}
		if r.Engines[i].Version, err = r.start(p); err != nil {
			return nil, err
		}
	}
	type step struct {
		what string
		ask  func(question string) error
	}
	steps := []step{{"comparing answers", r.compare}, {"warm", r.warm}}
	if cold {
		steps = append(steps, step{"cold", r.cold})
	}
	for _, s := range steps {
		b.say("%s", s.what)
		for _, q := range b.wantedQuestions() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := s.ask(q); err != nil {
				return nil, err
			}
		}
	}
	return &r.asked, nil
}

// round is one asking of the mix.
type round struct {
	*bench
	asked
	running []*running
}

// running is an engine that is open and waits for questions.
type running struct {
	*peer
	*engine.Process
	open engine.Request
}

func (r *round) start(p *peer) (version string, err error) {
	proc, err := r.bench.start(p)
	if err != nil {
		return "", err
	}
	one := &running{peer: p, Process: proc}
	r.running = append(r.running, one)
	if one.open, err = r.request("open", p, r.Events); err != nil {
		return "", err
	}
	reply, err := proc.Do(one.open)
	if err == nil && p.key == cloister && r.profile != "" {
		_, err = proc.Do(engine.Request{Op: "profile", File: r.profile})
	}
	return reply.Text["version"], err
}

func (r *round) end() error {
	var errs []error
	for _, one := range r.running {
		errs = append(errs, one.End())
	}
	return errors.Join(errs...)
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
		t := r.of(question, one.key)
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
		r.of(question, one.key).Peak = float64(peak)
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
	took := make(map[*running][]float64)
	replies := make(map[*running]engine.Reply)
	for range n {
		for _, one := range r.running {
			if r.of(question, one.key).NotYet {
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
			took[one] = append(took[one], float64(reply.Nanos)/1e6)
			replies[one] = reply
		}
	}
	for one, list := range took {
		set(r.of(question, one.key), median(list), replies[one])
	}
	return nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
