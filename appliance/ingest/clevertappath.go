package ingest

import (
	"net/http"
	"net/url"
	"strings"
)

// clevertapPaths are the last parts of paths that CleverTap's libraries ask for
// on a host that an app names, which may have a path before them: shops put the
// appliance below their own domain.
var clevertapPaths = map[string]bool{"a": true, "a1": true, "e": true, "r": true, "hello": true, "defineVars": true, "defineTemplates": true, "content": true}

// withoutPrefix takes off what stands before a path of CleverTap's libraries.
// Below /v1/ the short names are Segment's, and below /i/ PostHog's.
func withoutPrefix(r *http.Request) *http.Request {
	path := r.URL.Path
	if i := strings.LastIndex(path, "/inbox/v2/"); i > 0 {
		return withPath(r, path[i:])
	}
	i := strings.LastIndexByte(path, '/')
	if i <= 0 || !clevertapPaths[path[i+1:]] || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/i/") {
		return r
	}
	return withPath(r, path[i:])
}

func withPath(r *http.Request, path string) *http.Request {
	u := new(url.URL)
	*u = *r.URL
	u.Path, u.RawPath = path, ""
	out := new(http.Request)
	*out = *r
	out.URL = u
	return out
}
