package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied are the calls by which a program could leave its process, touch what
// belongs to another process of the same user, or reach deep into the kernel.
// It is a list of what is denied, not of what is allowed: lists of what is
// allowed break other languages' runtimes with every release of theirs. Calls
// that are newer than the list do not exist (newest).
var denied = []string{
	"fork", "vfork",
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "pidfd_send_signal", "kcmp",
	"move_pages", "migrate_pages", "setpriority", "ioprio_set",
	"mount", "umount2", "pivot_root", "chroot", "mount_setattr", "move_mount", "open_tree",
	"fsopen", "fsconfig", "fsmount", "fspick", "open_by_handle_at", "name_to_handle_at",
	"unshare", "setns", "bpf", "perf_event_open", "userfaultfd", "memfd_secret", "fanotify_init",
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"keyctl", "add_key", "request_key",
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
	"reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "syslog", "vhangup",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
	"iopl", "ioperm", "modify_ldt", "lookup_dcookie", "nfsservctl",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid",
	"setsid", "setpgid", // leaving the process group that is killed
	// What Landlock does not rule of files that belong to the same user: the
	// data directory could be given to everybody, or watched.
	"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
	"setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
	"utime", "utimes", "futimesat", "utimensat", "truncate",
	"inotify_init", "inotify_init1", "inotify_add_watch",
	// What two processes of one user share without a file.
	"shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
	"mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr",
	// Memory that the limit of memory does not count.
	"memfd_create", "map_shadow_stack",
	// Everybody's files on their way to the disk, and the daemon's wait behind them.
	"sync", "syncfs",
}

// newest is the last call that denied was written with knowledge of (mseal);
// numbers this high are the same on every machine.
const newest = 462

// The action of a call is its errno.
const (
	eperm   = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	enosys  = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	enomem  = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOMEM))
	noproto = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT))
)

// restrictCalls installs the filter of every thread. It says false if the
// kernel has none. landlock is the ABI in force.
func restrictCalls(p Policy, landlock int) (bool, error) {
	if !seccomp.Supported() {
		return false, nil
	}
	info, err := arch.GetInfo("")
	if err != nil {
		return false, nil // a machine that the list is not written for
	}
	var names []string
	for _, n := range denied {
		if _, ok := info.SyscallNames[n]; ok {
			names = append(names, n)
		}
	}
	if _, ok := info.SyscallNames["tkill"]; ok && landlock < 6 {
		names = append(names, "tkill") // it names a thread of anybody, and no process
	}
	policy := seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			// Its flags are in memory, where a filter cannot look; told that
			// it does not exist, everybody falls back to clone.
			{Action: enosys, Names: []string{"clone3"}},
			{Action: eperm, Names: names},
			// Threads, but no processes. It comes last: a condition that does not
			// hold leaves the library's program without the call's number.
			{Action: eperm, NamesWithCondtions: []seccomp.NameWithConditions{{
				Name:       "clone",
				Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD}},
			}}},
		},
	}
	program, err := policy.Assemble()
	if err != nil {
		return false, fmt.Errorf("the filter of system calls: %w", err)
	}
	first := only(uint32(info.ID))
	for _, part := range [][]bpf.Instruction{sockets(p), sending(), others(), owners(), itself(), memory()} {
		first = append(first, part...)
	}
	_, err = load(append(first, program...), unix.SECCOMP_FILTER_FLAG_TSYNC)
	return true, err
}

// Where an argument is. Most are ints, of which only the lower half counts, as
// in the kernel; the library would compare both, and be got around by a bit in
// the upper. It holds on little-endian machines, which all are that Go and this
// list know.
func lower(arg uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: 16 + 8*arg, Size: 4} }
func upper(arg uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: 20 + 8*arg, Size: 4} }

func ret(a seccomp.Action) bpf.Instruction { return bpf.RetConstant{Val: uint32(a)} }

// is returns a if the value that was loaded is v.
func is(v uint32, a seccomp.Action) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipFalse: 1}, ret(a)}
}

// has returns a if one of bits is set in the value that was loaded.
func has(bits uint32, a seccomp.Action) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: bits, SkipFalse: 1}, ret(a)}
}

// call runs body for one call. What it does not end goes on behind it.
func call(number uintptr, body ...[]bpf.Instruction) []bpf.Instruction {
	var all []bpf.Instruction
	for _, b := range body {
		all = append(all, b...)
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: uint8(len(all))},
	}, all...)
}

func one(i ...bpf.Instruction) []bpf.Instruction { return i }

// only kills a process that calls by another architecture's numbers, which the
// library would let through, and knows no calls that are newer than the list.
func only(id uint32) []bpf.Instruction {
	const archOffset = 4
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: id, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: newest, SkipFalse: 1},
		ret(enosys),
	}
}

// sockets lets a program have streams over TCP, if it may have any, and unix
// sockets for itself.
func sockets(p Policy) []bpf.Instruction {
	const kind = 0xf // the rest of the type are flags
	var allowed []bpf.Instruction
	families := []uint32{unix.AF_UNIX}
	if p.Network {
		families = append(families, unix.AF_INET, unix.AF_INET6)
	}
	allowed = append(allowed, lower(0))
	for i, f := range families {
		allowed = append(allowed, bpf.JumpIf{Cond: bpf.JumpEqual, Val: f, SkipTrue: uint8(len(families) - i)})
	}
	allowed = append(allowed, ret(eperm))
	stream := []bpf.Instruction{
		lower(1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: kind},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 1},
		ret(noproto),
		lower(2),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2},
		// Streams beside TCP are told that they are not there: Go takes MPTCP if it can.
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1},
		ret(noproto),
	}
	out := call(unix.SYS_SOCKET, allowed, stream)
	// A pair of datagram sockets could send to any address, and so could one of
	// a cluster's (TIPC).
	out = append(out, call(unix.SYS_SOCKETPAIR, one(
		lower(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 1},
		ret(eperm),
		lower(1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: kind},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 1},
		ret(noproto)))...)
	if !p.Network {
		// There is nobody to connect to, the sockets of others included.
		out = append(out, call(unix.SYS_CONNECT, one(ret(eperm)))...)
	}
	return out
}

