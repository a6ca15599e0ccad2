package main

import (
	"strings"
	"unicode/utf16"
)

// gsmBasic is the default alphabet of 3GPP TS 23.038, 6.2.1, by code. 0x1B is
// the escape to gsmExtension and never a character.
const gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// gsmExtension is the table of 6.2.1.1, code and character in turn; each of
// its characters takes two septets.
const gsmExtension = "\x0a\f\x14^\x28{\x29}\x2f\\\x3c[\x3d~\x3e]\x40|\x65€"

const escape = 0x1b

// toGSM has the code of every character; those of the extension are marked.
// fromGSM and fromExtension are the way back.
var (
	toGSM         = map[rune]byte{}
	fromGSM       [128]rune
	fromExtension [128]rune
)

const extended = 0x80

func init() {
	n := byte(0)
	for _, r := range gsmBasic {
		if fromGSM[n] = r; r != escape {
			toGSM[r] = n
		}
		n++
	}
	table := []rune(gsmExtension)
	for i := 0; i < len(table); i += 2 {
		toGSM[table[i+1]] = byte(table[i]) | extended
		fromExtension[table[i]] = table[i+1]
	}
}

// encodeGSM is text in the GSM alphabet, a septet to an octet, the way SMPP
// carries it. Without one of its characters it is false.
func encodeGSM(text string) ([]byte, bool) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		code, ok := toGSM[r]
		if !ok {
			return nil, false
		}
		if code&extended != 0 {
			out = append(out, escape)
		}
		out = append(out, code&^extended)
	}
	return out, true
}

// decodeGSM reads any octets: what means nothing becomes a question mark, and
// an unknown extension its character of the basic table, as 6.2.1.1 demands.
func decodeGSM(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c > 127:
			s.WriteByte('?')
		case c != escape:
			s.WriteRune(fromGSM[c])
		case i+1 == len(b):
			s.WriteByte(' ')
		default:
			i++
			switch c := b[i]; {
			case c > 127:
				s.WriteByte('?')
			case fromExtension[c] != 0:
				s.WriteRune(fromExtension[c])
			case c == escape:
				s.WriteByte(' ')
			default:
				s.WriteRune(fromGSM[c])
			}
		}
	}
	return s.String()
}

// encodeUCS2 is text in UTF-16, big endian: what phones take UCS-2 for.
func encodeUCS2(text string) []byte {
	out := make([]byte, 0, 2*len(text))
	for _, u := range utf16.Encode([]rune(text)) {
		out = append(out, byte(u>>8), byte(u))
	}
	return out
}

// decodeUCS2 reads any octets; a last odd one is left out.
func decodeUCS2(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}
