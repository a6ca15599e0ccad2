package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cloisterhq/cloister/plugins/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Exec() // connectors are started by this very program
	testscript.Main(m, map[string]func(){"cloister": main})
}

// TestScripts runs the program as an operator does, without a daemon.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
	})
}

// exitCode is "exitcode N PROGRAM ..": like exec, with the code that it must
// end with.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N PROGRAM [ARGS..]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var e *exec.ExitError
	if errors.As(err, &e) {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, not %s", got, args[0])
	}
}

// TestConnectorScripts runs the program beside a real connector's program.
func TestConnectorScripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "mailbox"), "../../../connectors/mailbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the mailbox connector: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/connector", RequireExplicitExec: true,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode},
		Setup: func(e *testscript.Env) error { e.Setenv("CONNECTORS", dir); return nil },
	})
}

// TestDaemonScripts runs the real daemon.
func TestDaemonScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/daemon", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode, "until": until, "capture": capture},
	})
}

// capture is "capture VARIABLE PROGRAM ..": like exec; what stands on standard
// output becomes the variable's value. With "VARIABLE=EXPRESSION" it is the
// part that the expression's first group finds there.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: capture VARIABLE[=EXPRESSION] PROGRAM [ARGS..]")
	}
	ts.Check(ts.Exec(args[1], args[2:]...))
	out := strings.TrimSpace(ts.ReadFile("stdout"))
	name, expression, ok := strings.Cut(args[0], "=")
	if ok {
		found := regexp.MustCompile(expression).FindStringSubmatch(out)
		if len(found) < 2 {
			ts.Fatalf("%s does not find anything in %s", expression, out)
		}
		out = found[1]
	}
	ts.Setenv(name, out)
}

// until is "until PROGRAM ..": like exec, tried again until it succeeds, for a
// minute.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until PROGRAM [ARGS..]")
	}
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = ts.Exec(args[0], args[1:]...); err == nil {
			return
		}
	}
	ts.Fatalf("%v", err)
}
