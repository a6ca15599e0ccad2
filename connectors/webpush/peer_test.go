//go:build e2e

package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// peer is node with npm's http_ece, web-push and jws, which nobody here wrote.
type peer struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	cmd := exec.Command("node", "testdata/npm/peer.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	return &peer{t, in, bufio.NewReader(out)}
}

func (p *peer) ask(question map[string]any, answer any) {
	p.t.Helper()
	q, err := json.Marshal(question)
	must(p.t, err)
	_, err = p.in.Write(append(q, '\n'))
	must(p.t, err)
	line, err := p.out.ReadString('\n')
	must(p.t, err)
	var wrong struct{ Error string }
	must(p.t, json.Unmarshal([]byte(line), &wrong))
	if wrong.Error != "" {
		p.t.Fatalf("%s: %s", question["do"], wrong.Error)
	}
	must(p.t, json.Unmarshal([]byte(line), answer))
}

var b64 = base64.RawURLEncoding.EncodeToString

// TestPeersReadIt: http_ece opens what arrived at the push service, up to the
// longest there is, and jws takes the token.
func TestPeersReadIt(t *testing.T) {
	s, p := newService(t, nil), newPeer(t)
	w := configured(t, settingsFor(s, nil))
	for _, text := range []string{"Two things are in it", "नमस्ते 👋🏽 \u202eאבג\u202c \"<&>\"", strings.Repeat("x", 3900), ""} {
		b := newBrowser(t)
		m := s.to("m", b)
		m.Text, m.Link = text, "https://acme.example/?a=1&b=2"
		if o := send(t, w, m)[0]; o.Result != connector.Accepted {
			t.Fatalf("%d bytes: %+v", len(text), o)
		}
		posts := s.got()
		last := posts[len(posts)-1]
		var opened struct{ Text string }
		p.ask(map[string]any{"do": "open", "body": b64(last.body), "key": b64(b.key.Bytes()), "auth": b64(b.auth)}, &opened)
		var got payload
		must(t, json.Unmarshal([]byte(opened.Text), &got))
		if got.Title != m.Subject || got.Body != text || got.Link != m.Link {
			t.Errorf("%.200s", opened.Text)
		}
		token, key, _ := strings.Cut(strings.TrimPrefix(last.header.Get("Authorization"), "vapid t="), ", k=")
		var read struct {
			Good    bool
			Header  struct{ Typ, Alg string }
			Payload struct {
				Aud, Sub string
				Exp      int64
			}
		}
		p.ask(map[string]any{"do": "token", "token": token, "key": key}, &read)
		left := time.Until(time.Unix(read.Payload.Exp, 0))
		if !read.Good || read.Header.Alg != "ES256" || read.Payload.Aud != s.url || read.Payload.Sub != "mailto:ops@acme.example" || left <= 0 || left > 24*time.Hour {
			t.Errorf("%+v", read)
		}
	}
}

// TestReaderReadsPeers: what web-push makes is opened by the reader that the
// tests try ours with, and asks the stand-in for a push service in the same way.
func TestReaderReadsPeers(t *testing.T) {
	s, p, b := newService(t, nil), newPeer(t), newBrowser(t)
	w := configured(t, settingsFor(s, nil))
	var made struct {
		Body    string
		Headers map[string]any
	}
	p.ask(map[string]any{
		"do": "make", "p256dh": b64(b.key.PublicKey().Bytes()), "auth": b64(b.auth), "text": "Hello 👋", "endpoint": s.url + "/sub",
		"vapid": map[string]string{"subject": "mailto:ops@acme.example", "publicKey": w.WebPushKey(), "privateKey": testKey},
	}, &made)
	if plain, err := b.open(raw(t, made.Body)); err != nil || string(plain) != "Hello 👋" {
		t.Errorf("%q, %v", plain, err)
	}
	m := s.to("m", b)
	m.Push = &connector.Push{Urgent: true, Collapse: "cart"}
	send(t, w, m)
	ours := s.got()[0].header
	for _, name := range []string{"Content-Encoding", "Content-Type", "Urgency", "Topic"} {
		if got := ours.Get(name); got != made.Headers[name] {
			t.Errorf("%s: %q, web-push says %q", name, got, made.Headers[name])
		}
	}
	_, key, _ := strings.Cut(ours.Get("Authorization"), ", k=")
	if theirs, _ := made.Headers["Authorization"].(string); key == "" || !strings.HasSuffix(theirs, "k="+key) || !strings.HasPrefix(theirs, "vapid t=") {
		t.Errorf("%s", theirs)
	}
}
