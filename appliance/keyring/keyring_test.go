package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var master = bytes.Repeat([]byte{7}, MasterBytes)

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func open(t *testing.T, dir string, o Options) *Keyring {
	t.Helper()
	k, err := Open(dir, master, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func publisher(t *testing.T, k *Keyring, name string) *Publisher {
	t.Helper()
	p, err := k.Publisher(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reopen closes k and gives the publisher of a new keyring on the same files.
func reopen(t *testing.T, k *Keyring, o Options, name string) (*Keyring, *Publisher) {
	t.Helper()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k = open(t, k.dir, o)
	return k, publisher(t, k, name)
}

// ways are the three pairs of sealing and opening, for tests of what holds
// for each.
var ways = map[string]struct {
	seal func(p *Publisher, plain, aad []byte) ([]byte, error)
	open func(p *Publisher, sealed, aad []byte) ([]byte, error)
}{
	"record": {(*Publisher).SealRecord, (*Publisher).OpenRecord},
	"chunk":  {(*Publisher).SealChunk, (*Publisher).OpenChunk},
	"person": {
		func(p *Publisher, plain, aad []byte) ([]byte, error) { return p.SealPerson(300, aad, plain) },
		func(p *Publisher, sealed, aad []byte) ([]byte, error) { return p.OpenPerson(300, aad, sealed) },
	},
}

func TestSealedOpensAfterReopening(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			k := open(t, t.TempDir(), Options{})
			p := publisher(t, k, "shop")
			for _, plain := range []string{"", "x", strings.Repeat("long ", 1000)} {
				sealed, err := w.seal(p, []byte(plain), []byte("aad"))
				if err != nil {
					t.Fatal(err)
				}
				k, p = reopen(t, k, Options{}, "shop")
				if got, err := w.open(p, sealed, []byte("aad")); err != nil || string(got) != plain {
					t.Fatalf("got %q, %v", got, err)
				}
			}
		})
	}
}

func TestEveryFlippedBitIsForged(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			p := publisher(t, open(t, t.TempDir(), Options{}), "shop")
			sealed, err := w.seal(p, []byte("plain"), []byte("aad"))
			if err != nil {
				t.Fatal(err)
			}
			for bit := range len(sealed) * 8 {
				bad := bytes.Clone(sealed)
				bad[bit/8] ^= 1 << (bit % 8)
				if got, err := w.open(p, bad, []byte("aad")); !errors.Is(err, ErrForged) {
					t.Fatalf("bit %d: got %q, %v", bit, got, err)
				}
			}
			for cut := range sealed {
				if _, err := w.open(p, sealed[:cut], []byte("aad")); !errors.Is(err, ErrForged) {
					t.Fatalf("cut to %d: got %v", cut, err)
				}
			}
			if _, err := w.open(p, sealed, []byte("aae")); !errors.Is(err, ErrForged) {
				t.Fatalf("other aad: got %v", err)
			}
		})
	}
}

func TestNothingOpensAsAnythingElse(t *testing.T) {
	k := open(t, t.TempDir(), Options{})
	shop, bank := publisher(t, k, "shop"), publisher(t, k, "bank")
	for name, w := range ways {
		sealed, err := w.seal(shop, []byte("plain"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.open(bank, sealed, nil); !errors.Is(err, ErrForged) {
			t.Errorf("%s opened by another publisher: %v", name, err)
		}
		for other, ow := range ways {
			if _, err := ow.open(shop, sealed, nil); other != name && !errors.Is(err, ErrForged) {
				t.Errorf("%s opened as %s: %v", name, other, err)
			}
		}
	}
	sealed, err := shop.SealPerson(1, nil, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shop.OpenPerson(2, nil, sealed); !errors.Is(err, ErrForged) {
		t.Errorf("opened as another person: %v", err)
	}
	if _, err := shop.OpenPerson(1<<20, nil, sealed); !errors.Is(err, ErrForged) {
		t.Errorf("opened as a person without a key: %v", err)
	}
}

func TestWrongMasterIsTold(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, Options{})
	publisher(t, k, "shop")
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][]byte{"other": bytes.Repeat([]byte{8}, MasterBytes), "short": master[1:], "none": nil} {
		if _, err := Open(dir, wrong, Options{}); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: got %v, want ErrLocked", name, err)
		}
	}
	open(t, dir, Options{}) // the failures let go of the lock
	if _, err := Open(dir, master, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second opener: got %v, want ErrInUse", err)
	}
}

