//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProbe: once a day every device is asked by a push that shows nothing whether
// the app is there. One that is not is told of with its reason and gets no message
// any more, nobody else notices, and a daemon that was killed asks none again.
func TestProbe(t *testing.T) {
	const (
		android, gone = "dQw4w9WgXcQ:APA91bAndroid", "dQw4w9WgXcQ:APA91bGone"
		ios           = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad"
	)
	fcm, apns, connectors := phones(t)
	fcm.Bad(gone, "UNREGISTERED")
	// Devices are asked from three o'clock on, where the publisher is.
	zone := "UTC"
	if h := time.Now().UTC().Hour(); h < 3 || h > 21 {
		zone = "Asia/Kolkata"
	}
	publisher := func(more string) string {
		return fmt.Sprintf(`
publisher "shop" {
  timezone = %q
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["push"] }
  %s
`, zone, more) + connectors + "}\n"
	}
	d := newDaemon(t, true, publisher(""))
	d.start()
	// Who registered just now is there: these did some days ago.
	var people strings.Builder
	for _, p := range []struct{ user, platform, token string }{{"asha", "fcm", android}, {"bela", "apns", ios}, {"cara", "fcm", gone}} {
		fmt.Fprintf(&people, `{"user":%q,"ts":%q,"channels":{"push":{"platform":%q,"token":%q}},"consent":[{"purpose":"offers","granted":true}]}`+"\n",
			p.user, time.Now().AddDate(0, 0, -3).Format(time.RFC3339), p.platform, p.token)
	}
	file := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(file, []byte(people.String()), 0o600))
	run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", file)
	d.stop()

	d.write(publisher(`probe_devices = "1d"`))
	d.start()
	eventually(t, time.Minute, "the device that is gone is told of", func() bool { return d.total("shop", "App Uninstalled") == 1 })
	eventually(t, time.Minute, "the others are asked", func() bool { return len(taken(fcm)) == 1 && len(apns.Got()) == 1 })
	var line struct {
		Events []struct {
			Event string
			Props map[string]any
		}
	}
	if code := d.call("GET", "/publishers/shop/people/cara/timeline", nil, &line); code != 200 || !strings.Contains(fmt.Sprint(line), "App Uninstalled map[channel:push reason:removed]") {
		t.Errorf("%d: %+v", code, line)
	}
	m, n := taken(fcm)[0], apns.Got()[0]
	if m.Token != android || len(m.Data) != 1 || m.Data["cloister_id"] == "" || strings.Contains(fmt.Sprint(m.Raw), "notification") {
		t.Errorf("FCM was given %+v", m)
	}
	if len(n.Payload) != 2 || n.Payload["cloister_id"] == "" || fmt.Sprint(n.Payload["aps"]) != "map[content-available:1]" || n.Header.Get("apns-push-type") != "background" || n.Header.Get("apns-priority") != "5" {
		t.Errorf("Apple was given %+v", n)
	}
	if sent := d.total("shop", "Notification Sent") + d.total("shop", "Notification Failed"); sent != 0 {
		t.Errorf("%v are told as messages", sent)
	}

	d.kill()
	d.start()
	c := map[string]any{
		"id": "sale", "name": "Sale", "state": "running", "channel": "push", "purpose": "offers",
		"trigger": map[string]any{"type": "once", "audience": map[string]any{"all": []any{}}},
		"content": map[string]any{"title": "Sale", "text": "Today"},
	}
	if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
		t.Fatalf("making the campaign: %d", code)
	}
	eventually(t, time.Minute, "both others get the message", func() bool { return d.total("shop", "Notification Sent") == 2 })
	eventually(t, time.Minute, "the third is held", func() bool { return d.total("shop", "Notification Held") == 1 })
	if len(taken(fcm)) != 2 || len(apns.Got()) != 2 || d.total("shop", "App Uninstalled") != 1 {
		t.Errorf("FCM %+v, Apple %+v", taken(fcm), apns.Got())
	}
	if bad := append(fcm.Refusals(), apns.Refusals()...); len(bad) > 0 {
		t.Errorf("refused: %v", bad)
	}
}
