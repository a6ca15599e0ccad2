// Command duckdb is DuckDB as it is measured beside this project: embedded, its
// native file, enumerations for what has few values, two threads. Its argument
// is the order of its rows: "time", as they arrive, or "person".
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/cloisterhq/cloister/appliance/bench/engine"
	"github.com/cloisterhq/cloister/appliance/bench/mix"
)

func main() {
	var b bench
	if len(os.Args) == 2 {
		b.byPerson = os.Args[1] == "person"
	}
	if err := errors.Join(engine.Serve(b.handle), b.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type bench struct {
	byPerson bool
	db       *sql.DB // open, or nil
	someone  uint32
	fastest  map[string]int // form of each question, from 0
}

func (b *bench) handle(r *engine.Request) (engine.Reply, error) {
	switch r.Op {
	case "load":
		return b.load(r)
	case "open":
		return b.open(r)
	case "ask":
		return b.ask(r)
	}
	return engine.Reply{}, fmt.Errorf("there is no %q", r.Op)
}

func (b *bench) close() error {
	if b.db == nil {
		return nil
	}
	err := b.db.Close()
	b.db = nil
	return err
}

const file = "mix.db"

// open opens a loaded directory, and closes what was open before: nothing stays
// in its buffers.
func (b *bench) open(r *engine.Request) (reply engine.Reply, err error) {
	if err := b.close(); err != nil {
		return reply, err
	}
	c, err := duckdb.NewConnector(filepath.Join(r.Dir, file)+"?access_mode=read_only&threads=2", nil)
	if err != nil {
		return reply, err
	}
	b.db = sql.OpenDB(c)
	b.someone = r.Someone
	if b.fastest == nil {
		b.fastest = make(map[string]int)
	}
	var version string
	if err := b.db.QueryRow("select version()").Scan(&version); err != nil {
		return reply, err
	}
	reply.Text = map[string]string{"version": version}
	return reply, nil
}

// load brings a file of events in by the row appender. In the order of persons
// they pass through a table that is not kept.
func (b *bench) load(r *engine.Request) (reply engine.Reply, err error) {
	path := filepath.Join(r.Dir, file)
	c, err := duckdb.NewConnector(path+"?threads=2", nil)
	if err != nil {
		return reply, err
	}
	db := sql.OpenDB(c)
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return reply, err
	}
	defer conn.Close()
	do := func(statements ...string) error {
		for _, s := range statements {
			if _, err := conn.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}
	err = do(enum("event_name", mix.Names), enum("country_name", mix.Countries), enum("platform_name", mix.Platforms),
		enum("plan_name", mix.Plans), enum("language_name", mix.Languages),
		`create table events(ts timestamp_ms not null, user_id uinteger not null, event event_name not null,
			country country_name, platform platform_name, plan plan_name, amount double)`,
		`create table profiles(user_id uinteger, country country_name, plan plan_name, platform platform_name, language language_name)`)
	if err != nil {
		return reply, err
	}
	into := ""
	if b.byPerson {
		into = "arriving"
		err = do("attach '"+filepath.Join(r.Dir, "arriving.db")+"' as arriving", "create table arriving.events as from events")
		if err != nil {
			return reply, err
		}
	}
	began := time.Now()
	err = conn.Raw(func(c any) error { return appendEvents(c.(*duckdb.Conn), into, r.File) })
	if err != nil {
		return reply, err
	}
	if b.byPerson {
		err = do("insert into events from arriving.events order by user_id, ts", "detach arriving")
		err = errors.Join(err, os.Remove(filepath.Join(r.Dir, "arriving.db")))
	}
	if err := errors.Join(err, do("checkpoint")); err != nil {
		return reply, err
	}
	took := time.Since(began)
	info, err := os.Stat(path)
	if err != nil {
		return reply, err
	}
	reply.Figures = map[string]float64{"load_s": took.Seconds(), "bytes": float64(info.Size())}
	err = conn.Raw(func(c any) error { return appendProfiles(c.(*duckdb.Conn), mix.Profiles(r.Events, r.Seed)) })
	return reply, errors.Join(err, do("checkpoint"))
}

func enum(name string, values []string) string {
	return "create type " + name + " as enum ('" + strings.Join(values, "','") + "')"
}

func appendEvents(c *duckdb.Conn, catalog, file string) error {
	a, err := duckdb.NewAppender(c, catalog, "", "events")
	if err != nil {
		return err
	}
	err = mix.Read(file, 10_000, func(list []mix.Event) error {
		for i := range list {
			e := &list[i]
			var amount any
			if e.Amount != 0 {
				amount = float64(e.Amount) / 100
			}
			err := a.AppendRow(time.UnixMilli(e.Time), e.Person, mix.Names[e.Name], mix.Countries[e.Country], mix.Platforms[e.Platform], mix.Plans[e.Plan], amount)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, a.Close())
}

func appendProfiles(c *duckdb.Conn, all []mix.Profile) error {
	a, err := duckdb.NewAppender(c, "", "", "profiles")
	if err != nil {
		return err
	}
	for i, p := range all {
		err := a.AppendRow(uint32(i), mix.Countries[p.Country], mix.Plans[p.Plan], mix.Platforms[p.Platform], mix.Languages[p.Language])
		if err != nil {
			return errors.Join(err, a.Close())
		}
	}
	return a.Close()
}
