package ingest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/cloisterhq/cloister/appliance/event"
)

// Ceilings of a publisher. Values have none.
const (
	MaxNames      = 1024 // of events
	MaxKeys       = 2048 // of properties
	MaxAttributes = 2048 // of profiles
)

// Names are the names that a publisher's facts use, bounded: a library that
// makes a name of every id would otherwise make columns without end. What
// brings a name beyond a ceiling is refused, one by one. It is safe for
// concurrent use, and one Names outlives a reload of the rules.
type Names struct {
	Over func(what string) // told whenever a ceiling refuses; may be nil

	mu         sync.RWMutex
	events     map[string]bool
	keys       map[string]bool
	attributes map[string]bool
}

// NewNames knows the names that are in use already.
func NewNames(events, keys, attributes []string) *Names {
	set := func(names []string) map[string]bool {
		m := make(map[string]bool, len(names))
		for _, n := range names {
			m[n] = true
		}
		return m
	}
	return &Names{events: set(events), keys: set(keys), attributes: set(attributes)}
}

// admit takes note of the names in f, which are not all known, or refuses it.
func (n *Names) admit(f *event.Fact) error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// First all are looked at: a fact that is refused uses no name.
	fresh := 0
	if f.Kind == event.Track {
		if !n.events[f.Name] && len(n.events) >= MaxNames {
			return n.over("event", fmt.Sprintf("there are %d names of events already, and no more are taken", MaxNames))
		}
		for i := range f.Props {
			if !n.keys[f.Props[i].Key] {
				fresh++
			}
		}
		if fresh > 0 && len(n.keys)+fresh > MaxKeys {
			return n.over("properties", fmt.Sprintf("there are %d names of properties already, and no more are taken", len(n.keys)))
		}
	}
	fresh = 0
	for i := range f.Changes {
		if !n.attributes[f.Changes[i].Key] {
			fresh++
		}
	}
	if fresh > 0 && len(n.attributes)+fresh > MaxAttributes {
		return n.over("profile", fmt.Sprintf("there are %d names of attributes already, and no more are taken", len(n.attributes)))
	}
	if f.Kind == event.Track {
		n.events[strings.Clone(f.Name)] = true // the name may be a part of a body
		for i := range f.Props {
			add(n.keys, f.Props[i].Key)
		}
	}
	for i := range f.Changes {
		add(n.attributes, f.Changes[i].Key)
	}
	return nil
}

func add(m map[string]bool, key string) {
	if !m[key] {
		m[strings.Clone(key)] = true
	}
}

// known says whether every name in f is in use, as nearly always.
func (n *Names) known(f *event.Fact) bool {
	if n == nil {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if f.Kind == event.Track {
		if !n.events[f.Name] {
			return false
		}
		for i := range f.Props {
			if !n.keys[f.Props[i].Key] {
				return false
			}
		}
	}
	for i := range f.Changes {
		if !n.attributes[f.Changes[i].Key] {
			return false
		}
	}
	return true
}

func (n *Names) over(field, message string) error {
	if n.Over != nil {
		n.Over(field)
	}
	return &event.Refusal{Code: event.RefusedTooMany, Field: field, Message: message}
}
