appliance { name = "dc1" }
publisher "acme" {
  title = "Acme"
  key "app" { id = "A" }
}
