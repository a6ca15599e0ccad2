# Every function, in every kind of value; and unusual but right forms.
appliance {
  name       = "dc-${env("CLOISTER_TEST_NAME")}"
  public_url = "http://localhost:8480/"
}

keyring { credential = "master" }

listener "collect" {
  address = ":8443"
  tls { self_signed = true }
  trusted_proxies = ["10.1.2.3", "fd00:12::/64"]
  limits {
    connections         = 64
    address_connections = 8
    address_requests    = 4
    address_rate        = "300/m"
  }
}
listener "console" {
  address  = "[::]:8481"
  insecure = true
}
listener "metrics" { address = "[::1]:0" }

publisher "a_b-1" {
  web_push_key = "BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U"
  key "k" {
    id     = "K"
    secret = file("relative/secret")
    allow  = ["read", "erase", "campaigns"]
  }
  purpose "p" { channels = ["webhook"] }
  limits {
    key_requests = 16
    key_rate     = "1000/s"
  }
  properties "*" {
    allow = ["a"]
    deny  = []
  }
  properties "Charged" {
    deny      = ["card_number"]
    personal  = ["delivery_address"]
    types     = { amount = "float", "Item Count" = "integer", at = "time", items = "list", extra = "any" }
    required  = ["amount"]
    unknown   = "refuse"
    violation = "mark"
  }
  properties "Old" { state = "discarded" }
  collect {
    ip         = "cut"
    user_agent = "reduce"
  }
  detect {
    card        = "hold"
    national_id = "hash"
    iban        = "drop"
    email       = "mask"
    phone       = "keep"
    except      = ["order_id"]
  }
  connector "email" "relay" {
    plugin = "smtp"
    settings {
      host    = env("CLOISTER_TEST_HOST")
      from    = "a@b"
      timeout = "1d"
      headers = { X-Loop = "1", "Y" = credential("y") }
      domains = [
        "a.example",
        "b.example",
      ]
      auth {
        user     = "me"
        password = credential("relay")
      }
    }
  }
}
