package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the connector too, when it is started as one.
func TestMain(m *testing.M) { testprogram.Main(m, main) }

// received is one message that a sink took.
type received struct {
	from, to string
	body     []byte
	tls      bool
	user     string
}

// sink is a real SMTP server (go-smtp's) that keeps what it gets.
type sink struct {
	server *gosmtp.Server
	addr   string
	// refuse, if set, decides about each recipient.
	refuse func(to string) error
	// swallow, if set, decides about each message.
	swallow func(body []byte) error

	mu   sync.Mutex
	got  []received
	open int // connections so far
}

func newSink(t *testing.T, set func(*gosmtp.Server)) *sink {
	t.Helper()
	s := &sink{}
	s.server = gosmtp.NewServer(s)
	s.server.Domain = "relay.test"
	s.server.AllowInsecureAuth = true
	s.server.ErrorLog = quiet{}
	if set != nil {
		set(s.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.server.Serve(l)
	}()
	t.Cleanup(func() {
		s.server.Close()
		l.Close() // the server does not know it yet if it has only just begun
		<-done
	})
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (s *sink) messages() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.got...)
}

func (s *sink) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	return &session{s: s, c: c}, nil
}

type session struct {
	s    *sink
	c    *gosmtp.Conn
	user string
	r    received
}

func (s *session) Reset()        { s.r = received{} }
func (s *session) Logout() error { return nil }
func (s *session) Mail(from string, _ *gosmtp.MailOptions) error {
	s.r.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if s.s.refuse != nil {
		if err := s.s.refuse(to); err != nil {
			return err
		}
	}
	s.r.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.s.swallow != nil {
		if err := s.s.swallow(body); err != nil {
			return err
		}
	}
	s.r.body = body
	_, s.r.tls = s.c.TLSConnectionState()
	s.r.user = s.user
	s.s.mu.Lock()
	s.s.got = append(s.s.got, s.r)
	s.s.mu.Unlock()
	return nil
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "acme" || password != "hush" {
			return gosmtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

// selfSigned makes a certificate for 127.0.0.1 and gives it and its PEM.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"relay.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// settingsFor are settings for a server without encryption.
func settingsFor(addr string, more connector.Settings) connector.Settings {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	s := connector.Settings{
		"host": host, "port": float64(n), "from": "Acme Bank <hello@acme.example>",
		"tls": connector.Settings{"mode": "none"},
	}
	for k, v := range more {
		s[k] = v
	}
	return s
}

func configured(t *testing.T, s connector.Settings) *smtp {
	t.Helper()
	c := &smtp{}
	problems, err := c.Configure(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Severity == connector.SeverityError {
			t.Fatal(p)
		}
	}
	t.Cleanup(func() { _ = c.Drain(t.Context()) })
	return c
}

func mailTo(id, to string) connector.Message {
	return connector.Message{ID: id, Channel: "email", To: to, Subject: "Hello", Text: "Hi\n", HTML: "<p>Hi</p>", Marketing: true}
}
