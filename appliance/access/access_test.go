package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

var admin = Grants{Everywhere: Admin}

func TestSignIn(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	if _, err := h.AddOperator("bob", Grants{"acme": Analyst}); err != nil { // no password
		t.Fatal(err)
	}
	for _, c := range []struct{ what, name, password string }{
		{"a wrong password", "ann", "incorrect horse battery"},
		{"no password", "ann", ""},
		{"an unknown name", "eve", good},
		{"an operator without a password", "bob", ""},
		{"a name in capitals", "ANN", good},
		{"an endless password", "ann", strings.Repeat(good, 1000)},
		{"the password and more", "ann", good + strings.Repeat("x", 2000)},
	} {
		h.reopen() // forgets failures
		if _, _, err := h.SignIn(t.Context(), c.name, c.password, from); err != ErrWrong {
			t.Errorf("%s: %v, want exactly ErrWrong", c.what, err)
		}
	}
	secret := h.signIn("ann")
	s, op, err := h.Session(secret)
	if err != nil || op.Name != "ann" || !op.Grants.Admin() || s.From != from || s.Link {
		t.Errorf("session %+v of %+v, %v", s, op, err)
	}
	if got := h.signIn("ann"); got == secret {
		t.Error("two sign-ins have the same secret")
	}
	if strings.Contains(s.ID, secret) || len(secret) < 43 {
		t.Errorf("the id %q of the secret %q", s.ID, secret)
	}
}

func TestASecretThatIsNone(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	secret := h.signIn("ann")
	for _, s := range []string{"", "x", secret + "x", secret[:len(secret)-1], strings.Repeat("a", 1<<20), "\x00"} {
		if _, _, err := h.Session(s); !errors.Is(err, ErrUnknown) {
			t.Errorf("a session by %.20q: %v", s, err)
		}
		if _, err := h.Token(s); !errors.Is(err, ErrUnknown) {
			t.Errorf("a token %.20q: %v", s, err)
		}
		if _, err := h.Token(TokenPrefix + s); !errors.Is(err, ErrUnknown) {
			t.Errorf("a token %.20q: %v", s, err)
		}
		if _, _, err := h.SignInByLink(s, from); !errors.Is(err, ErrWrong) {
			t.Errorf("a link %.20q: %v", s, err)
		}
		if err := h.SignOut(s); err != nil {
			t.Errorf("signing out by %.20q: %v", s, err)
		}
	}
	if _, err := h.Token(secret); !errors.Is(err, ErrUnknown) {
		t.Errorf("a session as a token: %v", err)
	}
}

func TestSessionsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(h *house, secret string)
	}{
		{"unused for an hour", func(h *house, _ string) { h.clock.add(time.Hour) }},
		{"unused for an hour, with a restart", func(h *house, _ string) { h.clock.add(time.Hour); h.reopen() }},
		{"after half a day of use", func(h *house, secret string) {
			for range 24 {
				h.clock.add(30 * time.Minute)
				if _, _, err := h.Session(secret); err != nil && h.clock.now.Sub(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)) < 12*time.Hour {
					h.t.Errorf("it ended early, at %v", h.clock.now)
				}
			}
		}},
		{"signed out", func(h *house, secret string) { check(h.t, h.SignOut(secret)) }},
		{"killed", func(h *house, _ string) { check(h.t, h.EndSession("ann", h.Sessions("ann")[0].ID)) }},
		{"operator removed", func(h *house, _ string) { check(h.t, h.RemoveOperator("ann")) }},
		{"password changed", func(h *house, _ string) { check(h.t, h.SetPassword(h.t.Context(), "ann", good+"!", "")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			h.t = t
			h.add("root", admin)
			h.add("ann", Grants{"acme": Marketer})
			secret := h.signIn("ann")
			if _, _, err := h.Session(secret); err != nil {
				t.Fatal(err)
			}
			c.end(h, secret)
			for range 2 {
				if _, _, err := h.Session(secret); !errors.Is(err, ErrUnknown) {
					t.Errorf("the session goes on: %v", err)
				}
				if _, _, err := h.Alive(secret); !errors.Is(err, ErrUnknown) {
					t.Errorf("the session is alive: %v", err)
				}
				h.reopen() // it must not come back either
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsKeptOverARestart(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	secret := h.signIn("ann")
	token, made, err := h.CreateToken("warehouse", Grants{"acme": Analyst}, time.Hour, "ann")
	check(t, err)
	link, _, err := h.Link("ann")
	check(t, err)
	h.clock.add(10 * time.Minute)
	if _, _, err := h.Session(secret); err != nil { // moves the last use, on disk too
		t.Fatal(err)
	}
	_, err = h.Token(token)
	check(t, err)
	h.reopen()
	s, op, err := h.Session(secret)
	if err != nil || !op.Password || s.Seen != h.clock.now {
		t.Errorf("session %+v of %+v: %v", s, op, err)
	}
	got, err := h.Token(token)
	if err != nil || got.ID != made.ID || got.Grants["acme"] != Analyst || got.By != "ann" || got.Used != h.clock.now {
		t.Errorf("token %+v: %v", got, err)
	}
	if _, _, err := h.SignInByLink(link, from); err != nil {
		t.Error(err)
	}
	// Signing in by a link does not end sessions; changing the password does.
	check(t, h.SetPassword(t.Context(), "ann", good+"!", secret))
	if n := len(h.Sessions("ann")); n != 1 {
		t.Errorf("%d sessions after the password was changed, want the one that changed it", n)
	}
}

func TestWhatGoesOnByItselfIsNoUse(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	secret := h.signIn("ann")
	for range 5 {
		h.clock.add(11 * time.Minute)
		if _, op, err := h.Alive(secret); err != nil || op.Name != "ann" {
			t.Fatalf("%+v, %v", op, err)
		}
	}
	h.clock.add(11 * time.Minute)
	if _, _, err := h.Session(secret); !errors.Is(err, ErrUnknown) {
		t.Errorf("after more than an hour without a use: %v", err)
	}
}

func TestRolesChangeAtOnce(t *testing.T) {
	h := open(t)
	h.add("root", admin)
	h.add("ann", Grants{Everywhere: Analyst, "acme": Marketer})
	secret := h.signIn("ann")
	for _, c := range []struct{ publisher, want Role }{{"acme", Marketer}, {"other", Analyst}, {"", Analyst}} {
		_, op, err := h.Session(secret)
		if err != nil || op.Grants.On(string(c.publisher)) != c.want {
			t.Errorf("on %q: %v, %v", c.publisher, op.Grants.On(string(c.publisher)), err)
		}
	}
	_, err := h.SetGrants("ann", Grants{"acme": Auditor})
	check(t, err)
	_, op, err := h.Session(secret)
	if err != nil || op.Grants.On("acme") != Auditor || op.Grants.On("other") != "" {
		t.Errorf("after the change: %v, %v", op.Grants, err)
	}
	op.Grants["acme"] = Admin // a copy: it must not reach inside
	if _, op, _ := h.Session(secret); op.Grants.On("acme") != Auditor {
		t.Error("what was handed out is not a copy")
	}
}

func TestTheLastAdminStays(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	h.add("bob", Grants{"acme": Admin}) // of one publisher: does not count
	if err := h.RemoveOperator("ann"); !errors.Is(err, ErrLastAdmin) {
		t.Errorf("removing: %v", err)
	}
	if _, err := h.SetGrants("ann", Grants{"acme": Admin}); !errors.Is(err, ErrLastAdmin) {
		t.Errorf("changing: %v", err)
	}
	h.add("eve", admin)
	check(t, h.RemoveOperator("ann"))
	if err := h.RemoveOperator("eve"); !errors.Is(err, ErrLastAdmin) {
		t.Errorf("removing the other: %v", err)
	}
	// Two admins who remove each other at the same time: one of them stays.
	h.add("ann", admin)
	var wg sync.WaitGroup
	for _, name := range []string{"ann", "eve"} {
		wg.Go(func() { _ = h.RemoveOperator(name) })
	}
	wg.Wait()
	if h.NeedsSetup() {
		t.Error("both went")
	}
}

func TestLinks(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	old, _, err := h.Link("ann")
	check(t, err)
	link, expires, err := h.Link("ann")
	check(t, err)
	if expires.Sub(h.clock.now) != LinkLife {
		t.Errorf("it lives %v", expires.Sub(h.clock.now))
	}
	if _, _, err := h.SignInByLink(old, from); !errors.Is(err, ErrWrong) {
		t.Errorf("the link before: %v", err)
	}
	if _, _, err := h.SetUp(t.Context(), link, "eve", good, from); !errors.Is(err, ErrWrong) {
		t.Errorf("setting up by a sign-in link: %v", err)
	}
	// Many try it at the same time: one gets in.
	var wg sync.WaitGroup
	in := make(chan string, 10)
	for range 10 {
		wg.Go(func() {
			if secret, s, err := h.SignInByLink(link, from); err == nil && s.Link {
				in <- secret
			}
		})
	}
	wg.Wait()
	if len(in) != 1 {
		t.Errorf("%d got in by one link", len(in))
	}
	late, _, err := h.Link("ann")
	check(t, err)
	h.clock.add(LinkLife)
	if _, _, err := h.SignInByLink(late, from); !errors.Is(err, ErrWrong) {
		t.Errorf("a late link: %v", err)
	}
	if _, _, err := h.Link("eve"); !errors.Is(err, ErrNobody) {
		t.Errorf("a link for nobody: %v", err)
	}
	gone, _, err := h.Link("ann")
	check(t, err)
	h.add("bob", admin)
	check(t, h.RemoveOperator("ann"))
	if _, _, err := h.SignInByLink(gone, from); !errors.Is(err, ErrWrong) {
		t.Errorf("the link of who is gone: %v", err)
	}
}

func TestSetUp(t *testing.T) {
	h := open(t)
	if !h.NeedsSetup() {
		t.Fatal("an empty appliance has an admin")
	}
	if _, err := h.AddOperator("bob", Grants{"acme": Admin}); err != nil {
		t.Fatal(err)
	}
	link, _, err := h.SetupLink()
	check(t, err)
	var bad *Bad
	if _, _, err := h.SetUp(t.Context(), link, "ann", "short", from); !errors.As(err, &bad) || bad.Field != "password" {
		t.Errorf("a short password: %v", err)
	}
	if _, _, err := h.SetUp(t.Context(), link, "Ann Smith", good, from); !errors.As(err, &bad) || bad.Field != "name" {
		t.Errorf("a bad name: %v", err)
	}
	if _, _, err := h.SetUp(t.Context(), link, "bob", good, from); !errors.Is(err, ErrExists) {
		t.Errorf("the name of another: %v", err)
	}
	if _, _, err := h.SignInByLink(link, from); !errors.Is(err, ErrWrong) {
		t.Errorf("signing in by a setup link: %v", err)
	}
	if _, _, err := h.SetUp(t.Context(), "nonsense", "ann", good, from); !errors.Is(err, ErrWrong) {
		t.Errorf("a wrong link: %v", err)
	}
	secret, s, err := h.SetUp(t.Context(), link, "ann", good, from)
	if err != nil || s.Operator != "ann" {
		t.Fatal(s, err)
	}
	if _, op, err := h.Session(secret); err != nil || !op.Grants.Admin() || !op.Password {
		t.Errorf("%+v, %v", op, err)
	}
	if _, _, err := h.SetUp(t.Context(), link, "eve", good, from); !errors.Is(err, ErrWrong) {
		t.Errorf("the link again: %v", err)
	}
	if _, _, err := h.SetupLink(); !errors.Is(err, ErrSetUp) {
		t.Errorf("another link: %v", err)
	}
	h.signIn("ann")
}

func TestPasswordsThatAreNotTaken(t *testing.T) {
	for _, p := range []string{
		"", "eleven char", strings.Repeat("ab", 10), "ann ann ann ann", "annannannann1", strings.Repeat("x", 300) + "abcde",
		"with a \x00 zero byte", "bad utf8 \xff\xfe and more", strings.Repeat("é", 600) + "abcde",
	} {
		var bad *Bad
		if err := checkPassword("ann", p); !errors.As(err, &bad) {
			t.Errorf("%.20q is taken: %v", p, err)
		} else if p != "" && strings.Contains(err.Error(), p) {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
	for _, p := range []string{good, "пароль из слов", "六文字では足りないので十二文字", "ann likes rain in May"} {
		if err := checkPassword("ann", p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestPasswordsFromAnyKeyboard(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	check(t, h.SetPassword(t.Context(), "ann", "caf\u00e9 au lait, merci", "")) // composed
	if _, _, err := h.SignIn(t.Context(), "ann", "cafe\u0301 au lait, merci", from); err != nil {
		t.Errorf("decomposed: %v", err)
	}
}

func TestGuessingSlowsDown(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	h.add("bob", admin)
	guess := func(name, address string) error {
		_, _, err := h.SignIn(t.Context(), name, "a wrong password", Origin{Address: address})
		return err
	}
	var slow *SlowDown
	tries := 0
	for ; tries < 100; tries++ {
		if err := guess("ann", fmt.Sprintf("192.0.2.%d", tries)); errors.As(err, &slow) {
			break
		} else if !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	if tries != freeFailures {
		t.Errorf("a name is slowed down after %d failures from many addresses", tries)
	}
	// The right password waits as well, and the same for who does not exist.
	if _, _, err := h.SignIn(t.Context(), "ann", good, Origin{Address: "203.0.113.1"}); !errors.As(err, &slow) {
		t.Errorf("the right password at once: %v", err)
	}
	for range freeFailures {
		_ = guess("nobody", "198.51.100.1")
	}
	var other *SlowDown
	if err := guess("nobody", "198.51.100.2"); !errors.As(err, &other) || other.After != slow.After {
		t.Errorf("an unknown name waits %v, a known one %v", other, slow)
	}
	h.clock.add(longestName)
	h.signIn("ann") // and starts afresh
	if err := guess("ann", "203.0.113.9"); !errors.Is(err, ErrWrong) {
		t.Errorf("the first failure after a sign-in: %v", err)
	}
	// One address against many names, a whole IPv6 network being one.
	for i := range freeFailures {
		_ = guess(fmt.Sprintf("name%d", i), fmt.Sprintf("2001:db8::%d", i+1))
	}
	if err := guess("another", "2001:db8::ffff"); !errors.As(err, &slow) {
		t.Errorf("an address with many names: %v", err)
	}
	// An account of one's own does not reset what an address has.
	h.clock.add(time.Minute)
	for range 20 {
		_ = guess("ann", "198.51.100.7")
		h.clock.add(longestName)
		_, _, _ = h.SignIn(t.Context(), "bob", good, Origin{Address: "198.51.100.7"})
		h.clock.add(time.Second)
	}
	if err := guess("ann", "198.51.100.7"); err == nil {
		t.Error("guessed")
	}
	if err := guess("eve", "198.51.100.7"); !errors.As(err, &slow) || slow.After < time.Minute {
		t.Errorf("after 20 failures with sign-ins of one's own between: %v", err)
	}
}

func TestManyGuessesAtTheSameTimeAreCounted(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	var wg sync.WaitGroup
	wrong := make(chan struct{}, 100)
	for range 100 {
		wg.Go(func() {
			_, _, err := h.SignIn(context.Background(), "ann", "a wrong password", from)
			if errors.Is(err, ErrWrong) {
				wrong <- struct{}{}
			}
		})
	}
	wg.Wait()
	if len(wrong) > freeFailures {
		t.Errorf("%d passwords were compared", len(wrong))
	}
}

func TestBackoffIsBounded(t *testing.T) {
	b := newBackoff()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for i := range 2 * maxFailures {
		b.try(now.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("n", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	if len(b.seen) > maxFailures+1 {
		t.Errorf("%d are kept", len(b.seen))
	}
}

func TestOneOperatorsSessionsAreBounded(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	first := h.signIn("ann")
	for range MaxSessions {
		h.clock.add(time.Second)
		h.signIn("ann")
	}
	if n := len(h.Sessions("ann")); n != MaxSessions {
		t.Errorf("%d sessions", n)
	}
	if _, _, err := h.Session(first); !errors.Is(err, ErrUnknown) {
		t.Errorf("the oldest: %v", err)
	}
}

func TestTokens(t *testing.T) {
	h := open(t)
	secret, made, err := h.CreateToken("warehouse", Grants{"acme": Analyst}, time.Hour, "ann")
	check(t, err)
	if !strings.HasPrefix(secret, TokenPrefix) || len(secret) != len(TokenPrefix)+43 {
		t.Errorf("secret %q", secret)
	}
	if _, err := h.Token(secret); err != nil {
		t.Error(err)
	}
	h.clock.add(time.Hour)
	if _, err := h.Token(secret); !errors.Is(err, ErrUnknown) {
		t.Errorf("expired: %v", err)
	}
	if n := len(h.Tokens()); n != 1 {
		t.Errorf("%d in the list, want the expired one", n)
	}
	check(t, h.RevokeToken(made.ID))
	if err := h.RevokeToken(made.ID); !errors.Is(err, ErrNobody) {
		t.Errorf("again: %v", err)
	}
	for _, c := range []struct {
		name   string
		grants Grants
		life   time.Duration
		field  string
	}{
		{"", Grants{"a": Analyst}, time.Hour, "name"},
		{"a\nb", Grants{"a": Analyst}, time.Hour, "name"},
		{"a", nil, time.Hour, "roles"},
		{"a", Grants{"a": "owner"}, time.Hour, "roles"},
		{"a", Grants{"": Analyst}, time.Hour, "roles"},
		{"a", Grants{"a": Analyst}, 0, "ttl"},
		{"a", Grants{"a": Analyst}, MaxTokenLife + 1, "ttl"},
	} {
		var bad *Bad
		if _, _, err := h.CreateToken(c.name, c.grants, c.life, "ann"); !errors.As(err, &bad) || bad.Field != c.field {
			t.Errorf("%q %v %v: %v, want one about %s", c.name, c.grants, c.life, err, c.field)
		}
	}
}

func TestAFullMachineOfSignIns(t *testing.T) {
	h := newHashing(cheap)
	for range hashesAtOnce + hashesWaiting {
		h.waiting <- struct{}{}
	}
	if _, err := h.make(t.Context(), strings.NewReader(strings.Repeat("s", 99)), good); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	<-h.waiting
	for range hashesAtOnce {
		h.running <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.make(ctx, strings.NewReader(strings.Repeat("s", 99)), good); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(h.waiting) != hashesAtOnce+hashesWaiting-1 {
		t.Error("a place was not given back")
	}
}

// With a database that takes no more, whoever is in stays in and nobody new
// gets in; nothing is said at every request.
func TestAFullDatabase(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	var log countingLog
	a, err := Open(h.db, Options{Cost: cheap, Now: func() time.Time { return h.clock.now }, Logger: slog.New(&log)})
	check(t, err)
	secret, _, err := a.SignIn(t.Context(), "ann", good, from)
	check(t, err)
	token, _, err := a.CreateToken("t", admin, time.Hour, "ann")
	check(t, err)
	check(t, h.db.Close()) // refuses everything, as a stopped one does
	h.clock.add(2 * seenEvery)
	for range 10 {
		if _, _, err := a.Session(secret); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Token(token); err != nil {
			t.Fatal(err)
		}
	}
	if log != 2 {
		t.Errorf("%d lines of log", log)
	}
	if _, _, err := a.SignIn(t.Context(), "ann", good, from); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("signing in: %v", err)
	}
	if err := a.SignOut(secret); !errors.Is(err, kv.ErrClosed) {
		t.Errorf("signing out: %v", err)
	}
	if _, _, err := a.Session(secret); err != nil {
		t.Errorf("a session that could not be ended on disk: %v", err)
	}
}

type countingLog int

func (c *countingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (c *countingLog) Handle(context.Context, slog.Record) error { *c++; return nil }
func (c *countingLog) WithAttrs([]slog.Attr) slog.Handler        { return c }
func (c *countingLog) WithGroup(string) slog.Handler             { return c }

func BenchmarkPassword(b *testing.B) {
	h := newHashing(DefaultCost)
	for b.Loop() {
		if _, err := h.matches(b.Context(), h.nothing(), good); err != nil {
			b.Fatal(err)
		}
	}
}
