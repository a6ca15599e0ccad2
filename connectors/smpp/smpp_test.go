package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance"
	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

func TestConformance(t *testing.T) {
	s := newCentre(t, nil)
	base := connector.Settings{"host": "smsc.example", "system_id": "acme"}
	with := func(name string, v any) connector.Settings {
		w := connector.Settings{name: v}
		for k, v := range base {
			if _, ok := w[k]; !ok {
				w[k] = v
			}
		}
		return w
	}
	conformance.Test(t, conformance.Target{
		Path: testprogram.Install(t, "smpp"), Settings: settingsFor(s.addr, nil), Reachable: true,
		Wrong: []connector.Settings{
			with("host", "smpp://smsc.example"),
			with("sender", "a name too long"),
			with("timeout", "60s"),
			with("stop_words", []string{"..."}),
			with("statuses", map[string]string{"400": "again"}),
			with("statuses", map[string]string{"0x400": "later"}),
			with("errors", map[string]string{"1": "gone"}),
			with("tls", connector.Settings{"ca": "no pem"}),
			with("tls", connector.Settings{"certificate": "x"}),
			with("dlt", connector.Settings{"entity": "1101123456", "headers": []string{"ACME"}}),
			with("dlt", connector.Settings{"entity": "1101123456", "templates": map[string]string{"1107": "{#what#}"}}),
			with("dlt", connector.Settings{"entity": "1101123456", "template_tag": "0x1400"}),
			with("dlt", connector.Settings{"entity": "1101123456", "headers": []string{"ACMEBK"}, "template_headers": map[string]string{"1107": "OTHERS"}}),
		},
	})
}

// Nobody is there: everything comes again, nothing is accepted.
func TestConformanceWithoutCentre(t *testing.T) {
	conformance.Test(t, conformance.Target{Path: testprogram.Install(t, "smpp"), Settings: settingsFor("127.0.0.1:1", nil)})
}

func TestMessage(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"service_type": "CMT"}))
	m := smsTo("1", "+4915112345678")
	m.Expires = time.Now().Add(26 * time.Hour)
	o := send(t, c, m)[0]
	if o.Result != connector.Accepted || o.ProviderID != "id-101" {
		t.Fatalf("%+v", o)
	}
	got := s.messages()[0]
	want := shortMessage{service: "CMT", from: address{5, 0, "ACME"}, to: address{1, 1, "4915112345678"}, registered: 1, text: []byte("Hello 1"), validity: got.validity}
	if fmt.Sprint(got) != fmt.Sprint(want) || !strings.HasPrefix(got.validity, "00000102") && !strings.HasPrefix(got.validity, "00000101") {
		t.Errorf("%+v, want %+v", got, want)
	}
	m.Marketing, m.Sender = false, "+491520000000"
	send(t, c, m)
	if got := s.messages()[1]; got.priority != 1 || got.from != (address{1, 1, "491520000000"}) {
		t.Errorf("%+v", got)
	}
}

