package access

import (
	"fmt"
	"maps"
	"slices"
)

// Role is what somebody may do; which role may do what, the doors know.
type Role string

// The roles.
const (
	Analyst  Role = "analyst"  // asks
	Marketer Role = "marketer" // asks, and runs campaigns
	Admin    Role = "admin"    // everything
	Auditor  Role = "auditor"  // sees what was done, and no people
)

// Roles are all roles.
var Roles = []Role{Analyst, Marketer, Admin, Auditor}

// Everywhere stands for every publisher in Grants.
const Everywhere = "*"

// Grants are roles by publisher.
type Grants map[string]Role

// On is the role on a publisher, "" if there is none: the publisher's own
// entry if there is one, else that for Everywhere.
func (g Grants) On(publisher string) Role {
	if r, ok := g[publisher]; ok {
		return r
	}
	return g[Everywhere]
}

// Admin says whether they are those of an admin of the whole appliance.
func (g Grants) Admin() bool { return g[Everywhere] == Admin }

func (g Grants) check() error {
	if len(g) == 0 {
		return &Bad{"roles", `at least one role is needed, as in {"acme": "analyst"}; "*" is every publisher`}
	}
	if len(g) > 1000 {
		return &Bad{"roles", "at most 1000 publishers are allowed"}
	}
	for p, r := range g {
		if p == "" || len(p) > 64 {
			return &Bad{"roles", "a publisher's name has 1 to 64 bytes"}
		}
		if !slices.Contains(Roles, r) {
			return &Bad{"roles", fmt.Sprintf("%.40q is no role; there are analyst, marketer, admin, auditor", string(r))}
		}
	}
	return nil
}

func (g Grants) clone() Grants { return maps.Clone(g) }
