package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied are the calls by which a program could leave its process or reach
// deep into the kernel. It is a list of what is denied, not of what is
// allowed: lists of what is allowed break other languages' runtimes with every
// release of theirs.
var denied = []string{
	"fork", "vfork",
	"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp",
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
}

// The action of a call is its errno.
const (
	eperm   = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	enosys  = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	noproto = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT))
)

// restrictCalls installs the filter. It says false if the kernel has none.
func restrictCalls(p Policy) (bool, error) {
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
	first := append(only(uint32(info.ID)), sockets(uint32(info.SyscallNames["socket"]), p.Network)...)
	return true, load(append(first, program...))
}

// only kills a process that calls by another architecture's numbers, which the
// library would let through.
func only(id uint32) []bpf.Instruction {
	const archOffset = 4
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: id, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
	}
}

// sockets refuses kinds of sockets. The arguments are ints: only their lower
// halves count, as in the kernel; the library would compare both, and be got
// around by a bit in the upper.
func sockets(number uint32, network bool) []bpf.Instruction {
	const family, protocol = 16, 32 // offsets of the lower halves, on little-endian machines
	refused := []uint32{unix.AF_PACKET, unix.AF_ALG, unix.AF_VSOCK, unix.AF_BLUETOOTH, unix.AF_TIPC, unix.AF_RDS, unix.AF_XDP, unix.AF_SMC, unix.AF_KCM}
	if !network {
		refused = append(refused, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	}
	body := []bpf.Instruction{bpf.LoadAbsolute{Off: family, Size: 4}}
	for _, f := range refused {
		body = append(body, bpf.JumpIf{Cond: bpf.JumpEqual, Val: f, SkipFalse: 1}, bpf.RetConstant{Val: uint32(eperm)})
	}
	// What carries streams beside TCP, which is all that Landlock rules: Go
	// listens by MPTCP if it can, and falls back.
	body = append(body, bpf.LoadAbsolute{Off: protocol, Size: 4})
	for _, p := range []uint32{unix.IPPROTO_MPTCP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP} {
		body = append(body, bpf.JumpIf{Cond: bpf.JumpEqual, Val: p, SkipFalse: 1}, bpf.RetConstant{Val: uint32(noproto)})
	}
	body = append(body, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: uint8(len(body))},
	}, body...)
}

// load installs a filter on every thread of the process.
func load(program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("the filter of system calls: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("installing the filter of system calls: %w", errno)
	}
	if r != 0 {
		return errors.New("installing the filter of system calls: a thread could not be included")
	}
	return nil
}
