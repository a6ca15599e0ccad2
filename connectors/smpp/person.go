package main

import "strings"

// person is a number that a message came from as +E.164; "" if it cannot be one.
// country is the code of numbers that come without one.
func person(a address, country string) string {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -().", r) {
			return -1
		}
		return r
	}, a.digits)
	plus := strings.HasPrefix(digits, "+")
	digits = strings.TrimPrefix(digits, "+")
	if strings.HasPrefix(digits, "00") && !plus {
		plus, digits = true, digits[2:]
	}
	national := !plus && a.ton != 1 && country != "" && (a.ton == 2 || digits[:min(1, len(digits))] == "0" || !strings.HasPrefix(digits, country) || len(digits) <= 10)
	if national {
		digits = country + strings.TrimPrefix(digits, "0")
	}
	if !number.MatchString("+" + digits) {
		return ""
	}
	return "+" + digits
}
