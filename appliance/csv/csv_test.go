package csv

import (
	"bytes"
	stdcsv "encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// read gives all records, each as a line: where it begins, and its cells or why
// not.
func read(t testing.TB, in io.Reader, comma byte) (out []string, err error) {
	t.Helper()
	r := NewReader(in, comma)
	for {
		var rec Record
		err := r.Read(&rec)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		line := fmt.Sprintf("%d %q", rec.Line, rec.Cells)
		if rec.Err != nil {
			line = fmt.Sprintf("%d %v: %.40q", rec.Line, rec.Err, rec.Raw)
		}
		out = append(out, line)
	}
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", MaxRecord+1)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"a line without its end", "a,b", []string{`1 ["a" "b"]`}},
		{"LF and CRLF and empty lines", "a,b\n\r\nc,d\r\n\n\n", []string{`1 ["a" "b"]`, `3 ["c" "d"]`}},
		{"a byte order mark", "\xef\xbb\xbfa\nb\n", []string{`1 ["a"]`, `2 ["b"]`}},
		{"quotes", `"a","b""c","",""""` + "\n", []string{`1 ["a" "b\"c" "" "\""]`}},
		{"lines within quotes", "\"a\nb\r\nc\",d\ne\n", []string{`1 ["a\nb\r\nc" "d"]`, `4 ["e"]`}},
		{"empty cells", ",\n,,\n", []string{`1 ["" ""]`, `2 ["" "" ""]`}},
		{"ragged", "a,b\nc\nd,e,f\n", []string{`1 ["a" "b"]`, `2 ["c"]`, `3 ["d" "e" "f"]`}},
		{"a quote within a cell", `5" disk,a"b` + "\n", []string{`1 ["5\" disk" "a\"b"]`}},
		{"spaces stay", " a , b\n", []string{`1 [" a " " b"]`}},
		{"behind a quote", "a\n\"b\"c,d\ne\n", []string{`1 ["a"]`, `2 ` + ErrBehind.Error() + `: "\"b\"c,d"`, `3 ["e"]`}},
		{"behind a quote, some lines on", "\"b\nc\"d,e\nf\n", []string{`1 ` + ErrBehind.Error() + `: "\"b\nc\"d,e"`, `3 ["f"]`}},
		{"a quote that is not closed", "a,\"b\nc,d\ne\n", []string{`1 ` + ErrUnclosed.Error() + `: "a,\"b"`, `2 ["c" "d"]`, `3 ["e"]`}},
		{"a carriage return", "a\rb\nc\n", []string{`1 ` + ErrReturn.Error() + `: "a\rb"`, `2 ["c"]`}},
		{"a carriage return first", "\rb\nc\n", []string{`1 ` + ErrReturn.Error() + `: "\rb"`, `2 ["c"]`}},
		{"a carriage return at the end", "a\r", []string{`1 ["a"]`}},
		{"another encoding", "a\xe9b\nc\n", []string{`1 ` + ErrNotUTF8.Error() + `: "a\xe9b"`, `2 ["c"]`}},
		{"NUL", "a\x00b\nc\n", []string{`1 ` + ErrCharacter.Error() + `: "a\x00b"`, `2 ["c"]`}},
		{"too long", "a\n" + long + "\nb\n", []string{`1 ["a"]`, `2 ` + ErrTooLong.Error() + `: ""`, `3 ["b"]`}},
		{"too long and quoted", "a\n\"" + long + "\"\nb\n", []string{`1 ["a"]`, `2 ` + ErrTooLong.Error() + `: ""`, `3 ["b"]`}},
		{"too long at the end", "a\n" + long, []string{`1 ["a"]`, `2 ` + ErrTooLong.Error() + `: ""`}},
		{"too many cells", strings.Repeat(",", MaxCells) + "\nb\n", []string{fmt.Sprintf("1 %v: %.40q", ErrTooMany, strings.Repeat(",", 40)), `2 ["b"]`}},
	} {
		for _, in := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			got, err := read(t, in, ',')
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %.200q, %v\nwant %.200q", c.name, got, err, c.want)
			}
		}
	}
	if got, _ := read(t, strings.NewReader("a;b,c\n"), ';'); !slices.Equal(got, []string{`1 ["a" "b,c"]`}) {
		t.Errorf("with semicolons: %q", got)
	}
	if _, err := read(t, strings.NewReader("\xff\xfea\x00"), ','); !errors.Is(err, ErrUTF16) {
		t.Errorf("UTF-16: %v", err)
	}
	broken := errors.New("broken")
	for _, before := range []string{"", "a,b\n", "a,b\nc", "a,\"b"} {
		if _, err := read(t, io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)), ','); !errors.Is(err, broken) {
			t.Errorf("a source that breaks behind %q: %v", before, err)
		}
	}
}

