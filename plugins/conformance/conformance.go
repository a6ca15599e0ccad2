// Package conformance is the suite that every connector passes, ours and
// theirs. It drives a program the way the appliance does, through plugins/host
// and confined, and asks of it what the contract promises (plugins/connector):
// an author calls Test from a test, an operator runs "cloister connector test".
package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	Name string
	Why  string // what the demand is for
	Err  error  // nil = met
	Took time.Duration
}

// Run asks everything of a connector. It returns an error only if it could not
// ask; ctx bounds the whole.
func Run(ctx context.Context, t Target) ([]Result, error) {
	run, err := os.MkdirTemp("", "connector-")
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
		results = append(results, Result{d.name, d.why, err, time.Since(began)})
		if err != nil && d.needed {
			break // nothing further makes sense
		}
	}
	return results, nil
}

// Test runs the suite as subtests.
func Test(t *testing.T, target Target) {
	t.Helper()
	results, err := Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		t.Run(strings.ReplaceAll(r.Name, " ", "_"), func(t *testing.T) {
			if r.Err != nil {
				t.Errorf("%v (%s)", r.Err, r.Why)
			}
		})
	}
}

type suite struct {
	t      Target
	h      *host.Host
	plugin string

	d      connector.Description
	schema connector.Schema
}

type demand struct {
	name, why string
	needed    bool
	ask       func(*suite, context.Context) error
}

var demands = []demand{
	{"it starts and describes itself", "the appliance starts every connector to hear what it is, before anything else", true, (*suite).describes},
	{"its description is complete", "operators see it, and channels route messages", false, (*suite).description},
	{"its schema is sound", "the configuration is checked against it", true, (*suite).schemaSound},
	{"it refuses to send before it is configured", "nothing may go out by half a configuration", false, (*suite).early},
	{"it survives empty settings", "an operator's mistake is a problem to report, not a crash", false, (*suite).empty},
	{"it complains of wrong settings", "a mistake must come out at the operator's own line", false, (*suite).wrong},
	{"it takes good settings", "", true, (*suite).good},
	{"it answers a check", "operators ask whether the provider can be reached", false, (*suite).checks},
	{"it answers a batch in order", "an outcome belongs to its message", false, (*suite).sends},
	{"it refuses another channel's message", "a message is refused, the connector does not fail", false, (*suite).otherChannel},
	{"it refuses line breaks in headers and addresses", "they are how others' mail is forged", false, (*suite).injection},
	{"it takes any text", "people have names in every script", false, (*suite).text},
	{"it takes batches at the same time", "two workers send at once", false, (*suite).concurrent},
	{"it answers before its deadline", "what runs into it is taken for a hang and replaced", false, (*suite).deadline},
	{"it drains", "a reload ends the old process without losing anything", false, (*suite).drains},
	{"it forgets without complaint", "erasure asks every connector", false, (*suite).forgets},
	{"it does not trust an unsigned webhook", "anybody can call it", false, (*suite).webhook},
}
