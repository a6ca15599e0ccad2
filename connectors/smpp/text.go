package main

import (
	"strings"
	"unicode"
)

// The values of data_coding that are sent, and those that are read.
const (
	codingGSM    = 0 // the message centre's default alphabet
	codingASCII  = 1
	codingLatin1 = 3
	codingUCS2   = 8
)

// What a short message holds (3GPP TS 23.040): 140 octets, so 160 septets or
// 70 units, and of one part of several that less the 6 octets of its header.
const (
	gsmWhole, gsmPart   = 160, 153
	ucs2Whole, ucs2Part = 140, 134 // octets
)

// encoded is a text as it goes onto the wire.
type encoded struct {
	coding byte
	octets []byte
}

// encodeText takes the GSM alphabet if it has all characters, else UCS-2. Line
// breaks become line feeds: a phone makes no difference, and each counts.
func encodeText(text string) encoded {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if b, ok := encodeGSM(text); ok {
		return encoded{codingGSM, b}
	}
	return encoded{codingUCS2, encodeUCS2(text)}
}

// split cuts a text into as many parts as it takes: one if it fits whole. No
// part ends between an escape and its character, nor within a surrogate pair.
func (e encoded) split() [][]byte {
	whole, part := gsmWhole, gsmPart
	if e.coding == codingUCS2 {
		whole, part = ucs2Whole, ucs2Part
	}
	rest := e.octets
	if len(rest) <= whole {
		return [][]byte{rest}
	}
	var parts [][]byte
	for len(rest) > part {
		n := part
		if e.coding == codingUCS2 {
			if c := rest[n-2]; c >= 0xd8 && c <= 0xdb { // the first of a pair
				n -= 2
			}
		} else if rest[n-1] == escape { // in what was encoded here it is never a second one
			n--
		}
		parts, rest = append(parts, rest[:n:n]), rest[n:]
	}
	return append(parts, rest)
}

// decodeText reads a text that came in. Binary, and codings that are not
// known, give false.
func decodeText(coding byte, b []byte) (string, bool) {
	switch {
	case coding == codingGSM || coding&0xf0 == 0xf0 && coding&4 == 0:
		return decodeGSM(b), true
	case coding == codingASCII:
		return strings.ToValidUTF8(string(b), "?"), true
	case coding == codingLatin1:
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), true
	case coding == codingUCS2:
		return decodeUCS2(b), true
	}
	return "", false
}

// unprintable says whether a text has control characters, which phones show in
// ways of their own.
func unprintable(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\f' })
}
