# Push to browsers. Make the key once, and keep it: browsers that subscribed
# with another key cannot be reached.
#   openssl ecparam -name prime256v1 -genkey -noout -out /etc/cloister/vapid.pem
# Everything else that may be written here is in README.md.
publisher "acme" {
  connector "push" "browsers" {
    plugin    = "webpush"
    platforms = ["webpush"]

    settings {
      key     = file("/etc/cloister/vapid.pem")
      subject = "mailto:ops@acme.example"
      icon    = "https://www.acme.example/icon-192.png"
    }
  }
}
