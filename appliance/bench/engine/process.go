package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Process is an engine that runs.
type Process struct {
	Name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
}

// Start runs a program that serves. End it.
func Start(name string, cmd *exec.Cmd) (*Process, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return &Process{Name: name, cmd: cmd, in: in, out: json.NewDecoder(out)}, nil
}

// Do asks for one thing and waits for it. The error is also the engine's own,
// but not a question that it does not have yet.
func (p *Process) Do(r Request) (Reply, error) {
	var reply Reply
	err := json.NewEncoder(p.in).Encode(r)
	if err == nil {
		err = p.out.Decode(&reply)
	}
	if err == nil && reply.Error != "" && !reply.NotYet {
		err = errors.New(reply.Error)
	}
	if err != nil {
		return reply, fmt.Errorf("%s: %s %s: %w", p.Name, r.Op, r.Question, err)
	}
	return reply, nil
}

// End lets the engine close what it has open, and waits for that.
func (p *Process) End() error {
	err := p.in.Close()
	if werr := p.cmd.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", p.Name, werr))
	}
	return err
}

// Calm makes the peak of the process's memory what it holds now.
func (p *Process) Calm() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}

// Peak is the most that the process held in memory since Calm, in bytes.
func (p *Process) Peak() (int64, error) { return Status(p.cmd.Process.Pid, "VmHWM") }

// Status reads a size of a process that the kernel tells, in bytes.
func Status(pid int, field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}
