//go:build e2e

package conformance

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/host"
)

// kits are the languages beside Go. Each packs a connector of its folder into
// the one file out, as its README.md says.
var kits = []struct {
	name, example, whole string
	pack                 func(t *testing.T, connector, out string) *exec.Cmd
}{
	{"python", "example", "testdata/whole", func(t *testing.T, connector, out string) *exec.Cmd {
		src := t.TempDir()
		for from, to := range map[string]string{"cloister_connector": filepath.Join(src, "cloister_connector"), connector: src} {
			if err := os.CopyFS(to, os.DirFS(filepath.Join("../python", from))); err != nil {
				t.Fatal(err)
			}
		}
		return exec.Command("/usr/bin/python3", "-m", "zipapp", "-p", "/usr/bin/python3", "-o", out, src)
	}},
	{"node", "example/notebook.js", "testdata/whole.js", func(_ *testing.T, connector, out string) *exec.Cmd {
		return exec.Command("node", "../node/build.mjs", "../node/"+connector, out)
	}},
}

// eachKit packs one of each kit's connectors under a name and gives its path.
func eachKit(t *testing.T, name string, whole bool, f func(t *testing.T, path string)) {
	for _, k := range kits {
		t.Run(k.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path, source := filepath.Join(dir, name), k.example
			if whole {
				source = k.whole
			}
			if text, err := k.pack(t, source, path).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			f(t, path)
		})
	}
}

// The example of each kit passes the suite, confined.
func TestKitsExamples(t *testing.T) {
	eachKit(t, "notebook", false, func(t *testing.T, path string) {
		Test(t, Target{
			Path: path, Settings: connector.Settings{"folder": t.TempDir()}, Reachable: true,
			Wrong: []connector.Settings{{"folder": "here"}},
		})
	})
}

// openFor opens a host for the program at path.
func openFor(t *testing.T, path string) *host.Host {
	run, err := os.MkdirTemp("/tmp", "kits-")
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(host.Options{Dirs: []string{filepath.Dir(path)}, RunDir: run})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		os.RemoveAll(run)
	})
	return h
}

// What each kit serves beyond the smallest connector arrives as its author meant
// it, and what an author's error says stays behind unless it is for operators.
func TestKitsWhole(t *testing.T) {
	eachKit(t, "whole", true, func(t *testing.T, path string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		h := openFor(t, path)
		folder := t.TempDir()
		_, schema, err := h.Describe(ctx, "whole")
		if err != nil || len(schema.Blocks) != 1 || schema.Blocks[0].Settings[0].Default != 7.0 {
			t.Fatalf("%+v, %v", schema, err)
		}
		c, err := h.Start(ctx, host.Instance{Publisher: "acme", Name: "main", Plugin: "whole", Settings: connector.Settings{"folder": folder}})
		if err != nil {
			t.Fatal(err)
		}
		if !c.Receives() || !c.Returns() || !c.Collects() {
			t.Error("it does not say what it can do")
		}
		if g := c.Given(); g.WebPushKey != "KEY" || !reflect.DeepEqual(g.MailDomains, []string{"bounce.example"}) {
			t.Errorf("given %+v", g)
		}
		if err := c.Check(ctx); err == nil || !strings.Contains(err.Error(), "nobody there") {
			t.Errorf("check: %v", err)
		}

		badge := 3
		m := connector.Message{
			ID: "ü 1", Channel: "push", To: "token", Expires: time.Now().Add(time.Hour).Truncate(time.Second).UTC(),
			Push: &connector.Push{Sound: "ping", Badge: &badge}, Files: []connector.File{{Name: "a", Type: "text/plain", Content: []byte("file")}},
		}
		outs, err := c.Send(ctx, []connector.Message{m})
		want := m.Expires.Format(time.RFC3339) + " ping 3 file ü"
		if err != nil || outs[0].ID != m.ID || outs[0].Result != connector.Refused || outs[0].Class != connector.ClassContent || !strings.HasPrefix(outs[0].Reason, want) || len(outs[0].Reason) < 199 {
			t.Errorf("send: %+v, %v", outs, err)
		}
		m.Text = "again"
		if outs, err := c.Send(ctx, []connector.Message{m}); err != nil || outs[0].Result != connector.Again || outs[0].RetryAfter != 1500*time.Millisecond {
			t.Errorf("send again: %+v, %v", outs, err)
		}
		for _, text := range []string{"fail", "late"} {
			m.Text = text
			short, cancel := context.WithTimeout(ctx, 10*time.Second) // for the connector to run into, and answer 2 s before
			defer cancel()
			if _, err := c.Send(short, []connector.Message{m}); err == nil || strings.Contains(err.Error(), "ana@") || !strings.Contains(err.Error(), "failed: ") {
				t.Errorf("send %s: %v", text, err)
			}
		}

		signed := connector.Webhook{Method: "POST", Headers: []connector.Header{{Name: "X-Sign", Value: "signed"}}, Body: []byte("ok")}
		got, err := c.Receipts(ctx, signed)
		if err != nil || len(got.Receipts) != 2 || len(got.Receipts[1].Reason) < 190 || strings.Contains(got.Receipts[1].Reason, "\n") {
			t.Fatalf("receipts: %+v, %v", got, err)
		}
		got.Receipts[1].Reason = ""
		if want := (connector.Answer{
			Status: 202, Headers: []connector.Header{{Name: "Content-Type", Value: "text/xml"}}, Body: []byte("<ok>"),
			Receipts: []connector.Receipt{
				{MessageID: "m1", Kind: connector.Delivered, At: time.Unix(5, 0).UTC()},
				{ProviderID: "p1", Kind: connector.Bounced, Class: connector.ClassOther},
			},
		}); !reflect.DeepEqual(got, want) {
			t.Errorf("receipts: %+v", got)
		}
		if _, err := c.Receipts(ctx, connector.Webhook{}); !errors.Is(err, connector.ErrForged) {
			t.Errorf("unsigned: %v", err)
		}
		back, err := c.Returned(ctx, connector.Mail{To: "b+m1@bounce.example", Message: []byte("x")})
		if err != nil || !reflect.DeepEqual(back, []connector.Receipt{{MessageID: "m1", Kind: connector.Bounced, Class: connector.ClassAddress}}) {
			t.Errorf("returned: %+v, %v", back, err)
		}
		if _, err := c.Returned(ctx, connector.Mail{To: "else@bounce.example"}); !errors.Is(err, connector.ErrForged) {
			t.Errorf("forged mail: %v", err)
		}
		found, token, err := c.Collect(ctx, "")
		if err != nil || token != "1" || !reflect.DeepEqual(found, []connector.Receipt{{ProviderID: "p1", Kind: connector.Uninstall, Gone: connector.GoneStale}}) {
			t.Errorf("collected %+v %q, %v", found, token, err)
		}
		if found, _, err := c.Collect(ctx, token); err != nil || len(found) != 0 {
			t.Errorf("collected %+v again, %v", found, err)
		}
		if err := c.Forget(ctx, []string{"ana@example.com"}); err != nil {
			t.Error(err)
		}
		if err := c.Forget(ctx, []string{"bob@example.com"}); err == nil || strings.Contains(err.Error(), "bob@") {
			t.Errorf("forget: %v", err)
		}
		if err := c.Drain(ctx); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(folder, "drained")); err != nil {
			t.Error(err)
		}
	})
}

