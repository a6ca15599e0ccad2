// Package standin is Apple's push service as far as it is published
// (developer.apple.com/documentation/usernotifications, "Sending notification
// requests to APNs" and "Handling notification responses from APNs"), for tests.
// It is written apart from the connector and shares nothing with it, so that a
// mistake of the one is not the other's: it refuses what Apple would.
package standin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The account that there is.
const (
	Topic  = "com.acme.app"
	KeyID  = "ABC1234567"
	TeamID = "TEAM123456"
)

// Server is one. Its fields are set before it is asked.
type Server struct {
	// Answer, if set, may answer a request in Apple's place: true means that it did.
	Answer func(w http.ResponseWriter, r *http.Request, n Notification) bool
	// Keep has notifications kept; without, they are counted only.
	Keep bool
	// Now is the clock; nil = time.Now.
	Now func() time.Time

	ts  *httptest.Server
	key *ecdsa.PrivateKey

	mu       sync.Mutex
	conns    map[net.Conn]bool
	got      []Notification
	count    int
	refusals []string
	tokens   map[string]bool // provider tokens that were used
}

// Notification is what Apple was given.
type Notification struct {
	Device  string
	Header  http.Header
	Payload map[string]any
}

// New starts one.
func New() (*Server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("a provider's key: %w", err)
	}
	s := &Server{key: key, conns: map[net.Conn]bool{}, tokens: map[string]bool{}}
	s.ts = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.ts.EnableHTTP2 = true
	s.ts.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.ts.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000}
	s.ts.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if state == http.StateNew {
			s.conns[c] = true
		}
	}
	s.ts.StartTLS()
	return s, nil
}

// Close ends it; Break closes its connections.
func (s *Server) Close() { s.ts.Close() }
func (s *Server) Break() { s.ts.CloseClientConnections() }

// URL is where it is.
func (s *Server) URL() string { return s.ts.URL }

// CA is what its certificate comes from, PEM.
func (s *Server) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ts.Certificate().Raw}))
}

// Key is the provider's key as Apple gives it: a .p8 file.
func (s *Server) Key() string {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err) // a key that was just made
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Certificate is a provider's certificate for the topic, and its key, PEM.
func (s *Server) Certificate() (cert, key string) {
	x := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Apple Push Services: " + Topic},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, &s.key.PublicKey, s.key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), s.Key()
}

// Got are the notifications that it took, if Keep; Count is how many; Tokens how
// many provider tokens it saw; Conns how many connections were made to it.
func (s *Server) Got() []Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Notification(nil), s.got...)
}
func (s *Server) Count() int  { s.mu.Lock(); defer s.mu.Unlock(); return s.count }
func (s *Server) Tokens() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.tokens) }
func (s *Server) Conns() int  { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) }

// Refusals are what it found wrong with requests.
func (s *Server) Refusals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.refusals...)
}

// Fail answers with a reason; gone is when the device was, for 410.
func Fail(w http.ResponseWriter, status int, reason string, gone time.Time) {
	body := map[string]any{"reason": reason}
	if !gone.IsZero() {
		body["timestamp"] = gone.UnixMilli()
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

var (
	hexes = regexp.MustCompile(`^([0-9a-fA-F]{2}){8,100}$`)
	uuids = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	types = map[string]bool{"alert": true, "background": true, "controls": true, "location": true, "voip": true, "complication": true, "fileprovider": true, "mdm": true, "liveactivity": true, "pushtotalk": true, "widgets": true}
)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender went away
	}
	status, reason := s.check(r, body)
	n := Notification{Device: strings.TrimPrefix(r.URL.Path, "/3/device/"), Header: r.Header}
	if reason == "" && json.Unmarshal(body, &n.Payload) != nil {
		status, reason = 400, "BadPayload"
	}
	if reason == "" && n.Payload["aps"] == nil {
		status, reason = 400, "MissingAPS" // Apple takes it and shows nothing
	}
	if reason != "" {
		s.mu.Lock()
		s.refusals = append(s.refusals, reason)
		s.mu.Unlock()
		Fail(w, status, reason, time.Time{})
		return
	}
	if s.Answer != nil && s.Answer(w, r, n) {
		return
	}
	if n.Device == strings.Repeat("0", 64) {
		Fail(w, 400, "BadDeviceToken", time.Time{})
		return
	}
	s.mu.Lock()
	s.count++
	if s.Keep {
		s.got = append(s.got, n)
	}
	s.mu.Unlock()
	w.Header().Set("apns-id", r.Header.Get("apns-id"))
}

// check says why Apple would refuse a request.
func (s *Server) check(r *http.Request, body []byte) (int, string) {
	h := r.Header
	switch {
	case r.ProtoMajor != 2:
		return 505, "HTTP2Only"
	case r.Method != http.MethodPost:
		return 405, "MethodNotAllowed"
	case !strings.HasPrefix(r.URL.Path, "/3/device/"):
		return 404, "BadPath"
	}
	now := time.Now()
	if s.Now != nil {
		now = s.Now()
	}
	if auth := h.Get("authorization"); auth != "" {
		if reason := s.provider(auth, now); reason != "" {
			return 403, reason
		}
	} else if len(r.TLS.PeerCertificates) == 0 {
		return 403, "MissingProviderToken"
	} else if r.TLS.PeerCertificates[0].Subject.CommonName != "Apple Push Services: "+Topic {
		return 403, "BadCertificate"
	}
	kind, priority := h.Get("apns-push-type"), h.Get("apns-priority")
	switch device := strings.TrimPrefix(r.URL.Path, "/3/device/"); {
	case h.Get("apns-topic") == "":
		return 400, "MissingTopic"
	case h.Get("apns-topic") != Topic:
		return 400, "TopicDisallowed"
	case !types[kind]:
		return 400, "InvalidPushType"
	case priority != "" && priority != "1" && priority != "5" && priority != "10", kind == "background" && priority != "5":
		return 400, "BadPriority"
	case h.Get("apns-id") != "" && !uuids.MatchString(h.Get("apns-id")):
		return 400, "BadMessageId"
	case len(h.Get("apns-collapse-id")) > 64:
		return 400, "BadCollapseId"
	case !hexes.MatchString(device):
		return 400, "BadDeviceToken"
	case len(body) == 0:
		return 400, "PayloadEmpty"
	case len(body) > 4096:
		return 413, "PayloadTooLarge"
	}
	if e := h.Get("apns-expiration"); e != "" {
		if _, err := strconv.ParseUint(e, 10, 40); err != nil {
			return 400, "BadExpirationDate"
		}
	}
	return 0, ""
}

// provider checks a provider token.
func (s *Server) provider(auth string, now time.Time) string {
	jwt, ok := strings.CutPrefix(auth, "bearer ")
	parts := strings.Split(jwt, ".")
	if !ok || len(parts) != 3 {
		return "InvalidProviderToken"
	}
	var raw [3][]byte
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return "InvalidProviderToken"
		}
	}
	var head struct{ Alg, Kid string }
	var claims struct {
		Iss string
		Iat int64
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch {
	case json.Unmarshal(raw[0], &head) != nil, json.Unmarshal(raw[1], &claims) != nil,
		head.Alg != "ES256", head.Kid != KeyID, claims.Iss != TeamID, len(raw[2]) != 64,
		!ecdsa.Verify(&s.key.PublicKey, sum[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])):
		return "InvalidProviderToken"
	case now.Sub(time.Unix(claims.Iat, 0)) > time.Hour, claims.Iat > now.Unix()+60:
		return "ExpiredProviderToken"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[jwt] = true
	return ""
}