// FuzzReader: whatever comes, every line is in one record, and where
// encoding/csv reads all of it, so do we, and the same.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"a,b\r\n\"c\nd\",\"\"\"\"\n", "\"a\nb", "\"a\"b\n\"", "\xef\xbb\xbf,\n", "a\rb", "\"\r\n\"\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in), ',')
		var ours [][]string
		clean, line := true, int64(1)
		for {
			var rec Record
			err := r.Read(&rec)
			if err == io.EOF {
				break
			}
			if errors.Is(err, ErrUTF16) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.Line < line || rec.Lines < 1 {
				t.Fatalf("a record at line %d over %d lines, behind line %d", rec.Line, rec.Lines, line)
			}
			line = rec.Line + int64(rec.Lines)
			clean = clean && rec.Err == nil
			if rec.Err == nil && len(rec.Cells) == 0 {
				t.Fatal("a record without cells")
			}
			ours = append(ours, rec.Cells)
		}
		if want := int64(bytes.Count(in, []byte("\n"))) + 2; line > want {
			t.Fatalf("%d lines, there are %d", line-1, want-1)
		}
		if !clean {
			return
		}
		std := stdcsv.NewReader(bytes.NewReader(bytes.TrimPrefix(in, []byte("\xef\xbb\xbf"))))
		std.FieldsPerRecord, std.LazyQuotes = -1, true
		theirs, err := std.ReadAll()
		if err != nil {
			return // it is stricter about quotes
		}
		for i := range ours {
			for j := range ours[i] {
				ours[i][j] = strings.ReplaceAll(ours[i][j], "\r\n", "\n") // as encoding/csv does
			}
		}
		if fmt.Sprintf("%q", ours) != fmt.Sprintf("%q", theirs) {
			t.Fatalf("%q is read as %q, by encoding/csv as %q", in, ours, theirs)
		}
	})
}

// What any reader finds in a cell is the text, once unguarded; and no cell
// begins with what a spreadsheet would run.
func TestACellIsItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.SampledFrom([]string{"'", "=", "+", "-", "@", "\t", "\r", "\n", `"`, ",", ";", " ", "a", "é"})
		s := strings.Join(rapid.SliceOf(odd).Draw(t, "text"), "")
		line := append(append(AppendText(nil, s), ','), "end\r\n"...)
		r := NewReader(bytes.NewReader(line), ',')
		var rec Record
		if err := r.Read(&rec); err != nil || rec.Err != nil || len(rec.Cells) != 2 || rec.Cells[1] != "end" {
			t.Fatalf("%q is read as %q, %v %v", line, rec.Cells, err, rec.Err)
		}
		cell := rec.Cells[0]
		if cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0 {
			t.Fatalf("%q would be run", cell)
		}
		if got := Unguard(cell); got != s {
			t.Fatalf("%q comes back as %q", s, got)
		}
		if err := r.Read(&rec); err != io.EOF {
			t.Fatalf("%q is more than a record", line)
		}
	})
}

var events = Form{Members: []string{"user", "anonymous", "event", "ts", "id"}, Group: "props"}

