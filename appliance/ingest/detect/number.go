package detect

import (
	"math/bits"
	"strings"
)

// numbers looks for what is made of digits, and of letters and digits, in a text.
type numbers struct {
	s     string
	want  Set
	hints hints
}

// group is a run of digits, and what stands between it and the one before.
type group struct {
	from, to int
	sep      byte // ' ', '-' or '.'; 0 = it is the first
}

// maxGroups are looked at together: more than any number is written in.
const maxGroups = 12

// find goes through the words of the text.
func (n *numbers) find(dst []Hit) []Hit {
	s, mixed := n.s, n.want&Of(NationalID, IBAN) != 0
	for i := 0; i < len(s); {
		if class[s[i]] == 0 {
			i++
			continue
		}
		to, all := i, uint8(0)
		for to < len(s) && class[s[to]] != 0 {
			all |= class[s[to]]
			to++
		}
		digits := all == isDigit
		var hit Hit
		var ok bool
		switch {
		case !digits && !mixed:
		case !digits:
			hit, ok = n.mixed(i, to)
		case n.apart(i):
			var groups [maxGroups]group
			hit, ok = n.number(n.groups(groups[:0], i))
		}
		if ok {
			dst = append(dst, hit)
			to = hit.To
		}
		i = to
	}
	return dst
}

// apart says whether the digits that begin at i are no part of a longer
// number, a date or an id before them.
func (n *numbers) apart(i int) bool {
	return i < 2 || n.s[i-1] != '-' && n.s[i-1] != '.' || !digit(n.s[i-2])
}

// groups gathers the groups of digits from i on.
func (n *numbers) groups(gs []group, i int) []group {
	s := n.s
	sep := byte(0)
	for len(gs) < maxGroups {
		to := i
		for to < len(s) && digit(s[to]) {
			to++
		}
		if to < len(s) && word(s[to]) {
			break // the word has letters
		}
		gs = append(gs, group{i, to, sep})
		if to+1 >= len(s) || s[to] != ' ' && s[to] != '-' && s[to] != '.' || !digit(s[to+1]) {
			break
		}
		sep, i = s[to], to+1
	}
	return gs
}

// number says what the text's groups begin with. Longer forms are tried first.
func (n *numbers) number(gs []group) (Hit, bool) {
	if len(gs) == 0 {
		return Hit{}, false
	}
	plus := gs[0].from > 0 && n.s[gs[0].from-1] == '+'
	if n.want.Has(Phone) && plus {
		if h, ok := n.international(gs); ok {
			return h, true
		}
	}
	var b [24]byte
	if n.want.Has(Card) && !plus {
		for _, form := range cardForms {
			if d, ok := n.written(b[:0], gs, form); ok && card(d) {
				return Hit{Card, gs[0].from, gs[len(form)-1].to}, true
			}
		}
		if d, ok := n.whole(b[:0], gs); ok && card(d) {
			return Hit{Card, gs[0].from, gs[0].to}, true
		}
	}
	if n.want.Has(NationalID) {
		if h, ok := n.national(gs); ok {
			return h, true
		}
	}
	if n.want.Has(Phone) && !plus {
		return n.domestic(gs)
	}
	return Hit{}, false
}

// written gives the digits of groups that are as long as form says, have one
// separator between them, and stand apart.
func (n *numbers) written(b []byte, gs []group, form []int) ([]byte, bool) {
	if len(gs) < len(form) {
		return nil, false
	}
	for i, length := range form {
		g := gs[i]
		if g.to-g.from != length || i > 0 && g.sep != gs[1].sep {
			return nil, false
		}
		b = append(b, n.s[g.from:g.to]...)
	}
	if gs[1].sep != ' ' && !n.clear(gs[0].from) {
		return nil, false
	}
	return b, n.ends(gs, len(form))
}

// whole gives the digits of the first group alone.
func (n *numbers) whole(b []byte, gs []group) ([]byte, bool) {
	if gs[0].to-gs[0].from > cap(b) || !n.ends(gs, 1) {
		return nil, false
	}
	return append(b, n.s[gs[0].from:gs[0].to]...), true
}

// ends says whether nothing but a space joins what follows the first k groups.
func (n *numbers) ends(gs []group, k int) bool {
	if k < len(gs) {
		return gs[k].sep == ' '
	}
	to := gs[k-1].to
	if to+1 >= len(n.s) {
		return true
	}
	return n.s[to] != '-' && n.s[to] != '.' || !word(n.s[to+1])
}

// clear says whether no id goes on before i.
func (n *numbers) clear(i int) bool {
	return i < 2 || n.s[i-1] != '-' && n.s[i-1] != '.' || !word(n.s[i-2])
}

var cardForms = [][]int{{4, 4, 4, 4, 3}, {4, 4, 4, 4}, {4, 6, 5}, {4, 6, 4}}

// card says whether digits are the number of a payment card: the ranges that
// ISO/IEC 7812 has the brands issue from, their lengths, and Luhn's digit.
// Visa's old 13 digits are left out: most such numbers are barcodes.
func card(d []byte) bool {
	if len(d) < fewestCard || len(d) > 19 {
		return false
	}
	p := int(d[0]-'0')*1000 + int(d[1]-'0')*100 + int(d[2]-'0')*10 + int(d[3]-'0')
	ok := false
	switch len(d) {
	case 14: // Diners
		ok = p/10 >= 300 && p/10 <= 305 || p/100 == 36 || p/100 == 38 || p/100 == 39
	case 15: // American Express
		ok = p/100 == 34 || p/100 == 37
	case 16:
		ok = p/1000 == 4 || // Visa
			p >= 5100 && p <= 5599 || p >= 2221 && p <= 2720 || // Mastercard
			p == 6011 || p >= 6440 && p <= 6599 || // Discover
			p/100 == 60 || p/100 == 81 || p/100 == 82 || p/10 == 508 || // RuPay
			p >= 3528 && p <= 3589 || p/100 == 62 || maestro(p) // JCB, UnionPay
	default:
		ok = p/100 == 62 || maestro(p) || len(d) == 19 && (p/1000 == 4 || p == 6011 || p >= 6440 && p <= 6599 || p >= 3528 && p <= 3589)
	}
	return ok && luhn(d)
}

