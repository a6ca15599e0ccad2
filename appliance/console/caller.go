package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/appliance/access"
)

// Kinds of caller.
const (
	bySession = "session"
	byToken   = "token"
	bySocket  = "socket"
)

// caller is who makes a request. The zero value is nobody.
type caller struct {
	kind     string
	name     string // the operator's, the token's, or the user's of the socket
	id       string // the session's or token's
	grants   access.Grants
	secret   string // the session's or token's, to ask again whether it lasts
	password bool   // the operator has one
	link     bool   // signed in by a link
	since    time.Time
}

// actor is how the audit names a caller.
func (c caller) actor() string {
	switch c.kind {
	case bySession:
		return "operator " + c.name
	case byToken:
		return fmt.Sprintf("token %s %s", c.id, c.name)
	case bySocket:
		return "socket " + c.name
	}
	return "nobody"
}

// caller tells who calls on the console's listener: by a token if there is an
// Authorization, whatever cookies come along, else by the session's cookie.
func (c *Console) caller(r *http.Request) (caller, error) {
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		scheme, secret, _ := strings.Cut(h[0], " ")
		if len(h) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return caller{}, access.ErrUnknown
		}
		t, err := c.access.Token(secret)
		if err != nil {
			return caller{}, err
		}
		return caller{kind: byToken, name: t.Name, id: t.ID, grants: t.Grants, secret: secret}, nil
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return caller{}, access.ErrUnknown
	}
	ask := c.access.Session
	if r.Header.Get(backgroundHeader) != "" {
		ask = c.access.Alive
	}
	s, op, err := ask(cookie.Value)
	if err != nil {
		return caller{}, err
	}
	return caller{
		kind: bySession, name: op.Name, id: s.ID, grants: op.Grants, secret: cookie.Value,
		password: op.Password, link: s.Link, since: s.Created,
	}, nil
}

// lasts says whether a caller who was admitted would still be, with the same
// role on a publisher: streams stay open for long.
func (c *Console) lasts(who caller, publisher string, role access.Role) bool {
	grants := who.grants
	switch who.kind {
	case bySession:
		_, op, err := c.access.Alive(who.secret)
		if err != nil {
			return false
		}
		grants = op.Grants
	case byToken:
		t, err := c.access.Token(who.secret)
		if err != nil {
			return false
		}
		grants = t.Grants
	}
	return grants.On(publisher) == role
}

// backgroundHeader marks what a page asks by itself: it keeps no session alive.
const backgroundHeader = "Cloister-Background"

// cookieName is the session cookie's. Over TLS its prefix makes the browser
// refuse it from anybody but this very host; plain HTTP, which only a loopback
// address may speak, cannot have that.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-cloister"
	}
	return "cloister"
}

// setCookie gives a session's secret to the browser; "" takes it away.
func setCookie(r *request, secret string) {
	cookie := &http.Cookie{
		Name: cookieName(r.Request), Value: secret, Path: "/",
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
	if secret == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(r.w, cookie)
}

// address is the caller's IP address; no header is believed about it.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

func origin(r *request) access.Origin {
	return access.Origin{Address: address(r.Request), Agent: r.UserAgent()}
}

type peerKey struct{}

// ConnContext notes who is at the other end of a connection to the admin
// socket. It is http.Server's ConnContext there.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	uid, err := peerUser(conn)
	if err != nil {
		return ctx // nobody: AdminHandler refuses
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func peerUser(conn net.Conn) (uint32, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if cerr != nil {
		return 0, cerr
	}
	return cred.Uid, nil
}

// peer tells who calls on the admin socket: root and the daemon's own user are
// admins of everything, the kernel says who they are.
func (c *Console) peer(r *http.Request) (caller, error) {
	uid, ok := r.Context().Value(peerKey{}).(uint32)
	if !ok || uid != 0 && uid != uint32(os.Geteuid()) {
		return caller{}, &problem{status: http.StatusForbidden, Code: "not_allowed", Message: "only root and the appliance's own user may use this socket"}
	}
	name := "root"
	if uid != 0 {
		name = fmt.Sprintf("user %d", uid)
	}
	return caller{kind: bySocket, name: name, grants: access.Grants{access.Everywhere: access.Admin}}, nil
}
