package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

// durable compares what is on disk when it is acknowledged: ours, JetStream's
// and a bare file's, in turns.
func (b *bench) durable(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.dir, "durable-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Where nothing is ever synced, for our own rate without that.
	memory, err := os.MkdirTemp("/dev/shm", "cloister-bench-")
	if err != nil {
		b.report.leave("rates without syncing: %v", err)
		memory = ""
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(memory)) }()
	}
	each := b.hold() / 20
	steps := []struct {
		name string
		r    engine.Request
	}{
		{"small", engine.Request{Op: "raw", Bytes: 300}},
		{"large", engine.Request{Op: "raw", Bytes: 1 << 20}},
		{"jetstream", engine.Request{Op: "publish"}},
		{"single", engine.Request{Op: "append", Callers: 1024, Batch: 1, Bytes: 300}},
		{"batched", engine.Request{Op: "append", Callers: 256, Batch: 100, Bytes: 300}},
		{"wide", engine.Request{Op: "append", Callers: 64, Batch: 100, Bytes: 2000}},
		{"http", engine.Request{Op: "collect", Callers: 32, Batch: 100}},
		{"http unsynced", engine.Request{Op: "collect", Callers: 32, Batch: 100, Dir: memory}},
		{"http single", engine.Request{Op: "collect", Callers: 64, Batch: 1, Rate: 10_000}},
	}
	got := make(map[string]map[string][]float64)
	do := func(name string, r engine.Request) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Dir == "" {
			r.Dir = dir
		}
		r.Time = max(each, time.Second)
		reply, err := b.alone(b.find(cloister), r)
		if err != nil {
			return err
		}
		if got[name] == nil {
			got[name] = make(map[string][]float64)
		}
		for k, v := range reply.Figures {
			got[name][k] = append(got[name][k], v)
		}
		return nil
	}
	of := func(name, figure string) float64 { return median(got[name][figure]) }
	for range min(b.runs, 3) {
		for _, s := range steps {
			if err := do(s.name, s.r); err != nil {
				return err
			}
		}
	}
	shares := []struct {
		name string
		of   float64
	}{{"a tenth", .1}, {"half", .5}, {"the whole", 1}}
	for range min(b.runs, 3) {
		for _, s := range shares {
			if err := do(s.name, engine.Request{Op: "collect", Callers: 32, Batch: 100, Rate: s.of * of("http", "rate")}); err != nil {
				return err
			}
		}
	}
	add := func(area, what, unit string, ours, peer float64, against string, t target) {
		b.report.add(line{Area: area, What: what, Unit: unit, Ours: ours, Peer: peer, Against: against, Target: t})
	}
	const core, events, one = "durable ingest, core", "events/s", "one SyncAlways JetStream publish an event"
	base := of("jetstream", "rate")
	add(core, "single events, 1,024 callers", events, of("single", "rate"), base, one, target{AtLeast: 100})
	add(core, "100 at a time", events, of("batched", "rate"), base, one, target{AtLeast: 250})
	add(core, "bytes written, sealed", "MB/s", of("wide", "sealed_bytes")/1e6, of("large", "rate")/1e6, "1 MiB append and fsync", target{AtLeast: .75})
	add(core, "single events, p50", "ms", of("single", "p50_ms"), of("small", "p50_ms"), "300 B append and fsync", target{})
	const door = "durable ingest, http to 200"
	add(door, "100 events a body", events, of("http", "rate"), base, one, target{AtLeast: 60})
	if memory != "" {
		add(door, "100 events a body", events, of("http", "rate"), of("http unsynced", "rate"), "the same, in a file system that does not sync", target{AtLeast: .7})
	}
	add(door, "single events, 10,000 requests/s, p50", "ms", of("http single", "p50_ms"), of("small", "p50_ms"), "300 B append and fsync", target{AtMost: 5})
	for _, s := range shares {
		what := "100 events a body, at " + s.name + " of its peak"
		add(door, what, events, of(s.name, "rate"), s.of*of("http", "rate"), "what was asked for", target{})
		for _, p := range []struct{ name, figure string }{{"p50", "p50_ms"}, {"p99", "p99_ms"}, {"p99.9", "p999_ms"}} {
			add(door, what+", "+p.name, "ms", of(s.name, p.figure), of("large", "p50_ms"), "1 MiB append and fsync, p50", target{})
		}
	}
	if rate := of("http single", "rate"); rate < 9_500 {
		b.report.leave("10,000 single requests/s were not reached: %s", grouped(rate))
	}
	return nil
}
