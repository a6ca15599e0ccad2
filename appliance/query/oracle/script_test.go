package oracle

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
)

// deedKind is what a deed is.
type deedKind uint8

const (
	meeting  deedKind = iota // somebody is heard of
	tracking                 // an event; of a user and a device together it joins them too
	joining                  // a user logs in on a device
	learning                 // profile, addresses, consent
	listing                  // a user is put on a list
	merging                  // a further user of a person turns out to be them
	erring                   // two persons are merged by mistake
	parting                  // and parted again
	erasing
)

// deed is something that came to be known. Which of two deeds arrives first
// makes a difference to the answers only where mustPrecede says so.
type deed struct {
	id     int // its place in the script
	kind   deedKind
	fact   event.Fact
	groups []int // whom it concerns
	errs   int   // of a parting: the id of the deed that it undoes
}

// group is what is one person in the end.
type group struct {
	users, devices []string
	erased         bool
}

// script is all that happens to a world, apart from the order and the manner in
// which it is carried in.
type script struct {
	deeds  []*deed
	groups []group
	// numbered: everybody is met first, in one order, so that person numbers,
	// and with them the order of lists, are the same in every life.
	numbered bool
}

// newScript makes a world out of a script that it makes too; nothing is carried
// in yet, and the world's people have no numbers and no profiles.
func newScript(r *rand.Rand) (*script, *world) {
	s := &script{numbered: r.IntN(2) == 0}
	w := &world{loc: location(zones[r.IntN(len(zones))]), saved: map[string]string{}, rfms: map[string][]byte{}}
	base := seasons[r.IntN(len(seasons))]
	at := func(d time.Duration) int64 { return base.Add(d).UnixMicro() }

	users := 1 + r.IntN(8)
	if r.IntN(8) == 0 {
		users = 100 // several to a partition
	}
	s.gather(r, users, r.IntN(5))
	w.count = users + 5
	for i, g := range s.groups {
		for n, u := range g.users {
			s.add(meeting, event.Fact{Kind: event.Identify, User: u, Time: at(-time.Duration(100*n+i+1) * time.Minute)}, i)
		}
		for _, d := range g.devices {
			if s.numbered {
				s.add(meeting, event.Fact{Kind: event.Identify, Device: d, Time: at(-time.Hour)}, i)
			}
			if len(g.users) > 0 {
				s.add(joining, event.Fact{Kind: event.Identify, User: pick(r, g.users...), Device: d, Time: at(time.Hour)}, i)
			}
		}
	}
	for range r.IntN(3) {
		s.err(r, at(0))
	}
	for i, g := range s.groups {
		for n, u := range g.users {
			if r.IntN(3) > 0 {
				s.add(learning, profileOf(r, u, at(time.Duration(n)*time.Minute)), i)
			}
			if r.IntN(3) == 0 {
				s.add(listing, listingOf(pick(r, "vips", "staff"), u, len(s.deeds)), i)
			}
			if n > 0 {
				s.add(merging, event.Fact{Kind: event.Alias, Previous: u, User: g.users[r.IntN(n)], Time: at(2 * time.Hour)}, i)
			}
		}
		if g.erased {
			s.add(erasing, event.Fact{Kind: event.Erase, ID: fmt.Sprint("erase ", i), User: pick(r, g.users...), Time: at(3 * time.Hour)}, i)
		}
	}
	w.now = s.happen(r, base)
	s.tell(w)
	return s, w
}

// gather makes groups of users and devices; all are called p and a number, so
// that questions name devices too.
func (s *script) gather(r *rand.Rand, users, devices int) {
	for u := range users {
		name := fmt.Sprintf("p%d", u+1)
		if len(s.groups) > 0 && r.IntN(3) == 0 {
			g := &s.groups[r.IntN(len(s.groups))]
			g.users = append(g.users, name)
		} else {
			s.groups = append(s.groups, group{users: []string{name}, erased: r.IntN(7) == 0})
		}
	}
	known := len(s.groups)
	for d := range devices {
		name := fmt.Sprintf("p%d", users+d+1)
		if r.IntN(4) == 0 {
			s.groups = append(s.groups, group{devices: []string{name}}) // who never logs in
		} else {
			g := &s.groups[r.IntN(known)]
			g.devices = append(g.devices, name)
		}
	}
}

