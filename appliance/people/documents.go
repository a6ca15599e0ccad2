package people

import "embed"

// Documents are those for developers of apps: IDENTITY.md.
//
//go:embed IDENTITY.md
var Documents embed.FS
