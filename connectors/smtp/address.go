package main

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// checkAddress gives an address as it goes onto the wire, its domain in ASCII.
// It takes what providers give to people, and none of the exotic forms (quotes,
// comments, routes, address literals) in which attacks on mail hide.
func checkAddress(address string) (string, error) {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || len(address) > 254 || !utf8.ValidString(address) {
		return "", errors.New("not an e-mail address")
	}
	name, domain := address[:at], address[at+1:]
	if len(name) > 64 || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return "", errors.New("not an e-mail address")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+/=?^_`{|}~.-", c) >= 0:
		default:
			return "", errors.New("a character in it that this connector does not send to")
		}
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err == nil {
		// What it makes must be a domain by its own rules, too.
		var again string
		if again, err = idna.Lookup.ToASCII(ascii); again != ascii {
			return "", errors.New("not a domain")
		}
	}
	if err != nil || len(ascii) > 253 || strings.Contains("."+ascii+".", "..") || !strings.Contains(ascii, ".") && ascii != "localhost" {
		return "", errors.New("not a domain")
	}
	return name + "@" + ascii, nil
}
