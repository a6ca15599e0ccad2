package detect

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var everything = New(All)

func show(s, key string) string {
	var out []string
	for _, h := range everything.Find(nil, s, key) {
		out = append(out, h.Kind.String()+"="+s[h.From:h.To])
	}
	return strings.Join(out, " | ")
}

// Numbers are the test numbers that brands, banks and authorities publish, or
// were made with the rule by hand.
func TestFinds(t *testing.T) {
	for _, c := range []struct{ text, key, want string }{
		{"4111111111111111", "", "card=4111111111111111"},
		{"pay with 4111 1111 1111 1111 today", "", "card=4111 1111 1111 1111"},
		{"2 x 4111 1111 1111 1111 12/27", "", "card=4111 1111 1111 1111"},
		{"4111-1111-1111-1111.", "", "card=4111-1111-1111-1111"},
		{"card:378282246310005", "", "card=378282246310005"},
		{"3782 822463 10005", "", "card=3782 822463 10005"},
		{"(5555555555554444)", "", "card=5555555555554444"},
		{"2223003122003222", "", "card=2223003122003222"},
		{"6011111111111117,30569309025904", "", "card=6011111111111117 | card=30569309025904"},
		{"3530111333300000", "", "card=3530111333300000"},
		{"6205500000000000004", "", "card=6205500000000000004"},
		{"6073849700004947", "", "card=6073849700004947"}, // RuPay
		{"card-4111111111111111", "", "card=4111111111111111"},
		{"卡4111111111111111号", "", "card=4111111111111111"},
		{`{"n":"4111111111111111"}`, "", "card=4111111111111111"},

		{"my aadhaar: 234123412346", "", "national_id=234123412346"},
		{"2341 2341 2346", "", "national_id=2341 2341 2346"},
		{"234123412346", "aadhaar_number", "national_id=234123412346"},
		{"234123412346", "AadharNo", "national_id=234123412346"},
		{"PAN ABCPE1234F.", "", "national_id=ABCPE1234F"},
		{"ssn 219-09-9999", "", "national_id=219-09-9999"},
		{"219099999", "ssn", "national_id=219099999"},
		{"cpf 529.982.247-25", "", "national_id=529.982.247-25"},
		{"11010519491231002X", "", "national_id=11010519491231002X"},
		{"440524188001010014", "", ""}, // born 1880
		{"440524198001010013", "", "national_id=440524198001010013"},
		{"1 84 12 76 451 089 46", "", "national_id=1 84 12 76 451 089 46"},
		{"184127645108946", "nir", "national_id=184127645108946"},
		{"RSSMRA85T10A562S", "", "national_id=RSSMRA85T10A562S"},
		{"S1234567D", "", "national_id=S1234567D"},

		{"DE89370400440532013000", "", "iban=DE89370400440532013000"},
		{"to DE89 3704 0044 0532 0130 00 please", "", "iban=DE89 3704 0044 0532 0130 00"},
		{"GB82 WEST 1234 5698 7654 32", "", "iban=GB82 WEST 1234 5698 7654 32"},
		{"gb82west12345698765432", "", "iban=gb82west12345698765432"},
		{"NO9386011117947", "", "iban=NO9386011117947"},
		{"MT84MALT011000012345MTLCAST001S", "", "iban=MT84MALT011000012345MTLCAST001S"},

		{"write to ann.lee+x@mail.example.com, please", "", "email=ann.lee+x@mail.example.com"},
		{"mailto:ann@example.org", "", "email=ann@example.org"},
		{"<ann@example.org>", "", "email=ann@example.org"},
		{"https://shop.example/?email=ann%40example.com&x=1", "", "email=ann%40example.com"},
		{"q=a%20b%40example.com", "", "email=b%40example.com"},
		{"jörg@müller.example", "", "email=jörg@müller.example"},
		{"a@b.co.in.", "", "email=a@b.co.in"},
		{"a@b.io c@d.io", "", "email=a@b.io | email=c@d.io"},
		{"4111111111111111@example.com", "", "email=4111111111111111@example.com"},

		{"call +91 98765 43210 now", "", "phone=+91 98765 43210"},
		{"+14155550123", "", "phone=+14155550123"},
		{"+1 (415) 555-0123.", "", "phone=+1 (415) 555-0123"},
		{"+49 30 901820", "", "phone=+49 30 901820"},
		{"tel:+442071838750", "", "phone=+442071838750"},
		{"(415) 555-0123", "", "phone=(415) 555-0123"},
		{"415-555-0123", "", "phone=415-555-0123"},
		{"415.555.0123", "", "phone=415.555.0123"},
		{"9876543210", "mobile", "phone=9876543210"},
		{"098765 43210", "Phone Number", "phone=098765 43210"},
		{"9876543210", "contactNo", "phone=9876543210"},
		{"ann@example.com or +14155550123, card 4111111111111111", "", "email=ann@example.com | phone=+14155550123 | card=4111111111111111"},
	} {
		if got := show(c.text, c.key); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
		if c.want != "" && !everything.Suspects(c.text) {
			t.Errorf("%q is not suspected", c.text)
		}
	}
}

