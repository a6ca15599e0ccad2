package main

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
)

// collectorPercent is how much the heap may grow between two collections. At
// Go's 100 as much again as is in use lies idle during an import.
const collectorPercent = 50

// boundMemory sets the collector for a daemon: it keeps less idle than Go does
// by itself, and works harder where memory gets short, rather than have the
// process killed. What the operator set in GOGC and GOMEMLIMIT holds.
func boundMemory(most int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" && most > 0 {
		debug.SetMemoryLimit(most / 4 * 3) // the rest is for mapped files and the system
	}
}

// memory is what the process may use: the bound of its control group, or of one
// around that, or the machine's memory; 0 = not known.
func memory() int64 {
	most := int64(math.MaxInt64)
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		most = groupMost(os.DirFS("/sys/fs/cgroup"), b)
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		most = min(most, memTotal(b))
	}
	if most == math.MaxInt64 {
		return 0
	}
	return most
}

// groupMost reads the least bound of a control group and those around it, of
// the file system groups, from what /proc/self/cgroup says. What a group may
// use before it is slowed down (memory.high) is not its bound.
func groupMost(groups fs.FS, self []byte) int64 {
	most := int64(math.MaxInt64)
	for line := range bytes.Lines(self) {
		at, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("0::/"))
		if !ok {
			continue // of version 1
		}
		// What a container is told may lie outside of what it sees.
		for dir := path.Clean(string(at)); ; dir = path.Dir(dir) {
			if b, err := fs.ReadFile(groups, path.Join(dir, "memory.max")); err == nil {
				if n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil {
					most = min(most, n)
				}
			}
			if dir == "." || dir == "/" {
				break
			}
		}
	}
	return most
}

// memTotal reads the machine's memory from what /proc/meminfo says.
func memTotal(b []byte) int64 {
	_, rest, _ := bytes.Cut(b, []byte("MemTotal:"))
	if fields := bytes.Fields(rest); len(fields) > 1 && string(fields[1]) == "kB" {
		if n, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
			return n << 10
		}
	}
	return math.MaxInt64
}
