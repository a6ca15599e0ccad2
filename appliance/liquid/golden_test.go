package liquid

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// leftOut are the golden tests that this Liquid fails on purpose, by the
// beginning of their names, and why.
var leftOut = map[string]string{
	"tags, include,": "templates have no files",
	"tags, render,":  "templates have no files",
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
				out++
				continue next
			}
		}
		vars := map[string]any{}
		d := json.NewDecoder(strings.NewReader(string(g.Data)))
		d.UseNumber()
		if len(g.Data) > 0 {
			if err := d.Decode(&vars); err != nil {
				t.Fatal(err)
			}
		}
		got, err := render1(g.Template, numbers(vars).(map[string]any))
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

func render1(source string, vars map[string]any) (string, error) {
	t, err := Parse(source)
	if err != nil {
		return "", err
	}
	return t.Render(vars, Options{Limits: Limits{Time: time.Second}})
}

// numbers turns JSON's numbers into whole ones and others.
func numbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i
		}
		f, _ := x.Float64()
		return f
	case []any:
		for i := range x {
			x[i] = numbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = numbers(x[k])
		}
	}
	return v
}
