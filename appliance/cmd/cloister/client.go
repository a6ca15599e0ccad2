package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloisterhq/cloister/config"
)

const (
	runtimeSocket = "/run/cloister/admin.sock"
	maxAnswer     = 64 << 20 // bytes
	// answerTimeout is longer than the daemon itself lets a question take.
	answerTimeout = 5 * time.Minute
)

// target is the daemon that a verb talks to: on this machine by its socket, or
// anywhere by an address and a token.
type target struct {
	config  []string
	socket  string
	address string
}

// daemonFlags adds the flags that name a daemon.
func daemonFlags(cmd *cobra.Command) *target {
	t := &target{}
	f := cmd.Flags()
	f.StringArrayVar(&t.config, "config", nil, "the daemon's configuration, which says where its socket is; may be repeated")
	f.StringVar(&t.socket, "socket", "", "the daemon's admin socket (DATA_DIR/admin.sock)")
	f.StringVar(&t.address, "address", "", "the address of the console of a daemon elsewhere; the token stands in CLOISTER_TOKEN")
	cmd.MarkFlagsMutuallyExclusive("config", "socket", "address")
	return t
}

// client speaks the console's API.
type client struct {
	http  *http.Client
	base  string
	token string
	where string // for messages
}

// named says whether one was asked for.
func (t *target) named() bool { return len(t.config) > 0 || t.socket != "" || t.address != "" }

// open prepares to talk; nothing is sent.
func (t *target) open() (*client, error) {
	if t.address != "" {
		return openAddress(t.address)
	}
	path := t.socketPath()
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &client{
		base: "http://cloister", where: path,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			},
			MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: answerTimeout,
		}},
	}, nil
}

// socketPath finds the socket: the one that was named, that of the named
// configuration, systemd's, that of the installed configuration.
func (t *target) socketPath() string {
	if t.socket != "" {
		return t.socket
	}
	if len(t.config) == 0 {
		if _, err := os.Stat(runtimeSocket); err == nil {
			return runtimeSocket
		}
	}
	// Whatever else is wrong with the configuration, and whatever this user may
	// not read in it: only the data directory is wanted.
	c, _ := config.Load(t.config, config.LoadOptions{})
	return filepath.Join(c.Appliance.DataDir, "admin.sock")
}

func openAddress(address string) (*client, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, usage("--address %q is not the address of a console: https://HOST:PORT", address)
	}
	token := os.Getenv("CLOISTER_TOKEN")
	if token == "" {
		return nil, usage("--address needs a token in CLOISTER_TOKEN (cloister token create)")
	}
	if u.Scheme == "http" && !local(u.Hostname()) {
		return nil, usage("a token goes over https only, or to this machine")
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := os.Getenv("CLOISTER_CACERT"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("CLOISTER_CACERT: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CLOISTER_CACERT: %s holds no certificate", file)
		}
	}
	return &client{
		base: strings.TrimRight(u.String(), "/"), token: token, where: u.Host,
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSClientConfig: tlsConfig, TLSHandshakeTimeout: 10 * time.Second,
				MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: answerTimeout,
			},
			// A redirect would carry the token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// apiError is what the daemon answered instead of a result.
type apiError struct {
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"` // 0 = it did not say
	Code       string        `json:"code"`
	Message    string        `json:"message"`
	Path       string        `json:"path"`
	Text       string        `json:"text"` // of a refused configuration: as it is printed
	Mistakes   []struct {
		Path    string `json:"path"`
		Message string `json:"message"`
	} `json:"mistakes"`
}

func (e *apiError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	if b.WriteString(e.Message); e.Message == "" {
		fmt.Fprintf(&b, "the daemon answered %d %s", e.Status, http.StatusText(e.Status))
	}
	for _, m := range e.Mistakes {
		fmt.Fprintf(&b, "\n  %s: %s", m.Path, m.Message)
	}
	return b.String()
}

