package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// sdk is one SDK, what is done with it, and what must come of it.
type sdk struct {
	name    string // of the package
	run     func(context.Context, *trial) (calls int, err error)
	version func() (string, error)
	secure  bool          // it speaks https alone
	carries []string      // paths whose requests carry calls; those with / at their end stand for all below
	faults  map[int]fault // by the number of such a request; what is repeated after the one is counted before the other
	front   bool          // a proxy stands before the daemon and answers 502 while it is gone
	once    bool          // it does not send again what was not answered
	want    want
	note    string // what the reader must know
}

// module says the version of a Go module in this build.
func module(path string) func() (string, error) {
	return func() (string, error) {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return "", errors.New("built without modules")
		}
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version, nil
			}
		}
		return "", fmt.Errorf("%s is not in this build", path)
	}
}

// npm says the version of an installed package.
func npm(name string) func() (string, error) {
	return func() (string, error) {
		b, err := os.ReadFile(filepath.Join("node_modules", name, "package.json"))
		if err != nil {
			return "", fmt.Errorf("%w: run npm ci first", err)
		}
		var p struct{ Version string }
		return p.Version, json.Unmarshal(b, &p)
	}
}

// script runs scripts/NAME with Node. It is told where to send and the key, and
// prints how many calls it made as its last line.
func script(name string) func(context.Context, *trial) (int, error) {
	return func(ctx context.Context, t *trial) (calls int, err error) {
		cmd := exec.CommandContext(ctx, "node", filepath.Join("scripts", name))
		cmd.Env = append(os.Environ(), "CLOISTER_URL="+t.url, "CLOISTER_KEY="+key)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("scripts/%s: %w: %.500s", name, err, complaints.String())
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if _, err := fmt.Sscanf(lines[len(lines)-1], "%d calls", &calls); err != nil {
			return 0, fmt.Errorf("scripts/%s printed %.200q", name, out)
		}
		return calls, nil
	}
}
