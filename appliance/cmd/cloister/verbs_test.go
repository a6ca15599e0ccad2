package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// called runs the program in this process.
func called(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, streams{in: strings.NewReader(in), out: &o, err: &e})
	return code, o.String(), e.String()
}

// api is a daemon that answers what a test says, and keeps what it was asked.
type api struct {
	answers map[string]string // "GET /path" -> JSON
	asked   []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Method + " " + r.URL.RequestURI()
	body, _ := io.ReadAll(r.Body)
	a.asked = append(a.asked, strings.TrimSpace(key+" "+string(body)))
	answer, ok := a.answers[key]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"code":"not_found","message":"there is nothing here"}}`)
	case strings.HasPrefix(answer, "!"): // "!422 {..}"
		var status int
		fmt.Sscanf(answer, "!%d", &status)
		w.WriteHeader(status)
		fmt.Fprint(w, answer[5:])
	default:
		fmt.Fprint(w, answer)
	}
}

func TestVerbs(t *testing.T) {
	me := `{"publishers":[{"name":"acme"}]}`
	for _, c := range []struct {
		name    string
		args    string
		in      string
		answers map[string]string
		code    int
		out     string // exactly, if it ends with a line; else a part
		errs    string // a part
		asked   string // the last question
	}{
		{
			name: "token create prints the token and nothing else", args: "token create --publisher acme --role analyst --ttl 90d",
			answers: map[string]string{"POST /v1/tokens": `{"token":{"id":"1"},"secret":"cloister_abc"}`},
			out:     "cloister_abc\n", asked: `POST /v1/tokens {"name":"token","roles":{"acme":"analyst"},"ttl":"90d"}`,
		},
		{
			name: "token list", args: "token list",
			answers: map[string]string{"GET /v1/tokens": `{"tokens":[{"id":"1","name":"warehouse","roles":{"*":"admin"},"by":"ann","used":null}]}`},
			out:     "1   warehouse  admin of everything",
		},
		{
			name: "token list as JSON", args: "token list --json",
			answers: map[string]string{"GET /v1/tokens": `{"tokens":[]}`}, out: "{\n  \"tokens\": []\n}\n",
		},
		{
			name: "token revoke", args: "token revoke a/b",
			answers: map[string]string{"DELETE /v1/tokens/a%2Fb": ``}, asked: "DELETE /v1/tokens/a%2Fb",
		},
		{
			name: "operator add", args: "operator add ann --role admin",
			answers: map[string]string{
				"POST /v1/operators":   `{"link":"/sign-in#T","expires":"2026-01-01T00:00:00Z"}`,
				"GET /v1/admin/status": `{"listeners":[{"name":"console","address":"127.0.0.1:8481"}]}`,
			},
			out: "http://127.0.0.1:8481/sign-in#T\n", errs: "Works once",
		},
		{
			name: "operator reset", args: "operator reset ann",
			answers: map[string]string{"POST /v1/operators/ann/link": `{"link":"https://x/sign-in#T"}`}, out: "https://x/sign-in#T\n",
		},
		{
			name: "the only publisher needs no name", args: "campaign list",
			answers: map[string]string{
				"GET /v1/me":                        me,
				"GET /v1/publishers/acme/campaigns": `{"campaigns":[{"id":"cart","name":"Abandoned \u001b[31mcart","state":"running","channel":"email","purpose":"offers","trigger":{"type":"inaction"}}]}`,
			},
			out: "cart  running  email    offers   inaction  Abandoned ?[31mcart\n",
		},
		{
			name: "of several publishers one must be named", args: "campaign list",
			answers: map[string]string{"GET /v1/me": `{"publishers":[{"name":"a"},{"name":"b"}]}`}, code: exitUsage, errs: "one of: a, b",
		},
		{
			name: "campaign start", args: "campaign start cart --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/campaigns/cart/start": `{"id":"cart","state":"running"}`}, errs: "cart is running.",
		},
		{
			name: "a campaign's mistakes", args: "campaign start cart --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/campaigns/cart/start": `!400 {"error":{"code":"mistakes","message":"the campaign has mistakes","mistakes":[{"path":"trigger","message":"is missing"}]}}`},
			code:    exitFailed, errs: "the campaign has mistakes\n  trigger: is missing",
		},
		{
			name: "query", args: "query --publisher acme -", in: `{"kind":"trend"}`,
			answers: map[string]string{"POST /v1/publishers/acme/query": `{"series":[1,2]}`},
			out:     "{\n  \"series\": [\n    1,\n    2\n  ]\n}\n", asked: `POST /v1/publishers/acme/query {"kind":"trend"}`,
		},
		{
			name: "a bad question", args: "query --publisher acme -", in: `{}`,
			answers: map[string]string{"POST /v1/publishers/acme/query": `!400 {"error":{"code":"missing","message":"is missing","path":"kind"}}`},
			code:    exitFailed, errs: "cloister: kind: is missing",
		},
		{
			name: "explain", args: "explain 00ff --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/messages/00ff": `{"message":"00ff","state":"held","reason":"no consent","attempts":0,"zone":"","cap":{"messages":3}}`},
			out:     "message        00ff\nstate          held\nreason         no consent\nattempts       0\ncap            {\"messages\":3}\n",
		},
		{
			name: "explain finds the publisher", args: "explain 00ff",
			answers: map[string]string{"GET /v1/me": `{"publishers":[{"name":"a"},{"name":"b"}]}`, "GET /v1/publishers/b/messages/00ff": `{"state":"sent"}`},
			out:     "state          sent\n",
		},
		{
			name: "explain what is nowhere", args: "explain 00ff",
			answers: map[string]string{"GET /v1/me": `{"publishers":[{"name":"a"},{"name":"b"}]}`}, code: exitFailed, errs: "nothing here",
		},
		{
			name: "version of the daemon", args: "version",
			answers: map[string]string{"GET /v1/me": `{"appliance":{"version":"1.2"}}`}, out: "cloister dev\ndaemon 1.2\n",
		},
		{
			name: "person show", args: "person show ann@example.com --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/people/ann@example.com": `{"person":7}`}, out: "{\n  \"person\": 7\n}\n",
		},
		{
			name: "person erase", args: "person erase ann --publisher acme --yes",
			answers: map[string]string{"DELETE /v1/publishers/acme/people/ann": `{"request":"e-1"}`}, out: "e-1\n",
		},
		{
			name: "what is not there", args: "person show bob --publisher acme", code: exitFailed, errs: "there is nothing here (look at",
		},
		{
			name: "connector check", args: "connector check relay --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/connectors/relay/check": `{"ok":false,"problem":"connection refused"}`},
			code:    exitFound, out: "connection refused\n",
		},
		{
			name: "connector list says what is paused", args: "connector list --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/connectors": `{"connectors":[{"channel":"email","name":"relay","state":"running","paused":"2026-01-02T00:00:00Z","in_flight":3}]}`},
			out:     "relay is paused since 2026-01-02T00:00:00Z, and has 3 messages to answer\n",
		},
		{
			name: "connector list says what reaches no provider", args: "connector list --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/connectors": `{"connectors":[{"channel":"email","name":"relay","state":"running","unreachable":"connection refused"}]}`},
			out:     "relay does not reach its provider: connection refused\n",
		},
		{
			name: "connector pause", args: "connector pause relay --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/connectors/relay/pause": `{"paused":"2026-01-02T00:00:00Z"}`},
		},
		{
			name: "connector resume", args: "connector resume none --publisher acme", code: exitFailed, errs: "there is nothing here",
			asked: "POST /v1/publishers/acme/connectors/none/resume",
		},
		{
			name: "connector drain", args: "connector drain relay --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/connectors/relay/drain": `{"in_flight":0}`}, out: "drained\n",
		},
		{
			name: "connector drain that takes too long", args: "connector drain relay --publisher acme --timeout 0s",
			answers: map[string]string{"POST /v1/publishers/acme/connectors/relay/drain": `{"in_flight":7}`}, code: exitFound, out: "7 messages are not answered yet\n",
		},
		{
			name: "suppression show", args: "suppression show --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/suppression": `{"counts":{"bounce":2,"operator":1}}`}, out: "REASON     ADDRESSES\nbounce     2\ncomplaint  0\nsoft       0\noperator   1\nerased     0\n",
		},
		{
			name: "suppression list", args: "suppression list --reason bounce --limit 1 --publisher acme",
			answers: map[string]string{
				"GET /v1/publishers/acme/suppression/addresses?limit=1&reason=bounce":          `{"addresses":[{"reason":"bounce","since":"2026-01-02T00:00:00Z","channel":"email","address":"ann@x","identity":"ann"}],"next":"n"}`,
				"GET /v1/publishers/acme/suppression/addresses?cursor=n&limit=1&reason=bounce": `{"addresses":[{"reason":"bounce"}],"next":""}`,
			},
			out: "bounce  email    ann@x    ann", errs: "and more than 1",
		},
		{
			name: "suppression find", args: "suppression find email ann@x --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/suppression/find": `{"suppressed":true,"reason":"bounce","since":"2026-01-02T00:00:00Z"}`},
			out:     "bounce since 2026-01-02T00:00:00Z\n", asked: `POST /v1/publishers/acme/suppression/find {"address":"ann@x","channel":"email"}`,
		},
		{
			name: "suppression add", args: "suppression add email ann@x bob@x --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/suppression/add": `{"addresses":2,"kept":1}`},
			out:     "2 addresses are on the list, 1 of them were for another reason.\n", asked: `POST /v1/publishers/acme/suppression/add {"addresses":["ann@x","bob@x"],"channel":"email"}`,
		},
		{
			name: "suppression remove", args: "suppression remove sms +911234567 --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/suppression/remove": `{"addresses":1,"kept":1}`},
			out:     "0 addresses are off the list, 1 are kept on it: nobody has them, or who had them was erased.\n",
		},
		{
			name: "suppression import", args: "suppression import --channel email - --publisher acme", in: "\ufeffann@x\r\n\n bob@x \n",
			answers: map[string]string{"POST /v1/publishers/acme/suppression/add": `{"addresses":2,"kept":0}`},
			out:     "2 addresses are on the list.\n", asked: `POST /v1/publishers/acme/suppression/add {"addresses":["ann@x","bob@x"],"channel":"email"}`,
		},
		{
			name: "suppression import of a column", args: "suppression import --channel email --column mail - --publisher acme", in: "who,mail\nAnn,ann@x\n\"B, C\",\"bob@x\"\nD,\n",
			answers: map[string]string{"POST /v1/publishers/acme/suppression/add": `{"addresses":2,"kept":0}`},
			asked:   `POST /v1/publishers/acme/suppression/add {"addresses":["ann@x","bob@x"],"channel":"email"}`,
		},
		{
			name: "suppression import without the column", args: "suppression import --channel email --column mail - --publisher acme", in: "who\nAnn\n",
			code: exitFailed, errs: `there is no column "mail"; there are who`,
		},
		{
			name: "message list", args: "message list --state failed --campaign cart --publisher acme",
			answers: map[string]string{
				"GET /v1/publishers/acme/messages?campaign=cart&limit=100&state=failed":          `{"messages":[{"message":"m1","campaign":"cart","channel":"email","reason":"no such mailbox","settled":"2026-01-02T00:00:00Z","attempts":[{"connector":"a"},{"connector":"relay"}]}],"next":"n"}`,
				"GET /v1/publishers/acme/messages?campaign=cart&cursor=n&limit=100&state=failed": `{"messages":[],"next":""}`,
			},
			out: "m1       cart      email    relay      no such mailbox",
		},
		{
			name: "message list as JSON", args: "message list --state failed --json --limit 2 --publisher acme",
			answers: map[string]string{
				"GET /v1/publishers/acme/messages?limit=100&state=failed":          `{"messages":[{"message":"m1","copy_of":"m0"}],"next":"n"}`,
				"GET /v1/publishers/acme/messages?cursor=n&limit=100&state=failed": `{"messages":[{"message":"m2"},{"message":"m3"}],"next":""}`,
			},
			out: "{\n  \"messages\": [\n    {\n      \"message\": \"m1\",\n      \"copy_of\": \"m0\"\n    },\n    {\n      \"message\": \"m2\"\n    }\n  ]\n}\n", errs: "and more than 2",
		},
		{
			name: "nothing as JSON", args: "suppression list --json --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/suppression/addresses?limit=1000": `{"addresses":[],"next":""}`},
			out:     "{\n  \"addresses\": []\n}\n",
		},
		{
			name: "message list counts", args: "message list --state unknown --count --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/messages?limit=100&state=unknown": `{"messages":[{"message":"m1"},{"message":"m2"}],"next":""}`}, out: "2\n",
		},
		{
			name: "message replay", args: "message replay m1 m2 --perhaps-twice --publisher acme",
			answers: map[string]string{"POST /v1/publishers/acme/messages/replay": `{"messages":[{"message":"m1","as":"n1"},{"message":"m2","error":{"code":"erased","message":"its recipient was erased"}}]}`},
			code:    exitFound, out: "m1  n1\nm2  no: its recipient was erased\n1 replayed, 1 not\n", asked: `POST /v1/publishers/acme/messages/replay {"messages":["m1","m2"],"perhaps_twice":true}`,
		},
		{
			name: "message replay of a list leaves out what was replayed", args: "message replay --state failed --publisher acme",
			answers: map[string]string{
				"GET /v1/publishers/acme/messages?limit=100&state=failed": `{"messages":[{"message":"m1","replayed_as":"n1"},{"message":"m2"}],"next":""}`,
				"POST /v1/publishers/acme/messages/replay":                `{"messages":[{"message":"m2","as":"n2"}]}`,
			},
			out: "m2  n2\n1 replayed, 0 not\n", asked: `POST /v1/publishers/acme/messages/replay {"messages":["m2"],"perhaps_twice":false}`,
		},
		{name: "message replay of nothing", args: "message replay --publisher acme", code: exitUsage, errs: "say which"},
		{
			name: "connector list", args: "connector list --publisher acme",
			answers: map[string]string{"GET /v1/publishers/acme/connectors": `{"connectors":[{"channel":"email","name":"relay","plugin":"smtp","version":"1.0.0","state":"running","restarts":2,"sandbox":"landlock 5, static","grade":"files","missing":"signals","webhook":"https://x.example/receipts/acme/relay"}]}`},
			out:     "CHANNEL  NAME   PLUGIN  VERSION  STATE    RESTARTS  GRADE  SANDBOX             ERROR\nemail    relay  smtp    1.0.0    running  2         files  landlock 5, static  -\nrelay is not fully confined: signals\nthe provider of relay tells what became of messages at https://x.example/receipts/acme/relay\n",
		},
		{
			name: "status", args: "status",
			answers: map[string]string{"GET /v1/admin/status": `{"name":"dc1","version":"1","listeners":[{"name":"console","address":"x:1"}],"publishers":[{"name":"acme","people":3,"rows":12,"per_second":0.5,"waiting":1}],"problems":[]}`},
			out:     "acme       3       12      0.5       1\n",
		},
		{
			name: "status with a problem", args: "status --json",
			answers: map[string]string{"GET /v1/admin/status": `{"problems":[{"code":"journal.full"}]}`}, code: exitFound, out: `"journal.full"`,
		},
		{
			name: "reload", args: "reload",
			answers: map[string]string{"POST /v1/admin/reload": `{"applied":["publisher \"acme\""],"restart":["listener \"console\""]}`},
			out:     "applied        publisher \"acme\"\nneeds restart  listener \"console\"\n",
		},
		{
			name: "reload of a wrong configuration", args: "reload",
			answers: map[string]string{"POST /v1/admin/reload": `!422 {"error":{"code":"config","message":"m","text":"Error E1010: x\n  on a.hcl line 1:\n"}}`},
			code:    exitFailed, errs: "the old one stays in force\n\nError E1010: x\n  on a.hcl line 1:\n",
		},
		{
			name: "not ready", args: "status", answers: map[string]string{"GET /v1/admin/status": `!503 {"error":{"code":"unavailable","message":"locked"}}`},
			code: exitNotReady, errs: "locked",
		},
		{
			name: "something in between", args: "status", answers: map[string]string{"GET /v1/admin/status": `!502 <html>`},
			code: exitFailed, errs: "the daemon answered 502 Bad Gateway",
		},
		{
			name: "another version", args: "operator list", answers: map[string]string{"GET /v1/operators": `[]`}, code: exitFailed,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &api{answers: c.answers}
			socket := serve(t, a).where
			code, out, errs := called(t, c.in, append(strings.Fields(c.args), "--socket", socket)...)
			if code != c.code {
				t.Errorf("code %d, not %d: %s", code, c.code, errs)
			}
			if !strings.Contains(out, c.out) || strings.HasSuffix(c.out, "\n") && strings.Count(c.out, "\n") > 1 && out != c.out {
				t.Errorf("standard output: %q, not %q", out, c.out)
			}
			if !strings.Contains(errs, c.errs) {
				t.Errorf("standard error: %q, not %q", errs, c.errs)
			}
			if c.asked != "" && a.asked[len(a.asked)-1] != c.asked {
				t.Errorf("asked %q, not %q", a.asked[len(a.asked)-1], c.asked)
			}
		})
	}
}

// A token goes over TLS, or to this machine, and never to where a redirect leads.
func TestToken(t *testing.T) {
	var seen string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer cloister_x" {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		if r.URL.Path == "/v1/operators" {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
			return
		}
		fmt.Fprint(w, `{"tokens":[]}`)
	}))
	defer s.Close()
	t.Setenv("CLOISTER_TOKEN", "cloister_x")
	if code, _, errs := called(t, "", "token", "list", "--address", s.URL); code != exitDone {
		t.Errorf("code %d: %s", code, errs)
	}
	if code, _, _ := called(t, "", "operator", "list", "--address", s.URL); code != exitFailed || seen != "" {
		t.Errorf("a redirect was followed: %d, %q", code, seen)
	}
}

// An export has every event once, also where many have the same time.
func TestPersonExport(t *testing.T) {
	const n = 25_000
	const instant = 7000 // so many events have the same time
	stamp := func(i int) string { return fmt.Sprintf("2026-01-01T00:%02d:%02dZ", i/instant, i/instant) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/publishers/acme/people/ann", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"person":7}`) })
	mux.HandleFunc("GET /v1/publishers/acme/people/ann/timeline", func(w http.ResponseWriter, r *http.Request) {
		before, _ := time.Parse(time.RFC3339, r.URL.Query().Get("before"))
		page := []json.RawMessage{}
		for i := n - 1; i >= 0 && len(page) < timelinePage; i-- {
			if at, _ := time.Parse(time.RFC3339, stamp(i)); before.IsZero() || at.Before(before) {
				page = append(page, json.RawMessage(fmt.Sprintf(`{"event":"E","ts":%q,"props":{"i":%d}}`, stamp(i), i)))
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"events": page})
	})
	socket := serve(t, mux).where
	code, out, errs := called(t, "", "person", "export", "ann", "--publisher", "acme", "--socket", socket)
	if code != exitDone || !strings.HasPrefix(out, "{\"person\":{\"person\":7}}\n{\"event\":") {
		t.Fatalf("%d %s %.200s", code, errs, out)
	}
	seen := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		seen[line]++
	}
	for line, times := range seen {
		if times != 1 {
			t.Fatalf("%d times: %s", times, line)
		}
	}
	if len(seen) != n {
		t.Errorf("%d events of %d", len(seen), n)
	}
}

func TestSocketOfConfiguration(t *testing.T) {
	dir := t.TempDir()
	if got := (&target{config: []string{filepath.Join(dir, "missing")}}).socketPath(); got != "/var/lib/cloister/admin.sock" {
		t.Errorf("%s", got)
	}
}

// TestEveryListIsJSON: what lists can be read by programs.
func TestEveryListIsJSON(t *testing.T) {
	lists := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "list" && !cmd.HasSubCommands() {
			if lists++; cmd.Flags().Lookup("json") == nil {
				t.Errorf("%s has no --json", cmd.CommandPath())
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
	if lists < 6 {
		t.Errorf("only %d lists", lists)
	}
}