func TestLines(t *testing.T) {
	tokyo := time.FixedZone("", 9*3600)
	for _, c := range []struct {
		name   string
		form   func(f *Form)
		header string
		cells  []string
		want   string
	}{
		{"an export", nil, "user,anonymous,event,ts,props.a,props.b,more",
			[]string{"ann", "", "Viewed", "2026-01-02T03:04:05Z", "'=1", "12", `{"card":"4111"}`},
			`{"user":"ann","event":"Viewed","ts":"2026-01-02T03:04:05Z","props":{"a":"=1","b":"12","card":"4111"}}`},
		{"others' names", func(f *Form) {
			f.Map = map[string]string{"user": "customer", "ts": "when"}
			f.Set = map[string]string{"event": "Bought"}
			f.Layout, f.Zone = "02/01/2006 15:04", tokyo
			f.Skip = []string{"internal"}
		}, "customer,when,internal,event,user", []string{"c-1", "31/01/2026 09:00", "x", "y", "somebody"},
			`{"user":"c-1","ts":"2026-01-31T00:00:00Z","event":"Bought","props":{"user":"somebody"}}`},
		{"types", func(f *Form) {
			f.Types = map[string]string{"n": Number, "b": Bool, "t": Time, "j": JSON, "x": Text, "*": Auto}
		}, "n,b,t,j,x,auto1,auto2,auto3", []string{"-1.50", "TRUE", "2026-01-02T03:04:05+09:00", `[1, "a"]`, "1", "007", "7", "true"},
			`{"props":{"n":-1.5,"b":true,"t":"2026-01-01T18:04:05Z","j":[1,"a"],"x":"1","auto1":"007","auto2":7,"auto3":true},"times":["t"]}`},
		{"unix", func(f *Form) { f.Layout = "unix-ms" }, "ts", []string{"1767322245006"}, `{"ts":"2026-01-02T02:50:45.006Z"}`},
		{"rejects", nil, "import.line,import.error,user", []string{"7", "no", "ann"}, `{"user":"ann"}`},
		{"nothing", nil, "user,a", []string{"", ""}, `{}`},
		{"no name", nil, "user,", []string{"ann", ""}, `{"user":"ann"}`},
	} {
		f := events
		if c.form != nil {
			c.form(&f)
		}
		l, err := NewLines(f, strings.Split(c.header, ","))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := l.Append([]byte("x"), c.cells)
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestLinesRefuse(t *testing.T) {
	l, err := NewLines(Form{Members: events.Members, Group: "props", Types: map[string]string{"n": Number, "b": Bool, "j": JSON}}, []string{"ts", "n", "b", "j", "", "more"})
	if err != nil {
		t.Fatal(err)
	}
	for want, cells := range map[string][]string{
		"2 cells, the header has 6": {"", ""},
		`column "ts": this is not RFC 3339, as 2026-01-02T15:04:05Z; --time-layout says how else it is written`: {"yesterday", "", "", "", "", ""},
		`column "n": this is no number, as -12.5`:    {"", "12,5", "", "", "", ""},
		`column "b": this is neither true nor false`: {"", "", "maybe", "", "", ""},
		`column "j": this is no JSON`:                {"", "", "", "{", "", ""},
		"column 5: the header has no name for it":    {"", "", "", "", "x", ""},
		`column "more": this is no JSON object`:      {"", "", "", "", "", "[1]"},
	} {
		got, err := l.Append(nil, cells)
		if err == nil || err.Error() != want || len(got) != 0 {
			t.Errorf("%q: %q, %v, want %s", cells, got, err, want)
		}
	}
	for _, f := range []Form{
		{Map: map[string]string{"user": "missing"}}, {Map: map[string]string{"colour": "a"}}, {Set: map[string]string{"colour": "red"}},
		{Types: map[string]string{"missing": Text}}, {Types: map[string]string{"a": "money"}}, {Skip: []string{"missing"}},
	} {
		f.Members, f.Group = events.Members, "props"
		if _, err := NewLines(f, []string{"a", "b"}); err == nil {
			t.Errorf("%+v fits", f)
		}
	}
	for _, header := range [][]string{{"a", "a"}, {"a", "props.a"}, {"props."}} {
		if _, err := NewLines(events, header); err == nil {
			t.Errorf("the header %q fits", header)
		}
	}
}

// FuzzLines: whatever a file holds, a line is one line of JSON, or there is an
// error and none.
func FuzzLines(f *testing.F) {
	f.Add([]byte("user,n,more,j\r\nann,-5,\"{\"\"a\"\":1}\",[1]\r\n'=1,1e400,x,\r\n"), "*")
	f.Add([]byte("ts,ts2\n2026-01-02T03:04:05Z,x\n"), "ts2")
	f.Fuzz(func(t *testing.T, in []byte, typed string) {
		for _, typ := range Types {
			r := NewReader(bytes.NewReader(in), ',')
			var rec Record
			if r.Read(&rec) != nil || rec.Err != nil {
				return
			}
			form := events
			form.Types = map[string]string{typed: typ}
			l, err := NewLines(form, rec.Cells)
			if err != nil {
				return
			}
			for r.Read(&rec) == nil {
				if rec.Err != nil {
					continue
				}
				line, err := l.Append(nil, rec.Cells)
				if err != nil && len(line) > 0 || err == nil && (!json.Valid(line) || bytes.IndexByte(line, '\n') >= 0) {
					t.Fatalf("%q becomes %q, %v", rec.Raw, line, err)
				}
			}
		}
	})
}
