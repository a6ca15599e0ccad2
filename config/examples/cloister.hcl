# Cloister's configuration. Try a change before you apply it:
#
#     cloister validate          every mistake at once, at its own line
#     cloister fmt               puts the white space in order
#     systemctl reload cloister  a mistake changes nothing: the old one stays
#
# Files in /etc/cloister/conf.d/*.hcl are read as well, in the order of their
# names. A block that is written again, with the same labels, is the same block;
# an argument that is written twice is a mistake. Lines that are commented out
# below show what holds when nothing is written, or an example.
#
# Values may come from elsewhere, and are then never printed:
#   env("X")             the environment
#   file("/path")        a file, without its last line end
#   credential("name")   a systemd credential, else /etc/cloister/credentials/name
# Durations: "30s" "15m" "24h" "7d" "2w". Rates: "100/s" "5000/h". Sizes: "64MiB".

appliance {
  # name         = "dc1"                 # in the console and in mails to operators; the host's name
  data_dir = "/var/lib/cloister" # everything that is kept, and the key that seals it
  # disk_reserve = "2GiB"                # with less free, nothing is collected
  # log_level    = "info"                # debug, info, warn, error

  # Where apps and the links in messages find the listener "collect". Messages
  # have links for opening, clicking and unsubscribing only if this is set.
  # public_url = "https://engage.acme.example"

  # Directories with connectors of your own, searched before
  # /usr/lib/cloister/connectors.
  # connector_dirs = ["/opt/cloister/connectors"]
}

# The key above all keys. Without this block it is DATA_DIR/master.key, made at
# the first start. Whoever loses it loses everything: keep a copy elsewhere.
# keyring {
#   credential = "cloister-master" # LoadCredential= in the service's unit; or: file = "/path"
# }

# How well connectors must be confined; one that is not does not run. "files":
# files of others are closed, and no processes started; "ports": and only the
# ports of listed hosts reached; "hosts": and only the listed hosts.
# memory, threads and processor are of each connector that has no sandbox block of
# its own; processor needs control groups, which the service's unit has.
# sandbox {
#   require   = "hosts"
#   memory    = "1GiB"
#   threads   = 512
#   processor = "150%" # one and a half; without it as much as there is
# }

# Whose connectors "cloister connector install" takes; the author tells the key.
# author "beepers" {
#   key = "ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
# }

# Three listeners. One without tls must be on this machine, or say
# insecure = true because something in front of it encrypts.

listener "collect" { # apps, and recipients' links
  address = "127.0.0.1:8480"
  # address = "0.0.0.0:8443"
  # tls {
  #   cert_file = "/etc/cloister/tls.crt" # read again when it changes
  #   key_file  = "/etc/cloister/tls.key"
  #   # self_signed = true                # instead: made here, its fingerprint in the log
  # }

  # Load balancers and other proxies in front: only theirs is the word on who
  # sends (X-Forwarded-For), and limits by address are then their clients'.
  # trusted_proxies = ["10.1.2.0/24"]

  # What may come in. An address is one IPv4 address, or a /64 of IPv6; beyond a
  # limit apps are told to come back. At the limit of connections one that is
  # idle makes room.
  # limits {
  #   connections         = 16384      # open at once
  #   address_connections = 4096       # of one address
  #   address_requests    = 1024       # of one address, in work at once
  #   address_rate        = "10000/s"  # of one address; five seconds' worth may come at once
  # }
}

listener "console" { # operators: web console and API
  address = "127.0.0.1:8481"
}

listener "metrics" { # /metrics /healthz /readyz
  address = "127.0.0.1:8482"
}

# Mail that comes back (bounces, complaints), for the domains that connectors name
# by bounces {}. It relays nothing. Have the mail server send these domains here,
# or their MX records point here.
# listener "mail" {
#   address = "0.0.0.0:2525"
#   tls { self_signed = true } # offered by STARTTLS
# }

