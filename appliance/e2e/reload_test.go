//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write puts a configuration's publishers in the place of the present ones.
func (d *daemon) write(publishers string) {
	d.t.Helper()
	b, err := os.ReadFile(d.config)
	must(d.t, err)
	head, _, _ := strings.Cut(string(b), "\npublisher ")
	must(d.t, os.WriteFile(d.config, []byte(head+"\n"+publishers), 0o600))
}

type reloaded struct{ Applied, Restart []string }

// send posts one event with a write key and gives the status.
func (d *daemon) send(key string) int {
	d.t.Helper()
	req, err := http.NewRequest("POST", d.collect+"/v1/track", strings.NewReader(`{"userId":"u","event":"Tick"}`))
	must(d.t, err)
	req.SetBasicAuth(key, "")
	resp, err := d.apps.Do(req)
	must(d.t, err)
	resp.Body.Close()
	return resp.StatusCode
}

type connectorNow struct {
	Name, State string
	Since       time.Time
}

func (d *daemon) connectors(publisher string) []connectorNow {
	var out struct{ Connectors []connectorNow }
	d.call("GET", "/publishers/"+publisher+"/connectors", nil, &out)
	return out.Connectors
}

func TestReload(t *testing.T) {
	box := t.TempDir()
	shop := func(rate string, more string) string {
		return fmt.Sprintf(`
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" {}
  connector "email" "letters" {
    plugin = "mailbox"
    rate   = %q
    settings { dir = %q }
  }
  %s
}
`, rate, filepath.Join(box, "email"), more)
	}
	d := newDaemon(t, false, shop("100/s", ""))
	d.start()
	if code := d.send("SHOP-APP"); code != 200 {
		t.Fatalf("an event: %d", code)
	}
	eventually(t, 10*time.Second, "the event is counted", func() bool { return d.total("shop", "Tick") == 1 })

	var r reloaded
	reload := func() int { return d.call("POST", "/admin/reload", nil, &r) }
	if code := reload(); code != 200 || len(r.Applied) != 0 || len(r.Restart) != 0 {
		t.Errorf("a reload of the same: %d, %+v", code, r)
	}

	t.Log("a publisher more, and a connector otherwise")
	before := d.connectors("shop")
	d.write(strings.Replace(shop("50/s", ""), filepath.Join(box, "email"), filepath.Join(box, "letters"), 1) + `
publisher "bank" {
  key "app" { id = "BANK-APP" }
}
`)
	if code := reload(); code != 200 || !slices.Contains(r.Applied, `publisher "shop"`) || !slices.Contains(r.Applied, `publisher "bank" added`) {
		t.Errorf("%d, %+v", code, r)
	}
	if code := d.send("BANK-APP"); code != 200 {
		t.Errorf("an event of the new publisher: %d", code)
	}
	eventually(t, 10*time.Second, "the other connector runs", func() bool {
		now := d.connectors("shop")
		return len(now) == 1 && now[0].State == "running" && now[0].Since.After(before[0].Since)
	})

	t.Log("a rate is delivery's: the connector goes on")
	before = d.connectors("shop")
	d.write(strings.Replace(shop("20/s", ""), filepath.Join(box, "email"), filepath.Join(box, "letters"), 1) + `
publisher "bank" {
  key "app" { id = "BANK-APP" }
}
`)
	if code := reload(); code != 200 || !slices.Equal(r.Applied, []string{`publisher "shop"`}) {
		t.Errorf("%d, %+v", code, r)
	}
	if now := d.connectors("shop"); len(now) != 1 || now[0].State != "running" || !now[0].Since.Equal(before[0].Since) {
		t.Errorf("%+v, was %+v", now, before)
	}

	t.Log("mistakes change nothing")
	for name, wrong := range map[string]string{
		"a word that is none":                 shop("50/s", "colour = 1"),
		"settings that the connector refuses": strings.Replace(shop("50/s", ""), box, "relative", 1),
		"a program that is not the one": shop("50/s", `connector "sms" "texts" {
    plugin = "mailbox"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    settings { dir = "`+box+`/sms" }
  }`),
	} {
		d.write(wrong)
		if code := reload(); code != 422 {
			t.Errorf("%s: %d", name, code)
		}
		if code := d.send("BANK-APP"); code != 200 {
			t.Errorf("after %s the old configuration is not in force: %d", name, code)
		}
	}

	t.Log("what needs a restart waits for it, also for who is added meanwhile")
	elsewhere := d.dir + "-elsewhere"
	config, err := os.ReadFile(d.config)
	must(t, err)
	d.write(shop("50/s", "") + "\npublisher \"bank\" {\n  key \"app\" { id = \"BANK-APP\" }\n}\npublisher \"post\" {\n  key \"app\" { id = \"POST-APP\" }\n}\n")
	moved, err := os.ReadFile(d.config)
	must(t, err)
	must(t, os.WriteFile(d.config, bytes.Replace(moved, []byte(d.dir+`"`), []byte(elsewhere+`"`), 1), 0o600))
	if code := reload(); code != 200 || !slices.Contains(r.Restart, "appliance") || !slices.Contains(r.Applied, `publisher "post" added`) {
		t.Errorf("%d, %+v", code, r)
	}
	if code := d.send("POST-APP"); code != 200 {
		t.Errorf("an event of the publisher that was added: %d", code)
	}
	if _, err := os.Stat(elsewhere); !os.IsNotExist(err) {
		t.Errorf("%s was used before a restart: %v", elsewhere, err)
	}
	must(t, os.WriteFile(d.config, config, 0o600))

	t.Log("another time zone opens the rooms again, and a publisher goes")
	d.write(strings.Replace(shop("50/s", ""), `key "app"`, "timezone = \"Asia/Kolkata\"\n  key \"app\"", 1))
	if code := reload(); code != 200 || !slices.Contains(r.Applied, `publisher "bank" removed; its data stays`) {
		t.Errorf("%d, %+v", code, r)
	}
	if code := d.send("BANK-APP"); code != 401 {
		t.Errorf("an event of the publisher that went: %d", code)
	}
	eventually(t, 20*time.Second, "the publisher is there again, with its data", func() bool {
		var answer struct{ Timezone string }
		if d.call("GET", "/publishers/shop", nil, &answer) != 200 || answer.Timezone != "Asia/Kolkata" {
			return false
		}
		var q json.RawMessage
		return d.call("POST", "/publishers/shop/query", `{"kind":"trend","interval":"all","series":[{"name":"A","event":"Tick","measure":"count"}]}`, &q) == 200 &&
			strings.Contains(string(q), `"total":1`)
	})
}
