package main

import (
	"context"
	"errors"
	"os"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

// soakFor sends at a quarter of the peak for a while, in which a minute is a day,
// so that retention takes away what is five days old: what is taken of memory
// and disk must come to rest.
func (b *bench) soakFor(ctx context.Context) (err error) {
	peak, err := b.peak()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.dir, "soak-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	reply, err := b.alone(b.find(cloister), engine.Request{Op: "soak", Dir: dir, Callers: 16, Batch: 100, Rate: peak / 4, Time: b.soak})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f := reply.Figures
	const area = "soak"
	b.report.add(line{Area: area, What: "rate, a quarter of the peak", Unit: "events/s", Ours: f["rate"], Peer: peak, Against: "the peak"})
	for _, p := range []string{"p50", "p99", "p999"} {
		b.report.add(line{Area: area, What: p, Unit: "ms", Ours: f[p+"_ms"]})
	}
	for _, l := range []struct {
		what, figure, unit string
		scale              float64
	}{{"memory", "resident", "MB", 1e6}, {"disk", "disk", "MB", 1e6}, {"journal on disk", "journal", "MB", 1e6}, {"rows", "rows", "million", 1e6}} {
		b.report.add(line{Area: area, What: l.what + ", most of the last quarter", Unit: l.unit, Ours: f[l.figure+"_end"] / l.scale, Peer: f[l.figure+"_then"] / l.scale, Against: "most of the second quarter"})
		b.report.add(line{Area: area, What: l.what + ", most of all", Unit: l.unit, Ours: f[l.figure+"_most"] / l.scale})
	}
	return nil
}
