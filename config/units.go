package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// How the units are written, for those who wrote something else.
const (
	durationForm = `Write a number and its unit: "30s", "15m", "24h", "7d", "2w", "1h30m".`
	rateForm     = `Write a number, a stroke and s, m, h or d: "100/s", "5000/h".`
	sizeForm     = `Write a number and its unit: "512KiB", "64MiB", "16GiB", "2TiB".`
	shareForm    = `Write a whole number and %, of which 100 are one processor: "50%", "150%".`
	timeForm     = `Write hours and minutes, from "00:00" to "23:59".`
)

var durationPart = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d|w)`)

var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": week,
}

// ParseDuration reads a duration as Go does, without a sign, and with d for 24
// hours and w for 7 days.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	var sum float64
	var whole time.Duration // exact as long as there are no fractions
	rest := s
	for rest != "" {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		unit := durationUnits[m[2]]
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		if sum += n * float64(unit); sum >= math.MaxInt64 {
			return 0, fmt.Errorf("%q is longer than 292 years", s)
		}
		if i, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			whole += time.Duration(i) * unit
		} else {
			whole += time.Duration(n * float64(unit))
		}
		rest = rest[len(m[0]):]
	}
	if s == "" {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return whole, nil
}

// FormatDuration writes a duration as operators do, with days: the inverse of
// ParseDuration.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	out := ""
	if days := d / day; days > 0 {
		out = strconv.FormatInt(int64(days), 10) + "d"
		d %= day
	}
	if d == 0 {
		return out
	}
	s := d.String() // 1h30m0s
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return out + s
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day}

// ParseRate reads a rate, in events a second.
func ParseRate(s string) (float64, error) {
	number, unit, ok := strings.Cut(s, "/")
	per, known := rateUnits[strings.TrimSpace(unit)]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || !known || err != nil || n <= 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is not a rate", s)
	}
	return n / per.Seconds(), nil
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(B|KiB|MiB|GiB|TiB)$`)

var sizeUnits = map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// ParseSize reads a size, in bytes.
func ParseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || n*sizeUnits[m[2]] >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return int64(n * sizeUnits[m[2]]), nil
}

// parseTimeOfDay reads hours and minutes as minutes since midnight.
func parseTimeOfDay(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != 5 {
		return 0, fmt.Errorf("%q is not a time of day", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// ParseShare reads a share in percent: "150%" is 1.5.
func ParseShare(s string) (float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is not a share", s)
	}
	return float64(n) / 100, nil
}
