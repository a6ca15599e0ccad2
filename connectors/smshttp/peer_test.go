//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// library is Twilio's own, in a process of its own.
type library struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func startLibrary(t *testing.T) *library {
	t.Helper()
	if _, err := os.Stat("testdata/npm/node_modules"); err != nil {
		t.Fatalf("%v: run `npm ci` in connectors/smshttp/testdata/npm first", err)
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
			t.Errorf("Twilio's library: %v", err)
		}
	})
	return &library{t, in, bufio.NewScanner(out)}
}

func (l *library) ask(question, answer any) {
	l.t.Helper()
	b, err := json.Marshal(question)
	must(l.t, err)
	_, err = l.in.Write(append(b, '\n'))
	must(l.t, err)
	if !l.out.Scan() {
		l.t.Fatal("Twilio's library does not answer", l.out.Err())
	}
	must(l.t, json.Unmarshal(l.out.Bytes(), answer))
}

// Twilio's library signs what we take, takes what we sign, and makes the same
// request of a message.
func TestTwilioLibrary(t *testing.T) {
	l := startLibrary(t)
	api := newTwilio(t, nil)
	s := configured(t, api.settings(connector.Settings{"callback": "https://engage.example/receipts/acme/sms"}))
	const at = "/receipts/acme/sms"
	for _, base := range []string{"https://engage.example", "https://engage.example:8443", "https://engage.example:443", "http://engage.example", "http://10.0.0.7:8080", "https://[fd00::1]:8443"} {
		for _, query := range []string{"", "?message=0199-abc", "?a=b&c=%20d%2B&e="} {
			for _, text := range hostile {
				params := map[string]any{"MessageSid": "SM1", "From": "+4915112345678", "Body": text, "Empty": "", "Z": []string{"b", "a", "b"}}
				form := url.Values{"Z": {"b", "a", "b"}}
				for k, v := range params {
					if v, ok := v.(string); ok {
						form.Set(k, v)
					}
				}
				var is struct {
					Signature string
					Valid     bool
				}
				called := base + at + query
				l.ask(map[string]any{"sign": called, "token": testToken, "params": params}, &is)
				a, err := s.Receipts(t.Context(), call(called, form, "X-Twilio-Signature", is.Signature))
				if err != nil || len(a.Receipts) != 1 {
					t.Fatalf("%s with %q: %v, %v", called, text, err, a.Receipts)
				}
				l.ask(map[string]any{"validate": called, "token": testToken, "params": params, "signature": b64(s.c.twilio.sign(called, form))}, &is)
				if !is.Valid {
					t.Errorf("%s with %q is signed another way", called, text)
				}
				l.ask(map[string]any{"sign": called, "token": testToken + "6", "params": params}, &is)
				if _, err := s.Receipts(t.Context(), call(called, form, "X-Twilio-Signature", is.Signature)); err == nil {
					t.Fatal("another account's signature")
				}
			}
		}
	}

	m := sms("m-1")
	m.Text = strings.Join(hostile, "\n")
	m.Expires = time.Now().Add(time.Hour)
	if o := send(t, s, m)[0]; o.Result != connector.Accepted {
		t.Fatalf("%+v", o)
	}
	ours := api.one(t)
	var theirs struct {
		Method, URL, User, Password string
		Form                        map[string]any
	}
	validity, err := strconv.Atoi(ours.form.Get("ValidityPeriod"))
	must(t, err)
	l.ask(map[string]any{"account": testAccount, "token": testToken, "create": map[string]any{
		"to": m.To, "from": "+15005550006", "body": m.Text, "validityPeriod": validity, "statusCallback": "https://engage.example/receipts/acme/sms?message=m-1",
	}}, &theirs)
	form, want := map[string]string{}, map[string]string{}
	for k := range ours.form {
		form[k] = ours.form.Get(k)
	}
	for k, v := range theirs.Form {
		want[k] = fmt.Sprint(v)
	}
	r := http.Request{Header: ours.header}
	user, password, _ := r.BasicAuth()
	if !maps.Equal(form, want) || "https://api.twilio.com"+ours.uri != theirs.URL || !strings.EqualFold(ours.method, theirs.Method) || user != theirs.User || password != theirs.Password {
		t.Errorf("ours: %s %s %s %v\ntheirs: %+v", ours.method, ours.uri, user, form, theirs)
	}
}