// Each file is damaged, cut and deleted in turn: it must be noticed, and
// nothing made anew in its place.
func TestDamagedFilesAreNoticed(t *testing.T) {
	fresh := func(t *testing.T) (string, []byte) {
		dir := t.TempDir()
		k := open(t, dir, Options{})
		sealed, err := publisher(t, k, "shop").SealPerson(1, nil, []byte("plain"))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		return dir, sealed
	}
	use := func(dir string, sealed []byte) error {
		k, err := Open(dir, master, Options{})
		if err != nil {
			return err
		}
		defer k.Close()
		p, err := k.Publisher("shop")
		if err != nil {
			return err
		}
		if _, err := p.OpenPerson(1, nil, sealed); err != nil {
			return err
		}
		_, err = p.SealPerson(1, nil, nil)
		return err
	}
	for _, file := range []string{"ring", "shop/publisher", "shop/epochs", "shop/pages.made", "shop/pages/000000"} {
		damages := map[string]func(path string, b []byte) error{
			"deleted":   func(path string, b []byte) error { return os.Remove(path) },
			"emptied":   func(path string, b []byte) error { return os.WriteFile(path, nil, 0o600) },
			"cut short": func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)-1], 0o600) },
		}
		for _, at := range []float64{0, .1, .3, .5, .9, .999} {
			damages[fmt.Sprintf("flipped at %g", at)] = func(path string, b []byte) error {
				b[int(float64(len(b))*at)] ^= 0x10
				return os.WriteFile(path, b, 0o600)
			}
		}
		for name, damage := range damages {
			t.Run(file+" "+name, func(t *testing.T) {
				dir, sealed := fresh(t)
				if err := use(dir, sealed); err != nil {
					t.Fatalf("undamaged: %v", err)
				}
				path := filepath.Join(dir, file)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := damage(path, b); err != nil {
					t.Fatal(err)
				}
				before, _ := os.ReadFile(path)
				err = use(dir, sealed)
				if !errors.Is(err, ErrForged) && !errors.Is(err, ErrMissing) {
					t.Fatalf("got %v", err)
				}
				if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
					t.Error("the damaged file was replaced")
				}
			})
		}
	}
}

func TestFilesOfOnePublisherAreNotAnothers(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, Options{})
	publisher(t, k, "shop")
	publisher(t, k, "bank")
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "shop/publisher"), filepath.Join(dir, "bank/publisher")); err != nil {
		t.Fatal(err)
	}
	k = open(t, dir, Options{})
	if _, err := k.Publisher("bank"); !errors.Is(err, ErrForged) {
		t.Errorf("got %v, want ErrForged", err)
	}
}

func TestPublisherNames(t *testing.T) {
	k := open(t, t.TempDir(), Options{})
	for _, good := range []string{"a", "shop-1", "0_x", strings.Repeat("a", MaxPublisher)} {
		publisher(t, k, good)
	}
	for _, bad := range []string{"", ".", "..", "a/b", "A", "-a", "_a", "a.new", "lock\x00", strings.Repeat("a", MaxPublisher+1)} {
		if _, err := k.Publisher(bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: got %v, want ErrName", bad, err)
		}
	}
	if a, b := publisher(t, k, "a"), publisher(t, k, "a"); a != b {
		t.Error("two publishers of one name")
	}
}

