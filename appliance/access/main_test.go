package access

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloisterhq/cloister/appliance/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap is a cost for tests; the real one takes too long to try often.
var cheap = Cost{Memory: 64, Passes: 1, Lanes: 1}

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) add(d time.Duration) { c.now = c.now.Add(d) }

// house is an Access with its database and clock, which it can reopen.
type house struct {
	*Access
	t     *testing.T
	db    *kv.DB
	clock *clock
}

func open(t *testing.T) *house {
	t.Helper()
	db, err := kv.Open(t.TempDir(), kv.Options{MemTable: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{t: t, db: db, clock: &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}}
	h.reopen()
	return h
}

// reopen is what a restart does.
func (h *house) reopen() {
	h.t.Helper()
	a, err := Open(h.db, Options{Cost: cheap, Now: func() time.Time { return h.clock.now }})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Access = a
}

const good = "correct horse battery"

// operator makes one with a password.
func (h *house) add(name string, g Grants) {
	h.t.Helper()
	if _, err := h.AddOperator(name, g); err != nil {
		h.t.Fatal(err)
	}
	if err := h.SetPassword(h.t.Context(), name, good, ""); err != nil {
		h.t.Fatal(err)
	}
}

var from = Origin{Address: "192.0.2.1", Agent: "test"}

func (h *house) signIn(name string) string {
	h.t.Helper()
	secret, _, err := h.SignIn(h.t.Context(), name, good, from)
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}
