package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrEncoding is wrapped by every error about bytes that are not an encoding
// of facts or values: they were damaged or come from a newer version.
var ErrEncoding = errors.New("not an encoding of facts")

// Fields of an encoded fact. A fact is its kind, then those of these fields
// that are not zero, each behind its number, then fieldEnd; FORMAT.md.
const (
	fieldEnd = iota
	fieldFlags
	fieldID
	fieldTime
	fieldReceived
	fieldUser
	fieldDevice
	fieldPrevious
	fieldPerson
	fieldName
	fieldRef
	fieldProps
	fieldChanges
	fieldConsents
	fieldAddresses
	fieldBody
)

// AppendFact appends the encoding of f.
func AppendFact(dst []byte, f *Fact) []byte {
	dst = append(dst, byte(f.Kind))
	if f.Flags != 0 {
		dst = append(dst, fieldFlags, byte(f.Flags))
	}
	text := func(field byte, s string) {
		if s != "" {
			dst = appendText(append(dst, field), s)
		}
	}
	text(fieldID, f.ID)
	if f.Time != 0 {
		dst = binary.AppendVarint(append(dst, fieldTime), f.Time)
	}
	if f.Received != 0 {
		dst = binary.AppendVarint(append(dst, fieldReceived), f.Received-f.Time)
	}
	text(fieldUser, f.User)
	text(fieldDevice, f.Device)
	text(fieldPrevious, f.Previous)
	if f.Person != 0 {
		dst = binary.AppendUvarint(append(dst, fieldPerson), uint64(f.Person))
	}
	text(fieldName, f.Name)
	text(fieldRef, f.Ref)
	if len(f.Props) > 0 {
		dst = AppendProps(append(dst, fieldProps), f.Props)
	}
	if len(f.Changes) > 0 {
		dst = binary.AppendUvarint(append(dst, fieldChanges), uint64(len(f.Changes)))
		for i := range f.Changes {
			c := &f.Changes[i]
			dst = append(dst, byte(c.Op), bit(c.Personal))
			dst = AppendValue(appendText(dst, c.Key), c.Value)
		}
	}
	if len(f.Consents) > 0 {
		dst = binary.AppendUvarint(append(dst, fieldConsents), uint64(len(f.Consents)))
		for _, c := range f.Consents {
			dst = append(dst, bit(c.Granted))
			dst = appendText(appendText(dst, c.Purpose), c.Channel)
			dst = appendText(appendText(dst, c.Source), c.Version)
		}
	}
	if len(f.Addresses) > 0 {
		dst = binary.AppendUvarint(append(dst, fieldAddresses), uint64(len(f.Addresses)))
		for _, a := range f.Addresses {
			dst = append(dst, bit(a.Removed))
			dst = appendText(appendText(dst, a.Channel), a.Platform)
			dst = appendText(appendText(dst, a.Value), a.Extra)
		}
	}
	if len(f.Body) > 0 {
		dst = binary.AppendUvarint(append(dst, fieldBody), uint64(len(f.Body)))
		dst = append(dst, f.Body...)
	}
	return append(dst, fieldEnd)
}

// AppendProps appends the encoding of properties.
func AppendProps(dst []byte, ps []Prop) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ps)))
	for i := range ps {
		dst = append(dst, bit(ps[i].Personal))
		dst = AppendValue(appendText(dst, ps[i].Key), ps[i].Value)
	}
	return dst
}

