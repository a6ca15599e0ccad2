appliance { name = "dc1" }
publisher "acme" {
  timezone = "Asia/Kolkata"
  connector "sms" "box" {
    plugin = "mailbox"
    settings { dir = "/tmp/box" }
  }
}
