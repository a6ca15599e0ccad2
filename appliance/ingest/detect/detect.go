// Package detect finds what identifies somebody in texts that are about
// something else: numbers of payment cards, national ids and bank accounts,
// e-mail addresses and phone numbers. It is pure, keeps nothing, and may be
// used concurrently.
//
// It would rather miss than mangle: a number counts where its length, prefix
// and check digits are right and it stands apart as people write it; what has
// no check digits counts only in its own punctuation, or where the name of the
// property says what it is. Somebody who wants to get a number past it can.
package detect

import "strings"

// Kind is a kind of thing that is found.
type Kind uint8

// The kinds.
const (
	Card       Kind = iota // of payment: brand, length and Luhn's check digit
	NationalID             // see national.go
	IBAN                   // country, length and mod 97
	Email
	Phone
	Kinds // how many there are
)

var names = [Kinds]string{"card", "national_id", "iban", "email", "phone"}

func (k Kind) String() string { return names[k] }

// Set is a set of kinds.
type Set uint8

// Of is the set of these kinds.
func Of(kinds ...Kind) (s Set) {
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// All kinds.
const All Set = 1<<Kinds - 1

// Has says whether k is in s.
func (s Set) Has(k Kind) bool { return s&(1<<k) != 0 }

// Names are those of the kinds in s.
func (s Set) Names() (out []string) {
	for k := range Kinds {
		if s.Has(k) {
			out = append(out, k.String())
		}
	}
	return out
}

// String lists the kinds, as "card, email".
func (s Set) String() string { return strings.Join(s.Names(), ", ") }

// Hit is where something was found: s[From:To].
type Hit struct {
	Kind     Kind
	From, To int
}

// Fewest digits that a text needs to hold one.
const (
	fewestCard     = 14
	fewestNational = 4
	fewestIBAN     = 8
	fewestPhone    = 8
)

// Scanner finds kinds of a set. Make it with New.
type Scanner struct {
	want   Set
	fewest int  // digits that a text needs for anything but an e-mail address
	mail   bool // an @ needs a look
}

// New makes a scanner of a set of kinds.
func New(want Set) Scanner {
	s := Scanner{want: want, fewest: 1 << 30, mail: want.Has(Email)}
	for k, n := range map[Kind]int{Card: fewestCard, NationalID: fewestNational, IBAN: fewestIBAN, Phone: fewestPhone} {
		if want.Has(k) {
			s.fewest = min(s.fewest, n)
		}
	}
	return s
}

// Wants is the set that the scanner looks for.
func (x Scanner) Wants() Set { return x.want }

// Suspects says whether Find is worth calling: it is false for nearly all
// texts, and costs about a nanosecond a byte.
func (x Scanner) Suspects(s string) bool {
	if x.mail && (strings.IndexByte(s, '@') >= 0 || strings.Contains(s, "%40")) {
		return true
	}
	return len(s) >= x.fewest && count(s) >= x.fewest
}

// Find appends to dst what it finds in s, in order, without overlap. key is
// the name of the property, which may say what its value is; "" = none.
func (x Scanner) Find(dst []Hit, s, key string) []Hit {
	if x.mail {
		dst = emails(dst, s)
	}
	if x.want&^Of(Email) == 0 {
		return dst
	}
	mails := len(dst)
	n := numbers{s: s, want: x.want, hints: hintsOf(x.want, key, s)}
	dst = n.find(dst)
	if mails == 0 || len(dst) == mails {
		return dst
	}
	return merge(dst, mails)
}

// rounds bounds how often Replace looks again: what is replaced may have hidden
// what stands beside it.
const rounds = 8

// Replace puts with(kind, what was found) in the place of each thing found, and
// says which kinds there were. What with gives must not be found itself.
func (x Scanner) Replace(s, key string, with func(Kind, string) string) (string, Set) {
	var found Set
	var buf [8]Hit
	for range rounds {
		hits := x.Find(buf[:0], s, key)
		if len(hits) == 0 {
			break
		}
		var b strings.Builder
		done := 0
		for _, h := range hits {
			found |= Of(h.Kind)
			b.WriteString(s[done:h.From])
			b.WriteString(with(h.Kind, s[h.From:h.To]))
			done = h.To
		}
		b.WriteString(s[done:])
		s = b.String()
	}
	return s, found
}

// merge puts two ordered runs of hits into one order; where they overlap, the
// first run's stay.
func merge(hits []Hit, first int) []Hit {
	out := make([]Hit, 0, len(hits))
	a, b := hits[:first], hits[first:]
	for len(a)+len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].From <= b[0].From:
			out, a = append(out, a[0]), a[1:]
		case len(a) > 0 && a[0].From < b[0].To, len(out) > 0 && out[len(out)-1].To > b[0].From:
			b = b[1:]
		default:
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}

// Mask shows what may be shown of a hit: of a card the first six digits and
// the last four (PCI DSS 3.4.1), of an e-mail address the domain, of a phone
// number the last two digits, of other ids the last four characters.
func Mask(k Kind, s string) string {
	switch k {
	case Email:
		at, _ := atSign(s)
		return "***" + s[at:]
	case Phone:
		return stars(s, 0, 2)
	case Card:
		return stars(s, 6, 4)
	}
	return stars(s, 0, 4)
}

// stars hides the letters and digits of s between the first and the last ones.
func stars(s string, first, last int) string {
	all := 0
	for i := range len(s) {
		if alnum(s[i]) {
			all++
		}
	}
	b, n := []byte(s), 0
	for i := range b {
		if !alnum(b[i]) {
			continue
		}
		if n++; n > first && n <= all-last {
			b[i] = '*'
		}
	}
	return string(b)
}

// Normal is s as one writes it who writes it without spaces and the like, so
// that the same number is the same text.
func Normal(k Kind, s string) string {
	if k == Email {
		at, n := atSign(s)
		return strings.ToLower(s[:at] + "@" + s[at+n:])
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if alnum(s[i]) {
			b = append(b, upper(s[i]))
		}
	}
	return string(b)
}

// Of a word's characters.
const (
	isDigit = 1 + iota
	isOther
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case digit(byte(c)):
			t[c] = isDigit
		case word(byte(c)):
			t[c] = isOther
		}
	}
	return t
}()

func digit(c byte) bool  { return c-'0' <= 9 }
func letter(c byte) bool { return c|0x20-'a' <= 'z'-'a' }
func alnum(c byte) bool  { return digit(c) || letter(c) }
func word(c byte) bool   { return alnum(c) || c == '_' }

func upper(c byte) byte {
	if letter(c) {
		return c &^ 0x20
	}
	return c
}
