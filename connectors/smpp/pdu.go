package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The commands that are spoken here (SMPP 3.4, 5.1.2.1). A response is its
// request with the highest bit.
const (
	bindReceiver    = 0x00000001
	bindTransmitter = 0x00000002
	submitSM        = 0x00000004
	deliverSM       = 0x00000005
	unbind          = 0x00000006
	bindTransceiver = 0x00000009
	enquireLink     = 0x00000015
	dataSM          = 0x00000103
	genericNack     = 0x80000000
	response        = 0x80000000
)

// The optional parameters that are sent or read (5.3.2; 0x0428 is of 5.0).
const (
	tagReceiptedID       = 0x001e
	tagSARReference      = 0x020c
	tagSARTotal          = 0x020e
	tagSARNumber         = 0x020f
	tagVersion           = 0x0210
	tagNetworkError      = 0x0423
	tagPayload           = 0x0424
	tagState             = 0x0427
	tagCongestion        = 0x0428
	headerSize           = 16
	maxPDU               = 128 << 10 // a payload is 64 KiB at most
	esmUDH          byte = 0x40
)

// errGarbage means that a peer does not speak SMPP, or no longer.
var errGarbage = errors.New("not SMPP")

// pdu is one unit as it came. Its body is the reader's own.
type pdu struct {
	command, status, sequence uint32
	body                      []byte
}

// readPDU reads one unit. Nothing is set aside for a length that cannot be.
func readPDU(r io.Reader) (pdu, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return pdu{}, err
	}
	size := binary.BigEndian.Uint32(h[:])
	if size < headerSize || size > maxPDU {
		return pdu{}, fmt.Errorf("%w: a unit of %d octets", errGarbage, size)
	}
	p := pdu{
		command: binary.BigEndian.Uint32(h[4:]), status: binary.BigEndian.Uint32(h[8:]), sequence: binary.BigEndian.Uint32(h[12:]),
		body: make([]byte, size-headerSize),
	}
	if _, err := io.ReadFull(r, p.body); err != nil {
		return pdu{}, err
	}
	return p, nil
}

// appendPDU appends one unit to b.
func appendPDU(b []byte, p pdu) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(p.body)))
	b = binary.BigEndian.AppendUint32(b, p.command)
	b = binary.BigEndian.AppendUint32(b, p.status)
	b = binary.BigEndian.AppendUint32(b, p.sequence)
	return append(b, p.body...)
}

// tlv is one optional parameter.
type tlv struct {
	tag   uint16
	value []byte
}

// tlvs are optional parameters in their order.
type tlvs []tlv

// get is the value of the first of that tag, nil if there is none.
func (t tlvs) get(tag uint16) []byte {
	for i := range t {
		if t[i].tag == tag {
			return t[i].value
		}
	}
	return nil
}

// address is a number or a name, with its type and its plan.
type address struct {
	ton, npi byte
	digits   string
}

// shortMessage is what submit_sm, deliver_sm and data_sm carry.
type shortMessage struct {
	service       string
	from, to      address
	esm, priority byte
	validity      string
	registered    byte
	coding        byte
	text          []byte
	options       tlvs
}

// body is m as the body of a submit_sm or deliver_sm; the caller keeps to the
// lengths: text of 254 octets, values of 65535.
func (m *shortMessage) body() []byte {
	b := make([]byte, 0, 64+len(m.text))
	b = appendText(b, m.service)
	b = appendAddress(b, m.from)
	b = appendAddress(b, m.to)
	b = append(b, m.esm, 0, m.priority, 0) // protocol_id; schedule_delivery_time is empty
	b = appendText(b, m.validity)
	b = append(b, m.registered, 0, m.coding, 0, byte(len(m.text))) // replace_if_present, sm_default_msg_id
	b = append(b, m.text...)
	return appendTLVs(b, m.options)
}

func appendText(b []byte, s string) []byte { return append(append(b, s...), 0) }

func appendAddress(b []byte, a address) []byte { return appendText(append(b, a.ton, a.npi), a.digits) }

func appendTLVs(b []byte, ts tlvs) []byte {
	for _, t := range ts {
		b = binary.BigEndian.AppendUint16(b, t.tag)
		b = binary.BigEndian.AppendUint16(b, uint16(len(t.value)))
		b = append(b, t.value...)
	}
	return b
}

// fields takes a body apart; the first error stays.
type fields struct {
	rest []byte
	err  error
}

// text is a string ended by a NUL, of at most limit octets with it. Peers are
// generous with the limits of the specification, so that limit only bounds.
func (f *fields) text(limit int) string {
	end := bytes.IndexByte(f.rest[:min(limit, len(f.rest))], 0)
	if end < 0 {
		f.fail("a string without an end")
		return ""
	}
	s := string(f.rest[:end])
	f.rest = f.rest[end+1:]
	return s
}

func (f *fields) octet() byte {
	if len(f.rest) == 0 {
		f.fail("it ends early")
		return 0
	}
	c := f.rest[0]
	f.rest = f.rest[1:]
	return c
}

func (f *fields) octets(n int) []byte {
	if n > len(f.rest) {
		f.fail("it ends early")
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) address() address {
	return address{ton: f.octet(), npi: f.octet(), digits: f.text(64)}
}

// options are what is left. Fewer octets than make one are let pass: some
// peers pad.
func (f *fields) options() tlvs {
	var ts tlvs
	for len(f.rest) >= 4 && f.err == nil {
		tag, n := binary.BigEndian.Uint16(f.rest), int(binary.BigEndian.Uint16(f.rest[2:]))
		f.rest = f.rest[4:]
		ts = append(ts, tlv{tag, f.octets(n)})
	}
	return ts
}

func (f *fields) fail(why string) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s", errGarbage, why)
	}
	f.rest = nil
}

// parseMessage reads the body of a deliver_sm, submit_sm (both the same) or
// data_sm. What has its text in message_payload has it in text afterwards.
func parseMessage(command uint32, body []byte) (shortMessage, error) {
	f := fields{rest: body}
	m := shortMessage{service: f.text(64), from: f.address(), to: f.address(), esm: f.octet()}
	if command == dataSM {
		m.registered, m.coding = f.octet(), f.octet()
	} else {
		f.octet() // protocol_id
		m.priority = f.octet()
		f.text(32) // schedule_delivery_time
		m.validity = f.text(32)
		m.registered = f.octet()
		f.octet() // replace_if_present
		m.coding = f.octet()
		f.octet() // sm_default_msg_id
		m.text = f.octets(int(f.octet()))
	}
	m.options = f.options()
	if p := m.options.get(tagPayload); len(m.text) == 0 && p != nil {
		m.text = p
	}
	return m, f.err
}

// parseID reads the body of a submit_sm_resp: the id, which some peers leave
// out or do not end, and optional parameters.
func parseID(body []byte) (string, tlvs) {
	f := fields{rest: body}
	id := f.text(len(body))
	if f.err != nil {
		id = string(body)
	}
	return id[:min(len(id), maxID)], f.options()
}

// maxID bounds what is taken for a provider's id of one part: 64 octets by the
// specification.
const maxID = 128
