// Webhook posts messages to a service of the operator's.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&webhook{}) }
