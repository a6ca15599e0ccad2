package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/serve"
)

// actAs makes this process a connector that does what its name says.
func actAs(name string) {
	switch name {
	case "exit0":
		os.Exit(0)
	case "exit3":
		os.Exit(3)
	case "lastwords":
		for i := range 400 {
			fmt.Fprintf(os.Stderr, "word %d of what it has to say\n", i)
		}
		fmt.Fprintln(os.Stderr, "this is why")
		os.Exit(7)
	case "silent":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("hello, I am a program that knows nothing of you")
		time.Sleep(time.Hour)
	case "longline":
		os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<20))
		time.Sleep(time.Hour)
	case "magic":
		fmt.Println("7|1|unix|/tmp/x|grpc|")
		time.Sleep(time.Hour)
	case "oldprotocol":
		fmt.Printf("1|99|unix|%s/s|grpc|\n", os.Getenv("PLUGIN_UNIX_SOCKET_DIR"))
		time.Sleep(time.Hour)
	case "netrpc":
		fmt.Printf("1|1|unix|%s/s|netrpc|\n", os.Getenv("PLUGIN_UNIX_SOCKET_DIR"))
		time.Sleep(time.Hour)
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:22|grpc|")
		time.Sleep(time.Hour)
	case "elsewhere":
		fmt.Println("1|1|unix|/run/docker.sock|grpc|")
		time.Sleep(time.Hour)
	case "nocert":
		os.Unsetenv("PLUGIN_CLIENT_CERT")
	case "receiver":
		serve.Run(&receiver{faulty{mode: name}})
	case "stuck":
		serve.Run(&stuck{receiver{faulty{mode: name}}})
	case "mute":
		mute()
	}
	serve.Run(&faulty{mode: name})
}

// mute says where it is reached, and then nothing to who comes.
func mute() {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "plugin1")
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	fmt.Printf("1|1|unix|%s|grpc|\n", path)
	for {
		if _, err := l.Accept(); err != nil {
			panic(err)
		}
	}
}

// stuck answers none of the calls but those by which it starts, whatever their time.
type stuck struct{ receiver }

func (*stuck) Check(context.Context) error { select {} }
func (*stuck) Drain(context.Context) error { select {} }
func (*stuck) Send(context.Context, []connector.Message) ([]connector.Outcome, error) {
	select {}
}
func (*stuck) Receipts(context.Context, connector.Webhook) (connector.Answer, error) { select {} }
func (*stuck) Returned(context.Context, connector.Mail) ([]connector.Receipt, error) { select {} }
func (*stuck) Collect(context.Context, string) ([]connector.Receipt, string, error)  { select {} }
func (*stuck) Forget(context.Context, []string) error                                { select {} }

// receiver is one that also takes receipts, and keeps something.
type receiver struct{ faulty }

func (r *receiver) Receipts(_ context.Context, w connector.Webhook) (connector.Answer, error) {
	if len(w.Headers) == 0 || w.Headers[0].Value != "signed" {
		return connector.Answer{}, connector.ErrForged
	}
	return connector.Answer{Status: 202, Headers: []connector.Header{{Name: "set-cookie", Value: "a"}, {Name: "content-type", Value: "text/xml"}}, Receipts: []connector.Receipt{
		{MessageID: "m1", Kind: connector.Delivered, At: time.Unix(5, 0)},
		{ProviderID: "p1", Kind: connector.Bounced, Class: "made up", Reason: "a\nb"},
		{Kind: connector.Opened},
		{Address: "+1", Kind: connector.Delivered},
		{Address: "+1", Kind: connector.Unsubscribed},
		{MessageID: "m2", Kind: "eaten"},
	}}, nil
}

func (r *receiver) MailDomains() []string { return []string{"bounce.example"} }

func (r *receiver) Returned(_ context.Context, m connector.Mail) ([]connector.Receipt, error) {
	if m.To != "b+m1@bounce.example" {
		return nil, connector.ErrForged
	}
	return []connector.Receipt{{MessageID: "m1", Kind: connector.Bounced, Class: connector.ClassAddress, Gone: "flown"}}, nil
}

func (r *receiver) Collect(_ context.Context, ack string) ([]connector.Receipt, string, error) {
	if ack == "1" {
		return nil, "1", nil
	}
	return []connector.Receipt{{ProviderID: "p1", Kind: connector.Uninstall, Gone: connector.GoneStale}}, "1", nil
}

