// Package standin is Firebase Cloud Messaging and Google's sign-in as far as
// they are published (firebase.google.com/docs/reference/fcm/rest/v1,
// developers.google.com/identity/protocols/oauth2/service-account), for tests.
// It is written apart from the connector and shares nothing with it, so that a
// mistake of the one is not the other's: it refuses what they would.
package standin

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Project is the Firebase project that there is.
const Project = "acme-push-1"

// Server is one of each, on one address. Its fields are set before it is asked.
type Server struct {
	// Answer, if set, may answer a request in FCM's place: true means that it did.
	Answer func(w http.ResponseWriter, r *http.Request, m Message) bool
	// Lives is how long access tokens are valid; 0 = an hour.
	Lives time.Duration
	// Keep has messages kept; without, they are counted only.
	Keep bool
	// Now is the clock; nil = time.Now.
	Now func() time.Time

	ts  *httptest.Server
	key *rsa.PrivateKey

	mu       sync.Mutex
	conns    map[net.Conn]bool
	access   map[string]time.Time // until when
	signIns  int
	bearers  map[string]bool // access tokens that were used
	got      []Message
	count    int
	refusals []string
	tokens   map[string]string // error code of registration tokens that are not good
	inFlight int
	most     int
}

// Message is what FCM was given.
type Message struct {
	ValidateOnly bool
	Raw          map[string]any
	Token        string
	Data         map[string]string
}

// New starts one.
func New() (*Server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("a service account's key: %w", err)
	}
	s := &Server{key: key, access: map[string]time.Time{}, bearers: map[string]bool{}, conns: map[net.Conn]bool{}, tokens: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", s.token)
	mux.HandleFunc("/v1/projects/{project}/{method}", s.send)
	s.ts = httptest.NewUnstartedServer(mux)
	s.ts.EnableHTTP2 = true
	s.ts.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100}
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

// Close ends it.
func (s *Server) Close() { s.ts.Close() }

// URL is where it is.
func (s *Server) URL() string { return s.ts.URL }

// TokenURL is where it signs in.
func (s *Server) TokenURL() string { return s.ts.URL + "/token" }

// CA is what its certificate comes from, PEM.
func (s *Server) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ts.Certificate().Raw}))
}

// Account is a service account's file that it knows.
func (s *Server) Account() string {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err) // a key that was just made
	}
	raw, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": Project, "private_key_id": "key-7",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "push@acme-push-1.iam.example", "client_id": "1", "token_uri": s.TokenURL(),
	})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// Bad has FCM answer with an error code for a registration token.
func (s *Server) Bad(token, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = code
}

// Revoke makes all access tokens invalid.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.access)
}

// Got are the messages that it took, those of validate_only included, if Keep.
func (s *Server) Got() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.got...)
}

// Count is how many messages it took; SignIns how many access tokens it gave;
// Used how many of them were used; Conns how many connections were made to it;
// Most how many requests it had in hand at once.
func (s *Server) Count() int   { s.mu.Lock(); defer s.mu.Unlock(); return s.count }
func (s *Server) SignIns() int { s.mu.Lock(); defer s.mu.Unlock(); return s.signIns }
func (s *Server) Used() int    { s.mu.Lock(); defer s.mu.Unlock(); return len(s.bearers) }
func (s *Server) Conns() int   { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) }
func (s *Server) Most() int    { s.mu.Lock(); defer s.mu.Unlock(); return s.most }

// Refusals are what it found wrong with requests, in words.
func (s *Server) Refusals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.refusals...)
}

// Break closes all connections.
func (s *Server) Break() { s.ts.CloseClientConnections() }

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Server) refuse(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, fmt.Sprintf(format, args...))
}

// token is the endpoint that trades a signed assertion for an access token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	no := func(code, words string) {
		s.refuse("token: %s: %s", code, words)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": words})
	}
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		no("invalid_request", "a form is posted here")
		return
	}
	if g := r.PostFormValue("grant_type"); g != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		no("unsupported_grant_type", "Invalid grant_type: "+g)
		return
	}
	if why := s.assertion(r.PostFormValue("assertion")); why != "" {
		no("invalid_grant", why)
		return
	}
	raw := make([]byte, 24)
	rand.Read(raw)
	access := "ya29." + base64.RawURLEncoding.EncodeToString(raw)
	lives := s.Lives
	if lives == 0 {
		lives = time.Hour
	}
	s.mu.Lock()
	s.signIns++
	s.access[access] = s.now().Add(lives)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	json.NewEncoder(w).Encode(map[string]any{"access_token": access, "expires_in": int(lives / time.Second), "token_type": "Bearer"})
}

