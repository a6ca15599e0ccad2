package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// keptManifest is the copy of the manifest from before an opening at which it
// did not agree with the tables.
const keptManifest = "MANIFEST.kept"

// stoppedMark is there after a write that failed, until the next opening.
const stoppedMark = "STOPPED"

// openMark is there while a database is open, and after it was not closed: then
// there is a log, which holds what was written last.
const openMark = "OPEN"

// checkDir verifies a Badger directory that is locked and closed, before
// Badger sees it: Badger repairs what does not agree by deleting it. It changes
// nothing but to keep a copy of the manifest. Whatever is wrong is ErrDamaged.
func checkDir(dir string, bo badger.Options) error {
	files, err := listEngine(dir)
	if err != nil {
		return err
	}
	listed, merged, torn, err := readManifest(dir, bo)
	if errors.Is(err, fs.ErrNotExist) {
		if n := len(files.tables) + len(files.logs) + len(files.values); n > 0 {
			return fmt.Errorf("%w: %s has no %s, but %d files that it should list", ErrDamaged, dir, badger.ManifestFilename, n)
		}
		return nil // a new directory
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, stoppedMark)); err == nil {
		undone, err := undoFailedMerge(dir, listed, files.tables)
		if err != nil {
			return err
		}
		if undone {
			if listed, merged, torn, err = readManifest(dir, bo); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, openMark)); err == nil && len(files.logs) == 0 {
		return fmt.Errorf("%w: %s was not closed, and its log is gone", ErrDamaged, dir)
	}
	for _, id := range listed {
		path := table.NewFilename(id, dir)
		if err := checkFile(path, checkTable); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
		}
	}
	for i, path := range files.logs {
		last := i == len(files.logs)-1
		if err := checkFile(path, func(b []byte) error { return checkWAL(b, last) }); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
		}
	}
	var unlisted []uint64
	for _, id := range files.tables {
		// One that was merged into others, and not removed before a crash, is
		// right to go: a merge leaves out what was deleted. Where the manifest
		// lost its end, its number may have been given again.
		if !slices.Contains(listed, id) && (torn || !slices.Contains(merged, id)) {
			unlisted = append(unlisted, id)
		}
	}
	if !torn && len(unlisted) == 0 {
		return nil
	}
	manifest, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, keptManifest), manifest); err != nil {
		return err
	}
	if len(unlisted) == 0 {
		return nil
	}
	// Closing after a failed write makes tables of what is in memory, the
	// transaction that failed included, and may fail again before they are
	// listed. What was acknowledged is in the logs or in listed tables then.
	if _, err := os.Stat(filepath.Join(dir, stoppedMark)); err == nil {
		return nil
	}
	return checkUnlisted(dir, unlisted, bo)
}

