package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// receiptOf is a receipt in one of its two forms, or both.
func receiptOf(id, stat string, state byte, form string) shortMessage {
	m := shortMessage{from: address{1, 1, "4915112345678"}, to: address{5, 0, "ACME"}, esm: esmReceipt}
	if form != "tlv" {
		m.text = []byte("id:" + id + " sub:001 dlvrd:001 submit date:2601011200 done date:2601011201 stat:" + stat + " err:000 text:Hello")
	}
	if form != "text" {
		m.options = tlvs{{tagReceiptedID, []byte(id + "\x00")}, {tagState, []byte{state}}}
	}
	return m
}

// A receipt is answered to the centre when the appliance has acknowledged it,
// and given again until then.
func TestReceipts(t *testing.T) {
	for _, form := range []string{"tlv", "text", "both"} {
		t.Run(form, func(t *testing.T) {
			s := newCentre(t, nil)
			c := configured(t, settingsFor(s.addr, nil))
			o := send(t, c, smsTo("m1", "+4915112345678"), smsTo("m2", "+4915112345679"))
			one := s.deliver(receiptOf(o[0].ProviderID, "DELIVRD", 2, form))
			rs, token := collect(t, c, "")
			if len(rs) != 1 || rs[0].MessageID != "m1" && rs[0].MessageID != "m2" || rs[0].ProviderID != o[0].ProviderID || rs[0].Kind != connector.Delivered || rs[0].At.IsZero() {
				t.Fatalf("%+v", rs)
			}
			if _, ok := s.acked(one); ok {
				t.Error("answered too early")
			}
			again, same := collect(t, c, "")
			if fmt.Sprint(again) != fmt.Sprint(rs) || same != token {
				t.Errorf("given again: %+v, %q", again, same)
			}
			two := s.deliver(receiptOf(o[1].ProviderID, "UNDELIV", 5, form))
			rs, token = collect(t, c, token)
			if len(rs) != 1 || rs[0].Kind != connector.Bounced || rs[0].Class != connector.ClassOther {
				t.Fatalf("%+v", rs)
			}
			await(t, "the answer", func() bool { st, ok := s.acked(one); return ok && st == 0 })
			if _, ok := s.acked(two); ok {
				t.Error("the second was answered too early")
			}
			// What an earlier process gave means nothing.
			if rs, same := collect(t, c, "other-1"); len(rs) != 1 || same != token {
				t.Errorf("%+v, %q", rs, same)
			}
			acknowledge(c, token)
			await(t, "the answer", func() bool { st, ok := s.acked(two); return ok && st == 0 })
		})
	}
}

// A message of several parts is delivered when all are, and not when one is not.
func TestReceiptsOfParts(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, nil))
	long := func(id string) connector.Message {
		m := smsTo(id, "+4915112345678")
		m.Text = strings.Repeat("long ", 80) // three
		return m
	}
	if o := send(t, c, long("m1"))[0]; o.ProviderID != "id-101" {
		t.Fatalf("%+v", o)
	}
	var seqs []uint32
	for _, n := range []int{102, 103, 103, 101} {
		seqs = append(seqs, s.deliver(receiptOf(fmt.Sprintf("id-%d", n), "DELIVRD", 2, "tlv")))
	}
	rs, token := collect(t, c, "")
	if len(rs) != 1 || rs[0].MessageID != "m1" || rs[0].ProviderID != "id-101" || rs[0].Kind != connector.Delivered {
		t.Fatalf("%+v", rs)
	}
	for _, seq := range seqs {
		if _, ok := s.acked(seq); ok {
			t.Error("answered too early")
		}
	}
	o := send(t, c, long("m2"))[0]
	var first int
	fmt.Sscanf(o.ProviderID, "id-%d", &first)
	s.deliver(receiptOf(fmt.Sprintf("id-%d", first), "DELIVRD", 2, "tlv"))
	s.deliver(receiptOf(fmt.Sprintf("id-%d", first+1), "EXPIRED", 3, "tlv"))
	late := s.deliver(receiptOf(fmt.Sprintf("id-%d", first+2), "DELIVRD", 2, "tlv"))
	rs, token = collect(t, c, token)
	if len(rs) != 1 || rs[0].MessageID != "m2" || rs[0].ProviderID != o.ProviderID || rs[0].Kind != connector.Bounced || rs[0].Class != connector.ClassFull {
		t.Fatalf("%+v", rs)
	}
	for _, seq := range seqs {
		await(t, "the answer", func() bool { st, ok := s.acked(seq); return ok && st == 0 })
	}
	acknowledge(c, token)
	await(t, "the answer", func() bool { st, ok := s.acked(late); return ok && st == 0 })
}