func (r *receiver) Forget(_ context.Context, addresses []string) error {
	if addresses[0] != "ana@example.com" {
		return errors.New("not kept here")
	}
	return nil
}

// faulty is a connector that works, but for one thing.
type faulty struct {
	mode  string
	dir   string
	sends atomic.Int64
	stop  chan struct{}
	held  []*os.File
}

func (f *faulty) Describe() connector.Description {
	switch f.mode {
	case "slowdescribe":
		time.Sleep(time.Hour)
	case "exitdescribe":
		os.Exit(3)
	case "noname":
		return connector.Description{}
	}
	d := connector.Description{Name: f.mode, Version: "0.1.0", Summary: "For tests.", Channels: []string{"email"}, Batch: 10}
	d.Network = f.mode == "network"
	if f.mode == "wide" {
		d.Batch = 0
	}
	return d
}

func (f *faulty) Schema() connector.Schema {
	return connector.Schema{
		Settings: []connector.Setting{
			{Name: "dir", Type: connector.TypeString, Folder: true, Doc: "A folder."},
			{Name: "secret", Type: connector.TypeString, Sensitive: true, Doc: "A secret."},
			{Name: "wait", Type: connector.TypeDuration, Default: "0s", Doc: "How long a batch takes."},
			{Name: "again", Type: connector.TypeStrings, Doc: "Ids that are to come again."},
			{Name: "labels", Type: connector.TypeMap, Doc: "Labels."},
			{Name: "limit", Type: connector.TypeNumber, Doc: "A number."},
		},
		Blocks: []connector.Block{{Name: "tls", Doc: "TLS.", Settings: []connector.Setting{
			{Name: "mode", Type: connector.TypeString, Enum: []string{"off", "on"}, Default: "on", Doc: "Mode."},
			{Name: "verify", Type: connector.TypeBool, Default: true, Doc: "Whether to verify."},
		}}},
	}
}

func (f *faulty) Configure(_ context.Context, s connector.Settings) ([]connector.Problem, error) {
	f.dir, f.stop = s.Text("dir"), make(chan struct{})
	switch f.mode {
	case "picky":
		return []connector.Problem{
			{Severity: connector.SeverityWarning, Path: []string{"limit"}, Summary: "rather low"},
			{Path: []string{"tls", "mode"}, Summary: "not like this", Detail: "write \"on\""},
		}, nil
	case "exitconfigure":
		os.Exit(3)
	case "unconfigurable":
		return nil, errors.New("cannot be configured")
	case "slowconfigure":
		time.Sleep(time.Hour)
	case "flood":
		go func() {
			line := []byte(strings.Repeat("flood ", 300) + "\n")
			for sent := 0; sent < 100<<20; sent += len(line) {
				os.Stderr.Write(line)
				syscall.Write(2, line)
			}
		}()
	case "floodstdout":
		go func() {
			for range 10 << 20 {
				fmt.Println(strings.Repeat("flood ", 300))
			}
		}()
	case "jsonlog":
		fmt.Fprintln(os.Stderr, `{"level":"WARN","msg":"a line\nof mine","k":"v"}`)
		syscall.Write(2, []byte(`{"@level":"error","@message":"another","@timestamp":"x"}`+"\n"))
	case "threads":
		for range 600 {
			go func() { runtime.LockOSThread(); select {} }()
		}
	case "tempfull", "tempopen":
		go func() {
			for n := range 5 {
				path := filepath.Join(os.TempDir(), fmt.Sprint(n))
				file, err := os.Create(path)
				if err != nil {
					return
				}
				_ = file.Truncate(60 << 20) // without blocks: it is not the disk that is tried
				if f.mode == "tempfull" {
					file.Close()
					continue
				}
				os.Remove(path)
				f.held = append(f.held, file)
			}
		}()
	case "tempmany":
		go func() {
			for n := range 20_000 {
				if f, err := os.Create(filepath.Join(os.TempDir(), fmt.Sprint(n))); err == nil {
					f.Close()
				}
			}
		}()
	case "burn":
		go func() {
			for {
			}
		}()
	case "memory":
		go func() {
			var all [][]byte
			for {
				all = append(all, bytes.Repeat([]byte{1}, 16<<20))
			}
		}()
	}
	if f.mode == "echo" {
		for _, want := range []struct {
			got, want any
		}{
			{s["secret"], "hush"}, {s["limit"], 3.5}, {fmt.Sprint(s["again"]), "[a b]"}, {fmt.Sprint(s["labels"]), "map[k:v]"},
			{s.Block("tls")["verify"], false}, {s.Duration("wait"), time.Minute},
		} {
			if want.got != want.want {
				return nil, fmt.Errorf("got %v, want %v", want.got, want.want)
			}
		}
	}
	return nil, nil
}

