package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/bench/mix"
)

// run measures what is asked for and prints it.
func run(ctx context.Context, o options) (err error) {
	dir := o.keep
	if dir == "" {
		if dir, err = os.MkdirTemp(o.dir, "cloister-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, report: newReport(o)}
	defer func() { err = errors.Join(err, b.end()) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	for _, part := range b.parts() {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.say("%s", part.title)
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.title, err)
		}
	}
	b.report.print(os.Stdout)
	if o.json != "" {
		return b.report.write(o.json)
	}
	return nil
}

// bench is one run.
type bench struct {
	options
	dir      string // of data
	bin      string // of programs
	engines  []*peer
	report   *report
	peakRate float64 // of the whole path, events per second; 0 = not measured yet
	undo     []func() error
}

type part struct {
	name, title string
	measure     func(context.Context) error
}

// parts are what there is to measure and was asked for.
func (b *bench) parts() []part {
	all := []part{
		{"questions", "the mix of questions", b.questions},
		{"disk", "disk", b.disk},
		{"import", "import", b.imports},
		{"durable", "durable ingest", b.durable},
		{"daemon", "the daemon, idle", b.daemon},
		{"sending", "sending", b.sending},
		{"live", "questions during ingest", b.live},
		{"growth", "growth", b.growth},
		{"soak", "a quarter of the peak for a while", b.soakFor},
	}
	// Long, and about no peer: only where it is asked for.
	return slices.DeleteFunc(all, func(p part) bool {
		return !b.wanted(p.name) || p.name == "soak" && !slices.Contains(b.only, "soak")
	})
}

// wanted says whether -only has a part; a question stands for all of them.
func (b *bench) wanted(part string) bool {
	return len(b.only) == 0 || slices.Contains(b.only, part) || part == "questions" && slices.ContainsFunc(b.only, isQuestion)
}

// wantedQuestions are those that -only has.
func (b *bench) wantedQuestions() []string {
	return slices.DeleteFunc(slices.Clone(mixQuestions), func(q string) bool {
		return slices.ContainsFunc(b.only, isQuestion) && !slices.Contains(b.only, q)
	})
}

func isQuestion(s string) bool { return slices.Contains(mixQuestions, s) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func (b *bench) end() error {
	var errs []error
	for _, undo := range slices.Backward(b.undo) {
		errs = append(errs, undo())
	}
	b.undo = nil
	return errors.Join(errs...)
}

// request is one about the events of a size, kept by an engine.
func (b *bench) request(op string, p *peer, events int) (engine.Request, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("events-%d-%d", events, b.seed))
	return engine.Request{
		Op: op, Dir: b.home(p, events), File: path, Events: events, Seed: b.seed, Someone: mix.Someone(events, b.seed), Words: mix.Words(),
	}, mix.Write(path, events, b.seed)
}

// home is where an engine keeps the events of a size.
func (b *bench) home(p *peer, events int) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s-%d-seed%d", p.key, events, b.seed))
}
