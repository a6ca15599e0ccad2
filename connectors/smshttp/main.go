// Smshttp sends SMS through any provider's HTTP interface.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&smshttp{}) }
