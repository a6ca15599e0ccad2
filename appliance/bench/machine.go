package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine describes where this runs.
func machine() map[string]string {
	m := map[string]string{
		"cores": strconv.Itoa(runtime.NumCPU()), "go": runtime.Version(), "cpu": runtime.GOARCH,
		"kernel": field("/proc/sys/kernel/osrelease", ""), "memory": "?",
	}
	if cpu := field("/proc/cpuinfo", "model name"); cpu != "" {
		m["cpu"] = cpu
	}
	var kb float64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kb); err == nil {
		m["memory"] = fmt.Sprintf("%.0f GiB", kb/(1<<20))
	}
	return m
}

// field gives what stands behind a name and a colon in a file of the kernel's,
// or its first line.
func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		key, rest, ok := strings.Cut(line, ":")
		if name == "" {
			return strings.TrimSpace(line)
		}
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
