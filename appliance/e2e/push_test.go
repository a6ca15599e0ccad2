//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apple "github.com/cloisterhq/cloister/connectors/apns/standin"
	google "github.com/cloisterhq/cloister/connectors/fcm/standin"
)

// TestPush: one campaign reaches Android by FCM and iOS by Apple, each with what
// its platform shows; a device that has uninstalled the app is told of as that,
// and asked after no more.
func TestPush(t *testing.T) {
	const (
		android, gone = "dQw4w9WgXcQ:APA91bAndroid", "dQw4w9WgXcQ:APA91bGone"
		ios           = "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad"
	)
	fcm, apns, connectors := phones(t)
	fcm.Bad(gone, "UNREGISTERED")
	var mu sync.Mutex
	asked := map[string]int{}
	fcm.Answer = func(_ http.ResponseWriter, _ *http.Request, m google.Message) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[m.Token]++
		return false
	}
	d := newDaemon(t, true, `
publisher "shop" {
  key "app" { id = "SHOP-APP" }
  purpose "offers" { channels = ["push"] }
`+connectors+"}\n")
	d.start()
	var people strings.Builder
	for _, p := range []struct{ user, platform, token string }{{"asha", "fcm", android}, {"bela", "apns", ios}, {"cara", "fcm", gone}} {
		fmt.Fprintf(&people, `{"user":%q,"anonymous":"phone-of-%s","profile":{"City":"Pune"},"channels":{"push":{"platform":%q,"token":%q}},"consent":[{"purpose":"offers","granted":true}]}`+"\n", p.user, p.user, p.platform, p.token)
	}
	profiles := filepath.Join(t.TempDir(), "people.ndjson")
	must(t, os.WriteFile(profiles, []byte(people.String()), 0o600))
	t.Log(run(t, program, "import", "profiles", "--config", d.config, "--publisher", "shop", profiles))
	campaign := func(id string) {
		t.Helper()
		c := map[string]any{
			"id": id, "name": id, "state": "running", "channel": "push", "purpose": "offers", "class": "transactional",
			"trigger": map[string]any{"type": "once", "audience": map[string]any{"all": []any{}}},
			"content": map[string]any{"title": "Sale in {{ Profile.City }}", "text": "Today", "link": "app://sale", "push": map[string]any{
				"image": "https://cdn.example/{{ Profile.City }}.png", "links": map[string]any{"apns": "shop://sale"}, "badge": "2", "channel": "news", "collapse": "sale",
				"buttons": []any{map[string]any{"id": "buy", "title": "Buy", "link": "app://buy"}}, "data": map[string]any{"city": "{{ Profile.City }}"}, "urgent": true,
			}},
		}
		if code := d.call("POST", "/publishers/shop/campaigns", c, nil); code/100 != 2 {
			t.Fatalf("making the campaign: %d", code)
		}
	}
	campaign("sale")
	eventually(t, 60*time.Second, "both are sent to", func() bool { return d.total("shop", "Notification Sent") == 2 })
	eventually(t, 60*time.Second, "the third is told of", func() bool { return d.total("shop", "App Uninstalled") == 1 })
	got := taken(fcm)
	if len(got) != 1 || len(apns.Got()) != 1 {
		t.Fatalf("%+v, %+v", got, apns.Got())
	}
	m := got[0]
	raw := fmt.Sprint(m.Raw)
	if m.Token != android || m.Data["city"] != "Pune" || m.Data["cloister_link"] != "app://sale" || !strings.Contains(m.Data["cloister_buttons"], `"app://buy"`) {
		t.Errorf("FCM got %+v", m)
	}
	for _, want := range []string{"title:Sale in Pune", "body:Today", "image:https://cdn.example/Pune.png", "channel_id:news", "collapse_key:sale", "priority:HIGH", "notification_count:2"} {
		if !strings.Contains(raw, want) {
			t.Errorf("FCM got no %s: %s", want, raw)
		}
	}
	n := apns.Got()[0]
	said := fmt.Sprint(n.Payload)
	if n.Device != ios || n.Header.Get("apns-collapse-id") != "sale" || n.Header.Get("apns-priority") != "10" {
		t.Errorf("Apple got %+v", n)
	}
	for _, want := range []string{"title:Sale in Pune", "body:Today", "https://cdn.example/Pune.png", "shop://sale", "badge:2", "city:Pune"} {
		if !strings.Contains(said, want) {
			t.Errorf("Apple got no %s: %s", want, said)
		}
	}

	campaign("again")
	eventually(t, 60*time.Second, "both are sent to again", func() bool { return d.total("shop", "Notification Sent") == 4 })
	eventually(t, 60*time.Second, "the third is held", func() bool { return d.total("shop", "Notification Held") == 1 })
	mu.Lock()
	defer mu.Unlock()
	if asked[gone] != 1 || d.total("shop", "App Uninstalled") != 1 {
		t.Errorf("a device that is gone was asked after %d times", asked[gone])
	}
	if bad := append(fcm.Refusals(), apns.Refusals()...); len(bad) > 0 {
		t.Errorf("refused: %v", bad)
	}
}

// phones are what stands in for FCM and for Apple, and the blocks of the connectors
// that reach them.
func phones(t *testing.T) (fcm *google.Server, apns *apple.Server, connectors string) {
	t.Helper()
	fcm, err := google.New()
	must(t, err)
	t.Cleanup(fcm.Close)
	apns, err = apple.New()
	must(t, err)
	t.Cleanup(apns.Close)
	fcm.Keep, apns.Keep = true, true
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	return fcm, apns, fmt.Sprintf(`
  connector "push" "android" {
    plugin    = "fcm"
    platforms = ["fcm"]
    settings {
      service_account = file(%q)
      ca              = file(%q)
      url             = %q
      token_url       = %q
    }
  }
  connector "push" "ios" {
    plugin    = "apns"
    platforms = ["apns"]
    settings {
      topic   = %q
      key     = file(%q)
      key_id  = %q
      team_id = %q
      ca      = file(%q)
      url     = %q
    }
  }
`, file("account.json", fcm.Account()), file("google.pem", fcm.CA()), fcm.URL(), fcm.TokenURL(),
		apple.Topic, file("key.p8", apns.Key()), apple.KeyID, apple.TeamID, file("apple.pem", apns.CA()), apns.URL())
}

// taken are the messages that FCM took, without the connector's own question
// whether it may send.
func taken(fcm *google.Server) []google.Message {
	return slices.DeleteFunc(fcm.Got(), func(m google.Message) bool { return m.ValidateOnly })
}
