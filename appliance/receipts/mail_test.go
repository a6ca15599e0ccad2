package receipts

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// mailServer is one for bounce.acme.example over the given connectors.
func mailServer(t *testing.T, o MailOptions, of ...*provider) (*Door, string) {
	t.Helper()
	return mailServerFor(t, 0, o, of...)
}

// mailServerFor is one that listens to nobody for longer; 0 = as ever.
func mailServerFor(t *testing.T, visit time.Duration, o MailOptions, of ...*provider) (*Door, string) {
	t.Helper()
	d, _ := door(of[0])
	d.o.Mail = func(domain string) (out []Source) {
		if domain == "bounce.acme.example" {
			for _, p := range of {
				s := p.source()
				if p.broken != nil && p.broken.Error() == "publisher" {
					s.Tell = nil
				}
				out = append(out, s)
			}
		}
		return out
	}
	if o.Connections == 0 {
		o.Connections, o.AddressConnections = 10, 10
	}
	o.Domain = "mail.acme.example"
	m := d.NewMailServer(o)
	if visit > 0 {
		m.visit = visit
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d, ln.Addr().String()
}

// deliver sends one mail and gives the code of the answer that ended it.
func deliver(t *testing.T, address, from, body string, to ...string) int {
	t.Helper()
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.SendMail(from, to, strings.NewReader(body))
	if e := (*smtp.SMTPError)(nil); errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return 250
}

func returns(rs []connector.Receipt, err error) *provider {
	return &provider{returned: func(context.Context, connector.Mail) ([]connector.Receipt, error) { return rs, err }}
}

func TestMail(t *testing.T) {
	const ours = "b+1@bounce.acme.example"
	one := []connector.Receipt{delivered}
	for _, c := range []struct {
		name string
		p    *provider
		to   []string
		body string
		code int
		told int
	}{
		{"taken", returns(one, nil), []string{ours}, "x", 250, 1},
		{"the domain in other letters", returns(one, nil), []string{"b+1@Bounce.ACME.example"}, "x", 250, 1},
		{"of no interest", returns(nil, nil), []string{ours}, "x", 250, 0},
		{"somebody else's domain", returns(one, nil), []string{"ann@example.com"}, "x", 550, 0},
		{"below the domain", returns(one, nil), []string{"ann@x.bounce.acme.example"}, "x", 550, 0},
		{"a route", returns(one, nil), []string{"ann%example.com@acme.example"}, "x", 550, 0},
		{"two recipients", returns(one, nil), []string{ours, ours}, "x", 452, 0},
		{"forged", returns(one, connector.ErrForged), []string{ours}, "x", 550, 0},
		{"no mail is its", returns(one, ErrUnsupported), []string{ours}, "x", 550, 0},
		{"connector away", returns(one, ErrAway), []string{ours}, "x", 451, 0},
		{"journal away", &provider{returned: returns(one, nil).returned, broken: errors.New("full")}, []string{ours}, "x", 451, 0},
		{"publisher away", &provider{returned: returns(one, nil).returned, broken: errors.New("publisher")}, []string{ours}, "x", 451, 0},
		{"too large", returns(one, nil), []string{ours}, strings.Repeat("0123456789abcde\n", maxMail/16+1), 552, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, address := mailServer(t, MailOptions{}, c.p)
			if code := deliver(t, address, "", c.body, c.to...); code != c.code || len(c.p.heard()) != c.told {
				t.Errorf("%d with %d told, want %d with %d", code, len(c.p.heard()), c.code, c.told)
			}
		})
	}
}

// TestMailSeen: the connector gets the envelope and the mail as they came.
func TestMailSeen(t *testing.T) {
	var got connector.Mail
	p := &provider{returned: func(_ context.Context, m connector.Mail) ([]connector.Receipt, error) { got = m; return nil, nil }}
	_, address := mailServer(t, MailOptions{}, p)
	if code := deliver(t, address, "", "Subject: x\r\n\r\n.dot\r\n", "B+Aa@bounce.acme.example"); code != 250 {
		t.Fatal(code)
	}
	if got.From != "" || got.To != "B+Aa@bounce.acme.example" || string(got.Message) != "Subject: x\r\n\r\n.dot\r\n" {
		t.Errorf("%+v", got)
	}
}

// TestMailOfTwo: where two connectors have one domain, the one whose it is takes
// it, and one that is away may be it.
func TestMailOfTwo(t *testing.T) {
	for _, c := range []struct {
		name  string
		first error
		then  error
		code  int
	}{
		{"the second's", connector.ErrForged, nil, 250},
		{"nobody's", connector.ErrForged, connector.ErrForged, 550},
		{"perhaps the first's", ErrAway, connector.ErrForged, 451},
		{"the second's, the first away", ErrAway, nil, 250},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, address := mailServer(t, MailOptions{}, returns(nil, c.first), returns(nil, c.then))
			if code := deliver(t, address, "", "x", "b@bounce.acme.example"); code != c.code {
				t.Errorf("%d, want %d", code, c.code)
			}
		})
	}
}

// TestMailCrowd: who comes when there are too many is hung up on, and one address
// cannot keep others out; a place is free again once somebody leaves.
func TestMailCrowd(t *testing.T) {
	_, address := mailServer(t, MailOptions{Connections: 10, AddressConnections: 1}, returns(nil, nil))
	first, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := first.Hello("x"); err != nil {
		t.Fatal(err)
	}
	second, err := smtp.Dial(address)
	if err == nil {
		err = second.Hello("x")
		second.Close()
	}
	if err == nil {
		t.Error("a second connection of the same address was served")
	}
	first.Close()
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := smtp.Dial(address)
		if err == nil {
			if err = c.Hello("x"); err == nil {
				c.Close()
				return
			}
			c.Close()
		}
		if time.Now().After(deadline) {
			t.Fatal("the place is not free again")
		}
	}
}

// TestMailVisit: who says something now and then and brings nothing is hung up on
// all the same, in the clear and behind STARTTLS.
func TestMailVisit(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		o := MailOptions{}
		if encrypted {
			o.TLS = certificate(t)
		}
		_, address := mailServerFor(t, time.Second, o, returns(nil, nil))
		deadline := time.Now().Add(60 * time.Second)
		c, err := dial(address, encrypted)
		for ; err != nil; c, err = dial(address, encrypted) { // a visit may be over before it began, on a busy machine
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		for ; err == nil; err = c.Noop() {
			if time.Now().After(deadline) {
				t.Fatal("the visit does not end")
			}
		}
		c.Close()
	}
}

func dial(address string, encrypted bool) (*smtp.Client, error) {
	if encrypted {
		return smtp.DialStartTLS(address, &tls.Config{InsecureSkipVerify: true})
	}
	return smtp.Dial(address)
}

// certificate is one of the test's own.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS()
	defer h.Close()
	return &tls.Config{Certificates: h.TLS.Certificates}
}

// TestMailCutChunk: what the end of the connection cut is not a whole mail.
func TestMailCutChunk(t *testing.T) {
	p := returns([]connector.Receipt{delivered}, nil)
	_, address := mailServer(t, MailOptions{}, p)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b+1@bounce.acme.example>\r\nBDAT 100 LAST\r\nx"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(got), "OK: queued") || len(p.heard()) != 0 {
		t.Errorf("%v, %d told: %s", err, len(p.heard()), got)
	}
}
