package oracle

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/kv"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// set is what both sides are given: files of lines, and what became of people
// afterwards.
type set struct {
	events   string            // NDJSON, plain or .gz: user, event, ts, props; in order of arrival
	props    map[string]string // property -> SQL type
	profiles string            // NDJSON of user and attributes, of everybody; "" = people are who did something
	profile  map[string]string // attribute -> SQL type
	merges   [][2]string       // loser, winner
	erased   []string
	zone     string
	now      time.Time
}

// sides are Cloister and DuckDB with the same set in them.
type sides struct {
	set
	env    query.Env
	db     *sql.DB
	events int
}

// open carries a set into both.
func open(t *testing.T, s set) *sides {
	b := &sides{set: s}
	b.openCloister(t)
	b.openDuckDB(t)
	return b
}

func eachLine(t *testing.T, file string, fn func(line []byte)) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal("the data is needed beside the checkout: ", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fn(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(file, err)
	}
}

// openCloister opens people and history on their engines and carries the set
// in, a third of it frozen at a time.
func (b *sides) openCloister(t *testing.T) {
	loc, err := time.LoadLocation(b.zone)
	must(t, err)
	dir := t.TempDir()
	db, err := kv.Open(filepath.Join(dir, "state"), kv.Options{Reserve: 1})
	must(t, err)
	shelves, err := kv.OpenShelves(filepath.Join(dir, "shelves"), kv.NewShelfCache(4), kv.ShelfOptions{Reserve: 1})
	must(t, err)
	ring, err := keyring.Open(filepath.Join(dir, "keys"), bytes.Repeat([]byte{7}, keyring.MasterBytes), keyring.Options{})
	must(t, err)
	keys, err := ring.Publisher("acme")
	must(t, err)
	who, err := people.Open(db, keys, people.Options{Merge: people.MergeKnown})
	must(t, err)
	what, err := history.Open(db, shelves, keys, history.Options{Location: loc, FreezeRows: 100_000})
	must(t, err)

	var facts []event.Fact
	carry := func() {
		var gone []uint32
		must(t, db.Update(func(t *kv.Txn) error {
			var rows []history.Row
			for i := range facts {
				r, err := who.Apply(t, &facts[i])
				if err != nil {
					return err
				}
				if facts[i].Kind == event.Erase {
					gone = append(gone, who.Numbers(r.Person)...)
					if err := who.Erase(t, r.Person); err != nil {
						return err
					}
				}
				if facts[i].Kind == event.Track {
					rows = append(rows, history.Row{Person: r.Number, Time: facts[i].Time, Name: facts[i].Name, Props: facts[i].Props})
				}
			}
			return what.Append(t, rows)
		}))
		who.Committed()
		what.Committed()
		must(t, keys.DestroyPerson(gone...))
		facts = facts[:0]
	}
	add := func(f event.Fact) {
		f.Received = f.Time
		if facts = append(facts, f); len(facts) == 2000 {
			carry()
		}
	}
	if b.profiles != "" {
		n := int64(0)
		eachLine(t, b.profiles, func(line []byte) {
			v, err := event.ParseJSON(line)
			must(t, err)
			n++
			f := event.Fact{Kind: event.Identify, User: event.Lookup(v.Object(), "user").String(), Time: n}
			for _, p := range v.Object() {
				if _, ok := b.profile[p.Key]; ok {
					f.Changes = append(f.Changes, event.Change{Key: p.Key, Op: event.Set, Value: p.Value})
				}
			}
			add(f)
		})
	}
	eachLine(t, b.set.events, func(line []byte) {
		v, err := event.ParseJSON(line)
		must(t, err)
		o := v.Object()
		user := event.Lookup(o, "user").Text()
		if user == "" {
			return // nobody is asked about whom nobody knows
		}
		at, err := time.Parse(time.RFC3339, event.Lookup(o, "ts").Text())
		must(t, err)
		b.events++
		add(event.Fact{Kind: event.Track, User: user, Time: at.UnixMicro(), Name: event.Lookup(o, "event").Text(), Props: event.Lookup(o, "props").Object()})
	})
	for _, m := range b.merges {
		add(event.Fact{Kind: event.Alias, Previous: m[0], User: m[1], Time: 1 << 50})
	}
	carry()
	for _, u := range b.erased {
		add(event.Fact{Kind: event.Erase, ID: u, User: u, Time: 1 << 50})
		carry()
	}
	must(t, what.Compact(context.Background()))
	data := query.Data{History: what.Snapshot(), People: who.Snapshot()}
	b.env = query.Env{Data: data, Location: loc, Now: func() time.Time { return b.now }, Find: who.Find}
	t.Cleanup(func() {
		data.History.(*history.Snapshot).Release()
		for _, close := range []func() error{what.Close, shelves.Close, db.Close, ring.Close} {
			must(t, close())
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openDuckDB has DuckDB read the same files. A person is the text of the user
// known longest; persons are numbered as they were first met.
func (b *sides) openDuckDB(t *testing.T) {
	c, err := duckdb.NewConnector("", nil)
	must(t, err)
	b.db = sql.OpenDB(c)
	b.db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, b.db.Close()) })
	columns := func(types map[string]string) (list, picked string) {
		for _, key := range sorted(types) {
			list += fmt.Sprintf(", %s %s", ident(key), types[key])
		}
		return strings.TrimPrefix(list, ", "), list
	}
	do := func(text string) {
		t.Helper()
		if _, err := b.db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	do("set threads = 1")
	props, _ := columns(b.props)
	do(fmt.Sprintf(`create table arrived as select row_number() over () as arrival, "user", event, epoch_us(ts::timestamptz) as us, props from
		read_json(%s, format = 'newline_delimited', columns = {"user": 'VARCHAR', event: 'VARCHAR', ts: 'VARCHAR', props: %s}) where "user" <> ''`,
		text(b.set.events), text("STRUCT("+props+")")))
	if b.profiles != "" {
		spec := `"user": 'VARCHAR'`
		for _, key := range sorted(b.profile) {
			spec += fmt.Sprintf(", %s: %s", ident(key), text(b.profile[key]))
		}
		do(fmt.Sprintf(`create table met as select row_number() over () as number, * from read_json(%s, format = 'newline_delimited', columns = {%s})`, text(b.profiles), spec))
		do(`insert into met by name select (select max(number) from met) + row_number() over (order by min(arrival)) as number, "user" from arrived
			where "user" not in (select "user" from met) group by "user"`)
	} else {
		do(`create table met as select row_number() over (order by min(arrival)) as number, "user" from arrived group by "user"`)
	}
	do(`create table merged(loser varchar, winner varchar)`)
	for _, m := range b.merges {
		do(fmt.Sprintf("insert into merged values (%s, %s)", text(m[0]), text(m[1])))
	}
	do(`create table erased(who varchar)`)
	for _, u := range b.erased {
		do(fmt.Sprintf("insert into erased values (%s)", text(u)))
	}
	// A winner's own attributes count, then those of whom was merged into it.
	attributes := ""
	for _, key := range sorted(b.profile) {
		attributes += fmt.Sprintf(`, coalesce(any_value(m.%[1]s order by m.number) filter (m."user" = r.root), any_value(m.%[1]s order by m.number)) as %[1]s`, ident(key))
	}
	do(`create table root as select m."user", coalesce(winner, m."user") as root from met m left join merged on loser = m."user"`)
	do(`create table who as select r.root, any_value(m.number) filter (m."user" = r.root) as number, arg_min(m."user", m.number) as identity` + attributes +
		` from root r join met m on m."user" = r."user" group by r.root having not list_has_any(list(m."user"), (select coalesce(list(who), []) from erased))`)
	fields := ""
	for _, key := range sorted(b.props) {
		fields += ", a.props." + ident(key) + " as " + ident("p_"+key)
	}
	attributes = ""
	for _, key := range sorted(b.profile) {
		attributes += ", w." + ident(key) + " as " + ident("w_"+key)
	}
	do(`create table ev as select w.number as person, w.identity, a.us, row_number() over (order by a.us, a.arrival) as ord, a.event as name` + fields + attributes +
		` from arrived a join root r on r."user" = a."user" join who w on w.root = r.root`)
}

// rows asks DuckDB; each row as text, a NULL as nil.
func (b *sides) rows(text string) ([][]any, error) {
	rows, err := b.db.Query(text)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out [][]any
	for rows.Next() {
		row := make([]any, len(names))
		at := make([]any, len(names))
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// number of a column that SQL gave.
func number(v any) float64 {
	switch v := v.(type) {
	case nil:
		return 0
	case int64:
		return float64(v)
	case int32:
		return float64(v)
	case float64:
		return v
	}
	var f float64
	if _, err := fmt.Sscan(fmt.Sprint(v), &f); err != nil {
		panic(fmt.Sprintf("%T %v is no number", v, v))
	}
	return f
}

type object = map[string]any

// compare asks both sides and says where they differ.
func (b *sides) compare(ctx context.Context, q object) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	want, err := (&asked{b: b, q: q}).answer()
	if err != nil {
		return fmt.Errorf("%s\nDuckDB: %w", body, err)
	}
	a, err := query.Ask(ctx, body, b.env)
	if err != nil {
		return fmt.Errorf("%s\nCloister: %w", body, err)
	}
	if d := difference("", plain(want), plain(a.Result)); d != "" {
		w, _ := json.Marshal(want)
		g, _ := json.Marshal(a.Result)
		return fmt.Errorf("%s\n%s\nDuckDB   %s\nCloister %s", body, d, w, g)
	}
	return nil
}
