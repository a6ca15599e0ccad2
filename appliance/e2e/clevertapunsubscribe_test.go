//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/appliance/delivery"
	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/ingest"
	"github.com/cloisterhq/cloister/appliance/keyring"
	"github.com/cloisterhq/cloister/appliance/links"
)

// recipients is a publisher with one person and one mail to them.
type recipients struct {
	*keyring.Publisher
	mu sync.Mutex
	on map[string]bool // purpose channel
}

const someMail = "00112233445566778899aabbccddeeff"

func (r *recipients) Name() string  { return "shop" }
func (r *recipients) Title() string { return "Shop" }
func (r *recipients) Message(id string) (delivery.Message, error) {
	if id != someMail {
		return delivery.Message{}, delivery.ErrUnknown
	}
	return delivery.Message{ID: id, Person: 7, Purpose: "news", Channel: "email"}, nil
}
func (r *recipients) Purposes() []links.Purpose {
	return []links.Purpose{
		{Name: "news", Title: "News", Channels: []string{"email", "push"}}, {Name: "offers", Title: "Offers", Channels: []string{"email"}},
		{Name: "service", Title: "Service", Contract: true, Channels: []string{"email"}},
	}
}
func (r *recipients) Allowed(_ uint32, purpose, channel string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.on[purpose+" "+channel]
}
func (r *recipients) CaughtUp(context.Context) error { return nil }
func (r *recipients) Append(_ context.Context, facts []event.Fact) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range facts {
		for _, c := range f.Consents {
			r.on[c.Purpose+" "+c.Channel] = c.Granted
		}
	}
	return nil
}

func (r *recipients) state() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, _ := json.Marshal(r.on)
	return string(b)
}

// A publisher's own page for unsubscribing, as it is written for CleverTap's
// library: the library asks with GETs, and what changes is told by a POST.
func TestClevertapUnsubscribe(t *testing.T) {
	library := filepath.Join(*npm, "clevertap-web-sdk", "clevertap.min.js")
	if _, err := os.Stat(library); err != nil {
		t.Fatalf("%v: run `npm ci` in appliance/sdks first", err)
	}
	ring, err := keyring.Open(t.TempDir(), make([]byte, keyring.MasterBytes), keyring.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, ring.Close()) })
	keys, err := ring.Publisher("shop")
	must(t, err)
	p := &recipients{Publisher: keys, on: map[string]bool{"news email": true, "news push": true, "offers email": true}}
	apps := ingest.New(ingest.Options{Key: func(id string) (ingest.Key, bool) {
		return ingest.Key{ID: id, Publisher: &ingest.Publisher{Name: "shop", Rules: &ingest.Rules{}}}, id == "TEST-123-456Z"
	}})
	door := links.New(links.Options{Publisher: func(name string) (links.Publisher, bool) { return p, name == "shop" }})
	mux := http.NewServeMux()
	mux.Handle("/", apps)
	for _, path := range links.Paths {
		mux.Handle(path, door)
	}
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	addresses, err := links.NewAddresses(srv.URL, "shop", keys)
	must(t, err)
	token := addresses.Unsubscribe(someMail)
	token = token[strings.LastIndexByte(token, '/')+1:]

	pages := http.NewServeMux()
	pages.HandleFunc("/clevertap.min.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, library) })
	pages.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><script>
var said = [], wzrk_email_fetched = (email, more) => said.push(JSON.stringify([email, more])), wzrk_email_subscription = (s) => said.push('subscription ' + s)
</script><script src="/clevertap.min.js"></script><script>clevertap.init('TEST-123-456Z', '', '%s')</script>`, strings.TrimPrefix(srv.URL, "https://"))
	})
	pages.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	b := browse(t, pages)
	for _, c := range []struct{ page, script, said, state string }{
		{"", `$WZRK_WR.getEmail('', true)`, `["",{"groups":[{"name":"News","isUnsubscribed":false},{"name":"Offers","isUnsubscribed":false}]}]`, `{"news email":true,"news push":true,"offers email":true}`},
		{"", `$WZRK_WR.unSubEmail('')`, `subscription 0`, `{"news email":false,"news push":true,"offers email":true}`},
		{"", `$WZRK_WR.subEmail('')`, `subscription 1`, `{"news email":true,"news push":true,"offers email":true}`},
		{"&page_type=global", `$WZRK_WR.unSubEmail('')`, `subscription 0`, `{"news email":false,"news push":true,"offers email":false}`},
		{"&page_type=global", `$WZRK_WR.subEmail('')`, `subscription 1`, `{"news email":true,"news push":true,"offers email":true}`},
		{"", `$WZRK_WR.changeSubscriptionGroups('', [{name: 'Offers', isUnsubscribed: true}])`, `subscription 2`, `{"news email":true,"news push":true,"offers email":false}`},
	} {
		b.visit("/?e=" + token + "&wzrk_ex=0" + c.page)
		b.run(c.script)
		eventually(t, 10*time.Second, c.script, func() bool { return eval[int](b, "said.length") > 0 })
		if said := eval[string](b, "said.join()"); said != c.said || p.state() != c.state {
			t.Errorf("%s %s: the page was told %s, and it is %s", c.script, c.page, said, p.state())
		}
	}
	if wrong := b.complaints(); len(wrong) > 0 {
		t.Errorf("the browser: %s", wrong)
	}
	// A token that is none tells the page nothing, and an old GET changes nothing.
	before := p.state()
	b.visit("/?e=" + strings.Repeat("A", 46) + "&wzrk_ex=0")
	b.run(`$WZRK_WR.unSubEmail('')`)
	eventually(t, 10*time.Second, "a complaint", func() bool { return len(b.complaints()) > 0 })
	if said := eval[int](b, "said.length"); said != 0 || p.state() != before {
		t.Errorf("%d, %s", said, p.state())
	}
}
