package event

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep lists and objects may nest in what comes from outside.
const MaxDepth = 32

// SyntaxError says where in a body the JSON is not what it must be.
type SyntaxError struct {
	Offset int64 // bytes before the mistake
	Err    error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("JSON at byte %d: %v", e.Offset, e.Err) }
func (e *SyntaxError) Unwrap() error { return e.Err }

// ParseJSON reads one JSON value, strictly: no repeated names, no trailing
// data, no byte order mark, valid UTF-8 without lone surrogates, at most
// MaxDepth deep, numbers finite and, where whole, within an int64 (so that no
// digit is lost). The error is a *SyntaxError. The result shares nothing with b.
func ParseJSON(b []byte) (Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	v, err := readValue(d, 0)
	if err != nil {
		return Value{}, syntax(d, err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		if err == nil {
			err = errors.New("something follows the value")
		}
		return Value{}, syntax(d, err)
	}
	return v, nil
}

func syntax(d *jsontext.Decoder, err error) error {
	var se *jsontext.SyntacticError
	if errors.As(err, &se) {
		return &SyntaxError{Offset: se.ByteOffset, Err: se.Err}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &SyntaxError{Offset: d.InputOffset(), Err: err}
}

func readValue(d *jsontext.Decoder, depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	t, err := d.ReadToken()
	if err != nil {
		return Value{}, err
	}
	switch t.Kind() {
	case 'n':
		return Value{}, nil
	case 't':
		return OfBool(true), nil
	case 'f':
		return OfBool(false), nil
	case '"':
		return OfText(t.String()), nil
	case '0':
		return number(t.String())
	case '[':
		var list []Value
		for d.PeekKind() != ']' {
			v, err := readValue(d, depth+1)
			if err != nil {
				return Value{}, err
			}
			list = append(list, v)
		}
		_, err := d.ReadToken()
		return OfList(list), err
	case '{':
		var obj []Prop
		for d.PeekKind() != '}' {
			k, err := d.ReadToken()
			if err != nil {
				return Value{}, err
			}
			key := k.String()
			v, err := readValue(d, depth+1)
			if err != nil {
				return Value{}, err
			}
			obj = append(obj, Prop{Key: key, Value: v})
		}
		_, err := d.ReadToken()
		return OfObject(obj), err
	}
	return Value{}, fmt.Errorf("unexpected %v", t.Kind())
}

func number(s string) (Value, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return OfInt(i), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return Value{}, fmt.Errorf("the number %.40s is not finite", s)
	}
	if math.Abs(f) >= 1<<53 && isWhole(s) {
		return Value{}, fmt.Errorf("the whole number %.40s needs more than 64 bits; send it as text", s)
	}
	return OfFloat(f), nil
}

func isWhole(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '.' || c == 'e' || c == 'E' {
			return false
		}
	}
	return true
}

// AppendJSON appends v as JSON. A Time is its RFC 3339 text in UTC. The
// characters that end a script (<, >, &, U+2028, U+2029) are escaped.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case Text:
		return AppendJSONText(dst, v.text())
	case Time:
		return AppendJSONText(dst, v.String())
	case List:
		dst = append(dst, '[')
		for i, e := range v.list() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.AppendJSON(dst)
		}
		return append(dst, ']')
	case Object:
		return AppendJSONProps(dst, v.obj())
	case Null:
		return append(dst, "null"...)
	case Float:
		// Without an exponent it would be read as a whole number with more digits
		// than are kept.
		if f, _ := v.Number(); math.Abs(f) >= 1<<53 {
			return strconv.AppendFloat(dst, f, 'e', -1, 64)
		}
	}
	return append(dst, v.String()...)
}

// MarshalJSON is AppendJSON.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// AppendJSONProps appends properties as one JSON object.
func AppendJSONProps(dst []byte, ps []Prop) []byte {
	dst = append(dst, '{')
	for i := range ps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONText(dst, ps[i].Key)
		dst = append(dst, ':')
		dst = ps[i].Value.AppendJSON(dst)
	}
	return append(dst, '}')
}

// AppendJSONText appends s as a JSON string that is also safe inside a script.
func AppendJSONText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(dst, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				dst = append(dst, `\u202`...)
				dst = append(dst, hex[r&0xf])
			default:
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
