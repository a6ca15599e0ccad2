//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Standard Webhooks' own library takes what is posted, by either secret while
// there are two, and nothing that was changed on its way.
func TestLibrary(t *testing.T) {
	if _, err := os.Stat("testdata/npm/node_modules"); err != nil {
		t.Fatalf("%v: run `npm ci` in connectors/webhook/testdata/npm first", err)
	}
	cmd := exec.Command("node", "testdata/npm/peer.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the library: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	type answer struct {
		Payload *struct{ ID, User, Text string }
		Error   string
	}
	ask := func(secret string, p post, change func(headers map[string]string, body *string)) (a answer) {
		t.Helper()
		headers, body := map[string]string{}, string(p.body)
		for name, v := range p.header {
			headers[strings.ToLower(name)] = v[0]
		}
		if change != nil {
			change(headers, &body)
		}
		b, err := json.Marshal(map[string]any{"secret": secret, "headers": headers, "body": body})
		must(t, err)
		_, err = in.Write(append(b, '\n'))
		must(t, err)
		if !lines.Scan() {
			t.Fatal("the library does not answer", lines.Err())
		}
		must(t, json.Unmarshal(lines.Bytes(), &a))
		return a
	}

	const before, other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	r := newReceiver(t, nil)
	w := configured(t, settingsFor(r, connector.Settings{"previous": before}))
	m := message("0199-5f1c")
	m.Text = "<b>नमस्ते</b> & \"you\"\n"
	if o := send(t, w, m)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	p := r.got()[0]
	for _, secret := range []string{testSecret, before} {
		if a := ask(secret, p, nil); a.Payload == nil || a.Payload.ID != m.ID || a.Payload.User != m.To || a.Payload.Text != m.Text {
			t.Errorf("%+v", a)
		}
	}
	if a := ask(other, p, nil); a.Error == "" {
		t.Errorf("by another secret: %+v", a)
	}
	for name, change := range map[string]func(map[string]string, *string){
		"the body":      func(_ map[string]string, body *string) { *body = strings.Replace(*body, "asha", "bela", 1) },
		"the id":        func(h map[string]string, _ *string) { h["webhook-id"] += "1" },
		"the signature": func(h map[string]string, _ *string) { h["webhook-signature"] = "v1,AAAA" },
	} {
		if a := ask(testSecret, p, change); a.Error == "" {
			t.Errorf("with %s changed: %+v", name, a)
		}
	}

	// What is old is not taken: who replays a request that was overheard is too late.
	w.now = func() time.Time { return time.Now().Add(-time.Hour) }
	send(t, w, message("old"))
	if a := ask(testSecret, r.got()[1], nil); !strings.Contains(a.Error, "too old") {
		t.Errorf("an hour old: %+v", a)
	}
}
