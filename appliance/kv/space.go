package kv

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free gives the bytes that an unprivileged process can still write to the
// file system that holds dir.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// needFree refuses when less than reserve bytes are free. Badger writes
// through memory maps of sparse files: on a full disk that is a SIGBUS, which
// ends the process and cannot be recovered from in Go. So the question is
// asked before each write, which costs about a microsecond.
func needFree(dir string, reserve int64) error {
	free, err := Free(dir)
	if err != nil {
		return err
	}
	if free < reserve {
		return fmt.Errorf("%w: %d bytes free at %s, %d needed", ErrFull, free, dir, reserve)
	}
	return nil
}
