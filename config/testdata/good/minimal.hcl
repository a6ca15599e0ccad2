# The least that works: one publisher whose app can send. Everything listens on
# this machine only, and data lies in /var/lib/cloister.

publisher "acme" {
  key "app" { id = "ACME-APP" }
}