func TestLeavesAlone(t *testing.T) {
	for _, c := range []string{
		"", "Added to Cart", "order 100023456789", "ORD-2026-000123456", "INV/2026-27/0001234",
		"4111111111111112", // not its check digit
		"1234567812345670", // Luhn's, of no brand
		"41111111111111111", "a4111111111111111", "4111111111111111b", "x_4111111111111111", "4111111111111111_2",
		"12-4111111111111111", "4111111111111111-12", "4111111111111111.25", "0.4111111111111111",
		"4006381333931", "9780306406157", // barcodes
		"1795451160", "1795451160000", "1795451160000123", "1795451160000123456", // times
		"2026-11-23T16:26:00.123456Z", "2026-11-23 16:26:00", "20261123162600", "2026112316260012",
		"550e8400-e29b-41d4-a716-446655440000", "12345678-1234-1234-1234-123456789012", "00000000-2341-2341-2346-000000000000",
		"123e4567e89b12d3a456426614174000", "4111111111111111deadbeef",
		"$1,234,567.89", "1234567.89", "₹ 60000-70000", "19.99", "1 299 000", "INR 4111111111111111.00",
		"2019 2020 2021 2022", "2341 2341 2346 2018", "234123412346", "12 34 56 78 90",
		"9876543210", "98765-43210", "123-456-7890", "555-0123", "15551234567", "+0530", "+5 points", "+12345678", "1e+123456789012",
		"192.168.10.12", "10.0.0.1:8443", "2001:db8::1", "v1.2.3-4", "1.2.840.113549.1.1.11",
		"219-00-9999", "000-12-3456", "666-12-3456", "900-12-3456", "219-09-99990", "1-219-09-9999", "219 09 9999",
		"52998224725", "529.982.247-26", "111.111.111-11", "529.982.247-25-1",
		"ABCDE12345", "ABCDE1234F2", "abcpe1234f", "X-ABCPE1234F-1", "ABCXE1234F",
		"S1234567A", "SKU1234567", "RSSMRA85T10A562T",
		"DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "DE89 3704 0044 0532 0130 0", "DE89-3704-0044-0532-0130-00",
		"100001234567890", "356938035643809", // ids of a network, of a telephone
		"@ann", "ann@", "ann@localhost", "package@1.2.3", "logo@2x.png", "@media (min-width: 100px)", "user@@example.com", "a@b..com", "***@example.com",
		"50%40", "100%", "%40example.com", "/a%2Fb", "4111 1111 1111 111", "4111-1111 1111-1111",
	} {
		if got := show(c, "value"); got != "" {
			t.Errorf("%q: %s", c, got)
		}
	}
	for _, c := range []struct{ text, key string }{
		{"9876543210", "mobile_app_id"}, {"iPhone 15", "phone"}, {"1234567", "phone"}, {"1234567890123456", "phone"}, {"order 9876543210", "phone"},
		{"234123412347", "aadhaar"}, {"219099999", "session"},
	} {
		if got := show(c.text, c.key); got != "" {
			t.Errorf("%s %q: %s", c.key, c.text, got)
		}
	}
}

