package console

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// policy is what the web console's pages may load and do: what comes from this
// very host, and no text that becomes script or markup. Mail previews are
// frames with a policy of their own (mailPolicy).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; font-src 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

// mailPolicy is for a mail's own HTML, which anybody may have written: no
// script, nothing loaded, an origin of its own, links open elsewhere.
const mailPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; " +
	"img-src data:; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'self'"

// guard sets what every answer carries, refuses what another site's page sends
// in an operator's name, and keeps a bug from ending more than one request.
func (c *Console) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, &request{Request: r}, &problem{status: http.StatusForbidden, Code: "cross_origin", Message: "this came from another site's page"})
	}))
	inner := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		// Always: the connection still has the deadline of its last request.
		setWriteDeadline(w, defaultTime+answerTime)
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && err == http.ErrAbortHandler {
				panic(v)
			}
			c.log.Error("a request failed with a panic", "route", r.Pattern, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			c.fail(w, &request{Request: r}, fmt.Errorf("a panic"))
		}()
		inner.ServeHTTP(w, r)
	})
}
