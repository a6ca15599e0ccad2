package oracle

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/export"
)

// TestExportedParquet has a reader that is not ours read what an export wrote,
// kind by kind.
func TestExportedParquet(t *testing.T) {
	table := export.Table{
		Columns: []export.Column{{Name: "user", Kind: event.Text}, {Name: "ts", Kind: event.Time}, {Name: "devices", Kind: event.List}},
		Group:   "props", Keys: []string{"amount", "flag", "mixed", "n", "note", "until"},
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	const rows = 300_000 // several row groups
	var records []export.Record
	for i := range rows {
		mixed := event.OfInt(int64(i))
		if i%2 == 0 {
			mixed = event.OfText("x")
		}
		r := export.Record{Cells: []event.Value{event.OfText([]string{"ann", "é", ""}[i%3]), event.OfTime(at.Add(time.Duration(i) * time.Second)), event.OfList([]event.Value{event.OfText("d")})}}
		if i%5 != 0 {
			r.Group = []event.Prop{
				{Key: "amount", Value: event.OfFloat(float64(i) / 4)}, {Key: "flag", Value: event.OfBool(i%2 == 0)}, {Key: "mixed", Value: mixed},
				{Key: "n", Value: event.OfInt(1<<60 + int64(i))}, {Key: "note", Value: event.OfText("=1+1")}, {Key: "until", Value: event.OfTime(at)},
			}
		}
		records = append(records, r)
	}
	path := filepath.Join(t.TempDir(), "e.parquet")
	f, err := os.Create(path)
	must(t, err)
	var s export.Survey
	for i := range records {
		s.Add(&records[i])
	}
	w := export.NewParquet(f, &table, &s)
	for i := range records {
		must(t, w.Write(&records[i]))
	}
	must(t, w.Close())
	must(t, f.Close())

	db, err := sql.Open("duckdb", "")
	must(t, err)
	defer db.Close()
	for _, c := range []struct{ q, want string }{
		{`select count(*) from e`, "300000"},
		{`select count(props.amount) from e`, "240000"},
		{`select sum(props.amount) from e`, "9000000000.0"},
		{`select min(props.n) || ' ' || max(props.n) from e`, "1152921504606846977 1152921504607146975"},
		{`select count(*) from e where props.flag`, "120000"},
		{`select min(ts) || ' ' || max(ts) from (select ts at time zone 'UTC' as ts from e)`, "2026-01-02 03:04:05.000006 2026-01-05 14:24:04.000006"},
		{`select count(*) from e where "user" = 'é'`, "100000"},
		{`select count(*) from e where props.note = '=1+1'`, "240000"},
		{`select count(*) from e where props.mixed->>'$' = 'x'`, "120000"},
		{`select count(*) from e where json_type(props.mixed) = 'UBIGINT'`, "120000"},
		{`select distinct devices->>'$[0]' from e`, "d"},
		{`select distinct (props.until at time zone 'UTC')::varchar from e where props.until is not null`, "2026-01-02 03:04:05.000006"},
	} {
		var got string
		must(t, db.QueryRow(`with e as (select * from read_parquet(?)) select (`+c.q+`)::varchar`, path).Scan(&got))
		if got != c.want {
			t.Errorf("%s is %s, want %s", c.q, got, c.want)
		}
	}
}