func TestRefusedBeforeTheCentre(t *testing.T) {
	s := newCentre(t, nil)
	c := configured(t, settingsFor(s.addr, connector.Settings{"max_parts": 2.0}))
	for name, change := range map[string]func(*connector.Message){
		"no number":     func(m *connector.Message) { m.To = "" },
		"national":      func(m *connector.Message) { m.To = "0151123456" },
		"a word":        func(m *connector.Message) { m.To = "+49151x" },
		"a NUL":         func(m *connector.Message) { m.To = "+491511234567\x00" },
		"a line break":  func(m *connector.Message) { m.To = "+491511234567\n" },
		"no text":       func(m *connector.Message) { m.Text = "" },
		"NUL in text":   func(m *connector.Message) { m.Text = "a\x00b" },
		"escape":        func(m *connector.Message) { m.Text = "a\x1bb" },
		"too long":      func(m *connector.Message) { m.Text = strings.Repeat("x", 307) },
		"sender":        func(m *connector.Message) { m.Sender = "ACME BANK LTD" },
		"sender's NUL":  func(m *connector.Message) { m.Sender = "A\x00" },
		"sender's é":    func(m *connector.Message) { m.Sender = "Café" },
		"email":         func(m *connector.Message) { m.Channel = "email" },
		"expired":       func(m *connector.Message) { m.Expires = time.Now().Add(-time.Second) },
		"far too large": func(m *connector.Message) { m.Text = strings.Repeat("x", 1<<20) },
	} {
		m := smsTo("x", "+4915112345678")
		change(&m)
		if o := send(t, c, m)[0]; o.Result != connector.Refused || o.Reason == "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if n := len(s.messages()); n != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

// Long texts go in order, all parts or none, and each way can be put together.
func TestLong(t *testing.T) {
	for _, long := range []string{longUDH, longSAR, longPayload} {
		for name, text := range map[string]string{"GSM": strings.Repeat("0123456789€", 40), "UCS-2": strings.Repeat("नमस्ते 👋🏽", 30)} {
			t.Run(long+" "+name, func(t *testing.T) {
				s := newCentre(t, nil)
				c := configured(t, settingsFor(s.addr, connector.Settings{"long": long}))
				m := smsTo("1", "+4915112345678")
				m.Text = text
				if o := send(t, c, m)[0]; o.Result != connector.Accepted || o.ProviderID != "id-101" {
					t.Fatalf("%+v", o)
				}
				var octets []byte
				got := s.messages()
				for i, g := range got {
					switch long {
					case longUDH:
						if g.esm != esmUDH || !bytes.Equal(g.text[:3], []byte{5, 0, 3}) || g.text[3] != got[0].text[3] || int(g.text[4]) != len(got) || int(g.text[5]) != i+1 || len(g.text) > 159 {
							t.Errorf("header % x", g.text[:6])
						}
						octets = append(octets, g.text[6:]...)
					case longSAR:
						if n := g.options.get(tagSARNumber); len(n) != 1 || int(n[0]) != i+1 {
							t.Errorf("number % x", n)
						}
						octets = append(octets, g.text...)
					default:
						octets = append(octets, g.options.get(tagPayload)...)
					}
				}
				if back, ok := decodeText(got[0].coding, octets); !ok || back != text {
					t.Errorf("%q", back)
				}
				if n := len(got); (n == 1) != (long == longPayload) {
					t.Errorf("%d parts", n)
				}
			})
		}
	}
}

// Every way in which a centre can fail, and what it means for the message.
func TestFaults(t *testing.T) {
	on := func(command uint32, do func(*line, pdu)) func(*line, pdu) bool {
		return func(l *line, p pdu) bool {
			if p.command != command {
				return false
			}
			do(l, p)
			return true
		}
	}
	raw := func(b ...byte) func(*line, pdu) {
		return func(l *line, p pdu) { l.mu.Lock(); l.w.Write(b); l.mu.Unlock() }
	}
	status := func(n uint32) func(*line, pdu) { return func(l *line, p pdu) { l.refuse(p, n) } }
	silent := func(*line, pdu) {}
	reset := func(l *line, _ pdu) { l.reset() }
	for _, tc := range []struct {
		name   string
		answer func(*line, pdu) bool
		want   connector.Result
		class  connector.Class
		reason string
	}{
		{"all well", nil, connector.Accepted, "", ""},
		{"lost at the bind", on(bindTransceiver, reset), connector.Again, "", "no session"},
		{"silent at the bind", on(bindTransceiver, silent), connector.Again, "", ""},
		{"garbage at the bind", on(bindTransceiver, raw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...)), connector.Again, "", "no session"},
		{"bind refused", on(bindTransceiver, status(0x0e)), connector.Again, "", "the bind is refused: 0x0e the password is wrong"},
		{"lost at the submit", on(submitSM, reset), connector.Unknown, "", "the answer was lost"},
		{"frozen", on(submitSM, silent), connector.Unknown, "", "the answer was lost"},
		{"slow", on(submitSM, func(l *line, p pdu) { time.Sleep(200 * time.Millisecond); l.usual(p) }), connector.Accepted, "", ""},
		{"a huge length", on(submitSM, raw(0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2)), connector.Unknown, "", "the answer was lost"},
		{"a length too small", on(submitSM, raw(0, 0, 0, 15, 0x80, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2)), connector.Unknown, "", "the answer was lost"},
		{"half an answer", on(submitSM, raw(0, 0, 0, 30, 0x80, 0, 0, 4, 0)), connector.Unknown, "", "the answer was lost"},
		{"an answer to nothing", on(submitSM, func(l *line, p pdu) {
			l.put(pdu{command: submitSM | response, sequence: p.sequence + 7})
			l.usual(p)
		}), connector.Accepted, "", ""},
		{"no id", on(submitSM, func(l *line, p pdu) { l.put(pdu{command: submitSM | response, sequence: p.sequence}) }), connector.Accepted, "", ""},
		{"an endless id", on(submitSM, func(l *line, p pdu) {
			l.put(pdu{command: submitSM | response, sequence: p.sequence, body: bytes.Repeat([]byte("x"), 60000)})
		}), connector.Accepted, "", ""},
		{"no such number", on(submitSM, status(0x0b)), connector.Refused, connector.ClassAddress, "0x0b no such number"},
		{"no such sender", on(submitSM, status(0x0a)), connector.Refused, connector.ClassPolicy, "0x0a"},
		{"throttled", on(submitSM, status(0x58)), connector.Again, "", "0x58"},
		{"queue full", on(submitSM, status(0x14)), connector.Again, "", "0x14"},
		{"system error", on(submitSM, status(0x08)), connector.Again, "", "0x08"},
		{"submit failed", on(submitSM, status(0x45)), connector.Refused, connector.ClassOther, "0x45"},
		{"a status of its own", on(submitSM, status(0x0401)), connector.Again, "", "0x401"},
		{"another of its own", on(submitSM, status(0x0499)), connector.Refused, connector.ClassOther, "0x499 an error of its own"},
		{"nacked", on(submitSM, func(l *line, p pdu) { l.put(pdu{command: genericNack, status: 3, sequence: p.sequence}) }), connector.Refused, connector.ClassConfig, "0x03"},
		{"nacked without a status", on(submitSM, func(l *line, p pdu) { l.put(pdu{command: genericNack, sequence: p.sequence}) }), connector.Refused, connector.ClassOther, "0x00"},
		{"unbound while it works", on(submitSM, func(l *line, p pdu) { l.put(pdu{command: unbind, sequence: 9}); l.usual(p) }), connector.Accepted, "", ""},
		{"strange requests", on(submitSM, func(l *line, p pdu) {
			l.put(pdu{command: 0x4711, sequence: 8})
			l.put(pdu{command: 0x0102, sequence: 9})
			l.put(pdu{command: deliverSM, sequence: 10, body: []byte("x")})
			l.put(pdu{command: enquireLink, sequence: 11})
			l.usual(p)
		}), connector.Accepted, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newCentre(t, tc.answer)
			c := configured(t, settingsFor(s.addr, connector.Settings{"timeout": "500ms", "statuses": map[string]string{"0x0401": "again"}}))
			began := time.Now()
			o := send(t, c, smsTo("m1", "+4915112345678"))[0]
			if o.Result != tc.want || o.Class != tc.class || !strings.Contains(o.Reason, tc.reason) || strings.Contains(o.Reason, "49151") || len(o.ProviderID) > 256 {
				t.Errorf("%s, want %s with %q; %+v", o.Result, tc.want, tc.reason, o)
			}
			if took := time.Since(began); took > 3500*time.Millisecond {
				t.Errorf("took %s", took)
			}
		})
	}
}

