package sandbox

import (
	"fmt"
	"strings"
)

// What holds connections, the tightest first.
const (
	EgressNone  = "none"  // nothing is reached
	EgressHosts = "hosts" // the listed hosts, by TCP
	EgressPorts = "ports" // any host at the ports that are listed
	EgressOpen  = "open"  // anything
)

// Level is what confines a process in effect.
type Level struct {
	Landlock int  `json:"landlock"` // ABI; 0 = none, 4 rules TCP, 6 signals and abstract sockets
	Seccomp  bool `json:"seccomp"`
	// Egress is what holds connections.
	Egress string `json:"egress"`
	// OwnNetwork says whether it is in a network namespace without devices.
	OwnNetwork bool `json:"own_network"`
	// Threads says whether they are counted.
	Threads bool `json:"threads"`
	// Group says what a control group of its own bounds, in words; "" = it has none.
	Group string `json:"group,omitempty"`
	// Profile is "static" for a program that needs nothing but itself; "dynamic"
	// for one with a loader, which may read and execute what is in /usr and /lib,
	// as "python", "node" and "script" may.
	Profile string `json:"profile"`
}

// Grade is a level that can be required.
type Grade int

// The grades, each of which holds what those before it hold.
const (
	GradeNone  Grade = iota // nothing in particular
	GradeFiles              // the files of others cannot be read or written, no processes started (Landlock, seccomp)
	GradePorts              // and only the listed ports be reached, and no other process signalled (Landlock 6)
	GradeHosts              // and only the listed hosts
)

var grades = []string{"none", "files", "ports", "hosts"}

// Grades are their names, the weakest first.
func Grades() []string { return append([]string(nil), grades...) }

func (g Grade) String() string {
	if g < 0 || int(g) >= len(grades) {
		return fmt.Sprintf("Grade(%d)", int(g))
	}
	return grades[g]
}

// ParseGrade reads a grade's name.
func ParseGrade(s string) (Grade, error) {
	for i, name := range grades {
		if s == name {
			return Grade(i), nil
		}
	}
	return 0, fmt.Errorf("sandbox: there is no grade %q", s)
}

// Grade is the highest that the level has.
func (l Level) Grade() Grade {
	switch {
	case !l.Seccomp || l.Landlock < 3: // before 3 files could be cut short
		return GradeNone
	case l.Landlock < 6 || l.Egress == EgressOpen:
		return GradeFiles
	case l.Egress == EgressPorts:
		return GradePorts
	}
	return GradeHosts
}

// String is for the console: "landlock 7, seccomp, listed hosts only, cgroup (memory, threads), static".
func (l Level) String() string {
	var parts []string
	if l.Landlock > 0 {
		parts = append(parts, fmt.Sprintf("landlock %d", l.Landlock))
	}
	if l.Seccomp {
		parts = append(parts, "seccomp")
	}
	if len(parts) == 0 {
		parts = append(parts, "none")
	}
	if words := map[string]string{
		EgressNone: "no network", EgressHosts: "listed hosts only", EgressPorts: "listed ports of any host", EgressOpen: "any host",
	}[l.Egress]; words != "" {
		parts = append(parts, words)
	}
	if l.OwnNetwork {
		parts = append(parts, "own network")
	}
	if l.Group != "" {
		parts = append(parts, "cgroup ("+l.Group+")")
	}
	return strings.Join(append(parts, l.Profile), ", ")
}

// Weak says what of the confinement the kernel cannot give; "" if nothing.
func (l Level) Weak() string {
	switch {
	case l.Landlock == 0 && !l.Seccomp:
		return "the kernel has neither Landlock nor seccomp: connectors are not confined"
	case l.Landlock == 0:
		return "the kernel has no Landlock: connectors can read what the service's user can"
	case !l.Seccomp:
		return "the kernel has no seccomp filters: connectors can start processes, and connect to anything"
	case l.Landlock < 3:
		return "the kernel's Landlock cannot rule the cutting of files: connectors can empty what the service's user can write"
	case l.Egress == EgressOpen:
		return "nothing rules where connectors connect to: this needs seccomp notifications, which the kernel or the service's unit does not give"
	case l.Egress == EgressPorts:
		return "connectors reach every host at the ports that are listed: the hosts need seccomp notifications, which the kernel or the service's unit does not give"
	case l.Landlock < 6:
		return "the kernel's Landlock cannot rule signals and abstract unix sockets; seccomp rules signals to processes"
	}
	return ""
}
