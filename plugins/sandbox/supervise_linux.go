package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// maxConnecting bounds the calls of one process that wait for an answer: for a
// connection of a socket that blocks, or for a name.
const maxConnecting = 128

// callsRate and callsBurst bound how often one process has the supervisor work:
// a process that does nothing but ask would else take a processor of the daemon's.
const (
	callsRate  = 2000 // a second
	callsBurst = 10000
)

// supervisor makes the connections of one process, which cannot connect itself:
// its connect(2) and listen(2) end here. What the process says is copied before
// it is looked at, and what was looked at is what is done, on a duplicate of
// the process's socket: nothing is left that another of its threads could
// change in between.
//
// One goroutine owns all that a call needs; looking up names and answering the
// process's resolver have goroutines of their own, bounded. All have ended when
// close returns.
type supervisor struct {
	listener listener
	pidfd    int
	wake     int    // an eventfd
	threads  uint64 // at most
	names    *names
	refused  func(to, why string)
	pace     *rate.Limiter

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	work   sync.WaitGroup

	// Of the goroutine.
	connecting []connecting
	waiting    []waiting       // for names
	asking     bool            // names are being looked up
	told       map[string]bool // what was refused and has been told

	asked atomic.Bool // names have been looked up

	mu sync.Mutex // of wake's end

	made, denied atomic.Uint64
}

// connecting is a call of a socket that blocks, whose connection is under way.
type connecting struct {
	id     uint64
	socket int // ours
}

// waiting is a call whose address may turn out to be a listed name's.
type waiting struct {
	call notification
	to   netip.AddrPort
}

// Connections counts what a process wanted to connect to.
type Connections struct {
	Made   uint64 `json:"made"`   // or begun
	Denied uint64 `json:"denied"` // not listed, or no TCP
}

// supervise takes over l and pidfd, both of the process to supervise.
func supervise(l listener, pidfd int, threads uint64, n *names, refused func(to, why string)) (*supervisor, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("sandbox: supervising: %w", err)
	}
	s := &supervisor{listener: l, pidfd: pidfd, wake: wake, threads: threads, names: n, refused: refused, pace: rate.NewLimiter(callsRate, callsBurst), ended: make(chan struct{}), told: make(map[string]bool)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

// close ends the supervisor. The process, if it is still there, connects to
// nothing any more.
func (s *supervisor) close() {
	s.cancel()
	s.ring()
	<-s.ended
}

func (s *supervisor) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake >= 0 {
		_, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (s *supervisor) run() {
	defer close(s.ended)
	defer func() {
		s.cancel()
		for _, c := range s.connecting {
			unix.Close(c.socket)
		}
		unix.Close(int(s.listener))
		s.work.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		unix.Close(s.pidfd)
		unix.Close(s.wake)
		s.wake = -1
	}()
	for {
		fds := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}, {Fd: int32(s.wake), Events: unix.POLLIN}}
		for _, c := range s.connecting {
			fds = append(fds, unix.PollFd{Fd: int32(c.socket), Events: unix.POLLOUT})
		}
		if _, err := unix.Poll(fds, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		if s.ctx.Err() != nil {
			return
		}
		s.settle(fds[2:])
		if fds[1].Revents != 0 {
			var b [8]byte
			_, _ = unix.Read(s.wake, b[:])
			s.resume()
		}
		switch {
		case fds[0].Revents&unix.POLLIN != 0:
			if n, err := s.listener.receive(); err == nil && s.pace.Wait(s.ctx) == nil {
				s.handle(n)
			}
		case fds[0].Revents != 0: // nobody is left whom the filter holds
			return
		}
	}
}

// settle answers the calls whose connections are made, or failed.
func (s *supervisor) settle(fds []unix.PollFd) {
	kept := s.connecting[:0]
	for i, c := range s.connecting {
		if fds[i].Revents == 0 {
			kept = append(kept, c)
			continue
		}
		errno, err := unix.GetsockoptInt(c.socket, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			errno = int(unix.EIO)
		}
		unix.Close(c.socket)
		s.listener.answer(c.id, unix.Errno(errno))
	}
	s.connecting = kept
}

// resume goes on with the calls that waited for names.
func (s *supervisor) resume() {
	if !s.asked.CompareAndSwap(true, false) {
		return
	}
	s.asking = false
	calls := s.waiting
	s.waiting = nil
	for _, w := range calls {
		if s.names.allowed(w.to) {
			s.connect(w.call, w.to)
		} else {
			s.lookUp(w.call, w.to)
		}
	}
}

func (s *supervisor) handle(n notification) {
	switch uintptr(n.call.number) {
	case unix.SYS_CONNECT:
		s.wanted(n)
	case unix.SYS_LISTEN:
		s.listen(n)
	case unix.SYS_SOCKET:
		s.open(n)
	case unix.SYS_CLONE:
		s.thread(n)
	default:
		s.listener.answer(n.id, unix.ENOSYS)
	}
}

// deny refuses a call, and tells of it once.
func (s *supervisor) deny(id uint64, to, why string) {
	s.denied.Add(1)
	s.listener.answer(id, unix.EACCES)
	if !s.told[to] && len(s.told) < 16 {
		s.told[to] = true
		s.refused(to, why)
	}
}

// wanted looks at a connect.
func (s *supervisor) wanted(n notification) {
	raw := make([]byte, 128)
	size := n.call.args[2] & 0xffffffff
	if size < 2 || size > uint64(len(raw)) {
		s.listener.answer(n.id, unix.EINVAL)
		return
	}
	raw = raw[:size]
	got, err := unix.ProcessVMReadv(int(n.pid), []unix.Iovec{{Base: &raw[0], Len: size}},
		[]unix.RemoteIovec{{Base: uintptr(n.call.args[1]), Len: int(size)}}, 0)
	if err != nil || got != len(raw) {
		s.listener.answer(n.id, unix.EFAULT)
		return
	}
	if !s.listener.waits(n.id) {
		return // what was read may be another process's
	}
	to, ok := address(raw)
	if !ok {
		s.denyOther(n.id, raw)
		return
	}
	switch {
	case s.names.isServer(to):
		s.resolver(n)
	case s.names.allowed(to):
		s.connect(n, to)
	default:
		s.lookUp(n, to)
	}
}

// denyOther refuses what is not an address of the internet.
func (s *supervisor) denyOther(id uint64, raw []byte) {
	if binary.NativeEndian.Uint16(raw) != unix.AF_UNIX {
		s.deny(id, "an address of another kind", "only TCP is allowed")
		return
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(string(raw[2:]), "\x00"), "\x00")
	if path == "/var/run/nscd/socket" { // the C library asks there before it asks a name server
		s.told[path] = true
	}
	s.deny(id, path, "a unix socket")
}

// address reads a sockaddr of the internet.
func address(raw []byte) (netip.AddrPort, bool) {
	switch binary.NativeEndian.Uint16(raw) {
	case unix.AF_INET:
		if len(raw) >= unix.SizeofSockaddrInet4 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), binary.BigEndian.Uint16(raw[2:])), true
		}
	case unix.AF_INET6:
		if len(raw) >= unix.SizeofSockaddrInet6 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[8:24])), binary.BigEndian.Uint16(raw[2:])), true
		}
	}
	return netip.AddrPort{}, false
}

