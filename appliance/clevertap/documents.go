package clevertap

import "embed"

// Documents are what developers of servers read.
//
//go:embed API.md
var Documents embed.FS
