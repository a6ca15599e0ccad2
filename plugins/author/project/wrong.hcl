publisher "acme" {
  connector "sms" "main" {
    plugin = "notebook"
    settings {
      folder = "here"
    }
  }
}
