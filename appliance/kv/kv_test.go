package kv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// small keeps tests light; Reserve of 1 byte because a build machine's disk
// may be nearly full.
var small = Options{MemTable: 8 << 20, Reserve: 1}

func open(t *testing.T, dir string) *DB {
	t.Helper()
	d, err := Open(dir, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func set(t *testing.T, d *DB, ks Keyspace, pairs ...string) {
	t.Helper()
	err := d.Update(func(tx *Txn) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Set(ks, []byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, d *DB, ks Keyspace, key string) (val string, err error) {
	t.Helper()
	verr := d.View(func(tx *Txn) error {
		var v []byte
		v, err = tx.Get(ks, []byte(key))
		val = string(v)
		return nil
	})
	if verr != nil {
		t.Fatal(verr)
	}
	return val, err
}

// scanned lists "key=value" of a scan.
func scanned(t *testing.T, tx *Txn, ks Keyspace, prefix, from string) []string {
	t.Helper()
	out := []string{}
	err := tx.Scan(ks, []byte(prefix), []byte(from), func(k, v []byte) error {
		out = append(out, string(k)+"="+string(v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatIsCommittedIsThereAfterReopening(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	set(t, d, People, "a", "1", "empty", "")
	set(t, d, Flow, "a", "2")
	boom := errors.New("boom")
	err := d.Update(func(tx *Txn) error {
		if err := tx.Set(People, []byte("b"), []byte("3")); err != nil {
			return err
		}
		return boom
	})
	if err != boom {
		t.Fatalf("got %v, want fn's own error", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = open(t, dir)
	for _, c := range []struct {
		ks        Keyspace
		key, want string
		err       error
	}{
		{People, "a", "1", nil},
		{People, "empty", "", nil},
		{Flow, "a", "2", nil},
		{People, "b", "", ErrNotFound},
		{History, "a", "", ErrNotFound},
	} {
		if got, err := get(t, d, c.ks, c.key); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("keyspace %d key %s: got %q, %v; want %q, %v", c.ks, c.key, got, err, c.want, c.err)
		}
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if d, err := Open(dir, small); !errors.Is(err, ErrInUse) {
		if err == nil {
			d.Close()
		}
		t.Fatalf("got %v, want ErrInUse", err)
	}
}

// The transaction's view is checked against a map, with writes, deletions,
// scans and Last mixed, half of the keys committed before.
func TestTransactionReadsItsOwnWrites(t *testing.T) {
	d := open(t, t.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	model := map[string]string{}
	key := func() string { return fmt.Sprintf("%c%c\xff%c", 'a'+rng.IntN(3), 'a'+rng.IntN(5), 'a'+rng.IntN(5)) }
	for round := range 5 {
		err := d.Update(func(tx *Txn) error {
			for i := range 200 {
				k, v := key(), fmt.Sprint(round, i)
				switch rng.IntN(5) {
				case 0:
					delete(model, k)
					if err := tx.Delete(Campaign, []byte(k)); err != nil {
						return err
					}
				default:
					model[k] = v
					if err := tx.Set(Campaign, []byte(k), []byte(v)); err != nil {
						return err
					}
				}
				if i%10 != 0 {
					continue
				}
				prefix, from := k[:rng.IntN(3)], key()
				var want []string
				var last string
				for _, mk := range slices.Sorted(maps.Keys(model)) {
					if strings.HasPrefix(mk, prefix) {
						last = mk
						if mk >= from {
							want = append(want, mk+"="+model[mk])
						}
					}
				}
				if got := scanned(t, tx, Campaign, prefix, from); !slices.Equal(got, want) {
					return fmt.Errorf("scan %q from %q: got %q, want %q", prefix, from, got, want)
				}
				lk, lv, err := tx.Last(Campaign, []byte(prefix))
				if string(lk) != last || string(lv) != model[last] || (err != nil) != (last == "") {
					return fmt.Errorf("last of %q: got %q %q %v, want %q", prefix, lk, lv, err, last)
				}
				got, err := tx.Get(Campaign, []byte(k))
				if want, there := model[k]; string(got) != want || (err == nil) != there {
					return fmt.Errorf("get %q: got %q, %v; want %q", k, got, err, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLastStaysWithinItsPrefixAndKeyspace(t *testing.T) {
	d := open(t, t.TempDir())
	set(t, d, People, "a", "1", "a\xff\xff", "2", "b", "3")
	set(t, d, PeopleEvents, "", "next keyspace, empty key")
	err := d.View(func(tx *Txn) error {
		for _, c := range []struct{ prefix, want string }{
			{"a", "a\xff\xff"}, {"a\xff", "a\xff\xff"}, {"", "b"}, {"b", "b"}, {"c", ""}, {"\xff", ""},
		} {
			k, _, err := tx.Last(People, []byte(c.prefix))
			if string(k) != c.want || (c.want == "") != errors.Is(err, ErrNotFound) {
				t.Errorf("last of %q: got %q, %v; want %q", c.prefix, k, err, c.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestScanMayWriteAndStop(t *testing.T) {
	d := open(t, t.TempDir())
	set(t, d, Delivery, "1", "old", "2", "old", "3", "old", "4", "old")
	err := d.Update(func(tx *Txn) error {
		var got []string
		err := tx.Scan(Delivery, nil, nil, func(k, v []byte) error {
			got = append(got, string(k)+string(v))
			switch string(k) {
			case "1":
				if err := tx.Set(Delivery, []byte("1a"), nil); err != nil { // not met
					return err
				}
				if err := tx.Delete(Delivery, []byte("2")); err != nil {
					return err
				}
				return tx.Set(Delivery, []byte("3"), []byte("new"))
			case "3":
				return ErrStop
			}
			return nil
		})
		if want := []string{"1old", "3new"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTooBigIsRefusedAndNothingIsWritten(t *testing.T) {
	d := open(t, t.TempDir())
	bytes, keys := d.Limits()
	for name, fill := range map[string]func(tx *Txn) error{
		"bytes": func(tx *Txn) error {
			v := make([]byte, 64<<10)
			for i := int64(0); i <= bytes/int64(len(v)); i++ {
				if err := tx.Set(History, fmt.Append(nil, i), v); err != nil {
					return err
				}
			}
			return nil
		},
		"keys": func(tx *Txn) error {
			for i := int64(0); i <= keys; i++ {
				if err := tx.Set(History, fmt.Append(nil, i), nil); err != nil {
					return err
				}
			}
			return nil
		},
		"value": func(tx *Txn) error { return tx.Set(History, []byte("0"), make([]byte, MaxValue+1)) },
		"key":   func(tx *Txn) error { return tx.Set(History, make([]byte, MaxKey+1), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, swallow := range []bool{false, true} {
				err := d.Update(func(tx *Txn) error {
					err := fill(tx)
					if swallow {
						return nil
					}
					return err
				})
				if !errors.Is(err, ErrTooBig) {
					t.Fatalf("swallowed %v: got %v, want ErrTooBig", swallow, err)
				}
			}
			if _, err := get(t, d, History, "0"); !errors.Is(err, ErrNotFound) {
				t.Fatalf("something was written: %v", err)
			}
		})
	}
	// What just fits must pass Badger's own limit too.
	err := d.Update(func(tx *Txn) error {
		for i := int64(0); i < keys; i++ {
			if err := tx.Set(History, fmt.Append(nil, i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%d keys: %v", keys, err)
	}
	err = d.Update(func(tx *Txn) error {
		v := make([]byte, MaxValue)
		for i := 0; int64(tx.Size()+len(v)+30) < bytes; i++ {
			if err := tx.Set(History, fmt.Append(nil, i), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("full of bytes: %v", err)
	}
}

func TestFailedCommitStopsTheDatabase(t *testing.T) {
	d := open(t, t.TempDir())
	set(t, d, Flow, "cursor", "1")
	// The engine closed under it is the nearest thing to a disk that fails.
	if err := d.b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Update(func(tx *Txn) error { tx.pending[Flow].put([]byte("x"), &write{}); tx.keys++; return nil }); !errors.Is(err, ErrStopped) {
		t.Fatalf("first: got %v, want ErrStopped", err)
	}
	if err := d.Update(func(*Txn) error { t.Error("ran"); return nil }); !errors.Is(err, ErrStopped) {
		t.Fatalf("second: got %v, want ErrStopped", err)
	}
	if err := d.View(func(*Txn) error { t.Error("ran"); return nil }); !errors.Is(err, ErrStopped) {
		t.Fatalf("view: got %v, want ErrStopped", err)
	}
}

func TestFullDiskIsRefusedBeforeWriting(t *testing.T) {
	o := small
	o.Reserve = 1 << 60
	if d, err := Open(t.TempDir(), o); !errors.Is(err, ErrFull) {
		if err == nil {
			d.Close()
		}
		t.Fatalf("open: got %v, want ErrFull", err)
	}
	d := open(t, t.TempDir())
	d.o.Reserve = 1 << 60
	if err := d.Update(func(tx *Txn) error { return nil }); !errors.Is(err, ErrFull) {
		t.Fatalf("update: got %v, want ErrFull", err)
	}
}

func TestUpdatesDoNotLoseEachOther(t *testing.T) {
	d := open(t, t.TempDir())
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				err := d.Update(func(tx *Txn) error {
					n, err := tx.Get(Delivery, []byte("count"))
					if err != nil && !errors.Is(err, ErrNotFound) {
						return err
					}
					return tx.Set(Delivery, []byte("count"), append(n, '.'))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := get(t, d, Delivery, "count"); len(n) != writers*each {
		t.Errorf("%d increments, %v; want %d", len(n), err, writers*each)
	}
}

func TestOnCommitIsCalledForWhatIsOnDisk(t *testing.T) {
	d := open(t, t.TempDir())
	var said []string
	say := func(what string, fail error) error {
		return d.Update(func(tx *Txn) error {
			tx.OnCommit(func() { said = append(said, what) })
			tx.OnCommit(func() { said = append(said, what+" too") })
			if len(said) > 0 && what == "first" {
				t.Error("it was told before it was on disk")
			}
			return errors.Join(tx.Set(Flow, []byte("k"), []byte(what)), fail)
		})
	}
	if err := say("first", nil); err != nil {
		t.Fatal(err)
	}
	if err := say("failed", io.EOF); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if want := []string{"first", "first too"}; !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
}

func TestViewIsASnapshot(t *testing.T) {
	d := open(t, t.TempDir())
	set(t, d, Flow, "k", "before")
	err := d.View(func(tx *Txn) error {
		set(t, d, Flow, "k", "after")
		v, err := tx.Get(Flow, []byte("k"))
		if string(v) != "before" {
			t.Errorf("got %q", v)
		}
		if err := tx.Set(Flow, []byte("k"), nil); err == nil {
			t.Error("a View wrote")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCloseWaitsAndThenRefuses(t *testing.T) {
	d := open(t, t.TempDir())
	inside, release, closed := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		d.View(func(tx *Txn) error {
			close(inside)
			<-release
			_, err := tx.Get(Flow, []byte("k")) // the engine must still be there
			return err
		})
		closed <- nil
	}()
	<-inside
	go func() { closed <- d.Close() }()
	for { // until Close has begun
		if err := d.View(func(*Txn) error { return nil }); errors.Is(err, ErrClosed) {
			break
		}
	}
	close(release)
	for range 2 {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if err := d.Update(func(*Txn) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestBackupHoldsWhatIsThere(t *testing.T) {
	d := open(t, t.TempDir())
	set(t, d, People, "a", "1", "b", "2")
	var buf bytes.Buffer
	if err := d.Backup(&buf); err != nil {
		t.Fatal(err)
	}
	if err := d.Backup(failingWriter{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("failing writer: got %v", err)
	}
	other := open(t, t.TempDir())
	if err := other.b.Load(&buf, 4); err != nil {
		t.Fatal(err)
	}
	if v, err := get(t, other, People, "b"); v != "2" {
		t.Errorf("restored %q, %v", v, err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

var _ badger.Logger = engineLog{}
