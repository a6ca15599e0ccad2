//go:build e2e

package sandbox

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// What connectors in other languages do, in the words of those languages. Each
// prints what it could not do; the listed server is at PORT.
var programs = map[string]string{
	"python": `#!/usr/bin/python3
import concurrent.futures, os, socket, threading, urllib.request
port = os.environ["PORT"]
def fails(what, f):
    try:
        f()
        print("done:", what)
    except Exception as e:
        pass
def works(what, f):
    try:
        f()
    except Exception as e:
        print("failed:", what, repr(e))
def serve():
    import grpc
    s = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    s.add_insecure_port("unix:" + os.environ["TMPDIR"] + "/s")
    s.start()
    s.stop(0).wait()
def blocking():
    s = socket.socket()
    s.connect(("127.0.0.1", int(port)))
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert s.recv(100)
works("a grpc server on a unix socket", serve)
works("a name over TCP", lambda: urllib.request.urlopen("http://localhost:" + port, timeout=5).read())
works("a socket that blocks", blocking)
works("a thread", lambda: threading.Thread(target=lambda: None).start())
works("a file of its own", lambda: open(os.environ["TMPDIR"] + "/f", "w").write("x"))
fails("a host that is not listed", lambda: socket.create_connection(("127.0.0.2", int(port)), timeout=5))
fails("a name that is not listed", lambda: socket.getaddrinfo("evil.example", 80))
fails("a datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
fails("a process", lambda: os.fork())
fails("a program", lambda: __import__("subprocess").run(["/bin/true"]))
fails("others' files", lambda: open("/etc/shadow").read())
fails("the machine's users, to write", lambda: open("/tmp/cloister-escaped", "w"))
print("end")
`,
	"node": `#!/usr/bin/node
const dns = require("dns"), fs = require("fs"), http = require("http"), net = require("net"), child = require("child_process"), dgram = require("dgram"), { Worker } = require("worker_threads");
const port = +process.env.PORT;
const one = (what, want, f) => new Promise((done) => {
  let told = false;
  const end = (err) => { if (told) return; told = true; if (!err !== want) console.log(want ? "failed:" : "done:", what, err && err.message); done(); };
  try { f(end); } catch (e) { end(e); }
});
(async () => {
  await one("a name over TCP", true, (end) => http.get({ host: "localhost", port, family: 4, timeout: 5000 }, (r) => { r.resume(); r.on("end", () => end()); }).on("error", end));
  await one("fetch", true, (end) => fetch("http://127.0.0.1:" + port).then((r) => r.text()).then(() => end(), end));
  await one("a server on a unix socket", true, (end) => { const s = net.createServer().on("error", end).listen(process.env.TMPDIR + "/s", () => { s.close(); end(); }); });
  await one("a thread", true, (end) => new Worker("1", { eval: true }).on("error", end).on("exit", () => end()));
  await one("a file of its own", true, (end) => fs.writeFile(process.env.TMPDIR + "/f", "x", end));
  await one("a host that is not listed", false, (end) => net.connect(port, "127.0.0.2").on("connect", () => end()).on("error", end));
  await one("a name that is not listed", false, (end) => dns.lookup("evil.example", end));
  await one("listening", false, (end) => net.createServer().on("error", end).listen(0, "127.0.0.1", () => end()));
  await one("a process", false, (end) => child.execFile("/bin/true", end));
  await one("others' files", false, (end) => fs.readFile("/etc/shadow", end));
  await one("a datagram", false, (end) => dgram.createSocket("udp4").on("error", end).send("x", port, "127.0.0.1", end));
  console.log("end");
  process.exit(0);
})();
`,
}

type localhost struct{}

func (localhost) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network == "ip6" || host != "localhost" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// Python with grpcio and Node start confined, connect to what is listed by name
// and by address, and to nothing else.
func TestLanguages(t *testing.T) {
	for profile, program := range programs {
		t.Run(profile, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
			defer server.Close()
			_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
			dir, err := os.MkdirTemp("/tmp", "lang")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			path := filepath.Join(t.TempDir(), profile)
			if err := os.WriteFile(path, []byte(program), 0o755); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p := Policy{Network: true, Write: []string{dir}}
			for _, s := range []string{"127.0.0.1:" + port, "localhost:" + port} {
				h, err := connector.ParseHost(s, 0)
				if err != nil {
					t.Fatal(err)
				}
				p.Hosts = append(p.Hosts, h)
			}
			c, err := NewCommand(f, []string{path}, []string{"PORT=" + port, "TMPDIR=" + dir, "RES_OPTIONS=use-vc"}, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Release()
			c.Resolver = localhost{}
			c.Refused = func(to, why string) { t.Log("refused:", to, why) }
			var out bytes.Buffer
			c.Cmd.Stdout, c.Cmd.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			level, err := c.Started(time.Minute)
			if err != nil {
				t.Error(err)
			}
			err = c.Cmd.Wait()
			c.Ended()
			t.Log(level, c.Connections())
			if s := strings.TrimSpace(out.String()); err != nil || s != "end" || level.Profile != profile {
				t.Errorf("%v, %s: %s", err, level, s)
			}
		})
	}
}
