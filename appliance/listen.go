package appliance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/receipts"
	"github.com/cloisterhq/cloister/config"
)

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 64 << 10
	closeTimeout      = 10 * time.Second
	restTimeout       = 10 * time.Second // for what a client still sends once it is answered
	lastTimeout       = 30 * time.Second // for what is still to be sent to it
	answerTimeout     = 5 * time.Minute  // for a whole answer at the doors for apps, servers and recipients
	selfSignedFor     = 397 * 24 * time.Hour
	reloadTLSEvery    = 10 * time.Second
)

// server is one listener with what it serves.
type server struct {
	name string
	ln   net.Listener
	http *http.Server
	mail *receipts.MailServer // instead of http
	conn *connections         // nil = nothing counts them

	ended chan struct{} // closed once it serves no more, for err
	err   error
}

// listen binds an address and begins to serve. Close it.
func listen(l config.Listener, dir string, h http.Handler, log *slog.Logger) (*server, error) {
	ln, err := net.Listen("tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", l.Name, err)
	}
	if l.TLS != nil {
		certs, err := newCertificates(l, dir, log)
		if err != nil {
			return nil, errors.Join(err, ln.Close())
		}
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get, NextProtos: []string{"h2", "http/1.1"}})
	}
	s := serve(l.Name, ln, behind(l.TrustedProxies, h), log, nil, func(s *server) {
		s.conn = newConnections(l)
		s.http.ConnState = s.conn.state
		if l.Name == config.Collect {
			s.http.WriteTimeout = answerTimeout
		}
	})
	return s, nil
}

// listenMail binds the address for mail that came back, and begins to take it.
func (a *appliance) listenMail(l config.Listener) (*server, error) {
	o := receipts.MailOptions{Domain: mailName(l.Address), Connections: l.Limits.Connections, AddressConnections: l.Limits.AddressConnections}
	ln, err := net.Listen("tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("listener %q: %w", l.Name, err)
	}
	if l.TLS != nil {
		certs, err := newCertificates(l, a.cfg.Load().Appliance.DataDir, a.log)
		if err != nil {
			return nil, errors.Join(err, ln.Close())
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
	}
	s := &server{name: l.Name, ln: ln, mail: a.providers.NewMailServer(o), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = s.mail.Serve(ln)
	}()
	return s, nil
}

// mailName is what the listener for mail calls itself.
func mailName(address string) string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	host, _, _ := net.SplitHostPort(address) // the configuration was checked
	return "[" + host + "]"
}

// bounded wraps a handler so that a client cannot keep its connection busy by
// neither sending the rest of its body nor reading the answer. Each request
// sets these deadlines anew, so that the next one does not meet them.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			// Perhaps there was a Content-Length too, which net/http does not tell:
			// then nothing behind it is a request (RFC 9112, 6.3).
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
		// The server does the rest when this returns. Some connections have no
		// deadlines: then there is no network either.
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(restTimeout))
		_ = c.SetWriteDeadline(time.Now().Add(lastTimeout))
	})
}

func serve(name string, ln net.Listener, h http.Handler, log *slog.Logger, conn func(context.Context, net.Conn) context.Context, more func(*server)) *server {
	s := &server{name: name, ln: ln, ended: make(chan struct{}), http: &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ConnContext: conn,
		ErrorLog: slog.NewLogLogger(log.With("listener", name).Handler(), slog.LevelDebug),
	}}
	if more != nil {
		more(s)
	}
	go func() {
		defer close(s.ended)
		s.err = s.http.Serve(ln)
	}()
	return s
}

// url is where to go with a browser.
func (s *server) url(l config.Listener) string {
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	if s.mail != nil {
		scheme = "smtp"
	}
	addr := s.ln.Addr().String()
	if host, port, err := net.SplitHostPort(addr); err == nil {
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			addr = net.JoinHostPort("localhost", port)
		}
	}
	return scheme + "://" + addr
}

// close lets requests that are under way end, for a while.
func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.mail != nil {
		err := s.mail.Close(ctx)
		<-s.ended
		return errors.Join(err, s.err)
	}
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close() // a stream that somebody watches
	}
	<-s.ended
	if !errors.Is(s.err, http.ErrServerClosed) {
		err = errors.Join(err, s.err)
	}
	return err
}

// certificates gives a listener's certificate, read again when its files change.
type certificates struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   time.Time // of the files that current was read from
	looked  time.Time
}

func newCertificates(l config.Listener, dir string, log *slog.Logger) (*certificates, error) {
	c := &certificates{cert: l.TLS.CertFile, key: l.TLS.KeyFile, log: log}
	if l.TLS.SelfSigned {
		c.cert, c.key = filepath.Join(dir, "tls-"+l.Name+".crt"), filepath.Join(dir, "tls-"+l.Name+".key")
		if err := selfSign(c.cert, c.key, l.Address); err != nil {
			return nil, fmt.Errorf("listener %q: making a certificate: %w", l.Name, err)
		}
	}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("listener %q: %w", l.Name, err)
	}
	sum := sha256.Sum256(c.current.Certificate[0])
	log.Info("certificate", "listener", l.Name, "sha256", fmt.Sprintf("%X", sum))
	return c, nil
}

func (c *certificates) read() error {
	stamp, err := c.changed()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("reading %s and %s: %w", c.cert, c.key, err)
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificates) changed() (time.Time, error) {
	var newest time.Time
	for _, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return newest, err
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest, nil
}

// get keeps the certificate that works where a new one does not.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) > reloadTLSEvery {
		c.looked = now
		stamp, err := c.changed()
		if err == nil && !stamp.Equal(c.stamp) {
			err = c.read()
		}
		if err != nil {
			c.log.Error("the certificate cannot be read again; the one in use stays", "file", c.cert, "error", err)
		}
	}
	return c.current, nil
}

// selfSign makes a certificate in two files, unless there is one that lasts
// another month.
func selfSign(certFile, keyFile, address string) error {
	if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && pair.Leaf != nil && time.Until(pair.Leaf.NotAfter) > 30*24*time.Hour {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	t := x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "cloister"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(selfSignedFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if host != "" {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	if name, err := os.Hostname(); err == nil {
		t.DNSNames = append(t.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
