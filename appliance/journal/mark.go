package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// mark says what a stream must hold: every record after trimmed, up to last,
// and last ends with tag. It is the memory that JetStream lacks, which cuts a
// damaged file off and uses the sequences again.
type mark struct {
	incarnation uint64
	trimmed     uint64
	last        uint64
	tag         [tagBytes]byte
}

// The mark's file holds two slots in sectors of their own, written in turn, so
// that a torn write leaves the one before it; FORMAT.md.
const (
	markMagic   = "CLJM"
	markVersion = 1
	slotBytes   = 64
	slotStride  = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// markFile is the open file of a mark. It is not safe for concurrent use.
type markFile struct {
	f     *os.File
	count uint64 // of writes; its last bit is the slot
}

// errNoMark: there is no mark's file.
var errNoMark = errors.New("no mark")

// openMark reads the mark at path. It answers errNoMark if there is no file.
func openMark(path string) (*markFile, mark, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mark{}, errNoMark
	}
	if err != nil {
		return nil, mark{}, err
	}
	best := &markFile{f: f}
	var m mark
	found := false
	for slot := range int64(2) {
		var b [slotBytes]byte
		if _, err := f.ReadAt(b[:], slot*slotStride); err != nil && err != io.EOF {
			f.Close()
			return nil, mark{}, err
		}
		if got, count, ok := decodeMark(b[:]); ok && (!found || count > best.count) {
			m, best.count, found = got, count, true
		}
	}
	if !found {
		f.Close()
		return nil, mark{}, fmt.Errorf("%w: neither of the two copies in %s can be read", ErrDamaged, path)
	}
	return best, m, nil
}

// makeMark makes the file, whole and synced, with m in it.
func makeMark(path string, m mark) (*markFile, error) {
	fail := func(f *os.File, err error) (*markFile, error) {
		return nil, errors.Join(fmt.Errorf("making %s: %w", path, err), f.Close(), os.Remove(f.Name()))
	}
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	// Its blocks are there from the beginning: on a full disk it can still be
	// written, and a sync writes no more than a sector.
	if _, err := f.WriteAt(make([]byte, 2*slotStride), 0); err != nil {
		return fail(f, err)
	}
	out := &markFile{f: f}
	if err := out.write(m); err != nil {
		return fail(f, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fail(f, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

// write puts m into the older slot and syncs it.
func (f *markFile) write(m mark) error {
	next := f.count + 1
	if _, err := f.f.WriteAt(encodeMark(m, next), int64(next%2)*slotStride); err != nil {
		return err
	}
	if err := dataSync(f.f); err != nil {
		return err
	}
	f.count = next
	return nil
}

func (f *markFile) close() error { return f.f.Close() }

func encodeMark(m mark, count uint64) []byte {
	b := make([]byte, 0, slotBytes)
	b = append(b, markMagic...)
	b = append(b, markVersion, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, m.incarnation)
	b = binary.BigEndian.AppendUint64(b, count)
	b = binary.BigEndian.AppendUint64(b, m.trimmed)
	b = binary.BigEndian.AppendUint64(b, m.last)
	b = append(b, m.tag[:]...)
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMark(b []byte) (m mark, count uint64, ok bool) {
	if len(b) != slotBytes || string(b[:4]) != markMagic || b[4] != markVersion {
		return mark{}, 0, false
	}
	if binary.BigEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return mark{}, 0, false
	}
	m.incarnation = binary.BigEndian.Uint64(b[8:])
	m.trimmed = binary.BigEndian.Uint64(b[24:])
	m.last = binary.BigEndian.Uint64(b[32:])
	copy(m.tag[:], b[40:])
	return m, binary.BigEndian.Uint64(b[16:]), true
}
