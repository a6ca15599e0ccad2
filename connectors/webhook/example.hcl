# Posts messages to a service of yours, which checks their signatures. Everything
# else that may be written here is in README.md.
publisher "acme" {
  connector "webhook" "hooks" {
    plugin = "webhook"
    rate   = "100/s"

    settings {
      url     = "https://hooks.acme.internal:8443/cloister"
      secret  = file("/etc/cloister/webhook.secret") # echo whsec_$(openssl rand -base64 32)
      private = ["hooks.acme.internal:8443"]
      headers = { Authorization = file("/etc/cloister/webhook.token") }
    }
  }
}
