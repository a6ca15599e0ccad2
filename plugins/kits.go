// Package plugins holds what an author's project is made of: of each language
// the files that a connector is built with, as they are in this program's own
// version. "cloister connector new" lays them into the project, so that it is
// built without access to where this repository is kept.
package plugins

import "embed"

// Kits are the folders of the languages, and, for Go, of its packages. Go's tests
// are among them and no part of the kit.
//
//go:embed connector/*.go connectorpb/*.go connectorpb/connector.proto serve/*.go calls/*.go
//go:embed python/cloister_connector/*.py python/example/__main__.py python/README.md
//go:embed node/*.js node/*.mjs node/*.json node/README.md node/example/notebook.js
var Kits embed.FS
