package liquid

import (
	"math"
	"strconv"
)

func init() {
	define(0, 0, "abs", func(c *call, v any) (any, error) {
		switch x := numberOr0(v).(type) {
		case int64:
			return max(x, -x), nil
		default:
			return math.Abs(asFloat(x)), nil
		}
	})
	define(0, 0, "ceil", func(c *call, v any) (any, error) { return whole(numberOr0(v), math.Ceil), nil })
	define(0, 0, "floor", func(c *call, v any) (any, error) { return whole(numberOr0(v), math.Floor), nil })
	define(0, 1, "round", round)
	define(1, 1, "at_least", func(c *call, v any) (any, error) {
		a, b := numberOr0(v), numberOr0(c.arg(0))
		if asFloat(a) < asFloat(b) {
			return b, nil
		}
		return a, nil
	})
	define(1, 1, "at_most", func(c *call, v any) (any, error) {
		a, b := numberOr0(v), numberOr0(c.arg(0))
		if asFloat(a) > asFloat(b) {
			return b, nil
		}
		return a, nil
	})
	define(1, 1, "plus", arithmetic(
		func(a, b int64) (int64, bool) { return a + b, (a+b > a) == (b > 0) },
		func(a, b float64) float64 { return a + b }))
	define(1, 1, "minus", arithmetic(
		func(a, b int64) (int64, bool) { return a - b, (a-b < a) == (b > 0) },
		func(a, b float64) float64 { return a - b }))
	define(1, 1, "times", arithmetic(
		func(a, b int64) (int64, bool) {
			return a * b, a == 0 || b == 0 || (a*b/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64))
		},
		func(a, b float64) float64 { return a * b }))
	define(1, 1, "divided_by", func(c *call, v any) (any, error) {
		a, b := numberOr0(v), numberOr0(c.arg(0))
		if asFloat(b) == 0 {
			return nil, c.r.fail("divided by zero")
		}
		x, whole := a.(int64)
		y, also := b.(int64)
		if !whole || !also || y == -1 {
			if whole && also && x != math.MinInt64 {
				return -x, nil
			}
			return c.finite(asFloat(a) / asFloat(b))
		}
		q := x / y
		if x%y != 0 && (x < 0) != (y < 0) {
			q--
		}
		return q, nil
	})
	define(1, 1, "modulo", func(c *call, v any) (any, error) {
		a, b := numberOr0(v), numberOr0(c.arg(0))
		if asFloat(b) == 0 {
			return nil, c.r.fail("divided by zero")
		}
		x, whole := a.(int64)
		y, also := b.(int64)
		if whole && also {
			if y == -1 {
				return int64(0), nil
			}
			m := x % y
			if m != 0 && (m < 0) != (y < 0) {
				m += y
			}
			return m, nil
		}
		m := math.Mod(asFloat(a), asFloat(b))
		if m != 0 && (m < 0) != (asFloat(b) < 0) {
			m += asFloat(b)
		}
		return c.finite(tidy(m))
	})
}

// arithmetic works with whole numbers as long as both are and the result fits.
func arithmetic(whole func(a, b int64) (int64, bool), float func(a, b float64) float64) func(c *call, v any) (any, error) {
	return func(c *call, v any) (any, error) {
		a, b := numberOr0(v), numberOr0(c.arg(0))
		x, ok := a.(int64)
		y, also := b.(int64)
		if ok && also {
			if y == 0 {
				z, _ := whole(x, y)
				return z, nil
			}
			if z, fits := whole(x, y); fits {
				return z, nil
			}
		}
		return c.finite(tidy(float(asFloat(a), asFloat(b))))
	}
}

func (c *call) finite(f float64) (any, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, c.r.fail("the result is no number")
	}
	return f, nil
}

// tidy drops what binary fractions leave behind the digits that were meant:
// 10.1 - 2.2 is 7.9.
func tidy(f float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 15, 64), 64)
	if err != nil {
		return f
	}
	return out
}

// whole turns a number into a whole one.
func whole(v any, how func(float64) float64) any {
	f, ok := v.(float64)
	if !ok {
		return v
	}
	f = how(f)
	if math.Abs(f) >= 1<<63 {
		return f
	}
	return int64(f)
}

func round(c *call, v any) (any, error) {
	n := numberOr0(v)
	digits := min(max(toInt(c.arg(0)), -18), 18)
	f, ok := n.(float64)
	if !ok && digits >= 0 {
		return n, nil
	}
	if !ok {
		f = asFloat(n)
	}
	scale := math.Pow(10, float64(digits))
	out := math.Round(f*scale) / scale
	if digits > 0 {
		return c.finite(tidy(out))
	}
	return whole(out, math.Round), nil
}
