package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// room is what a room's own benchmarks measure (go test -bench), so that their
// stand-ins need not be here once more.
type room struct {
	path, pattern string
	lines         []roomLine
}

// roomLine sets one benchmark beside another, or beside what a bound allows.
type roomLine struct {
	what, name    string
	peer, against string // the other's name; "" = bound
	bound         float64
}

// Those of what answers after 20 ms are bounded by how many may be without an
// answer at a time.
var rooms = []room{
	{"./plugins/host", "Send$/^(1|500)$", []roomLine{
		{what: "to a plugin, 4 KiB a message, 500 a call", name: "Send/500", peer: "Send/1", against: "1 a call"},
	}},
	{"./connectors/smpp", "Submit$/./^window=(1|100)$", []roomLine{
		{what: "smpp, window of 100, answers at once", name: "Submit/after=0s/window=100", peer: "Submit/after=0s/window=1", against: "window of 1"},
		{what: "smpp, window of 100, answers after 20 ms", name: "Submit/after=20ms/window=100", against: "window / delay", bound: 100 / 0.020},
	}},
	{"./connectors/fcm", "Push$/./^streams=(1|50)$", []roomLine{
		{what: "fcm, HTTP/2, 2 connections of 50 streams, answers at once", name: "Push/after=0s/streams=50", peer: "Push/after=0s/streams=1", against: "1 stream each"},
		{what: "fcm, the same, answers after 20 ms", name: "Push/after=20ms/streams=50", against: "streams / delay", bound: 2 * 50 / 0.020},
	}},
	{"./connectors/apns", "Push$/./^streams=(1|100)$", []roomLine{
		{what: "apns, HTTP/2, 2 connections of 100 streams, answers at once", name: "Push/after=0s/streams=100", peer: "Push/after=0s/streams=1", against: "1 stream each"},
		{what: "apns, the same, answers after 20 ms", name: "Push/after=20ms/streams=100", against: "streams / delay", bound: 2 * 100 / 0.020},
	}},
}

// rate is a benchmark's name without the number of processors, and what it
// reports a second.
var rate = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s.*\s([0-9.e+]+) (?:messages|submits)/s`)

func (b *bench) connectors(ctx context.Context) error {
	for _, r := range rooms {
		cmd := exec.CommandContext(ctx, "go", "test", "-C", "../..", "-run", "^$", "-bench", r.pattern, "-benchtime", "1s", "-count", strconv.Itoa(b.runs), r.path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("the benchmarks of %s: %w: %s", r.path, err, out)
		}
		got := map[string][]float64{}
		for _, m := range rate.FindAllSubmatch(out, -1) {
			n, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				return fmt.Errorf("the benchmarks of %s: %w", r.path, err)
			}
			got[string(m[1])] = append(got[string(m[1])], n)
		}
		for _, l := range r.lines {
			ours, peer := got[l.name], got[l.peer]
			if l.peer == "" {
				peer = []float64{l.bound}
			}
			if len(ours) == 0 || len(peer) == 0 {
				return fmt.Errorf("the benchmarks of %s say nothing of %s or %s: %s", r.path, l.name, l.peer, out)
			}
			b.report.add(line{Area: "sending", What: l.what, Unit: "messages/s", Ours: median(ours), Peer: median(peer), Against: l.against})
		}
	}
	return nil
}
