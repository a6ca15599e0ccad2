package host

import (
	"fmt"
	"io/fs"
	"path/filepath"
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

// overfull says what is too much in a process's own folder, "" if nothing. The
// process works in it meanwhile, so that what cannot be looked at does not count,
// but for a path too long for anybody.
func overfull(dir string) string {
	var bytes int64
	entries := 0
	why := ""
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if entries++; entries > maxTemporaryEntries {
			why = fmt.Sprintf("more than %d files", maxTemporaryEntries)
		} else if len(path) > 3<<10 {
			why = "folders without end"
		} else if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		if bytes > maxTemporary {
			why = fmt.Sprintf("more than %d MiB", maxTemporary>>20)
		}
		if why != "" {
			return fs.SkipAll
		}
		return nil
	})
	return why
}
