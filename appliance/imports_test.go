package appliance_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cloisterhq/cloister/config"
	"github.com/cloisterhq/cloister/plugins/sandbox"
)

const module = "github.com/cloisterhq/cloister/"

// floors are the rooms, lowest first; a room may import what lies on a lower
// floor. What no line names may import nothing of the house.
var floors = [][]string{
	{"appliance/event", "appliance/block", "appliance/liquid", "appliance/health", "appliance/csv", "appliance/export", "appliance/guide", "appliance/ingest/detect", "plugins/connector"},
	{"appliance/keyring", "appliance/kv", "appliance/journal", "appliance/audit"},
	{"appliance/access", "appliance/people", "appliance/history"},
	{"appliance/query"},
	{"appliance/campaign", "appliance/delivery", "appliance/erasure"},
	{"appliance/flow"},
	{"appliance/publisher"},
	{"appliance/ingest", "appliance/links", "appliance/receipts", "appliance/console", "appliance/clevertap"},
	{"appliance"},
	{"appliance/cmd/cloister"},
}

// also are the imports beside those that the floors allow.
var also = map[string][]string{
	"appliance/block":                 {"appliance/event"},                  // columns hold its values
	"appliance/csv":                   {"appliance/event"},                  // cells become its values
	"appliance/export":                {"appliance/event", "appliance/csv"}, // records hold its values
	"appliance":                       {"config", "plugins/host", "plugins/sandbox", "appliance/demo"},
	"appliance/cmd/cloister":          {"config", "plugins/host", "plugins/sandbox", "plugins/author", "plugins/conformance", "plugins/parcel"},
	"plugins/author":                  {"plugins", "config", "plugins/conformance", "plugins/connector", "plugins/host", "plugins/parcel"},
	"plugins/author/notebook":         {"plugins/connector", "plugins/serve"}, // what an author begins with
	"config":                          {"plugins/connector"},
	"plugins/connectorpb":             {"plugins/connector"},
	"plugins/calls":                   {"plugins/connector"},
	"plugins/serve":                   {"plugins/connector", "plugins/connectorpb"},
	"plugins/parcel":                  {"plugins/connectorpb"},
	"plugins/host":                    {"plugins/parcel", "plugins/connector", "plugins/connectorpb", "plugins/sandbox", "plugins/serve", "appliance/health"},
	"plugins/sandbox":                 {"plugins/connector"}, // what a host is
	"plugins/conformance":             {"plugins/connector", "plugins/host"},
	"plugins/conformance/testprogram": {"plugins/sandbox"},
	"appliance/demo":                  {},
}

// connectorMay is all of the house that a connector sees, so that a third
// party's is exactly like ours.
var connectorMay = []string{"plugins/connector", "plugins/calls", "plugins/serve"}

// engines are the libraries that only one room may know.
var engines = map[string]string{
	"github.com/nats-io/nats":          "appliance/journal",
	"github.com/dgraph-io/badger":      "appliance/kv",
	"github.com/hashicorp/go-plugin":   "plugins/",
	"github.com/hashicorp/hcl":         "config",
	"github.com/spf13/cobra":           "appliance/cmd/cloister",
	"github.com/chromedp/chromedp":     "appliance/console/webtest",
	"github.com/prometheus/client_gol": "appliance",
}

// Where connectors are confined, and where that is required, the grades are the same.
func TestGrades(t *testing.T) {
	if !slices.Equal(config.Grades, sandbox.Grades()) {
		t.Errorf("required are %v, there are %v", config.Grades, sandbox.Grades())
	}
}

func allowed(room, imported string) bool {
	imported, _, _ = strings.Cut(imported, "/internal")
	if room == imported {
		return true
	}
	if strings.HasPrefix(room, "connectors/") {
		return slices.Contains(connectorMay, imported)
	}
	if slices.Contains(also[room], imported) {
		return true
	}
	return floor(imported) >= 0 && floor(imported) < floor(room)
}

func floor(room string) int {
	for i, f := range floors {
		if slices.Contains(f, room) {
			return i
		}
	}
	return -1
}

// TestImports holds the table of who may import whom.
func TestImports(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	err = fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		// Tests may use what they like: they stand outside the house.
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		room, _, _ := strings.Cut(filepath.ToSlash(filepath.Dir(path)), "/internal")
		if strings.HasPrefix(room, "appliance/bench") || strings.HasPrefix(room, "appliance/faults") || strings.HasPrefix(room, "appliance/sdks") || strings.HasPrefix(room, "packaging/") || strings.HasPrefix(room, "appliance/e2e") || strings.HasPrefix(room, "appliance/badinput") {
			return nil
		}
		met[room] = true
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if of, ok := strings.CutPrefix(imported, module); ok && !allowed(room, of) {
				t.Errorf("%s: %s may not import %s", path, room, of)
			}
			for engine, owner := range engines {
				if strings.HasPrefix(imported, engine) && !strings.HasPrefix(room, owner) {
					t.Errorf("%s: only %s may import %s", path, owner, imported)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range floors {
		for _, room := range f {
			if !met[room] {
				t.Errorf("the floors name %s, which is not there", room)
			}
		}
	}
}
