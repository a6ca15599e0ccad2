// Apns sends push messages to Apple's devices.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&apns{}) }
