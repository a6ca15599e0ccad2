package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/cloisterhq/cloister/connectors/fcm/standin"
	"github.com/cloisterhq/cloister/plugins/connector"
)

// An answer that is lost leaves a message unknown, and no other.
func TestLostAnswer(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	s.Answer = func(_ http.ResponseWriter, _ *http.Request, m standin.Message) bool {
		if m.Token == device(1) {
			panic(http.ErrAbortHandler) // the stream is reset
		}
		return false
	}
	outs := send(t, f, push(0), push(1), push(2))
	for i, want := range []connector.Result{connector.Accepted, connector.Unknown, connector.Accepted} {
		if outs[i].Result != want {
			t.Errorf("%d: %+v", i, outs[i])
		}
	}
}

// A connection that ends takes the answers of what was on its way with it.
func TestLostConnection(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, connector.Settings{"connections": 1.0}))
	send(t, f, push(0))
	s.Answer = func(http.ResponseWriter, *http.Request, standin.Message) bool { s.Break(); return true }
	if o := one(t, f, push(1)); o.Result != connector.Unknown {
		t.Errorf("%+v", o)
	}
	s.Answer = nil
	if o := one(t, f, push(2)); o.Result != connector.Accepted {
		t.Errorf("afterwards: %+v", o)
	}
}

// When the time is over before the answer, a message is unknown.
func TestLate(t *testing.T) {
	s := newServer(t)
	f := configured(t, settingsFor(s, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Answer = func(_ http.ResponseWriter, r *http.Request, _ standin.Message) bool {
		cancel() // it is over once FCM has it
		<-r.Context().Done()
		return true
	}
	outs, err := f.Send(ctx, []connector.Message{push(1)})
	if err != nil || outs[0].Result != connector.Unknown {
		t.Errorf("%+v, %v", outs, err)
	}
}

// rawServer speaks HTTP/2 frame by frame: do is called for each request that has
// come in whole, with the number of its connection and of its stream.
func rawServer(t *testing.T, streams uint32, do func(conn int, stream uint32, w *http2.Framer, nc net.Conn)) (url, ca string) {
	t.Helper()
	s := newServer(t) // its certificate
	cert := s.Certificate()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			go func() {
				defer nc.Close()
				if _, err := io.ReadFull(nc, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				w := http2.NewFramer(nc, nc)
				w.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams})
				for {
					f, err := w.ReadFrame()
					if err != nil {
						return
					}
					switch f := f.(type) {
					case *http2.SettingsFrame:
						if !f.IsAck() {
							w.WriteSettingsAck()
						}
					case *http2.PingFrame:
						if !f.IsAck() {
							w.WritePing(true, f.Data)
						}
					case *http2.DataFrame:
						if f.StreamEnded() {
							do(n, f.StreamID, w, nc)
						}
					}
				}
			}()
		}
	}()
	return "https://" + l.Addr().String(), s.CA()
}

// ok answers 200 and ends the stream; 0x88 is ":status: 200" (RFC 7541, table).
func ok(w *http2.Framer, stream uint32) {
	w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
}

// rawConfigured is a connector that signs in at a stand-in and sends to url.
func rawConfigured(t *testing.T, url, ca, timeout string) *fcm {
	s := newServer(t)
	return configured(t, settingsFor(s, connector.Settings{"url": url, "ca": ca + s.CA(), "connections": 1.0, "timeout": timeout}))
}

// What FCM certifies not to have looked at was not sent: it goes again at once,
// and comes again where that does not help.
func TestRefusedStream(t *testing.T) {
	var asked atomic.Int64
	url, ca := rawServer(t, 100, func(_ int, stream uint32, w *http2.Framer, _ net.Conn) {
		if asked.Add(1) == 1 {
			w.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			return
		}
		ok(w, stream)
	})
	if o := one(t, rawConfigured(t, url, ca, "30s"), push(1)); o.Result != connector.Accepted || asked.Load() != 2 {
		t.Errorf("%+v, asked %d times", o, asked.Load())
	}
	url, ca = rawServer(t, 100, func(_ int, stream uint32, w *http2.Framer, _ net.Conn) {
		w.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
	})
	f := rawConfigured(t, url, ca, "5s")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	outs, err := f.Send(ctx, []connector.Message{push(1)})
	if err != nil || outs[0].Result != connector.Again {
		t.Errorf("%+v, %v", outs, err)
	}
}

// GOAWAY names the last stream that was looked at: what comes after it goes by
// another connection, and what was before it is unknown if it ends without an answer.
func TestGoAway(t *testing.T) {
	var second atomic.Int64
	url, ca := rawServer(t, 100, func(conn int, stream uint32, w *http2.Framer, nc net.Conn) {
		if conn == 0 {
			w.WriteGoAway(0, http2.ErrCodeNo, nil)
			return
		}
		second.Add(1)
		ok(w, stream)
	})
	if o := one(t, rawConfigured(t, url, ca, "30s"), push(1)); o.Result != connector.Accepted || second.Load() != 1 {
		t.Errorf("not looked at: %+v, %d by the second connection", o, second.Load())
	}
	url, ca = rawServer(t, 100, func(_ int, stream uint32, w *http2.Framer, nc net.Conn) {
		w.WriteGoAway(stream, http2.ErrCodeNo, nil)
		nc.Close()
	})
	if o := one(t, rawConfigured(t, url, ca, "30s"), push(1)); o.Result != connector.Unknown {
		t.Errorf("looked at: %+v", o)
	}
	url, ca = rawServer(t, 100, func(_ int, stream uint32, w *http2.Framer, _ net.Conn) {
		w.WriteRSTStream(stream, http2.ErrCodeInternal)
	})
	if o := one(t, rawConfigured(t, url, ca, "30s"), push(1)); o.Result != connector.Unknown {
		t.Errorf("reset otherwise: %+v", o)
	}
}
