package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// MasterBytes is the length of a master key.
const MasterBytes = 32

// LoadMaster reads a master key from a file: 64 hexadecimal digits, with or
// without an end of line. It refuses a file that group or others may touch.
func LoadMaster(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("master key: %s is not a regular file", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master key: %s may be read by others (mode %#o); make it 0400", path, st.Mode().Perm())
	}
	text := make([]byte, 2*MasterBytes+2)
	n, _ := f.Read(text) // an error leaves too few digits, which is told below
	digits := bytes.TrimRight(text[:n], "\r\n")
	master := make([]byte, MasterBytes)
	if len(digits) != 2*MasterBytes {
		return nil, fmt.Errorf("master key: %s does not hold %d hexadecimal digits", path, 2*MasterBytes)
	}
	if _, err := hex.Decode(master, digits); err != nil {
		// Not err itself: it would show a byte of the key.
		return nil, fmt.Errorf("master key: %s does not hold %d hexadecimal digits", path, 2*MasterBytes)
	}
	return master, nil
}

// CreateMaster makes a new master key in a file with mode 0400, which must not
// exist, and returns it once it is on disk. Losing that file is losing
// everything it sealed: keep a copy elsewhere.
func CreateMaster(path string) ([]byte, error) {
	master := make([]byte, MasterBytes)
	rand.Read(master) // never fails: it ends the process instead
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".master-*")
	if err != nil {
		return nil, fmt.Errorf("making master key: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = writeSynced(tmp, []byte(hex.EncodeToString(master)+"\n"), 0o400)
	if err != nil {
		return nil, fmt.Errorf("making master key: %w", err)
	}
	// A link, unlike a rename, refuses to replace a key that is there.
	if err := os.Link(tmp.Name(), path); err != nil {
		return nil, fmt.Errorf("making master key: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("making master key: %w", err)
	}
	return master, nil
}
