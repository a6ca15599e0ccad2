// Hostile is a connector that tries, one by one, whatever a connector must not
// be able to do. The text of a message says what, and the outcome's reason how
// it went: "done", or the kernel's error. Started as "hostile --try WHAT" it
// tries without a sandbox, to show that it can.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/cloisterhq/cloister/plugins/connector"
	"github.com/cloisterhq/cloister/plugins/serve"
)

func main() {
	signal.Ignore(unix.SIGXFSZ) // a file that is too large is an error then
	if len(os.Args) == 3 && os.Args[1] == "--try" {
		fmt.Println(try(os.Args[2]))
		return
	}
	serve.Run(hostile{})
}

type hostile struct{}

func (hostile) Describe() connector.Description {
	return connector.Description{Name: "hostile", Version: "0.1.0", Summary: "Tries everything.", Channels: []string{"email"}, Batch: 1, Network: true}
}

func (hostile) Schema() connector.Schema {
	return connector.Schema{Settings: []connector.Setting{
		{Name: "dir", Type: connector.TypeString, Folder: true, Doc: "Its folder."},
		{Name: "reach", Type: connector.TypeStrings, Reach: true, Doc: "What it may reach."},
	}}
}

func (hostile) Configure(context.Context, connector.Settings) ([]connector.Problem, error) {
	return nil, nil
}
func (hostile) Check(context.Context) error { return nil }
func (hostile) Drain(context.Context) error { return nil }

func (hostile) Send(_ context.Context, batch []connector.Message) ([]connector.Outcome, error) {
	return []connector.Outcome{{ID: batch[0].ID, Result: connector.Refused, Reason: try(batch[0].Text)}}, nil
}

func try(what string) string {
	f := strings.Fields(what)
	attempt, ok := attempts[f[0]]
	if !ok {
		return "there is no such attempt"
	}
	err := attempt(append(f[1:], make([]string, 4)...))
	if err == nil {
		return "done"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno) + " " + err.Error()
	}
	return err.Error()
}