func TestEpochsRollWithTheDay(t *testing.T) {
	c := newClock()
	k := open(t, t.TempDir(), Options{Now: c.now})
	p := publisher(t, k, "shop")
	var sealed [][]byte
	seal := func(want uint32) {
		t.Helper()
		s, err := p.SealRecord([]byte("plain"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := p.EpochOf(s); e != want || p.Epoch() != want {
			t.Fatalf("epoch %d, %v, present %d; want %d", e, err, p.Epoch(), want)
		}
		sealed = append(sealed, s)
	}
	seal(1)
	c.add(11 * time.Hour)
	seal(1)
	c.add(time.Hour) // midnight
	seal(2)
	if n, err := p.NewEpoch(); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	seal(3)
	c.add(-48 * time.Hour) // a clock set back still changes daily
	seal(4)
	c.add(24 * time.Hour)
	seal(5)
	k, p = reopen(t, k, Options{Now: c.now}, "shop")
	seal(5)

	if err := p.DestroyEpochsBefore(6); err == nil {
		t.Error("an epoch that has not begun was destroyed")
	}
	if err := p.DestroyEpochsBefore(3); err != nil {
		t.Fatal(err)
	}
	for range 2 { // before and after reopening
		for _, s := range sealed {
			e, _ := p.EpochOf(s)
			var want error
			if e < 3 {
				want = ErrDestroyed
			}
			if _, err := p.OpenRecord(s, nil); !errors.Is(err, want) {
				t.Errorf("epoch %d: got %v, want %v", e, err, want)
			}
		}
		k, p = reopen(t, k, Options{Now: c.now}, "shop")
	}
	if err := p.DestroyEpochsBefore(1); err != nil { // already gone
		t.Error(err)
	}
}

func TestDestroyedPersonIsUnreadable(t *testing.T) {
	k := open(t, t.TempDir(), Options{CachePages: 2})
	p := publisher(t, k, "shop")
	persons := []uint32{1, 2, 255, 256, 257, 100_000, 4_000_000_000}
	gone := map[uint32]bool{2: true, 256: true, 4_000_000_000: true, 777: true}
	sealed := map[uint32][]byte{}
	for _, n := range persons {
		var err error
		if sealed[n], err = p.SealPerson(n, nil, fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.DestroyPerson(256, 2, 4_000_000_000, 2, 777); err != nil { // 777 never had a key
		t.Fatal(err)
	}
	for range 2 { // before and after reopening
		for _, n := range append(persons, 777) {
			if p.Destroyed(n) != gone[n] {
				t.Errorf("person %d: destroyed is %v", n, !gone[n])
			}
			_, sealErr := p.SealPerson(n, nil, nil)
			if gone[n] != errors.Is(sealErr, ErrDestroyed) {
				t.Errorf("person %d: sealing again: %v", n, sealErr)
			}
			if sealed[n] == nil {
				continue
			}
			got, err := p.OpenPerson(n, nil, sealed[n])
			if gone[n] && !errors.Is(err, ErrDestroyed) || !gone[n] && string(got) != fmt.Sprint(n) {
				t.Errorf("person %d: got %q, %v", n, got, err)
			}
		}
		k, p = reopen(t, k, Options{CachePages: 2}, "shop")
	}
	if p.Destroyed(12345678) {
		t.Error("a person who never had a key counts as destroyed")
	}
}

// The same files give the same key to a person at each replay, and random
// bytes of keys never reach the disk in the clear.
func TestNothingRestsInTheClear(t *testing.T) {
	dir := t.TempDir()
	rec := &recorder{from: rand.NewChaCha8([32]byte{1})}
	c := newClock()
	k := open(t, dir, Options{Rand: rec, Now: c.now})
	p := publisher(t, k, "canary-shop")
	const canary = "canary-7f3a@example.com"
	for n := uint32(1); n < 600; n += 7 {
		if _, err := p.SealPerson(n, []byte(canary), []byte(canary)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.SealRecord([]byte(canary), nil); err != nil {
		t.Fatal(err)
	}
	if err := p.DestroyPerson(1, 8); err != nil {
		t.Fatal(err)
	}
	if _, err := p.NewEpoch(); err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{[]byte(canary), master, []byte(hex.EncodeToString(master))}
	for b := rec.gave; len(b) >= keyBytes; b = b[keyBytes:] {
		secrets = append(secrets, b[:keyBytes])
	}
	if len(secrets) < 500 {
		t.Fatalf("only %d secrets recorded", len(secrets))
	}
	set := map[string]bool{}
	for _, s := range secrets {
		set[string(s[:16])] = true
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for i := 0; i+16 <= len(b); i++ {
			if set[string(b[i:i+16])] {
				t.Errorf("a secret lies in %s at %d", path, i)
				break
			}
		}
		if st, err := d.Info(); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", path, st.Mode(), err)
		}
		return err
	})
	if err != nil || files < 4 {
		t.Fatalf("%d files, %v", files, err)
	}
}

type recorder struct {
	from *rand.ChaCha8
	gave []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.gave = append(r.gave, p[:n]...)
	return n, err
}

// A crash can leave files in every state of a replacement; opening finishes it.
func TestInterruptedReplacementIsFinished(t *testing.T) {
	for name, leave := range map[string]func(page string) error{
		"new incomplete": func(page string) error { return os.WriteFile(page+newSuffix, []byte("CLK"), 0o600) },
		"linked, not renamed": func(page string) error {
			if err := os.WriteFile(page+newSuffix, []byte("CLK"), 0o600); err != nil {
				return err
			}
			return os.Link(page, page+oldSuffix)
		},
		"renamed, not overwritten": func(page string) error {
			b, err := os.ReadFile(page)
			if err != nil {
				return err
			}
			return os.WriteFile(page+oldSuffix, b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := open(t, t.TempDir(), Options{})
			p := publisher(t, k, "shop")
			sealed, err := p.SealPerson(5, nil, []byte("plain"))
			if err != nil {
				t.Fatal(err)
			}
			if err := leave(p.pagePath(0)); err != nil {
				t.Fatal(err)
			}
			for _, how := range []string{"same process", "reopened"} {
				if got, err := p.OpenPerson(5, nil, sealed); err != nil || string(got) != "plain" {
					t.Fatalf("%s: got %q, %v", how, got, err)
				}
				if err := p.DestroyPerson(6); err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				k, p = reopen(t, k, Options{}, "shop")
			}
			if left, _ := filepath.Glob(filepath.Join(p.pagesDir(), "*.*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			if !p.Destroyed(6) || p.Destroyed(5) {
				t.Error("wrong persons destroyed")
			}
		})
	}
}

func TestOldPageIsOverwritten(t *testing.T) {
	k := open(t, t.TempDir(), Options{})
	p := publisher(t, k, "shop")
	if _, err := p.SealPerson(5, nil, nil); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(p.pagePath(0)) // keeps the inode after its last name is gone
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := p.DestroyPerson(5); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16384)
	n, _ := old.ReadAt(b, 0)
	if n < pageSlots*keyBytes || len(bytes.Trim(b[:n], "\x00")) != 0 {
		t.Errorf("%d bytes, not all overwritten", n)
	}
}

func TestHashAndSignSeparate(t *testing.T) {
	k := open(t, t.TempDir(), Options{})
	p, bank := publisher(t, k, "shop"), publisher(t, k, "bank")
	seen := map[[32]byte]string{}
	for _, c := range []struct {
		p      *Publisher
		domain string
		parts  []string
	}{
		{p, "d", nil}, {p, "d", []string{""}}, {p, "d", []string{"ab"}}, {p, "d", []string{"a", "b"}},
		{p, "da", []string{"b"}}, {p, "e", []string{"ab"}}, {bank, "d", []string{"ab"}},
	} {
		var parts [][]byte
		for _, s := range c.parts {
			parts = append(parts, []byte(s))
		}
		h, name := c.p.Hash(c.domain, parts...), fmt.Sprintf("%s %s %q", c.p.name, c.domain, c.parts)
		if other, dup := seen[h]; dup {
			t.Errorf("%s and %s hash alike", name, other)
		}
		seen[h] = name
	}
	sig := p.Sign("erasure", []byte("certificate"))
	h := p.Hash("d", []byte("x"))
	_, p2 := reopen(t, k, Options{}, "shop")
	if h != p2.Hash("d", []byte("x")) {
		t.Error("another hash after reopening")
	}
	for _, c := range []struct {
		domain, msg string
		want        bool
	}{{"erasure", "certificate", true}, {"erasurec", "ertificate", false}, {"erasure", "other", false}} {
		if p2.Verify(c.domain, []byte(c.msg), sig) != c.want {
			t.Errorf("%s %s: want %v", c.domain, c.msg, c.want)
		}
	}
	if len(p2.SigningKey()) != 32 || bytes.Equal(p2.SigningKey(), bank.SigningKey()) {
		t.Error("signing keys")
	}
}

func TestClosed(t *testing.T) {
	k := open(t, t.TempDir(), Options{})
	p := publisher(t, k, "shop")
	sealed, err := p.SealRecord(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for name, w := range ways {
		if _, err := w.seal(p, nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, errOpen := p.OpenRecord(sealed, nil)
	_, errEpoch := p.NewEpoch()
	_, errPub := k.Publisher("shop")
	for _, err := range []error{errOpen, errEpoch, errPub, p.DestroyPerson(1), p.DestroyEpochsBefore(1)} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newClock()
	k := open(t, t.TempDir(), Options{Now: c.now, CachePages: 3})
	p := publisher(t, k, "shop")
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range 60 {
				n := uint32(rng.IntN(2000)) + 1
				if n%100 == uint32(g) {
					if err := p.DestroyPerson(n); err != nil {
						t.Error(err)
					}
					if !p.Destroyed(n) {
						t.Errorf("%d not destroyed", n)
					}
				}
				sealed, err := p.SealPerson(n, nil, fmt.Append(nil, n))
				if err == nil {
					var got []byte
					got, err = p.OpenPerson(n, nil, sealed)
					if err == nil && string(got) != fmt.Sprint(n) {
						t.Errorf("%d opened as %q", n, got)
					}
				}
				if err != nil && !(n%100 < 6 && errors.Is(err, ErrDestroyed)) {
					t.Error(err)
				}
				if i%20 == 0 {
					c.add(7 * time.Hour)
				}
				rec, err := p.SealRecord([]byte("r"), nil)
				if err != nil {
					t.Error(err)
				} else if _, err := p.OpenRecord(rec, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestMasterFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master")
	made, err := CreateMaster(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if got, err := LoadMaster(path); err != nil || !bytes.Equal(got, made) {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := CreateMaster(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made over another: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
	text := hex.EncodeToString(made)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		ok   bool
	}{
		"no newline":   {text, 0o400, true},
		"windows line": {text + "\r\n", 0o600, true},
		"readable":     {text, 0o440, false},
		"short":        {text[1:], 0o400, false},
		"long":         {text + "00", 0o400, false},
		"not hex":      {"g" + text[1:], 0o400, false},
		"empty":        {"", 0o400, false},
	} {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadMaster(path)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), text[2:10]) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
	if _, err := LoadMaster(dir); err == nil {
		t.Error("a directory was taken for a key")
	}
}
