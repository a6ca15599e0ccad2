package access

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/kv"
)

// counting is a source of randomness that gives the same every time.
type counting struct{ n byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

// The bytes of the released records: a change here is a new version of them.
func TestGoldenRecords(t *testing.T) {
	h := open(t)
	a, err := Open(h.db, Options{Cost: cheap, Now: func() time.Time { return h.clock.now }, Rand: &counting{}})
	check(t, err)
	_, err = a.AddOperator("ann", Grants{Everywhere: Admin, "acme": Analyst})
	check(t, err)
	check(t, a.SetPassword(t.Context(), "ann", good, ""))
	_, _, err = a.SignIn(t.Context(), "ann", good, from)
	check(t, err)
	_, _, err = a.CreateToken("warehouse", Grants{"acme": Analyst}, time.Hour, "ann")
	check(t, err)
	_, _, err = a.Link("ann")
	check(t, err)
	var got bytes.Buffer
	check(t, h.db.View(func(tx *kv.Txn) error {
		return tx.Scan(kv.Access, nil, nil, func(key, val []byte) error {
			fmt.Fprintf(&got, "%c %s %s\n", key[0], hex.EncodeToString(key[1:]), val)
			return nil
		})
	}))
	const file = "testdata/records-v1.txt"
	want, err := os.ReadFile(file)
	check(t, err)
	if got.String() != string(want) {
		t.Errorf("the records are\n%s\n%s has\n%s", got.String(), file, want)
	}
	// And what lies there can be read.
	for line := range strings.Lines(string(want)) {
		parts := strings.SplitN(strings.TrimSpace(line), " ", 3)
		key, err := hex.DecodeString(parts[1])
		check(t, err)
		check(t, a.read(append([]byte(parts[0]), key...), []byte(parts[2])))
	}
}

func TestNoSecretIsKept(t *testing.T) {
	h := open(t)
	h.add("ann", admin)
	secrets := []string{good, h.signIn("ann")}
	token, _, err := h.CreateToken("warehouse", admin, time.Hour, "ann")
	check(t, err)
	link, _, err := h.Link("ann")
	check(t, err)
	secrets = append(secrets, token, link)
	check(t, h.db.View(func(tx *kv.Txn) error {
		return tx.Scan(kv.Access, nil, nil, func(key, val []byte) error {
			for _, s := range secrets {
				if bytes.Contains(key, []byte(s)) || bytes.Contains(val, []byte(s)) {
					t.Errorf("a record %q holds a secret", key[:1])
				}
			}
			return nil
		})
	}))
}

func TestDamagedRecordsAreAnError(t *testing.T) {
	for _, c := range []struct{ key, val string }{
		{"o" + strings.Repeat("k", 32), `{"name":"ann"}`}, // not under its name
		{string(operatorKeyOf("ann")), `{"name":"ann","hash":"$argon2id$"}`},
		{string(operatorKeyOf("ann")), `{"name":"ann","what":1}`},
		{string(operatorKeyOf("ann")), `{`},
		{"t" + strings.Repeat("k", 32), `[]`},
		{"t" + strings.Repeat("k", 31), `{}`},
		{"s" + strings.Repeat("k", 32), `{"operator":1}`},
		{"l" + strings.Repeat("k", 32), ``},
		{"x" + strings.Repeat("k", 32), `{}`},
	} {
		h := open(t)
		check(t, h.db.Update(func(tx *kv.Txn) error { return tx.Set(kv.Access, []byte(c.key), []byte(c.val)) }))
		if _, err := Open(h.db, Options{Cost: cheap}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q %s: %v", c.key[:1], c.val, err)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(newHashing(cheap).nothing())
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=99999999,t=2,p=1$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, salt, key, err := parsePHC(s)
		if err != nil {
			return
		}
		if c.Memory > 1<<20 || c.Passes > 64 || c.Lanes > 16 {
			t.Errorf("a cost of %+v is taken", c)
		}
		if phc(c, salt, key) != s {
			t.Errorf("%q comes back as %q", s, phc(c, salt, key))
		}
	})
}