// Parts that take long do not keep the centre waiting, and count all the same.
func TestReceiptsOfPartsFarApart(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"timeout": "200ms"}))
	m := smsTo("m1", "+4915112345678")
	m.Text = strings.Repeat("long ", 60)
	send(t, c, m)
	one := s.deliver(receiptOf("id-101", "DELIVRD", 2, "tlv"))
	await(t, "the first answer", func() bool { st, ok := s.acked(one); return ok && st == 0 })
	s.deliver(receiptOf("id-102", "DELIVRD", 2, "tlv"))
	if rs, _ := collect(t, c, ""); len(rs) != 1 || rs[0].MessageID != "m1" {
		t.Errorf("%+v", rs)
	}
}

// A receipt may come before the answer that says whose it is.
func TestReceiptBeforeTheAnswer(t *testing.T) {
	s := newCentre(t, func(l *line, p pdu) bool {
		if p.command != submitSM {
			return false
		}
		r := receiptOf("early", "DELIVRD", 2, "tlv")
		l.put(pdu{command: deliverSM, sequence: 1, body: r.body()})
		r = receiptOf("of-before", "DELIVRD", 2, "tlv")
		l.put(pdu{command: deliverSM, sequence: 2, body: r.body()})
		l.flush()
		time.Sleep(50 * time.Millisecond)
		l.put(pdu{command: submitSM | response, sequence: p.sequence, body: []byte("early\x00")})
		return true
	})
	c := configured(t, settingsFor(s.addr, nil))
	if o := send(t, c, smsTo("m1", "+4915112345678"))[0]; o.ProviderID != "early" {
		t.Fatalf("%+v", o)
	}
	rs, _ := collect(t, c, "")
	if len(rs) != 2 || rs[0].MessageID != "m1" || rs[0].ProviderID != "early" || rs[1].MessageID != "" || rs[1].ProviderID != "of-before" {
		t.Errorf("%+v", rs)
	}
}

// An answer that comes too late still tells whose receipt it is.
func TestLateAnswer(t *testing.T) {
	s := newCentre(t, nil)
	s.answer = func(l *line, p pdu) bool {
		if p.command == submitSM {
			time.AfterFunc(400*time.Millisecond, func() {
				l.usual(p)
				r := receiptOf("id-101", "DELIVRD", 2, "tlv")
				l.put(pdu{command: deliverSM, sequence: 1, body: r.body()})
				l.flush()
			})
			// It is there, but slow.
			go func() {
				for range 20 {
					time.Sleep(20 * time.Millisecond)
					l.put(pdu{command: enquireLink, sequence: 5})
					l.flush()
				}
			}()
		}
		return p.command == submitSM
	}
	c := configured(t, settingsFor(s.addr, connector.Settings{"timeout": "200ms"}))
	if o := send(t, c, smsTo("m1", "+4915112345678"))[0]; o.Result != connector.Unknown {
		t.Fatalf("%+v", o)
	}
	if rs, _ := collect(t, c, ""); len(rs) != 1 || rs[0].MessageID != "m1" || rs[0].Kind != connector.Delivered {
		t.Errorf("%+v", rs)
	}
}

// What the appliance does not fetch, and what there is no room for, the centre
// is asked to tell again; then it counts.
func TestReceiptsThatWait(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"timeout": "200ms"}))
	send(t, c, smsTo("m1", "+4915112345678"))
	one := s.deliver(receiptOf("id-101", "DELIVRD", 2, "tlv"))
	await(t, "to be put off", func() bool { st, ok := s.acked(one); return ok && st == statusTemporary })
	two := s.deliver(receiptOf("id-101", "DELIVRD", 2, "tlv"))
	rs, token := collect(t, c, "")
	if len(rs) != 1 || rs[0].MessageID != "m1" {
		t.Fatalf("%+v", rs)
	}
	acknowledge(c, token)
	await(t, "the answer", func() bool { st, ok := s.acked(two); return ok && st == 0 })

	c.inbox.mu.Lock()
	c.inbox.limit = 1
	c.inbox.mu.Unlock()
	s.deliver(receiptOf("x", "DELIVRD", 2, "tlv"))
	full := s.deliver(receiptOf("y", "DELIVRD", 2, "tlv"))
	await(t, "to be put off", func() bool { st, ok := s.acked(full); return ok && st == statusTemporary })
}

