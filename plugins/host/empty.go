package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// empty removes what is in a folder of an ended process, which may have made it
// to hurt who removes it: folders within each other without end, of which
// os.RemoveAll opens one file each until the daemon has none left, and folders
// that their owner cannot list. A folder that is not empty is brought up beside
// dir's own entries and looked at there, so that two files are open at most.
func empty(dir string) error {
	top, err := openFolder(unix.AT_FDCWD, dir)
	if err != nil {
		return err
	}
	defer top.Close()
	moved := 0
	for {
		names, err := top.Readdirnames(1000)
		if len(names) == 0 { // at the end: once more from the beginning, for what was moved
			if _, err = top.Seek(0, 0); err == nil {
				names, err = top.Readdirnames(1000)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
		}
		if len(names) == 0 {
			return fmt.Errorf("emptying %s: %w", dir, err)
		}
		for _, name := range names {
			if err := drop(top, name, &moved); err != nil {
				return fmt.Errorf("emptying %s: %w", dir, err)
			}
		}
	}
}

// drop removes one entry of top, or makes it a folder without folders and
// removes it then.
func drop(top *os.File, name string, moved *int) error {
	at := int(top.Fd())
	err := unix.Unlinkat(at, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err = unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	_ = unix.Fchmodat(at, name, 0o700, 0) // it is a folder: nothing else is left by both
	folder, err := openFolder(at, name)
	if err != nil {
		return err
	}
	defer folder.Close()
	for {
		names, _ := folder.Readdirnames(1000)
		if len(names) == 0 {
			break
		}
		for _, inner := range names {
			if unix.Unlinkat(int(folder.Fd()), inner, 0) == nil || unix.Unlinkat(int(folder.Fd()), inner, unix.AT_REMOVEDIR) == nil {
				continue
			}
			// Moving a folder writes its own "..", which takes the right to.
			_ = unix.Fchmodat(int(folder.Fd()), inner, 0o700, 0)
			for {
				*moved++
				err = unix.Renameat2(int(folder.Fd()), inner, at, "moved"+strconv.Itoa(*moved), unix.RENAME_NOREPLACE)
				if !errors.Is(err, unix.EEXIST) {
					break
				}
			}
			if err != nil {
				return err
			}
		}
		if _, err := folder.Seek(0, 0); err != nil {
			return err
		}
	}
	return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}

func openFolder(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
