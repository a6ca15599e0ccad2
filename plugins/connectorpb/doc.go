// Package connectorpb is connector.v1, the protocol between the appliance and
// its connectors: the proto file is its documentation, the generated code is
// committed, and Handshake and the conversions to plugins/connector are here.
// Authors in Go need none of it; they call plugins/serve.
package connectorpb

//go:generate sh -c "go build -C ../../packaging/tools -o ../../plugins/connectorpb/.bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc && PATH=$PWD/.bin:$PATH protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative connector.proto && rm -r .bin"

// What both sides of the go-plugin handshake agree on.
const (
	// CookieKey is the environment variable that tells a connector that it was
	// started by the appliance. It is no secret and protects nothing.
	CookieKey   = "CLOISTER_CONNECTOR"
	CookieValue = "9d1f7c4e-connector"
	// ProtocolVersion is that of connector.v1.
	ProtocolVersion = 1
	// PluginName is the name under which go-plugin knows the service.
	PluginName = "connector"
)

// Bounds of what crosses the line.
const (
	MaxMessage    = 4 << 20  // bytes of a request or reply
	MaxBatchBytes = 3 << 20  // bytes of the messages in one Send
	MaxBatch      = 500      // messages in one Send
	MaxReason     = 200      // bytes of an Outcome's or Receipt's Reason
	MaxProviderID = 256      // bytes
	MaxError      = 1 << 10  // bytes of a call's error text
	MaxAddress    = 4 << 10  // bytes of an address in a receipt
	MaxAnswer     = 64 << 10 // bytes of the body that a provider is answered
	MaxMail       = 1 << 20  // bytes of a returned mail that a connector is given
	MaxCollected  = 1000     // receipts in one reply of Collect
)
