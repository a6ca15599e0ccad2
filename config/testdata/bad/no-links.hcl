publisher "acme" {
  key "app" { id = "A" }
  connector "sms" "box" { # W1403: messages will have no links
    plugin = "mailbox"
    settings { dir = "/tmp" }
  }
}
