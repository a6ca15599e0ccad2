package config

// The codes are stable: a code keeps its meaning for ever, and one that is no
// longer given is not given to something else.
const (
	codeUnreadable = "E1001" // a path cannot be read
	codeTooBig     = "E1002" // too large, too many, or nested too deep
	codeSyntax     = "E1003" // not HCL

	codeUnknownArgument = "E1010"
	codeUnknownBlock    = "E1011"
	codeTwice           = "E1012" // an argument is set twice
	codeMissing         = "E1013" // an argument or block is needed
	codeLabels          = "E1014" // a block has the wrong number of labels
	codeProgramme       = "E1015" // programme objects do not stand in these files

	codeType       = "E1020" // a value of another type
	codeExpression = "E1021" // an expression that has no place here
	codeFunction   = "E1022" // env, file or credential found nothing
	codeChoice     = "E1023" // not one of the allowed values
	codeBounds     = "E1024" // too small, too large, too short, too long
	codeMalformed  = "E1025" // not a duration, rate, address, ..

	codeName      = "E1101" // a name that cannot be one
	codeTaken     = "E1102" // something that must be unique is there already
	codeNoSuch    = "E1103" // a reference to what is not there
	codePlain     = "E1104" // plain HTTP beyond loopback
	codeTLS       = "E1105" // a tls block that says too much or too little
	codeTogether  = "E1106" // arguments that do not go together
	codeEmpty     = "E1107" // no publisher
	codePublicURL = "E1108" // recipients cannot use it

	codePlugin  = "E1201" // the plugin cannot be asked
	codeChannel = "E1202" // the plugin does not serve the channel
	codeRefused = "E1203" // the connector itself complains
	codePinned  = "E1204" // the program is not the one that sha256 names

	codeDataDir     = "E1301" // preflight: cannot be written
	codePort        = "E1302" // preflight: cannot be listened on
	codeCertificate = "E1303" // preflight: does not load, or has expired
	codeMasterKey   = "E1304" // preflight: cannot be read
	codeBinary      = "E1305" // preflight: the connector does not start

	codeDeprecated  = "W1401"
	codeClear       = "W1402" // a secret stands in the file
	codeNoPublicURL = "W1403" // links in messages lead nowhere
	codeNoKey       = "W1404" // a publisher that nothing can reach
	codeAdvice      = "W1405" // a connector's own warning
	codeExpires     = "W1406" // preflight: a certificate that ends soon
	codeNoHosts     = "W1407" // a connector that needs the network and lists no host
	codeLeftOut     = "W1408" // at a start: the daemon goes on without this connector
)
