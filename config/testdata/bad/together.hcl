keyring {
  file       = "/etc/cloister/master.key"
  credential = "master" # E1106: the master key is named twice
}

listener "collect" {
  address  = "127.0.0.1:8443"
  insecure = true # E1106: insecure and tls do not go together
  tls {
    cert_file   = "/c"
    self_signed = true # E1105: a self-signed certificate needs no files
  }
}
listener "console" {
  address = "127.0.0.1:8443" # E1102: the listener "collect" is at "127.0.0.1:8443" already
  tls {} # E1105: there is no certificate
}
listener "metrics" {
  address = "[::]:8443" # E1102: the listener "collect" is at "127.0.0.1:8443" already # E1102: the listener "console" is at
  tls { cert_file = "/c" } # E1105: key_file is missing
}

publisher "acme" {
  retention {
    events = "30d"
    event "Page Viewed" { keep = "60d" } # E1106: "Page Viewed" would be kept longer than all events are
  }
  key "app" {
    id    = "A"
    allow = ["read"] # E1106: a key without a secret only writes
  }
  key "srv" {
    id     = "A" # E1102: the id "A" is taken
    secret = "in clear" # W1402: secret stands in the file
  }
  key "reader" {
    id      = "B"
    secret  = "in clear" # W1402: secret stands in the file
    purpose = "offers" # E1106: a key that may not make campaigns needs no purpose # E1103: there is no purpose "offers"
  }
  quiet_hours {
    from = "21:00"
    to   = "21:00" # E1106: the quiet hours end when they begin
  }
  properties "Charged" {
    deny     = ["card", "cvv"] # E1106: "card" is denied, and taken as well # E1106: "cvv" is denied
    personal = ["card"]
    allow    = ["cvv"]
  }
}
publisher "other" { # W1404: no app can send it anything
  title = "Other"
}
publisher "third" {
  key "app" { id = "A" } # E1102: the id "A" is taken
}
