package ingest

import "embed"

// Documents are what developers of apps read.
//
//go:embed DEVELOPERS.md DIALECTS.md API.md
var Documents embed.FS
