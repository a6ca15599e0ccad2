package ingest

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloisterhq/cloister/appliance/event"
)

// parser reads JSON by exactly the rules of event.ParseJSON, which a fuzz test
// holds it to, several times as fast: decoding costs more than storing. Texts
// without escapes are parts of the input, and lists and objects are cut from
// large slices, so the values keep all of it alive; they are meant to become
// facts, be appended, and go.
type parser struct {
	s string
	i int

	dry    bool          // values are only passed over
	props  []event.Prop  // being gathered, of all open objects
	values []event.Value // of all open lists
	slabP  []event.Prop  // what is left of wholeP
	slabV  []event.Value
	wholeP []event.Prop
	wholeV []event.Value
}

// parseJSON reads one value with nothing behind it. The error is an *event.SyntaxError.
func parseJSON(s string) (event.Value, error) {
	p := parser{s: s}
	return p.whole()
}

// whole reads one value with nothing behind it.
func (p *parser) whole() (event.Value, error) {
	v, err := p.value(0)
	if err == nil {
		err = p.end()
	}
	return v, err
}

// begin makes the parser ready for another input, over the same slabs.
func (p *parser) begin(s string) {
	p.s, p.i, p.dry = s, 0, false
	p.props, p.values = p.props[:0], p.values[:0]
	p.slabP, p.slabV = p.wholeP, p.wholeV
}

// maxSlab is how large a slab may be to be kept for another request.
const maxSlab = 16 << 10

// forget lets go of the input and of all that was made of it, which nobody may
// use any more.
func (p *parser) forget() {
	if len(p.wholeP) > maxSlab || cap(p.props) > maxSlab || len(p.wholeV) > maxSlab || cap(p.values) > maxSlab {
		*p = parser{}
		return
	}
	clear(p.wholeP[:len(p.wholeP)-len(p.slabP)])
	clear(p.wholeV[:len(p.wholeV)-len(p.slabV)])
	clear(p.props[:cap(p.props)])
	clear(p.values[:cap(p.values)])
	p.begin("")
}

func (p *parser) fail(format string, args ...any) error {
	return &event.SyntaxError{Offset: int64(p.i), Err: fmt.Errorf(format, args...)}
}

var errEarly = errors.New("it ends early")

// end allows nothing but space to follow.
func (p *parser) end() error {
	if p.space(); p.i < len(p.s) {
		return p.fail("something follows the value")
	}
	return nil
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// peek gives the next byte that is no space, 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.i >= len(p.s) {
		return 0
	}
	return p.s[p.i]
}

func (p *parser) unexpected(wanted string) error {
	if p.i >= len(p.s) {
		return p.fail("%w", errEarly)
	}
	r, _ := utf8.DecodeRuneInString(p.s[p.i:])
	return p.fail("%q where %s was expected", r, wanted)
}

func (p *parser) value(depth int) (event.Value, error) {
	c := p.peek()
	if depth > event.MaxDepth {
		return event.Value{}, p.fail("nested deeper than %d", event.MaxDepth)
	}
	switch {
	case c == '"':
		s, err := p.text()
		return event.OfText(s), err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == 't' && p.word("true"):
		return event.OfBool(true), nil
	case c == 'f' && p.word("false"):
		return event.OfBool(false), nil
	case c == 'n' && p.word("null"):
		return event.Value{}, nil
	}
	return event.Value{}, p.unexpected("a value")
}

func (p *parser) word(w string) bool {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return false
	}
	p.i += len(w)
	return true
}

func (p *parser) list(depth int) (event.Value, error) {
	start := len(p.values)
	p.i++
	for first := true; ; first = false {
		if more, err := p.more(']', first); err != nil || !more {
			out := p.keepValues(p.values[start:])
			p.values = p.values[:start]
			return event.OfList(out), err
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return event.Value{}, err
		}
		p.values = append(p.values, v)
	}
}

func (p *parser) object(depth int) (event.Value, error) {
	start := len(p.props)
	p.i++
	for first := true; ; first = false {
		key, more, err := p.key(first)
		if err != nil {
			return event.Value{}, err
		}
		if !more {
			return p.cut(start), nil
		}
		if err := p.unique(start, key); err != nil {
			return event.Value{}, err
		}
		// The key is there before the value, so that a repeat is found early.
		p.props = append(p.props, event.Prop{Key: key})
		at := len(p.props) - 1
		v, err := p.value(depth + 1)
		if err != nil {
			return event.Value{}, err
		}
		p.props[at].Value = v
	}
}

// each reads an object whose brace comes next, and has fn read the value of
// every member. The members stay on p.props, the newest last: fn may give it
// its value, and the caller cuts them off.
func (p *parser) each(fn func(key string) error) error {
	start := len(p.props)
	p.i++
	for first := true; ; first = false {
		key, more, err := p.key(first)
		if err != nil || !more {
			return err
		}
		if err := p.unique(start, key); err != nil {
			return err
		}
		p.props = append(p.props, event.Prop{Key: key})
		if err := fn(key); err != nil {
			return err
		}
	}
}

// cut makes an object of the members above start.
func (p *parser) cut(start int) event.Value {
	out := p.keepProps(p.props[start:])
	p.props = p.props[:start]
	return event.OfObject(out)
}

// skip reads a value, by all the rules, without keeping it.
func (p *parser) skip(depth int) error {
	was := p.dry
	p.dry = true
	_, err := p.value(depth)
	p.dry = was
	return err
}

// key reads an object's next name and the colon behind it; more is false at
// its end.
func (p *parser) key(first bool) (key string, more bool, err error) {
	if more, err = p.more('}', first); err != nil || !more {
		return "", false, err
	}
	if p.peek() != '"' {
		return "", false, p.unexpected("a name")
	}
	if key, err = p.text(); err != nil {
		return "", false, err
	}
	if p.peek() != ':' {
		return "", false, p.unexpected("a colon")
	}
	p.i++
	return key, true, nil
}

