package detect

// National ids, each with the source of its rule. Those without check digits
// count in their own punctuation or under their own name only; those of which
// one in ten arbitrary numbers is right are left out (most of Europe's), and so
// is South Africa's, which one in 250 of a year's timestamps is.
//
//	Aadhaar (India)      12 digits, Verhoeff; written 4 4 4, or named    UIDAI
//	PAN (India)          AAAPA9999A, the fourth letter a kind of holder  Income-tax rule 114
//	SSN (United States)  999-99-9999, without what is not issued; named  SSA, POMS RM 10201.035
//	CPF (Brazil)         999.999.999-99, two check digits                Receita Federal
//	resident id (China)  region, birthday, serial, ISO 7064 mod 11-2     GB 11643-1999
//	NIR (France)         15 digits, mod 97; written 1 2 2 2 3 3 2, or named  INSEE
//	codice fiscale       16 characters, the last a check                 DM 23/12/1976
//	NRIC, FIN (Singapore) letter, 7 digits, check letter                 ICA
//	                     [its weights are not published officially]

// national says whether groups of digits begin with a national id.
func (n *numbers) national(gs []group) (Hit, bool) {
	var b [24]byte
	hit := func(k int) (Hit, bool) { return Hit{NationalID, gs[0].from, gs[k-1].to}, true }
	// Three groups and no more: four are years, or prices.
	if len(gs) == 3 {
		if d, ok := n.written(b[:0], gs, []int{4, 4, 4}); ok && aadhaar(d) {
			return hit(3)
		}
	}
	if len(gs) >= 3 && (gs[1].sep == '-' || n.hints.ssn) {
		if d, ok := n.written(b[:0], gs, []int{3, 2, 4}); ok && ssn(d) {
			return hit(3)
		}
	}
	if len(gs) == 4 && gs[1].sep == '.' && gs[2].sep == '.' && gs[3].sep == '-' && n.ends(gs, 4) && n.clear(gs[0].from) {
		d := b[:0]
		for _, g := range gs {
			if len(d)+g.to-g.from > 11 {
				return Hit{}, false
			}
			d = append(d, n.s[g.from:g.to]...)
		}
		if gs[3].to-gs[3].from == 2 && cpf(d) {
			return hit(4)
		}
	}
	if len(gs) >= 7 {
		if d, ok := n.written(b[:0], gs, []int{1, 2, 2, 2, 3, 3, 2}); ok && nir(d) {
			return hit(7)
		}
	}
	if d, ok := n.whole(b[:0], gs); ok {
		switch {
		case len(d) == 12 && n.hints.aadhaar && aadhaar(d),
			len(d) == 9 && n.hints.ssn && ssn(d),
			len(d) == 15 && n.hints.nir && nir(d),
			len(d) == 18 && china(d):
			return hit(1)
		}
	}
	return Hit{}, false
}

// mixed says whether a word of letters and digits is, or begins, an id.
func (n *numbers) mixed(from, to int) (Hit, bool) {
	w := n.s[from:to]
	if n.want.Has(NationalID) && n.clear(from) && (to+1 >= len(n.s) || n.s[to] != '-' && n.s[to] != '.' || !word(n.s[to+1])) {
		ok := false
		switch len(w) {
		case 9:
			ok = nric(w)
		case 10:
			ok = pan(w)
		case 16:
			ok = codiceFiscale(w)
		case 18:
			ok = china([]byte(w))
		}
		if ok {
			return Hit{NationalID, from, to}, true
		}
	}
	if n.want.Has(IBAN) && len(w) >= 4 && letter(w[0]) && letter(w[1]) && digit(w[2]) && digit(w[3]) {
		return n.iban(from, to)
	}
	return Hit{}, false
}

// shape says whether w is as form says: A a capital letter, 9 a digit.
func shape(w, form string) bool {
	if len(w) != len(form) {
		return false
	}
	for i := range len(w) {
		if form[i] == 'A' && w[i]-'A' > 'Z'-'A' || form[i] == '9' && !digit(w[i]) {
			return false
		}
	}
	return true
}

