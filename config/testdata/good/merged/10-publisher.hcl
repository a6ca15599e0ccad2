appliance { public_url = "https://a.example" }
publisher "acme" {
  title = "Acme"
  key "app" { id = "A" }
}
