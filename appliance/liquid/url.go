package liquid

import (
	"fmt"
	"net/url"
	"strings"
)

// urlPlace follows a URL as it is written.
type urlPlace struct {
	head    short // before the first of : / ? #, without white space
	tainted bool  // part of head is data
	past    bool  // head has ended
	query   bool  // behind ? or #
}

func (u *urlPlace) pass(s string, data bool) error {
	for i := 0; i < len(s); i++ {
		if err := u.byte(s[i], data); err != nil {
			return err
		}
	}
	return nil
}

func (u *urlPlace) byte(c byte, data bool) error {
	if c == '?' || c == '#' {
		u.query = true
	}
	if u.past {
		return nil
	}
	switch c {
	case '/', '?', '#':
		u.past = true
	case ':':
		u.past = true
		if u.tainted && runs(string(u.head.b[:u.head.n])) {
			return fmt.Errorf("%w: it would make a link that runs code", ErrPlace)
		}
	default:
		if c > ' ' { // browsers pass over white space and controls here
			u.head.add(c)
			u.tainted = u.tainted || data
		}
	}
	return nil
}

// runs says whether following a link of this scheme runs or shows what stands
// in the link itself. Apps' own schemes are many, so it is these that are named.
func runs(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "javascript", "vbscript", "data", "file", "blob":
		return true
	}
	return false
}

// encoded is text that is already percent-encoded.
type encoded string

// escape makes the text of a value fit for where the URL has come to: behind
// the question mark it is one value, before it a piece of the URL.
func (u *urlPlace) escape(s string, v any) string {
	if _, ok := v.(encoded); !ok && u.query {
		return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	if u.head.n == 0 && !u.past {
		s = strings.TrimSpace(s)
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && strings.IndexByte("\"'<>\\^`{|}", c) < 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
