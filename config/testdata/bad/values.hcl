appliance {
  name         = 5 # E1020: "name" must be a text in quotes Write it like this: name = "dc1"
  public_url   = "http://engage.acme.example" # E1108: public_url must begin with https://
  disk_reserve = "5GB" # E1025: disk_reserve: "5GB" is not a size Write a number and its unit
  log_level    = "verbose" # E1023: log_level cannot be "verbose" Allowed: "debug", "info", "warn" or "error".
}

listener "colect" { address = "127.0.0.1:1" } # E1101: there is no listener "colect" Did you mean "collect"?
listener "console" {
  address         = "127.0.0.1" # E1025: address cannot be "127.0.0.1"
  trusted_proxies = ["10.1.2.300", "0.0.0.0/0"] # E1025: "10.1.2.300" is no network # E1024: every address would be a trusted proxy
}
listener "metrics" {
  address = "127.0.0.1:port" # E1025: "port" is no port
  limits { address_rate = "1/s" } # E1010: there is no argument "address_rate" here
}

publisher "Acme Bank" { # E1101: lower case letters, digits
  title    = null # E1020: "title" is null
  timezone = "Asia/Kolkatta" # E1025: there is no time zone "Asia/Kolkatta"
  key "app" { id = "with space" } # E1025: printable ASCII without spaces
  key "more" {} # E1013: "id" is missing Set it: id = "ACME-APP"
  retention { events = "90min" } # E1025: "90min" is not a duration
  identity { merge = "all" } # E1023: Allowed: "anonymous" or "known".
  quiet_hours {
    from = "21" # E1025: "21" is not a time of day
    to   = "24:00" # E1025: "24:00" is not a time of day
  }
  purpose "offers" {
    basis    = "legitimate" # E1023: basis cannot be "legitimate"
    channels = ["email", "telegram", "email"] # E1023: channels cannot be "telegram" # E1012: twice
  }
  purpose "collection" {} # E1102: every publisher has the purpose "collection"
  purpose "none" { channels = [] } # E1024: a purpose needs a channel
  purpose "lists" { channels = "email" } # E1020: must be a list of texts
  cap "offers" {
    messages = 0 # E1024: a whole number from 1 to 1000000
    per      = "1s" # E1024: between 1m and 366d
  }
  cap "service" { # E1103: there is no purpose "service"
    messages = "many" # E1020: "messages" must be a number
    per      = 24 # E1020: "per" must be a text in quotes
  }
  properties "" { allow = ["a"] } # E1101: the name of an event
  web_push_key = "AEl62" # E1025: the public VAPID key
  probe_devices = "36h" # E1024: It is a number of whole days
  limits {
    journal      = "1MiB" # E1024: between 64MiB and 1024TiB
    key_requests = 0 # E1024: a whole number from 1 to 100000
    key_rate     = "5000" # E1025: a number, a stroke and s, m, h or d
  }
}