func (s *script) add(kind deedKind, f event.Fact, group int) {
	f.Received = f.Time
	s.deeds = append(s.deeds, &deed{id: len(s.deeds), kind: kind, fact: f, groups: []int{group}})
}

// err merges two persons by mistake, and parts them. Of theirs only what a user
// does may come between (ordered).
func (s *script) err(r *rand.Rand, at int64) {
	i, j := r.IntN(len(s.groups)), r.IntN(len(s.groups))
	if i == j || len(s.groups[i].users) == 0 || len(s.groups[j].users) == 0 {
		return
	}
	x, y := pick(r, s.groups[i].users...), pick(r, s.groups[j].users...)
	id, both := len(s.deeds), []int{i, j}
	s.deeds = append(s.deeds,
		&deed{id: id, kind: erring, groups: both, fact: event.Fact{Kind: event.Alias, Previous: x, User: y, Time: at, Received: at}},
		&deed{id: id + 1, kind: parting, groups: both, errs: id, fact: event.Fact{Kind: event.Demerge, User: y, Time: at, Received: at}})
}

// happen adds the events, at few instants, so that many share one; and says
// when it is.
func (s *script) happen(r *rand.Rand, base time.Time) (now time.Time) {
	step := []time.Duration{time.Minute, 30 * time.Minute, 6 * time.Hour, 20 * time.Hour}[r.IntN(4)]
	instants := 5 + r.IntN(40)
	count := r.IntN(40)
	if r.IntN(3) == 0 {
		count = r.IntN(300)
	}
	for range count {
		i := r.IntN(len(s.groups))
		g := &s.groups[i]
		name, about := names[r.IntN(len(names))], randomProps(r)
		if r.IntN(3) == 0 {
			name, about = mailNames[r.IntN(len(mailNames))], mailProps(r)
		}
		f := event.Fact{Kind: event.Track, Name: name, Props: props(about)}
		f.Time = base.Add(time.Duration(r.IntN(instants)) * step).UnixMicro()
		if r.IntN(10) == 0 {
			f.Time += int64(r.IntN(3)) // microseconds apart
		}
		if len(g.users) > 0 && (len(g.devices) == 0 || r.IntN(3) > 0) {
			f.User = pick(r, g.users...)
		}
		if f.User == "" || len(g.devices) > 0 && r.IntN(4) == 0 {
			f.Device = pick(r, g.devices...)
		}
		s.add(tracking, f, i)
	}
	return base.Add(time.Duration(r.IntN(instants+2)) * step)
}

func profileOf(r *rand.Rand, user string, at int64) event.Fact {
	f := event.Fact{Kind: event.Identify, User: user, Time: at}
	for _, key := range []string{"plan", "age", "tags"} {
		if v := randomValue(r, key); v != nil {
			f.Changes = append(f.Changes, event.Change{Key: key, Op: event.Set, Value: value(v)})
		}
	}
	if r.IntN(2) == 0 {
		f.Consents = []event.Consent{{Purpose: "offers", Channel: pick(r, "email", "sms"), Granted: r.IntN(3) > 0}}
	}
	if r.IntN(2) == 0 {
		f.Addresses = []event.Address{{Channel: "email", Value: user + "@example.com"}}
	}
	return f
}

func listingOf(name, user string, upload int) event.Fact {
	part := people.ListPart{Source: fmt.Sprint(upload), Line: 1, Lines: 1, Add: true, Last: true, People: []string{user}}
	body, err := part.Encode()
	if err != nil {
		panic(err)
	}
	return event.Fact{Kind: event.Programme, Name: event.TypeList, Ref: name, Body: body}
}

