package receipts

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// Path is what webhooks lie below: Path PUBLISHER/CONNECTOR, and whatever a
// connector's provider puts behind it.
const Path = "/receipts/"

// Address is what a provider is given to call for a connector; publicURL is
// without a slash at the end.
func Address(publicURL, publisher, name string) string {
	return publicURL + Path + publisher + "/" + name
}

// ServeHTTP answers a provider's request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	publisher, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Path), "/")
	name, _, _ := strings.Cut(rest, "/")
	s, ok := d.o.Find(publisher, name)
	if !ok {
		answer(w, http.StatusNotFound, "There is nothing here.")
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet && r.Method != http.MethodPut {
		h.Set("Allow", "GET, POST, PUT")
		answer(w, http.StatusMethodNotAllowed, "This cannot be done here.")
		return
	}
	t := d.traffic(s)
	leave, ok := d.enter(t)
	if !ok {
		again(w, "Too much at once.")
		return
	}
	defer leave()
	// Some connections have no deadlines: then there is no network either.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		t.refused.Add(1)
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			answer(w, http.StatusRequestEntityTooLarge, "The body has more than "+strconv.Itoa(maxBody)+" bytes.")
			return
		}
		answer(w, http.StatusBadRequest, "The body did not come whole.")
		return
	}
	a, err := s.Connector.Receipts(r.Context(), connector.Webhook{Method: r.Method, URL: d.o.PublicURL() + uri(r), Headers: headers(r), Body: body})
	switch {
	case errors.Is(err, connector.ErrForged):
		d.forgery(s, t, "webhook")
		answer(w, http.StatusForbidden, "The signature is wrong or missing.")
		return
	case errors.Is(err, ErrUnsupported):
		answer(w, http.StatusNotFound, "There is nothing here.")
		return
	case err != nil:
		t.away.Add(1)
		d.o.Logger.Warn("a provider's webhook could not be read; it is told to come again", "connector", s.subject(), "error", err)
		again(w, "This cannot be taken just now.")
		return
	}
	if err := d.tell(r.Context(), s, t, a.Receipts); err != nil {
		t.away.Add(1)
		d.o.Logger.Warn("receipts could not be kept; the provider is told to come again", "connector", s.subject(), "receipts", len(a.Receipts), "error", err)
		again(w, "This cannot be taken just now.")
		return
	}
	d.genuine(s, t)
	for _, one := range a.Headers {
		h.Set(one.Name, one.Value)
	}
	if h.Get("Content-Type") == "" && len(a.Body) > 0 {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	if a.Status < 200 || a.Status > 599 {
		a.Status = http.StatusOK
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a failed write means that nobody listens any more
}

// uri is the path and query of a request as they were sent.
func uri(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	out := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		out += "?" + r.URL.RawQuery
	}
	return out
}

// headers are a request's by name; what is between the last proxy and us is left
// out.
func headers(r *http.Request) (out []connector.Header) {
	for name, values := range r.Header {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Cookie":
			continue
		}
		for _, v := range values {
			out = append(out, connector.Header{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(out, func(a, b connector.Header) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func again(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", retryAfter)
	answer(w, http.StatusServiceUnavailable, text+" Come again.")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