// Verhoeff's tables: multiplication in the dihedral group of order 10, and the
// permutation by position (J. Verhoeff, Error Detecting Decimal Codes, 1969).
var (
	verhoeffD = [10]string{"0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321", "6598710432", "7659821043", "8765932104", "9876543210"}
	verhoeffP = [8]string{"0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"}
)

func verhoeff(d []byte) bool {
	c := byte('0')
	for i := range d {
		c = verhoeffD[c-'0'][verhoeffP[i%8][d[len(d)-1-i]-'0']-'0']
	}
	return c == '0'
}

func aadhaar(d []byte) bool { return len(d) == 12 && d[0] >= '2' && verhoeff(d) }

// ssn leaves out what is never issued.
func ssn(d []byte) bool {
	area, serial := string(d[:3]), string(d[5:])
	return area != "000" && area != "666" && d[0] != '9' && string(d[3:5]) != "00" && serial != "0000"
}

func pan(w string) bool {
	if !shape(w, "AAAAA9999A") {
		return false
	}
	switch w[3] {
	case 'A', 'B', 'C', 'F', 'G', 'H', 'J', 'L', 'P', 'T', 'E', 'K':
		return true
	}
	return false
}

func cpf(d []byte) bool {
	if len(d) != 11 {
		return false
	}
	same := true
	for k := 9; k < 11; k++ {
		sum := 0
		for i := range k {
			sum += int(d[i]-'0') * (k + 1 - i)
			same = same && d[i] == d[0]
		}
		if byte(sum*10%11%10)+'0' != d[k] {
			return false
		}
	}
	return !same
}

// china takes 17 digits and a check, which may be X for ten.
func china(d []byte) bool {
	weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		if !digit(d[i]) {
			return false
		}
		sum += int(d[i]-'0') * w
	}
	century := string(d[6:8])
	return d[0] >= '1' && d[0] <= '8' && (century == "19" || century == "20") && between(d[10:12], 1, 12) && between(d[12:14], 1, 31) &&
		upper(d[17]) == "10X98765432"[sum%11]
}

func between(d []byte, low, high int) bool {
	n := int(d[0]-'0')*10 + int(d[1]-'0')
	return n >= low && n <= high
}

// nir takes sex, year, month, place and serial, and two check digits.
func nir(d []byte) bool {
	if d[0] != '1' && d[0] != '2' || !between(d[3:5], 1, 12) {
		return false
	}
	n := 0
	for _, c := range d[:13] {
		n = n*10 + int(c-'0')
	}
	return 97-n%97 == int(d[13]-'0')*10+int(d[14]-'0')
}

func codiceFiscale(w string) bool {
	if !shape(w, "AAAAAA99A99A999A") {
		return false
	}
	// What a character counts at odd places, from A (or 0) on.
	odd := [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i := range 15 {
		v := int(w[i] - 'A')
		if digit(w[i]) {
			v = int(w[i] - '0')
		}
		if i%2 == 0 {
			v = odd[v]
		}
		sum += v
	}
	return int(w[15]-'A') == sum%26
}

func nric(w string) bool {
	if !shape(w, "A9999999A") {
		return false
	}
	sum := 0
	for i, weight := range [7]int{2, 7, 6, 5, 4, 3, 2} {
		sum += int(w[i+1]-'0') * weight
	}
	switch w[0] {
	case 'T':
		sum += 4
		fallthrough
	case 'S':
		return w[8] == "JZIHGFEDCBA"[sum%11]
	case 'G':
		sum += 4
		fallthrough
	case 'F':
		return w[8] == "XWUTRQPNMLK"[sum%11]
	case 'M':
		return w[8] == "XWUTRQPNJLK"[10-(sum+3)%11]
	}
	return false
}
