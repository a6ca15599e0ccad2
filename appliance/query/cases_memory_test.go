package query_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/history"
	"github.com/cloisterhq/cloister/appliance/query"
	"github.com/cloisterhq/cloister/appliance/query/internal/memory"
)

// inMemory is the stage of a case file in memory.
type inMemory struct {
	numbers     map[string]uint32
	own         []memory.Person // of each number; Winner as merged now
	generations []memory.Generation
}

func (m *inMemory) meet(who string) error {
	if m.numbers[who] == 0 {
		m.own = append(m.own, memory.Person{Identity: who, Profile: map[string]event.Value{}})
		m.numbers[who] = uint32(len(m.own))
	}
	return nil
}

// root is the number that somebody goes by now.
func (m *inMemory) root(who string) uint32 {
	n := m.numbers[who]
	if w := m.own[n-1].Winner; w != 0 {
		return w
	}
	return n
}

func (m *inMemory) event(who string, at time.Time, name string, props []event.Prop) error {
	if len(m.generations) == 0 {
		m.generations = append(m.generations, memory.Generation{})
	}
	number := m.numbers[who] // their own, to keep after an unmerge
	if who[0] == '~' {
		number = m.root(who)
	}
	g := &m.generations[len(m.generations)-1]
	g.Rows = append(g.Rows, history.Row{Person: number, Time: at.UnixMicro(), Name: name, Props: props})
	return nil
}

func (m *inMemory) learn(who string, profile []event.Prop, channels []string, consents [][2]string) error {
	p := &m.own[m.root(who)-1]
	for _, a := range profile {
		p.Profile[a.Key] = a.Value
	}
	p.Reachable = append(p.Reachable, channels...)
	p.Consent = append(p.Consent, consents...)
	return nil
}

func (m *inMemory) login(who, device string) error { return m.merge(device, who) }

func (m *inMemory) merge(loser, winner string) error {
	l, w := m.root(loser), m.root(winner)
	if l == w {
		return fmt.Errorf("%s and %s are one already", loser, winner)
	}
	for i := range m.own {
		if n := uint32(i + 1); n == l || m.own[i].Winner == l {
			m.own[i].Winner = w
		}
	}
	return nil
}

func (m *inMemory) unmerge(who string) error {
	w := m.root(who)
	for i := range m.own {
		if m.own[i].Winner == w {
			m.own[i].Winner = 0
		}
	}
	return nil
}

func (m *inMemory) erase(who string) error {
	w := m.root(who)
	for i := range m.own {
		if uint32(i+1) == w || m.own[i].Winner == w {
			m.own[i].Erased = true
		}
	}
	return nil
}

func (m *inMemory) list(name string, who []string) error {
	for i := range m.own {
		p := &m.own[i]
		p.Lists = slices.DeleteFunc(p.Lists, func(l string) bool { return l == name })
		if slices.ContainsFunc(who, func(id string) bool { return m.numbers[id] == uint32(i+1) }) {
			p.Lists = append(p.Lists, name)
		}
	}
	return nil
}

func (m *inMemory) batch() error {
	m.generations = append(m.generations, memory.Generation{Layout: memory.Layout(len(m.generations) % 3)})
	return nil
}

func (m *inMemory) freeze() error {
	for i := range m.generations {
		m.generations[i].Layout = memory.ByDay
	}
	return m.batch()
}

func (m *inMemory) restart() error { return nil }

func (m *inMemory) compact() error {
	all := memory.Generation{Layout: memory.ByDay}
	for _, g := range m.generations {
		all.Rows = append(all.Rows, g.Rows...)
	}
	m.generations = []memory.Generation{all, {}}
	return nil
}

// data gives each person what they and those merged into them have: a winner's
// attributes count before a loser's, and they are listed by who was named first.
func (m *inMemory) data(loc *time.Location) (query.Data, func(string) (uint32, bool), func(), error) {
	people := make(memory.People, len(m.own))
	for i, p := range m.own {
		p.Profile = maps.Clone(p.Profile)
		people[i] = p
	}
	for i := range people {
		p := &people[i]
		if p.Winner == 0 {
			continue
		}
		w := &people[p.Winner-1]
		if p.Identity[0] != '~' && (w.Identity[0] == '~' || m.numbers[p.Identity] < m.numbers[w.Identity]) {
			w.Identity = p.Identity
		}
		for key, v := range p.Profile {
			if _, ok := w.Profile[key]; !ok {
				w.Profile[key] = v
			}
		}
		w.Reachable = slices.Concat(w.Reachable, p.Reachable)
		w.Consent = slices.Concat(w.Consent, p.Consent)
	}
	find := func(who string) (uint32, bool) { n, ok := m.numbers[who]; return n, ok }
	return query.Data{History: memory.New(loc, m.generations...), People: people}, find, func() {}, nil
}
