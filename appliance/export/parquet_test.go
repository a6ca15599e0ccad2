package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/cloisterhq/cloister/appliance/event"
)

// readBack gives each row of a file as text, column by column.
func readBack(t *testing.T, b []byte) (columns []string, rows [][]string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range f.Schema().Columns() {
		l, _ := f.Schema().Lookup(path...)
		columns = append(columns, fmt.Sprintf("%v %s", path, l.Node.Type()))
	}
	r := parquet.NewReader(f)
	defer r.Close()
	buf := make([]parquet.Row, 10)
	for {
		n, err := r.ReadRows(buf)
		for _, row := range buf[:n] {
			var out []string
			for _, v := range row {
				out = append(out, v.String())
			}
			rows = append(rows, out)
		}
		if errors.Is(err, io.EOF) {
			return columns, rows
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func written(t *testing.T, table *Table, records []Record) []byte {
	t.Helper()
	var s Survey
	for i := range records {
		s.Add(&records[i])
	}
	var b bytes.Buffer
	w := NewParquet(&b, table, &s)
	for i := range records {
		if err := w.Write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A column has the kind of its values, and JSON where they are of several.
func TestParquet(t *testing.T) {
	keys := Table{Columns: table.Columns, Group: "props", Keys: []string{"big", "bool", "float", "int", "mixed", "never", "text", "time"}}
	cells := func(user string) []event.Value {
		return []event.Value{text(user), event.OfMicros(1), event.OfInt(7), event.OfList([]event.Value{text("x")})}
	}
	columns, rows := readBack(t, written(t, &keys, []Record{
		{Cells: cells("a"), Group: []event.Prop{
			{Key: "big", Value: event.OfInt(1 << 60)}, {Key: "bool", Value: event.OfBool(true)}, {Key: "float", Value: event.OfFloat(1.5)},
			{Key: "int", Value: event.OfInt(3)}, {Key: "mixed", Value: event.OfInt(3)}, {Key: "text", Value: text("=x")}, {Key: "time", Value: event.OfMicros(5)}}},
		{Cells: make([]event.Value, 4)},
		{Cells: cells("b"), Group: []event.Prop{{Key: "big", Value: event.OfFloat(0.5)}, {Key: "float", Value: event.OfInt(2)}, {Key: "mixed", Value: text("3")}, {Key: "secret", Value: text("s"), Personal: true}}},
	}))
	want := []string{"[user] STRING", "[ts] TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "[n] INT(64,true)", "[list] JSON",
		"[props big] JSON", "[props bool] BOOLEAN", "[props float] DOUBLE", "[props int] INT(64,true)", "[props mixed] JSON", "[props text] STRING",
		"[props time] TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "[more] JSON"}
	same(t, columns, want)
	same(t, rows[0], []string{"a", "1", "7", `["x"]`, "1152921504606846976", "true", "1.5", "3", "3", "=x", "5", "<null>"})
	same(t, rows[1], []string{"<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>", "<null>"})
	same(t, rows[2], []string{"b", "1", "7", `["x"]`, "0.5", "<null>", "2", "<null>", `"3"`, "<null>", "<null>", `{"secret":"s"}`})
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// Many rows and many keys: what has no column of its own is in "more".
func TestParquetOfMuch(t *testing.T) {
	var keys []string
	for i := range parquetKeys + 5 {
		keys = append(keys, fmt.Sprintf("k%04d", i))
	}
	wide := Table{Columns: []Column{{"n", event.Int}}, Group: "props", Keys: keys}
	var records []Record
	for i := range 3000 {
		records = append(records, Record{Cells: []event.Value{event.OfInt(int64(i))}, Group: []event.Prop{{Key: keys[i%len(keys)], Value: text(fmt.Sprint("v", i))}}})
	}
	columns, rows := readBack(t, written(t, &wide, records))
	if len(columns) != parquetKeys+2 || len(rows) != len(records) {
		t.Fatalf("%d columns, %d rows", len(columns), len(rows))
	}
	for i, row := range rows {
		at, want := 1+i%len(keys), fmt.Sprint("v", i)
		if i%len(keys) >= parquetKeys {
			at, want = parquetKeys+1, fmt.Sprintf(`{"%s":"v%d"}`, keys[i%len(keys)], i)
		}
		if row[0] != fmt.Sprint(i) || row[at] != want {
			t.Fatalf("row %d has %s and %s, want %s", i, row[0], row[at], want)
		}
	}
}

func TestParquetOfNothing(t *testing.T) {
	if _, rows := readBack(t, written(t, &table, nil)); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
	none := Table{Columns: []Column{{"n", event.Int}}}
	if _, rows := readBack(t, written(t, &none, []Record{{Cells: []event.Value{event.OfInt(1)}}})); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}
