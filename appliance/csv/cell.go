// Package csv is comma-separated values both ways: cells that no spreadsheet
// runs, a reader that goes on behind what it cannot read, and the lines of an
// import that records become. It is pure: bytes in, bytes out.
package csv

import "strings"

// Guarded says whether a spreadsheet may take a text for a formula, or the text
// could be taken for one that was guarded.
func Guarded(s string) bool {
	s = strings.TrimLeft(s, "'")
	return s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0
}

// Unguard takes back what AppendText did to a text.
func Unguard(s string) string {
	if strings.HasPrefix(s, "'") && Guarded(s) {
		return s[1:]
	}
	return s
}

// AppendText appends a text as a cell. One that a spreadsheet would run gets '
// before it and is quoted.
func AppendText(dst []byte, s string) []byte {
	if Guarded(s) {
		return AppendQuoted(dst, "'"+s)
	}
	// Some readers trim a cell that is not quoted, and some take ; for a comma.
	if strings.ContainsAny(s, "\",\r\n\t;") || s != strings.TrimSpace(s) {
		return AppendQuoted(dst, s)
	}
	return append(dst, s...)
}

// AppendQuoted appends a cell in quotes, as it is.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		at := strings.IndexByte(s, '"')
		if at < 0 {
			break
		}
		dst = append(append(dst, s[:at+1]...), '"')
		s = s[at+1:]
	}
	return append(append(dst, s...), '"')
}
