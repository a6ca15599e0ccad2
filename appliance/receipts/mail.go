package receipts

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Bounds of returned mail.
const (
	maxMail         = 1 << 20 // bytes
	mailReadTimeout = time.Minute
	returnTimeout   = 30 * time.Second // for a connector to read it, and its facts to be on disk
	// mailVisit is how long a connection lasts at most: who says something now and
	// then, and brings nothing, does not keep a place for ever.
	mailVisit = 10 * time.Minute
)

// MailOptions of the listener for returned mail.
type MailOptions struct {
	Domain string      // what the listener calls itself
	TLS    *tls.Config // for STARTTLS; nil = not offered
	// Connections at once, and of one address.
	Connections, AddressConnections int
}

// MailServer takes mail that came back, and nothing else: it is for domains that
// connectors named, one recipient at a time, and is given to the connector at
// once. There is no queue, so nothing is ever relayed, stored or answered by mail.
type MailServer struct {
	d      *Door
	o      MailOptions
	smtp   *smtp.Server
	visit  time.Duration
	ctx    context.Context
	cancel context.CancelFunc
}

// NewMailServer makes one; Serve it, then Close it.
func (d *Door) NewMailServer(o MailOptions) *MailServer {
	m := &MailServer{d: d, o: o, visit: mailVisit}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.smtp = smtp.NewServer(m)
	m.smtp.Domain, m.smtp.TLSConfig = o.Domain, o.TLS
	m.smtp.MaxMessageBytes, m.smtp.MaxRecipients = maxMail, 1
	m.smtp.ReadTimeout, m.smtp.WriteTimeout = mailReadTimeout, mailReadTimeout
	m.smtp.EnableSMTPUTF8 = true
	m.smtp.ErrorLog = slog.NewLogLogger(d.o.Logger.Handler(), slog.LevelDebug)
	return m
}

// Serve takes connections until Close, which is not an error.
func (m *MailServer) Serve(ln net.Listener) error {
	err := m.smtp.Serve(&crowded{Listener: ln, most: m.o.Connections, mostOf: m.o.AddressConnections, visit: m.visit, of: map[string]int{}})
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// Close lets mails that are being taken end, until ctx does.
func (m *MailServer) Close(ctx context.Context) error {
	defer m.cancel()
	err := m.smtp.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		m.cancel()
		err = m.smtp.Close()
	}
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// NewSession implements smtp.Backend.
func (m *MailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{m: m}, nil }

// mailSession is what one connection said so far.
type mailSession struct {
	m        *MailServer
	from, to string
	sources  []Source // of the domain that to is at
}

func (s *mailSession) Reset()        { s.from, s.to, s.sources = "", "", nil }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func refuse(code int, enhanced smtp.EnhancedCode, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// The answers. What is said of one address is said of all: nobody learns here
// which messages there were.
var (
	errRelay   = refuse(550, smtp.EnhancedCode{5, 7, 1}, "Only returned mail of domains that are served here is taken")
	errNotOurs = refuse(550, smtp.EnhancedCode{5, 1, 1}, "This is not about a message that was sent from here")
	errLater   = refuse(451, smtp.EnhancedCode{4, 3, 0}, "This cannot be taken just now, come again")
	errBusy    = refuse(451, smtp.EnhancedCode{4, 3, 2}, "Too much at once, come again")
)

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	i := strings.LastIndexByte(to, '@')
	if i < 1 {
		return errRelay
	}
	if s.sources = s.m.d.o.Mail(strings.ToLower(to[i+1:])); len(s.sources) == 0 {
		return errRelay
	}
	s.to = to
	return nil
}

// Data takes the mail. It is answered as taken once the facts are on disk.
func (s *mailSession) Data(r io.Reader) error {
	d := s.m.d
	t := d.traffic(s.sources[0])
	leave, ok := d.enter(t)
	if !ok {
		return errBusy
	}
	defer leave()
	body, err := io.ReadAll(r)
	if err != nil {
		t.refused.Add(1)
		return err // too large, or the connection ended
	}
	ctx, cancel := context.WithTimeout(s.m.ctx, returnTimeout)
	defer cancel()
	away := false
	for _, one := range s.sources {
		rs, err := one.Connector.Returned(ctx, connector.Mail{From: s.from, To: s.to, Message: body})
		switch {
		case errors.Is(err, connector.ErrForged), errors.Is(err, ErrUnsupported):
			continue
		case err == nil:
			err = d.tell(ctx, one, d.traffic(one), rs)
		}
		if err == nil {
			d.genuine(one, d.traffic(one))
			return nil
		}
		away = true
		d.traffic(one).away.Add(1)
		d.o.Logger.Warn("returned mail could not be taken; its sender is told to come again", "connector", one.subject(), "error", err)
	}
	if away {
		return errLater
	}
	// Backscatter and spam come to any address: only the signed one in it tells
	// ours apart, so this is no sign of a wrong secret.
	t.forged.Add(1)
	return errNotOurs
}

// crowded is a listener that hangs up on who comes when there are too many.
type crowded struct {
	net.Listener
	most, mostOf int
	visit        time.Duration

	mu  sync.Mutex
	all int
	of  map[string]int // by address
}

func (c *crowded) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			who = conn.RemoteAddr().String()
		}
		c.mu.Lock()
		room := c.all < c.most && c.of[who] < c.mostOf
		if room {
			c.all++
			c.of[who]++
		}
		c.mu.Unlock()
		if room {
			return &visitor{Conn: conn, until: time.Now().Add(c.visit), gone: sync.OnceFunc(func() { c.leave(who) })}, nil
		}
		_ = conn.Close() // it was of no use
	}
}

func (c *crowded) leave(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[who]--; c.of[who] == 0 {
		delete(c.of, who)
	}
}

// visitor is a connection that is counted until it is closed.
type visitor struct {
	net.Conn
	until time.Time // it is listened to
	gone  func()
}

// Read implements net.Conn. The end is an error here: the library takes a chunk of
// BDAT that the end of the connection cut for a whole one.
func (v *visitor) Read(b []byte) (int, error) {
	n, err := v.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		err = net.ErrClosed
	}
	return n, err
}

// SetReadDeadline implements net.Conn. What is answered is not cut.
func (v *visitor) SetReadDeadline(t time.Time) error {
	if t.IsZero() || t.After(v.until) {
		t = v.until
	}
	return v.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (v *visitor) SetDeadline(t time.Time) error {
	return errors.Join(v.SetReadDeadline(t), v.SetWriteDeadline(t))
}

func (v *visitor) Close() error {
	defer v.gone()
	return v.Conn.Close()
}
