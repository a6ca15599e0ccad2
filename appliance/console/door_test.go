package console

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/cloisterhq/cloister/appliance/access"
	"github.com/cloisterhq/cloister/appliance/audit"
)

// address of a route with something in its places.
func at(r route, publisher string) (method, path string) {
	method, path, _ = strings.Cut(r.pattern, " ")
	return method, strings.NewReplacer("{p}", publisher, "{identity}", "ann", "{id}", "m1", "{name}", "ann", "{request}", "r1").Replace(path)
}

// Every route with every role, against the table in API.md.
func TestWhoMayWhat(t *testing.T) {
	h := open(t)
	may := map[may]map[access.Role]bool{
		view:       {access.Analyst: true, access.Marketer: true, access.Admin: true, access.Auditor: true},
		ask:        {access.Analyst: true, access.Marketer: true, access.Admin: true},
		readPeople: {access.Analyst: true, access.Marketer: true, access.Admin: true},
		takeOut:    {access.Analyst: true, access.Marketer: true, access.Admin: true},
		explain:    {access.Analyst: true, access.Marketer: true, access.Admin: true, access.Auditor: true},
		programme:  {access.Marketer: true, access.Admin: true},
		operate:    {access.Admin: true},
		readAudit:  {access.Admin: true, access.Auditor: true},
		appliance:  {},
		signedIn:   {access.Analyst: true, access.Marketer: true, access.Admin: true, access.Auditor: true},
	}
	for _, role := range access.Roles {
		token := h.token("acme", role)
		for _, r := range routes {
			if r.socket || r.may == anybody || r.time < 0 || strings.Contains(r.pattern, "/v1/audit") || strings.Contains(r.pattern, "password") {
				continue // these have tests of their own
			}
			method, path := at(r, "acme")
			got := h.call(token, method, path, "")
			if refused := got.StatusCode == http.StatusForbidden; refused == may[r.may][role] {
				t.Errorf("%s: %s is answered %d %s", role, r.pattern, got.StatusCode, got.body)
			}
			if got.StatusCode == http.StatusUnauthorized || got.StatusCode >= 500 {
				t.Errorf("%s: %s is answered %d %s", role, r.pattern, got.StatusCode, got.body)
			}
		}
	}
}

func TestNobodyGetsIn(t *testing.T) {
	h := open(t)
	for _, r := range routes {
		method, path := at(r, "acme")
		for _, who := range []string{"", "cloister_" + strings.Repeat("A", 43), "cookie:" + strings.Repeat("A", 43), "cookie:"} {
			got := h.call(who, method, path, "")
			switch {
			case r.socket:
				if got.StatusCode != http.StatusNotFound {
					t.Errorf("%s on the console's listener: %d", r.pattern, got.StatusCode)
				}
			case r.may != anybody && got.StatusCode != http.StatusUnauthorized:
				t.Errorf("%s by %q: %d %s", r.pattern, who, got.StatusCode, got.body)
			}
			if strings.Contains(got.body, "canary") {
				t.Errorf("%s by %q tells %s", r.pattern, who, got.body)
			}
		}
	}
}

// What one publisher's people may not see is not there, whichever way it is
// asked for.
func TestPublishersAreStrangers(t *testing.T) {
	h := open(t)
	for _, role := range access.Roles {
		token := h.token("acme", role)
		for _, r := range routes {
			if !strings.Contains(r.pattern, "{p}") {
				continue
			}
			method, path := at(r, "beta")
			theirs := h.call(token, method, path, "")
			method, path = at(r, "nowhere")
			none := h.call(token, method, path, "")
			if theirs.StatusCode != http.StatusNotFound || theirs.body != none.body {
				t.Errorf("%s: %s of another publisher is %d %s, of none %s", role, r.pattern, theirs.StatusCode, theirs.body, none.body)
			}
		}
		if got := h.want(200, token, "GET", "/v1/me", ""); strings.Contains(got.body, "beta") {
			t.Errorf("%s: me tells %s", role, got.body)
		}
	}
	// And tries are written down.
	denied := 0
	for _, e := range h.entries() {
		if e.Action == "denied" && e.Publisher == "beta" && e.Outcome == audit.Denied {
			denied++
		}
	}
	if denied == 0 {
		t.Error("nobody wrote down that they tried")
	}
}

