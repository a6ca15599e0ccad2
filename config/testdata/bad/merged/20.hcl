appliance { name = "dc2" } # E1012: "name" is set twice
publisher "acme" {
  title = "Acme" # E1012: "title" is set twice
  key "app" { id = "B" } # E1012: "id" is set twice
  purpose "x" {
    title = "X"
    basis = "consent"
    title = "Y" # E1012: "title" is set twice
  }
}