// socket gives a duplicate of the TCP socket that a call is of.
func (s *supervisor) socket(n notification) (fd, family int, errno unix.Errno) {
	fd, err := unix.PidfdGetfd(s.pidfd, int(int32(n.call.args[0])), 0)
	if err != nil {
		return -1, 0, err.(unix.Errno)
	}
	unix.CloseOnExec(fd)
	family, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		unix.Close(fd)
		return -1, 0, unix.ENOTSOCK
	}
	return fd, family, 0
}

func isTCP(fd, family int) bool {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return err == nil && protocol == unix.IPPROTO_TCP && (family == unix.AF_INET || family == unix.AF_INET6)
}

// connect makes the connection to an address that is allowed.
func (s *supervisor) connect(n notification, to netip.AddrPort) {
	fd, family, errno := s.socket(n)
	if errno != 0 {
		s.listener.answer(n.id, errno)
		return
	}
	if !isTCP(fd, family) {
		unix.Close(fd)
		s.deny(n.id, "a socket of another kind", "only TCP is allowed")
		return
	}
	if !s.listener.waits(n.id) {
		unix.Close(fd)
		return
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	blocks := err == nil && flags&unix.O_NONBLOCK == 0
	if blocks && len(s.connecting) >= maxConnecting {
		unix.Close(fd)
		s.listener.answer(n.id, unix.EAGAIN)
		return
	}
	// A socket that blocks must not block us. The flag is the process's too, for
	// the moment of the call; the thread that connects waits for our answer.
	if blocks {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_NONBLOCK)
	}
	err = unix.Connect(fd, sockaddr(to, family))
	if blocks {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	}
	if err == nil || err == unix.EINPROGRESS {
		s.made.Add(1)
	}
	if blocks && err == unix.EINPROGRESS {
		s.connecting = append(s.connecting, connecting{n.id, fd})
		return
	}
	unix.Close(fd)
	errno, _ = err.(unix.Errno)
	s.listener.answer(n.id, errno)
}