// AppendValue appends the encoding of v: its kind, then what it holds.
func AppendValue(dst []byte, v Value) []byte {
	dst = append(dst, byte(v.kind))
	switch v.kind {
	case Bool:
		dst = append(dst, byte(v.num))
	case Int, Time:
		dst = binary.AppendVarint(dst, int64(v.num))
	case Float:
		dst = binary.LittleEndian.AppendUint64(dst, v.num)
	case Text:
		dst = appendText(dst, v.text())
	case List:
		dst = binary.AppendUvarint(dst, uint64(len(v.list())))
		for _, e := range v.list() {
			dst = AppendValue(dst, e)
		}
	case Object:
		dst = AppendProps(dst, v.obj())
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// DecodeFacts reads facts that were appended one after another, to the end of
// b. The facts share nothing with b.
func DecodeFacts(b []byte) ([]Fact, error) {
	r := reader{b: b}
	var out []Fact
	for len(r.b) > 0 {
		f := r.fact()
		if r.err != nil {
			return nil, fmt.Errorf("fact %d, %d bytes before the end: %w", len(out)+1, len(r.b), r.err)
		}
		out = append(out, f)
	}
	return out, nil
}

// ReadValue reads one value from the front of b.
func ReadValue(b []byte) (v Value, rest []byte, err error) {
	r := reader{b: b}
	v = r.value(0)
	return v, r.b, r.err
}

// ReadProps reads properties from the front of b.
func ReadProps(b []byte) (ps []Prop, rest []byte, err error) {
	r := reader{b: b}
	ps = r.props(0)
	return ps, r.b, r.err
}

// reader takes bytes from the front of b; after the first error it takes no more.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrEncoding, what)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it ends early")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("a length is broken")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("a number is broken")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many things follow, each at least least bytes long, so that
// a hostile count cannot ask for more memory than the bytes could fill.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/least) {
		r.fail("a count is larger than what follows")
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) fact() Fact {
	f := Fact{Kind: Kind(r.byte())}
	for r.err == nil {
		switch field := r.byte(); field {
		case fieldEnd:
			return f
		case fieldFlags:
			f.Flags = Flags(r.byte())
		case fieldID:
			f.ID = r.text()
		case fieldTime:
			f.Time = r.varint()
		case fieldReceived:
			f.Received = f.Time + r.varint()
		case fieldUser:
			f.User = r.text()
		case fieldDevice:
			f.Device = r.text()
		case fieldPrevious:
			f.Previous = r.text()
		case fieldPerson:
			f.Person = r.person()
		case fieldName:
			f.Name = r.text()
		case fieldRef:
			f.Ref = r.text()
		case fieldProps:
			f.Props = r.props(0)
		case fieldChanges:
			n := r.count(4)
			f.Changes = make([]Change, 0, n)
			for ; n > 0 && r.err == nil; n-- {
				c := Change{Op: Op(r.byte()), Personal: r.byte() != 0}
				c.Key = r.text()
				c.Value = r.value(0)
				f.Changes = append(f.Changes, c)
			}
		case fieldConsents:
			n := r.count(5)
			f.Consents = make([]Consent, 0, n)
			for ; n > 0 && r.err == nil; n-- {
				f.Consents = append(f.Consents, Consent{Granted: r.byte() != 0, Purpose: r.text(), Channel: r.text(), Source: r.text(), Version: r.text()})
			}
		case fieldAddresses:
			n := r.count(5)
			f.Addresses = make([]Address, 0, n)
			for ; n > 0 && r.err == nil; n-- {
				f.Addresses = append(f.Addresses, Address{Removed: r.byte() != 0, Channel: r.text(), Platform: r.text(), Value: r.text(), Extra: r.text()})
			}
		case fieldBody:
			n := r.count(1)
			f.Body = append([]byte(nil), r.b[:n]...)
			r.b = r.b[n:]
		default:
			r.fail(fmt.Sprintf("field %d is unknown", field))
		}
	}
	return f
}

func (r *reader) person() uint32 {
	n := r.uvarint()
	if n == 0 || n > math.MaxUint32 {
		r.fail("a person's number is out of range")
		return 0
	}
	return uint32(n)
}

func (r *reader) props(depth int) []Prop {
	n := r.count(3)
	ps := make([]Prop, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		p := Prop{Personal: r.byte() != 0}
		p.Key = r.text()
		p.Value = r.value(depth + 1)
		ps = append(ps, p)
	}
	return ps
}

func (r *reader) value(depth int) Value {
	if depth > 2*MaxDepth {
		r.fail("nested too deep")
		return Value{}
	}
	switch k := ValueKind(r.byte()); k {
	case Null:
		return Value{}
	case Bool:
		return OfBool(r.byte() != 0)
	case Int:
		return OfInt(r.varint())
	case Time:
		return OfMicros(r.varint())
	case Float:
		if len(r.b) < 8 {
			r.fail("it ends early")
			return Value{}
		}
		v := Value{kind: Float, num: binary.LittleEndian.Uint64(r.b)}
		r.b = r.b[8:]
		return v
	case Text:
		return OfText(r.text())
	case List:
		n := r.count(1)
		list := make([]Value, 0, n)
		for ; n > 0 && r.err == nil; n-- {
			list = append(list, r.value(depth+1))
		}
		return OfList(list)
	case Object:
		return OfObject(r.props(depth))
	default:
		r.fail(fmt.Sprintf("kind of value %d is unknown", k))
		return Value{}
	}
}
