package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
)

// peer is an engine in one layout of its data.
type peer struct {
	key, title string
	why        string // it cannot be measured; "" = it can
	command    func() *exec.Cmd
}

// Keys of peers. DuckDB in the order of persons is made from its other layout.
const (
	cloister   = "cloister"
	duckTime   = "duckdb-time"
	duckPerson = "duckdb-person"
	clickhouse = "clickhouse"
)

// build makes the programs of the engines. An engine that cannot be built is
// left out, and its column says why. Engines end with ctx.
func (b *bench) build(ctx context.Context) (err error) {
	if b.bin, err = os.MkdirTemp(b.dir, "programs-"); err != nil {
		return err
	}
	b.undo = append(b.undo, func() error { return os.RemoveAll(b.bin) })
	b.say("building")
	if why := b.goBuild(ctx, "cloister", "0"); why != nil {
		return why
	}
	b.engines = []*peer{{key: cloister, title: "Cloister", command: b.program(ctx, "cloister")}}
	if b.skipPeers {
		return nil
	}
	why := ""
	if err := b.goBuild(ctx, "duckdb", "1"); err != nil {
		why = err.Error()
	}
	b.engines = append(b.engines,
		&peer{key: duckTime, title: "DuckDB, time order", why: why, command: b.program(ctx, "duckdb", "time")},
		&peer{key: duckPerson, title: "DuckDB, person order", why: why, command: b.program(ctx, "duckdb", "person")})
	why = b.install(ctx)
	b.engines = append(b.engines, &peer{key: clickhouse, title: "ClickHouse", why: why, command: func() *exec.Cmd {
		return exec.CommandContext(ctx, "node", filepath.Join("clickhouse", "engine.js"))
	}})
	return nil
}

// install gets ClickHouse from npm, and says why it cannot.
func (b *bench) install(ctx context.Context) (why string) {
	if _, err := exec.LookPath("node"); err != nil {
		return "Node.js is not there"
	}
	if _, err := os.Stat(filepath.Join("clickhouse", "node_modules", "chdb")); err == nil {
		return ""
	}
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = "clickhouse"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("npm: %v: %s", err, out)
	}
	return ""
}

func (b *bench) goBuild(ctx context.Context, name, cgo string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(b.bin, name), "./"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return nil
}

func (b *bench) program(ctx context.Context, name string, args ...string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(b.bin, name), args...)
		cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
		return cmd
	}
}

// start starts an engine's process.
func (b *bench) start(p *peer) (*engine.Process, error) { return engine.Start(p.title, p.command()) }

// alone starts an engine for one request.
func (b *bench) alone(p *peer, r engine.Request) (reply engine.Reply, err error) {
	proc, err := b.start(p)
	if err != nil {
		return reply, err
	}
	reply, err = proc.Do(r)
	return reply, errors.Join(err, proc.End())
}

// loaded loads an engine with events, unless it kept them from another time,
// and gives the figures of the loading.
func (b *bench) loaded(p *peer, events int) (figures map[string]float64, err error) {
	r, err := b.request("load", p, events)
	if err != nil {
		return nil, err
	}
	note := filepath.Join(r.Dir, "loaded.json")
	if text, err := os.ReadFile(note); err == nil {
		return figures, json.Unmarshal(text, &figures)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b.say("loading %s with %s events", p.title, grouped(float64(events)))
	if err := os.RemoveAll(r.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, err
	}
	reply, err := b.alone(p, r)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(reply.Figures)
	if err != nil {
		return nil, err
	}
	return reply.Figures, os.WriteFile(note, text, 0o600)
}
