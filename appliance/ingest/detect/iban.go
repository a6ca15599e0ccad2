package detect

// ibanLength is how long an account number of a country is, by the registry of
// ISO 13616 (release 99).
var ibanLength = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21,
	"CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18,
	"FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
	"IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24,
	"ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
	"PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23,
	"ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}

// iban reads an account number from a word on, which is all of it or the first
// of groups of four.
func (n *numbers) iban(from, to int) (Hit, bool) {
	s := n.s
	length, ok := ibanLength[string([]byte{upper(s[from]), upper(s[from+1])})]
	if !ok || to-from != length && to-from != 4 {
		return Hit{}, false
	}
	var b [34]byte
	d := append(b[:0], s[from:to]...)
	for end := to; len(d) < length; to = end {
		if end >= len(s) || s[end] != ' ' {
			return Hit{}, false
		}
		start := end + 1
		for end = start; end < len(s) && word(s[end]); end++ {
		}
		if size := end - start; size != min(4, length-len(d)) {
			return Hit{}, false
		}
		d = append(d, s[start:end]...)
	}
	return Hit{IBAN, from, to}, len(d) == length && mod97(d)
}

// mod97 is the check of ISO 7064 over an account number.
func mod97(d []byte) bool {
	r := 0
	for i := range d {
		c := upper(d[(i+4)%len(d)])
		switch {
		case digit(c):
			r = (r*10 + int(c-'0')) % 97
		case letter(c):
			r = (r*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return r == 1
}
