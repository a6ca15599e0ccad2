appliance {
  name     = "dc1"
  data_dir = "/var/lib/cloister"

  public_url = "https://engage.acme.example" # where apps and links in messages find it
}

listener "collect" { # apps, and recipients' links
  address = "0.0.0.0:8443"
  tls {
    cert_file = "/etc/cloister/tls.crt"
    key_file  = "/etc/cloister/tls.key"
  }
}
listener "console" { address = "127.0.0.1:8481" } # operators: web console and API
listener "metrics" { address = "127.0.0.1:8482" } # /metrics /healthz /readyz

publisher "acme" {
  title    = "Acme Bank"
  timezone = "Asia/Kolkata"

  key "app" { id = "ACME-APP" } # carried by the apps
  key "server" {
    id     = "ACME-SRV"
    secret = file("/etc/cloister/srv")
    allow  = ["read", "erase"]
  }

  purpose "offers" {
    title    = "Offers and news"
    channels = ["email", "sms", "push"]
  }
  purpose "service" {
    title = "About your account"
    basis = "contract"
  }

  retention { events = "400d" }    # default: kept until erased
  identity { merge = "anonymous" } # "known" lets alias join two known people
  quiet_hours {
    from = "21:00"
    to   = "09:00"
  }
  cap "offers" {
    messages = 3
    per      = "24h"
  }

  properties "Charged" {
    deny     = ["card_number"]
    personal = ["delivery_address"]
  }

  connector "email" "relay" {
    plugin = "smtp"
    rate   = "100/s"
    settings {
      host = "mail.acme.example"
      port = 587
      from = "Acme <hello@acme.example>"
    }
  }
}
