package liquid

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// leftOut are the golden tests that this Liquid fails on purpose, by the
// beginning of their names, and why.
var leftOut = map[string]string{
	"tags, include,": "templates have no files",
	"tags, render,":  "templates have no files",
	// Two tests contradict each other here; we side with the stricter one.
	"tags, case, unexpected when token": "a mistake in a when is a mistake",
}

// TestGolden runs the golden tests of the Liquid that Shopify runs.
func TestGolden(t *testing.T) {
	raw, err := os.ReadFile("../../../shared/data/liquid/golden_liquid.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Tests []struct {
			Name     string
			Template string
			Data     json.RawMessage
			Result   *string
			Results  []string
			Invalid  bool
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	passed, out := 0, 0
next:
	for _, g := range golden.Tests {
		for name := range leftOut {
			if strings.HasPrefix(g.Name, name) {
				if _, err := Parse(g.Template); err == nil {
					t.Errorf("%s: left out, yet taken", g.Name)
				}
				if !g.Invalid {
					out++
				} else {
					passed++
				}
				continue next
			}
		}
		got, err := render1(g.Template, g.Data)
		switch want := g.Results; {
		case g.Invalid:
			if err == nil {
				t.Errorf("%s: %q gives %q, not an error", g.Name, g.Template, got)
				continue
			}
		case err != nil:
			t.Errorf("%s: %q: %v", g.Name, g.Template, err)
			continue
		default:
			if g.Result != nil {
				want = append(want, *g.Result)
			}
			ok := false
			for _, w := range want {
				ok = ok || w == got
			}
			if !ok {
				t.Errorf("%s: %q gives %q, not %q", g.Name, g.Template, got, want)
				continue
			}
		}
		passed++
	}
	t.Logf("%d of %d golden tests pass, %d are left out", passed, len(golden.Tests), out)
	if len(golden.Tests) < 1000 {
		t.Errorf("only %d golden tests", len(golden.Tests))
	}
}

func render1(source string, data []byte) (string, error) {
	vars := map[string]any{}
	if len(data) > 0 {
		d := jsontext.NewDecoder(bytes.NewReader(data))
		if v, ok := ordered(d).(*object); ok {
			for i, k := range v.keys {
				vars[k] = v.values[i]
			}
		}
	}
	t, err := Parse(source)
	if err != nil {
		return "", err
	}
	return t.Render(vars, Options{Limits: Limits{Time: time.Second}})
}

// object keeps the order of its members, as Ruby's does.
type object struct {
	keys   []string
	values []any
}

func (o *object) Get(key string) (any, bool) {
	i := slices.Index(o.keys, key)
	if i < 0 {
		return nil, false
	}
	return o.values[i], true
}

func (o *object) Keys() []string { return o.keys }

// ordered reads a value of the golden file, which is taken to be JSON.
func ordered(d *jsontext.Decoder) any {
	tok, err := d.ReadToken()
	if err != nil {
		panic(err)
	}
	switch tok.Kind() {
	case '{':
		o := &object{}
		for d.PeekKind() != '}' {
			o.keys = append(o.keys, ordered(d).(string))
			o.values = append(o.values, ordered(d))
		}
		d.ReadToken()
		return o
	case '[':
		l := []any{}
		for d.PeekKind() != ']' {
			l = append(l, ordered(d))
		}
		d.ReadToken()
		return l
	case '"':
		return tok.String()
	case 't', 'f':
		return tok.Bool()
	case '0':
		if n, err := strconv.ParseInt(tok.String(), 10, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(tok.String(), 64)
		if err != nil {
			panic(err)
		}
		return f
	}
	return nil
}
