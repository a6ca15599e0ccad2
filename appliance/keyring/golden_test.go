package keyring

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/cryptotest"
)

var update = flag.Bool("update", false, "write testdata/v1 anew; never after a release")

// golden is a keyring made by version 1 with known randomness, and one thing
// sealed in each way. Person 300 is in the second page; 301's key is destroyed.
const golden = "testdata/v1"

// makeGolden makes it in dir.
func makeGolden(t *testing.T, dir string) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1) // nonces
	k := open(t, dir, Options{Rand: rand.NewChaCha8([32]byte{1}), Now: newClock().now})
	p := publisher(t, k, "shop")
	for _, name := range []string{"record", "chunk", "person"} { // in this order: nonces come in turn
		sealed, err := ways[name].seal(p, []byte("plain "+name), []byte("aad"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".sealed"), sealed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.DestroyPerson(301); err != nil {
		t.Fatal(err)
	}
	if _, err := p.NewEpoch(); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	// One page is enough to keep.
	pages, _ := filepath.Glob(filepath.Join(dir, "shop/pages/*"))
	for _, path := range pages {
		if filepath.Base(path) != "000001" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
}

func TestVersion1IsReadable(t *testing.T) {
	if *update {
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		makeGolden(t, golden)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, open(t, dir, Options{Now: newClock().now}), "shop")
	for name, w := range ways {
		sealed, err := os.ReadFile(filepath.Join(dir, name+".sealed"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.open(p, sealed, []byte("aad")); err != nil || string(got) != "plain "+name {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if !p.Destroyed(301) || p.Destroyed(300) || p.Epoch() != 2 {
		t.Errorf("destroyed %v and %v, epoch %d", p.Destroyed(301), p.Destroyed(300), p.Epoch())
	}
	if _, err := p.SealPerson(2000, nil, nil); !errors.Is(err, ErrMissing) {
		t.Errorf("a page that was made and taken away: %v", err)
	}
}

// The same randomness and the same calls give the same bytes.
func TestVersion1IsWrittenTheSame(t *testing.T) {
	dir := t.TempDir()
	makeGolden(t, dir)
	files := 0
	err := filepath.WalkDir(golden, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		rel, err := filepath.Rel(golden, path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(dir, rel))
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d", rel, len(got), len(want))
		}
		return err
	})
	if err != nil || files != 8 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// Whatever the bytes, an opener answers with a sentinel, and never opens what
// was not sealed.
func FuzzOpeners(f *testing.F) {
	dir := f.TempDir()
	k, err := Open(dir, master, Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer k.Close()
	p, err := k.Publisher("shop")
	if err != nil {
		f.Fatal(err)
	}
	for _, w := range ways {
		sealed, err := w.seal(p, []byte("plain"), []byte("other aad"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
		f.Add(sealed[:7])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, w := range ways {
			if got, err := w.open(p, b, []byte("aad")); !errors.Is(err, ErrForged) {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	})
}

func FuzzFiles(f *testing.F) {
	e := epochs{low: 3, list: []epoch{{number: 3}, {number: 4, day: -1}}}
	f.Add(frame(kindEpochs, 0, e.encode()))
	f.Add(e.encode())
	f.Add([]byte("CLKR"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if payload, err := unframe(b, kindEpochs, 0); err == nil {
			if !bytes.Equal(frame(kindEpochs, 0, payload), b) {
				t.Error("another frame of the same payload")
			}
		} else if !errors.Is(err, ErrForged) {
			t.Errorf("frame: %v", err)
		}
		if e, err := decodeEpochs(b); err == nil {
			if !bytes.Equal(e.encode(), b) {
				t.Error("other bytes of the same epochs")
			}
		} else if !errors.Is(err, ErrForged) {
			t.Errorf("epochs: %v", err)
		}
	})
}
