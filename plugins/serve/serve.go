// Package serve turns a connector.Connector into a program that the appliance
// can start. It is the one call that an author makes:
//
//	func main() { serve.Run(&relay{}) }
//
// What the connector logs with slog, and what a library prints, ends in the
// appliance's log under the connector's name, rationed.
//
// Failure rules: a panic ends the process, so that nothing goes on with half a
// state; the appliance starts another. A method that returns an error has failed
// as a whole. Calls before Configure, after Drain, or with settings outside the
// schema never reach the connector.
package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/connectorpb"
)

// Run serves c until the appliance ends the process; it does not return before.
// If the program was started by hand it says what it is and exits with 2.
func Run(c connector.Connector) {
	if os.Getenv(connectorpb.CookieKey) != connectorpb.CookieValue {
		byHand(os.Stderr, c)
		os.Exit(2)
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	// The sandbox has TCP only, and knows the names that are listed.
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}}
	// SIGTERM comes after Drain, or when there is no time for one: either way
	// there is nothing left to do. SIGINT is the terminal's, meant for the
	// appliance, which then drains us.
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		os.Exit(0)
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			MagicCookieKey:   connectorpb.CookieKey,
			MagicCookieValue: connectorpb.CookieValue,
		},
		VersionedPlugins: map[int]plugin.PluginSet{
			connectorpb.ProtocolVersion: {connectorpb.PluginName: &served{c: c}},
		},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts,
				grpc.MaxRecvMsgSize(connectorpb.MaxMessage),
				grpc.MaxSendMsgSize(connectorpb.MaxMessage),
				grpc.UnaryInterceptor(early),
			)...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

// byHand says what to do with the program.
func byHand(w io.Writer, c connector.Connector) {
	d := c.Describe()
	fmt.Fprintf(w, `%s %s: %s

This is a connector of Cloister for %s. It is not started by hand: put
it into the connectors folder and name it in the configuration,

  connector "%s" "main" {
    plugin = "%s"
    settings {
      ..
    }
  }

"cloister connector inspect %s" lists its settings.
`, d.Name, d.Version, d.Summary, strings.Join(d.Channels, ", "), first(d.Channels), d.Name, d.Name)
}

func first(channels []string) string {
	if len(channels) == 0 {
		return "email"
	}
	return channels[0]
}

// early ends every call's context before the appliance's own deadline, so that
// an answer made of what is known by then still arrives.
func early(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline))))
		defer cancel()
	}
	return handler(ctx, req)
}

// margin is a fifth of the time there is, at most 2 s.
func margin(left time.Duration) time.Duration { return min(max(left/5, 0), 2*time.Second) }

// served is c as go-plugin wants it.
type served struct {
	plugin.NetRPCUnsupportedPlugin
	c connector.Connector
}

func (s *served) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	connectorpb.RegisterConnectorServer(g, newServer(s.c))
	return nil
}

func (s *served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("serve: this side only serves")
}