// more passes the comma before an element, or the end of what holds them.
func (p *parser) more(end byte, first bool) (bool, error) {
	c := p.peek()
	if c == end {
		p.i++
		return false, nil
	}
	if first {
		return true, nil
	}
	if c != ',' {
		return false, p.unexpected("a comma or the end")
	}
	p.i++
	if p.peek() == end {
		return false, p.unexpected("a value")
	}
	return true, nil
}

// unique refuses a name that stands in the open object already. Objects are
// small: comparing beats a set, and what is hostile ends at manyNames.
func (p *parser) unique(start int, key string) error {
	members := p.props[start:]
	if len(members) >= manyNames {
		return p.fail("more than %d names in one object", manyNames)
	}
	for i := range members {
		if members[i].Key == key {
			return p.fail("the name %q stands twice", clip(key))
		}
	}
	return nil
}

// manyNames is how many names an object may have. More than that is no event,
// whatever the limits are, and comparing them all would take long.
const manyNames = 4096

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// Lists and objects are cut from slabs, each twice as large as the one before.
const firstSlab = 256

func (p *parser) keepProps(ps []event.Prop) []event.Prop {
	if len(ps) == 0 || p.dry {
		return nil
	}
	if len(ps) > len(p.slabP) {
		p.wholeP = make([]event.Prop, max(firstSlab, len(ps), 2*len(p.wholeP)))
		p.slabP = p.wholeP
	}
	out := p.slabP[:len(ps):len(ps)]
	p.slabP = p.slabP[len(ps):]
	copy(out, ps)
	return out
}

func (p *parser) keepValues(vs []event.Value) []event.Value {
	if len(vs) == 0 || p.dry {
		return nil
	}
	if len(vs) > len(p.slabV) {
		p.wholeV = make([]event.Value, max(firstSlab/4, len(vs), 2*len(p.wholeV)))
		p.slabV = p.wholeV
	}
	out := p.slabV[:len(vs):len(vs)]
	p.slabV = p.slabV[len(vs):]
	copy(out, vs)
	return out
}

// text reads a string.
func (p *parser) text() (string, error) {
	p.i++
	start := p.i
	for {
		p.i = skipPlain(p.s, p.i)
		if p.i >= len(p.s) {
			return "", p.fail("%w", errEarly)
		}
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[start:p.i]
			p.i++
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", p.fail("a control character stands in a text")
		}
		r, n := utf8.DecodeRuneInString(p.s[p.i:])
		if r == utf8.RuneError && n == 1 {
			p.i = start
			return "", p.fail("this is not valid UTF-8")
		}
		p.i += n
	}
}

// skipPlain gives the first place from i on where s has something else than
// printable ASCII without quote and backslash, eight bytes at a time (the tests
// for a byte in a word are those of Hacker's Delight, 6-1).
func skipPlain(s string, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, back := w^(ones*'"'), w^(ones*'\\')
		// The lowest byte that is found is one for sure; those above may not be.
		if found := ((quote-ones)&^quote | (back-ones)&^back | (w - ones*0x20) | w) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && s[i] >= 0x20 && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

// escaped reads the rest of a string that has escapes.
func (p *parser) escaped(start int) (string, error) {
	b := append(make([]byte, 0, p.i-start+64), p.s[start:p.i]...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			p.i++
			if !utf8.Valid(b) {
				p.i = start
				return "", p.fail("this is not valid UTF-8")
			}
			return string(b), nil
		case c < 0x20:
			return "", p.fail("a control character stands in a text")
		case c != '\\':
			b = append(b, c)
			p.i++
			continue
		}
		if p.i++; p.i >= len(p.s) {
			break
		}
		switch c := p.s[p.i]; c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := p.hex(p.i + 1)
			if !ok {
				return "", p.fail("four hexadecimal digits must follow \\u")
			}
			p.i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), strings.HasPrefix(p.s[p.i+1:], `\u`)
				if ok {
					low, ok = p.hex(p.i + 3)
				}
				if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
					return "", p.fail("half of a surrogate pair stands alone")
				}
				p.i += 6
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", p.fail("the escape \\%c is unknown", c)
		}
		p.i++
	}
	return "", p.fail("%w", errEarly)
}

func (p *parser) hex(at int) (rune, bool) {
	if at+4 > len(p.s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.s[at : at+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads a number: finite and, where whole, within an int64.
func (p *parser) number() (event.Value, error) {
	start := p.i
	digits := func() bool {
		from := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		return p.i > from
	}
	if p.s[p.i] == '-' {
		p.i++
	}
	switch {
	case p.i < len(p.s) && p.s[p.i] == '0':
		p.i++
	case !digits():
		return event.Value{}, p.unexpected("a digit")
	}
	whole := true
	if p.i < len(p.s) && p.s[p.i] == '.' {
		whole = false
		if p.i++; !digits() {
			return event.Value{}, p.unexpected("a digit")
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		whole = false
		if p.i++; p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		if !digits() {
			return event.Value{}, p.unexpected("a digit")
		}
	}
	s := p.s[start:p.i]
	if whole {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return event.OfInt(i), nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || math.IsInf(f, 0):
		p.i = start
		return event.Value{}, p.fail("the number %.40s is not finite", s)
	case whole && math.Abs(f) >= 1<<53:
		p.i = start
		return event.Value{}, p.fail("the whole number %.40s needs more than 64 bits; send it as text", s)
	}
	return event.OfFloat(f), nil
}