// A session that ends takes its debts with it, and nothing else.
func TestReceiptsAcrossSessions(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, nil))
	send(t, c, smsTo("m1", "+4915112345678"))
	s.deliver(receiptOf("id-101", "DELIVRD", 2, "tlv"))
	rs, token := collect(t, c, "")
	s.mu.Lock()
	s.lines[0].reset()
	s.mu.Unlock()
	await(t, "the next bind", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.binds == 2 && len(s.lines) == 2 && s.lines[1].as != 0
	})
	again := s.deliver(receiptOf("id-101", "DELIVRD", 2, "tlv"))
	time.Sleep(20 * time.Millisecond)
	if _, ok := s.acked(again); ok || len(rs) != 1 {
		t.Errorf("answered too early; %+v", rs)
	}
	acknowledge(c, token)
	await(t, "the answer", func() bool { st, ok := s.acked(again); return ok && st == 0 })
}

func TestReadReceipt(t *testing.T) {
	c, _ := read(connector.Settings{"errors": map[string]string{"001": "address", "11": "full"}})
	network := func(kind byte, code uint16) tlvs {
		return tlvs{{tagReceiptedID, []byte("7")}, {tagState, []byte{5}}, {tagNetworkError, binary.BigEndian.AppendUint16([]byte{kind}, code)}}
	}
	for _, tc := range []struct {
		text    string
		options tlvs
		want    receipt
		ok      bool
	}{
		{"id:7 sub:001 dlvrd:001 submit date:2601 done date:2601 stat:DELIVRD err:000 Text:x", nil, receipt{"7", connector.Delivered, "", ""}, true},
		{"ID:7 STAT:delivrd", nil, receipt{"7", connector.Delivered, "", ""}, true},
		{"stat:DELIVRD err:0 id:7", nil, receipt{"7", connector.Delivered, "", ""}, true},
		{"id:7 stat:UNDELIV err:001", nil, receipt{"7", connector.Bounced, connector.ClassAddress, "undeliverable, error 001"}, true},
		{"id:7 stat:UNDELIV err:11", nil, receipt{"7", connector.Bounced, connector.ClassFull, "undeliverable, error 11"}, true},
		{"id:7 stat:UNDELIV err:69", nil, receipt{"7", connector.Bounced, connector.ClassOther, "undeliverable, error 69"}, true},
		{"id:7 stat:REJECTD err:<b>", nil, receipt{"7", connector.Bounced, connector.ClassPolicy, "rejected by the message centre, error b"}, true},
		{"id:7 stat:EXPIRED", nil, receipt{"7", connector.Bounced, connector.ClassFull, "expired before the phone was reached"}, true},
		{"id:7 stat:DELETED", nil, receipt{"7", connector.Bounced, connector.ClassOther, "deleted in the message centre"}, true},
		{"id:7 stat:ENROUTE", nil, receipt{id: "7"}, false},
		{"id:7 stat:ACCEPTD", nil, receipt{id: "7"}, false},
		{"id:7 stat:UNKNOWN", nil, receipt{id: "7"}, false},
		{"id:7", nil, receipt{id: "7"}, false},
		{"stat:DELIVRD", nil, receipt{}, false},
		{"text:id:8 id:7 stat:DELIVRD", nil, receipt{}, false},
		{"", network(3, 1), receipt{"7", connector.Bounced, connector.ClassAddress, "undeliverable, error 1"}, true},
		{"", network(3, 27), receipt{"7", connector.Bounced, connector.ClassOther, "undeliverable, error 27"}, true},
		{"", network(8, 1), receipt{"7", connector.Bounced, connector.ClassOther, "undeliverable, error 1"}, true},
	} {
		got, ok := c.readReceipt(shortMessage{text: []byte(tc.text), options: tc.options})
		if got != tc.want && ok || ok != tc.ok {
			t.Errorf("%q: %+v, %v; want %+v", tc.text, got, ok, tc.want)
		}
	}
}

