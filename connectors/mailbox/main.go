// Mailbox keeps messages in a folder instead of sending them.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&mailbox{}) }
