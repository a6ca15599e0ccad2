//go:build e2e

package e2e

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pushService stands for a browser's (RFC 8030), with one subscription.
type pushService struct {
	t      *testing.T
	url    string
	host   string
	ca     string      // a file
	posted chan []byte // what arrived, encrypted

	key  *ecdh.PrivateKey
	auth []byte
}

func newPushService(t *testing.T) *pushService {
	t.Helper()
	s := &pushService{t: t, posted: make(chan []byte, 8), auth: make([]byte, 16)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return // the connector's check
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 8<<10))
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "aes128gcm" || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=") {
			t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Location", s.url+"/m/1")
		w.WriteHeader(http.StatusCreated)
		s.posted <- body
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	must(t, err)
	s.url, s.host = server.URL, u.Host
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	s.key, err = ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	_, err = rand.Read(s.auth)
	must(t, err)
	return s
}

var base64URL = base64.RawURLEncoding.EncodeToString

// subscribe is what the browser's API would say: the endpoint, and the keys as JSON.
func (s *pushService) subscribe() (endpoint, keys string) {
	return s.url + "/p/asha", fmt.Sprintf(`{p256dh: %q, auth: %q}`, base64URL(s.key.PublicKey().Bytes()), base64URL(s.auth))
}

// open decrypts a message by npm's http_ece, which the connector's own tests use.
func (s *pushService) open(body []byte) string {
	s.t.Helper()
	const folder = "../../connectors/webpush/testdata/npm"
	if _, err := os.Stat(folder + "/node_modules"); err != nil {
		s.t.Fatalf("%v: run `npm ci` in connectors/webpush/testdata/npm first", err)
	}
	question, err := json.Marshal(map[string]string{"do": "open", "body": base64URL(body), "key": base64URL(s.key.Bytes()), "auth": base64URL(s.auth)})
	must(s.t, err)
	cmd := exec.Command("node", folder+"/peer.mjs")
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(question)+"\n"), os.Stderr
	out, err := cmd.Output()
	must(s.t, err)
	var answer struct{ Text, Error string }
	must(s.t, json.Unmarshal(out, &answer))
	if answer.Error != "" {
		s.t.Fatalf("http_ece: %s", answer.Error)
	}
	return answer.Text
}
