package keyring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Every file is one frame: magic, version, kind, number, payload, checksum.
// The checksum is not for security: it tells damage from a wrong key.
var magic = [4]byte{'C', 'L', 'K', 'R'}

const (
	frameHead = 4 + 1 + 1 + 4
	frameTail = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func frame(k kind, number uint32, payload []byte) []byte {
	b := make([]byte, 0, frameHead+len(payload)+frameTail)
	b = append(b, magic[:]...)
	b = append(b, version, byte(k))
	b = binary.BigEndian.AppendUint32(b, number)
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unframe gives the payload of a frame of that kind and number.
func unframe(b []byte, k kind, number uint32) ([]byte, error) {
	if len(b) < frameHead+frameTail || !bytes.Equal(b[:4], magic[:]) {
		return nil, fmt.Errorf("%w: not a key file", ErrForged)
	}
	if b[4] != version {
		return nil, fmt.Errorf("%w: key file of version %d, and this program knows %d", ErrForged, b[4], version)
	}
	end := len(b) - frameTail
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrForged)
	}
	if kind(b[5]) != k || binary.BigEndian.Uint32(b[6:]) != number {
		return nil, fmt.Errorf("%w: key file of another kind or number", ErrForged)
	}
	return b[frameHead:end], nil
}

// maxFile bounds what is read of a key file. The largest are that of the pages
// made, 2 MiB if all person numbers are used, and that of epochs (maxEpochs).
const maxFile = 4 << 20

// readFile gives the payload of a file, ErrMissing if it is not there.
func readFile(path string, k kind, number uint32) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrMissing, path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	payload, err := unframe(b, k, number)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return payload, nil
}

// The names that a file has while it is replaced.
const (
	newSuffix = ".new" // not complete yet
	oldSuffix = ".old" // to be overwritten, then removed
)

// replaceFile puts data at path so that a crash leaves the old or the new
// whole, and overwrites the old bytes before they go. A second name keeps hold
// of them: were they only unlinked, a crash would leave them in free blocks
// where nothing can find them again.
func replaceFile(path string, data []byte) error {
	f, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := writeSynced(f, data, 0o600); err != nil {
		return err
	}
	if _, err := os.Lstat(path + oldSuffix); err == nil {
		// An earlier call failed halfway.
		if err := sweepOld(path + oldSuffix); err != nil {
			return err
		}
	}
	err = os.Link(path, path+oldSuffix)
	replaces := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	if !replaces {
		return nil
	}
	return shred(path + oldSuffix)
}

// createFile puts data at path, where nothing must be yet, so that a crash
// leaves nothing or the whole. The caller syncs the directory, once for many.
func createFile(path string, data []byte) error {
	f, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := writeSynced(f, data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+newSuffix, path)
}

// writeSynced fills f, waits until that is on disk, and closes it.
func writeSynced(f *os.File, data []byte, mode os.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// shred overwrites a file in place and removes it. File systems that copy on
// write and disks that level wear may keep the bytes elsewhere: DESIGN.md says
// what is promised.
func shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	if err := writeSynced(f, make([]byte, st.Size()), 0o600); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// sweep finishes in dir what a crash interrupted in replaceFile.
func sweep(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && strings.HasSuffix(path, newSuffix):
			err = os.RemoveAll(path) // a publisher not made yet: has sealed nothing
		case strings.HasSuffix(path, newSuffix):
			// The change was never acknowledged. It may hold keys all the same.
			err = shred(path)
		case strings.HasSuffix(path, oldSuffix):
			err = sweepOld(path)
		default:
			continue
		}
		if err != nil {
			return err
		}
		log.Info("finished an interrupted change of keys", "file", path)
	}
	return nil
}

// sweepOld removes a second name; it overwrites the bytes unless the rename
// had not happened yet, when they are the present file's.
func sweepOld(path string) error {
	present, err := os.Stat(strings.TrimSuffix(path, oldSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		// No crash leaves it so. These may be the only keys there are.
		return fmt.Errorf("%w: %s", ErrMissing, strings.TrimSuffix(path, oldSuffix))
	}
	if err != nil {
		return err
	}
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(old, present) {
		return shred(path)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
