# A provider whose interface is JSON over HTTP, which signs its callbacks; and an
# account with Twilio that steps in when it fails. Everything else that may be
# written here is in README.md.
publisher "acme" {
  connector "sms" "gateway" {
    plugin = "smshttp"
    rate   = "50/s"

    settings {
      sender       = "ACME"
      country_code = "49"

      request {
        url      = "https://api.provider.example/v1/messages"
        headers  = { Authorization = "Bearer {password}", Idempotency-Key = "{id}" }
        password = file("/etc/cloister/sms.token")
        check    = "https://api.provider.example/v1/balance"
        json     = <<-JSON
          { "from": "{sender}", "to": ["{to}"], "text": "{text}", "reference": "{id}", "validity": "{ttl}" }
        JSON
      }

      response {
        id     = "messages.0.id"
        status = "messages.0.status"
        values = { "0" = "accepted", "1" = "throttled", "6" = "address", "9" = "config" }
      }

      callbacks {
        secret  = file("/etc/cloister/sms.secret")
        header  = "X-Provider-Signature"
        message = "reference"
        status  = "status"
        from    = "from"
        text    = "text"
      }
    }
  }

  connector "sms" "twilio" {
    plugin  = "smshttp"
    standby = true

    settings {
      twilio {
        account  = "AC0123456789abcdef0123456789abcdef"
        token    = file("/etc/cloister/twilio.token")
        service  = "MG0123456789abcdef0123456789abcdef"
        callback = "https://engage.acme.example/receipts/acme/twilio"
      }
    }
  }
}