// do sends a request and reads the answer as JSON into out, if it is not nil.
func (c *client) do(ctx context.Context, method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	return c.send(ctx, method, path, r, out)
}

// send is do with a body that is ready. Its errors have the codes of exit.go.
func (c *client) send(ctx context.Context, method, path string, body io.Reader, out any) error {
	b, err := c.roundTrip(ctx, method, path, body)
	var ae *apiError
	switch {
	case err == nil:
	case errors.As(err, &ae):
		return ae.exit()
	case ctx.Err() != nil:
		return &exitError{exitFailed, errors.New("interrupted")}
	default:
		return c.unreachable(err)
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the answer of %s is not what this version understands (cloister version): %w", c.where, err)
	}
	return nil
}

// roundTrip gives the body of a good answer, an *apiError, or the error of a
// connection.
func (c *client) roundTrip(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	answer, err := c.answer(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	b, err := io.ReadAll(io.LimitReader(answer, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	return b, nil
}

// stream is roundTrip of a GET whose answer may be of any length.
func (c *client) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.answer(ctx, http.MethodGet, path, nil)
}

// answer gives what a good answer's body is read from.
func (c *client) answer(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the address is told, the path is noise
		}
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	answer := struct {
		Error *apiError `json:"error"`
	}{&apiError{}}
	_ = json.Unmarshal(b, &answer) // something in between may have answered in HTML
	if answer.Error == nil {
		answer.Error = &apiError{}
	}
	answer.Error.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		answer.Error.RetryAfter = time.Duration(s) * time.Second
	}
	return nil, answer.Error
}

func (e *apiError) exit() error {
	switch e.Status {
	case http.StatusServiceUnavailable:
		return &exitError{exitNotReady, e}
	case http.StatusNotFound:
		return &exitError{exitFailed, fmt.Errorf("%w (look at the name and at --publisher)", e)}
	}
	return &exitError{exitFailed, e}
}

// unreachable explains why nobody answers.
func (c *client) unreachable(err error) error {
	hint := ""
	var oe *net.OpError
	if errors.As(err, &oe) && oe.Net == "unix" {
		hint = "\nDoes it run? Name it with --config, --socket or --address"
		if _, serr := os.Stat("cloister-demo/admin.sock"); serr == nil {
			hint = "\nThe demo here is at --socket cloister-demo/admin.sock"
		}
		if errors.Is(err, os.ErrPermission) {
			hint = "\nThe socket is for root and the service's own user; others use --address and a token"
		}
		err = oe.Err
	}
	return &exitError{exitUnreachable, fmt.Errorf("no daemon answers at %s: %w%s", c.where, err, hint)}
}

// publisherFlag adds --publisher.
func publisherFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("publisher", "", "the publisher's name; not needed if there is only one")
}

// publisher gives the path of a publisher's part of the API. Without a name it
// is the only one there is.
func (c *client) publisher(ctx context.Context, name string) (string, error) {
	all, err := c.publishers(ctx, name)
	if err != nil || len(all) == 1 {
		return strings.Join(all, ""), err
	}
	names := make([]string, len(all))
	for i, path := range all {
		names[i] = strings.TrimPrefix(path, publisherPath)
	}
	return "", usage("which publisher? --publisher is one of: %s", strings.Join(names, ", "))
}

const publisherPath = "/v1/publishers/"

// publishers gives the paths of all publishers, or of the one that is named.
func (c *client) publishers(ctx context.Context, name string) ([]string, error) {
	if name != "" {
		return []string{publisherPath + url.PathEscape(name)}, nil
	}
	var me struct {
		Publishers []struct {
			Name string `json:"name"`
		} `json:"publishers"`
	}
	if err := c.do(ctx, http.MethodGet, "/v1/me", nil, &me); err != nil {
		return nil, err
	}
	var out []string
	for _, p := range me.Publishers {
		out = append(out, publisherPath+url.PathEscape(p.Name))
	}
	return out, nil
}
