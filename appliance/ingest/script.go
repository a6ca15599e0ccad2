package ingest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// scripts are cloister.js and its service worker as their build left them; only
// .keep where they were not built.
//
//go:embed all:web/dist
var scripts embed.FS

// script is a file that browsers load.
type script struct {
	plain, zipped []byte
	tag           string
}

func readScript(name string) (script, error) {
	plain, err := scripts.ReadFile("web/dist/" + name)
	if err != nil {
		return script{}, err
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return script{}, err
	}
	if _, err := w.Write(plain); err != nil {
		return script{}, err
	}
	if err := w.Close(); err != nil {
		return script{}, err
	}
	sum := sha256.Sum256(plain)
	return script{plain: plain, zipped: z.Bytes(), tag: hex.EncodeToString(sum[:12])}, nil
}

const scriptNotBuilt = "// cloister.js is not in this build. Build it, and the daemon again: make sdk build\n"

// scriptRoutes serves cloister.js and the service worker that web push needs.
func (d *Door) scriptRoutes() {
	for _, name := range []string{"cloister.js", "cloister-sw.js"} {
		s, err := readScript(name)
		d.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", "text/javascript; charset=utf-8")
			h.Set("X-Content-Type-Options", "nosniff")
			if err != nil {
				w.WriteHeader(http.StatusNotFound)
				_, _ = fmt.Fprint(w, scriptNotBuilt)
				return
			}
			// Pages of any origin load it, also under a policy that isolates them,
			// and may state its hash.
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			h.Set("Cache-Control", "public, max-age=3600, stale-while-revalidate=86400")
			h.Set("Vary", "Accept-Encoding")
			content, tag := s.plain, s.tag
			if acceptsGzip(r) {
				h.Set("Content-Encoding", "gzip")
				content, tag = s.zipped, s.tag+"-gz"
			}
			h.Set("ETag", `"`+tag+`"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
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