// assertion checks the JWT, and says what is wrong with it.
func (s *Server) assertion(jwt string) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "not a JWT"
	}
	var decoded [3][]byte
	for i, p := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return "not base64url without padding"
		}
	}
	var head struct{ Alg, Typ, Kid string }
	if json.Unmarshal(decoded[0], &head) != nil || head.Alg != "RS256" || head.Typ != "JWT" || head.Kid != "key-7" {
		return fmt.Sprintf("header %s", decoded[0])
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], decoded[2]) != nil {
		return "Invalid JWT Signature."
	}
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if json.Unmarshal(decoded[1], &claims) != nil {
		return "claims are not JSON"
	}
	now := s.now().Unix()
	switch {
	case claims.Iss != "push@acme-push-1.iam.example":
		return "iss " + claims.Iss
	case claims.Scope != "https://www.googleapis.com/auth/firebase.messaging":
		return "scope " + claims.Scope
	case claims.Aud != s.TokenURL():
		return "aud " + claims.Aud
	case claims.Iat > now+300 || claims.Exp <= now || claims.Exp > claims.Iat+3600 || claims.Iat < now-3600:
		return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
	}
	return ""
}

// fail answers as Google's APIs do. fcm is FCM's own code, field what is at fault.
func fail(w http.ResponseWriter, code int, status, words, fcm, field string) {
	var details []any
	if fcm != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": fcm})
	}
	if field != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []any{map[string]any{"field": field, "description": words}}})
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": words, "status": status, "details": details}})
}

// Fail answers with one of FCM's error codes.
func Fail(w http.ResponseWriter, code string) {
	switch code {
	case "UNREGISTERED":
		fail(w, 404, "NOT_FOUND", "Requested entity was not found.", code, "")
	case "SENDER_ID_MISMATCH":
		fail(w, 403, "PERMISSION_DENIED", "SenderId mismatch", code, "")
	case "INVALID_ARGUMENT":
		fail(w, 400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", code, "")
	case "QUOTA_EXCEEDED":
		fail(w, 429, "RESOURCE_EXHAUSTED", "Quota exceeded.", code, "")
	case "UNAVAILABLE":
		fail(w, 503, "UNAVAILABLE", "The service is currently unavailable.", code, "")
	case "INTERNAL":
		fail(w, 500, "INTERNAL", "Internal error encountered.", code, "")
	case "THIRD_PARTY_AUTH_ERROR":
		fail(w, 401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", code, "")
	default:
		panic("FCM has no code " + code)
	}
}

// send is messages:send.
func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inFlight--
		s.mu.Unlock()
	}()
	no := func(code int, status, words, fcm, field string) {
		s.refuse("send: %d %s: %s", code, status, words)
		fail(w, code, status, words, fcm, field)
	}
	if r.ProtoMajor != 2 {
		no(400, "INVALID_ARGUMENT", "this stand-in wants HTTP/2", "", "")
		return
	}
	if r.PathValue("method") != "messages:send" || r.Method != http.MethodPost {
		no(404, "NOT_FOUND", "Method not found.", "", "")
		return
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	until := s.access[bearer]
	s.bearers[bearer] = true
	s.mu.Unlock()
	if !ok || !s.now().Before(until) {
		no(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "", "")
		return
	}
	if r.PathValue("project") != Project {
		no(403, "PERMISSION_DENIED", "Permission 'cloudmessaging.messages.create' denied", "", "")
		return
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		no(400, "INVALID_ARGUMENT", "Content-Type", "", "")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender went away
	}
	m, field, why := parse(body)
	if why != "" {
		fcm := ""
		if strings.HasPrefix(field, "message.") {
			fcm = "INVALID_ARGUMENT"
		}
		no(400, "INVALID_ARGUMENT", why, fcm, field)
		return
	}
	if s.Answer != nil && s.Answer(w, r, m) {
		return
	}
	s.mu.Lock()
	code := s.tokens[m.Token]
	s.mu.Unlock()
	if code != "" {
		Fail(w, code)
		return
	}
	s.Take(w, m)
}

// Take accepts a message.
func (s *Server) Take(w http.ResponseWriter, m Message) {
	s.mu.Lock()
	if !m.ValidateOnly {
		s.count++
	}
	if s.Keep {
		s.got = append(s.got, m)
	}
	n := s.count
	s.mu.Unlock()
	name := fmt.Sprintf("projects/%s/messages/0:%d%%31bd1c9631bd1c96", Project, 1_600_000_000_000_000+n)
	if m.ValidateOnly {
		name = "projects/" + Project + "/messages/fake_message_id"
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	fmt.Fprintf(w, "{\n  \"name\": %q\n}\n", name)
}

// Certificate is the one that it shows, with its key.
func (s *Server) Certificate() tls.Certificate { return s.ts.TLS.Certificates[0] }
