package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// built is the web console as its build left it; only .keep where it was not
// built.
//
//go:embed all:web/dist
var built embed.FS

// file is one of the bundle's.
type file struct {
	plain, zipped []byte // zipped is nil where it would not be smaller
	kind, tag     string
}

// bundle serves the web console.
type bundle struct{ files map[string]file }

// types are those that a machine's own list might lack, or have otherwise.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json", ".webmanifest": "application/manifest+json",
	".png": "image/png", ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8",
}

func openBundle() (*bundle, error) {
	root, err := fs.Sub(built, "web/dist")
	if err != nil {
		return nil, fmt.Errorf("opening the web console: %w", err)
	}
	return readBundle(root)
}

func readBundle(root fs.FS) (*bundle, error) {
	b := &bundle{files: make(map[string]file)}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		plain, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(plain)
		f := file{plain: plain, kind: types[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		if f.kind == "" {
			f.kind = mime.TypeByExtension(path.Ext(name))
		}
		if f.kind == "" {
			f.kind = "application/octet-stream"
		}
		if strings.HasPrefix(f.kind, "text/") || strings.Contains(f.kind, "json") || strings.Contains(f.kind, "svg") {
			var z bytes.Buffer
			w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
			if err != nil {
				return err
			}
			if _, err := w.Write(plain); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
			if z.Len() < len(plain) {
				f.zipped = z.Bytes()
			}
		}
		b.files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the web console: %w", err)
	}
	return b, nil
}

// assets is where the build puts files that have a hash in their name.
const assets = "/assets/"

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Cloister</title>
<h1>The web console is not in this build</h1>
<p>Build it and then the daemon again: <code>make console build</code>. It takes Node; running it does not.</p>
<p>Everything works without it: the command line and the HTTP API are complete.</p>
</html>
`

func (b *bundle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := path.Clean(r.URL.Path)
	f, ok := b.files[name]
	if !ok && strings.HasPrefix(name, assets) {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	if !ok {
		// The addresses of pages are the web console's own business.
		if f, ok = b.files["/index.html"]; !ok {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(http.StatusServiceUnavailable)
			if r.Method == http.MethodGet {
				_, _ = w.Write([]byte(notBuilt))
			}
			return
		}
		name = "/index.html"
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	h.Set("Vary", "Accept-Encoding")
	// A name with a hash in it never means anything else; index.html names them.
	if strings.HasPrefix(name, assets) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	content := f.plain
	if f.zipped != nil && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", strings.TrimSuffix(f.tag, `"`)+`-gz"`)
		content = f.zipped
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}
