appliance { public_url = "https://a.example" }
publisher "acme" {
  key "app" { id = "A" }
  connector "mail" "a" { # E1101: there is no channel "mail" Did you mean "email"? Allowed: "email", "sms", "push" or "webhook".
    plugin = "mailbox"
    settings { dir = "/a" }
  }
  connector "email" "no settings" { # E1101: cannot be the name of a connector # E1013: the block "settings" is missing Add it, with at least: host = "..", from = ".."
    plugin = "smtp"
  }
  connector "email" "b" {
    plugin    = "smtpp" # E1201: the plugin "smtpp" cannot be used It was asked for its settings: there is no such connector
    rate      = "100" # E1025: rate: "100" is not a rate
    platforms = ["fcm"] # E1106: platforms are of push only
    sha256    = "ABC" # E1025: sha256 cannot be "ABC"
    classes   = ["news"] # E1023: Allowed: "marketing" or "transactional".
    standby   = true
    weight    = 2 # E1106: a connector that stands by has no share
    domain "Gmail.com" { # E1101: cannot be the name of a domain # E1013: "rate" is missing
    }
    domain "b.example" { rate = "20/s" }
    domain "c.example" { # E1102: the domain "b.example" has a rate already
      rate = "20/s"
      also = ["b.example"]
    }
    settings { anything = file("missing") } # E1022: cannot be read
  }
  connector "email" "c" {
    plugin = "frozen" # E1201: it did not answer in time
  }
  connector "email" "pinned" {
    plugin = "smtp"
    sha256 = "0bad000000000000000000000000000000000000000000000000000000000000" # E1204: the connector "pinned" would not be the program that sha256 names Connector "smtp": it has another SHA-256.
    settings { anything = "is not looked at" }
  }
  connector "email" "d" {} # E1013: "plugin" is missing Set it: plugin = "smtp"
  connector "sms" "rated" { # E1202: smtp does not serve the channel "sms"
    plugin = "smtp"
    domain "b.example" { rate = "20/s" } # E1106: only e-mail goes to domains
    settings {
      from = "a@b.example"
      host = "h.example"
    }
  }
  connector "sms" "d" { # E1102: there is a connector "d" already # E1202: smtp does not serve the channel "sms" It serves "email".
    plugin = "smtp"
    settings { # E1013: "from" is missing
      hots = "mail.acme.example" # E1010: Did you mean "host"? Allowed here: domains, from
      host = 5
      port = 70000 # E1024: It is a number from 1 to 65535.
      timeout = "soon" # E1025: timeout: "soon" is not a duration
      security = "ssl" # E1023: Allowed: "starttls", "tls" or "none".
      verify = "yes" # E1020: "verify" must be true or false
      domains = ["a", null] # E1020: a list of texts
      headers = ["a"] # E1020: a map of texts
      username = "old" # W1401: username is deprecated Use instead: the block auth
      auth { # E1013: "user" is missing
        password = "hunter2" # W1402: password stands in the file
        pasword = "hunter2" # E1010: Did you mean "password"?
      }
      tls {} # E1011: there is no block "tls" here
    }
  }
  connector "email" "e" {
    plugin = "smtp"
    settings {
      host = "nowhere.example"
      from = "nobody" # E1025: It matches @
    }
  }
  connector "email" "f" {
    plugin = "smtp"
    settings {
      host = "nowhere.example" # E1203: smtp: the host does not exist
      from = "a@b"
      security = "none"
      headers = { a = "1", "b" = "2" }
      auth {
        user = "xy"
        password = "bad" # W1402: password stands in the file # E1203: smtp: the password (sensitive) is weak (sensitive)
      }
    }
  }
  connector "email" "g" {
    plugin = "smtp"
    settings {
      host = "mail"
      from = "a@b"
      headers = { a = "1", "b" = "2" }
      security = "none" # W1405: smtp: mail goes out in clear
    }
  }
  connector "sms" "i" {
    plugin = "strict"
    settings { # E1013: the block "tls" is missing
      url = "x"
      tls = {} # E1010: "tls" is a block, not an argument
    }
  }
  connector "email" "j" {
    plugin = "smtp"
    settings {
      host = "mail"
      from = "a@b"
      auth {
        user = "x" # E1024: user is too short
      }
      headers = { a = "1", "a" = "2" } # E1012: "a" is set twice
    }
  }
  connector "sms" "h" {
    plugin = "strict"
    settings {
      url = "https://sms.example"
      tls {} # E1203: strict: mode is not known
    }
  }
  connector "sms" "k" { # W1407: the connector "k" reaches nothing It uses the network, and its settings name no host.
    plugin = "silent"
  }
  connector "sms" "l" {
    plugin = "silent"
    hosts  = ["10.0.0.0/8:443", "proxy"] # E1025: "proxy" cannot be reached: not a host: the port is missing Write HOST:PORT
  }
  connector "email" "m" {
    plugin      = "mailbox"
    hosts       = ["proxy:3128"] # E1106: mailbox uses no network
    own_network = "yes" # E1020: "own_network" must be true or false
    settings { dir = "/a" }
  }
  connector "email" "n" {
    plugin = "smtp"
    settings {
      host = "a relay" # E1025: host: this names nothing to connect to
      from = "a@b"
    }
  }
}
author "short" { key = "ed25519:AAAA" } # E1025: key cannot be "ed25519:AAAA"
author "none" {} # E1013: "key" is missing
sandbox {
  require   = "full" # E1023: Allowed: "none", "files", "ports" or "hosts".
  memory    = "1MiB" # E1024: It lies between 64MiB and 1TiB.
  threads   = 1 # E1024: It is a whole number from 32 to 32768.
  processor = "half" # E1025: Write a whole number and %
}
