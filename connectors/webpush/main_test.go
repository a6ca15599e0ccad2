package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// The private key of RFC 8291's example, as a VAPID key.
const testKey = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"

// browser is one that subscribed.
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func newBrowser(t testing.TB) browser {
	t.Helper()
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	b := browser{k, make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	return b
}

func (b browser) extra() string {
	return fmt.Sprintf(`{"p256dh":%q,"auth":%q}`, base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(b.auth))
}

// open decrypts a body as RFC 8188 and 8291 say that a browser does.
func (b browser) open(body []byte) ([]byte, error) {
	if len(body) < 86+17 {
		return nil, errors.New("too short")
	}
	salt, size, idlen := body[:16], binary.BigEndian.Uint32(body[16:]), body[20]
	if size != 4096 || idlen != 65 || len(body) > 4096 {
		return nil, fmt.Errorf("records of %d, a key of %d bytes, %d in all", size, idlen, len(body))
	}
	sender, err := ecdh.P256().NewPublicKey(body[21:86])
	if err != nil {
		return nil, err
	}
	secret, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	derive := func(secret, salt []byte, info string, n int) []byte {
		k, e := hkdf.Key(sha256.New, secret, salt, info, n)
		err = errors.Join(err, e)
		return k
	}
	ikm := derive(secret, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(body[21:86]), 32)
	block, e := aes.NewCipher(derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16))
	if err = errors.Join(err, e); err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, derive(ikm, salt, "Content-Encoding: nonce\x00", 12), body[86:], nil)
	if err != nil {
		return nil, err
	}
	plain = []byte(strings.TrimRight(string(plain), "\x00"))
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("not the last record")
	}
	return plain[:len(plain)-1], nil
}

// post is a request that a push service got.
type post struct {
	proto, path string
	header      http.Header
	body        []byte
}

// service is a push service, from RFC 8030 and 8292.
type service struct {
	t      testing.TB
	url    string
	port   string
	ca     string
	answer http.HandlerFunc // nil = 201

	mu    sync.Mutex
	posts []post
	conns map[string]bool
}

func newService(t testing.TB, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{t: t, answer: answer, conns: map[string]bool{}}
	h := httptest.NewUnstartedServer(s)
	h.EnableHTTP2 = true
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	t.Cleanup(h.Close)
	s.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}))
	u, err := url.Parse(h.URL)
	must(t, err)
	s.url, s.port = h.URL, u.Port()
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if r.Method == http.MethodHead {
		return
	}
	if err != nil {
		s.t.Errorf("reading a request: %v", err)
	}
	if why := s.proven(r); why != nil {
		http.Error(w, why.Error(), http.StatusForbidden)
		return
	}
	s.mu.Lock()
	s.posts = append(s.posts, post{r.Proto, r.URL.Path, r.Header, body})
	s.conns[r.RemoteAddr] = true
	n := len(s.posts)
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("%s/m/%d", s.url, n))
	w.WriteHeader(http.StatusCreated)
}

// proven checks what RFC 8292 asks of the header.
func (s *service) proven(r *http.Request) error {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "vapid t=")
	token, key, both := strings.Cut(rest, ", k=")
	parts := strings.Split(token, ".")
	if !ok || !both || len(parts) != 3 {
		return errors.New("no token")
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil || len(point) != 65 {
		return errors.New("no key")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return errors.New("no signature")
	}
	public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(point[1:33]), Y: new(big.Int).SetBytes(point[33:])}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("a wrong signature")
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var c struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return err
	}
	if c.Aud != s.url || c.Sub != "mailto:ops@acme.example" || c.Exp > time.Now().Add(24*time.Hour).Unix() {
		return fmt.Errorf("claims %+v", c)
	}
	return nil
}

func (s *service) got() []post {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]post(nil), s.posts...)
}

func settingsFor(s *service, more connector.Settings) connector.Settings {
	out := connector.Settings{"key": testKey, "subject": "mailto:ops@acme.example", "services": []string{"127.0.0.1:" + s.port}, "ca": s.ca, "timeout": "20s"}
	maps.Copy(out, more)
	return out
}

func configured(t testing.TB, settings connector.Settings) *webpush {
	t.Helper()
	w := &webpush{}
	problems, err := w.Configure(t.Context(), settings)
	must(t, err)
	for _, p := range problems {
		t.Fatal(p)
	}
	t.Cleanup(func() { w.Drain(context.Background()) })
	return w
}

// to is a message for a browser.
func (s *service) to(id string, b browser) connector.Message {
	return connector.Message{
		ID: id, Channel: "push", Platform: "webpush", To: s.url + "/sub/" + id, Extra: b.extra(),
		Subject: "Your cart waits", Text: "Two things are in it", Marketing: true,
	}
}

func send(t testing.TB, w *webpush, batch ...connector.Message) []connector.Outcome {
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
