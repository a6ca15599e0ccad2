keyring {} # E1013: the keyring names no key
listener "collect" { address = "127.0.0.1:8481" } # E1102: the listener "console" is at 127.0.0.1:8481
publisher "acme" {
  key "app" { id = "A" }
}
