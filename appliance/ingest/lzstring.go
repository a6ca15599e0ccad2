package ingest

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Errors of lzDecode.
var (
	errLZ      = errors.New("this is not the output of LZString")
	errLZLarge = errors.New("LZString text unpacks to more than is allowed")
)

// lzDecode unpacks what the library lz-string made of a text, in base64: LZW
// over UTF-16 units, codes as wide as the dictionary asks for, each with its
// lowest bit first. The letters are read as six bits each, since their number
// need not make whole bytes. A megabyte may come of two kilobytes, so it stops
// beyond limit bytes. What is half of a surrogate pair becomes U+FFFD.
func lzDecode(packed string, limit int) (string, error) {
	at := 0
	read := func(width int) (int, bool) {
		n := 0
		for i := range width {
			if at >= 6*len(packed) {
				return 0, false
			}
			six := lzLetters[packed[at/6]]
			if six < 0 {
				return 0, false
			}
			n |= int(six>>(5-at%6)&1) << i
			at++
		}
		return n, true
	}
	// An entry is the one that it grew from and the unit behind it: a hostile
	// text cannot make the dictionary larger than the text itself.
	type entry struct {
		from, length int32
		last, first  uint16
	}
	dictionary := make([]entry, 3, 64) // 0, 1 and 2 are codes of their own
	width, enlarge := 2, 1
	grow := func(e entry) {
		dictionary = append(dictionary, e)
		if enlarge--; enlarge == 0 {
			enlarge = 1 << width
			width++
		}
	}
	var units []uint16
	previous := 0
	for {
		code, ok := read(width)
		if !ok {
			return "", errLZ
		}
		if code == 2 {
			return lzText(units, limit)
		}
		if code < 2 {
			unit, ok := read(8 << code)
			if !ok {
				return "", errLZ
			}
			code = len(dictionary)
			grow(entry{length: 1, last: uint16(unit), first: uint16(unit)})
			if previous == 0 {
				// The first unit has no pair before it, and its width is fixed.
				width, enlarge = 3, 4
				units = append(units, uint16(unit))
				previous = code
				continue
			}
		}
		if previous == 0 || code > len(dictionary) {
			return "", errLZ
		}
		before := dictionary[previous]
		first := before.first
		if code < len(dictionary) {
			first = dictionary[code].first
		}
		grow(entry{from: int32(previous), length: before.length + 1, last: first, first: before.first})
		n := int(dictionary[code].length)
		if len(units)+n > limit {
			return "", errLZLarge
		}
		units = append(units, make([]uint16, n)...)
		for i, e := len(units)-1, dictionary[code]; ; i, e = i-1, dictionary[e.from] {
			units[i] = e.last
			if e.length == 1 {
				break
			}
		}
		previous = code
	}
}

// lzLetters are base64's, where a plus that was not escaped in a form is a
// space; -1 = none of them.
var lzLetters = func() (of [256]int8) {
	for i := range of {
		of[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		of[c] = int8(i)
	}
	of[' '] = of['+']
	return of
}()

func lzText(units []uint16, limit int) (string, error) {
	out := make([]byte, 0, len(units))
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i+1 < len(units) {
				r = utf16.DecodeRune(r, rune(units[i+1]))
			} else {
				r = utf8.RuneError
			}
			if r != utf8.RuneError {
				i++
			}
		}
		out = utf8.AppendRune(out, r)
	}
	if len(out) > limit {
		return "", errLZLarge
	}
	return string(out), nil
}
