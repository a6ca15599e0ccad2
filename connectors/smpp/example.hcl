# A message centre in India, with one text registered. Everything else that may
# be written here is in README.md.
publisher "acme" {
  connector "sms" "smsc" {
    plugin = "smpp"

    settings {
      host         = "smsc.acme.example"
      port         = 3550
      system_id    = "acme"
      password     = file("/etc/cloister/smsc.password")
      sender       = "ACMEBK"
      per_second   = 100
      country_code = "91"

      tls {}

      dlt {
        entity  = "1101234567890123456"
        headers = ["ACMEBK-S", "ACMEOF-P"]
        templates = {
          "1107161234567890123" = "Dear {#var#}, your statement of {#var#} is ready. ACME Bank"
        }
      }
    }
  }
}
