//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The vendor's client library, as published.
const clevertapClient = "clevertap@1.3.0"

// TestCleverTapClient makes every call of the vendor's own client for Node,
// with one line changed, and looks at what it gets.
func TestCleverTapClient(t *testing.T) {
	d := newDaemon(t, false, `
publisher "shop" {
  key "server" {
    id      = "SHOP-SRV"
    secret  = env("CLEVERTAP_PASSCODE")
    allow   = ["read", "erase", "campaigns"]
    purpose = "offers"
  }
  purpose "offers" {}
  purpose "service" { basis = "contract" }
}
`)
	t.Setenv("CLEVERTAP_PASSCODE", "PASS-1")
	d.start()
	dir := t.TempDir()
	install := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", clevertapClient)
	if text, err := install.CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v\n%s", clevertapClient, err, text)
	}
	script, err := os.ReadFile("testdata/clevertap.cjs")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "script.cjs"), script, 0o600))
	node := exec.Command("node", filepath.Join(dir, "script.cjs"), d.collect, "PASS-1")
	node.Stderr = os.Stderr
	text, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var got map[string]json.RawMessage
	must(t, json.Unmarshal(text, &got))
	type object = map[string]any
	of := func(name string) (out object) {
		t.Helper()
		if err := json.Unmarshal(got[name], &out); err != nil {
			t.Fatalf("%s: %v: %s", name, err, got[name])
		}
		return out
	}
	list := func(name string) (out []object) {
		t.Helper()
		if err := json.Unmarshal(got[name], &out); err != nil {
			t.Fatalf("%s: %v: %s", name, err, got[name])
		}
		return out
	}
	want := func(name string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %s", name, got[name])
		}
	}
	want("upload", of("upload")["processed"] == 50.0)
	for _, name := range []string{"profile", "byEmail"} {
		r, _ := of(name)["record"].(object)
		want(name, r["identity"] == "u3" && r["email"] == "u3@example.com" && r["profileData"].(object)["Plan"] == "gold")
	}
	want("nobody", of("nobody")["status"] == "fail")
	people := map[any]bool{}
	for _, r := range list("profiles") {
		people[r["identity"]] = true
	}
	want("profiles", len(list("profiles")) == 25 && len(people) == 25)
	want("events", len(list("events")) == 10 && list("events")[0]["event_props"].(object)["Product"] != nil)
	want("eventsCount", of("eventsCount")["count"] == 25.0)
	want("profilesCount", of("profilesCount")["count"] == 12.0)
	want("top", of("top")["foo"].(object)["STR"].(object)["p0"] == 9.0)
	want("trends", of("trends")["foo"].(object)["202601"] == 25.0)
	want("now", of("now")["status"] == "success" && of("now")["user_type"] != nil)
	want("estimate", of("estimate")["estimates"].(object)["email"] == 25.0)
	want("create", of("create")["status"] == "success" && of("create")["id"].(float64) > 1e9)
	want("stop", of("stop")["status"] == "success")
	want("list", len(of("list")["targets"].([]any)) == 2)
	want("result", of("result")["result"].(object)["sent"] == 0.0)
	want("report", of("report")["total_results"] == 2.0)
	want("subscribe", of("subscribe")["processed"] == 1.0)
	want("disassociate", of("disassociate")["processed"] == 1.0)
	want("demerge", of("demerge")["processed"] == 1.0)
	want("delete", of("delete")["processed"] == 2.0)
	want("left", of("left")["count"] == 23.0)
	want("wrong", of("wrong")["code"] == 401.0 && of("wrong")["error"] == "Invalid Credentials")
}