// When a connection is lost, what was sent and not answered is unknown, and
// what was not begun comes again: never the other way round.
func TestLostWithAFullWindow(t *testing.T) {
	s := newCentre(t, func(l *line, p pdu) bool {
		if p.command != submitSM {
			return false
		}
		l.c.mu.Lock()
		n := len(l.c.got)
		l.c.mu.Unlock()
		if n == 15 {
			l.reset()
		}
		return n > 5 // five answers, ten owed
	})
	c := configured(t, settingsFor(s.addr, nil))
	c.c.retry.first, c.c.retry.most = time.Minute, time.Minute
	var batch []connector.Message
	for i := range 40 {
		batch = append(batch, smsTo(fmt.Sprint(i), fmt.Sprintf("+49151%08d", i)))
	}
	count := map[connector.Result]int{}
	seen := map[string]bool{}
	for _, m := range s.messages() {
		seen[m.to.digits] = true
	}
	outs := send(t, c, batch...)
	for _, m := range s.messages() {
		seen["+"+m.to.digits] = true
	}
	for i, o := range outs {
		count[o.Result]++
		if seen[batch[i].To] == (o.Result == connector.Again) {
			t.Errorf("message %d arrived: %v, and is %s", i, seen[batch[i].To], o.Result)
		}
	}
	if count[connector.Accepted] != 5 || count[connector.Unknown] != 10 || count[connector.Again] != 25 {
		t.Errorf("%v", count)
	}
}

