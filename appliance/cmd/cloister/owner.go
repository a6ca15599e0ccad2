package main

import (
	"os"
	"syscall"
)

// keepOwner gives a new file the mode and the owner of the one it replaces:
// the service must still be able to read what root has put in order.
func keepOwner(f *os.File, of os.FileInfo) error {
	if err := f.Chmod(of.Mode().Perm()); err != nil {
		return err
	}
	st, ok := of.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 && int(st.Uid) == os.Geteuid() {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