// dropUnmade removes a log that a crash kept from getting its size, with which
// Badger does not open. Badger also empties a log before it removes it, which
// after a crash cannot be told from damage: that is ErrDamaged, as is an empty
// log that is the only one. In front of one that is just made lies the log
// before it, with something in it, which goes shortly after. Without openMark
// there was nothing in any.
func dropUnmade(dir string) error {
	files, err := listEngine(dir)
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(dir, openMark))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	marked := err == nil
	for i, path := range files.logs {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if st.Size() > 0 {
			continue
		}
		if marked && (i == 0 || i < len(files.logs)-1) {
			return fmt.Errorf("%w: %s is empty", ErrDamaged, path)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	// Likewise value logs, of which each opening makes one and removes those
	// that it finds nothing in. What a shelf misses is told by who asks for it;
	// state has nothing in value logs.
	for _, path := range files.values {
		st, err := os.Stat(path)
		if err == nil && st.Size() == 0 {
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// engineFiles are the files of a directory that Badger would look at.
type engineFiles struct {
	tables []uint64 // numbers
	logs   []string // paths, in the order of their numbers
	values []string // paths
}

func listEngine(dir string) (engineFiles, error) {
	var f engineFiles
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, err
	}
	for _, e := range entries {
		name := e.Name()
		if id, ok := table.ParseFileID(name); ok {
			f.tables = append(f.tables, id)
			continue
		}
		path := filepath.Join(dir, name)
		switch filepath.Ext(name) {
		case ".mem":
			f.logs = append(f.logs, path)
		case ".vlog":
			f.values = append(f.values, path)
		}
	}
	slices.SortFunc(f.logs, func(a, b string) int { return int(fileNumber(a) - fileNumber(b)) })
	return f, nil
}

// fileNumber is the number that a file is called by, or -1.
func fileNumber(path string) int64 {
	name := filepath.Base(path)
	n, err := strconv.ParseInt(strings.TrimSuffix(name, filepath.Ext(name)), 10, 32)
	if err != nil {
		return -1
	}
	return n
}

// readManifest gives the tables that the manifest lists, those that it listed
// before they were merged into others, and whether its end is torn, as after a
// crash while it was written, or after damage.
func readManifest(dir string, bo badger.Options) (listed, merged []uint64, torn bool, err error) {
	path := filepath.Join(dir, badger.ManifestFilename)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, false, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, false, err
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, bo.ExternalMagicVersion, bo)
	if err != nil {
		return nil, nil, false, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	for id := range m.Tables {
		listed = append(listed, id)
	}
	if merged, err = mergedTables(b[:end]); err != nil {
		return nil, nil, false, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return listed, merged, end != int64(len(b)), nil
}

// mergedTables are those that the changes in a manifest take out. Badger has
// read it already: 8 bytes, then changes behind their length and checksum.
func mergedTables(manifest []byte) (ids []uint64, err error) {
	err = eachChange(manifest, func(_ []byte, set *pb.ManifestChangeSet) {
		for _, c := range set.Changes {
			if c.Op == pb.ManifestChange_DELETE {
				ids = append(ids, c.Id)
			}
		}
	})
	return ids, err
}

// eachChange gives the lines of a manifest, each with what it says.
func eachChange(manifest []byte, fn func(line []byte, set *pb.ManifestChangeSet)) error {
	for b := manifest[8:]; len(b) >= 8; {
		n := int(binary.BigEndian.Uint32(b))
		if len(b)-8 < n {
			return io.ErrUnexpectedEOF
		}
		var set pb.ManifestChangeSet
		if err := proto.Unmarshal(b[8:8+n], &set); err != nil {
			return err
		}
		fn(b[:8+n], &set)
		b = b[8+n:]
	}
	return nil
}

// undoFailedMerge takes a merge out of the manifest whose line was written, but
// not synced: Badger takes back the tables that it made then, leaves those that
// it merged, and the line says otherwise. It is for after a write that failed.
// Nothing is changed unless every table that is listed then is there.
func undoFailedMerge(dir string, listed, there []uint64) (undone bool, err error) {
	gone := func(id uint64) bool { return !slices.Contains(there, id) }
	if !slices.ContainsFunc(listed, gone) {
		return false, nil
	}
	path := filepath.Join(dir, badger.ManifestFilename)
	manifest, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	kept := slices.Clone(manifest[:8])
	lists := make(map[uint64]bool)
	err = eachChange(manifest, func(line []byte, set *pb.ManifestChangeSet) {
		for _, c := range set.Changes {
			if c.Op == pb.ManifestChange_CREATE && slices.Contains(listed, c.Id) && gone(c.Id) {
				return
			}
		}
		for _, c := range set.Changes {
			if c.Op == pb.ManifestChange_CREATE {
				lists[c.Id] = true
			} else {
				delete(lists, c.Id)
			}
		}
		kept = append(kept, line...)
	})
	if err != nil {
		return false, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	for id := range lists {
		if gone(id) {
			return false, nil
		}
	}
	return true, errors.Join(replaceFile(filepath.Join(dir, keptManifest), manifest), replaceFile(path, kept))
}

// checkFile runs check over a file's bytes.
func checkFile(path string, check func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() == 0 {
		return check(nil)
	}
	// Mapped, because a log is mostly hole. Nobody else changes the file.
	b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(check(b), unix.Munmap(b))
}

// checkUnlisted decides about tables that the manifest does not list. A crash
// leaves such: a table written but not yet listed, while what it was made from
// is still there; Badger may delete it. A manifest that lost its end leaves
// such too, and then they are the only copy. So: open a copy of the directory,
// which costs little since tables are never changed and can be linked, and see
// whether it has all that they hold.
func checkUnlisted(dir string, ids []uint64, bo badger.Options) error {
	trial := filepath.Join(dir, "trial")
	if err := os.RemoveAll(trial); err != nil { // from a crash in here
		return err
	}
	defer os.RemoveAll(trial)
	if err := copyEngine(dir, trial); err != nil {
		return fmt.Errorf("copying %s for a trial: %w", dir, err)
	}
	// Without compactors: they drop what is deleted, and then it would seem lost.
	bo = bo.WithDir(trial).WithValueDir(trial).WithReadOnly(false).WithNumCompactors(0)
	b, err := badger.Open(bo)
	if err != nil {
		return fmt.Errorf("%w: %s lists fewer tables than there are, and does not open: %w", ErrDamaged, dir, err)
	}
	defer b.Close()
	for _, id := range ids {
		if err := heldElsewhere(table.NewFilename(id, dir), b); err != nil {
			return fmt.Errorf("%w: %s is not listed in %s: %w", ErrDamaged, table.NewFilename(id, dir), badger.ManifestFilename, err)
		}
	}
	return nil
}

// copyEngine makes a copy of all but the value logs, whose contents the trial
// does not need.
func copyEngine(dir, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, dest := filepath.Join(dir, e.Name()), filepath.Join(to, e.Name())
		switch {
		case filepath.Ext(e.Name()) == ".sst":
			err = os.Link(from, dest)
		case filepath.Ext(e.Name()) == ".mem" || e.Name() == badger.ManifestFilename || e.Name() == badger.KeyRegistryFileName:
			err = copyHoles(from, dest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyHoles copies a file, leaving out runs of zeros: a log is mostly hole.
func copyHoles(from, to string) error {
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = checkFile(from, func(b []byte) error {
		if err := dst.Truncate(int64(len(b))); err != nil {
			return err
		}
		for at := 0; at < len(b); at += pageBytes {
			end := min(at+pageBytes, len(b))
			if end-at == pageBytes && zeroPage(b, at, end) {
				continue
			}
			if _, err := dst.WriteAt(b[at:end], int64(at)); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, dst.Close())
}

// heldElsewhere says with nil that b has, for each key of the table, the
// table's version or a later one.
func heldElsewhere(path string, b *badger.DB) error {
	if err := checkFile(path, checkTable); err != nil {
		// A crash while it was written: it was never listed, since listing
		// comes after its sync.
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// Opened in memory: a table opened from its file deletes it when let go of.
	t, err := table.OpenInMemoryTable(raw, 0, &table.Options{ReadOnly: true, BlockSize: 4096, ChkMode: options.OnBlockRead})
	if err != nil {
		return err
	}
	keys := t.NewIterator(0)
	defer keys.Close()
	tx := b.NewTransaction(false)
	defer tx.Discard()
	it := tx.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	for keys.Rewind(); keys.Valid(); keys.Next() {
		key := y.ParseKey(keys.Key())
		if bytes.HasPrefix(key, []byte("!badger!")) {
			continue
		}
		it.Seek(key)
		if !it.Valid() || !bytes.Equal(it.Item().Key(), key) || it.Item().Version() < y.ParseTs(keys.Key()) {
			return errors.New("it holds what no other file does")
		}
	}
	return nil
}
