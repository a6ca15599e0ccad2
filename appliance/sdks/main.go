// Command sdks runs the SDKs that apps carry, as their makers publish them,
// against a real daemon, loses answers and kills the daemon on the way, then
// asks the daemon questions. It prints a line for each SDK.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sdks:", err)
		os.Exit(1)
	}
}

// errRed: an SDK did not do what it must.
var errRed = errors.New("not every SDK passed")

func run(ctx context.Context) error {
	program := flag.String("daemon", "../../bin/cloister", "the daemon's program")
	chrome := flag.String("chrome", "chromium", "the browser's program")
	only := flag.String("only", "", "names of SDKs, with commas between; all without it")
	verbose := flag.Bool("v", false, "every request, and the daemon's log of those that fail")
	flag.Parse()
	path, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	lab := lab{program: path, chrome: *chrome, verbose: *verbose}
	red := false
	for _, s := range sdks {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		r, err := lab.try(ctx, s)
		if err != nil {
			r.wrong = append(r.wrong, err.Error())
		}
		fmt.Println(r.line(s))
		red = red || len(r.wrong) > 0
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if red {
		return errRed
	}
	return nil
}

// lab is where SDKs are tried.
type lab struct {
	program, chrome string
	verbose         bool
}

// trial is one SDK with a daemon and a recorder of its own.
type trial struct {
	lab
	daemon   *daemon
	recorder *recorder
	url      string // what the SDK is told
	errors   []string
	ends     []func()
}

// after has f done when the trial has ended.
func (t *trial) after(f func()) { t.ends = append(t.ends, f) }

func (t *trial) end() {
	for _, f := range slices.Backward(t.ends) {
		f()
	}
}

// A trial ends within trialTime; patience is for what an SDK sends again once
// its script has ended.
const (
	trialTime = 2 * time.Minute
	patience  = 20 * time.Second
)

// try runs one SDK and asks what came of it.
func (l lab) try(ctx context.Context, s sdk) (r result, err error) {
	r.version, err = s.version()
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "sdk-") // short: a socket's path is bounded
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	d, err := newDaemon(l.program, dir, s.secure)
	if err != nil {
		return r, err
	}
	if err := d.start(ctx); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	rec, err := record(d.collect, s, func() { d.kill(ctx) })
	if err != nil {
		return r, err
	}
	defer rec.server.Close()
	t := &trial{lab: l, daemon: d, recorder: rec, url: rec.server.URL}
	defer t.end()
	r.calls, err = s.run(ctx, t)
	r.recorded(rec)
	if err == nil {
		err = d.wait()
	}
	var a answer
	if err == nil {
		a, err = d.settle(ctx, s.want, patience)
	}
	r.recorded(rec)
	if err == nil && r.lost > 0 && !s.once {
		d.repeated(ctx, patience)
	}
	r.said, r.wrong = a.said, append(a.wrong, t.errors...)
	d.mu.Lock()
	d.count()
	r.repeats, r.refused = d.repeats, d.refused
	err = errors.Join(err, d.failure)
	d.mu.Unlock()
	r.judge(s)
	if l.verbose {
		rec.mu.Lock()
		fmt.Fprintf(os.Stderr, "%s\n  %s\n", s.name, strings.Join(rec.log, "\n  "))
		rec.mu.Unlock()
		if len(r.wrong) > 0 || err != nil {
			fmt.Fprintf(os.Stderr, "%s\n", d.log.String())
		}
	}
	return r, err
}
