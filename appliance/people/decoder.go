package people

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
)

// ErrDamaged is wrapped by errors about stored bytes that are not what this
// room wrote.
var ErrDamaged = errors.New("people: stored bytes are damaged")

// decoder takes fields from the front of b; after the first error it gives
// zero values only.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrDamaged, what)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it ends early")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a number is broken")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a number is broken")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things follow, each at least least bytes long.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/least) {
		d.fail("a count is larger than what follows")
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) value() event.Value {
	if d.err != nil {
		return event.Value{}
	}
	v, rest, err := event.ReadValue(d.b)
	if err != nil {
		d.fail(err.Error())
		return event.Value{}
	}
	d.b = rest
	return v
}

func (d *decoder) decision() decision {
	f := d.byte()
	e := decision{absorbed: f&1 != 0}
	e.Granted = f&2 != 0
	e.Purpose, e.Channel, e.Source, e.Version = d.text(), d.text(), d.text(), d.text()
	e.Since, e.seq = d.varint(), d.uvarint()
	return e
}

// end gives the first error, also if bytes are left.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes follow its end")
	}
	return d.err
}
