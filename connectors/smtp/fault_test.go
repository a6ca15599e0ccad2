package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// script is a relay that does what a test says, which no real one would.
type script struct {
	t    *testing.T
	addr string

	mu    sync.Mutex
	lines []string // of all connections
}

// play answers every connection by f, which gets one line at a time and writes
// what it likes. It returns when the listener closes.
func play(t *testing.T, greeting string, f func(n int, line string, c net.Conn) bool) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, addr: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				fmt.Fprint(c, greeting)
				in := bufio.NewScanner(c)
				for n := 0; in.Scan(); n++ {
					s.mu.Lock()
					s.lines = append(s.lines, in.Text())
					s.mu.Unlock()
					if !f(n, in.Text(), c) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *script) saw(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, l := range s.lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// polite answers as a relay does, but for the commands in instead.
func polite(instead map[string]string) func(int, string, net.Conn) bool {
	answers := map[string]string{
		"EHLO": "250-relay.test\r\n250 PIPELINING\r\n", "MAIL": "250 2.1.0 ok\r\n", "RCPT": "250 2.1.5 ok\r\n",
		"DATA": "354 go on\r\n", ".": "250 2.0.0 Ok: queued as 4XYZ1\r\n", "RSET": "250 2.0.0 ok\r\n", "QUIT": "221 bye\r\n",
	}
	for k, v := range instead {
		answers[k] = v
	}
	return func(_ int, line string, c net.Conn) bool {
		for k, v := range answers {
			if line == k || (k != "." && strings.HasPrefix(line, k)) {
				if v == "RST" {
					c.(*net.TCPConn).SetLinger(0)
					return false
				}
				if v == "HANG" {
					_, _ = io.Copy(io.Discard, c) // until the other side gives up
					return false
				}
				fmt.Fprint(c, v)
			}
		}
		return true
	}
}

// Every way in which a relay can fail, and what it means for the message.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name     string
		greeting string
		instead  map[string]string
		want     connector.Result
		reason   string
	}{
		{"all well", "", nil, connector.Accepted, ""},
		{"no pipelining", "", map[string]string{"EHLO": "250 relay.test\r\n"}, connector.Accepted, ""},
		{"lost at EHLO", "", map[string]string{"EHLO": "RST"}, connector.Again, "greeting"},
		{"lost at MAIL", "", map[string]string{"MAIL": "RST"}, connector.Again, "before the message"},
		{"lost at DATA", "", map[string]string{"DATA": "RST"}, connector.Again, "before the message"},
		{"lost after the dot", "", map[string]string{".": "RST"}, connector.Unknown, "after the message"},
		{"tarpit at the greeting", "HANG", nil, connector.Again, "greeting"},
		{"tarpit at MAIL", "", map[string]string{"MAIL": "HANG"}, connector.Again, "before the message"},
		{"tarpit after the dot", "", map[string]string{".": "HANG"}, connector.Unknown, "after the message"},
		{"garbage for a greeting", "hello there\r\n", nil, connector.Again, "greeting"},
		{"garbage after the dot", "", map[string]string{".": "well\r\n"}, connector.Unknown, "after the message"},
		{"a code that changes", "", map[string]string{"EHLO": "250-relay\r\n550 no\r\n"}, connector.Again, "greeting"},
		{"an answer without end", "", map[string]string{"EHLO": strings.Repeat("250-"+strings.Repeat("x", 4000)+"\r\n", 40)}, connector.Again, "greeting"},
		{"a line without end", "", map[string]string{"EHLO": "250 " + strings.Repeat("x", 200<<10)}, connector.Again, "greeting"},
		{"busy", "421 4.3.2 later\r\n", nil, connector.Again, "421 4.3.2"},
		{"not for us", "554 5.7.1 go away\r\n", nil, connector.Again, "554 5.7.1"},
		{"sender refused", "", map[string]string{"MAIL": "553 5.1.8 who\r\n", "RCPT": "503 5.5.1 no\r\n", "DATA": "503 5.5.1 no\r\n"}, connector.Refused, "does not want this sender"},
		{"recipient refused", "", map[string]string{"RCPT": "550 5.1.1 <ana@example.com>\r\n", "DATA": "554 5.5.1 none\r\n"}, connector.Refused, "550 5.1.1 no such mailbox"},
		{"recipient refused, data wanted", "", map[string]string{"RCPT": "550 5.1.1 no\r\n", ".": "554 5.5.1 none\r\n"}, connector.Refused, "550 5.1.1 no such mailbox"},
		{"full", "", map[string]string{"RCPT": "452 4.2.2 full\r\n", "DATA": "554 5.5.1 none\r\n"}, connector.Again, "452 4.2.2"},
		{"wants a sign-in", "", map[string]string{"MAIL": "530 5.7.0 first\r\n", "RCPT": "503 no\r\n", "DATA": "503 no\r\n"}, connector.Again, "sign-in first"},
		{"an enhanced code of another class", "", map[string]string{".": "550 2.0.0 what\r\n"}, connector.Refused, "550 the message was refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			greeting := tc.greeting
			if greeting == "" {
				greeting = "220 relay.test\r\n"
			}
			if greeting == "HANG" {
				greeting = ""
			}
			s := play(t, greeting, polite(tc.instead))
			timeout := "30s"
			if strings.HasPrefix(tc.name, "tarpit") {
				timeout = "500ms"
			}
			c := configured(t, settingsFor(s.addr, connector.Settings{"timeout": timeout, "connections": 1.0}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			outs, err := c.Send(ctx, []connector.Message{mailTo("m1", "ana@example.com")})
			if err != nil {
				t.Fatal(err)
			}
			o := outs[0]
			if o.Result != tc.want || !strings.Contains(o.Reason, tc.reason) || strings.Contains(o.Reason, "ana@") {
				t.Errorf("%s, want %s with %q; %+v", o.Result, tc.want, tc.reason, o)
			}
			if ctx.Err() != nil {
				t.Error("only the batch's own time ended it")
			}
			if tc.want == connector.Accepted && o.ProviderID != "4XYZ1" {
				t.Errorf("provider's id %q", o.ProviderID)
			}
		})
	}
}

