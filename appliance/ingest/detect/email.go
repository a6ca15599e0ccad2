package detect

import "strings"

// atSign finds the @ of an address, which in a URL may be %40, and its length.
func atSign(s string) (at, n int) {
	if at = strings.IndexByte(s, '@'); at >= 0 {
		return at, 1
	}
	return strings.LastIndex(s, "%40"), 3
}

// emails finds addresses whose domain has a dot and ends in letters, as those
// of the public network do.
func emails(dst []Hit, s string) []Hit {
	done := 0
	for i := 0; i < len(s); i++ {
		n := 1
		switch {
		case s[i] == '@':
		case s[i] == '%' && strings.HasPrefix(s[i:], "%40"):
			n = 3
		default:
			continue
		}
		from, speaks := i, false
		for from > done && local(s[from-1]) && i-from < 64 {
			from--
			speaks = speaks || alnum(s[from]) || s[from] >= 0x80
		}
		if n == 3 || strings.IndexByte(s[from:i], '%') >= 0 {
			// In a URL what is escaped before it is not of the address.
			if at := strings.LastIndexByte(s[from:i], '%'); at >= 0 && at+3 <= i-from {
				from += at + 3
			}
			speaks = strings.ContainsFunc(s[from:i], func(r rune) bool { return r >= 0x80 || alnum(byte(r)) })
		}
		to := i + n
		for to < len(s) && (alnum(s[to]) || s[to] == '-' || s[to] == '.' || s[to] >= 0x80) {
			to++
		}
		to = i + n + len(strings.TrimRight(s[i+n:to], ".-"))
		if !speaks || !public(s[i+n:to]) {
			continue
		}
		dst = append(dst, Hit{Email, from, to})
		done, i = to, to-1
	}
	return dst
}

// local says whether c may stand before the @. What separates the parts of a
// URL (/ ? & = # and quotes) may too by its standard, but does not in practice.
func local(c byte) bool {
	return alnum(c) || c >= 0x80 || c == '.' || c == '_' || c == '-' || c == '+' || c == '%' || c == '!' || c == '$' || c == '*' || c == '~' || c == '^'
}

// public says whether a domain ends as one of the public network.
func public(domain string) bool {
	dot := strings.LastIndexByte(domain, '.')
	if dot < 1 || len(domain) > 253 || strings.Contains(domain, "..") {
		return false
	}
	top := domain[dot+1:]
	if len(top) < 2 {
		return false
	}
	for i := range len(top) {
		if !letter(top[i]) && top[i] < 0x80 && !strings.HasPrefix(top, "xn--") {
			return false
		}
	}
	switch top { // logo@2x.png
	case "png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico":
		return false
	}
	return true
}
