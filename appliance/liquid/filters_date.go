package liquid

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func init() {
	define(1, 1, "date", func(c *call, v any) (any, error) {
		format := toText(c.arg(0))
		t, ok := c.r.asTime(v)
		if !ok || format == "" {
			return v, nil
		}
		out, err := c.r.strftime(t, format)
		return out, err
	})
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 MST", "2006-01-02T15:04:05", "2006-01-02 15:04:05",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02", "2006/01/02", "January 2, 2006", "Jan 2, 2006", "2 January 2006", "2 Jan 2006",
	"January 2, 2006 15:04", "Jan 2, 2006 15:04", time.RFC1123Z, time.RFC1123, "Jan 2 2006", "January 2 2006",
}

// asTime reads a time: one, the seconds since 1970, "now", "today", or a text
// in one of the usual forms. It is shown in Options.Location.
func (r *render) asTime(v any) (time.Time, bool) {
	switch x := plainText(normal(v)).(type) {
	case time.Time:
		return x.In(r.o.Location), true
	case int64:
		return time.Unix(x, 0).In(r.o.Location), true
	case float64:
		return time.Unix(int64(x), 0).In(r.o.Location), true
	case string:
		s := strings.TrimSpace(x)
		if s == "now" || s == "today" {
			return r.o.Now().In(r.o.Location), true
		}
		if len(s) > 64 || s == "" {
			return time.Time{}, false
		}
		if strings.Trim(s, "0123456789") == "" {
			n, err := strconv.ParseInt(s, 10, 64)
			return time.Unix(n, 0).In(r.o.Location), err == nil
		}
		for _, l := range layouts {
			if t, err := time.ParseInLocation(l, s, r.o.Location); err == nil {
				return t.In(r.o.Location), true
			}
		}
	}
	return time.Time{}, false
}

// strftime writes a time the way of C and Ruby.
func (r *render) strftime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		begin := i
		i++
		flag, width := byte(0), 0
		for ; i < len(format) && strings.IndexByte("-0^_", format[i]) >= 0; i++ {
			flag = format[i]
		}
		for ; i < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
			width = min(width*10+int(format[i]-'0'), 32)
		}
		if i == len(format) {
			b.WriteString(format[begin:])
			break
		}
		s, digits, ok := directive(t, format[i])
		if !ok {
			b.WriteString(format[begin : i+1])
			continue
		}
		b.WriteString(padded(s, digits, flag, width))
		if err := r.made(64); err != nil {
			return "", err
		}
	}
	return b.String(), r.made(b.Len())
}

// padded pads a number to its digits, or as the flag says.
func padded(s string, digits int, flag byte, width int) string {
	fill := "0"
	if digits < 0 {
		digits, fill = -digits, " "
	}
	if width > 0 {
		digits = width
	}
	switch flag {
	case '-':
		return s
	case '^':
		return strings.ToUpper(s)
	case '_':
		fill = " "
	case '0':
		fill = "0"
	}
	if n := digits - len(s); n > 0 {
		return strings.Repeat(fill, n) + s
	}
	return s
}

// directive is one directive's text, and to how many digits it is padded:
// below 0 with spaces.
func directive(t time.Time, c byte) (s string, digits int, ok bool) {
	num := func(n, digits int) (string, int, bool) { return strconv.Itoa(n), digits, true }
	text := func(layout string) (string, int, bool) { return t.Format(layout), 0, true }
	hour12 := (t.Hour()+11)%12 + 1
	switch c {
	case 'a':
		return text("Mon")
	case 'A':
		return text("Monday")
	case 'b', 'h':
		return text("Jan")
	case 'B':
		return text("January")
	case 'c':
		return text("Mon Jan _2 15:04:05 2006")
	case 'C':
		return num(t.Year()/100, 2)
	case 'd':
		return num(t.Day(), 2)
	case 'D', 'x':
		return text("01/02/06")
	case 'e':
		return num(t.Day(), -2)
	case 'F':
		return text("2006-01-02")
	case 'H':
		return num(t.Hour(), 2)
	case 'I':
		return num(hour12, 2)
	case 'j':
		return num(t.YearDay(), 3)
	case 'k':
		return num(t.Hour(), -2)
	case 'l':
		return num(hour12, -2)
	case 'L':
		return num(t.Nanosecond()/1e6, 3)
	case 'm':
		return num(int(t.Month()), 2)
	case 'M':
		return num(t.Minute(), 2)
	case 'n':
		return "\n", 0, true
	case 'N':
		return num(t.Nanosecond(), 9)
	case 'p':
		return text("PM")
	case 'P':
		return text("pm")
	case 'r':
		return text("03:04:05 PM")
	case 'R':
		return text("15:04")
	case 's':
		return strconv.FormatInt(t.Unix(), 10), 0, true
	case 'S':
		return num(t.Second(), 2)
	case 't':
		return "\t", 0, true
	case 'T', 'X':
		return text("15:04:05")
	case 'u':
		return num((int(t.Weekday())+6)%7+1, 1)
	case 'U':
		return num((t.YearDay()+6-int(t.Weekday()))/7, 2)
	case 'V':
		_, week := t.ISOWeek()
		return num(week, 2)
	case 'G':
		year, _ := t.ISOWeek()
		return num(year, 4)
	case 'w':
		return num(int(t.Weekday()), 1)
	case 'W':
		return num((t.YearDay()+6-(int(t.Weekday())+6)%7)/7, 2)
	case 'y':
		return num(t.Year()%100, 2)
	case 'Y':
		return num(t.Year(), 4)
	case 'z':
		return text("-0700")
	case 'Z':
		return text("MST")
	case '%':
		return "%", 0, true
	case 'v':
		return strings.ToUpper(fmt.Sprintf("%2d-%s-%d", t.Day(), t.Month().String()[:3], t.Year())), 0, true
	}
	return "", 0, false
}
