package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// What a connector may have in its temporary folder: bytes, and files and
// folders. Each file is bounded by the sandbox.
const (
	maxTemporary        = 256 << 20
	maxTemporaryEntries = 10_000
)

// temporaryEvery is how often it is looked at: each look costs what is there.
const temporaryEvery = 2 * time.Second

// overfull is that of a process that runs.
func (c *child) overfull() string {
	c.mu.Lock()
	pid := c.pid
	c.mu.Unlock()
	return overfull(c.dir, pid)
}

// overfull says what is too much in a process's own folder, or in files that it
// removed and holds open, "" if nothing. The process works meanwhile, so that
// what cannot be looked at does not count, but for a path too long for anybody.
func overfull(dir string, pid int) string {
	var bytes int64
	left := maxTemporaryEntries
	for folders := []string{dir}; len(folders) > 0; {
		at := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		if len(at) > 3<<10 {
			return "folders without end"
		}
		left = each(at, left, func(e fs.DirEntry) {
			info, err := e.Info()
			switch {
			case err != nil:
			case e.IsDir():
				folders = append(folders, filepath.Join(at, e.Name()))
			case info.Mode().IsRegular():
				bytes += info.Size()
			}
		})
		if left < 0 {
			return fmt.Sprintf("more than %d files", maxTemporaryEntries)
		}
	}
	open := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	each(open, maxTemporaryEntries, func(e fs.DirEntry) {
		info, err := os.Stat(filepath.Join(open, e.Name()))
		if err != nil || !info.Mode().IsRegular() {
			return
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
			bytes += st.Size
		}
	})
	if bytes > maxTemporary {
		return fmt.Sprintf("more than %d MiB", maxTemporary>>20)
	}
	return ""
}

// each calls f for the entries of a folder, left at most and some at a time, so
// that a folder of millions is not held. It gives what is left, negative when
// there were more.
func each(dir string, left int, f func(fs.DirEntry)) int {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return left
	}
	defer d.Close()
	for {
		some, _ := d.ReadDir(256)
		if len(some) == 0 {
			return left
		}
		for _, e := range some {
			if left--; left < 0 {
				return left
			}
			f(e)
		}
	}
}
