package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/bench/mix"
)

// find gives an engine that can be measured, or nil.
func (b *bench) find(key string) *peer {
	for _, p := range b.engines {
		if p.key == key && p.why == "" {
			return p
		}
	}
	return nil
}

// disk compares what the events take.
func (b *bench) disk(context.Context) error {
	n := float64(b.events)
	ours, err := b.loaded(b.find(cloister), b.events)
	if err != nil {
		return err
	}
	bytes := ours["shelves_bytes"] / n
	if duck := b.find(duckTime); duck != nil {
		theirs, err := b.loaded(duck, b.events)
		if err != nil {
			return err
		}
		b.report.add(line{Area: "disk", What: "bytes an event, blocks", Unit: "B", Ours: bytes, Peer: theirs["bytes"] / n,
			Against: "DuckDB's native file", Target: target{AtMost: .7}})
	}
	if click := b.find(clickhouse); click != nil {
		theirs, err := b.loaded(click, b.events)
		if err != nil {
			return err
		}
		b.report.add(line{Area: "disk", What: "bytes an event, blocks", Unit: "B", Ours: bytes,
			Peer: min(theirs["byevent_bytes"], theirs["byperson_bytes"]) / n, Against: "ClickHouse, its smaller layout"})
	}
	size, err := b.jsonBytes()
	if err != nil {
		return err
	}
	b.report.add(line{Area: "disk", What: "bytes an event, blocks", Unit: "B", Ours: bytes, Peer: size/n + mix.IDBytes, Against: "minimal JSON, with an id", Target: target{AtMost: 1. / 40}})
	b.report.add(line{Area: "disk", What: "bytes an event, blocks", Unit: "B", Ours: bytes, Peer: size / n, Against: "minimal JSON, without"})
	people := float64(mix.People(b.events))
	b.report.add(line{Area: "disk", What: "bytes a person, state and keys", Unit: "B", Ours: (ours["state_bytes"] + ours["keys_bytes"]) / people})
	return nil
}

// jsonBytes is what the events take as lines of JSON.
func (b *bench) jsonBytes() (size float64, err error) {
	r, err := b.request("", b.find(cloister), b.events)
	if err != nil {
		return 0, err
	}
	var buf []byte
	err = mix.Read(r.File, 10_000, func(list []mix.Event) error {
		buf = buf[:0]
		for i := range list {
			buf = append(list[i].AppendJSON(buf), '\n')
		}
		size += float64(len(buf))
		return nil
	})
	return size, err
}

// imports compares how fast events come in. It finds the rate that the whole
// path holds, which what follows takes half of.
func (b *bench) imports(context.Context) error {
	n := float64(b.events)
	ours, err := b.loaded(b.find(cloister), b.events)
	if err != nil {
		return err
	}
	whole, err := b.peak()
	if err != nil {
		return err
	}
	l := line{Area: "import", What: "people and history, to blocks", Unit: "events/s", Ours: n / ours["frozen_s"]}
	w := line{Area: "import", What: "journal, applier and all its stages", Unit: "events/s", Ours: whole}
	if duck := b.find(duckTime); duck != nil {
		theirs, err := b.loaded(duck, b.events)
		if err != nil {
			return err
		}
		for _, l := range []*line{&l, &w} {
			l.Peer, l.Against, l.Target = n/theirs["load_s"], "DuckDB's row appender", target{AtLeast: 4}
		}
	}
	b.report.add(l)
	b.report.add(w)
	b.report.add(line{Area: "import", What: "merging, after that", Unit: "s", Ours: ours["compacted_s"] - ours["frozen_s"]})
	return nil
}

// hold is for how long a rate has to be held.
func (b *bench) hold() time.Duration {
	if b.events < 5_000_000 {
		return 2 * time.Second // to see that it works
	}
	return time.Minute
}

// peak is the highest rate at which events are acknowledged and become visible,
// held for a minute. It is measured once.
func (b *bench) peak() (_ float64, err error) {
	if b.peakRate > 0 {
		return b.peakRate, nil
	}
	dir, err := os.MkdirTemp(b.dir, "peak-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := b.request("fill", b.find(cloister), b.events)
	if err != nil {
		return 0, err
	}
	r.Dir, r.Time = dir, b.hold()
	b.say("the highest rate")
	err = b.housed(r, func(proc *engine.Process) error {
		reply, err := proc.Do(r)
		b.peakRate = reply.Figures["rate"]
		return err
	})
	return b.peakRate, err
}

// housed opens a directory as a publisher in a process of its own.
func (b *bench) housed(r engine.Request, do func(*engine.Process) error) error {
	proc, err := b.start(b.find(cloister))
	if err != nil {
		return err
	}
	r.Op = "house"
	if _, err = proc.Do(r); err == nil {
		err = do(proc)
	}
	return errors.Join(err, proc.End())
}

// live asks the mix while events come in, and waits for single ones.
func (b *bench) live(ctx context.Context) (err error) {
	peak, err := b.peak()
	if err != nil {
		return err
	}
	ours := b.find(cloister)
	if _, err := b.loaded(ours, b.events); err != nil {
		return err
	}
	r, err := b.request("house", ours, b.events)
	if err != nil {
		return err
	}
	loaded := r.Dir
	dir, err := os.MkdirTemp(b.dir, "live-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r.Dir = filepath.Join(dir, "data") // a copy: what comes in must not stay
	if err := copyTree(ctx, loaded, r.Dir); err != nil {
		return err
	}
	return b.housed(r, func(proc *engine.Process) error { return b.underLoad(ctx, proc, r, peak) })
}

func (b *bench) underLoad(ctx context.Context, proc *engine.Process, r engine.Request, peak float64) error {
	idle, err := b.medians(ctx, proc)
	if err != nil {
		return err
	}
	r.Op, r.Rate = "feed", peak/2
	if _, err := proc.Do(r); err != nil {
		return err
	}
	time.Sleep(b.hold() / 10)
	busy, err := b.medians(ctx, proc)
	if err != nil {
		return err
	}
	b.say("from acknowledged to visible")
	seen, err := proc.Do(engine.Request{Op: "visible", Time: b.hold() / 2})
	if err != nil {
		return err
	}
	fed, err := proc.Do(engine.Request{Op: "fed"})
	if err != nil {
		return err
	}
	b.report.add(line{Area: "during ingest", What: "rate, half of the peak", Unit: "events/s", Ours: fed.Figures["rate"], Peer: peak, Against: "the peak"})
	for _, q := range b.wantedQuestions() {
		if idle[q] > 0 {
			b.report.add(line{Area: "during ingest", What: q, Unit: "ms", Ours: busy[q], Peer: idle[q], Against: "idle", Target: target{AtMost: 2}})
		}
	}
	for _, at := range []string{"p50", "p99"} {
		b.report.add(line{Area: "visible", What: "from acknowledged to in the answer, " + at, Unit: "s", Ours: seen.Figures[at+"_s"], Target: target{AtMost: 1}})
	}
	return nil
}

// medians asks the mix of one engine, in milliseconds.
func (b *bench) medians(ctx context.Context, proc *engine.Process) (map[string]float64, error) {
	out := make(map[string]float64)
	for _, q := range b.wantedQuestions() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var took []float64
		for i := range b.runs + 1 {
			reply, err := proc.Do(engine.Request{Op: "ask", Question: q})
			if err != nil {
				return nil, err
			}
			if reply.NotYet {
				break
			}
			if i > 0 { // the first decodes
				took = append(took, float64(reply.Nanos)/1e6)
			}
		}
		if len(took) > 0 {
			out[q] = median(took)
		}
	}
	return out, nil
}
