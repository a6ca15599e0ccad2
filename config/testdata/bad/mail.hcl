# The listener for mail is no web server.
listener "mail" {
  address  = "0.0.0.0:2525"
  insecure = true # E1010: there is no argument "insecure" here
}

publisher "acme" {
  key "app" { id = "A" }
}
