package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes, which scripts and systemd rely on.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitFound       = 3  // a check found something
	exitUnreachable = 4  // no daemon answers
	exitNotReady    = 5  // sealed or not ready
	exitConfig      = 78 // bad configuration at a start: systemd does not try again
)

// exitError ends the program with a code. Without an error in it everything
// has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is the error of somebody who typed something that makes no sense.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// silent ends with a code when everything has been said.
func silent(code int) error { return &exitError{code: code} }

// streams are where a run reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the program without the process. What a verb returns has a code; what
// has none comes from cobra, which speaks of the command line only.
func run(args []string, s streams) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	ctx, stop := interruptible()
	defer stop()
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitUsage, err}
	}
	if e.err != nil {
		fmt.Fprintf(s.err, "cloister: %v\n", e.err)
	}
	if e.code == exitUsage {
		fmt.Fprintf(s.err, "Try: %s --help\n", cmd.CommandPath())
	}
	return e.code
}

// verb makes a command's function: whatever fails in it has a code.
func verb(f func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), cmd, args)
		var e *exitError
		if err == nil || errors.As(err, &e) {
			return err
		}
		return &exitError{exitFailed, err}
	}
}

// group makes a command that only holds others.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usage("%s needs a verb", cmd.CommandPath()) },
	}
	c.AddCommand(verbs...)
	return c
}