# A publisher is an owner of apps. Its data is sealed under keys of its own and
# cannot meet another publisher's. Its name is in the data: it cannot change.
publisher "main" {
  title    = "Our apps"
  timezone = "UTC" # whose days its days are: "Asia/Kolkata"

  # What apps carry: CleverTap's account id, or the write key of Segment and its
  # kind. It is public by nature, and alone it only writes.
  key "app" { id = "MAIN-APP" }

  # What servers carry. With its secret it may do what allow says.
  # key "server" {
  #   id     = "MAIN-SRV"
  #   secret = file("/etc/cloister/server-secret")
  #   allow  = ["read"] # read, erase, campaigns
  #   purpose = "offers" # with campaigns: of those that name none
  # }

  # What messages are for. Nobody gets one without consent for its purpose and
  # channel, unless a contract is the basis.
  purpose "offers" {
    title    = "Offers and news"
    channels = ["email", "sms", "push"] # without the line: also webhook
  }
  purpose "service" {
    title = "About your account"
    basis = "contract" # "consent" if nothing is written
  }

  # How long events are kept; without the block until the person is erased.
  # What is past it leaves every answer and the disk within a day or two. What
  # became of messages goes too, after 90 days at the soonest: the links in them
  # need it.
  # retention {
  #   events = "400d"
  #   event "Page Viewed" { keep = "90d" } # shorter than the others
  # }

  # Whether two known people may become one: "anonymous" (no) or "known".
  # identity { merge = "anonymous" }

  # When no marketing goes out, in the recipient's own time.
  # quiet_hours {
  #   from = "21:00"
  #   to   = "09:00"
  # }

  # How many messages of a purpose one person gets.
  # cap "offers" {
  #   messages = 3
  #   per      = "24h"
  # }

  # What is dropped at the door, and what is kept sealed with the person and
  # cannot be asked about. "*" stands for all events without rules of their own.
  # properties "Charged" {
  #   deny     = ["card_number"]
  #   personal = ["delivery_address"]
  #
  #   # What the event is made of: string, integer, float, boolean, time, list,
  #   # object or any. Where it is not so the event is refused ("refuse"), the
  #   # property is dropped ("drop"), or it is taken with a mark ("mark").
  #   types     = { amount = "float", currency = "string" }
  #   required  = ["amount"]
  #   violation = "refuse"
  #
  #   # What becomes of properties that none of these lists names: "allow", "drop"
  #   # (as where there is a list allow) or "refuse" (the event).
  #   unknown = "allow"
  # }
  # properties "Cart Viewed" { state = "inactive" } # accepted and left out; "discarded" is refused
  # properties "*" { state = "discarded" }          # only events named here are taken
  # properties "Page Viewed" { allow = ["path"] }   # nothing else of it is kept

  # What is kept of where apps run: of the IP address nothing ("drop") or its
  # network ("cut": /24, /48); of the user agent nothing, browser, system and
  # class of device ("reduce"), or all of it ("keep").
  # collect {
  #   ip         = "drop"
  #   user_agent = "drop"
  # }
  # profile { personal = ["passport"] } # beside name, e-mail, phone and their kind

  # What becomes of what identifies somebody in values that are about something
  # else: "keep" (it is not looked for), "mask" (411111******1111), "hash" (a
  # keyed hash, the same for the same number, so that it can be counted), "drop"
  # (the property) or "hold" (the record waits until an admin releases it). What
  # is marked personal is there on purpose and is not looked at.
  # detect {
  #   card        = "mask" # so without the block; the others are kept
  #   national_id = "hash" # Aadhaar, PAN, SSN, CPF, China's, France's, Italy's and Singapore's
  #   iban        = "mask"
  #   email       = "drop"
  #   phone       = "hold"
  #   except      = ["order_id"] # names that look like something and are not
  # }

  # The public key (VAPID) with which cloister.js has browsers subscribe. A
  # connector webpush gives its own; write one only if something else sends.
  # web_push_key = "BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U"

  # Asks each Android and iOS device once in so long, in whole days, by a silent
  # push that shows nothing, whether the app is still there: from three in the
  # morning on. One that is not becomes an App Uninstalled with its reason.
  # probe_devices = "1d"

  # How much of the journal may lie on the disk, and how much may come with each
  # key. A publisher never has more in work than it leaves free for the others.
  # limits {
  #   journal      = "16GiB"
  #   key_requests = 512      # in work at once; its share if nothing is written
  #   key_rate     = "5000/s" # as many as come if nothing is written
  # }

  # How fast marketing goes out, over all connectors.
  # rate = "500/s"

  # A connector is a process of its own that speaks to a provider. What its
  # settings may be: cloister connector inspect smtp. Several may serve a channel. An
  # example of each: /usr/share/doc/cloister/connectors.
  # connector "email" "relay" {
  #   plugin = "smtp"
  #   rate   = "100/s"
  #   # sha256    = ".."     # start this very program and no other
  #   # platforms = ["fcm"]  # of push: fcm, apns, webpush; all if nothing is written
  #   # weight    = 3        # its share beside the others of its channel; 1 if nothing is written
  #   # standby   = true     # takes messages only while no other does
  #   # classes   = ["transactional"] # and "marketing"; both if nothing is written
  #   domain "gmail.com" {   # of e-mail: how much recipients of a domain get; "*": each other one
  #     also = ["googlemail.com"] # counted together
  #     rate = "20/s"
  #   }
  #   # hosts = ["proxy.acme.example:3128", "10.0.0.0/8:443"]  # what it may reach beside what its settings name
  #   # own_network = true    # a network namespace of its own; the service's unit must allow it
  #   # sandbox { memory = "512MiB" }  # of its own: memory, threads, processor
  #   settings {
  #     host = "mail.acme.example"
  #     port = 587
  #     from = "Acme <hello@acme.example>"
  #   }
  # }
}