var attempts = map[string]func(args []string) error{
	// Files.
	"read":  func(a []string) error { _, err := os.ReadFile(a[0]); return err },
	"list":  func(a []string) error { _, err := os.ReadDir(a[0]); return err },
	"write": func(a []string) error { return os.WriteFile(a[0], []byte("x"), 0o600) },
	"append": func(a []string) error {
		f, err := os.OpenFile(a[0], os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			f.Close()
		}
		return err
	},
	"remove":  func(a []string) error { return os.Remove(a[0]) },
	"symlink": func(a []string) error { return os.Symlink(a[0], a[1]) },
	"link":    func(a []string) error { return os.Link(a[0], a[1]) },
	"rename":  func(a []string) error { return os.Rename(a[0], a[1]) },
	"chmod":   func(a []string) error { return os.Chmod(a[0], 0o644) },
	"chmod2": func(a []string) error {
		p, _ := unix.BytePtrFromString(a[0])
		at := unix.AT_FDCWD
		return call(unix.SYS_FCHMODAT2, uintptr(at), uintptr(unsafe.Pointer(p)), 0o644, 0)
	},
	"utimes":   func(a []string) error { return os.Chtimes(a[0], time.Unix(1, 0), time.Unix(1, 0)) },
	"truncate": func(a []string) error { return os.Truncate(a[0], 1) },
	"xattr":    func(a []string) error { return unix.Setxattr(a[0], "user.x", []byte("x"), 0) },
	"watch": func(a []string) error {
		fd, err := unix.InotifyInit1(0)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, a[0], unix.IN_ALL_EVENTS)
		}
		return err
	},
	"fifo": func(a []string) error { return unix.Mkfifo(a[0], 0o600) },

	// Processes.
	"run":    func(a []string) error { return exec.Command(a[0]).Run() },
	"fork":   func([]string) error { return exec.Command("/proc/self/exe", "--try", "nothing").Run() },
	"signal": func(a []string) error { return unix.Kill(number(a[0]), 0) },
	"tgsignal": func(a []string) error {
		return unix.Tgkill(number(a[0]), number(a[0]), 0)
	},
	"tsignal":   func(a []string) error { return call(unix.SYS_TKILL, uintptr(number(a[0])), 0) },
	"signalall": func([]string) error { return unix.Kill(-1, 0) },
	"pidfdsignal": func(a []string) error {
		fd, err := unix.PidfdOpen(number(a[0]), 0)
		if err == nil {
			err = unix.PidfdSendSignal(fd, 0, nil, 0)
		}
		return err
	},
	"limit": func(a []string) error {
		var l unix.Rlimit
		if err := unix.Prlimit(number(a[0]), unix.RLIMIT_CORE, nil, &l); err != nil {
			return err
		}
		return unix.Prlimit(number(a[0]), unix.RLIMIT_CORE, &l, nil)
	},
	"affinity": func(a []string) error {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(number(a[0]), &set); err != nil {
			return err
		}
		return unix.SchedSetaffinity(number(a[0]), &set)
	},
	"nice": func(a []string) error { return unix.Setpriority(unix.PRIO_PROCESS, number(a[0]), 0) },
	"ptrace": func(a []string) error {
		runtime.LockOSThread()
		return unix.PtraceSeize(number(a[0])) // it lets go when it ends
	},
	"memory": func(a []string) error {
		n, err := strconv.ParseUint(a[1], 16, 64)
		if err != nil {
			return err
		}
		b := make([]byte, 8)
		_, err = unix.ProcessVMReadv(number(a[0]), []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: uintptr(n), Len: 8}}, 0)
		return err
	},
	"stealfd": func(a []string) error {
		fd, err := unix.PidfdOpen(number(a[0]), 0)
		if err == nil {
			_, err = unix.PidfdGetfd(fd, 0, 0)
		}
		return err
	},
	"environment": func([]string) error {
		var more []string
		for _, v := range os.Environ() {
			name, _, _ := strings.Cut(v, "=")
			switch {
			case strings.HasPrefix(name, "PLUGIN_"), name == "CLOISTER_CONNECTOR", name == "TMPDIR", name == "GOMEMLIMIT", name == "RES_OPTIONS":
			default:
				more = append(more, name)
			}
		}
		if len(more) > 0 {
			return nil
		}
		return errors.New("empty but for what is the connector's own")
	},
	"descriptors": func([]string) error {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		for _, e := range entries {
			to, _ := os.Readlink("/proc/self/fd/" + e.Name())
			if strings.HasPrefix(to, "/") && to != "/dev/null" && !strings.HasPrefix(to, "/proc/") {
				return nil
			}
		}
		return errors.New("none but pipes and its own sockets")
	},

	// The network.
	"dial": func(a []string) error {
		c, err := net.DialTimeout("tcp", a[0], 5*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	},
	// A socket that blocks, as C and Python have them.
	"dialblocking": func(a []string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := net.TCPAddrFromAddrPort(netipOf(a[0]))
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
			return err
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil && flags&unix.O_NONBLOCK != 0 {
			return errors.New("the socket does not block any more")
		}
		_, err = unix.Write(fd, []byte("x"))
		return err
	},
	"unix":     func(a []string) error { return closed(net.Dial("unix", a[0])) },
	"unixgram": unixgram,
	"udp": func(a []string) error {
		c, err := net.Dial("udp", a[0])
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		return err
	},
	"socket": func(a []string) error {
		fd, err := unix.Socket(number(a[0]), number(a[1]), number(a[2]))
		if err == nil {
			unix.Close(fd)
		}
		return err
	},
	"fastopen": func(a []string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := net.TCPAddrFromAddrPort(netipOf(a[0]))
		return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())})
	},
	"fastopenmsg": func(a []string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := net.TCPAddrFromAddrPort(netipOf(a[0]))
		return unix.Sendmsg(fd, []byte("x"), nil, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}, unix.MSG_FASTOPEN)
	},
	"sourceroute": func([]string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, "\x01\x83\x07\x04\x7f\x00\x00\x02")
	},
	"listen": func([]string) error { return closed(net.Listen("tcp4", "127.0.0.1:0")) },
	"listenunbound": func([]string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Listen(fd, 1)
	},
	// What it says of the name servers' answer.
	"ask":    ask,
	"race":   race,
	"lookup": func(a []string) error { _, err := net.LookupHost(a[0]); return err },

	// The kernel.
	"mount":   func([]string) error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") },
	"unshare": func([]string) error { runtime.LockOSThread(); return unix.Unshare(unix.CLONE_NEWUTS) },
	"userns": func([]string) error {
		return (&exec.Cmd{Path: "/proc/self/exe", Args: []string{"x", "--try", "nothing"}, SysProcAttr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}}).Run()
	},
	"setns": func(a []string) error {
		fd, err := unix.PidfdOpen(number(a[0]), 0)
		if err == nil {
			runtime.LockOSThread()
			err = unix.Setns(fd, unix.CLONE_NEWUTS)
		}
		return err
	},
	"chroot": func([]string) error { return unix.Chroot("/") },
	"keyctl": func([]string) error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
		return err
	},
	"bpf": func([]string) error {
		var b [128]byte
		b[0], b[4], b[8], b[12] = 2, 4, 4, 1
		return call(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&b)), 72)
	},
	"iouring": func([]string) error {
		var b [128]byte
		return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&b)))
	},
	"userfaultfd": func([]string) error { return call(unix.SYS_USERFAULTFD, 1) },
	"perf": func([]string) error {
		_, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: 64}, 0, -1, -1, 0)
		return err
	},
	"setuid": func([]string) error { return syscall.Setuid(os.Getuid()) },
	"setsid": func([]string) error { _, err := unix.Setsid(); return err },
	"shm": func([]string) error {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600)
		_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		return err
	},
	"newcall": func([]string) error { return call(unix.SYS_LISTXATTRAT, 0, 0, 0, 0, 0, 0) },

	// More than its share.
	"file": func(a []string) error {
		f, err := os.Create(filepath.Join(a[0], "large"))
		if err != nil {
			return err
		}
		defer f.Close()
		defer os.Remove(f.Name())
		return f.Truncate(65 << 20)
	},
	"hog":       func([]string) error { return mapped(2<<30, unix.MAP_PRIVATE) },
	"hogshared": func([]string) error { return mapped(2<<30, unix.MAP_SHARED) },
	"memfd":     func([]string) error { fd, err := unix.MemfdCreate("x", 0); unix.Close(fd); return err },
	"files": func([]string) error {
		var all []*os.File
		defer func() {
			for _, f := range all {
				f.Close()
			}
		}()
		for range 1100 {
			f, err := os.Open("/dev/null")
			if err != nil {
				return err
			}
			all = append(all, f)
		}
		return nil
	},
	"threads": func([]string) error {
		for range 600 {
			go func() { runtime.LockOSThread(); select {} }()
		}
		for began := time.Now(); time.Since(began) < 20*time.Second; runtime.Gosched() {
			st, err := os.Stat("/proc/self/task")
			if err != nil {
				return err
			}
			if st.Sys().(*syscall.Stat_t).Nlink > 600 {
				return nil
			}
		}
		return errors.New("they did not come")
	},
	// How long a connection takes, from socket to close.
	"pace": func(a []string) error {
		const times = 2000
		to := netipOf(a[0])
		began := time.Now()
		for range times {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
				return err
			}
			unix.Close(fd)
		}
		return errors.New((time.Since(began) / times).String())
	},
	// It does not come back.
	"hold": func([]string) error {
		var all [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
	},
	"nothing": func([]string) error { return nil },
}

