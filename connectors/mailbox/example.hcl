# Every message of the channel is kept in a folder, and nothing is sent.
publisher "acme" {
  connector "email" "box" {
    plugin = "mailbox"

    settings {
      dir  = "/var/lib/cloister/mailbox"
      keep = 500
    }
  }
}
