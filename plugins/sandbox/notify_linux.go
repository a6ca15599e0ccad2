package sandbox

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures of linux/seccomp.h.
type (
	notification struct {
		id    uint64
		pid   uint32 // of the thread
		flags uint32
		call  struct {
			number  int32
			arch    uint32
			pointer uint64
			args    [6]uint64
		}
	}
	response struct {
		id    uint64
		value int64
		errno int32 // negative
		flags uint32
	}
	addition struct {
		id      uint64
		flags   uint32
		from    uint32
		to      uint32
		toFlags uint32
	}
)

// listener is a filter's end at the supervisor.
type listener int

func (l listener) ioctl(request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), request, uintptr(arg))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// receive takes a call. It may fail with ENOENT if the call is not waiting any more.
func (l listener) receive() (notification, error) {
	var n notification
	err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
	return n, err
}

// waits says whether the call is still that of the process that made it: what
// was read of a process before is only then its own.
func (l listener) waits(id uint64) bool {
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == nil
}

// answer ends a call: 0 = it succeeded. The process may be gone.
func (l listener) answer(id uint64, errno unix.Errno) {
	r := response{id: id, errno: -int32(errno)}
	_ = l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// replace puts file in the place of the process's file number to.
func (l listener) replace(id uint64, file int, to uint32) error {
	a := addition{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, from: uint32(file), to: to, toFlags: unix.O_CLOEXEC}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

// give gives the process a file and its number there.
func (l listener) give(id uint64, file int, flags uint32) (int, error) {
	a := addition{id: id, from: uint32(file), toFlags: flags}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_ADDFD, uintptr(unsafe.Pointer(&a)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// supervisable says whether this process may do what a supervisor must: take a
// duplicate of another's file. A kernel before 5.6, or the unit's
// SystemCallFilter, may not let it.
var supervisable = sync.OnceValue(func() bool {
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(self)
	fd, err := unix.PidfdGetfd(self, self, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	var into, from byte
	_, err = unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{{Base: &into, Len: 1}},
		[]unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&from)), Len: 1}}, 0)
	return err == nil
})

// notifies says whether the kernel tells of calls (Linux 5.0).
func notifies() bool {
	var sizes [3]uint16
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes)))
	return errno == 0 && int(sizes[0]) <= int(unsafe.Sizeof(notification{})) && int(sizes[1]) <= int(unsafe.Sizeof(response{}))
}

// handOver sends a file over a unix socket.
func handOver(over, file int) error {
	if err := unix.Sendmsg(over, []byte{0}, unix.UnixRights(file), nil, 0); err != nil {
		return fmt.Errorf("handing over the filter: %w", err)
	}
	return nil
}

// takeOver receives what handOver sent; -1 if the other side has closed.
func takeOver(over int, deadline time.Time) (int, error) {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return -1, os.ErrDeadlineExceeded
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(over), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return -1, err
		}
		if err == nil && n > 0 {
			break
		}
	}
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(over, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return -1, err
	}
	all, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return -1, err
	}
	for _, m := range all {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.New("no file came")
}
