appliance {
  nmae = "dc1" # E1010: Did you mean "name"? Allowed here: connector_dirs, data_dir,
}

listener "collect" {
  address = "0.0.0.0:8443" # E1104: can be reached from other machines
  tls = true # E1010: "tls" is a block, not an argument
}

publisher "acme" {
  tilte = "Acme" # E1010: there is no argument "tilte" here Did you mean "title"?
  title {} # E1011: "title" is an argument, not a block
  kye "app" {} # E1011: Did you mean "key"?
  key "app" { id = "A" }
  key {} # E1014: key takes one label, not 0 Write it like this: key "NAME" { .. }
  quiet_hours "x" {} # E1014: quiet_hours takes no label, not 1
}

plugin "x" {} # E1011: there is no block "plugin" here Allowed here are the blocks appliance, author, keyring, listener, publisher, sandbox.
campaign "x" {} # E1015: made in the console
