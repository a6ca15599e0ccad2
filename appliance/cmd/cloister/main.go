// Command cloister is the appliance's program: the daemon, and everything that
// an operator types. There is one file a verb. The verbs print results on
// standard output and all else on standard error, and end with the codes of
// exit.go.
package main

import (
	"os"

	"github.com/cloisterhq/cloister/plugins/sandbox"
)

// version is set when the program is built.
var version = "dev"

func main() {
	// In a connector's process this confines it, becomes it, and does not return.
	sandbox.Exec()
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
