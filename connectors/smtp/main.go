// Smtp sends e-mail through a relay.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&smtp{}) }
