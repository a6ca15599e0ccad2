// Webpush sends push messages to browsers.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&webpush{}) }