// The centre never has more than the window, and other sessions take part.
func TestWindow(t *testing.T) {
	owed, peak := map[*line]int{}, 0
	s := newCentre(t, nil)
	s.answer = func(l *line, p pdu) bool {
		if p.command != submitSM {
			return false
		}
		s.mu.Lock()
		owed[l]++
		peak = max(peak, owed[l])
		s.mu.Unlock()
		time.AfterFunc(2*time.Millisecond, func() {
			s.mu.Lock()
			owed[l]--
			s.mu.Unlock()
			l.usual(p)
			l.flush()
		})
		return true
	}
	c := configured(t, settingsFor(s.addr, connector.Settings{"window": 7.0, "sessions": 2.0, "bind": "pair"}))
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var batch []connector.Message
	for i := range 300 {
		m := smsTo(fmt.Sprint(i), fmt.Sprintf("+49151%08d", i))
		if i%10 == 0 {
			m.Text = strings.Repeat("long ", 100)
		}
		batch = append(batch, m)
	}
	for i, o := range send(t, c, batch...) {
		if o.Result != connector.Accepted {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if peak != 7 || s.binds != 4 || len(owed) != 2 {
		t.Errorf("at most %d at once, %d binds, %d lines used", peak, s.binds, len(owed))
	}
}

// What is put off after the first part is tried again here: a message is never
// put off with a part of it sent.
func TestPartlyPutOff(t *testing.T) {
	tries := 0
	var refuse uint32 = 0x58
	s := newCentre(t, func(l *line, p pdu) bool {
		if m, _ := parseMessage(p.command, p.body); p.command == submitSM && m.esm == esmUDH && m.text[5] == 2 && tries < 2 {
			tries++
			l.refuse(p, refuse)
			return true
		}
		return false
	})
	c := configured(t, settingsFor(s.addr, nil))
	m := smsTo("1", "+4915112345678")
	m.Text = strings.Repeat("long ", 80)
	if o := send(t, c, m)[0]; o.Result != connector.Accepted || tries != 2 || len(s.messages()) != 5 {
		t.Errorf("%+v after %d tries and %d submits", o, tries, len(s.messages()))
	}
	tries, refuse = -1000, 0x58
	if o := send(t, c, m)[0]; o.Result != connector.Unknown {
		t.Errorf("for ever: %+v", o)
	}
	tries, refuse = 0, 0x45
	if o := send(t, c, m)[0]; o.Result != connector.Refused || !strings.Contains(o.Reason, "after some of its parts") {
		t.Errorf("refused: %+v", o)
	}
}

// A centre that refuses the bind is not hammered, and an operator's Check is a
// try of its own.
func TestBindRefused(t *testing.T) {
	s := newCentre(t, func(l *line, p pdu) bool {
		if p.command == bindTransceiver {
			l.refuse(p, 0x0f)
		}
		return p.command == bindTransceiver
	})
	c := configured(t, settingsFor(s.addr, nil))
	for range 5 {
		o := send(t, c, smsTo("1", "+4915112345678"))[0]
		if o.Result != connector.Again || o.RetryAfter < 30*time.Second || !strings.Contains(o.Reason, "0x0f") {
			t.Errorf("%+v", o)
		}
	}
	if s.binds != 1 {
		t.Errorf("%d binds", s.binds)
	}
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "does not know this system_id") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	if s.binds != 2 {
		t.Errorf("%d binds", s.binds)
	}
}

// A silent centre is asked whether it is there, and left if it is not.
func TestEnquireLink(t *testing.T) {
	asked := 0
	s := newCentre(t, nil)
	s.answer = func(l *line, p pdu) bool {
		if p.command == enquireLink {
			s.mu.Lock()
			asked++
			n := asked
			s.mu.Unlock()
			return n == 3
		}
		return false
	}
	c := configured(t, settingsFor(s.addr, connector.Settings{"enquire_link": "100ms", "timeout": "300ms"}))
	c.start()
	await(t, "a new bind after the silence", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.binds == 2 && asked > 3
	})
	if o := send(t, c, smsTo("1", "+4915112345678"))[0]; o.Result != connector.Accepted {
		t.Errorf("%+v", o)
	}
}

