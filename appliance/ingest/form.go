package ingest

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// readForm reads a body as readBody does, and takes off what libraries put
// around their JSON: a form or a query whose field data has it, base64, or
// LZString. fields are the form's others, or the query's. What it unpacks is
// not counted a second time: it is no larger than limit.
func (d *Door) readForm(w http.ResponseWriter, r *http.Request, limit int64) (p *parser, fields url.Values, release func(), err error) {
	p, release, err = d.readBody(w, r, limit)
	if err != nil {
		return nil, nil, nil, err
	}
	body, fields, err := unwrap(p.s, r.URL.Query(), int(limit))
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	p.begin(body)
	return p, fields, release, nil
}

// sentMillis is when a request says that it was sent, by the sender's clock,
// as browser libraries write it into the query; zero = it does not.
func sentMillis(fields url.Values) time.Time {
	for _, name := range []string{"sent_at", "_"} {
		if ms, err := strconv.ParseInt(fields.Get(name), 10, 64); err == nil && ms > 0 {
			return time.UnixMilli(ms)
		}
	}
	return time.Time{}
}

// skew is how far a sender's clock is behind ours, by what it says of the
// sending. Less than a minute is the way of the request.
func skew(now, sent time.Time) time.Duration {
	if sent.IsZero() {
		return 0
	}
	if by := now.Sub(sent); by > time.Minute || by < -time.Minute {
		return by
	}
	return 0
}

// unwrap finds the JSON in a body, whatever its Content-Type says: browsers
// that send a beacon choose their own. The error is a *bodyError.
func unwrap(body string, query url.Values, limit int) (string, url.Values, error) {
	if looksLikeJSON(body) {
		return body, query, nil
	}
	fields, data := query, body
	if strings.HasPrefix(body, "data=") || strings.Contains(body, "&data=") {
		form, err := parseForm(body)
		if err != nil {
			return "", nil, err
		}
		for name, values := range query {
			if !form.Has(name) {
				form[name] = values
			}
		}
		fields, data = form, form.Get("data")
	} else if strings.TrimSpace(body) == "" {
		data = query.Get("data")
	}
	if looksLikeJSON(data) || strings.TrimSpace(data) == "" {
		return data, fields, nil
	}
	if fields.Get("compression") != "lz64" {
		plain, err := base64Text(data)
		if err != nil {
			return "", nil, badBody("neither JSON nor base64: %v", err)
		}
		return string(plain), fields, nil
	}
	text, err := lzDecode(data, limit)
	if errors.Is(err, errLZLarge) {
		return "", nil, tooLarge(int64(limit))
	}
	if err != nil {
		return "", nil, badBody("%v", err)
	}
	return text, fields, nil
}

func parseForm(body string) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, badBody("the form cannot be read: %v", err)
	}
	return form, nil
}

func looksLikeJSON(s string) bool {
	s = strings.TrimLeft(s, " \t\r\n")
	return s != "" && (s[0] == '{' || s[0] == '[')
}

// base64Text reads base64 in either alphabet, padded or not. A plus that was
// not escaped in a form arrives as a space.
func base64Text(s string) ([]byte, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	s = strings.NewReplacer(" ", "+", "-", "+", "_", "/", "\r", "", "\n", "").Replace(s)
	return base64.RawStdEncoding.DecodeString(s)
}

// credentialed is cors for libraries that ask with credentials, as old
// XMLHttpRequests do, where a browser takes no star for an answer. Nothing
// here looks at a cookie.
func credentialed(next http.HandlerFunc) http.HandlerFunc {
	return cors(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Add("Vary", "Origin")
		}
		next(w, r)
	})
}