// tell gives a world the people and events of a script, as they are when all
// is carried in, in whatever order.
func (s *script) tell(w *world) {
	by := map[int]*someone{}
	for i, g := range s.groups {
		if g.erased || len(g.users) == 0 && !slices.ContainsFunc(s.deeds, func(d *deed) bool { return slices.Contains(d.groups, i) }) {
			continue
		}
		by[i] = &someone{others: slices.Concat(g.users, g.devices)}
		// Known longest is whose time of meeting is the least.
		since := int64(0)
		for _, d := range s.deeds {
			f := &d.fact
			if d.kind == meeting && d.groups[0] == i && f.User != "" && (by[i].identity == "" || f.Time < since) {
				by[i].identity, since = f.User, f.Time
			}
		}
		if by[i].identity == "" {
			by[i].identity = g.devices[0]
		}
		w.people = append(w.people, by[i])
	}
	for _, d := range s.deeds {
		one := by[d.groups[0]]
		if name := d.fact.Ref; d.kind == listing {
			if !slices.Contains(w.lists, name) {
				w.lists = append(w.lists, name)
			}
			if one != nil {
				one.lists = append(one.lists, name)
			}
		}
		if f := &d.fact; d.kind == tracking && one != nil {
			one.events = append(one.events, occurrence{seq: d.id, time: f.Time, name: f.Name, props: plainProps(f.Props)})
		}
	}
	for _, one := range w.people {
		slices.SortStableFunc(one.events, func(a, b occurrence) int { return int(a.time - b.time) })
	}
}

func (d *deed) joins() bool {
	return d.kind == joining || d.kind == tracking && d.fact.User != "" && d.fact.Device != ""
}

// mustPrecede says whether the answers may depend on a coming before b.
func (s *script) mustPrecede(a, b *deed) bool {
	if s.numbered && a.kind == meeting {
		return b.kind != meeting || a.id < b.id
	}
	if !shares(a, b) {
		return false
	}
	earlier := a.id < b.id
	switch a.kind {
	case meeting: // the user known longest, whom a merge joins, and whom a list knows
		return b.kind >= listing || b.kind != meeting && slices.ContainsFunc(a.groups, func(g int) bool { return len(s.groups[g].users) > 1 })
	case erring, parting: // a demerge parts what was joined before
		return b.joins() || b.kind == merging || b.kind == erasing || b.kind == erring && earlier || b.kind == parting && b.errs == a.id
	case learning: // of two values the later counts; what the winner says once merged is their own
		return b.kind == merging || b.kind == erasing || b.kind == learning && earlier
	case merging:
		return b.kind == erasing || b.kind == merging && earlier
	}
	return a.joins() && b.kind == erasing || // a device that logs in afterwards is somebody new
		a.kind == tracking && b.kind == tracking && earlier && a.fact.Time == b.fact.Time
}

// shares says whether two deeds concern one person.
func shares(a, b *deed) bool {
	return slices.ContainsFunc(a.groups, func(g int) bool { return slices.Contains(b.groups, g) })
}

// ordered is the script in an order that a seed chooses among those allowed.
func (s *script) ordered(seed uint64) []*deed {
	left := slices.Clone(s.deeds)
	slices.SortStableFunc(left, func(a, b *deed) int {
		x, y := chosen(seed, a.id, "place"), chosen(seed, b.id, "place")
		if x < y {
			return -1
		}
		return 1
	})
	var out []*deed
	var open *deed // what is not undone yet
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(d *deed) bool {
			if open != nil && !(d.kind == tracking && d.fact.User != "") && (d.kind == erring || shares(d, open)) && !(d.kind == parting && d.errs == open.id) {
				return false
			}
			return !slices.ContainsFunc(left, func(e *deed) bool { return e != d && s.mustPrecede(e, d) })
		})
		if i < 0 {
			panic("the script's order runs in a circle")
		}
		switch d := left[i]; d.kind {
		case erring:
			open = d
		case parting:
			open = nil
		}
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// chosen is a number below 1 that a seed chooses for a deed, whatever other
// deeds there are.
func chosen(seed uint64, id int, what string) float64 {
	h := fnv.New64a()
	fmt.Fprint(h, seed, " ", id, " ", what)
	return float64(rand.New(rand.NewPCG(h.Sum64(), seed)).Uint64()>>11) / (1 << 53)
}

// String tells a deed, for a failure.
func (d *deed) String() string {
	f := &d.fact
	text := fmt.Sprintf("#%d of %v: %s %s user %q device %q previous %q %s %s", d.id, d.groups, time.UnixMicro(f.Time).UTC().Format(time.RFC3339Nano),
		f.Kind, f.User, f.Device, f.Previous, f.Name, event.AppendJSONProps(nil, f.Props))
	for _, c := range f.Changes {
		text += fmt.Sprintf(" %s=%s", c.Key, c.Value)
	}
	return text
}
