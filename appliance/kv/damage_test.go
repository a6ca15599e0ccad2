package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// crashed copies a directory as a crash at this moment would leave it.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == lockName {
			continue
		}
		if err := copyHoles(filepath.Join(dir, e.Name()), filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// only gives the one file that matches.
func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(found) != 1 {
		t.Fatalf("%s: %v", pattern, found)
	}
	return found[0]
}

// edit changes a file's bytes.
func edit(t *testing.T, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, dir string) {
	t.Helper()
	d, err := Open(dir, small)
	if err == nil {
		d.Close()
	}
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v, want ErrDamaged", err)
	}
}

// listing describes all files of a directory but our own, to see that nothing
// was touched.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == lockName || e.Name() == keptManifest {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %d %x\n", e.Name(), len(b), checksum(b))
	}
	return out.String()
}

func checksum(b []byte) (sum uint32) {
	for _, c := range b {
		sum = sum*16777619 ^ uint32(c)
	}
	return sum
}

// tables makes a database of several tables and closes it.
func tables(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for round := range 3 {
		d := open(t, dir)
		for i := range 50 {
			set(t, d, People, fmt.Sprint(round, "-", i), strings.Repeat("x", 200))
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDamageIsRefusedAndLeftAlone(t *testing.T) {
	flip := func(at float64) func([]byte) []byte {
		return func(b []byte) []byte { b[int(float64(len(b)-1)*at)] ^= 4; return b }
	}
	cut := func(n int) func([]byte) []byte {
		return func(b []byte) []byte { return b[:max(0, len(b)-n)] }
	}
	zeroTail := func(b []byte) []byte { clear(b[len(b)-7:]); return b }
	cases := []struct {
		name, file string
		change     func([]byte) []byte
	}{
		{"table, first byte", "000001.sst", flip(0)},
		{"table, middle", "000001.sst", flip(.5)},
		{"table, near the end", "000002.sst", flip(.95)},
		{"table, last byte", "000002.sst", flip(1)},
		{"table, last bytes zero", "000002.sst", zeroTail},
		{"table, cut", "000002.sst", cut(7)},
		{"table, empty", "000003.sst", cut(1 << 30)},
		{"manifest, magic", "MANIFEST", flip(0)},
		{"manifest, middle", "MANIFEST", flip(.5)},
		{"manifest, 20 bytes short", "MANIFEST", cut(20)},
		{"manifest, only its head", "MANIFEST", func(b []byte) []byte { return b[:8] }},
		{"manifest, empty", "MANIFEST", cut(1 << 30)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := tables(t)
			edit(t, filepath.Join(dir, c.file), c.change)
			before := listing(t, dir)
			refused(t, dir)
			refused(t, dir) // not only once
			if after := listing(t, dir); after != before {
				t.Errorf("files changed:\n%s\n%s", before, after)
			}
		})
	}
	for _, file := range []string{"000002.sst", "MANIFEST"} {
		t.Run(file+" deleted", func(t *testing.T) {
			dir := tables(t)
			if err := os.Remove(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			refused(t, dir)
			if after := listing(t, dir); after != before {
				t.Errorf("files changed:\n%s\n%s", before, after)
			}
		})
	}
}

// A crash leaves tables that are not listed, whose pairs are all elsewhere
// still; that must open.
func TestCrashLeavesUnlistedTables(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	for i := range 50 {
		set(t, d, People, fmt.Sprint(i), "x")
	}
	err := d.Update(func(tx *Txn) error { return tx.Delete(People, []byte("7")) })
	if err != nil {
		t.Fatal(err)
	}
	before := crashed(t, dir) // with the log, and no table yet
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(only(t, dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"whole": table, "half": table[:len(table)/2], "empty": nil} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, before)
			if err := os.WriteFile(filepath.Join(dir, "000001.sst"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, dir)
			if v, err := get(t, d, People, "49"); v != "x" {
				t.Errorf("got %q, %v", v, err)
			}
			if _, err := get(t, d, People, "7"); !errors.Is(err, ErrNotFound) {
				t.Errorf("deleted: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, keptManifest)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "trial")); !os.IsNotExist(err) {
				t.Errorf("trial left behind: %v", err)
			}
		})
	}
}

// Whoever was not closed has a log; closed well, nothing is missed.
func TestLogThatIsGone(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	set(t, d, People, "k", "x")
	image := crashed(t, dir)
	if err := os.Remove(only(t, image, "*.mem")); err != nil {
		t.Fatal(err)
	}
	refused(t, image)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := get(t, open(t, dir), People, "k"); v != "x" {
		t.Errorf("got %q, %v", v, err)
	}
}

// A crash may come between a log being made and it getting its size. A log that
// is empty anywhere else may have had something in it.
func TestLogThatIsEmpty(t *testing.T) {
	d := open(t, t.TempDir())
	set(t, d, People, "k", "x")
	empty := func(number string) string {
		image := crashed(t, d.dir) // with the log 00001
		if err := os.WriteFile(filepath.Join(image, number), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return image
	}
	image := empty("00002.mem")
	if v, err := get(t, open(t, image), People, "k"); v != "x" {
		t.Errorf("got %q, %v", v, err)
	}
	refused(t, empty("00000.mem"))
	refused(t, empty("00001.mem"))
	image = empty("00002.mem")
	if err := os.WriteFile(filepath.Join(image, "000009.vlog"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, image)
	// Closed well, nothing can have been in it.
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, empty("00009.mem"))
}

// A crash may come between a merge of tables being listed and the merged ones
// being removed. What was deleted is in those alone then, and that is right.
func TestCrashLeavesMergedTables(t *testing.T) {
	dir := t.TempDir()
	tables := make(map[string]string) // all that there were, and where a copy lies
	for i := range 8 {
		d := open(t, dir)
		set(t, d, People, "kept", "x")
		set(t, d, People, fmt.Sprint("gone", i), "x")
		if err := d.Update(func(tx *Txn) error { return tx.Delete(People, fmt.Append(nil, "gone", i)) }); err != nil {
			t.Fatal(err)
		}
		if err := d.b.Flatten(1); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		found, _ := filepath.Glob(filepath.Join(crashed(t, dir), "*.sst"))
		for _, path := range found {
			tables[filepath.Base(path)] = path
		}
	}
	after, merged := crashed(t, dir), 0
	for name, path := range tables {
		to := filepath.Join(after, name)
		if _, err := os.Stat(to); !os.IsNotExist(err) {
			continue
		}
		merged++
		if err := copyHoles(path, to); err != nil {
			t.Fatal(err)
		}
	}
	if merged == 0 {
		t.Fatal("nothing was merged")
	}
	d := open(t, after)
	if v, err := get(t, d, People, "kept"); v != "x" {
		t.Errorf("got %q, %v", v, err)
	}
	if _, err := get(t, d, People, "gone0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

// After a failed write the engine's own closing may leave a table that is not
// listed and holds what was never acknowledged. Without the word of that it is
// a manifest that lost its end.
func TestTableOfAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	set(t, d, People, "kept", "x")
	before := crashed(t, dir)
	set(t, d, People, "failed", "y")
	d.stop(errors.New("input/output error"))
	if _, err := os.Stat(filepath.Join(dir, stoppedMark)); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(only(t, dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(before, "000001.sst"), table, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, crashed(t, before))
	if err := os.WriteFile(filepath.Join(before, stoppedMark), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d := open(t, before)
		if v, err := get(t, d, People, "kept"); v != "x" {
			t.Errorf("got %q, %v", v, err)
		}
		if _, err := get(t, d, People, "failed"); !errors.Is(err, ErrNotFound) {
			t.Errorf("what failed: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(before, stoppedMark)); !os.IsNotExist(err) {
			t.Errorf("the mark stays: %v", err)
		}
	}
}

// A merge whose line in the manifest was not synced is taken back by Badger,
// table and all, but for the line.
func TestMergeThatFailed(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	set(t, d, People, "kept", "x")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	only(t, dir, "000001.sst")
	merge, err := proto.Marshal(&pb.ManifestChangeSet{Changes: []*pb.ManifestChange{
		{Id: 9, Op: pb.ManifestChange_CREATE, Level: 6}, {Id: 1, Op: pb.ManifestChange_DELETE},
	}})
	if err != nil {
		t.Fatal(err)
	}
	line := binary.BigEndian.AppendUint32(nil, uint32(len(merge)))
	line = append(binary.BigEndian.AppendUint32(line, crc32.Checksum(merge, crc32.MakeTable(crc32.Castagnoli))), merge...)
	edit(t, filepath.Join(dir, "MANIFEST"), func(b []byte) []byte { return append(b, line...) })
	refused(t, crashed(t, dir))
	if err := os.WriteFile(filepath.Join(dir, stoppedMark), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lost := crashed(t, dir)
	if err := os.Remove(filepath.Join(lost, "000001.sst")); err != nil {
		t.Fatal(err)
	}
	refused(t, lost)
	for range 2 {
		d := open(t, dir)
		if v, err := get(t, d, People, "kept"); v != "x" {
			t.Errorf("got %q, %v", v, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, keptManifest)); err != nil {
		t.Error(err)
	}
}

func TestCrashedLogIsReplayed(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	for i := range 100 {
		set(t, d, Flow, fmt.Sprintf("%03d", i), strings.Repeat("v", 100))
	}
	image := crashed(t, dir)
	log := only(t, image, "*.mem")

	// Where the entries of the last transaction lie.
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(b, "\x00"))
	lastKey := bytes.LastIndex(b, []byte("\x01099"))

	for _, c := range []struct {
		name    string
		change  func([]byte) []byte
		want    int // keys from 000
		refused bool
	}{
		{"as it is", func(b []byte) []byte { return b }, 100, false},
		{"torn at the end", func(b []byte) []byte { clear(b[end-3:]); return b }, 99, false},
		{"cut in the last one", func(b []byte) []byte { return b[:lastKey+20] }, 99, false},
		{"damaged in the last one", func(b []byte) []byte { b[lastKey+20] ^= 1; return b }, 0, true},
		{"damaged in the middle", func(b []byte) []byte { b[end/2] ^= 1; return b }, 0, true},
		{"damaged at the beginning", func(b []byte) []byte { b[walHead+2] ^= 1; return b }, 0, true},
		{"a page in the middle lost", func(b []byte) []byte { clear(b[pageBytes : 2*pageBytes]); return b }, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := crashed(t, image)
			edit(t, only(t, dir, "*.mem"), c.change)
			if c.refused {
				refused(t, dir)
				return
			}
			d := open(t, dir)
			for i := range 100 {
				if _, err := get(t, d, Flow, fmt.Sprintf("%03d", i)); (err == nil) != (i < c.want) {
					t.Fatalf("key %d of %d: %v", i, c.want, err)
				}
			}
		})
	}

	t.Run("damaged before a later log", func(t *testing.T) {
		dir := crashed(t, image)
		edit(t, only(t, dir, "*.mem"), func(b []byte) []byte { b[end-2] ^= 1; return b })
		if err := os.WriteFile(filepath.Join(dir, "00009.mem"), make([]byte, walHead), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, dir)
	})
}

// A transaction of many pages of which some reached the disk, its end among
// them, was never acknowledged.
func TestTornBigTransactionIsDropped(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	set(t, d, Flow, "first", "1")
	set(t, d, History, "big", strings.Repeat("v", 10*pageBytes))
	image := crashed(t, dir)
	edit(t, only(t, image, "*.mem"), func(b []byte) []byte { clear(b[2*pageBytes : 4*pageBytes]); return b })
	d = open(t, image)
	if v, err := get(t, d, Flow, "first"); v != "1" {
		t.Errorf("first: %q, %v", v, err)
	}
	if _, err := get(t, d, History, "big"); !errors.Is(err, ErrNotFound) {
		t.Errorf("big: %v", err)
	}
}

func FuzzCheckTable(f *testing.F) {
	dir := f.TempDir()
	d, err := Open(dir, small)
	if err != nil {
		f.Fatal(err)
	}
	if err := d.Update(func(tx *Txn) error { return tx.Set(Flow, []byte("k"), []byte("v")) }); err != nil {
		f.Fatal(err)
	}
	if err := d.Close(); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "000001.sst"))
	if err != nil || checkTable(b) != nil {
		f.Fatal(err, checkTable(b))
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := checkTable(b); err != nil && !errors.Is(err, errTable) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func FuzzCheckWAL(f *testing.F) {
	dir := f.TempDir()
	d, err := Open(dir, small)
	if err != nil {
		f.Fatal(err)
	}
	defer d.Close()
	for i := range 3 {
		if err := d.Update(func(tx *Txn) error { return tx.Set(Flow, fmt.Append(nil, i), []byte("v")) }); err != nil {
			f.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "00001.mem"))
	if err != nil {
		f.Fatal(err)
	}
	b = b[:len(bytes.TrimRight(b, "\x00"))]
	if checkWAL(b, true) != nil {
		f.Fatal("an undamaged log is refused")
	}
	f.Add(b, true)
	f.Add(b[:len(b)-4], false)
	f.Fuzz(func(t *testing.T, b []byte, last bool) {
		if err := checkWAL(b, last); err != nil && !errors.Is(err, errWAL) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
