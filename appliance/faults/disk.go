//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own, in a file.
type disk struct {
	image, mount string
	mounted      bool
}

func (h *harness) newDisk(name string, bytes int64) (*disk, error) {
	d := &disk{image: filepath.Join(h.dir, name+".img"), mount: filepath.Join(h.dir, name)}
	if err := os.MkdirAll(d.mount, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-m", "0", d.image); err != nil {
		return nil, err
	}
	return d, d.in()
}

// in mounts it.
func (d *disk) in() error {
	err := command("mount", "-o", "loop", d.image, d.mount)
	d.mounted = err == nil
	return err
}

// out unmounts it.
func (d *disk) out() error {
	if !d.mounted {
		return nil
	}
	err := command("umount", d.mount)
	d.mounted = err != nil
	return err
}

func (d *disk) remove() error { return errors.Join(d.out(), os.Remove(d.image)) }

// cut takes its power away: nothing is written back any more, whoever waits
// for it gets EIO, and what was not synced is gone at the next mount.
func (d *disk) cut() error {
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return fmt.Errorf("cutting %s off: %w", d.mount, errno)
	}
	return nil
}

func command(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return nil
}

// tryDisk says, once, whether a disk can be made here at all.
var tryDisk = sync.OnceValue(func() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	dir, err := os.MkdirTemp("/tmp", "faults-disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := (&harness{dir: dir}).newDisk("try", 16<<20)
	if err != nil {
		return err
	}
	return d.remove()
})

// blocks are the 512 bytes that a file really takes, as its mapped parts are
// written to.
func blocks(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks
	}
	return info.Size()
}

func freeBytes(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("looking at %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
