package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Names in the directory of a log.
const (
	keyFile      = "key"      // the signing key, 0600
	verifierFile = "verifier" // the key that checks signatures, for everybody
	headFile     = "head"     // the latest signed head
	logSuffix    = ".log"     // behind the number of the file's first entry
	asidePrefix  = "damaged-" // directories with what was set aside
)

// maxLine bounds a line of a file: seven clipped texts, escaped at worst to
// six times their length, or the first line with its edge.
const maxLine = 32 << 10

// first is a file's first line.
type first struct {
	Format int      `json:"cloister_audit"` // 1
	First  int64    `json:"first"`          // number of the first entry
	Edge   []string `json:"edge"`           // of the tree before it
}

func firstLine(t *tree) ([]byte, error) {
	f := first{Format: 1, First: t.size, Edge: []string{}}
	for _, h := range t.edge {
		f.Edge = append(f.Edge, h.String())
	}
	line, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encoding a first line: %w", err)
	}
	return append(line, '\n'), nil
}

func fileName(first int64) string { return fmt.Sprintf("%015d%s", first, logSuffix) }

// files lists the files of a log, in their order.
func files(dir string) ([]string, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		if strings.HasSuffix(e.Name(), logSuffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// damage says what is wrong with a log, and where.
func damage(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, filepath.Base(path), fmt.Sprintf(format, args...))
}

// found is what reading a log's files gave.
type found struct {
	tree    tree             // of every whole line
	first   int64            // number of the first entry that is there
	trimmed int64            // number that the latest trimming says it is
	files   []stretch        // whole lines only
	torn    int64            // bytes behind the last whole line of the last file
	roots   map[int64]string // of the sizes asked for, where they lie in the files
}

// read reads all files and checks that they go on from one another. It notes
// the roots that the tree had at some sizes.
func read(dir string, sizes ...int64) (*found, error) {
	paths, err := files(dir)
	if err != nil {
		return nil, err
	}
	f := &found{roots: make(map[int64]string)}
	for i, path := range paths {
		if err := f.file(path, i == 0, i == len(paths)-1, sizes); err != nil {
			return nil, err
		}
	}
	if len(paths) == 0 {
		f.note(sizes)
	}
	return f, nil
}

func (f *found) note(sizes []int64) {
	if slices.Contains(sizes, f.tree.size) {
		root := f.tree.root()
		f.roots[f.tree.size] = root.String()
	}
}

func (f *found) file(path string, isFirst, isLast bool, sizes []int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, maxLine)
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) && isLast {
			// Made, and not finished: the daemon was stopped before anything
			// was written to it. If something was, a head says so.
			if isFirst {
				f.note(sizes)
			}
			f.torn += int64(len(line))
			f.files = append(f.files, stretch{path, 0})
			return nil
		}
		return damage(path, "its first line does not end: %v", err)
	}
	var head first
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&head); err != nil || head.Format != 1 {
		return damage(path, "its first line is not one of this format")
	}
	t, err := edgeOf(head.First, head.Edge)
	if err != nil {
		return damage(path, "%v", err)
	}
	if filepath.Base(path) != fileName(head.First) {
		return damage(path, "it begins with entry %d", head.First)
	}
	if isFirst {
		f.tree, f.first = t, head.First
		f.note(sizes)
	} else if !f.tree.equal(&t) {
		last := f.files[len(f.files)-1]
		return damage(path, "it does not go on from entry %d, with which the file before it, %s, ends: an entry there was changed, added or removed",
			f.tree.size-1, filepath.Base(last.path))
	}
	size := int64(len(line))
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 && !isLast {
				return damage(path, "its last line does not end")
			}
			f.torn = int64(len(line))
			f.files = append(f.files, stretch{path, size})
			return nil
		}
		if err != nil {
			return damage(path, "entry %d: %v", f.tree.size, err)
		}
		size += int64(len(line))
		line = line[:len(line)-1]
		if bytes.Contains(line, trimmedMark) {
			var e Entry
			if json.Unmarshal(line, &e) == nil && e.Action == actionTrimmed {
				if _, err := fmt.Sscanf(e.Subject, "entry %d", &f.trimmed); err != nil {
					return damage(path, "entry %d does not say what was trimmed", f.tree.size)
				}
			}
		}
		f.tree.add(line)
		f.note(sizes)
	}
}

// covers checks the files against a signed head.
func (f *found) covers(h head) error {
	switch root, ok := f.roots[h.size]; {
	case h.size > f.tree.size:
		return fmt.Errorf("%w: entries %d to %d, which a signed head has, are not there", ErrDamaged, f.tree.size, h.size-1)
	case !ok:
		return fmt.Errorf("%w: a signed head is older than the first entry there is, %d, and cannot be compared", ErrDamaged, f.first)
	case root != tlog.Hash(h.root).String():
		return fmt.Errorf("%w: the entries before %d are not those that were signed", ErrDamaged, h.size)
	}
	return nil
}

// whole checks that nothing is missing at the front but what was trimmed.
func (f *found) whole() error {
	// Less is fine: the daemon was stopped between saying so and doing it.
	if f.first > f.trimmed {
		return fmt.Errorf("%w: the log begins with entry %d, and should with %d", ErrDamaged, f.first, f.trimmed)
	}
	return nil
}

// writeWhole replaces a file by one that is on disk as a whole, or not at all.
func writeWhole(path string, content []byte, mode os.FileMode) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