func sockaddr(to netip.AddrPort, family int) unix.Sockaddr {
	if family == unix.AF_INET6 {
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	a := to.Addr().Unmap()
	if !a.Is4() {
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: a.As16()} // the kernel says that it does not fit
	}
	return &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
}

// listen lets a process listen on its unix sockets, and on nothing else:
// Landlock rules bind, and TCP listens without it, on a port of the kernel's
// choice.
func (s *supervisor) listen(n notification) {
	fd, family, errno := s.socket(n)
	if errno != 0 {
		s.listener.answer(n.id, errno)
		return
	}
	defer unix.Close(fd)
	if family != unix.AF_UNIX {
		s.deny(n.id, "listening", "connectors do not listen")
		return
	}
	err := unix.Listen(fd, int(int32(n.call.args[1])))
	errno, _ = err.(unix.Errno)
	s.listener.answer(n.id, errno)
}

// open gives a process without a network a socket of ours. The other filter has
// let the arguments pass, which are in registers.
func (s *supervisor) open(n notification) {
	kind := int(int32(n.call.args[1]))
	fd, err := unix.Socket(int(int32(n.call.args[0])), unix.SOCK_STREAM|unix.SOCK_CLOEXEC|kind&unix.SOCK_NONBLOCK, int(int32(n.call.args[2])))
	if err != nil {
		errno, _ := err.(unix.Errno)
		s.listener.answer(n.id, errno)
		return
	}
	defer unix.Close(fd)
	theirs, err := s.listener.give(n.id, fd, uint32(kind&unix.SOCK_CLOEXEC))
	if err != nil {
		s.listener.answer(n.id, unix.EMFILE)
		return
	}
	r := response{id: n.id, value: int64(theirs)}
	_ = s.listener.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// thread lets a process begin a thread if it has not too many. RLIMIT_NPROC
// would count those of all processes of the user together, so that one of them
// could take all. This call does go on in the kernel: its flags are in a
// register, have passed the other filter, and nobody can change them.
func (s *supervisor) thread(n notification) {
	var st unix.Stat_t
	err := unix.Stat(fmt.Sprintf("/proc/%d/task", n.pid), &st)
	if err != nil || uint64(st.Nlink) > s.threads+1 { // a folder for each, and two links of its own
		s.listener.answer(n.id, unix.EAGAIN)
		return
	}
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_ = s.listener.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// lookUp asks where the listed names lead that to could belong to, and decides
// then: the process may know the address from a file, or from long ago.
func (s *supervisor) lookUp(n notification, to netip.AddrPort) {
	switch {
	case len(s.waiting) >= maxConnecting:
		s.listener.answer(n.id, unix.EAGAIN)
		return
	case s.asking:
		s.waiting = append(s.waiting, waiting{n, to})
		return
	}
	ask := s.names.stale(to)
	if len(ask) == 0 {
		s.deny(n.id, to.String(), "it is not listed")
		return
	}
	s.waiting, s.asking = append(s.waiting, waiting{n, to}), true
	s.work.Go(func() {
		s.names.lookUpAll(s.ctx, ask)
		s.asked.Store(true)
		s.ring()
	})
}

// resolver gives a process that connects to a name server a connection to our
// own, which knows the listed names only.
func (s *supervisor) resolver(n notification) {
	fd, family, errno := s.socket(n)
	if errno != 0 {
		s.listener.answer(n.id, errno)
		return
	}
	defer unix.Close(fd)
	if !isTCP(fd, family) {
		s.deny(n.id, "a socket of another kind", "only TCP is allowed")
		return
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || !s.names.enter() {
		s.listener.answer(n.id, unix.EAGAIN)
		return
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.names.leave()
		s.listener.answer(n.id, unix.ENETUNREACH)
		return
	}
	defer unix.Close(pair[1])
	ours := os.NewFile(uintptr(pair[0]), "resolver")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err == nil {
		_, err = unix.FcntlInt(uintptr(pair[1]), unix.F_SETFL, flags&unix.O_NONBLOCK)
	}
	if err == nil {
		err = s.listener.replace(n.id, pair[1], uint32(n.call.args[0]))
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		s.names.leave()
		s.listener.answer(n.id, unix.ENETUNREACH)
		return
	}
	s.work.Go(func() {
		defer s.names.leave()
		stop := context.AfterFunc(s.ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		s.names.serve(s.ctx, conn, func(name string) {
			s.denied.Add(1)
			s.refused(name, "this name is not listed")
		})
	})
	s.listener.answer(n.id, 0)
}

var _ = [1]struct{}{}[unsafe.Sizeof(notification{})-80] // as the kernel has it
