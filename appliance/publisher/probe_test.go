package publisher

import (
	"testing"
	"time"
)

// TestProbeClock: once a day from three o'clock on where the publisher is, whatever
// the clocks there do, and ten minutes after a failure.
func TestProbeClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var never time.Time
	for _, c := range []struct {
		now, next string
		due       bool
	}{
		{"2026-06-01T02:59:59", "", false}, {"2026-06-01T03:00:00", "", true}, {"2026-06-01T23:50:00", "", true},
		{"2026-06-01T12:00:00", "2026-06-02T03:00:00", false}, {"2026-06-02T03:00:00", "2026-06-02T03:00:00", true},
		{"2026-06-02T00:05:00", "2026-06-02T00:05:00", false}, // failed before midnight: that day is over
	} {
		now, err := time.ParseInLocation("2006-01-02T15:04:05", c.now, berlin)
		if err != nil {
			t.Fatal(err)
		}
		next := never
		if c.next != "" {
			if next, err = time.ParseInLocation("2006-01-02T15:04:05", c.next, berlin); err != nil {
				t.Fatal(err)
			}
		}
		if due := probeDue(now, next); due != c.due {
			t.Errorf("at %s, next at %s: %v", c.now, c.next, due)
		}
	}
	// On these days clocks there go forward and back, between two and three.
	for _, day := range []time.Time{time.Date(2026, 3, 28, 9, 0, 0, 0, berlin), time.Date(2026, 10, 24, 9, 0, 0, 0, berlin), time.Date(2026, 12, 31, 23, 59, 0, 0, berlin)} {
		next := probeAfter(day, false)
		if y, m, d := day.AddDate(0, 0, 1).Date(); next != time.Date(y, m, d, 3, 0, 0, 0, berlin) || next.Hour() != 3 {
			t.Errorf("after %s it is %s", day, next)
		}
		if again := probeAfter(day, true); again.Sub(day) != 10*time.Minute {
			t.Errorf("after a failure at %s it is %s", day, again)
		}
	}
}