// gateway is Kannel, with what its callbacks told.
type gateway struct {
	send string // URL
	door string // URL that it is to call

	mu    sync.Mutex
	calls []connector.Webhook
	heard []string // what the message centre got
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func listens(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// run starts a program that ends with the test.
func run(t *testing.T, name string, args ...string) io.ReadCloser {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return out
}

const testPassword = "s3cret&=?"

func startKannel(t *testing.T, wrote ...string) *gateway {
	t.Helper()
	g := &gateway{}
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.calls = append(g.calls, connector.Webhook{Method: r.Method, URL: "http://" + r.Host + r.RequestURI})
		g.mu.Unlock()
	}))
	t.Cleanup(door.Close)
	g.door = door.URL + "/receipts/acme/gateway/" + testSecret
	conf, err := os.ReadFile("testdata/kannel.conf")
	must(t, err)
	text := strings.NewReplacer("CALLBACK", g.door).Replace(string(conf))
	ports := map[string]int{}
	for _, name := range []string{"PORT_ADMIN", "PORT_BOX", "PORT_FAKE", "PORT_SEND"} {
		ports[name] = freePort(t)
		text = strings.ReplaceAll(text, name, strconv.Itoa(ports[name]))
	}
	path := filepath.Join(t.TempDir(), "kannel.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	discard := func(r io.Reader) { go func() { _, _ = io.Copy(io.Discard, r) }() }
	discard(run(t, "/usr/sbin/bearerbox", path))
	await(t, "the gateway", func() bool { return listens(ports["PORT_BOX"]) && listens(ports["PORT_FAKE"]) })
	discard(run(t, "/usr/sbin/smsbox", path))
	await(t, "the gateway's HTTP", func() bool { return listens(ports["PORT_SEND"]) })
	g.send = fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms", ports["PORT_SEND"])
	args := []string{"-H", "127.0.0.1", "-r", strconv.Itoa(ports["PORT_FAKE"]), "-i", "0.2", "-m", strconv.Itoa(len(wrote))}
	fake := run(t, "/usr/lib/kannel/test/fakesmsc", append(args, wrote...)...)
	go func() {
		for lines := bufio.NewScanner(fake); lines.Scan(); {
			g.mu.Lock()
			g.heard = append(g.heard, lines.Text())
			g.mu.Unlock()
		}
	}()
	return g
}

func (g *gateway) got() []connector.Webhook {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]connector.Webhook(nil), g.calls...)
}

// Kannel takes what we make of a template, and we what it tells.
func TestKannel(t *testing.T) {
	g := startKannel(t, "+4915112345678 56767 text STOP")
	set := func(password string) connector.Settings {
		return connector.Settings{
			"sender": "56767", "timeout": "10s", "window": 4.0,
			"request": connector.Settings{
				"method": "GET", "user": "acme", "password": password,
				"url": g.send + "?username={user}&password={password}&from={sender}&to={to}&text={text}&coding=2&charset=UTF-8&dlr-mask=19&dlr-url=" +
					url.QueryEscape(g.door+"?status=%d&ref=") + "{id}",
			},
			"response": connector.Settings{"pattern": `^(?P<status>[0-9]+): `, "values": map[string]string{"0": "accepted", "3": "again"}},
			"callbacks": connector.Settings{
				"secret": testSecret, "auth": "path", "message": "ref", "status": "status", "from": "from", "text": "text",
				"values": map[string]string{"1": "delivered", "2": "other", "16": "policy"},
			},
		}
	}
	s := configured(t, set(testPassword))
	must(t, s.Check(t.Context()))
	texts := map[string]string{"0199-a": "Hello & welcome = 100% {to}", "0199-b": "Grüße 你好 😀"}
	var batch []connector.Message
	for id, text := range texts {
		m := sms(id)
		m.Text = text
		batch = append(batch, m)
	}
	for _, o := range send(t, s, batch...) {
		if o.Result != connector.Accepted {
			t.Fatalf("%+v", o)
		}
	}
	told := func() map[string]connector.ReceiptKind {
		out := map[string]connector.ReceiptKind{}
		for _, w := range g.got() {
			a, err := s.Receipts(t.Context(), w)
			if err != nil {
				t.Fatalf("%s: %v", w.URL, err)
			}
			for _, r := range a.Receipts {
				out[r.MessageID+r.Address] = r.Kind
			}
		}
		return out
	}
	want := map[string]connector.ReceiptKind{"0199-a": connector.Delivered, "0199-b": connector.Delivered, "+4915112345678": connector.Unsubscribed}
	await(t, "what became of messages, and STOP", func() bool { return maps.Equal(told(), want) })
	for _, w := range g.got() {
		w.URL = strings.Replace(w.URL, testSecret, "another", 1)
		if _, err := s.Receipts(t.Context(), w); err == nil {
			t.Errorf("%s is taken", w.URL)
		}
	}
	if o := send(t, configured(t, set("wrong")), sms("x"))[0]; o.Result != connector.Again || o.Class != connector.ClassConfig {
		t.Errorf("with a wrong password: %+v", o)
	}
	await(t, "the texts at the message centre", func() bool {
		got := g.texts()
		return len(got) == 2 && got[texts["0199-a"]] && got[texts["0199-b"]]
	})
}

var heardText = regexp.MustCompile(`Got message [0-9]+: <56767 \+4915112345678 ucs-2 (\S+)>`)

// texts are what the message centre got.
func (g *gateway) texts() map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]bool{}
	for _, line := range g.heard {
		if m := heardText.FindStringSubmatch(line); m != nil {
			raw, _ := url.QueryUnescape(m[1])
			var units []uint16
			for i := 0; i+1 < len(raw); i += 2 {
				units = append(units, uint16(raw[i])<<8|uint16(raw[i+1]))
			}
			out[string(utf16.Decode(units))] = true
		}
	}
	return out
}
