package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// mustNotice checks that a changed log is neither verified nor gone on with.
func mustNotice(t *testing.T, dir, what string, heads ...[]byte) {
	t.Helper()
	if _, err := Verify(dir, "", heads...); err == nil {
		t.Errorf("%s: not noticed", what)
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	dir := made(t, 4, Options{FileBytes: 500})
	for _, path := range logFiles(t, dir) {
		whole := content(t, path)
		for i := range whole {
			b := bytes.Clone(whole)
			b[i] ^= 0x10
			put(t, path, b)
			if _, err := Verify(dir, ""); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s, byte %d of %d: %v", filepath.Base(path), i, len(whole), err)
			}
		}
		put(t, path, whole)
	}
	if _, err := Verify(dir, ""); err != nil {
		t.Fatal(err)
	}
}

func TestEveryShorteningIsNoticed(t *testing.T) {
	dir := made(t, 3, Options{FileBytes: 400})
	for _, path := range logFiles(t, dir) {
		whole := content(t, path)
		for n := range whole {
			put(t, path, whole[:n])
			mustNotice(t, dir, "shortened")
		}
		put(t, path, whole)
	}
}

func TestLinesAndFilesThatAreMovedAreNoticed(t *testing.T) {
	dir := made(t, 12, Options{FileBytes: 700})
	paths := logFiles(t, dir)
	if len(paths) < 3 {
		t.Fatalf("%d files, more are needed", len(paths))
	}
	for _, path := range paths {
		whole := content(t, path)
		lines := bytes.SplitAfter(whole, []byte{'\n'})
		lines = lines[:len(lines)-1]
		for i := range lines {
			put(t, path, bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
			mustNotice(t, dir, "a line was removed")
			put(t, path, bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil))
			if i < len(lines)-1 || path != paths[len(paths)-1] {
				mustNotice(t, dir, "a line was repeated")
			}
			for j := range i {
				swapped := slices.Clone(lines)
				swapped[i], swapped[j] = swapped[j], swapped[i]
				put(t, path, bytes.Join(swapped, nil))
				mustNotice(t, dir, "two lines were swapped")
			}
		}
		check(t, os.Remove(path))
		mustNotice(t, dir, "a file was removed")
		put(t, path, whole)
	}
	for _, name := range []string{headFile, verifierFile} {
		path := filepath.Join(dir, name)
		b := content(t, path)
		check(t, os.Remove(path))
		mustNotice(t, dir, name+" was removed")
		for i := range b[:len(b)-1] {
			c := bytes.Clone(b)
			c[i] ^= 0x10
			put(t, path, c)
			mustNotice(t, dir, name+" was changed")
		}
		put(t, path, b)
	}
}

func TestALogThatWasReplacedAsAWholeNeedsAHeadFromOutside(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	l.add(t, 3)
	before := copyDir(t, dir)
	l.add(t, 3)
	head := l.Head()
	verifier := string(content(t, filepath.Join(dir, verifierFile)))
	check(t, l.Close())
	if _, err := Verify(dir, verifier, head); err != nil {
		t.Fatal(err)
	}
	// An older copy is whole in itself.
	if _, err := Verify(before, ""); err != nil {
		t.Error(err)
	}
	if _, err := Verify(before, "", head); !errors.Is(err, ErrDamaged) {
		t.Errorf("an older copy, with a head from outside: %v", err)
	}
	// So is one that somebody else signed.
	other := made(t, 6, Options{})
	if _, err := Verify(other, ""); err != nil {
		t.Error(err)
	}
	if _, err := Verify(other, verifier); !errors.Is(err, ErrDamaged) {
		t.Errorf("another's, with the verifier from outside: %v", err)
	}
	if _, err := Verify(other, "", head); !errors.Is(err, ErrDamaged) {
		t.Errorf("another's, with a head from outside: %v", err)
	}
}

func TestDamageAtOpenIsNeverWrittenOver(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(dir string)
	}{
		{"no head", func(dir string) { check(t, os.Remove(filepath.Join(dir, headFile))) }},
		{"no key", func(dir string) { check(t, os.Remove(filepath.Join(dir, keyFile))) }},
		{"no verifier", func(dir string) { check(t, os.Remove(filepath.Join(dir, verifierFile))) }},
		{"another's verifier", func(dir string) {
			put(t, filepath.Join(dir, verifierFile), content(t, filepath.Join(made(t, 1, Options{}), verifierFile)))
		}},
		{"no files", func(dir string) { check(t, os.Remove(logFiles(t, dir)[0])) }},
		{"an empty file", func(dir string) { put(t, logFiles(t, dir)[0], nil) }},
		{"a line less", func(dir string) {
			b := content(t, logFiles(t, dir)[0])
			put(t, logFiles(t, dir)[0], b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1])
		}},
		{"half a line less", func(dir string) {
			b := content(t, logFiles(t, dir)[0])
			put(t, logFiles(t, dir)[0], b[:len(b)-10])
		}},
		{"garbage", func(dir string) { put(t, logFiles(t, dir)[0], bytes.Repeat([]byte("garbage"), 10_000)) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := made(t, 4, Options{})
			c.do(dir)
			var left []byte
			if paths := logFiles(t, dir); len(paths) > 0 {
				left = content(t, paths[0])
			}
			l := open(t, Options{Dir: dir})
			got, err := l.List(t.Context(), "", 10)
			check(t, err)
			if len(got) != 1 || got[0].Action != actionDamaged {
				t.Fatalf("the log goes on with %+v", got)
			}
			if left != nil {
				if b := content(t, filepath.Join(dir, got[0].Subject, fileName(0))); !bytes.Equal(b, left) {
					t.Error("what was set aside is not what was there")
				}
			}
			l.add(t, 1)
		})
	}
}

func TestTheTreeIsThatOfRFC6962(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), 0, 70).Draw(t, "lines")
		var mine tree
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, a := range at {
				out[i] = stored[a]
			}
			return out, nil
		})
		for i, line := range lines {
			mine.add(line)
			hs, err := tlog.StoredHashes(int64(i), line, reader)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, hs...)
			want, err := tlog.TreeHash(int64(i+1), reader)
			if err != nil {
				t.Fatal(err)
			}
			if mine.root() != want {
				t.Fatalf("the root of %d lines is %v, want %v", i+1, mine.root(), want)
			}
			edge := make([]string, len(mine.edge))
			for j, h := range mine.edge {
				edge[j] = h.String()
			}
			again, err := edgeOf(mine.size, edge)
			if err != nil || !again.equal(&mine) {
				t.Fatalf("the edge does not come back: %v", err)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"cloister_audit":1,"first":0,"edge":[]}` + "\n" + `{"n":0}` + "\n"))
	f.Add([]byte(`{"cloister_audit":1,"first":0,"edge":[]}` + "\n" + `{"action":"audit.trimmed","subject":"entry 3"}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		put(t, filepath.Join(dir, fileName(0)), b)
		got, err := read(dir)
		if err != nil {
			return
		}
		if got.tree.size > int64(bytes.Count(b, []byte{'\n'})) || got.files[0].bytes+got.torn != int64(len(b)) {
			t.Errorf("%d entries, %d bytes and %d torn, of %d bytes", got.tree.size, got.files[0].bytes, got.torn, len(b))
		}
	})
}

func FuzzParseHead(f *testing.F) {
	private, public, err := note.GenerateKey(zeros{}, "cloister")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		f.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		f.Fatal(err)
	}
	good, err := sign(signer, &tree{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHead(b, v); err == nil && h.size != 0 {
			t.Errorf("a head of %d entries was never signed", h.size)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
