package liquid

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

func isEmpty(v any) bool {
	switch x := plainText(normal(v)).(type) {
	case string:
		return x == ""
	case []any:
		return len(x) == 0
	case Keyed:
		return len(x.Keys()) == 0
	case emptyValue:
		return true
	}
	return false
}

func isBlank(v any) bool {
	switch x := plainText(normal(v)).(type) {
	case nil, blankValue:
		return true
	case bool:
		return !x
	case string:
		return strings.TrimSpace(x) == ""
	}
	return isEmpty(v)
}

func equal(a, b any) bool {
	a, b = plainText(normal(a)), plainText(normal(b))
	switch b.(type) {
	case emptyValue, blankValue:
		a, b = b, a
	}
	switch a.(type) {
	case emptyValue:
		return isEmpty(b) && b != any(emptyValue{}) || b == any(emptyValue{})
	case blankValue:
		if _, ok := b.(emptyValue); ok {
			return false
		}
		return isBlank(b)
	}
	switch x := a.(type) {
	case int64, float64:
		switch b.(type) {
		case int64, float64:
			return asFloat(x) == asFloat(b)
		}
		return false
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case Keyed:
		y, ok := b.(Keyed)
		return ok && inspect(x, 0) == inspect(y, 0)
	case Lookup:
		return false
	}
	if b != nil && !reflect.TypeOf(b).Comparable() {
		return false
	}
	return a == b
}

// plainText takes the marks off a text.
func plainText(v any) any {
	switch s := v.(type) {
	case safe:
		return string(s)
	case encoded:
		return string(s)
	}
	return v
}

// order compares numbers with numbers, texts with texts and times with times.
func order(a, b any) (int, bool) {
	a, b = plainText(normal(a)), plainText(normal(b))
	switch x := a.(type) {
	case int64, float64:
		switch b.(type) {
		case int64, float64:
			p, q := asFloat(x), asFloat(b)
			switch {
			case p < q:
				return -1, true
			case p > q:
				return 1, true
			}
			return 0, p == q
		}
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), true
		}
	}
	return 0, false
}

func (r *render) compare(op string, a, b any) (any, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=", "<>":
		return !equal(a, b), nil
	case "contains":
		return contains(a, b), nil
	}
	c, ok := order(a, b)
	if !ok {
		a, b = normal(a), normal(b)
		_, textA := plainText(a).(string)
		_, textB := plainText(b).(string)
		if textA && number(b) != nil || textB && number(a) != nil {
			return nil, r.fail("a text and a number cannot be compared with %q", op)
		}
		return false, nil
	}
	switch op {
	case "<":
		return c < 0, nil
	case ">":
		return c > 0, nil
	case "<=":
		return c <= 0, nil
	}
	return c >= 0, nil
}

func contains(a, b any) bool {
	if !truthy(normal(b)) {
		return false
	}
	switch x := plainText(normal(a)).(type) {
	case string:
		return strings.Contains(x, toText(b))
	case []any:
		return slices.ContainsFunc(x, func(e any) bool { return equal(e, b) })
	case span:
		n, ok := normal(b).(int64)
		return ok && n >= x.from && n <= x.to
	case Lookup:
		_, ok := x.Get(toText(b))
		return ok
	}
	return false
}
