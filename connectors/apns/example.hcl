# An app with CleverTap's SDK. Everything else that may be written here is in
# README.md.
publisher "acme" {
  connector "push" "ios" {
    plugin    = "apns"
    platforms = ["apns"]

    settings {
      topic   = "com.acme.app"
      key     = file("/etc/cloister/AuthKey_ABC1234567.p8")
      key_id  = "ABC1234567"
      team_id = "TEAM123456"
      payload = "clevertap"
    }
  }
}
