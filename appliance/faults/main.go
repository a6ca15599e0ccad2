//go:build linux

// Command faults breaks the appliance on purpose and counts what was lost. It
// drives the built daemon as a process over a real configuration, keeps a
// record of every acknowledgement outside of it, and prints one line a fault:
// README.md says how to read them. It ends with 1 if anything that was
// acknowledged was lost or counts twice, or if damage was not noticed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// fault is one line of the table.
type fault struct {
	name  string
	full  int          // rounds of the full form
	short int          // and of the short one
	needs func() error // what the machine must let be done; nil = nothing
	run   func(ctx context.Context, h *harness, rounds int) (result, error)
}

var faults = []fault{
	{"kill -9", 200, 6, nil, kills},
	{"kill -9 amid a campaign", 200, 8, nil, campaignKills},
	{"kill -9 amid a campaign by push", 60, 2, nil, pushKills},
	{"a connector misbehaves", 5, 0, nil, misbehaving},
	{"kill -9 and again amid the start", 20, 1, nil, killsAmidStart},
	{"power cut", 70, 1, tryDisk, powerCuts},
	{"power cut at a journal file's rotation", 10, 1, tryDisk, cutsAtRotation},
	{"power cut at a freeze", 10, 0, tryDisk, cutsAtFreeze},
	{"power cut at a checkpoint", 10, 1, tryDisk, cutsAtCheckpoint},
	{"power cut and another amid the start", 10, 1, tryDisk, cutsAmidStart},
	{"sync fails (EIO)", 10, 1, tryTrace, failingSyncs},
	{"sync fails and then the power", 8, 0, tryBoth, failingSyncsCut},
	{"disk full", 5, 1, tryDisk, fullDisks},
	{"file damaged", len(ways), 1, nil, damages}, // ways, of every kind of file
}

// result is what a fault did.
type result struct {
	rounds     int // that landed in the middle of work
	missed     int // that did not, and do not count
	acked      int
	lost       int
	duplicated int
	noticed    int // damages that were refused, or reported, before anything was served from them
	harmless   int // damages of what is made again, or not needed: everything was there
	silent     int // damages after which less was served without a word
	notes      []string
}

func (r *result) add(o result) {
	r.rounds, r.missed, r.acked, r.lost, r.duplicated = r.rounds+o.rounds, r.missed+o.missed, r.acked+o.acked, r.lost+o.lost, r.duplicated+o.duplicated
	r.noticed, r.harmless, r.silent = r.noticed+o.noticed, r.harmless+o.harmless, r.silent+o.silent
	r.notes = append(r.notes, o.notes...)
}

func (r *result) bad() bool { return r.lost+r.duplicated+r.silent > 0 || r.rounds == 0 }

// harness is what all faults need.
type harness struct {
	program string
	dir     string // of everything that is made; short, since a socket's path is bounded
	log     io.Writer
	verbose bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	program := flag.String("program", "bin/cloister", "the daemon")
	short := flag.Bool("short", false, "a few rounds of each, for every change; leaves out what this machine cannot do, and says so")
	only := flag.String("only", "", "faults whose name contains one of these, by commas")
	rounds := flag.Int("rounds", 0, "rounds of each; 0 = as many as belong to it")
	verbose := flag.Bool("v", false, "tell of every round")
	keep := flag.Bool("keep", false, "leave what was made where it is")
	flag.Parse()
	// Where file systems are made and mounted.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return err
	}
	if _, err := os.Stat(*program); err != nil {
		return fmt.Errorf("%w: run `make build` first", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("/tmp", "faults-")
	if err != nil {
		return err
	}
	defer func() {
		if *keep {
			fmt.Fprintln(os.Stderr, "faults: everything lies in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	h := &harness{program: *program, dir: dir, log: os.Stderr, verbose: *verbose}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tROUNDS\tACKNOWLEDGED\tLOST\tDUPLICATED\tNOTICED\tTIME\t")
	failed, left := 0, []string{}
	for _, f := range faults {
		if !wanted(*only, f.name) {
			continue
		}
		n := f.full
		if *short {
			n = f.short
		}
		if *rounds > 0 {
			n = *rounds
		}
		if n == 0 {
			continue
		}
		if f.needs != nil {
			if err := f.needs(); err != nil && *short {
				left = append(left, fmt.Sprintf("NOT TRIED here: %s (%v)", f.name, err))
				continue
			} else if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
		began := time.Now()
		r, err := f.run(ctx, h, n)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", f.name, r.rounds, r.acked, r.lost, r.duplicated, r.told(), time.Since(began).Round(time.Second))
		for _, note := range r.notes {
			left = append(left, f.name+": "+note)
		}
		if r.bad() {
			failed++
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, l := range left {
		fmt.Println(l)
	}
	if failed > 0 {
		return fmt.Errorf("%d faults did harm", failed)
	}
	return nil
}

func wanted(only, name string) bool {
	return only == "" || slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(name, part) })
}

// told is what the table says of damage.
func (r *result) told() string {
	switch {
	case r.noticed+r.harmless+r.silent == 0:
		return "-"
	case r.silent > 0:
		return fmt.Sprintf("%d, %d harmless, %d SILENT", r.noticed, r.harmless, r.silent)
	}
	return fmt.Sprintf("%d, %d harmless", r.noticed, r.harmless)
}