func maestro(p int) bool {
	switch p {
	case 5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763:
		return true
	}
	return false
}

// luhn is the check of ISO/IEC 7812-1, annex B.
func luhn(d []byte) bool {
	sum := 0
	for i, c := range d {
		v := int(c - '0')
		if (len(d)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// international finds a number with a plus, of 9 to 15 digits (E.164).
func (n *numbers) international(gs []group) (Hit, bool) {
	from := gs[0].from - 1
	if n.s[from+1] == '0' || from > 0 && word(n.s[from-1]) {
		return Hit{}, false
	}
	// Groups of digits, and those that stand in brackets.
	digits, to, open := 0, from, false
	for i := from + 1; i < len(n.s); i++ {
		c := n.s[i]
		switch {
		case digit(c):
			if digits++; digits > 15 {
				return Hit{}, false
			}
			to = i + 1
		case word(c):
			if to == i { // the digits go on with letters
				return Hit{}, false
			}
			i = len(n.s)
		case c == '(' && !open && digits > 0:
			open = true
		case c == ')' && open:
			open = false
		case c == ' ' || c == '-' || c == '.':
			if i+1 < len(n.s) && n.s[i+1] == c || digits >= 11 && to < i {
				i = len(n.s)
			}
		default:
			i = len(n.s)
		}
	}
	return Hit{Phone, from, to}, digits >= 9
}

// domestic finds numbers as North America writes them, 415-555-0123 and
// (415) 555-0123, and numbers alone where the property is a phone's.
func (n *numbers) domestic(gs []group) (Hit, bool) {
	s, g := n.s, gs[0]
	if n.hints.phone && g.to-g.from >= 1 {
		from, to, digits := 0, 0, 0
		for i := range len(s) {
			switch c := s[i]; {
			case digit(c):
				if digits++; digits == 1 {
					from = i
				}
				to = i + 1
			case c == ' ' || c == '-' || c == '.' || c == '(' || c == ')':
			default:
				digits = 99
			}
		}
		if digits >= 8 && digits <= 15 && from == g.from {
			return Hit{Phone, from, to}, true
		}
	}
	var b [24]byte
	if len(gs) >= 3 && gs[1].sep != ' ' {
		if d, ok := n.written(b[:0], gs, []int{3, 3, 4}); ok && d[0] >= '2' && d[3] >= '2' {
			return Hit{Phone, g.from, gs[2].to}, true
		}
	}
	if g.from > 0 && s[g.from-1] == '(' && g.to-g.from == 3 && g.to < len(s) && s[g.to] == ')' && s[g.from] >= '2' {
		i := g.to + 1
		if i < len(s) && s[i] == ' ' {
			i++
		}
		if i < len(s) && digit(s[i]) {
			var rest [maxGroups]group
			if r := n.groups(rest[:0], i); len(r) == 2 && r[0].to-r[0].from == 3 && r[1].to-r[1].from == 4 && n.ends(r, 2) {
				return Hit{Phone, g.from - 1, r[1].to}, true
			}
		}
	}
	return Hit{}, false
}

// hints are what the property's name, or a word in the text, says of numbers.
type hints struct{ phone, aadhaar, ssn, nir bool }

var phoneNames = []string{"phone", "phonenumber", "phoneno", "mobile", "mobilenumber", "mobileno", "msisdn", "whatsapp", "whatsappnumber",
	"tel", "telephone", "cell", "cellphone", "contactnumber", "contactno"}

func hintsOf(want Set, key, text string) (h hints) {
	if want&Of(NationalID, Phone) == 0 || count(text) < fewestPhone {
		return h
	}
	// The letters of the name in lower case: mobile_no and mobileNo are one.
	var buf [64]byte
	name := buf[:0]
	for i := 0; i < len(key) && len(name) < cap(name); i++ {
		if letter(key[i]) {
			name = append(name, key[i]|0x20)
		}
	}
	for _, p := range phoneNames {
		if strings.HasSuffix(string(name), p) {
			h.phone = true
		}
	}
	h.ssn = strings.HasSuffix(string(name), "ssn") || strings.Contains(string(name), "socialsecurity")
	h.nir = strings.HasSuffix(string(name), "nir")
	h.aadhaar = strings.Contains(string(name), "aadha") || contains(text, "aadha")
	return h
}

// count is how many digits there are. Eight bytes at a time: what a byte lacks
// of being a digit shows in its highest bit.
func count(s string) (n int) {
	const every = 0x0101010101010101
	for len(s) >= 8 {
		v := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		v ^= '0' * every
		n += 8 - bits.OnesCount64((v&(0x7f*every)+0x76*every|v)&(0x80*every))
		s = s[8:]
	}
	for i := range len(s) {
		if digit(s[i]) {
			n++
		}
	}
	return n
}

// contains says whether s has part, in whatever case; part is in lower case.
func contains(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if s[i]|0x20 == part[0] && strings.EqualFold(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}
