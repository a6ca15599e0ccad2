# Android apps with CleverTap's SDK, behind a proxy. Everything else that may be
# written here is in README.md.
publisher "acme" {
  connector "push" "android" {
    plugin    = "fcm"
    rate      = "500/s"
    platforms = ["fcm"]

    settings {
      service_account = file("/etc/cloister/firebase.json")
      payload         = "clevertap"
      channel         = "offers"
      proxy           = file("/etc/cloister/proxy") # http://NAME:PASSWORD@proxy.acme.example:3128
    }
  }
}
