# What may come in.
publisher "acme" {
  key "app" { id = "A" }
  properties "Added" {
    state     = "off" # E1023: state cannot be "off"
    types     = { price = "number", sku = 7, "" = "list" } # E1023: "price" cannot be "number" # E1020: a map of texts # E1024: too short
    required  = "price" # E1020: must be a list of texts
    unknown   = "ignore" # E1023: Allowed: "allow", "drop" or "refuse"
    violation = "warn" # E1023: Allowed: "refuse", "drop" or "mark"
    requires  = ["price"] # E1010: there is no argument "requires"
  }
  properties "Seen" { types = ["price"] } # E1020: must be a map of texts
  collect {
    ip         = "keep" # E1023: Allowed: "drop" or "cut"
    user_agent = "cut" # E1023: Allowed: "drop", "reduce" or "keep"
    agent      = "drop" # E1010: there is no argument "agent"
  }
  detect {
    card   = "remove" # E1023: card cannot be "remove"
    email  = true # E1020: must be a text
    cards  = "mask" # E1010: there is no argument "cards"
    except = ["order_id", "order_id"] # E1012: twice
  }
  properties "Viewed" {
    deny    = ["pin"] # E1106: "pin" is denied, and taken as well
    types   = { pin = "string" }
    allow   = ["sku"]
    unknown = "allow" # E1106: unknown names cannot be allowed beside a list
  }
  properties "Old" {
    state = "discarded" # E1106: events that are discarded have no properties
    deny  = ["a"]
  }
  properties "Loose" {
    violation = "mark" # E1106: nothing can be violated
  }
}
