package delivery

import (
	"encoding/binary"
	"fmt"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/kv"
)

// Explain gives the decision of a message, or ErrUnknown.
func (d *Delivery) Explain(message string) (Decision, error) {
	r, err := d.find(message)
	if err != nil {
		return Decision{}, err
	}
	return r.Decision, nil
}

// Message gives what links of a message need: ErrUnknown if there is no such
// message, ErrGone if its recipient was erased.
func (d *Delivery) Message(message string) (Message, error) {
	r, err := d.find(message)
	if err != nil {
		return Message{}, err
	}
	if d.o.Keys.Destroyed(r.Person) || d.o.Keys.Destroyed(r.Asked) || r.Sealed != 0 && d.o.Keys.Destroyed(r.Sealed) {
		return Message{}, fmt.Errorf("message %s: its recipient: %w", message, ErrGone)
	}
	m := Message{ID: r.Message, Campaign: r.Campaign, Variant: r.Variant, Person: r.Person, Purpose: r.Purpose, Channel: r.Channel}
	if len(r.Targets) > 0 {
		plain, err := d.o.Keys.OpenPerson(r.Sealed, aad(sealedTarget, r.id()), r.Targets)
		if err != nil {
			return Message{}, fmt.Errorf("message %s: opening its links: %w", message, err)
		}
		if m.Targets, err = readTexts(plain); err != nil {
			return Message{}, fmt.Errorf("message %s: its links: %w", message, err)
		}
	}
	return m, nil
}

func (d *Delivery) find(message string) (*record, error) {
	i, ok := parseID(message)
	if !ok {
		return nil, ErrUnknown
	}
	var r *record
	err := d.db.View(func(t *kv.Txn) (err error) {
		r, err = d.load(t, i)
		return err
	})
	return r, err
}

// appendTexts and readTexts encode the targets of links.
func appendTexts(dst []byte, texts []string) []byte {
	for _, s := range texts {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func readTexts(b []byte) ([]string, error) {
	var out []string
	for len(b) > 0 {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, event.ErrEncoding
		}
		out = append(out, string(b[w:w+int(n)]))
		b = b[w+int(n):]
	}
	return out, nil
}
