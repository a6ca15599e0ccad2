package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// plain is a value as JSON has it.
func plain(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

// difference says where two values differ: all that DuckDB says must be so.
// Numbers may differ by the last digits of a sum.
func difference(path string, want, got any) string {
	switch want := want.(type) {
	case object:
		g, ok := got.(object)
		if !ok {
			break
		}
		for _, k := range sorted(want) {
			if d := difference(path+"."+k, want[k], g[k]); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			break
		}
		for i := range want {
			if d := difference(fmt.Sprintf("%s[%d]", path, i), want[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	case float64:
		if g, ok := got.(float64); ok && math.Abs(want-g) <= 1e-9*max(1, math.Abs(want)) {
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: DuckDB says %v, Cloister %v", path, want, got)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// text is a SQL literal, ident a name.
func text(s string) string  { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