// Of arbitrary numbers as programs make them, few are taken for something.
func TestPrecision(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	of := func(n int, make func() string) (hits int) {
		for range n {
			if show(make(), "id") != "" {
				hits++
			}
		}
		return hits
	}
	const n = 100_000
	for _, c := range []struct {
		name string
		most int // of n
		make func() string
	}{
		{"ids of 10 digits", 0, func() string { return fmt.Sprintf("%010d", r.Uint64N(1e10)) }},
		{"ids of 12 digits", 0, func() string { return fmt.Sprintf("%012d", r.Uint64N(1e12)) }},
		{"ids of 13 digits", 0, func() string { return fmt.Sprintf("%013d", r.Uint64N(1e13)) }},
		{"milliseconds", 0, func() string { return fmt.Sprint(1_600_000_000_000 + r.Uint64N(300_000_000_000)) }},
		{"microseconds", 0, func() string { return fmt.Sprint(1_600_000_000_000_000 + r.Uint64N(300_000_000_000_000)) }},
		{"nanoseconds", 0, func() string { return fmt.Sprint(1_600_000_000_000_000_000 + r.Uint64N(300_000_000_000_000_000)) }},
		{"network ids of 15 digits", 0, func() string { return fmt.Sprintf("100%012d", r.Uint64N(1e12)) }},
		{"ids of 16 digits", n / 30, func() string { return fmt.Sprintf("%016d", r.Uint64N(1e16)) }}, // a quarter has a brand, a tenth of it is Luhn's
		{"ids of 18 digits", n / 500, func() string { return fmt.Sprintf("%018d", r.Uint64N(1e18)) }},
		{"uuids", 0, func() string {
			a, b := r.Uint64(), r.Uint64()
			return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
		}},
		{"hashes", 0, func() string { return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()) }},
		{"prices", 0, func() string { return fmt.Sprintf("%d.%02d", r.Uint64N(1e9), r.Uint64N(100)) }},
		{"places", 0, func() string { return fmt.Sprintf("%.6f,%.6f", r.Float64()*90, r.Float64()*180) }},
		{"orders", 0, func() string { return fmt.Sprintf("OD%d-%06d-%04d", 2000+r.IntN(30), r.IntN(1e6), r.IntN(1e4)) }},
	} {
		if hits := of(n, c.make); hits > c.most {
			t.Errorf("%s: %d of %d are taken for something", c.name, hits, n)
		}
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct {
		k                Kind
		s, masked, plain string
	}{
		{Card, "4111 1111 1111 1111", "4111 11** **** 1111", "4111111111111111"},
		{Card, "378282246310005", "378282*****0005", "378282246310005"},
		{NationalID, "219-09-9999", "***-**-9999", "219099999"},
		{IBAN, "gb82 west 1234 5698 7654 32", "**** **** **** **** **54 32", "GB82WEST12345698765432"},
		{Email, "Ann.Lee@Example.com", "***@Example.com", "ann.lee@example.com"},
		{Email, "ann%40example.com", "***%40example.com", "ann@example.com"},
		{Phone, "+1 (415) 555-0123", "+* (***) ***-**23", "14155550123"},
	} {
		if got := Mask(c.k, c.s); got != c.masked {
			t.Errorf("%s %q is masked %q", c.k, c.s, got)
		}
		if got := Normal(c.k, c.s); got != c.plain {
			t.Errorf("%s %q is %q", c.k, c.s, got)
		}
	}
	if All.String() != "card, national_id, iban, email, phone" || Set(0).String() != "" {
		t.Error(All)
	}
}

// What is masked holds nothing that is found, and masking it again changes
// nothing; nothing is found in what is not suspected.
func FuzzMask(f *testing.F) {
	for _, s := range []string{
		"4111 1111 1111 1111-4111111111111111", "+1 (415) 555-0123 4111111111111111", "DE89 3704 0044 0532 0130 00 219-09-9999",
		"a@b.com-4111111111111111", "ann%40example.com%40example.com", "+919876543210.4111111111111111", "2341 2341 2346 2341 2341 2346", "98765 43210",
	} {
		f.Add(s, "phone")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, s, key string) {
		hits := everything.Find(nil, s, key)
		if len(hits) > 0 && !everything.Suspects(s) {
			t.Errorf("%q is not suspected", s)
		}
		last := 0
		for _, h := range hits {
			if h.From < last || h.To <= h.From || h.To > len(s) {
				t.Fatalf("%q: %v", s, hits)
			}
			last = h.To
		}
		masked, found := everything.Replace(s, key, Mask)
		if (found != 0) != (len(hits) > 0) || found == 0 && masked != s {
			t.Errorf("%q: %s found, %v", s, found, hits)
		}
		// As many rounds as Replace has are enough for all but what is made for it.
		if again := everything.Find(nil, masked, key); len(again) > 0 && len(s) < 200 {
			t.Errorf("%q is masked %q, where %v is found", s, masked, again)
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	texts := map[string]string{
		"word": "Added to Cart", "url": "https://shop.example/products/12345/red-shoes?ref=mail&utm_source=x",
		"uuid": "550e8400-e29b-41d4-a716-446655440000", "time": "2026-11-23T16:26:00.123Z", "id16": "8123456789012345",
	}
	for _, k := range []struct {
		name string
		x    Scanner
	}{{"card", New(Of(Card))}, {"all", everything}} {
		for name, s := range texts {
			b.Run(k.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				b.ReportAllocs()
				var buf [8]Hit
				for b.Loop() {
					if k.x.Suspects(s) && len(k.x.Find(buf[:0], s, "value")) > 0 {
						b.Fatal(s)
					}
				}
			})
		}
	}
}

func TestCount(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c), '7', byte(c))
	}
	for from := range 64 {
		for to := from; to < len(all); to += 5 {
			want := 0
			for _, c := range all[from:to] {
				if c >= '0' && c <= '9' {
					want++
				}
			}
			if got := count(string(all[from:to])); got != want {
				t.Fatalf("%q has %d digits, not %d", all[from:to], want, got)
			}
		}
	}
}
