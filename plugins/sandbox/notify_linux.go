package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
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

// handOver tells the supervisor the number of a file and waits until it has a
// duplicate. The file itself is not sent: the kernel counts those that are under
// way by user, and a connector could keep as many under way as there may be, so
// that no other one starts.
func handOver(over, file int) error {
	if _, err := unix.Write(over, binary.NativeEndian.AppendUint32(nil, uint32(file))); err != nil {
		return fmt.Errorf("handing over the filter: %w", err)
	}
	for {
		n, err := unix.Read(over, make([]byte, 1))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("handing over the filter: %w", err)
		}
		return nil
	}
}

// takeOver takes the file of which handOver tells, out of the process pidfd; -1
// if the other side has closed.
func takeOver(over *os.File, pidfd int, deadline time.Time) (int, error) {
	conn, err := net.FileConn(over)
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return -1, err
	}
	var number [4]byte
	if _, err := io.ReadFull(conn, number[:]); err == io.EOF {
		return -1, nil
	} else if err != nil {
		return -1, err
	}
	fd, err := unix.PidfdGetfd(pidfd, int(binary.NativeEndian.Uint32(number[:])), 0)
	if err != nil {
		return -1, fmt.Errorf("taking over its filter: %w", err)
	}
	unix.CloseOnExec(fd)
	if _, err := conn.Write([]byte{0}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
