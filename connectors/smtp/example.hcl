# A relay that wants a sign-in, and a signature on every message. Everything
# else that may be written here is in README.md.
publisher "acme" {
  connector "email" "relay" {
    plugin = "smtp"
    rate   = "100/s"

    settings {
      host     = "mail.acme.example"
      port     = 587
      from     = "Acme <hello@acme.example>"
      username = "engage"
      password = file("/etc/cloister/relay.password")

      dkim {
        domain   = "acme.example"
        selector = "engage"
        key      = file("/etc/cloister/dkim.pem")
      }
    }
  }
}