// A script is verified as any other program: with another checksum, changed, or
// writable for others it is not started.
func TestKitsVerified(t *testing.T) {
	eachKit(t, "notebook", false, func(t *testing.T, path string) {
		h := openFor(t, path)
		i := host.Instance{Publisher: "acme", Name: "main", Plugin: "notebook", Settings: connector.Settings{"folder": t.TempDir()}}
		c, err := h.Start(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		i.SHA256 = c.Status().SHA256
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := h.Start(t.Context(), i); !errors.Is(err, host.ErrChecksum) {
			t.Errorf("tampered with: %v", err)
		}
		i.SHA256 = ""
		if err := os.Chmod(path, 0o775); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Start(t.Context(), i); !errors.Is(err, host.ErrUnsafe) {
			t.Errorf("writable for its group: %v", err)
		}
	})
}

// A kit lets in the holder of the appliance's key and nobody else, and ends
// orderly when it is told to, by signal or by call.
func TestKitsDoor(t *testing.T) {
	ours, ourPEM := selfSigned(t)
	other, _ := selfSigned(t)
	eachKit(t, "notebook", false, func(t *testing.T, path string) {
		for _, by := range []string{"signal", "call"} {
			dir, err := os.MkdirTemp("/tmp", "kits-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			cmd := exec.Command(path)
			cmd.Env = []string{"CLOISTER_CONNECTOR=9d1f7c4e-connector", "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + dir, "PLUGIN_CLIENT_CERT=" + ourPEM, "TMPDIR=" + dir}
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stop := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
			lines := bufio.NewReader(out)
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			part := strings.Split(strings.TrimSpace(line), "|")
			if len(part) != 6 || part[0]+part[1]+part[2]+part[4] != "11unixgrpc" || filepath.Dir(part[3]) != dir {
				t.Fatalf("handshake %q", line)
			}
			der, err := base64.RawStdEncoding.DecodeString(part[5])
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(theirs)
			for _, mine := range [][]tls.Certificate{nil, {other}} {
				if err := ping(t, part[3], &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: mine}, nil); err == nil {
					t.Error("a stranger was let in")
				}
			}
			conf := &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{ours}}
			err = ping(t, part[3], conf, func(c *grpc.ClientConn) {
				if by == "call" {
					if err := c.Invoke(t.Context(), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
						t.Error(err)
					}
				} else if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Error(err)
			}
			if rest, _ := io.ReadAll(lines); len(rest) > 0 {
				t.Errorf("standard output: %q", rest)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("by %s: %v", by, err)
			}
			stop.Stop()
		}
	})
}

// ping asks for health over a socket, and then does f.
func ping(t *testing.T, socket string, conf *tls.Config, f func(*grpc.ClientConn)) error {
	c, err := grpc.NewClient("passthrough:///localhost", grpc.WithTransportCredentials(credentials.NewTLS(conf)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "plugin"})
	if err != nil {
		return err
	}
	if r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("it is %s", r.GetStatus())
	}
	if f != nil {
		f(c)
	}
	return nil
}

// selfSigned is a certificate as go-plugin makes them, on P-521.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// connector.json says what the proto says.
func TestNodeProto(t *testing.T) {
	cmd := exec.Command("node", "proto.mjs")
	cmd.Dir = "../node"
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("../node/connector.json"); err != nil || string(got) != string(want) {
		t.Errorf("connector.json is not what %s prints, %v", cmd, err)
	}
}