func init() {
	for name, f := range map[string]func(a []string) error{
		// Processes.
		"outlive": func([]string) error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) },
		// Who owns a file is signalled when there is something to read of it.
		"fileowner": func(a []string) error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err == nil {
				_, err = unix.FcntlInt(uintptr(pair[0]), unix.F_SETOWN, number(a[0]))
			}
			return err
		},
		"fileownerthread": func(a []string) error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			who := [2]int32{1, int32(number(a[0]))} // F_OWNER_PID
			return call(unix.SYS_FCNTL, uintptr(pair[0]), unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&who)))
		},
		"socketowner": func(a []string) error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			return unix.IoctlSetPointerInt(pair[0], 0x8901, number(a[0])) // FIOSETOWN
		},
		"corescheduling": func([]string) error { return unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, 0, 0, 0) },
		"memorywrite": func(a []string) error {
			n, err := strconv.ParseUint(a[1], 16, 64)
			if err != nil {
				return err
			}
			_, err = unix.ProcessVMWritev(number(a[0]), nil, []unix.RemoteIovec{{Base: uintptr(n), Len: 0}}, 0)
			return err
		},
		"compare": func(a []string) error {
			return call(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(number(a[0])), 1, 0, 0)
		},
		"semaphore": func([]string) error { return call(unix.SYS_SEMGET, unix.IPC_PRIVATE, 1, 0o600) },
		"messages":  func([]string) error { return call(unix.SYS_MSGGET, unix.IPC_PRIVATE, 0o600) },
		"queue": func([]string) error {
			name, _ := unix.BytePtrFromString("cloister-hostile")
			defer call(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)))
			return call(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR, 0o600, 0)
		},
		"addkey": func([]string) error {
			_, err := unix.AddKey("user", "hostile", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
			return err
		},
		// A program that it brings along, in its own place.
		"become": func(a []string) error {
			raw, err := os.ReadFile("/proc/self/exe")
			if err == nil {
				err = os.WriteFile(a[0], raw, 0o700)
			}
			if err != nil {
				return err
			}
			return syscall.Exec(a[0], []string{"x", "--try", "nothing"}, nil)
		},
		"othernumbers": func([]string) error { return call(0x40000000 | unix.SYS_GETPID) },
		"terminal":     func([]string) error { return closed(os.OpenFile("/dev/tty", os.O_RDWR, 0)) },
		"oom":          func([]string) error { return os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0) },
		"lease": func(a []string) error {
			f, err := os.OpenFile(a[0], os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
			return err
		},

		// The network.
		"pair": func(a []string) error {
			pair, err := unix.Socketpair(number(a[0]), unix.SOCK_STREAM, 0)
			if err == nil {
				unix.Close(pair[0])
				unix.Close(pair[1])
			}
			return err
		},
		"deferred": func([]string) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
		},

		// More than its share.
		// How many calls are refused in a second, more than allowed is "done".
		"calls": func(a []string) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			n, began := 0, time.Now()
			for more(began, n, 10_000, 2_500) {
				_ = unix.Listen(fd, -1)
				n++
			}
			return most(n, began, 10_000, 2_500)
		},
		"flood": func([]string) error {
			fd := 1
			if len(os.Args) > 1 { // alone: the answer goes there
				p, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				defer p.Close()
				fd = int(p.Fd())
			}
			line := []byte(strings.Repeat("flood ", 300) + "\n")
			n, began := 0, time.Now()
			for more(began, n, 4<<20, 5<<20) {
				m, err := syscall.Write(fd, line)
				if err != nil {
					return err
				}
				n += m
			}
			return most(n, began, 4<<20, 5<<20)
		},
		"hogstack":    func([]string) error { return mapped(2<<30, unix.MAP_PRIVATE|unix.MAP_GROWSDOWN) },
		"shadowstack": func([]string) error { return call(453, 0, 1<<20, 0) }, // map_shadow_stack
		"sync":        func([]string) error { return call(unix.SYS_SYNC) },
		"syncfs":      func([]string) error { return unix.Syncfs(0) },
	} {
		attempts[name] = f
	}
}