// Receipts that write ids in another way find their message.
func TestReceiptIDs(t *testing.T) {
	for _, tc := range []struct {
		form              idForm
		response, receipt string
		known             bool
	}{
		{idsSame, "1A2B", "1A2B", true},
		{idsSame, "1A2B", "6699", false},
		{idsDecimal, "1A2B", "6699", true},
		{idsDecimal, "00001a2b", "0000006699", true},
		{idsHex, "6699", "1a2b", true},
		{idsHex, "0006699", "1A2B", true},
		{idsDecimal, "3f2a-uuid", "3f2a-uuid", true},
		{idsAuto, "1A2B", "1A2B", true},
		{idsAuto, "1A2B", "6699", true},
		{idsAuto, "1a2b", "6699", true},
		{idsAuto, "00001A2B", "6699", true},
		{idsAuto, "6699", "1a2b", true},
		{idsAuto, "6699", "0000006699", true},
		{idsAuto, "ab-CD", "AB-CD", false},
	} {
		l := ledger{ids: tc.form, limit: 10, parts: map[string]part{}}
		id := tc.form.fromResponse(tc.response)
		l.add(id, part{of: &sent{}})
		got, _, ok := l.find(tc.receipt)
		if ok != tc.known || ok && got != id {
			t.Errorf("%s: %s and %s: %q, %v", tc.form, tc.response, tc.receipt, got, ok)
		}
	}
	// What was found out holds for what the ledger has forgotten, too.
	l := ledger{ids: idsAuto, limit: 1, parts: map[string]part{}}
	l.add("1A2B", part{of: &sent{}})
	l.find("6699")
	l.add("FFFF", part{of: &sent{}})
	if id, _, ok := l.find("6699"); ok || id != "1A2B" {
		t.Errorf("%q, %v", id, ok)
	}
	if len(l.parts) != 1 {
		t.Errorf("%d parts are remembered", len(l.parts))
	}
}

// What people write comes with their number, and STOP in many languages.
func TestReplies(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"country_code": "91"}))
	c.start()
	in := func(from address, coding byte, text []byte) {
		s.deliver(shortMessage{from: from, to: address{3, 0, "56767"}, coding: coding, text: text})
	}
	gsm := func(s string) []byte { b, _ := encodeGSM(s); return b }
	in(address{1, 1, "919812345678"}, 0, gsm("Stop."))
	in(address{2, 1, "9812345678"}, 8, encodeUCS2("रोकें"))
	in(address{0, 0, "+49151123456"}, 0, gsm("start"))
	in(address{0, 0, "0049151123456"}, 3, []byte("Danke, sch\xf6n"))
	// Of a long text the first part counts, once.
	s.deliver(shortMessage{from: address{1, 1, "919812345678"}, esm: esmUDH, text: append([]byte{5, 0, 3, 9, 2, 1}, gsm("stop the world")...)})
	s.deliver(shortMessage{from: address{1, 1, "919812345678"}, esm: esmUDH, text: append([]byte{5, 0, 3, 9, 2, 2}, gsm("stop")...)})
	s.deliver(shortMessage{from: address{5, 0, "OTHER"}, text: gsm("stop")}) // nobody
	want := map[string]connector.ReceiptKind{}
	want["+919812345678 unsubscribed"], want["+49151123456 subscribed"], want["+49151123456 replied"] = "", "", ""
	got := map[string]connector.ReceiptKind{}
	n, token := 0, ""
	for n < 5 {
		rs, next := collect(t, c, token)
		for _, r := range rs {
			n++
			got[r.Address+" "+string(r.Kind)] = ""
			if r.MessageID+r.ProviderID != "" || r.At.IsZero() {
				t.Errorf("%+v", r)
			}
		}
		token = next
	}
	if !maps.Equal(got, want) || n != 5 {
		t.Errorf("%d: %v", n, got)
	}
}

func TestOwnWords(t *testing.T) {
	own, _ := read(connector.Settings{"stop_words": []string{"genug"}})
	if own.optOut.Asks("GENUG") != connector.Unsubscribed || own.optOut.Asks("stop") != connector.Replied {
		t.Error("own words do not replace the usual ones")
	}
}

func TestPerson(t *testing.T) {
	for _, tc := range []struct {
		a             address
		country, want string
	}{
		{address{1, 1, "919812345678"}, "", "+919812345678"},
		{address{1, 1, "+919812345678"}, "49", "+919812345678"},
		{address{0, 0, "919812345678"}, "91", "+919812345678"},
		{address{0, 0, "9112345678"}, "91", "+919112345678"},
		{address{0, 0, "09812345678"}, "91", "+919812345678"},
		{address{2, 1, "9812345678"}, "91", "+919812345678"},
		{address{0, 0, "9812345678"}, "", "+9812345678"},
		{address{0, 0, "00919812345678"}, "49", "+919812345678"},
		{address{5, 0, "ACME"}, "91", ""},
		{address{3, 0, "56767"}, "", ""},
		{address{1, 1, ""}, "91", ""},
	} {
		if got := person(tc.a, tc.country); got != tc.want {
			t.Errorf("%+v in %q: %q, want %q", tc.a, tc.country, got, tc.want)
		}
	}
}

// A process that is asked to collect while nothing comes answers in time.
func TestCollectNothing(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if rs, token, err := c.Collect(ctx, "x"); len(rs) != 0 || token != "" || err != nil {
		t.Errorf("%v, %q, %v", rs, token, err)
	}
}
