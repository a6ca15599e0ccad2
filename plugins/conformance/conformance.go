// Package conformance is the suite that every connector passes, ours and
// theirs. It drives a program the way the appliance does, through plugins/host
// and confined, and asks of it what the contract promises (plugins/connector):
// an author calls Test from a test or runs "cloister connector test".
package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
)

// Target is a connector under test.
type Target struct {
	// Path of the program; its file name is the plugin's name.
	Path string
	// Settings that work. If its provider, or a stand-in, can be reached with
	// them, set Reachable: then messages must be accepted.
	Settings  connector.Settings
	Reachable bool
	// To is an address that the provider takes, by channel; channels that are
	// left out get a plausible one.
	To map[string]string
	// Platform and Extra are those of the pushes; "fcm" and none if left out.
	Platform, Extra string
	// Wrong are settings that the connector must complain of.
	Wrong []connector.Settings
}

// Result is one demand and how the connector met it.
type Result struct {
	Name   string
	Why    string // what the demand is for
	Where  string // the place that makes it
	Err    error  // what came instead; nil = met
	Unmade string // why it was not asked of this connector; "" = it was
	Took   time.Duration
}

// Run asks everything of a connector. It returns an error only if it could not
// ask; ctx bounds the whole. Each call has the appliance's own time.
func Run(ctx context.Context, t Target) ([]Result, error) {
	parent := os.TempDir()
	if len(parent) > 40 { // the path of a socket is bounded
		parent = "/tmp"
	}
	run, err := os.MkdirTemp(parent, "connector-")
	if err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	defer os.RemoveAll(run)
	h, err := host.Open(host.Options{Dirs: []string{filepath.Dir(t.Path)}, RunDir: run})
	if err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	defer h.Close()
	s := &suite{t: t, h: h, plugin: filepath.Base(t.Path)}
	var results []Result
	for _, d := range demands {
		began := time.Now()
		err := d.ask(s, ctx)
		if ctx.Err() != nil {
			return results, fmt.Errorf("conformance: %w", ctx.Err())
		}
		r := Result{Name: d.name, Why: d.why, Where: d.where, Took: time.Since(began)}
		var no unmade
		if errors.As(err, &no) {
			r.Unmade = string(no)
		} else {
			r.Err = err
		}
		results = append(results, r)
		if r.Err != nil && d.needed {
			break // nothing further makes sense
		}
	}
	return results, nil
}

// unmade is why a demand does not concern a connector.
type unmade string

func (u unmade) Error() string { return string(u) }

// T is what Test needs of a *testing.T, so that this package brings no testing
// into the program that imports it.
type T interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// Test runs the suite in a test: what is not met is an error of it.
func Test(t T, target Target) {
	t.Helper()
	results, err := Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		switch {
		case r.Err != nil:
			t.Errorf("%s: %v (%s; %s)", r.Name, r.Err, r.Why, r.Where)
		case r.Unmade != "":
			t.Logf("%s: not asked: %s", r.Name, r.Unmade)
		}
	}
}

// Write tells results in words: for what is not met, what came, why it is
// demanded, and where that is written. It counts what is not met.
func Write(w io.Writer, results []Result) (int, error) {
	failed := 0
	for _, r := range results {
		var err error
		switch {
		case r.Err != nil:
			failed++
			_, err = fmt.Fprintf(w, "FAIL %s\n     came:     %v\n     demanded: %s\n     see:      %s\n", r.Name, r.Err, r.Why, r.Where)
		case r.Unmade != "":
			_, err = fmt.Fprintf(w, "-    %s: not asked, %s\n", r.Name, r.Unmade)
		default:
			_, err = fmt.Fprintf(w, "ok   %s (%.1f s)\n", r.Name, r.Took.Seconds())
		}
		if err != nil {
			return failed, err
		}
	}
	if len(results) < len(demands) {
		_, err := fmt.Fprintf(w, "%d more were not asked: they need what failed.\n", len(demands)-len(results))
		return failed, err
	}
	return failed, nil
}

type suite struct {
	t      Target
	h      *host.Host
	plugin string

	d      connector.Description
	schema connector.Schema
}

type demand struct {
	name, why, where string
	needed           bool
	ask              func(*suite, context.Context) error
}

const (
	proto   = "connector.proto, "
	authors = "AUTHORS.md, "
)

var demands = []demand{
	{"it starts and describes itself", "the appliance starts every connector to hear what it is, before anything else", proto + "How a connector runs; rpc Describe", true, (*suite).describes},
	{"its description is complete", "operators see it, and channels route messages", proto + "message Description", false, (*suite).description},
	{"its schema is sound", "the configuration is checked against it", proto + "message Setting", true, (*suite).schemaSound},
	{"it refuses to send before it is configured", "nothing may go out by half a configuration", proto + "Calls", false, (*suite).early},
	{"it survives empty settings", "an operator's mistake is a problem to report, not a crash", proto + "rpc Configure", false, (*suite).empty},
	{"it complains of wrong settings", "a mistake must come out at the operator's own line", proto + "message Problem", false, (*suite).wrong},
	{"it takes good settings", "it works with them from then on, and they are handed over once", proto + "rpc Configure", true, (*suite).good},
	{"it answers a check", "operators ask whether the provider can be reached", proto + "rpc Check", false, (*suite).checks},
	{"it answers a batch in order", "an outcome belongs to its message", proto + "message SendReply; " + authors + "What an answer means", false, (*suite).sends},
	{"it refuses another channel's message", "a message is refused, the connector does not fail", proto + "Calls", false, (*suite).otherChannel},
	{"it refuses line breaks in headers and addresses", "they are how others' mail and requests are forged", proto + "message Message", false, (*suite).injection},
	{"it takes any text", "people have names in every script", proto + "message Message", false, (*suite).text},
	{"it takes batches at the same time", "two workers send at once", proto + "Calls", false, (*suite).concurrent},
	{"it answers before its deadline", "what runs into it is taken for a hang and replaced", proto + "Calls; " + authors + "Time", false, (*suite).deadline},
	{"it answers while its provider is silent", "what runs into its deadline is taken for a hang and replaced, and what is not known is not accepted", proto + "Calls; " + authors + "Time", false, (*suite).silent},
	{"it drains", "a reload ends the old process without losing anything", proto + "rpc Drain", false, (*suite).drains},
	{"it forgets without complaint", "erasure asks every connector that says it keeps something", proto + "rpc Forget", false, (*suite).forgets},
	{"it does not trust an unsigned webhook", "anybody can call it", proto + "rpc Receipts", false, (*suite).webhook},
}
