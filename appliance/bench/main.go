// Command bench measures the appliance beside its peers and prints, for every
// target, our figure, the peer's, their ratio and whether it is met. How it
// measures, and what is fair about it, stands in README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	events    int
	sizes     []int
	runs      int
	only      []string
	skipPeers bool
	keep      string
	dir       string
	json      string
	profile   string
	seed      uint64
	soak      time.Duration
}

func flags(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.IntVar(&o.events, "events", targetEvents, "events of the mix; 40 of them a person")
	sizes := f.String("sizes", "", "events at which Cloister's growth is looked at, beside those of -events; default a 20th and a half of them")
	f.IntVar(&o.runs, "runs", 5, "times that each question is asked, of which the median counts")
	only := f.String("only", "", "what to measure, by commas: questions (Q5), or parts (see README.md); all if empty")
	f.BoolVar(&o.skipPeers, "skip-peers", false, "measure Cloister alone")
	f.StringVar(&o.keep, "keep", "", "directory of loaded engines to use, and to fill and leave behind if it has none of this size")
	f.StringVar(&o.dir, "dir", "", "where to put what is removed afterwards; default the system's directory for that")
	f.StringVar(&o.json, "json", "", "file to write the figures to")
	f.StringVar(&o.profile, "profile", "", "file for a CPU profile of Cloister's process while it is asked")
	f.DurationVar(&o.soak, "soak", 20*time.Minute, "how long -only soak takes")
	f.Uint64Var(&o.seed, "seed", 1, "of the events")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("there is no argument %q", f.Arg(0))
	}
	if o.events < 1000 || o.runs < 1 {
		return o, fmt.Errorf("at least 1000 events and one run are needed")
	}
	if *sizes == "" {
		*sizes = fmt.Sprintf("%d,%d", max(o.events/20, 1000), max(o.events/2, 1000))
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1000 {
			return o, fmt.Errorf("%q is no number of events from 1000 on", s)
		}
		o.sizes = append(o.sizes, n)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := flags(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// grouped writes a number with a space between thousands.
func grouped(n float64) string {
	s := strconv.FormatInt(int64(n+.5), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