// Of a batch on one connection that breaks after a message, that message alone
// is unknown.
func TestOnlyOneIsUnknown(t *testing.T) {
	dots := 0
	var mu sync.Mutex
	base, broken := polite(nil), polite(map[string]string{".": "RST"})
	s := play(t, "220 relay.test\r\n", func(n int, line string, c net.Conn) bool {
		mu.Lock()
		if line == "." {
			dots++
		}
		third := dots == 3
		mu.Unlock()
		if third && line == "." {
			return broken(n, line, c)
		}
		return base(n, line, c)
	})
	c := configured(t, settingsFor(s.addr, connector.Settings{"connections": 1.0}))
	var batch []connector.Message
	for i := range 6 {
		batch = append(batch, mailTo(fmt.Sprint(i), "ana@example.com"))
	}
	outs, err := c.Send(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	// Which one it is, the composers' turns decide.
	n := map[connector.Result]int{}
	for _, o := range outs {
		n[o.Result]++
	}
	if n[connector.Unknown] != 1 || n[connector.Accepted] != 5 {
		t.Errorf("%+v", outs)
	}
}

// What is sent in the clear ahead of the encryption must not count.
func TestInjectedBeforeEncryption(t *testing.T) {
	s := play(t, "220 relay.test\r\n", polite(map[string]string{
		"EHLO": "250-relay.test\r\n250 STARTTLS\r\n", "STARTTLS": "220 go\r\n250-relay.test\r\n250 AUTH PLAIN\r\n",
	}))
	c := configured(t, settingsFor(s.addr, connector.Settings{"tls": connector.Settings{"mode": "starttls"}, "username": "acme", "password": "hush"}))
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "more in the clear") {
		t.Errorf("got %v", err)
	}
	if s.saw("AUTH") > 0 {
		t.Error("it signed in")
	}
}

// FuzzReply: whatever a relay says, reading it ends, and what is passed on is
// a short line without the relay's words.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 <ana@example.com>\r\n", "", "2", "250\r\n", "999 x\r\n", "250-\n250 \n", "550 5.999.1 x\r\n", "550 5.1 x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, b := net.Pipe()
		go func() {
			b.Write([]byte(in))
			b.Close()
		}()
		k := &conn{nc: a}
		k.wrap()
		r, err := k.read()
		a.Close()
		if err != nil {
			return
		}
		for _, at := range []stage{sender, recipient, content, taken} {
			o := end{stage: at, reply: r}.outcome("id")
			if len(o.Reason) > 100 || strings.ContainsAny(o.Reason, "<>@\r\n") {
				t.Errorf("%q: %+v", in, o)
			}
			if r.code/100 == 2 && o.Result == connector.Refused {
				t.Errorf("%q refused", in)
			}
		}
	})
}

// FuzzAddress: what passes can stand in a command, and stays what it was.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"ana@example.com", "a@b", "a@localhost", "ä@ö.example", "a@BÜCHER.example", `"a"@example.com`, "a@b@c.example", "a\r\n@c.example", "a@\u202ec.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, err := checkAddress(in)
		if err != nil {
			return
		}
		for i := range len(out) {
			if c := out[i]; c <= ' ' || c > '~' || strings.IndexByte("<>()[],;:\\\"", c) >= 0 {
				t.Fatalf("%q became %q", in, out)
			}
		}
		if strings.Count(out, "@") != 1 {
			t.Fatalf("%q became %q", in, out)
		}
		if again, err := checkAddress(out); err != nil || again != out {
			t.Fatalf("%q became %q and then %q (%v)", in, out, again, err)
		}
	})
}