// more says whether to go on: for a second, and alone, where it is to succeed,
// until it has, since the machine may be busy.
func more(began time.Time, n int, burst, rate float64) bool {
	if len(os.Args) > 1 {
		return time.Since(began) < 20*time.Second && most(n, began, burst, rate) != nil
	}
	return time.Since(began) < time.Second
}

// most is an error if n since began was not more than a burst and so much a second.
func most(n int, began time.Time, burst, rate float64) error {
	if allowed := burst + rate*time.Since(began).Seconds(); float64(n) > allowed {
		return nil
	}
	return fmt.Errorf("slowed down to %d", n)
}

func call(number uintptr, args ...uintptr) error {
	a := append(args, make([]uintptr, 6)...)
	if _, _, errno := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func number(s string) int { n, _ := strconv.Atoi(s); return n }

func closed(c io.Closer, err error) error {
	if err == nil {
		c.Close()
	}
	return err
}

func mapped(size int, how int) error {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANONYMOUS|how|unix.MAP_NORESERVE)
	if err == nil {
		_ = unix.Munmap(b)
	}
	return err
}

// unixgram sends to a datagram socket from one of a pair, which needs no connect.
func unixgram(a []string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	return unix.Sendto(pair[0], []byte("x"), 0, &unix.SockaddrUnix{Name: a[0]})
}

