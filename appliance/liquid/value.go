package liquid

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// safe is text that is already escaped for HTML.
type safe string

// span is a range, gone through without being made.
type span struct{ from, to int64 }

func (s span) size() int64 { return max(0, s.to-s.from+1) }

type emptyValue struct{}
type blankValue struct{}

// normal brings what callers may pass to the few kinds used inside.
func normal(v any) any {
	switch x := v.(type) {
	case int:
		return int64(x)
	case int32:
		return int64(x)
	case uint32:
		return int64(x)
	case float32:
		return float64(x)
	case map[string]any:
		return mapObject(x)
	case []string:
		out := make([]any, len(x))
		for i, s := range x {
			out[i] = s
		}
		return out
	}
	return v
}

// mapObject is a map, gone through in the order of its keys.
type mapObject map[string]any

func (m mapObject) Get(key string) (any, bool) { v, ok := m[key]; return v, ok }

func (m mapObject) Keys() []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func truthy(v any) bool { return v != nil && v != false }

// index looks key up in v; what is not there is nil.
func index(v, key any) any {
	v, key = normal(v), normal(key)
	name, dot := key.(dotted)
	switch x := v.(type) {
	case Lookup:
		k := string(name)
		if !dot {
			var ok bool
			if k, ok = plainText(key).(string); !ok {
				return nil
			}
		}
		if got, ok := x.Get(k); ok {
			return normal(got)
		}
		if keyed, ok := v.(Keyed); ok && dot {
			keys := keyed.Keys()
			switch {
			case k == "size":
				return int64(len(keys))
			case k == "first" && len(keys) > 0:
				first, _ := x.Get(keys[0])
				return []any{keys[0], normal(first)}
			}
		}
	case []any:
		if dot {
			return special(string(name), int64(len(x)), func(i int64) any { return normal(x[i]) })
		}
		if i, ok := key.(int64); ok {
			if i < 0 {
				i += int64(len(x))
			}
			if i >= 0 && i < int64(len(x)) {
				return normal(x[i])
			}
		}
	case span:
		if dot {
			return special(string(name), x.size(), func(i int64) any { return x.from + i })
		}
	case string, safe, encoded:
		if dot && name == "size" {
			return int64(utf8.RuneCountInString(toText(x)))
		}
	}
	return nil
}

func special(name string, size int64, at func(int64) any) any {
	switch {
	case name == "size":
		return size
	case name == "first" && size > 0:
		return at(0)
	case name == "last" && size > 0:
		return at(size - 1)
	}
	return nil
}

// toText is v as text.
func toText(v any) string {
	switch x := normal(v).(type) {
	case nil, emptyValue, blankValue:
		return ""
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return floatText(x)
	case string:
		return x
	case safe:
		return string(x)
	case encoded:
		return string(x)
	case dotted:
		return string(x)
	case time.Time:
		return x.Format("2006-01-02 15:04:05 -0700")
	case span:
		return strconv.FormatInt(x.from, 10) + ".." + strconv.FormatInt(x.to, 10)
	case []any:
		var b strings.Builder
		for _, e := range x {
			b.WriteString(toText(e))
			if b.Len() > 1<<20 {
				break
			}
		}
		return b.String()
	case Lookup:
		return inspect(x, 0)
	}
	return ""
}

// inspect shows an object the way Liquid does.
func inspect(v any, depth int) string {
	if depth > 8 {
		return "..."
	}
	switch x := plainText(normal(v)).(type) {
	case nil:
		return "nil"
	case string:
		return strconv.Quote(x)
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = inspect(e, depth+1)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Keyed:
		var parts []string
		for _, k := range x.Keys() {
			e, _ := x.Get(k)
			parts = append(parts, strconv.Quote(k)+"=>"+inspect(e, depth+1))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case Lookup:
		return ""
	default:
		return toText(x)
	}
}

func floatText(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e16 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		m, e, _ := strings.Cut(s, "e")
		if !strings.Contains(m, ".") {
			m += ".0"
		}
		return m + "e" + e
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// toInt is v as a whole number, 0 where it is none.
func toInt(v any) int64 {
	switch x := number(v).(type) {
	case int64:
		return x
	case float64:
		if x >= math.MaxInt64 || x <= math.MinInt64 || x != x {
			return 0
		}
		return int64(x)
	}
	return 0
}

// number is v as an int64 or a float64; nil where it is neither.
func number(v any) any {
	switch x := plainText(normal(v)).(type) {
	case int64, float64:
		return x
	case string:
		s := strings.TrimSpace(x)
		n := 0
		dot := false
		for n < len(s) && (s[n] >= '0' && s[n] <= '9' || n == 0 && (s[n] == '-' || s[n] == '+') || s[n] == '.' && !dot && n+1 < len(s) && s[n+1] >= '0' && s[n+1] <= '9') {
			dot = dot || s[n] == '.'
			n++
		}
		if n == 0 {
			return nil
		}
		if !dot {
			if i, err := strconv.ParseInt(s[:n], 10, 64); err == nil {
				return i
			}
		}
		if f, err := strconv.ParseFloat(s[:n], 64); err == nil {
			return f
		}
	}
	return nil
}

// numberOr0 is v as a number, 0 where it is none.
func numberOr0(v any) any {
	if n := number(v); n != nil {
		return n
	}
	return int64(0)
}

func asFloat(v any) float64 {
	switch x := v.(type) {
	case int64:
		return float64(x)
	case float64:
		return x
	}
	return 0
}

// items are what a loop goes through, made one by one.
func items(v any) (n int64, at func(i int64) any) {
	switch x := plainText(normal(v)).(type) {
	case []any:
		return int64(len(x)), func(i int64) any { return normal(x[i]) }
	case span:
		return x.size(), func(i int64) any { return x.from + i }
	case string:
		if x != "" {
			return 1, func(int64) any { return x }
		}
	case Keyed:
		keys := x.Keys()
		return int64(len(keys)), func(i int64) any {
			e, _ := x.Get(keys[i])
			return []any{keys[i], normal(e)}
		}
	}
	return 0, nil
}
