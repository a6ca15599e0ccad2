package people

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Ceilings of one person's record, so that it stays below kv.MaxValue. What
// goes beyond is not taken (Dropped), or takes the place of the oldest.
const (
	maxIdentities = 64
	maxDevices    = 128 // the oldest is no longer listed, but still belongs
	maxAttributes = 512
	maxWeight     = 384 << 10 // bytes of attributes together
	maxDecisions  = 256
	maxAddresses  = 32  // the oldest of the channel goes
	maxElements   = 100 // of a list attribute: Add pushes the oldest out
)

// record is what rests sealed of one number. A loser's record stays as it was
// at the merge; the winner's has absorbed it, so that reading a person is
// reading one record, and a demerge takes out what is marked absorbed.
type record struct {
	created, seen int64
	identities    []identityEntry
	devices       []deviceEntry
	attributes    []attribute // by key
	decisions     []decision
	addresses     []addressEntry // the newest last
}

type identityEntry struct {
	Identity
	absorbed bool
}

type deviceEntry struct {
	Device
	absorbed bool
}

type attribute struct {
	key      string
	value    event.Value
	size     int  // bytes of key and value, encoded
	personal bool // said so by the fact that set it
	absorbed bool
}

// decision is a consent decision that is in force.
type decision struct {
	ConsentState
	seq      uint64 // its place among all decisions of the publisher
	absorbed bool
}

type addressEntry struct {
	event.Address
	device   string // the device that told it, "" if unknown
	since    int64
	absorbed bool
}

func (r *record) find(key string) (int, bool) {
	return slices.BinarySearchFunc(r.attributes, key, func(a attribute, k string) int { return cmp.Compare(a.key, k) })
}

// weight is what the ceiling maxWeight bounds.
func (r *record) weight() (n int) {
	for i := range r.attributes {
		n += r.attributes[i].size
	}
	return n
}

func (r *record) device(id string) int {
	return slices.IndexFunc(r.devices, func(d deviceEntry) bool { return d.ID == id })
}

func (r *record) identity(value string) int {
	return slices.IndexFunc(r.identities, func(i identityEntry) bool { return i.Value == value })
}

// sameForm brings an address into the form in which it is compared.
func sameForm(channel, value string) string {
	value = strings.TrimSpace(value)
	if channel == "email" {
		return strings.ToLower(value)
	}
	return value
}

func (r *record) address(channel, value string) int {
	return slices.IndexFunc(r.addresses, func(a addressEntry) bool {
		return a.Channel == channel && sameForm(channel, a.Value) == sameForm(channel, value)
	})
}

// listed is the identity, else the device, that the person is listed by.
func (r *record) listed() string {
	best := ""
	var since int64
	for _, id := range r.identities {
		if best == "" || id.Since < since {
			best, since = id.Value, id.Since
		}
	}
	if best == "" && len(r.devices) > 0 {
		best = r.devices[0].ID
	}
	return best
}

// recordVersion is the first byte of an encoded record.
const recordVersion = 1

// encode makes the bytes that are sealed.
func (r *record) encode() []byte {
	b := []byte{recordVersion}
	b = binary.AppendVarint(b, r.created)
	b = binary.AppendVarint(b, r.seen)
	b = binary.AppendUvarint(b, uint64(len(r.identities)))
	for _, i := range r.identities {
		b = append(b, flags(i.absorbed, false))
		b = binary.AppendVarint(appendText(b, i.Value), i.Since)
	}
	b = binary.AppendUvarint(b, uint64(len(r.devices)))
	for _, d := range r.devices {
		b = append(b, flags(d.absorbed, false))
		b = binary.AppendVarint(appendText(b, d.ID), d.Since)
		b = binary.AppendVarint(b, d.Seen)
	}
	b = binary.AppendUvarint(b, uint64(len(r.attributes)))
	for _, a := range r.attributes {
		b = append(b, flags(a.absorbed, a.personal))
		b = event.AppendValue(appendText(b, a.key), a.value)
	}
	b = binary.AppendUvarint(b, uint64(len(r.decisions)))
	for i := range r.decisions {
		b = appendDecision(b, &r.decisions[i])
	}
	b = binary.AppendUvarint(b, uint64(len(r.addresses)))
	for _, a := range r.addresses {
		b = append(b, flags(a.absorbed, false))
		b = appendText(appendText(b, a.Channel), a.Platform)
		b = appendText(appendText(b, a.Value), a.Extra)
		b = binary.AppendVarint(appendText(b, a.device), a.since)
	}
	return b
}

func appendDecision(b []byte, d *decision) []byte {
	b = append(b, flags(d.absorbed, d.Granted))
	b = appendText(appendText(b, d.Purpose), d.Channel)
	b = appendText(appendText(b, d.Source), d.Version)
	b = binary.AppendVarint(b, d.Since)
	return binary.AppendUvarint(b, d.seq)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func flags(low, high bool) byte {
	var f byte
	if low {
		f |= 1
	}
	if high {
		f |= 2
	}
	return f
}

// decodeRecord is the inverse of encode; the error wraps ErrDamaged.
func decodeRecord(b []byte) (*record, error) {
	d := decoder{b: b}
	if v := d.byte(); v != recordVersion && d.err == nil {
		return nil, fmt.Errorf("%w: a person's record has version %d", ErrDamaged, v)
	}
	r := &record{created: d.varint(), seen: d.varint()}
	for n := d.count(3); n > 0; n-- {
		e := identityEntry{absorbed: d.byte()&1 != 0}
		e.Value, e.Since = d.text(), d.varint()
		r.identities = append(r.identities, e)
	}
	for n := d.count(4); n > 0; n-- {
		e := deviceEntry{absorbed: d.byte()&1 != 0}
		e.ID, e.Since, e.Seen = d.text(), d.varint(), d.varint()
		r.devices = append(r.devices, e)
	}
	for n := d.count(3); n > 0; n-- {
		f := d.byte()
		a := attribute{absorbed: f&1 != 0, personal: f&2 != 0, key: d.text()}
		left := len(d.b)
		a.value = d.value()
		a.size = len(a.key) + left - len(d.b)
		r.attributes = append(r.attributes, a)
	}
	for n := d.count(7); n > 0; n-- {
		r.decisions = append(r.decisions, d.decision())
	}
	for n := d.count(7); n > 0; n-- {
		e := addressEntry{absorbed: d.byte()&1 != 0}
		e.Channel, e.Platform, e.Value, e.Extra = d.text(), d.text(), d.text(), d.text()
		e.device, e.since = d.text(), d.varint()
		r.addresses = append(r.addresses, e)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decoding a person's record: %w", err)
	}
	return r, nil
}