// Throttling slows down, by status and by 5.0's congestion_state, and does not
// lose anything.
func TestThrottling(t *testing.T) {
	n := 0
	s := newCentre(t, nil)
	s.answer = func(l *line, p pdu) bool {
		if p.command != submitSM {
			return false
		}
		s.mu.Lock()
		n++
		i := n
		s.mu.Unlock()
		if i > 20 && i <= 25 {
			l.refuse(p, 0x58)
			return true
		}
		load := byte(50)
		if i == 15 {
			load = 100
		}
		body := appendTLVs([]byte(fmt.Sprintf("id-%d\x00", i)), tlvs{{tagCongestion, []byte{load}}})
		l.put(pdu{command: submitSM | response, sequence: p.sequence, body: body})
		return true
	}
	c := configured(t, settingsFor(s.addr, connector.Settings{"version": "5.0", "window": 1.0}))
	var batch []connector.Message
	for i := range 40 {
		batch = append(batch, smsTo(fmt.Sprint(i), fmt.Sprintf("+49151%08d", i)))
	}
	count := map[connector.Result]int{}
	for _, o := range send(t, c, batch...) {
		count[o.Result]++
		if o.Result == connector.Again && o.RetryAfter == 0 {
			t.Errorf("%+v", o)
		}
	}
	if count[connector.Unknown] > 0 || count[connector.Again] < 5 || count[connector.Accepted] < 20 {
		t.Errorf("%v", count)
	}
	c.pace.mu.Lock()
	defer c.pace.mu.Unlock()
	if c.pace.rate == 0 || c.pace.rate > 20 {
		t.Errorf("the pace is %g", c.pace.rate)
	}
}

func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(100, func() time.Time { return now })
	var last time.Duration
	for range 50 {
		last = p.turn()
	}
	if last != 490*time.Millisecond {
		t.Errorf("the 50th turn is in %s", last)
	}
	now = now.Add(time.Second)
	p.slow()
	p.slow() // of the same moment
	if p.rate != 25 {
		t.Errorf("after a complaint %g", p.rate)
	}
	for range 100 {
		now = now.Add(time.Second)
		p.turn()
	}
	if p.rate != 100 {
		t.Errorf("after a while %g", p.rate)
	}
	for range 1000 {
		p.slow()
		now = now.Add(2 * time.Second)
	}
	if p.rate < slowest {
		t.Errorf("after many complaints %g", p.rate)
	}
}

// The last place of ended sessions never takes one of the next's.
func TestFlapping(t *testing.T) {
	n := 0
	s := newCentre(t, nil)
	s.answer = func(l *line, p pdu) bool {
		if p.command != submitSM {
			return false
		}
		s.mu.Lock()
		n++
		i := n
		s.mu.Unlock()
		if i%5 == 0 {
			l.reset()
			return true
		}
		return false
	}
	c := configured(t, settingsFor(s.addr, connector.Settings{"window": 3.0}))
	for i := range 60 {
		o := send(t, c, smsTo(fmt.Sprint(i), "+4915112345678"))[0]
		if o.Result == connector.Refused {
			t.Errorf("%+v", o)
		}
		if o.Result == connector.Again {
			await(t, "a session", func() bool { return c.links.check(t.Context()) == nil })
		}
	}
	await(t, "a session", func() bool { return c.links.check(t.Context()) == nil })
	await(t, "a place", func() bool { return len(c.links.free) > 0 }) // it is given back behind the answer
	if got := len(c.links.free); got > 3 {
		t.Errorf("%d places", got)
	}
	if n < 40 {
		t.Errorf("%d submits", n)
	}
}

// Drain unbinds.
func TestDrain(t *testing.T) {
	unbound := make(chan bool, 1)
	s := newCentre(t, func(l *line, p pdu) bool {
		if p.command == unbind {
			unbound <- true
		}
		return false
	})
	c := configured(t, settingsFor(s.addr, nil))
	send(t, c, smsTo("1", "+4915112345678"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-unbound:
	default:
		t.Error("no unbind came")
	}
	if o := send(t, c, smsTo("2", "+4915112345678"))[0]; o.Result != connector.Again {
		t.Errorf("afterwards: %+v", o)
	}
}

func TestSettings(t *testing.T) {
	c, problems := read(connector.Settings{"host": "smsc.example", "system_id": "acme", "password": "toolongbyfar"})
	if len(problems) != 2 || problems[0].Severity != connector.SeverityWarning || problems[1].Severity != connector.SeverityWarning {
		t.Errorf("%v", problems)
	}
	if c.version != 0x34 || c.window != 10 || !slices.Equal(c.binds, []bindAs{bindTransceiver}) || c.address != "smsc.example:2775" {
		t.Errorf("%+v", c)
	}
}