// sending refuses what connects without connect, and routes by way of others.
func sending() []bpf.Instruction {
	out := call(unix.SYS_SENDTO, one(lower(4), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1}, ret(eperm)),
		one(upper(4), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1}, ret(eperm)),
		one(lower(3)), has(unix.MSG_FASTOPEN, eperm))
	out = append(out, call(unix.SYS_SENDMSG, one(lower(2)), has(unix.MSG_FASTOPEN, eperm))...)
	out = append(out, call(unix.SYS_SENDMMSG, one(lower(3)), has(unix.MSG_FASTOPEN, eperm))...)
	// Source routes: the packets would go to somebody else first. And connections
	// that are made by what is sent.
	for _, o := range []struct{ level, option uint32 }{
		{unix.IPPROTO_IP, unix.IP_OPTIONS}, {unix.IPPROTO_IPV6, unix.IPV6_RTHDR}, {unix.IPPROTO_IPV6, unix.IPV6_2292PKTOPTIONS},
		{unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT},
	} {
		out = append(out, call(unix.SYS_SETSOCKOPT,
			one(lower(1), bpf.JumpIf{Cond: bpf.JumpEqual, Val: o.level, SkipFalse: 3}, lower(2)), is(o.option, eperm))...)
	}
	return out
}

// others keeps the calls that take a process to the process itself: the kernel
// lets them reach every process of the same user.
func others() []bpf.Instruction {
	self := uint32(os.Getpid()) // it stays the same when the program is executed
	var out []bpf.Instruction
	for _, number := range []uintptr{
		unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
		unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR,
	} {
		out = append(out, call(number, one(lower(0),
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: self, SkipTrue: 1},
			ret(eperm)))...)
	}
	return out
}

// owners keeps files from being somebody else's whom the kernel signals, with a
// signal of the owner's choice, when there is something to read: it lets every
// process of the same user be named, and Landlock forbids it from 6 on only.
// Leases hold up whoever opens a file.
func owners() []bpf.Instruction {
	const setOwner, setGroup = 0x8901, 0x8902 // FIOSETOWN, SIOCSPGRP
	out := call(unix.SYS_FCNTL, one(lower(1)), is(unix.F_SETOWN, eperm), is(unix.F_SETOWN_EX, eperm), is(unix.F_SETSIG, eperm),
		is(unix.F_SETLEASE, eperm), is(unix.F_NOTIFY, eperm))
	return append(out, call(unix.SYS_IOCTL, one(lower(1)), is(setOwner, eperm), is(setGroup, eperm), is(unix.TIOCSTI, eperm))...)
}

// itself keeps a program from taking back what was set for it: that it ends
// with its parent; and from keeping a core's other thread to itself.
func itself() []bpf.Instruction {
	return call(unix.SYS_PRCTL, one(lower(0)), is(unix.PR_SET_PDEATHSIG, eperm), is(unix.PR_SCHED_CORE, eperm))
}

// memory refuses memory that is shared and nobody's file, and stacks of the
// program's own, which the limit of memory does not count.
func memory() []bpf.Instruction {
	return call(unix.SYS_MMAP, one(lower(3)), has(unix.MAP_GROWSDOWN, enomem), one(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.MAP_ANONYMOUS | unix.MAP_TYPE},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.MAP_ANONYMOUS | unix.MAP_SHARED, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.MAP_ANONYMOUS | unix.MAP_SHARED_VALIDATE, SkipFalse: 1},
		ret(enomem)))
}

// watched are the calls that the supervisor makes in the program's place, and
// that by which threads begin, which it counts.
func watched(p Policy) []bpf.Instruction {
	out := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}}
	calls := []uint32{unix.SYS_CLONE}
	if p.Network {
		calls = append(calls, unix.SYS_CONNECT, unix.SYS_LISTEN)
	}
	for _, c := range calls {
		out = append(out, is(c, unix.SECCOMP_RET_USER_NOTIF)...)
	}
	if p.OwnNetwork && p.Network {
		for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
			out = append(out, call(unix.SYS_SOCKET, one(lower(0)), is(family, unix.SECCOMP_RET_USER_NOTIF))...)
		}
	}
	return append(out, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
}

// notify installs the filter of watched calls on this thread, which is the one
// that executes, and gives the file by which the supervisor hears of them.
func notify(p Policy) (int, error) {
	program := watched(p)
	// A Go program's threads are interrupted all the time. Without this flag
	// (Linux 5.19) a call that the supervisor is making is begun again.
	fd, err := load(program, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errors.Is(err, unix.EINVAL) {
		fd, err = load(program, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	}
	return fd, err
}

// load installs a filter and gives what the call gives.
func load(program []bpf.Instruction, flags uintptr) (int, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return 0, fmt.Errorf("the filter of system calls: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, fmt.Errorf("installing the filter of system calls: %w", errno)
	}
	if flags == unix.SECCOMP_FILTER_FLAG_TSYNC && r != 0 {
		return 0, errors.New("installing the filter of system calls: a thread could not be included")
	}
	return int(r), nil
}