// ask puts a question to a name server over TCP: "ask SERVER NAME TYPE".
func ask(a []string) error {
	c, err := net.DialTimeout("tcp", a[0], 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	name, err := dnsmessage.NewName(a[1] + ".")
	if err != nil {
		return err
	}
	b := dnsmessage.NewBuilder(make([]byte, 2), dnsmessage.Header{ID: 7, RecursionDesired: true})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: name, Type: dnsmessage.Type(number(a[2])), Class: dnsmessage.ClassINET})
	q, err := b.Finish()
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(q, uint16(len(q)-2))
	if _, err := c.Write(q); err != nil {
		return err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	r := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, r); err != nil {
		return err
	}
	var p dnsmessage.Parser
	head, err := p.Start(r)
	if err != nil {
		return err
	}
	_ = p.SkipAllQuestions()
	answers, _ := p.AllAnswers()
	if head.RCode != 0 || len(answers) == 0 {
		return fmt.Errorf("%s, %d answers", head.RCode, len(answers))
	}
	return nil
}

// race connects to the allowed address ALLOWED while another thread writes
// DENIED's port over it: "race ALLOWED DENIED". What came of it only the one
// who listens knows.
func race(a []string) error {
	allowed, denied := netipOf(a[0]), netipOf(a[1])
	sa := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: allowed.Addr().As4()}
	port := (*uint16)(unsafe.Pointer(&sa.Port))
	ports := [2]uint16{}
	for i, p := range []uint16{allowed.Port(), denied.Port()} {
		var b [2]byte
		binary.BigEndian.PutUint16(b[:], p)
		ports[i] = binary.NativeEndian.Uint16(b[:])
	}
	var stop atomic.Bool
	flipping := make(chan struct{})
	go func() {
		defer close(flipping)
		for i := 0; !stop.Load(); i++ {
			*port = ports[i&1]
		}
	}()
	made := 0
	for range 3000 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if _, _, errno := syscall.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(sa)), unix.SizeofSockaddrInet4); errno == 0 {
			made++
		}
		unix.Close(fd)
	}
	stop.Store(true)
	<-flipping
	return fmt.Errorf("%d of 3000 connections made", made)
}

func netipOf(s string) netip.AddrPort {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		panic(err)
	}
	return a
}
