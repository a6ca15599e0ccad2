package campaign

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, in JSON as Go writes it plus d (24 hours) and
// w (7 days): "90m", "7d", "1d12h".
type Duration time.Duration

// longest is the longest Duration: far from overflowing, and from any use.
const longest = 10_000 * 24 * time.Hour

// ParseDuration reads a Duration; it is never negative.
func ParseDuration(s string) (Duration, error) {
	rest, total := s, time.Duration(0)
	for {
		n := strings.IndexAny(rest, "dw")
		if n < 0 {
			break
		}
		unit := 24 * time.Hour
		if rest[n] == 'w' {
			unit *= 7
		}
		x, err := strconv.ParseUint(rest[:n], 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration: write it like 90m, 36h or 7d", s)
		}
		if time.Duration(x) > (longest-total)/unit {
			return 0, fmt.Errorf("%q is too long: %s at most", s, Duration(longest))
		}
		total += time.Duration(x) * unit
		rest = rest[n+1:]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is no duration: write it like 90m, 36h or 7d", s)
		}
		if d > longest-total {
			return 0, fmt.Errorf("%q is too long: %s at most", s, Duration(longest))
		}
		total += d
	}
	if s == "" {
		return 0, fmt.Errorf("%q is no duration: write it like 90m, 36h or 7d", s)
	}
	return Duration(total), nil
}

func (d Duration) String() string {
	if d > 0 && time.Duration(d)%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", time.Duration(d)/(24*time.Hour))
	}
	return time.Duration(d).String()
}

// MarshalJSON writes d as text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text of a duration.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a text like \"90m\"")
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// micros is d in microseconds.
func (d Duration) micros() int64 { return time.Duration(d).Microseconds() }
