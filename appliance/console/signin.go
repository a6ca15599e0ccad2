package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
)

func (c *Console) signIn(r *request) error {
	var in struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	secret, s, err := c.access.SignIn(r.Context(), in.Name, in.Password, origin(r))
	return c.signedIn(r, "password", secret, s, err)
}

func (c *Console) signInByLink(r *request) error {
	var in struct {
		Token string `json:"token"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	secret, s, err := c.access.SignInByLink(in.Token, origin(r))
	return c.signedIn(r, "link", secret, s, err)
}

func (c *Console) needsSetup(r *request) error {
	return ok(r, map[string]bool{"needed": c.access.NeedsSetup()})
}

func (c *Console) setUp(r *request) error {
	var in struct {
		Token    string `json:"token"`
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if !c.access.NeedsSetup() {
		return access.ErrSetUp
	}
	secret, s, err := c.access.SetUp(r.Context(), in.Token, in.Name, in.Password, origin(r))
	return c.signedIn(r, "setup", secret, s, err)
}

// signedIn finishes every way in: it writes down how it went, and only then
// hands the session over. A session that the browser had before ends; a new
// one is never one that somebody else could have put there.
func (c *Console) signedIn(r *request, how, secret string, s access.Session, err error) error {
	e := audit.Entry{Actor: "nobody", Action: "sign-in", Detail: "by " + how, From: address(r.Request)}
	if err != nil {
		// The name that was typed is not written down: it may be a password.
		e.Outcome = audit.Failed
		if !errors.Is(err, access.ErrWrong) {
			return err
		}
		n, write := c.failures.count(c.now())
		if n > 1 {
			e.Detail += fmt.Sprintf("; %d times since the last such entry", n)
		}
		if write {
			if aerr := c.audit.Append(r.Context(), e); aerr != nil {
				return fmt.Errorf("writing down a failed sign-in: %w", errors.Join(aerr, err))
			}
		}
		return err
	}
	e.Actor = "operator " + s.Operator
	if aerr := c.audit.Append(r.Context(), e); aerr != nil {
		return fmt.Errorf("writing down a sign-in: %w", errors.Join(aerr, c.access.SignOut(secret)))
	}
	if old, cerr := r.Cookie(cookieName(r.Request)); cerr == nil {
		if oerr := c.access.SignOut(old.Value); oerr != nil {
			c.log.Warn("the session before a sign-in was not ended", "error", oerr)
		}
	}
	op, err := c.access.Operator(s.Operator)
	if err != nil {
		return err
	}
	setCookie(r, secret)
	r.caller = caller{kind: bySession, name: op.Name, id: s.ID, grants: op.Grants, secret: secret, password: op.Password, link: s.Link, since: s.Created}
	return c.me(r)
}

// failedSignIns keeps guessing from filling the audit: ten failures a minute
// are written down one by one, the others as a number with the next.
type failedSignIns struct {
	mu      sync.Mutex
	minute  time.Time
	written int
	left    int
}

const failuresWritten = 10

func (f *failedSignIns) count(now time.Time) (n int, write bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.minute); since < 0 || since >= time.Minute {
		f.minute, f.written = now, 0
	}
	f.left++
	if f.written >= failuresWritten {
		return f.left, false
	}
	f.written++
	n, f.left = f.left, 0
	return n, true
}

func (c *Console) signOut(r *request) error {
	if r.caller.kind == bySession {
		if err := c.access.SignOut(r.caller.secret); err != nil {
			return err
		}
		if err := c.record(r, "sign-out", "", ""); err != nil {
			return err
		}
	}
	setCookie(r, "")
	return nothing(r)
}

func (c *Console) sessions(r *request) error {
	type session struct {
		ID       string    `json:"id"`
		Operator string    `json:"operator"`
		Created  time.Time `json:"created"`
		Seen     time.Time `json:"seen"`
		Expires  time.Time `json:"expires"`
		From     string    `json:"from"`
		Agent    string    `json:"agent"`
		Current  bool      `json:"current"`
	}
	out := []session{}
	for _, s := range c.access.Sessions(c.sessionsOf(r)) {
		out = append(out, session{
			s.ID, s.Operator, s.Created.UTC(), s.Seen.UTC(), s.Expires.UTC(), s.From.Address, s.From.Agent,
			r.caller.kind == bySession && s.ID == r.caller.id,
		})
	}
	return ok(r, map[string]any{"sessions": out})
}

// sessionsOf says whose sessions a caller may see and end.
func (c *Console) sessionsOf(r *request) string {
	switch {
	case r.caller.grants.Admin():
		return access.Everywhere
	case r.caller.kind == bySession:
		return r.caller.name
	}
	return "" // a token has none, even if it has an operator's name
}

func (c *Console) endSession(r *request) error {
	return c.done(r, "session.end", "session "+clip(r.PathValue("id"), 32), func() error {
		return c.access.EndSession(c.sessionsOf(r), r.PathValue("id"))
	})
}

// done makes a change that answers with nothing.
func (c *Console) done(r *request, action, subject string, do func() error) error {
	if err := c.change(r, action, subject, do); err != nil {
		return err
	}
	return nothing(r)
}

func (c *Console) me(r *request) error {
	type publisher struct {
		Name     string      `json:"name"`
		Title    string      `json:"title"`
		Timezone string      `json:"timezone"`
		Role     access.Role `json:"role"`
	}
	type operator struct {
		Name     string        `json:"name"`
		Role     access.Role   `json:"role"`
		Roles    access.Grants `json:"roles"`
		Password bool          `json:"password"`
		Kind     string        `json:"kind"`
	}
	ps := []publisher{}
	for _, p := range c.appliance.Publishers() {
		if role := r.caller.grants.On(p.Name()); role != "" {
			ps = append(ps, publisher{p.Name(), p.Title(), p.Location().String(), role})
		}
	}
	st := c.appliance.Status()
	return ok(r, map[string]any{
		"operator": operator{r.caller.name, r.caller.grants[access.Everywhere], r.caller.grants, r.caller.password, r.caller.kind},
		"appliance": map[string]any{
			"name": st.Name, "version": st.Version, "demo": st.Demo,
		},
		"publishers": ps,
	})
}

type operatorJSON struct {
	Name     string        `json:"name"`
	Roles    access.Grants `json:"roles"`
	Created  *time.Time    `json:"created"`
	Seen     *time.Time    `json:"seen"`
	Password bool          `json:"password"`
}

func showOperator(o access.Operator) operatorJSON {
	return operatorJSON{o.Name, o.Grants, stampOf(o.Created), stampOf(o.Seen), o.Password}
}

func (c *Console) operators(r *request) error {
	out := []operatorJSON{}
	for _, o := range c.access.Operators() {
		out = append(out, showOperator(o))
	}
	return ok(r, map[string]any{"operators": out})
}

type linkJSON struct {
	Operator *operatorJSON `json:"operator,omitempty"`
	Link     string        `json:"link"`
	Expires  time.Time     `json:"expires"`
}

func (c *Console) addOperator(r *request) error {
	var in struct {
		Name  string        `json:"name"`
		Roles access.Grants `json:"roles"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if err := c.knownPublishers(in.Roles); err != nil {
		return err
	}
	var out linkJSON
	err := c.change(r, "operator.add", "operator "+clip(in.Name, 64), func() error {
		o, err := c.access.AddOperator(in.Name, in.Roles)
		if err != nil {
			return err
		}
		shown := showOperator(o)
		out.Operator = &shown
		var token string
		token, out.Expires, err = c.access.Link(in.Name)
		out.Link = "/sign-in#" + token
		return err
	})
	if err != nil {
		return err
	}
	return answer(r.w, http.StatusCreated, out)
}

// knownPublishers refuses roles on publishers that there are not, most of
// which would be typing mistakes.
func (c *Console) knownPublishers(g access.Grants) error {
	for name := range g {
		if _, ok := c.appliance.Publisher(name); !ok && name != access.Everywhere {
			return badValue("roles", fmt.Sprintf("there is no publisher %.64q", name))
		}
	}
	return nil
}

func (c *Console) changeOperator(r *request) error {
	var in struct {
		Roles access.Grants `json:"roles"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	if err := c.knownPublishers(in.Roles); err != nil {
		return err
	}
	var out access.Operator
	err := c.change(r, "operator.roles", "operator "+clip(r.PathValue("name"), 64), func() (err error) {
		out, err = c.access.SetGrants(r.PathValue("name"), in.Roles)
		return err
	})
	if err != nil {
		return err
	}
	return ok(r, showOperator(out))
}

func (c *Console) removeOperator(r *request) error {
	return c.done(r, "operator.remove", "operator "+clip(r.PathValue("name"), 64), func() error {
		return c.access.RemoveOperator(r.PathValue("name"))
	})
}

// linkIsFresh is how long after a sign-in by link the password may be set
// without the one before it.
const linkIsFresh = 30 * time.Minute

func (c *Console) setPassword(r *request) error {
	var in struct {
		Password string `json:"password"`
		Current  string `json:"current"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	name := r.PathValue("name")
	own := r.caller.kind == bySession && r.caller.name == name
	if !own && !r.caller.grants.Admin() {
		return c.denied(r, notFound())
	}
	keep := ""
	if own {
		keep = r.caller.secret
		fresh := r.caller.link && c.now().Sub(r.caller.since) < linkIsFresh
		if r.caller.password && !fresh {
			if err := c.access.CheckPassword(r.Context(), name, in.Current, origin(r)); err != nil {
				if errors.Is(err, access.ErrWrong) {
					return badValue("current", "this is not the password so far")
				}
				return err
			}
		}
	}
	return c.done(r, "operator.password", "operator "+clip(name, 64), func() error {
		return c.access.SetPassword(r.Context(), name, in.Password, keep)
	})
}

func (c *Console) linkOperator(r *request) error { return c.makeLink(r, r.PathValue("name")) }

func (c *Console) makeLink(r *request, name string) error {
	var out linkJSON
	err := c.change(r, "operator.link", "operator "+clip(name, 64), func() error {
		token, expires, err := c.access.Link(name)
		out = linkJSON{Link: "/sign-in#" + token, Expires: expires.UTC()}
		return err
	})
	if err != nil {
		return err
	}
	return answer(r.w, http.StatusCreated, out)
}

type tokenJSON struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	Roles   access.Grants `json:"roles"`
	By      string        `json:"by"`
	Created time.Time     `json:"created"`
	Expires time.Time     `json:"expires"`
	Used    *time.Time    `json:"used"`
}

func showToken(t access.Token) tokenJSON {
	return tokenJSON{t.ID, t.Name, t.Grants, t.By, t.Created.UTC(), t.Expires.UTC(), stampOf(t.Used)}
}

// administers says whether a caller may see and end what has these grants: an
// admin of every publisher in them.
func (c caller) administers(g access.Grants) bool {
	if c.grants.Admin() {
		return true
	}
	for publisher := range g {
		if publisher == access.Everywhere || c.grants.On(publisher) != access.Admin {
			return false
		}
	}
	return len(g) > 0
}

func (c *Console) tokens(r *request) error {
	out := []tokenJSON{}
	for _, t := range c.access.Tokens() {
		if r.caller.administers(t.Grants) {
			out = append(out, showToken(t))
		}
	}
	return ok(r, map[string]any{"tokens": out})
}

func (c *Console) createToken(r *request) error {
	var in struct {
		Name  string        `json:"name"`
		Roles access.Grants `json:"roles"`
		TTL   string        `json:"ttl"`
	}
	if err := decode(r.body, &in); err != nil {
		return err
	}
	life := 90 * 24 * time.Hour
	if in.TTL != "" {
		var err error
		if life, err = parseLife(in.TTL); err != nil {
			return err
		}
	}
	if !r.caller.administers(in.Roles) && len(in.Roles) > 0 {
		return c.denied(r, &problem{status: http.StatusForbidden, Code: "not_allowed", Message: "only an admin of these publishers may make this token"})
	}
	if err := c.knownPublishers(in.Roles); err != nil {
		return err
	}
	var secret string
	var t access.Token
	err := c.change(r, "token.create", "token "+clip(in.Name, 64), func() (err error) {
		secret, t, err = c.access.CreateToken(in.Name, in.Roles, life, r.caller.name)
		return err
	})
	if err != nil {
		return err
	}
	return answer(r.w, http.StatusCreated, map[string]any{"token": showToken(t), "secret": secret})
}

func (c *Console) revokeToken(r *request) error {
	id := r.PathValue("id")
	i := slices.IndexFunc(c.access.Tokens(), func(t access.Token) bool { return t.ID == id && r.caller.administers(t.Grants) })
	if i < 0 {
		return notFound()
	}
	return c.done(r, "token.revoke", "token "+id, func() error { return c.access.RevokeToken(id) })
}
