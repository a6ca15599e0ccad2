package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestParts(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		coding     byte
		parts      []int // octets
	}{
		{"empty", "", codingGSM, []int{0}},
		{"a whole one", strings.Repeat("a", 160), codingGSM, []int{160}},
		{"one more", strings.Repeat("a", 161), codingGSM, []int{153, 8}},
		{"two whole", strings.Repeat("a", 306), codingGSM, []int{153, 153}},
		{"three", strings.Repeat("a", 307), codingGSM, []int{153, 153, 1}},
		{"euros count twice", strings.Repeat("€", 80), codingGSM, []int{160}},
		{"81 euros", strings.Repeat("€", 81), codingGSM, []int{152, 10}},
		{"an escape at the cut", strings.Repeat("a", 152) + "[" + strings.Repeat("b", 10), codingGSM, []int{152, 12}},
		{"all of the extension", "^{}\\[~]|€\f", codingGSM, []int{20}},
		{"line breaks count once", strings.Repeat("\r\n", 160), codingGSM, []int{160}},
		{"Greek capitals are GSM", "ΔΦΓΛΩΠΨΣΘΞ", codingGSM, []int{10}},
		{"a backtick is not", "`", codingUCS2, []int{2}},
		{"nor ç", "ç", codingUCS2, []int{2}},
		{"70 units", strings.Repeat("न", 70), codingUCS2, []int{140}},
		{"71 units", strings.Repeat("न", 71), codingUCS2, []int{134, 8}},
		{"pairs", strings.Repeat("👋", 35), codingUCS2, []int{140}},
		{"a pair at the cut", strings.Repeat("न", 66) + "👋" + strings.Repeat("न", 10), codingUCS2, []int{132, 24}},
	} {
		e := encodeText(tc.text)
		var got []int
		for _, p := range e.split() {
			got = append(got, len(p))
		}
		if e.coding != tc.coding || len(got) != len(tc.parts) {
			t.Errorf("%s: coding %d, parts %v; want %d, %v", tc.name, e.coding, got, tc.coding, tc.parts)
			continue
		}
		for i := range got {
			if got[i] != tc.parts[i] {
				t.Errorf("%s: parts %v; want %v", tc.name, got, tc.parts)
			}
		}
	}
}

// Whatever the text: each part can be read by itself, they give the text again
// when put together, and none is longer than a message holds.
func TestSplitProperty(t *testing.T) {
	pieces := []rune("aZ0 €^{}[]~|\\@£\n\f" + "नé👋🏽漢\u0000")
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 700).Draw(t, "text"))
		if rapid.Bool().Draw(t, "gsm") {
			text = string(rapid.SliceOfN(rapid.SampledFrom(pieces[:17]), 0, 700).Draw(t, "text"))
		}
		e := encodeText(text)
		parts := e.split()
		var all strings.Builder
		for _, p := range parts {
			limit := gsmPart
			if len(parts) == 1 {
				limit = gsmWhole
			}
			if e.coding == codingUCS2 {
				if limit = ucs2Part; len(parts) == 1 {
					limit = ucs2Whole
				}
			}
			s, _ := decodeText(e.coding, p)
			if len(p) > limit || strings.ContainsRune(s, utf8.RuneError) {
				t.Fatalf("a part of %d octets: %q", len(p), s)
			}
			all.WriteString(s)
		}
		if all.String() != strings.ReplaceAll(text, "\r\n", "\n") {
			t.Fatalf("%q became %q", text, all.String())
		}
	})
}

func TestAlphabet(t *testing.T) {
	for code := range byte(128) {
		if code == escape {
			continue
		}
		b, ok := encodeGSM(string(fromGSM[code]))
		if !ok || !bytes.Equal(b, []byte{code}) {
			t.Errorf("%#x is %q is % x", code, fromGSM[code], b)
		}
	}
	// Some that are easily wrong (3GPP TS 23.038).
	for r, want := range map[rune][]byte{'@': {0}, 'Ç': {9}, 'Å': {0x0e}, 'Æ': {0x1c}, '¤': {0x24}, '¡': {0x40}, '§': {0x5f}, '¿': {0x60}, 'à': {0x7f}, '€': {escape, 0x65}, '[': {escape, 0x3c}} {
		if b, _ := encodeGSM(string(r)); !bytes.Equal(b, want) {
			t.Errorf("%q is % x, want % x", r, b, want)
		}
	}
	if s := decodeGSM([]byte{escape, 'A', escape, escape, 'B', 0x80, escape}); s != "A B? " {
		t.Errorf("%q", s)
	}
}

// FuzzPDU: whatever comes, reading it ends, and what can be read is the same
// when it is written and read again.
func FuzzPDU(f *testing.F) {
	m := shortMessage{from: address{1, 1, "49151"}, to: address{5, 0, "ACME"}, esm: 4, text: []byte("id:1 stat:DELIVRD"), options: tlvs{{tagState, []byte{2}}}}
	f.Add(appendPDU(nil, pdu{command: deliverSM, sequence: 7, body: m.body()}))
	f.Add(appendPDU(nil, pdu{command: dataSM, sequence: 7, body: []byte("\x00\x01\x0149151\x00\x05\x00ACME\x00\x04\x00\x00\x04\x24\x00\x02hi")}))
	f.Add(appendPDU(nil, pdu{command: submitSM | response, sequence: 7, body: []byte("id")}))
	f.Add([]byte("\x7f\xff\xff\xff\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := readPDU(bytes.NewReader(in))
		if err != nil {
			return
		}
		again, err := readPDU(bytes.NewReader(appendPDU(nil, p)))
		if err != nil || again.command != p.command || again.sequence != p.sequence || !bytes.Equal(again.body, p.body) {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
		if id, _ := parseID(p.body); len(id) > maxID {
			t.Errorf("an id of %d octets", len(id))
		}
		c, _ := read(nil)
		for _, command := range []uint32{deliverSM, dataSM} {
			m, err := parseMessage(command, p.body)
			if err != nil {
				continue
			}
			if r, ok := c.readReceipt(m); ok && (r.id == "" || len(r.reason) > 100 || len(r.id) > maxID) {
				t.Errorf("%+v", r)
			}
			if r, ok := c.readReply(m); ok && !number.MatchString(r.Address) {
				t.Errorf("%+v", r)
			}
			if command == deliverSM && len(m.text) < 255 {
				back, err := parseMessage(command, m.body())
				if err != nil || back.from != m.from || back.to != m.to || !bytes.Equal(back.text, m.text) {
					t.Errorf("%+v became %+v, %v", m, back, err)
				}
			}
		}
	})
}