func TestPathsThatTryToLeaveAPublisher(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for _, path := range []string{
		"acme/../beta/people/ann", "beta/people/ann", "%62eta/mailbox", "acme%2f..%2fbeta/people/ann", "BETA/people/ann", "beta%00/people/ann",
		"acme/people/..%2f..%2fbeta%2fpeople%2fann", "./beta/mailbox", "acme//../beta/mailbox", "beta/mailbox/1/html?p=acme", "acme;beta/people/ann",
		"*/people/ann", "%2a/people/ann", "acme/people/%2e%2e", "acme/people/", "acme/people/ann/../../../beta/mailbox", "beta%2fpeople/ann",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			req, err := http.NewRequest(method, h.server.URL, nil)
			check(t, err)
			req.URL.Opaque = "/v1/publishers/" + path // as it stands
			req.Header.Set("Authorization", "Bearer "+token)
			if got := h.send(req); strings.Contains(got.body, "beta-canary") || got.StatusCode >= 500 {
				t.Errorf("%s %s: %d %s", method, path, got.StatusCode, got.body)
			}
		}
	}
}

// The same with paths made of whatever routes and tricks are made of.
func TestNoPathLeavesAPublisher(t *testing.T) {
	h := open(t)
	token, handler := h.token("acme", access.Admin), h.Handler()
	piece := rapid.SampledFrom([]string{
		"acme", "beta", "..", ".", "", "%2e%2e", "..%2f", "%2f", "%00", "*", "people", "ann", "timeline", "mailbox", "1", "html", "campaigns", "live",
		"messages", "m1", "segments", "recent-people", "connectors", "query", "import", "events", "beta;acme", "acme%2fbeta", "BETA", "b%65ta", "v1", "publishers", "tokens", "audit",
	})
	rapid.Check(t, func(rt *rapid.T) {
		pieces := rapid.SliceOfN(piece, 1, 8).Draw(rt, "pieces")
		method := rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE", "HEAD"}).Draw(rt, "method")
		suffix := rapid.SampledFrom([]string{"", "?p=beta", "?person=ann", "?publisher=beta", "?limit=5"}).Draw(rt, "suffix")
		body := rapid.SampledFrom([]string{"", "{}", `{"publisher":"beta"}`, `{"kind":"segment","list":{}}`}).Draw(rt, "body")
		target := "/v1/publishers/" + strings.Join(pieces, "/") + suffix
		if strings.Contains(target, "live") {
			return // a stream does not end by itself
		}
		req, err := http.NewRequest(method, "http://x"+target, strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code >= 500 || strings.Contains(w.Body.String(), "beta-canary") {
			rt.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	})
}

func TestWhatIsNotThere(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for _, path := range []string{"/v1/", "/v1/nothing", "/v1/publishers/acme/nothing", "/v1/publishers/acme/people/nobody", "/v1/publishers/acme/campaigns/none",
		"/v1/publishers/acme/segments/none", "/v1/publishers/acme/messages/none", "/v1/publishers/acme/erasures/none", "/v1/publishers/acme/mailbox/9/html",
		"/v1/publishers/acme/campaigns/none/report", "/v1/publishers/acme/people/" + strings.Repeat("x", 600)} {
		if got := h.want(404, token, "GET", path, ""); got.code() != "not_found" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	got := h.want(405, token, "PATCH", "/v1/publishers/acme/campaigns", "")
	if got.code() != "method" || got.Header.Get("Allow") != "GET, POST" {
		t.Errorf("%s, allowed %s", got.body, got.Header.Get("Allow"))
	}
	if got := h.want(410, token, "GET", "/v1/publishers/acme/people/erased", ""); got.code() != "erased" {
		t.Error(got.body)
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	root := h.token(access.Everywhere, access.Admin)
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for _, c := range []struct {
		path, body string
		status     int
		code, at   string
	}{
		{"/v1/operators", `{"name":"bob","roles":{"acme":"analyst"},"admin":true}`, 400, "unknown_field", "admin"},
		{"/v1/operators", `{"name":"bob","Roles":{"acme":"analyst"}}`, 400, "unknown_field", "Roles"},
		{"/v1/operators", `{"name":"bob","name":"eve","roles":{}}`, 400, "syntax", ""},
		{"/v1/operators", `{"name":"bob"} {"name":"eve"}`, 400, "syntax", ""},
		{"/v1/operators", "\ufeff" + `{"name":"bob"}`, 400, "syntax", ""},
		{"/v1/operators", "{\"name\":\"bo\xff\"}", 400, "syntax", ""},
		{"/v1/operators", `{"name":"\ud800"}`, 400, "syntax", ""},
		{"/v1/operators", ``, 400, "syntax", ""},
		{"/v1/operators", `[]`, 400, "wrong_type", ""},
		{"/v1/operators", `{"name":7}`, 400, "wrong_type", "name"},
		{"/v1/operators", `{"name":"bob","roles":{"acme":["admin"]}}`, 400, "wrong_type", "roles.acme"},
		{"/v1/operators", `{"name":"bob","roles":` + deep + `}`, 400, "syntax", ""},
		{"/v1/operators", `{"name":"Bob Smith","roles":{"acme":"analyst"}}`, 400, "bad_value", "name"},
		{"/v1/operators", `{"name":"..","roles":{"acme":"analyst"}}`, 400, "bad_value", "name"},
		{"/v1/operators", `{"name":"bob","roles":{"acme":"owner"}}`, 400, "bad_value", "roles"},
		{"/v1/operators", `{"name":"bob","roles":{"nowhere":"admin"}}`, 400, "bad_value", "roles"},
		{"/v1/operators", `{"name":"` + strings.Repeat("a", 70<<10) + `"}`, 413, "too_large", ""},
		{"/v1/tokens", `{"name":"t","roles":{"acme":"analyst"},"ttl":"forever"}`, 400, "bad_value", "ttl"},
		{"/v1/tokens", `{"name":"t","roles":{"acme":"analyst"},"ttl":"400d"}`, 400, "bad_value", "ttl"},
		{"/v1/tokens", `{"name":"t"}`, 400, "bad_value", "roles"},
		{"/v1/publishers/acme/segments/x", `{"people":null}`, 400, "missing", "people"},
		{"/v1/publishers/acme/segments/x", `{"who":{}}`, 400, "unknown_field", "who"},
		{"/v1/publishers/acme/query", `{`, 400, "syntax", ""},
		{"/v1/publishers/acme/query", `{"kind":"nonsense"}`, 400, "bad_value", "kind"},
		{"/v1/publishers/acme/query", strings.Repeat(" ", 2<<20), 413, "too_large", ""},
		{"/v1/publishers/acme/import/events?source=xyz", ``, 400, "bad_value", "source"},
		{"/v1/publishers/acme/import/events?line=0", ``, 400, "bad_value", "line"},
		{"/v1/publishers/acme/import/events?lines=1", ``, 400, "unknown_field", "lines"},
		{"/v1/publishers/acme/import/events?line=1&line=2", ``, 400, "bad_value", "line"},
	} {
		method, who := "POST", token
		if strings.Contains(c.path, "segments") {
			method = "PUT"
		}
		if strings.HasSuffix(c.path, "operators") {
			who = root
		}
		got := h.call(who, method, c.path, c.body)
		var v struct {
			Error struct{ Code, Path, Message string }
		}
		if got.StatusCode != 0 && got.body != "" {
			got.into(t, &v)
		}
		if got.StatusCode != c.status || v.Error.Code != c.code || v.Error.Path != c.at || v.Error.Message == "" {
			t.Errorf("%s %.80s: %d %s, want %d %s at %q", c.path, c.body, got.StatusCode, got.body, c.status, c.code, c.at)
		}
	}
	if n := len(h.access.Operators()); n != 0 {
		t.Errorf("%d operators were made", n)
	}
	if got := h.want(415, token, "POST", "/v1/publishers/acme/query", "x", "Content-Encoding", "gzip"); got.code() != "encoding" {
		t.Error(got.body)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"a","roles":{"*":"admin"}}`))
	f.Add([]byte(`{"name":"a","extra":1}`))
	f.Add([]byte(`{"kind":"segment","list":{"limit":1},"breakdown":[{"of":"person"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var in struct {
			Name  string        `json:"name"`
			Roles access.Grants `json:"roles"`
		}
		if err := decode(b, &in); err != nil {
			if p := problemOf(err); p.status != http.StatusBadRequest {
				t.Errorf("%q: %d, %v", b, p.status, err)
			}
		}
		listsPeople(b)
		if out, err := campaignBody(b, func(string) (string, error) { return "id", nil }); err == nil && len(out) == 0 {
			t.Errorf("%q became nothing", b)
		} else if err != nil && problemOf(err).status != http.StatusBadRequest {
			t.Errorf("%q: %v", b, err)
		}
	})
}

func TestWhatEveryAnswerCarries(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	for _, path := range []string{"/", "/people/ann@example.com", "/assets/none.js", "/v1/me", "/v1/none", "/v1/health", "/v1/publishers/acme/mailbox/1/html"} {
		got := h.call(token, "GET", path, "")
		want := policy
		if strings.HasSuffix(path, "/html") {
			want = mailPolicy
		}
		for header, value := range map[string]string{
			"Content-Security-Policy": want, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got.Header.Get(header) != value || len(got.Header.Values(header)) != 1 {
				t.Errorf("%s: %s is %q", path, header, got.Header.Values(header))
			}
		}
		if strings.HasPrefix(path, "/v1/") && got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, got.Header.Get("Cache-Control"))
		}
	}
	got := h.want(200, token, "GET", "/v1/publishers/acme/mailbox/1/html", "")
	if !strings.Contains(got.body, "acme-canary") || got.Header.Get("Content-Type") != "text/html; charset=utf-8" || got.Header.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("%v %s", got.Header, got.body)
	}
}

func TestOtherSitesPagesCannotAct(t *testing.T) {
	h := open(t)
	secret := h.operator("ann", access.Grants{"acme": access.Admin})
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		for _, path := range []string{"/v1/publishers/acme/campaigns", "/v1/session", "/v1/tokens", "/v1/setup"} {
			if got := h.want(403, "cookie:"+secret, "POST", path, "{}", headers...); got.code() != "cross_origin" {
				t.Errorf("%v: %s", headers, got.body)
			}
		}
		h.want(403, "cookie:"+secret, "DELETE", "/v1/publishers/acme/people/ann", "", headers...)
	}
	if _, there := h.acme.persons["ann"]; !there {
		t.Error("somebody was erased")
	}
	h.want(202, "cookie:"+secret, "DELETE", "/v1/publishers/acme/people/ann", "", "Sec-Fetch-Site", "same-origin", "Origin", h.server.URL)
}

func TestABugEndsOneRequest(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	h.acme.persons["ann"] = nil // a nil person is a bug's
	got := h.want(500, token, "GET", "/v1/publishers/acme/people/ann", "")
	if got.code() != "internal" || !strings.Contains(h.log.String(), "panic") {
		t.Errorf("%s; the log has %s", got.body, h.log)
	}
	h.want(200, token, "GET", "/v1/me", "")
}

func TestFaultsAreNotToldOutside(t *testing.T) {
	h := open(t)
	token := h.token("acme", access.Admin)
	h.acme.checked = errBroken
	if got := h.want(200, token, "POST", "/v1/publishers/acme/connectors/relay/check", ""); !strings.Contains(got.body, `"ok":false`) {
		t.Error(got.body)
	}
	h.reload = func() (Reloaded, error) { return Reloaded{}, errBroken }
	h.acme.mu.Lock()
	h.acme.ask = nil
	h.acme.mu.Unlock()
	r := httptest.NewRecorder()
	h.fail(r, &request{Request: httptest.NewRequest("GET", "/v1/x", nil)}, errBroken)
	if r.Code != 500 || strings.Contains(r.Body.String(), "canary") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

func TestTheBundle(t *testing.T) {
	script := strings.Repeat("console.log('hello');\n", 200)
	b, err := readBundle(fstest.MapFS{
		".keep": {}, "index.html": {Data: []byte("<!doctype html>" + strings.Repeat("<p>", 500))},
		"assets/main-ABC.js": {Data: []byte(script)}, "icon.svg": {Data: []byte("<svg/>")},
	})
	check(t, err)
	get := func(path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		path, kind, cache string
		status            int
	}{
		{"/", "text/html; charset=utf-8", "no-cache", 200},
		{"/acme/people/ann@example.com", "text/html; charset=utf-8", "no-cache", 200},
		{"/../../etc/passwd", "text/html; charset=utf-8", "no-cache", 200},
		{"/assets/main-ABC.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", 200},
		{"/assets/other.js", "text/plain; charset=utf-8", "", 404},
		{"/icon.svg", "image/svg+xml", "no-cache", 200},
		{"/.keep", "text/html; charset=utf-8", "no-cache", 200},
	} {
		w := get(c.path)
		if w.Code != c.status || w.Header().Get("Content-Type") != c.kind || w.Header().Get("Cache-Control") != c.cache {
			t.Errorf("%s: %d %v", c.path, w.Code, w.Header())
		}
	}
	plain, zipped := get("/assets/main-ABC.js"), get("/assets/main-ABC.js", "Accept-Encoding", "br, gzip;q=0.5")
	if plain.Body.String() != script || zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Body.Len() >= plain.Body.Len() {
		t.Errorf("%d bytes plain, %d zipped, %v", plain.Body.Len(), zipped.Body.Len(), zipped.Header())
	}
	if zipped.Header().Get("ETag") == plain.Header().Get("ETag") {
		t.Error("two encodings have one tag")
	}
	if w := get("/assets/main-ABC.js", "If-None-Match", plain.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("known already: %d", w.Code)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	b, err = readBundle(fstest.MapFS{".keep": {}})
	check(t, err)
	if w := get("/anything"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "make console") {
		t.Errorf("not built: %d %s", w.Code, w.Body)
	}
}

// admin serves the admin socket.
func (h *house) admin() *http.Client {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	check(h.t, err)
	srv := &http.Server{Handler: h.AdminHandler(), ConnContext: ConnContext}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	tr := &http.Transport{DialContext: dialUnix(path)}
	h.t.Cleanup(func() {
		tr.CloseIdleConnections()
		check(h.t, srv.Close())
		<-done
	})
	return &http.Client{Transport: tr}
}

func TestTheAdminSocket(t *testing.T) {
	h := open(t)
	c := h.admin()
	call := func(method, path, body string) reply {
		t.Helper()
		req, err := http.NewRequest(method, "http://cloister"+path, strings.NewReader(body))
		check(t, err)
		return do(t, c, req)
	}
	var me struct {
		Operator struct{ Name, Kind, Role string }
	}
	call("GET", "/v1/me", "").into(t, &me)
	if me.Operator.Kind != "socket" || me.Operator.Role != "admin" {
		t.Errorf("%+v", me)
	}
	var link struct{ Link string }
	got := call("POST", "/v1/admin/sign-in-link", "")
	got.into(t, &link)
	token, is := strings.CutPrefix(link.Link, "/setup#")
	if got.StatusCode != 201 || !is {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	h.want(200, "", "POST", "/v1/setup", fmt.Sprintf(`{"token":%q,"name":"ann","password":%q}`, token, password))
	if got := call("POST", "/v1/admin/sign-in-link", "{}"); got.StatusCode != 400 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	got = call("POST", "/v1/admin/sign-in-link", `{"name":"ann"}`)
	got.into(t, &link)
	token, is = strings.CutPrefix(link.Link, "/sign-in#")
	if got.StatusCode != 201 || !is {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	h.want(200, "", "POST", "/v1/session/link", fmt.Sprintf(`{"token":%q}`, token))
	if got := call("POST", "/v1/admin/reload", ""); got.StatusCode != 200 || !strings.Contains(got.body, `"restart":[]`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	h.reload = func() (Reloaded, error) { return Reloaded{}, &BadConfig{Text: "line 3: no"} }
	if got := call("POST", "/v1/admin/reload", ""); got.StatusCode != 422 || !strings.Contains(got.body, "line 3") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := call("GET", "/v1/admin/status", ""); got.StatusCode != 200 || !strings.Contains(got.body, `"dc1"`) {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := call("GET", "/v1/publishers/acme/people/ann", ""); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if !slices.ContainsFunc(h.entries(), func(e audit.Entry) bool {
		return e.Actor == "socket root" && e.Action == "person.read" && e.Subject == "person 7"
	}) {
		t.Errorf("%+v", h.entries())
	}
	// Without the kernel's word on who it is nobody is anybody.
	w := httptest.NewRecorder()
	h.AdminHandler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/admin/status", nil))
	if w.Code != http.StatusForbidden {
		t.Errorf("over no socket: %d", w.Code)
	}
}
