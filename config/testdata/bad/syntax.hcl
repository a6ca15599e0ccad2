publisher "acme" {
  title == "Acme" # E1003: use the equals sign "="
  key "app" { id = "A" }
}
