appliance {
  name = dc1 # E1021: write it in quotes: "dc1"
  data_dir = "/a" == "/b" ? "/a" : "/b" # E1021: this kind of expression has no place here
  connector_dirs = [for d in ["a"] : d] # E1021: no place here
  log_level = upper("info") # E1021: there is no function "upper" The functions are env
}

publisher "acme" {
  title = fil("x") # E1021: Did you mean "file"?
  timezone = env("UNSET") # E1022: the environment has no variable "UNSET"
  key "app" {
    id     = env() # E1021: env takes one text
    secret = file("/missing") # E1022: the file /missing cannot be read: file does not exist
  }
  key "b" {
    id     = "B"
    secret = credential("../missing") # E1022: is no name of a credential
  }
  key "c" {
    id     = "C"
    secret = file("${env("CLOISTER_TEST_X")}/missing") # E1022: what the sensitive name stands for cannot be read
  }
  key "d" {
    id     = env("CLOISTER_TEST_ID")
    secret = "${env("CLOISTER_TEST_X")}${[1]}" # E1021: invalid template interpolation value
  }
  key "e" { id = env("CLOISTER_TEST_ID") } # E1102: is taken
  retention { events = env("CLOISTER_TEST_X") } # E1025: events cannot be what the function returned
  identity { merge = env("CLOISTER_TEST_X") } # E1023: merge cannot be the value
}
