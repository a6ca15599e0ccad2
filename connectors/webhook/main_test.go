package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/conformance/testprogram"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// The test program is the connector too, when it is started as one.
func TestMain(m *testing.M) { testprogram.Main(m, main) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The secret of Standard Webhooks' own example.
const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// post is a request that the receiver got.
type post struct {
	proto, path string
	header      http.Header
	body        []byte
}

// receiver is a service that takes webhooks, over TLS.
type receiver struct {
	url, port, ca string
	answer        http.HandlerFunc // nil = 204

	mu    sync.Mutex
	posts []post
}

// newReceiver starts one; how may change its server before that.
func newReceiver(t testing.TB, answer http.HandlerFunc, how ...func(*httptest.Server)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	h := httptest.NewUnstartedServer(r)
	h.EnableHTTP2 = true
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, f := range how {
		f(h)
	}
	h.StartTLS()
	t.Cleanup(h.Close)
	u, err := url.Parse(h.URL)
	must(t, err)
	r.url, r.port, r.ca = h.URL+"/hook", u.Port(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}))
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if req.Method == http.MethodHead {
		return
	}
	if err != nil {
		return // the sender went away
	}
	r.mu.Lock()
	r.posts = append(r.posts, post{req.Proto, req.URL.Path, req.Header, body})
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(w, req)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) got() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts)
}

// signed says whether one of the signatures of a request is right, as Standard
// Webhooks has a receiver check it.
func signed(t testing.TB, p post, secret string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	must(t, err)
	h := hmac.New(sha256.New, key)
	io.WriteString(h, p.header.Get("webhook-id")+"."+p.header.Get("webhook-timestamp")+"."+string(p.body))
	want := "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
	return slices.Contains(strings.Fields(p.header.Get("webhook-signature")), want)
}

func settingsFor(r *receiver, more connector.Settings) connector.Settings {
	out := connector.Settings{"url": r.url, "secret": testSecret, "private": []string{"127.0.0.1:" + r.port}, "ca": r.ca, "timeout": "20s"}
	maps.Copy(out, more)
	return out
}

func configured(t testing.TB, settings connector.Settings) *webhook {
	t.Helper()
	w := &webhook{}
	problems, err := w.Configure(t.Context(), settings)
	must(t, err)
	for _, p := range problems {
		t.Fatal(p)
	}
	t.Cleanup(func() { w.Drain(context.Background()) })
	return w
}

func message(id string) connector.Message {
	return connector.Message{ID: id, Channel: "webhook", To: "asha", Text: "Two things are in it", Marketing: true}
}

func send(t testing.TB, w *webhook, batch ...connector.Message) []connector.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	outs, err := w.Send(ctx, batch)
	must(t, err)
	for i, o := range outs {
		if o.ID != batch[i].ID {
			t.Fatalf("outcome %d is of %q", i, o.ID)
		}
	}
	return outs
}

// newCertificate is one that a client shows, with its key.
func newCertificate(t testing.TB) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	made := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cloister"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &k.PublicKey, k)
	must(t, err)
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})), pool
}

func wants(pool *x509.CertPool) func(*httptest.Server) {
	return func(h *httptest.Server) {
		h.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	}
}
