# A relay that wants a sign-in, signatures of both kinds on every message, mail
# that comes back, and files. Everything else that may be written here is in
# README.md.
publisher "acme" {
  connector "email" "relay" {
    plugin = "smtp"
    rate   = "100/s"

    domain "gmail.com" { rate = "20/s" }

    settings {
      host     = "mail.acme.example"
      port     = 587
      from     = "Acme <hello@acme.example>"
      reply_to = "support@acme.example"
      username = "engage"
      password = file("/etc/cloister/relay.password")

      dkim {
        domain           = "acme.example"
        selector         = "engage"
        key              = file("/etc/cloister/dkim.pem")
        ed25519_selector = "engage-ed"
        ed25519_key      = file("/etc/cloister/dkim-ed25519.pem")
      }

      # The MX of this domain is the appliance's listener "mail".
      bounces {
        domain = "bounce.acme.example"
        key    = file("/etc/cloister/bounces.key")
      }

      # Without this block a message with a file is refused.
      attachments {
        types    = ["application/pdf"]
        max_size = 524288
      }
    }
  }
}
