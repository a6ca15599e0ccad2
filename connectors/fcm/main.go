// Fcm sends push messages to Android through Firebase Cloud Messaging.
package main

import "github.com/cloisterhq/cloister/plugins/serve"

func main() { serve.Run(&fcm{}) }
