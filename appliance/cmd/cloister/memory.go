package main

import (
	"bytes"
	"math"
	"os"
	"runtime/debug"
	"strconv"
)

// collectorPercent is how much the heap may grow between two collections. At
// Go's 100 as much again as is in use lies idle during an import.
const collectorPercent = 50

// boundMemory sets the collector for a daemon: it keeps less idle than Go does
// by itself, and works harder where memory gets short, rather than have the
// process killed. What the operator set in GOGC and GOMEMLIMIT holds.
func boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
	if most := memory(); os.Getenv("GOMEMLIMIT") == "" && most > 0 {
		debug.SetMemoryLimit(most / 4 * 3) // the rest is for mapped files and the system
	}
}

// memory is what the process may use: its control group's bound, or the
// machine's memory; 0 = not known.
func memory() int64 {
	most := int64(math.MaxInt64)
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil {
			most = n
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		most = min(most, memTotal(b))
	}
	if most == math.MaxInt64 {
		return 0
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
