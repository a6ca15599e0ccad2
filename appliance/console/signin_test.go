package console

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
)

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}

func do(t *testing.T, c *http.Client, req *http.Request) reply {
	t.Helper()
	res, err := c.Do(req)
	check(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(t, err)
	return reply{res, string(b)}
}

// operator makes one and signs them in; it gives the session's secret.
func (h *house) operator(name string, g access.Grants) string {
	h.t.Helper()
	_, err := h.access.AddOperator(name, g)
	check(h.t, err)
	check(h.t, h.access.SetPassword(h.t.Context(), name, password, ""))
	return h.signIn(name)
}

func (h *house) signIn(name string) string {
	h.t.Helper()
	got := h.want(200, "", "POST", "/v1/session", fmt.Sprintf(`{"name":%q,"password":%q}`, name, password))
	cs := got.Cookies()
	if len(cs) != 1 {
		h.t.Fatalf("%d cookies", len(cs))
	}
	return cs[0].Value
}

func TestSigningIn(t *testing.T) {
	h := open(t)
	_, err := h.access.AddOperator("ann", access.Grants{"acme": access.Marketer})
	check(t, err)
	check(t, h.access.SetPassword(t.Context(), "ann", password, ""))
	got := h.want(200, "", "POST", "/v1/session", `{"name":"ann","password":"`+password+`"}`)
	c := got.Cookies()[0]
	if c.Name != "cloister" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure {
		t.Errorf("cookie %+v", c)
	}
	var me struct {
		Operator   struct{ Name, Role string }
		Publishers []struct{ Name, Role, Timezone string }
	}
	got.into(t, &me)
	if me.Operator.Name != "ann" || me.Operator.Role != "" || len(me.Publishers) != 1 || me.Publishers[0].Role != "marketer" {
		t.Errorf("%+v", me)
	}
	if again := h.want(200, "cookie:"+c.Value, "GET", "/v1/me", ""); again.body != got.body {
		t.Errorf("%s, and at sign-in %s", again.body, got.body)
	}
	out := h.want(204, "cookie:"+c.Value, "DELETE", "/v1/session", "")
	if cs := out.Cookies(); len(cs) != 1 || cs[0].MaxAge >= 0 || cs[0].Value != "" {
		t.Errorf("cookies at signing out: %+v", cs)
	}
	h.want(401, "cookie:"+c.Value, "GET", "/v1/me", "")
	h.want(204, "", "DELETE", "/v1/session", "")
}

func TestTheCookieOverTLS(t *testing.T) {
	h := open(t)
	h.operator("ann", access.Grants{"acme": access.Admin})
	srv := httptest.NewTLSServer(h.Handler())
	defer srv.Close()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest("POST", srv.URL+"/v1/session", strings.NewReader(`{"name":"ann","password":"`+password+`"}`))
	check(t, err)
	got := do(t, &http.Client{Transport: tr}, req)
	c := got.Cookies()[0]
	if c.Name != "__Host-cloister" || !c.Secure || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
	for name, status := range map[string]int{"__Host-cloister": 200, "cloister": 401} {
		req, err := http.NewRequest("GET", srv.URL+"/v1/me", nil)
		check(t, err)
		req.AddCookie(&http.Cookie{Name: name, Value: c.Value})
		if got := do(t, &http.Client{Transport: tr}, req); got.StatusCode != status {
			t.Errorf("by the cookie %s: %d", name, got.StatusCode)
		}
	}
}

func TestAPageLeftOpenIsNoUse(t *testing.T) {
	h := open(t)
	secret := h.operator("ann", access.Grants{"acme": access.Admin})
	for range 4 {
		h.pass(14 * time.Minute)
		h.want(200, "cookie:"+secret, "GET", "/v1/health", "", "Cloister-Background", "1")
	}
	h.pass(14 * time.Minute)
	h.want(401, "cookie:"+secret, "GET", "/v1/health", "", "Cloister-Background", "1")
	h.want(401, "cookie:"+secret, "GET", "/v1/me", "")
}

// A session that somebody put into the browser before is neither taken nor
// left alive.
func TestSessionFixation(t *testing.T) {
	h := open(t)
	planted := h.operator("eve", access.Grants{"acme": access.Analyst})
	h.operator("ann", access.Grants{"acme": access.Admin})
	got := h.want(200, "cookie:"+planted, "POST", "/v1/session", `{"name":"ann","password":"`+password+`"}`)
	if got.Cookies()[0].Value == planted {
		t.Error("the planted session was taken")
	}
	h.want(401, "cookie:"+planted, "GET", "/v1/me", "")
	made := strings.Repeat("A", 43)
	got = h.want(200, "cookie:"+made, "POST", "/v1/session", `{"name":"ann","password":"`+password+`"}`)
	if got.Cookies()[0].Value == made {
		t.Error("an invented session was taken")
	}
	h.want(401, "cookie:"+made, "GET", "/v1/me", "")
}

func TestGuessing(t *testing.T) {
	h := open(t)
	h.operator("ann", access.Grants{"acme": access.Admin})
	h.pass(2 * time.Hour)
	guess := func(name, word string) reply {
		return h.call("", "POST", "/v1/session", fmt.Sprintf(`{"name":%q,"password":%q}`, name, word))
	}
	known, unknown := guess("ann", "a wrong password"), guess("nobody", "a wrong password")
	if known.StatusCode != 401 || known.body != unknown.body || len(known.Cookies()) != 0 {
		t.Errorf("known: %d %s; unknown: %d %s", known.StatusCode, known.body, unknown.StatusCode, unknown.body)
	}
	var last reply
	for i := range 20 {
		if last = guess("ann", fmt.Sprint("guess number ", i)); last.StatusCode == 429 {
			break
		}
	}
	if last.StatusCode != 429 || last.Header.Get("Retry-After") == "" || last.code() != "slow_down" {
		t.Errorf("%d %s %v", last.StatusCode, last.body, last.Header)
	}
	if got := guess("ann", password); got.StatusCode != 429 {
		t.Errorf("the right password in between: %d", got.StatusCode)
	}
	h.pass(time.Hour)
	h.signIn("ann")
	failed := 0
	for _, e := range h.entries() {
		if e.Action == "sign-in" && e.Outcome == audit.Failed {
			failed++
		}
		if s := fmt.Sprint(e); strings.Contains(s, "guess") || strings.Contains(s, "nobody ") && strings.Contains(s, "wrong password") {
			t.Errorf("what was typed is in the audit: %s", s)
		}
	}
	if failed < 5 {
		t.Errorf("%d failures are in the audit", failed)
	}
}

func TestFailuresDoNotFillTheAudit(t *testing.T) {
	var f failedSignIns
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	written, counted := 0, 0
	for range 1000 {
		if n, write := f.count(now); write {
			written++
			counted += n
		}
	}
	if written != failuresWritten {
		t.Errorf("%d are written in a minute", written)
	}
	n, write := f.count(now.Add(time.Minute))
	if !write || counted+n != 1001 {
		t.Errorf("%d of 1001 are accounted for", counted+n)
	}
}

func TestLinks(t *testing.T) {
	h := open(t)
	root := h.operator("root", access.Grants{access.Everywhere: access.Admin})
	var made struct {
		Link     string
		Operator struct{ Name string }
	}
	got := h.want(201, "cookie:"+root, "POST", "/v1/operators", `{"name":"bob","roles":{"acme":"analyst"}}`)
	got.into(t, &made)
	token := strings.TrimPrefix(made.Link, "/sign-in#")
	if made.Operator.Name != "bob" || token == made.Link {
		t.Fatal(got.body)
	}
	if got := h.want(409, "cookie:"+root, "POST", "/v1/operators", `{"name":"bob","roles":{"acme":"analyst"}}`); got.code() != "exists" {
		t.Error(got.body)
	}
	in := h.want(200, "", "POST", "/v1/session/link", `{"token":"`+token+`"}`)
	bob := in.Cookies()[0].Value
	if got := h.want(401, "", "POST", "/v1/session/link", `{"token":"`+token+`"}`); got.code() != "wrong" {
		t.Error(got.body)
	}
	// By a fresh link a password is set without one before.
	h.want(204, "cookie:"+bob, "POST", "/v1/operators/bob/password", `{"password":"`+password+`"}`)
	h.want(200, "cookie:"+bob, "GET", "/v1/me", "")
	bob = h.signIn("bob")
	if got := h.want(400, "cookie:"+bob, "POST", "/v1/operators/bob/password", `{"password":"`+password+`!"}`); !strings.Contains(got.body, `"current"`) {
		t.Error(got.body)
	}
	h.want(204, "cookie:"+bob, "POST", "/v1/operators/bob/password", `{"password":"`+password+`!","current":"`+password+`"}`)
	h.want(404, "cookie:"+bob, "POST", "/v1/operators/root/password", `{"password":"`+password+`!"}`)
	h.want(403, "cookie:"+bob, "POST", "/v1/operators/root/link", "")
	got = h.want(201, "cookie:"+root, "POST", "/v1/operators/bob/link", "")
	if !strings.Contains(got.body, "/sign-in#") {
		t.Error(got.body)
	}
	h.want(204, "cookie:"+root, "POST", "/v1/operators/bob/password", `{"password":"`+password+`?"}`)
	h.want(401, "cookie:"+bob, "GET", "/v1/me", "")
	h.want(200, "cookie:"+root, "PUT", "/v1/operators/bob", `{"roles":{"acme":"marketer"}}`)
	h.want(204, "cookie:"+root, "DELETE", "/v1/operators/bob", "")
	if got := h.want(409, "cookie:"+root, "DELETE", "/v1/operators/root", ""); got.code() != "last_admin" {
		t.Error(got.body)
	}
}

func TestSessionsOfOthers(t *testing.T) {
	h := open(t)
	root := h.operator("root", access.Grants{access.Everywhere: access.Admin})
	bob := h.operator("bob", access.Grants{"acme": access.Admin})
	var mine struct {
		Sessions []struct {
			ID, Operator string
			Current      bool
		}
	}
	h.want(200, "cookie:"+bob, "GET", "/v1/sessions", "").into(t, &mine)
	if len(mine.Sessions) != 1 || mine.Sessions[0].Operator != "bob" || !mine.Sessions[0].Current {
		t.Errorf("%+v", mine)
	}
	id := mine.Sessions[0].ID
	h.want(200, "cookie:"+root, "GET", "/v1/sessions", "").into(t, &mine)
	if len(mine.Sessions) != 2 {
		t.Errorf("%+v", mine)
	}
	for _, s := range mine.Sessions {
		if s.Operator == "root" {
			h.want(404, "cookie:"+bob, "DELETE", "/v1/sessions/"+s.ID, "")
		}
	}
	// A token that has an operator's name has none of their sessions.
	secret, _, err := h.access.CreateToken("bob", access.Grants{"acme": access.Admin}, time.Hour, "root")
	check(t, err)
	h.want(404, secret, "DELETE", "/v1/sessions/"+id, "")
	h.want(204, "cookie:"+root, "DELETE", "/v1/sessions/"+id, "")
	h.want(401, "cookie:"+bob, "GET", "/v1/me", "")
}

func TestTokensOverTheAPI(t *testing.T) {
	h := open(t)
	root, ann := h.token(access.Everywhere, access.Admin), h.token("acme", access.Admin)
	marketer := h.token("acme", access.Marketer)
	var made struct {
		Secret string
		Token  struct{ ID, By string }
	}
	h.want(201, ann, "POST", "/v1/tokens", `{"name":"warehouse","roles":{"acme":"analyst"},"ttl":"90d"}`).into(t, &made)
	if !strings.HasPrefix(made.Secret, "cloister_") || made.Token.By != "admin" {
		t.Errorf("%+v", made)
	}
	h.want(200, made.Secret, "POST", "/v1/publishers/acme/query", `{"kind":"trend"}`)
	for who, body := range map[string]string{
		ann:      `{"name":"t","roles":{"beta":"analyst"}}`,
		marketer: `{"name":"t","roles":{"acme":"analyst"}}`,
	} {
		h.want(403, who, "POST", "/v1/tokens", body)
	}
	h.want(403, ann, "POST", "/v1/tokens", `{"name":"t","roles":{"*":"analyst"}}`)
	if got := h.want(200, marketer, "GET", "/v1/tokens", ""); strings.TrimSpace(got.body) != `{"tokens":[]}` {
		t.Error(got.body)
	}
	if got := h.want(200, ann, "GET", "/v1/tokens", ""); !strings.Contains(got.body, "warehouse") || strings.Contains(got.body, made.Secret) || strings.Contains(got.body, `"*"`) {
		t.Error(got.body)
	}
	beta := h.token("beta", access.Admin)
	h.want(404, beta, "DELETE", "/v1/tokens/"+made.Token.ID, "")
	h.want(204, root, "DELETE", "/v1/tokens/"+made.Token.ID, "")
	h.want(401, made.Secret, "GET", "/v1/me", "")
}
