// Smpp sends SMS through a message centre by SMPP 3.4 or 5.0.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&smpp{}) }
