package main

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// receipt is what the centre says of one part.
type receipt struct {
	id     string
	kind   connector.ReceiptKind
	class  connector.Class
	reason string
}

// States of a message (5.2.28), and how the text of a receipt writes them.
var states = map[string]byte{
	"ENROUTE": 1, "DELIVRD": 2, "EXPIRED": 3, "DELETED": 4, "UNDELIV": 5, "ACCEPTD": 6, "UNKNOWN": 7, "REJECTD": 8,
	"DELIVERED": 2, "UNDELIVERABLE": 5, "REJECTED": 8, "FAILED": 5,
}

// readReceipt reads a receipt in either form; the optional parameters count
// where both are there. It is false if there is no telling what it is about,
// or if nothing has become of the message yet.
func (c *config) readReceipt(m shortMessage) (receipt, bool) {
	text := receiptText(string(m.text))
	r := receipt{id: strings.TrimRight(string(m.options.get(tagReceiptedID)), "\x00")}
	if r.id == "" {
		r.id = text["id"]
	}
	state, code := states[strings.ToUpper(text["stat"])], text["err"]
	if v := m.options.get(tagState); len(v) == 1 {
		state = v[0]
	}
	if strings.Trim(code, "0") == "" {
		code = ""
	}
	unknownSubscriber := false
	if v := m.options.get(tagNetworkError); len(v) == 3 {
		n := int(v[1])<<8 | int(v[2])
		unknownSubscriber = v[0] == 3 && n == 1 // GSM, 3GPP TS 29.002
		if code == "" && n > 0 {
			code = fmt.Sprint(n)
		}
	}
	if r.id == "" || len(r.id) > maxID {
		return r, false
	}
	switch state {
	case 2:
		r.kind = connector.Delivered
		return r, true
	case 3:
		r.class, r.reason = connector.ClassFull, "expired before the phone was reached"
	case 4:
		r.class, r.reason = connector.ClassOther, "deleted in the message centre"
	case 5:
		r.class, r.reason = connector.ClassOther, "undeliverable"
	case 8:
		r.class, r.reason = connector.ClassPolicy, "rejected by the message centre"
	default: // on its way, or nothing is known
		return r, false
	}
	r.kind = connector.Bounced
	if unknownSubscriber {
		r.class = connector.ClassAddress
	}
	if class, ok := c.errors[code]; ok {
		r.class = connector.Class(class)
	}
	if code != "" && len(code) <= 16 {
		r.reason += ", error " + plain(code)
	}
	return r, true
}

// plain keeps letters and digits: a peer's word in a reason.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, s)
}

// receiptText takes the text of a receipt apart, of which Appendix B of SMPP
// 3.4 has the usual form and everybody another: names in any case and order,
// and "submit date" and "done date" with their spaces. The message's own text
// at its end is left alone.
func receiptText(text string) map[string]string {
	fields := map[string]string{}
	for _, word := range strings.Fields(text) {
		name, value, ok := strings.Cut(word, ":")
		name = strings.ToLower(name)
		if name == "text" {
			break
		}
		if _, twice := fields[name]; ok && !twice {
			fields[name] = value
		}
	}
	return fields
}

// idForm is how the centre writes ids in receipts, where that is not as in its
// responses. The zero value is the same.
type idForm string

const (
	idsAuto    idForm = "auto"    // found out by what fits
	idsSame    idForm = "same"    // as in responses
	idsDecimal idForm = "decimal" // decimal in receipts, hexadecimal in responses
	idsHex     idForm = "hex"     // the other way round
)

// fromResponse is the id of a response as it is known by here.
func (f idForm) fromResponse(id string) string {
	switch f {
	case idsDecimal:
		return rebase(id, 16, 10, "")
	case idsHex:
		return rebase(id, 10, 10, "")
	}
	return id
}

// candidates are what the id of a receipt may be known by, the likeliest first.
func (f idForm) candidates(id string) []string {
	switch f {
	case idsDecimal:
		return []string{rebase(id, 10, 10, "")}
	case idsHex:
		return []string{rebase(id, 16, 10, "")}
	case idsAuto:
		return []string{
			id, rebase(id, 10, 16, ""), strings.ToUpper(rebase(id, 10, 16, "")), strings.ToUpper(rebase(id, 10, 16, "%08s")), rebase(id, 10, 16, "%08s"),
			rebase(id, 16, 10, ""), rebase(id, 10, 10, ""), strings.ToLower(id), strings.ToUpper(id),
		}
	}
	return []string{id}
}

// rebase writes a number in another base; what is none stays as it is.
func rebase(id string, from, to int, format string) string {
	if len(id) > 64 || strings.ContainsAny(id, "+-_") {
		return id
	}
	n, ok := new(big.Int).SetString(id, from)
	if !ok {
		return id
	}
	s := n.Text(to)
	if format != "" {
		s = strings.ReplaceAll(fmt.Sprintf(format, s), " ", "0")
	}
	return s
}
