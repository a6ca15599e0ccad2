//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/author"
)

// authored are the projects that TestAuthor takes all the way; TestAuthorChannels
// has the other languages and channels.
var authored = []struct {
	language, channel string
	content           map[string]any
	to, subject       string // that are written
}{
	{"go", "sms", map[string]any{"text": "Hello from a new connector"}, "+4915112345678", ""},
	{"python", "email", map[string]any{"subject": "Hello", "text": "Hello from a new connector"}, "asha@example.com", "Hello"},
	{"node", "webhook", map[string]any{"text": "Hello from a new connector"}, "asha", ""},
}

// TestAuthor is the way of who has never written a connector, as
// plugins/AUTHORS.md tells it, in each language: from "cloister connector new" to
// a message that went out by the connector that was installed from its parcel.
// With -v each step says how long it took.
func TestAuthor(t *testing.T) {
	cloister, err := filepath.Abs(program)
	must(t, err)
	for _, a := range authored {
		t.Run(a.language, func(t *testing.T) {
			d := newDaemon(t, false, `
publisher "shop" {
  key "app" { id = "SHOP-APP" }
}
`)
			began := time.Now()
			dir := filepath.Dir(d.config)
			project, box := filepath.Join(dir, "beeper"), filepath.Join(dir, "box")
			must(t, os.Mkdir(box, 0o700))
			// do runs one step there and gives what it printed.
			do := func(in, name string, args ...string) string {
				t.Helper()
				start := time.Now()
				cmd := exec.Command(name, args...)
				cmd.Dir = in
				var said, complained strings.Builder
				cmd.Stdout, cmd.Stderr = &said, &complained
				if err := cmd.Run(); err != nil {
					t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &said, &complained)
				}
				t.Logf("%6.1f s  %s %s", time.Since(start).Seconds(), filepath.Base(name), strings.Join(args, " "))
				return said.String()
			}

			do(dir, cloister, "connector", "new", "beeper", "--language", a.language, "--channel", a.channel)
			do(project, "make", "CLOISTER="+cloister)
			if said := do(project, "make", "test", "CLOISTER="+cloister); !strings.Contains(said, "ok   it answers a batch in order") {
				t.Errorf("the suite said:\n%s", said)
			}
			trust := do(project, cloister, "connector", "key")
			do(project, "make", "package", "CLOISTER="+cloister)
			parcels, err := filepath.Glob(filepath.Join(project, "*.parcel"))
			if err != nil || len(parcels) != 1 {
				t.Fatalf("parcels: %v, %v", parcels, err)
			}

			// The operator: trusts the author, installs, adds the block.
			hcl, err := os.ReadFile(d.config)
			must(t, err)
			folder := filepath.Join(dir, "connectors")
			site := strings.Replace(string(hcl), "appliance {", fmt.Sprintf("appliance {\n  connector_dirs = [%q]", folder), 1)
			site += strings.Replace(trust, "NAME", "beepers", 1)
			must(t, os.WriteFile(d.config, []byte(site), 0o600))
			block := do(dir, cloister, "connector", "install", parcels[0], "--config", d.config)
			filled := strings.Replace(block, `folder = ""`, fmt.Sprintf("folder = %q", box), 1)
			if filled == block {
				t.Fatalf("the block that was printed has no folder:\n%s", block)
			}
			filled += fmt.Sprintf("purpose \"offers\" { channels = [%q] }\n", a.channel)
			must(t, os.WriteFile(d.config, []byte(strings.Replace(site, `key "app"`, filled+`key "app"`, 1)), 0o600))
			do(dir, cloister, "validate", d.config)

			start := time.Now()
			d.start()
			t.Logf("%6.1f s  the daemon starts", time.Since(start).Seconds())
			start = time.Now()
			var list struct {
				Connectors []struct{ Name, Plugin, State, Grade, Missing string }
			}
			eventually(t, time.Minute, "the connector runs", func() bool {
				must(t, json.Unmarshal([]byte(run(t, cloister, "connector", "list", "--json", "--config", d.config, "--publisher", "shop")), &list))
				return len(list.Connectors) == 1 && list.Connectors[0].State == "running"
			})
			c := list.Connectors[0]
			if c.Plugin != "beeper" || c.Grade == "" {
				t.Errorf("%+v", c)
			}
			t.Logf("%6.1f s  connector list: %s %s, sandbox %s %s", time.Since(start).Seconds(), c.Plugin, c.State, c.Grade, c.Missing)

			start = time.Now()
			people := filepath.Join(dir, "people.ndjson")
			must(t, os.WriteFile(people, []byte(`{"user":"asha","channels":{"sms":"+4915112345678","email":"asha@example.com"},"consent":[{"purpose":"offers","granted":true}]}`+"\n"), 0o600))
			run(t, cloister, "import", "profiles", "--config", d.config, "--publisher", "shop", people)
			campaign := map[string]any{
				"id": "hello", "name": "hello", "state": "running", "channel": a.channel, "purpose": "offers", "class": "transactional",
				"trigger": map[string]any{"type": "once", "audience": map[string]any{"reachable": a.channel}},
				"content": a.content,
			}
			if code := d.call("POST", "/publishers/shop/campaigns", campaign, nil); code/100 != 2 {
				t.Fatalf("a campaign: %d", code)
			}
			var sent struct{ To, Subject, Text string }
			eventually(t, time.Minute, "the message went out", func() bool {
				raw, err := os.ReadFile(filepath.Join(box, "messages.jsonl"))
				return err == nil && json.Unmarshal(raw, &sent) == nil
			})
			if sent.To != a.to || sent.Subject != a.subject || !strings.Contains(sent.Text, "Hello from a new connector") {
				t.Errorf("sent was %+v", sent)
			}
			t.Logf("%6.1f s  a message goes through it", time.Since(start).Seconds())
			t.Logf("%6.1f s  in all: cloister connector new to a running, packaged connector", time.Since(began).Seconds())
		})
	}
}

// TestAuthorChannels: what "cloister connector new" writes is built and meets the
// suite as it is, for every channel in every language.
func TestAuthorChannels(t *testing.T) {
	cloister, err := filepath.Abs(program)
	must(t, err)
	for _, language := range author.Languages {
	channels:
		for _, channel := range author.Channels() {
			for _, a := range authored {
				if a.language == language && a.channel == channel {
					continue channels
				}
			}
			t.Run(language+"/"+channel, func(t *testing.T) {
				dir := t.TempDir()
				run(t, cloister, "connector", "new", filepath.Join(dir, "beeper"), "--language", language, "--channel", channel)
				if said := run(t, "make", "-C", filepath.Join(dir, "beeper"), "test", "CLOISTER="+cloister); !strings.Contains(said, "ok   it answers a batch in order") {
					t.Errorf("the suite said:\n%s", said)
				}
			})
		}
	}
}
