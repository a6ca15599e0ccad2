package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// secretWord is what every function returns in these tests; it must never show.
const secretWord = "Hunter2-do-not-print"

// load is Load with the functions answering from nowhere but the test.
func load(paths []string, o LoadOptions) (*Config, Diagnostics) {
	if o.Connectors == nil {
		o.Connectors = &fakeConnectors{}
	}
	o.Getenv = func(name string) (string, bool) { return secretWord, strings.HasPrefix(name, "CLOISTER_TEST") }
	o.Credentials = "/credentials"
	l := newLoader(o.withDefaults())
	l.readSecret = func(path string, _ int64) ([]byte, error) {
		if strings.Contains(path, "missing") {
			return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
		}
		return []byte(secretWord + "\n"), nil
	}
	c := l.config(l.parse(paths))
	return c, l.finish()
}

func cases(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no cases at %s: %v", pattern, err)
	}
	return found
}

func text(t *testing.T, ds Diagnostics) string {
	t.Helper()
	var b bytes.Buffer
	if err := ds.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoodFiles(t *testing.T) {
	for _, path := range append(cases(t, "testdata/good/*"), cases(t, "examples/*.hcl")...) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, ds := load([]string{path}, LoadOptions{})
			if len(ds) > 0 {
				t.Fatalf("complaints about a good file:\n%s", text(t, ds))
			}
			if len(c.Publishers) == 0 || len(c.Listeners) != 3 {
				t.Fatalf("not a whole configuration: %+v", c)
			}
		})
	}
}

// expected finds the comments that say what is wrong with their line:
// "# E1012: words of the message", several with "; # ..".
var expected = regexp.MustCompile(`# ([EW]\d{4}): ([^#]*)`)

func TestBadFiles(t *testing.T) {
	seen := map[string]bool{}
	for _, path := range cases(t, "testdata/bad/*") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, ds := load([]string{path}, LoadOptions{})
			want := wanting(t, path)
			if len(want) == 0 {
				t.Fatal("no line says what is wrong with it")
			}
			for _, d := range ds {
				seen[d.Code] = true
				key := fmt.Sprintf("%s:%d %s", d.Place.Range.Filename, max(d.Place.Range.Start.Line, 1), d.Code)
				i := 0
				for ; i < len(want[key]); i++ {
					if strings.Contains(d.Summary+" "+d.Detail, want[key][i]) {
						break
					}
				}
				if i == len(want[key]) {
					t.Errorf("not expected at %s:\n%s", key, text(t, Diagnostics{d}))
					continue
				}
				want[key] = append(want[key][:i], want[key][i+1:]...)
			}
			for key, words := range want {
				for _, w := range words {
					t.Errorf("nothing said at %s: %s", key, w)
				}
			}
			if strings.Contains(text(t, ds), secretWord) {
				t.Error("a secret was printed")
			}
		})
	}
	t.Run("every code has a case", func(t *testing.T) {
		src, err := os.ReadFile("codes.go")
		if err != nil {
			t.Fatal(err)
		}
		list, err := os.ReadFile("CODES.md")
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := regexp.MustCompile(`E1001|E1002|E130\d|W1406|E1107|W1408`)
		for _, m := range regexp.MustCompile(`"([EW]\d{4})"`).FindAllSubmatch(src, -1) {
			if code := string(m[1]); !seen[code] && !elsewhere.MatchString(code) {
				t.Errorf("no file in testdata/bad shows %s", code)
			}
			if !strings.Contains(string(list), "| "+string(m[1])+" |") {
				t.Errorf("CODES.md does not list %s", m[1])
			}
		}
	})
}

func wanting(t *testing.T, path string) map[string][]string {
	t.Helper()
	files := []string{path}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		files, _ = filepath.Glob(filepath.Join(path, "*.hcl"))
	}
	want := map[string][]string{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			for _, m := range expected.FindAllStringSubmatch(line, -1) {
				key := fmt.Sprintf("%s:%d %s", file, i+1, m[1])
				want[key] = append(want[key], strings.TrimSpace(m[2]))
			}
		}
	}
	return want
}