func (f *faulty) Check(context.Context) error {
	switch f.mode {
	case "dieslater": // the host checks what it has started
		os.Exit(1)
	case "unreachable":
		return errors.New("connection refused")
	}
	return nil
}

func (f *faulty) Send(ctx context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	n := f.sends.Add(1)
	switch f.mode {
	case "crash":
		os.Exit(1)
	case "panic":
		panic("on purpose")
	case "hang":
		if f.dir != "" {
			_ = os.WriteFile(filepath.Join(f.dir, "sending"), nil, 0o600)
		}
		<-f.stop
	case "slow":
		<-ctx.Done() // and then answers what it knows
		return []connector.Outcome{{ID: batch[0].ID, Result: connector.Accepted}}, nil
	case "freeze":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-f.stop
	case "fail":
		return nil, errors.New("broken inside\nby a line")
	case "failsecond":
		if n == 2 {
			return nil, errors.New("the second always fails")
		}
	case "gzipbomb": // 70 MB that are 200 kB under way
		if err := grpc.SetSendCompressor(ctx, gzip.Name); err != nil {
			return nil, err
		}
		out := make([]connector.Outcome, 400_000)
		for i := range out {
			out[i] = connector.Outcome{ID: batch[0].ID, Result: connector.Accepted, Reason: strings.Repeat("x", 150)}
		}
		return out, nil
	case "bigreply":
		out := make([]connector.Outcome, 40_000)
		for i := range out {
			out[i] = connector.Outcome{ID: fmt.Sprint("made-up-", i), Result: connector.Accepted, Reason: strings.Repeat("x", 150)}
		}
		return out, nil
	case "liar":
		return []connector.Outcome{
			{ID: "somebody else's", Result: connector.Accepted},
			{ID: batch[0].ID, Result: 77, Reason: "a\nb" + strings.Repeat("x", 1000)},
			{ID: batch[1].ID, Result: connector.Again, RetryAfter: 1000 * time.Hour},
			{ID: batch[1].ID, Result: connector.Accepted},
			{ID: batch[2].ID, Result: connector.Refused, Class: "invented"},
		}, nil
	case "confined", "network":
		return []connector.Outcome{{ID: batch[0].ID, Result: connector.Refused, Reason: f.probe(batch[0].Text)}}, nil
	}
	var out []connector.Outcome
	for _, m := range batch {
		out = append(out, connector.Outcome{ID: m.ID, Result: connector.Accepted, ProviderID: fmt.Sprintf("%d/%d", n, len(batch))})
	}
	return out, nil
}

func (f *faulty) Drain(context.Context) error {
	switch f.mode {
	case "undrainable":
		time.Sleep(time.Hour)
	case "drainnote":
		return os.WriteFile(filepath.Join(f.dir, "drained"), nil, 0o600)
	}
	return nil
}

// probe tries what a connector should not be able to, and says how it went.
func (f *faulty) probe(what string) string {
	name, arg, _ := strings.Cut(what, " ")
	var err error
	switch name {
	case "read":
		_, err = os.ReadFile(arg)
	case "write":
		err = os.WriteFile(arg, []byte("x"), 0o600)
	case "env":
		return strings.Join(os.Environ(), " ")
	case "run":
		err = exec.Command(arg).Run()
	case "dial":
		err = dial(arg)
	case "listen":
		err = listen()
	case "signal":
		err = syscall.Kill(os.Getppid(), 0)
	case "fds":
		var open []string
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			to, _ := os.Readlink("/proc/self/fd/" + e.Name())
			if !strings.Contains(to, "anon_inode") && !strings.Contains(to, "/proc/") {
				open = append(open, to)
			}
		}
		return strings.Join(open, " ")
	case "caps":
		raw, _ := os.ReadFile("/proc/self/status")
		for _, line := range strings.Split(string(raw), "\n") {
			if strings.HasPrefix(line, "CapEff:") || strings.HasPrefix(line, "NoNewPrivs:") || strings.HasPrefix(line, "Seccomp:") {
				name += " " + strings.Join(strings.Fields(line), "")
			}
		}
		return name
	}
	if err == nil {
		return "done"
	}
	return "refused: " + err.Error()
}
